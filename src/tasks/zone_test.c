// SPDX-License-Identifier: Apache-2.0
// Against the C library's own reading of the same files.
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "rt/rt.h"
#include "tasks/calendar.h"
#include "tasks/zone.h"
#include "tests/lib/test.h"

static const char *const names[] = {"UTC",
				    "Europe/Berlin",
				    "Europe/Dublin",
				    "America/New_York",
				    "America/Sao_Paulo",
				    "America/St_Johns",
				    "Asia/Kathmandu",
				    "Asia/Tehran",
				    "Australia/Lord_Howe",
				    "Pacific/Apia",
				    "Pacific/Chatham",
				    "Africa/Casablanca",
				    "Africa/El_Aaiun",
				    "America/Scoresbysund",
				    "Asia/Gaza",
				    "America/Santiago",
				    "Antarctica/Troll",
				    "Asia/Tokyo",
				    "America/Nuuk",
				    "Europe/Lisbon",
				    "Etc/GMT+12",
				    "Pacific/Kiritimati"};

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

static void check_instant(const struct zone *zone, int64_t at)
{
	struct zone_period p;
	struct tm tm;
	time_t t = (time_t)at;
	ms_zone_period(zone, at, &p);
	CHECK(p.from <= at && at < p.to);
	CHECK(localtime_r(&t, &tm) != NULL);
	CHECK_INT(p.offset, tm.tm_gmtoff);
	struct civil c = ms_civil_of(at + p.offset);
	CHECK(c.year == tm.tm_year + 1900 && c.month == tm.tm_mon + 1 && c.day == tm.tm_mday);
	CHECK(c.hour == tm.tm_hour && c.minute == tm.tm_min && c.second == tm.tm_sec && c.weekday == tm.tm_wday);
	CHECK_INT(ms_civil_seconds(&c), at + p.offset);
}

TEST(offsets_are_those_of_the_c_library)
{
	struct arena arena;
	struct rand rand = {.state = 1};
	ms_arena_init(&arena, 4096, 1 << 24);
	for (size_t i = 0; i < MS_ARRAY_LEN(names); i++) {
		const struct zone *zone = load(names[i], &arena);
		setenv("TZ", names[i], 1);
		tzset();
		for (int k = 0; k < 2000; k++)
			check_instant(zone, (int64_t)(ms_rand_u64(&rand) % 8000000000ULL) - 2000000000);
		// Around every change of the next decades.
		struct zone_period p;
		for (int64_t at = 0; at < 4000000000LL; at = p.to) {
			ms_zone_period(zone, at, &p);
			if (p.to == INT64_MAX)
				break;
			check_instant(zone, p.to - 1);
			check_instant(zone, p.to);
		}
	}
	unsetenv("TZ");
	tzset();
	ms_arena_fini(&arena);
}

TEST(broken_files_are_refused)
{
	struct arena arena;
	struct slice bytes;
	struct errinfo info;
	const struct zone *zone;
	struct zone_period p;
	struct rand rand = {.state = 1};
	ms_arena_init(&arena, 4096, 1 << 24);
	ms_errinfo_init(&info);
	CHECK(ms_file_read("/usr/share/zoneinfo/Europe/Berlin", 1 << 20, &info, &bytes) == MS_OK);
	for (size_t n = 0; n < bytes.n; n++) {
		struct arena_mark mark = ms_arena_mark(&arena);
		ms_errinfo_init(&info);
		CHECK(ms_zone_parse(ms_slice(bytes.p, n), &arena, &info, &zone) == MS_ERR_INVALID);
		ms_arena_rewind(&arena, mark);
	}
	char *changed = malloc(bytes.n);
	CHECK(changed != NULL);
	for (int i = 0; i < 20000; i++) {
		struct arena_mark mark = ms_arena_mark(&arena);
		memcpy(changed, bytes.p, bytes.n);
		for (int k = 0; k < 3; k++)
			changed[ms_rand_u64(&rand) % bytes.n] = (char)ms_rand_u64(&rand);
		ms_errinfo_init(&info);
		if (ms_zone_parse(ms_slice(changed, bytes.n), &arena, &info, &zone) == MS_OK)
			ms_zone_period(zone, (int64_t)(ms_rand_u64(&rand) % 8000000000ULL) - 2000000000, &p);
		ms_arena_rewind(&arena, mark);
	}
	free(changed);
	free((void *)(uintptr_t)bytes.p);
	ms_arena_fini(&arena);
}

TEST(names_of_zones_stay_in_their_folder)
{
	static const char *const good[] = {"UTC", "Europe/Berlin", "America/Argentina/Buenos_Aires", "Etc/GMT+3",
					   "America/Port-au-Prince"};
	static const char *const bad_names[] = {
		"", "/", "/etc/passwd", "..", "../x", "Europe/", "Europe//Berlin", "Europe/.Berlin", "a b", "x\n"};
	for (size_t i = 0; i < MS_ARRAY_LEN(good); i++)
		CHECK(ms_zone_name_ok(ms_slice_cstr(good[i])));
	for (size_t i = 0; i < MS_ARRAY_LEN(bad_names); i++)
		CHECK(!ms_zone_name_ok(ms_slice_cstr(bad_names[i])));
}
