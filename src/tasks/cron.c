// SPDX-License-Identifier: Apache-2.0
#include "tasks/cron.h"

#include <stdio.h>

#include "tasks/calendar.h"

#define CRON_MAX 256
#define YEARS_MAX 40 // 29 February on a given weekday comes every 28 years, and 2100 has none

// --- Reading -----------------------------------------------------------------------------------------

struct cron_field {
	const char *name;
	int min, max;
	const char *names; // three letters each, from min on; or NULL
};
enum { FIELD_SECOND, FIELD_MINUTE, FIELD_HOUR, FIELD_DAY, FIELD_MONTH, FIELD_WEEKDAY, FIELD_COUNT };
static const struct cron_field fields[FIELD_COUNT] = {
	[FIELD_SECOND] = {"second", 0, 59, NULL},
	[FIELD_MINUTE] = {"minute", 0, 59, NULL},
	[FIELD_HOUR] = {"hour", 0, 23, NULL},
	[FIELD_DAY] = {"day of month", 1, 31, NULL},
	[FIELD_MONTH] = {"month", 1, 12, "JANFEBMARAPRMAYJUNJULAUGSEPOCTNOVDEC"},
	[FIELD_WEEKDAY] = {"day of week", 0, 7, "SUNMONTUEWEDTHUFRISAT"},
};
static const struct {
	const char *name, *line;
} nicknames[] = {{"@yearly", "0 0 1 1 *"}, {"@annually", "0 0 1 1 *"}, {"@monthly", "0 0 1 * *"},
		 {"@weekly", "0 0 * * 0"}, {"@daily", "0 0 * * *"},    {"@midnight", "0 0 * * *"},
		 {"@hourly", "0 * * * *"}};

struct reader {
	struct cron *cron;
	struct errinfo *info;
	int field;
	uint64_t bits;
};

static enum ms_err bad(const struct reader *r, struct slice part, const char *why)
{
	const struct cron_field *f = &fields[r->field];
	return ms_fail(r->info, MS_ERR_INVALID, "cron: %s \"%.*s\": %s (%d to %d%s, lists 1,2, ranges 1-5, steps */5)",
		       f->name, MS_SLICE_ARG(ms_slice_sub(part, 0, 64)), why, f->min, f->max,
		       f->names != NULL ? ", names like MON or JAN" : "");
}

static bool value_of(const struct cron_field *f, struct slice text, int *ret_value)
{
	uint64_t number;
	if (ms_slice_to_u64(text, &number)) {
		*ret_value = (int)MS_MIN(number, (uint64_t)1000);
		return number >= (uint64_t)f->min && number <= (uint64_t)f->max;
	}
	for (size_t i = 0; f->names != NULL && f->names[3 * i] != '\0'; i++) {
		if (ms_slice_eq_nocase(text, ms_slice(f->names + 3 * i, 3))) {
			*ret_value = f->min + (int)i;
			return true;
		}
	}
	return false;
}

static bool is_star(struct slice text)
{
	return ms_slice_eq_cstr(text, "*") || ms_slice_eq_cstr(text, "?");
}

// 5L and 5#2. True when it is one of them, right or wrong.
static bool read_weekday_of_month(struct reader *r, struct slice part, enum ms_err *ret_err)
{
	struct cron *c = r->cron;
	size_t hash = ms_slice_find(part, '#');
	int day;
	uint64_t nth;
	if (r->field != FIELD_WEEKDAY)
		return false;
	if (hash < part.n) {
		bool ok = value_of(&fields[r->field], ms_slice_sub(part, 0, hash), &day) &&
			  ms_slice_to_u64(ms_slice_sub(part, hash + 1, SIZE_MAX), &nth) && nth >= 1 && nth <= 5;
		*ret_err = ok ? MS_OK : bad(r, part, "after # stands which one of the month, 1 to 5");
		if (ok)
			c->nth_weekdays[nth - 1] |= (uint8_t)(1u << day % 7);
		return true;
	}
	if (part.n < 2 || (part.p[part.n - 1] | 0x20) != 'l' ||
	    !value_of(&fields[r->field], ms_slice_sub(part, 0, part.n - 1), &day))
		return false;
	c->last_weekdays |= (uint8_t)(1u << day % 7);
	*ret_err = MS_OK;
	return true;
}

