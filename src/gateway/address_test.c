// SPDX-License-Identifier: Apache-2.0
#include "gateway/address.h"
#include "tests/lib/test.h"

static bool parses(const char *text)
{
	struct gw_network n;
	return ms_network_parse(ms_slice_cstr(text), &n);
}

static bool has(const char *network, const char *address)
{
	struct gw_network n;
	struct gw_address a;
	REQUIRE(ms_network_parse(ms_slice_cstr(network), &n) && ms_address_parse(ms_slice_cstr(address), &a));
	return ms_network_has(&n, &a);
}

TEST(address_text)
{
	static const char *const good[] = {"1.2.3.4", "0.0.0.0/0", "10.0.0.0/8", "::", "::1", "1::", "2001:db8::/32", "fe80::1:2:3",
					   "1:2:3:4:5:6:7:8", "::ffff:1.2.3.4", "1:2:3:4:5:6:1.2.3.4", "::/0", "A:b:C::"};
	static const char *const bad[] = {"", "1.2.3", "1.2.3.4.5", "256.1.1.1", "01.2.3.4", "1.2.3.4/33", "1.2.3.4/", "1.2.3.4/-1",
					  ":", ":::", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "1::2::3", "::/129", "12345::", "g::",
					  "1:2:3:4:5:6:7:1.2.3.4", "1:2:3:4:5:6:7::8", ":1", "1:", "1.2.3.4 ", "[::1]", "1.2.3.4:80"};
	for (size_t i = 0; i < MS_ARRAY_LEN(good); i++)
		ms_test_check(parses(good[i]), good[i], __FILE__, __LINE__);
	for (size_t i = 0; i < MS_ARRAY_LEN(bad); i++)
		ms_test_check(!parses(bad[i]), bad[i], __FILE__, __LINE__);
}

TEST(address_networks)
{
	CHECK(has("10.0.0.0/8", "10.255.1.2"));
	CHECK(!has("10.0.0.0/8", "11.0.0.0"));
	CHECK(has("10.1.2.3/20", "10.1.15.255"));
	CHECK(!has("10.1.2.3/20", "10.1.16.0"));
	CHECK(has("127.0.0.1", "127.0.0.1"));
	CHECK(!has("127.0.0.1", "127.0.0.2"));
	CHECK(has("127.0.0.1", "::ffff:127.0.0.1"));
	CHECK(has("2001:db8::/33", "2001:db8:7fff::1"));
	CHECK(!has("2001:db8::/33", "2001:db8:8000::1"));
	CHECK(has("0.0.0.0/0", "9.9.9.9"));
	CHECK(!has("0.0.0.0/0", "2001::1"));
	CHECK(has("::/0", "9.9.9.9"));
}
