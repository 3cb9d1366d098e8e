// SPDX-License-Identifier: Apache-2.0
#include "tasks/cron.h"

#include <stdio.h>
#include <stdlib.h>

#include "rt/rt.h"
#include "tasks/calendar.h"
#include "tests/lib/test.h"

static const struct zone *load(const char *name, struct arena *arena)
{
	char path[128];
	struct slice bytes;
	struct errinfo info;
	const struct zone *zone = NULL;
	ms_errinfo_init(&info);
	snprintf(path, sizeof(path), "/usr/share/zoneinfo/%s", name);
	CHECK(ms_file_read(path, 1 << 20, &info, &bytes) == MS_OK);
	CHECK(ms_zone_parse(bytes, arena, &info, &zone) == MS_OK);
	free((void *)(uintptr_t)bytes.p);
	return zone;
}

static int64_t utc(int64_t year, int month, int day, int hour, int minute, int second)
{
	return ms_civil_seconds(&(struct civil){
		.year = year, .month = month, .day = day, .hour = hour, .minute = minute, .second = second});
}

static int64_t next(const char *line, const struct zone *zone, int64_t after)
{
	struct cron cron;
	struct errinfo info;
	int64_t due;
	ms_errinfo_init(&info);
	CHECK_OK(ms_cron_parse(ms_slice_cstr(line), &info, &cron));
	return ms_cron_next(&cron, zone, after, &due) ? due : -1;
}

TEST(fields_say_when)
{
	int64_t from = utc(2026, 11, 21, 19, 30, 15); // a Saturday
	static const struct {
		const char *line;
		int month, day, hour, minute, second;
		int64_t year;
	} cases[] = {
		{"* * * * *", 11, 21, 19, 31, 0, 2026},
		{"* * * * * *", 11, 21, 19, 30, 16, 2026},
		{"*/20 * * * * *", 11, 21, 19, 30, 20, 2026},
		{"5/15 * * * *", 11, 21, 19, 35, 0, 2026},
		{"0 0 * * *", 11, 22, 0, 0, 0, 2026},
		{"@daily", 11, 22, 0, 0, 0, 2026},
		{"@Hourly", 11, 21, 20, 0, 0, 2026},
		{"@weekly", 11, 22, 0, 0, 0, 2026},
		{"@yearly", 1, 1, 0, 0, 0, 2027},
		{"0 12 * * 7", 11, 22, 12, 0, 0, 2026},
		{"0 12 * * SUN", 11, 22, 12, 0, 0, 2026},
		{"0 12 * * mon-fri", 11, 23, 12, 0, 0, 2026},
		{"0 12 1,15 * *", 12, 1, 12, 0, 0, 2026},
		{"0 12 13 * FRI", 11, 27, 12, 0, 0, 2026}, // either day
		{"0 12 ? feb *", 2, 1, 12, 0, 0, 2027},
		{"0 0 29 2 *", 2, 29, 0, 0, 0, 2028},
		{"0 0 31 * *", 12, 31, 0, 0, 0, 2026},
		{"0 0 L * *", 11, 30, 0, 0, 0, 2026},
		{"0 0 L FEB *", 2, 28, 0, 0, 0, 2027},
		{"0 0 * * 5L", 11, 27, 0, 0, 0, 2026},
		{"0 0 * * 2#1", 12, 1, 0, 0, 0, 2026},
		{"0 0 * * 3#5", 12, 30, 0, 0, 0, 2026},
		{"30 15 19 21 11 *", 11, 21, 19, 15, 30, 2027},
		{"16 30 19 21 11 *", 11, 21, 19, 30, 16, 2026},
		{"15 30 19 21 11 *", 11, 21, 19, 30, 15, 2027}, // after, not at
		{"0 0 29 2 1", 2, 1, 0, 0, 0, 2027},
	};
	for (size_t i = 0; i < MS_ARRAY_LEN(cases); i++) {
		int64_t want = utc(cases[i].year, cases[i].month, cases[i].day, cases[i].hour, cases[i].minute,
				   cases[i].second);
		int64_t got = next(cases[i].line, ms_zone_utc(), from);
		if (got != want)
			printf("# %s\n", cases[i].line);
		CHECK_INT(got, want);
	}
}

