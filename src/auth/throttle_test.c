// SPDX-License-Identifier: Apache-2.0
// Delays by a clock of the test's own.
#include <stdio.h>

#include "auth/internal.h"
#include "tests/lib/test.h"

#define S 1000000000LL

static struct throttle *new_throttle(size_t entries)
{
	struct throttle *t;
	struct errinfo info;
	ms_errinfo_init(&info);
	REQUIRE(ms_throttle_new(entries, &info, &t) == MS_OK);
	return t;
}

static struct throttle_keys keys_of(struct throttle *t, const char *account, const char *address)
{
	return ms_throttle_keys(t, ms_slice_cstr(account), ms_slice_cstr(address));
}

// One attempt; the answer is how long it has to wait, 0: it was let in.
static int64_t attempt(struct throttle *t, const char *account, const char *address, bool passes, int64_t now)
{
	struct throttle_keys keys = keys_of(t, account, address);
	int64_t wait = ms_throttle_look(t, &keys, now);
	CHECK_INT(ms_throttle_enter(t, &keys, now), wait);
	if (wait == 0)
		ms_throttle_leave(t, &keys, passes ? THROTTLE_PASSED : THROTTLE_FAILED, now);
	return wait;
}

TEST(throttle_delays_grow_and_end)
{
	struct throttle *t = new_throttle(1024);
	int64_t now = 5 * S, wanted = 1 * S;
	for (int i = 0; i < 5; i++)
		CHECK_INT(attempt(t, "ada", "192.0.2.1", false, now), 0);
	for (int i = 0; i < 14; i++) {
		CHECK_INT(attempt(t, "ada", "192.0.2.1", false, now), wanted);
		CHECK_INT(attempt(t, "ada", "192.0.2.1", true, now + wanted - 1),
			  1); // not a moment before, even with the right password
		now += wanted;
		CHECK_INT(attempt(t, "ada", "192.0.2.1", false, now), 0);
		wanted = MS_MIN(wanted * 2, 900 * S);
	}
	CHECK_INT(wanted, 900 * S); // no permanent lock
	now += wanted;
	CHECK_INT(attempt(t, "ada", "192.0.2.1", true, now), 0);
	CHECK_INT(attempt(t, "ada", "192.0.2.1", true, now), 0);
	ms_throttle_free(t);
}

TEST(throttle_attempts_at_once_gain_nothing)
{
	struct throttle *t = new_throttle(1024);
	struct throttle_keys keys = keys_of(t, "ada", "192.0.2.1");
	int64_t now = 1 * S;
	for (int i = 0; i < 5; i++)
		CHECK_INT(attempt(t, "ada", "192.0.2.1", false, now), 0);
	now += S;
	CHECK_INT(ms_throttle_enter(t, &keys, now), 0); // on its way
	for (int i = 0; i < 100; i++)
		CHECK_INT(ms_throttle_enter(t, &keys, now), 2 * S);
	CHECK_INT(ms_throttle_leave(t, &keys, THROTTLE_FAILED, now + S / 10), 2 * S);
	CHECK_INT(ms_throttle_look(t, &keys, now + S / 10), 2 * S);
	// What could not be decided costs nothing.
	now += 3 * S;
	CHECK_INT(ms_throttle_enter(t, &keys, now), 0);
	CHECK_INT(ms_throttle_leave(t, &keys, THROTTLE_UNDECIDED, now), 0);
	CHECK_INT(ms_throttle_look(t, &keys, now), 0);
	ms_throttle_free(t);
}

TEST(throttle_strangers_do_not_delay_who_signed_in_before)
{
	struct throttle *t = new_throttle(65536);
	char address[32];
	int64_t now = 1 * S;
	CHECK_INT(attempt(t, "ada", "192.0.2.1", true, now), 0);
	for (int i = 0; i < 200; i++) { // guesses at ada from everywhere, and from her own address at others
		snprintf(address, sizeof(address), "198.51.100.%d", i);
		(void)attempt(t, "ada", address, false, now);
		snprintf(address, sizeof(address), "user%d", i);
		(void)attempt(t, address, "192.0.2.1", false, now);
	}
	CHECK(attempt(t, "ada", "203.0.113.1", true, now) > 0); // elsewhere she waits
	CHECK(attempt(t, "bob", "192.0.2.1", true, now) > 0);   // and others wait at her address
	for (int i = 0; i < 5; i++)
		CHECK_INT(attempt(t, "ada", "192.0.2.1", false, now), 0);
	CHECK_INT(attempt(t, "ada", "192.0.2.1", true, now), 1 * S); // her own failures count
	CHECK_INT(attempt(t, "ada", "192.0.2.1", true, now + S), 0);
	CHECK_INT(attempt(t, "ada", "192.0.2.1", false, now + S), 0); // and are forgotten when she gets in
	CHECK_INT(attempt(t, "ada", "192.0.2.1", true, now + S), 0);
	ms_throttle_free(t);
}

