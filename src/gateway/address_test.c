// SPDX-License-Identifier: Apache-2.0
#include "gateway/address.h"
#include "tests/lib/test.h"

static bool same(const char *a, const char *b)
{
	struct gw_address x, y;
	return ms_gw_address_parse(ms_slice_cstr(a), &x) && ms_gw_address_parse(ms_slice_cstr(b), &y) &&
	       x.high == y.high && x.low == y.low;
}

TEST(addresses_are_read_in_all_their_spellings)
{
	CHECK(same("192.0.2.1", "::ffff:192.0.2.1"));
	CHECK(same("192.0.2.1", "::ffff:c000:201"));
	CHECK(same("2001:db8::1", "2001:0DB8:0:0:0:0:0:1"));
	CHECK(same("::", "0:0:0:0:0:0:0:0"));
	CHECK(same("1::", "1:0:0:0:0:0:0:0"));
	CHECK(same("::1:2", "0:0:0:0:0:0:1:2"));
	CHECK(same("1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"));
	CHECK(!same("::1", "::2"));
}

TEST(what_is_no_address_is_refused)
{
	static const char *const bad[] = {"",
					  "1.2.3",
					  "1.2.3.4.5",
					  "256.1.1.1",
					  "01.2.3.4",
					  "1.2.3.4 ",
					  " 1.2.3.4",
					  "1..2.3",
					  ":",
					  ":::",
					  "1::2::3",
					  "1:2:3:4:5:6:7",
					  "1:2:3:4:5:6:7:8:9",
					  "12345::",
					  "g::",
					  "[::1]",
					  "::1%eth0",
					  "1.2.3.4::",
					  "::1.2.3",
					  "unix",
					  "1:2:3:4:5:6:7:8::",
					  "::1:2:3:4:5:6:7:8",
					  "1:2:3:4:5:6:7:1.2.3.4"};
	struct gw_address a;
	for (size_t i = 0; i < MS_ARRAY_LEN(bad); i++) {
		if (!CHECK(!ms_gw_address_parse(ms_slice_cstr(bad[i]), &a)))
			CHECK_STR(bad[i], "refused");
	}
}

TEST(networks_are_merged_and_searched)
{
	static const char *const texts[] = {"10.0.0.0/8", "10.1.0.0/16",   "192.0.2.128/25",
					    "192.0.2.5",  "2001:db8::/32", "::1"};
	struct gw_network nets[MS_ARRAY_LEN(texts)];
	struct gw_address a;
	for (size_t i = 0; i < MS_ARRAY_LEN(texts); i++)
		CHECK(ms_gw_network_parse(ms_slice_cstr(texts[i]), &nets[i]));
	size_t n = ms_gw_networks_sort(nets, MS_ARRAY_LEN(texts));
	CHECK_INT(n, 5); // 10.1/16 lies in 10/8
	static const struct {
		const char *text;
		bool in;
	} cases[] = {{"10.0.0.0", true},     {"10.255.255.255", true},
		     {"11.0.0.0", false},    {"9.255.255.255", false},
		     {"192.0.2.127", false}, {"192.0.2.128", true},
		     {"192.0.2.255", true},  {"192.0.3.0", false},
		     {"192.0.2.5", true},    {"192.0.2.6", false},
		     {"2001:db8::", true},   {"2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", true},
		     {"2001:db9::", false},  {"::1", true},
		     {"::2", false},         {"::ffff:10.2.3.4", true}};
	for (size_t i = 0; i < MS_ARRAY_LEN(cases); i++) {
		CHECK(ms_gw_address_parse(ms_slice_cstr(cases[i].text), &a));
		if (!CHECK_INT(ms_gw_networks_has(nets, n, a), cases[i].in))
			CHECK_STR(cases[i].text, "");
	}
	CHECK(!ms_gw_networks_has(nets, 0, a));
}

TEST(prefixes_are_checked)
{
	struct gw_network net;
	CHECK(ms_gw_network_parse(MS_SLICE_LIT("0.0.0.0/0"), &net));
	CHECK(net.last.low == UINT64_C(0xffffffffffff) && net.first.low == UINT64_C(0xffff00000000));
	CHECK(ms_gw_network_parse(MS_SLICE_LIT("::/0"), &net));
	CHECK(ms_gw_network_parse(MS_SLICE_LIT("1.2.3.4/32"), &net));
	static const char *const bad[] = {"10.1.0.0/8", "1.2.3.4/33",     "::/129",    "1.2.3.4/",
					  "1.2.3.4/x",  "2001:db8::1/64", "1.2.3.4/-1"};
	for (size_t i = 0; i < MS_ARRAY_LEN(bad); i++)
		CHECK(!ms_gw_network_parse(ms_slice_cstr(bad[i]), &net));
}