TEST(what_is_wrong_is_told)
{
	static const struct {
		const char *line, *says;
	} cases[] = {
		{"", "0 fields"},
		{"* * * *", "4 fields"},
		{"* * * * * * *", "7 fields"},
		{"60 * * * *", "minute \"60\": not a value"},
		{"* 24 * * *", "hour \"24\""},
		{"* * 0 * *", "day of month \"0\""},
		{"* * 32 * *", "day of month \"32\""},
		{"* * * 13 *", "month \"13\""},
		{"* * * FOO *", "month \"FOO\""},
		{"* * * * 8", "day of week \"8\""},
		{"-1 * * * *", "minute \"-1\""},
		{"5-1 * * * *", "goes backwards"},
		{"*/0 * * * *", "a step of 1"},
		{"*/x * * * *", "a step of 1"},
		{"1,,2 * * * *", "part of the list is empty"},
		{"* * * * 5#6", "1 to 5"},
		{"* * * * 5#", "1 to 5"},
		{"0 0 30 2 *", "never due"},
		{"0 0 31 4,6,9,11 *", "never due"},
		{"@reboot", "1 fields"},
		{"99999999999999999999 * * * *", "not a value"},
		{"* * 15W * *", "not a value"},
	};
	struct cron cron;
	for (size_t i = 0; i < MS_ARRAY_LEN(cases); i++) {
		struct errinfo info;
		ms_errinfo_init(&info);
		CHECK_INT(ms_cron_parse(ms_slice_cstr(cases[i].line), &info, &cron), MS_ERR_INVALID);
		CHECK_HAS(info.message, cases[i].says);
	}
}

TEST(daylight_saving_in_berlin)
{
	struct arena arena;
	ms_arena_init(&arena, 4096, 1 << 20);
	const struct zone *berlin = load("Europe/Berlin", &arena);
	// 2027-03-28 02:00 becomes 03:00 (01:00 UTC); 2027-10-31 03:00 becomes 02:00 (01:00 UTC).
	int64_t spring = utc(2027, 3, 28, 1, 0, 0), autumn = utc(2027, 10, 31, 1, 0, 0);
	CHECK_INT(next("30 2 * * *", berlin, spring - 3600), spring);             // inside the gap: at its end
	CHECK_INT(next("30 2 * * *", berlin, spring), spring + 23 * 3600 + 1800); // and once
	CHECK_INT(next("30 2,3 * * *", berlin, spring - 3600), spring);
	CHECK_INT(next("30 2,3 * * *", berlin, spring), spring + 1800);
	CHECK_INT(next("*/30 * * * *", berlin, spring - 1), spring);
	CHECK_INT(next("30 * * * *", berlin, spring - 1800), spring + 1800); // 02:30 does not exist, 03:30 does
	CHECK_INT(next("30 2 * * *", berlin, autumn - 7200), autumn - 1800); // the first 02:30
	CHECK_INT(next("30 2 * * *", berlin, autumn - 1800), autumn - 1800 + 25 * 3600);
	CHECK_INT(next("30 * * * *", berlin, autumn - 1800), autumn + 1800); // both
	CHECK_INT(next("0 3 * * *", berlin, autumn - 7200), autumn + 3600);
	ms_arena_fini(&arena);
}

// --- Against a slow reference -------------------------------------------------------------------------------

static bool matches(const struct cron *c, int64_t local)
{
	struct civil t = ms_civil_of(local);
	bool any_day = c->any_day || c->any_weekday;
	bool day = (c->days >> t.day & 1) != 0, weekday = (c->weekdays >> t.weekday & 1) != 0;
	return (c->seconds >> t.second & 1) != 0 && (c->minutes >> t.minute & 1) != 0 &&
	       (c->hours >> t.hour & 1) != 0 && (c->months >> t.month & 1) != 0 &&
	       (any_day ? day && weekday : day || weekday);
}