TEST(throttle_success_of_one_frees_no_stranger)
{
	struct throttle *t = new_throttle(1024);
	int64_t now = 1 * S;
	for (int i = 0; i < 5; i++)
		CHECK_INT(attempt(t, "ada", "192.0.2.66", false, now), 0);
	now += S;
	CHECK_INT(attempt(t, "ada", "192.0.2.1", true, now), 0); // the owner, from a new address after the delay
	CHECK_INT(attempt(t, "ada", "192.0.2.66", false, now), 0);
	CHECK_INT(attempt(t, "ada", "192.0.2.66", false, now), 2 * S); // the guesser is where he was
	ms_throttle_free(t);
}

TEST(throttle_counts_addresses)
{
	struct throttle *t = new_throttle(65536);
	char account[32];
	int64_t now = 1 * S;
	for (int i = 0; i < 20; i++) {
		snprintf(account, sizeof(account), "user%d", i);
		CHECK_INT(attempt(t, account, "2001:db8:1:2::1", false, now), 0);
	}
	CHECK_INT(attempt(t, "other", "2001:db8:1:2:ffff:ffff:ffff:ffff", true, now), 1 * S); // the same network
	CHECK_INT(attempt(t, "other", "2001:db8:1:3::1", true, now), 0);
	ms_throttle_free(t);
}

TEST(throttle_names_of_addresses)
{
	struct throttle *t = new_throttle(64);
	static const struct {
		const char *a, *b;
		bool same;
	} cases[] = {
		{"192.0.2.1", "192.0.2.2", false},
		{"192.0.2.1", "::ffff:192.0.2.1", true},
		{"2001:db8::1", "2001:db8::2", true},
		{"2001:db8::1", "2001:db8:0:0:1::1", true},
		{"2001:db8::1", "2001:db8:0:1::1", false},
		{"2001:db8:1::", "2001:db8:1:0:5:6:7:8", true},
		{"::1", "::2", true},
		{"::1", "1::", false},
		{"1:2:3:4:5:6:7:8", "1:2:3:4::", true},
		{"fe80::1%eth0", "fe80::2%eth1", true},
		{"unix", "192.0.2.1", false},
		{"", "unix", false},
	};
	for (size_t i = 0; i < MS_ARRAY_LEN(cases); i++) {
		bool same = keys_of(t, "x", cases[i].a).address == keys_of(t, "x", cases[i].b).address;
		if (same != cases[i].same)
			CHECK_STR(cases[i].a, cases[i].b);
	}
	ms_throttle_free(t);
}

TEST(throttle_forgets_after_a_day)
{
	struct throttle *t = new_throttle(64);
	int64_t now = 1 * S;
	for (int i = 0; i < 5; i++)
		CHECK_INT(attempt(t, "ada", "192.0.2.1", false, now), 0);
	now += 24 * 3600 * S + 1;
	for (int i = 0; i < 5; i++)
		CHECK_INT(attempt(t, "ada", "192.0.2.1", false, now), 0);
	CHECK_INT(attempt(t, "ada", "192.0.2.1", false, now), 1 * S);
	ms_throttle_free(t);
}

// A flood of names may not wash away the account under attack: what failed more often stays.
TEST(throttle_flood_of_names)
{
	struct throttle *t = new_throttle(256);
	char account[32], address[32];
	int64_t now = 1 * S;
	for (int i = 0; i < 8; i++)
		CHECK_INT(attempt(t, "ada", "192.0.2.1", false, now += 1000 * S), 0);
	for (int i = 0; i < 20000; i++) {
		snprintf(account, sizeof(account), "name%d", i);
		snprintf(address, sizeof(address), "10.%d.%d.1", i >> 8, i & 255);
		(void)attempt(t, account, address, false, now);
	}
	CHECK(attempt(t, "ada", "203.0.113.5", false, now) > 0);
	ms_throttle_free(t);
}