static enum ms_err read_range(struct reader *r, struct slice part)
{
	const struct cron_field *f = &fields[r->field];
	struct slice range = part;
	uint64_t step = 1;
	enum ms_err err;
	if (r->field == FIELD_DAY && ms_slice_eq_nocase(part, MS_SLICE_LIT("L"))) {
		r->cron->last_day = true;
		return MS_OK;
	}
	if (read_weekday_of_month(r, part, &err))
		return err;
	size_t slash = ms_slice_find(part, '/');
	if (slash < part.n) {
		range = ms_slice_sub(part, 0, slash);
		if (!ms_slice_to_u64(ms_slice_sub(part, slash + 1, SIZE_MAX), &step) || step < 1 || step > 1000)
			return bad(r, part, "after / stands a step of 1 or more");
	}
	int from = f->min, to = f->max;
	if (!is_star(range)) {
		size_t dash = ms_slice_find(range, '-');
		if (!value_of(f, ms_slice_sub(range, 0, dash), &from))
			return bad(r, part, "not a value of this field");
		to = slash < part.n && dash == range.n ? f->max : from; // 5/15 is 5-59/15
		if (dash < range.n && !value_of(f, ms_slice_sub(range, dash + 1, SIZE_MAX), &to))
			return bad(r, part, "not a value of this field");
		if (from > to)
			return bad(r, part, "the range goes backwards");
	} else if (r->field == FIELD_WEEKDAY) {
		to = 6;
	}
	for (int i = from; i <= to; i += (int)step)
		r->bits |= 1ULL << i;
	return MS_OK;
}

static enum ms_err read_field(struct reader *r, struct slice text)
{
	struct slice rest = text, part;
	r->bits = 0;
	while (ms_slice_next(&rest, ',', &part)) {
		if (part.n == 0)
			return bad(r, text, "a part of the list is empty");
		MS_TRY(read_range(r, part));
	}
	return MS_OK;
}

static void keep_field(struct cron *c, int field, uint64_t bits, struct slice text)
{
	switch (field) {
	case FIELD_SECOND:
		c->seconds = bits;
		break;
	case FIELD_MINUTE:
		c->minutes = bits;
		break;
	case FIELD_HOUR:
		c->hours = (uint32_t)bits;
		c->every_hour = text.p[0] == '*';
		break;
	case FIELD_DAY:
		c->days = (uint32_t)bits;
		c->any_day = is_star(text);
		break;
	case FIELD_MONTH:
		c->months = (uint16_t)bits;
		break;
	default:
		c->weekdays = (uint8_t)((bits & 0x7f) | (bits >> 7 & 1)); // 7 is Sunday too
		c->any_weekday = is_star(text);
		break;
	}
}

static size_t split(struct slice text, struct slice *parts, size_t max)
{
	size_t count = 0;
	for (size_t i = 0; i < text.n;) {
		while (i < text.n && (text.p[i] == ' ' || text.p[i] == '\t'))
			i++;
		size_t from = i;
		while (i < text.n && text.p[i] != ' ' && text.p[i] != '\t')
			i++;
		if (i == from)
			break;
		if (count < max)
			parts[count] = ms_slice_sub(text, from, i - from);
		count++;
	}
	return count;
}

enum ms_err ms_cron_parse(struct slice text, struct errinfo *info, struct cron *c)
{
	struct slice parts[FIELD_COUNT];
	struct slice line = ms_slice_trim(text);
	for (size_t i = 0; i < MS_ARRAY_LEN(nicknames); i++) {
		if (ms_slice_eq_nocase(line, ms_slice_cstr(nicknames[i].name)))
			line = ms_slice_cstr(nicknames[i].line);
	}
	if (text.n > CRON_MAX)
		return ms_fail(info, MS_ERR_INVALID, "cron: the line has more than %d characters", CRON_MAX);
	size_t count = split(line, parts, FIELD_COUNT);
	if (count != FIELD_COUNT && count != FIELD_COUNT - 1)
		return ms_fail(info, MS_ERR_INVALID,
			       "cron: \"%.*s\" has %zu fields; five are right (minute hour day month weekday), or six "
			       "with seconds in "
			       "front, or @daily and the like",
			       MS_SLICE_ARG(ms_slice_sub(line, 0, 64)), count);
	*c = (struct cron){.seconds = 1};
	struct reader r = {.cron = c, .info = info};
	for (size_t i = 0; i < count; i++) {
		r.field = (int)(i + FIELD_COUNT - count);
		MS_TRY(read_field(&r, parts[i]));
		keep_field(c, r.field, r.bits, parts[i]);
	}
	int64_t ignored;
	if (!ms_cron_next(c, ms_zone_utc(), 0, &ignored))
		return ms_fail(info, MS_ERR_INVALID, "cron: \"%.*s\" is never due: no month that is named has that day",
			       MS_SLICE_ARG(line));
	return MS_OK;
}