static int64_t offset_at(const struct zone *zone, int64_t at)
{
	struct zone_period p;
	ms_zone_period(zone, at, &p);
	return p.offset;
}

static bool due_at(const struct cron *c, const struct zone *zone, int64_t at)
{
	int64_t offset = offset_at(zone, at), before = offset_at(zone, at - 1);
	if (c->every_hour)
		return matches(c, at + offset);
	for (int64_t gap = at + before; gap < at + offset; gap += 60) {
		if (matches(c, gap))
			return true;
	}
	if (!matches(c, at + offset))
		return false;
	for (int64_t earlier = at - 60; earlier > at - 4 * 3600; earlier -= 60) { // was this local time here before?
		if (earlier + offset_at(zone, earlier) == at + offset)
			return false;
	}
	return true;
}

static void draw_field(struct rand *rand, int min, int max, char *dst, size_t size)
{
	uint64_t kind = ms_rand_below(rand, 5);
	int a = min + (int)ms_rand_below(rand, (uint64_t)(max - min + 1)),
	    b = min + (int)ms_rand_below(rand, (uint64_t)(max - min + 1));
	if (kind == 0)
		snprintf(dst, size, "*");
	else if (kind == 1)
		snprintf(dst, size, "%d", a);
	else if (kind == 2)
		snprintf(dst, size, "%d-%d", MS_MIN(a, b), MS_MAX(a, b));
	else if (kind == 3)
		snprintf(dst, size, "*/%d", 1 + (int)ms_rand_below(rand, 12));
	else
		snprintf(dst, size, "%d,%d", a, b);
}

TEST(next_times_are_those_of_a_slow_reference)
{
	static const char *const names[] = {
		"UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Sao_Paulo", "Asia/Tehran"};
	struct arena arena;
	struct rand rand = {.state = 7};
	ms_arena_init(&arena, 4096, 1 << 22);
	for (int i = 0; i < 600; i++) {
		const struct zone *zone = load(names[ms_rand_below(&rand, MS_ARRAY_LEN(names))], &arena);
		char f[5][32], line[192];
		struct cron cron;
		struct errinfo info;
		struct zone_period p;
		draw_field(&rand, 0, 59, f[0], sizeof(f[0]));
		draw_field(&rand, 0, 5, f[1], sizeof(f[1])); // where clocks are changed
		draw_field(&rand, 1, 31, f[2], sizeof(f[2]));
		snprintf(f[3], sizeof(f[3]), "*");
		draw_field(&rand, 0, 6, f[4], sizeof(f[4]));
		snprintf(line, sizeof(line), "%s %s %s %s %s", f[0], f[1], ms_rand_below(&rand, 2) != 0 ? "*" : f[2],
			 f[3], ms_rand_below(&rand, 2) != 0 ? "*" : f[4]);
		ms_errinfo_init(&info);
		CHECK_OK(ms_cron_parse(ms_slice_cstr(line), &info, &cron));
		int64_t at = 946684800 + (int64_t)ms_rand_below(&rand, 600000000) / 60 * 60;
		ms_zone_period(zone, at, &p);
		if (p.to != INT64_MAX && p.to < 4000000000LL)
			at = p.to / 60 * 60 - 4 * 3600; // a change lies ahead
		int64_t end = at + 10 * DAY_SECONDS;
		while (at < end) {
			int64_t due, want = at + 60;
			CHECK(ms_cron_next(&cron, zone, at, &due));
			while (want < end && !due_at(&cron, zone, want))
				want += 60;
			if (want < end && due != want)
				printf("# %s\n", line);
			if (want < end)
				CHECK_INT(due, want);
			else
				CHECK(due >= end);
			at = MS_MAX(want, at + 60);
			if (ms_rand_below(&rand, 8) == 0)
				at += 3 * 3600;
		}
	}
	ms_arena_fini(&arena);
}