// --- Next --------------------------------------------------------------------------------------------

static bool by_weekday(const struct cron *c, const struct civil *t)
{
	int nth = (t->day - 1) / 7;
	bool last = t->day + 7 > ms_civil_month_days(t->year, t->month);
	return ((c->weekdays | c->nth_weekdays[nth] | (last ? c->last_weekdays : 0)) >> t->weekday & 1) != 0;
}

static bool day_is_due(const struct cron *c, const struct civil *t)
{
	bool day = (c->days >> t->day & 1) != 0 || (c->last_day && t->day == ms_civil_month_days(t->year, t->month));
	if (c->any_weekday)
		return day;
	return c->any_day ? by_weekday(c, t) : day || by_weekday(c, t);
}

// The lowest bit at or above `from`; -1: none.
static int next_bit(uint64_t bits, int from)
{
	uint64_t rest = from < 64 ? bits >> from << from : 0;
	return rest != 0 ? __builtin_ctzll(rest) : -1;
}

// The first due time of the day at or after the given one; false: none.
static bool time_of_day(const struct cron *c, struct civil *t)
{
	for (int hour = next_bit(c->hours, t->hour); hour >= 0; hour = next_bit(c->hours, hour + 1)) {
		int minute_from = hour == t->hour ? t->minute : 0;
		for (int minute = next_bit(c->minutes, minute_from); minute >= 0;
		     minute = next_bit(c->minutes, minute + 1)) {
			int second = next_bit(c->seconds, hour == t->hour && minute == t->minute ? t->second : 0);
			if (second >= 0) {
				t->hour = hour;
				t->minute = minute;
				t->second = second;
				return true;
			}
		}
	}
	return false;
}

// The first due time at or after `local`, in civil seconds; INT64_MAX when there is none before `limit`.
static int64_t next_local(const struct cron *c, int64_t local, int64_t limit)
{
	struct civil t = ms_civil_of(local);
	for (int64_t day = ms_civil_floor(local, DAY_SECONDS); day * DAY_SECONDS < limit; day++) {
		if (day * DAY_SECONDS > local)
			t = ms_civil_of(day * DAY_SECONDS);
		if ((c->months >> t.month & 1) == 0) { // on to the month's last day
			day += ms_civil_month_days(t.year, t.month) - t.day;
			continue;
		}
		if (day_is_due(c, &t) && time_of_day(c, &t))
			return ms_civil_seconds(&t);
	}
	return INT64_MAX;
}

bool ms_cron_next(const struct cron *c, const struct zone *zone, int64_t after_s, int64_t *ret_s)
{
	int64_t at = after_s + 1, limit = after_s + YEARS_MAX * 366LL * DAY_SECONDS;
	struct zone_period before, now;
	ms_zone_period(zone, at, &now);
	while (at < limit) {
		int64_t local = at + now.offset;
		if (!c->every_hour && now.from != INT64_MIN) {
			ms_zone_period(zone, now.from - 1, &before);
			int64_t new_local = now.from + now.offset, old_local = now.from + before.offset;
			// Times of the gap are due at its end, once; times that come a second time are not.
			if (at == now.from && next_local(c, old_local, limit) < new_local) {
				*ret_s = at;
				return true;
			}
			local = MS_MAX(local, old_local);
		}
		int64_t end = now.to == INT64_MAX ? limit : MS_MIN(now.to, limit);
		int64_t due = next_local(c, local, end + now.offset);
		if (due < end + now.offset) {
			*ret_s = due - now.offset;
			return true;
		}
		at = end;
		ms_zone_period(zone, at, &now);
	}
	return false;
}
