// SPDX-License-Identifier: Apache-2.0
#include "tasks/zone.h"

#include "tasks/calendar.h"

#define TRANSITIONS_MAX 4096
#define TYPES_MAX 256
#define HEADER_BYTES 44
#define OFFSET_MAX (26 * 3600) // beyond is no zone of this earth

// --- Rules of the footer (POSIX TZ, section 8.3, with the hours of RFC 9636 section 3.3.1) ------------

enum rule_kind { RULE_MONTH_WEEK_DAY, RULE_JULIAN /* 1 to 365, no 29 February */, RULE_DAY /* 0 to 365 */ };
struct rule {
	enum rule_kind kind;
	int month, week, day;
	int64_t time; // seconds after midnight of the old offset's local time; may be negative or more than a day
};

struct zone {
	const int64_t *times; // of the transitions, ascending
	const uint8_t *types; // after each
	size_t count;
	const int64_t *offsets; // of each type
	int64_t first;          // before the first transition
	bool has_footer, has_dst;
	int64_t standard, summer;
	struct rule begin, end; // of summer time
};

static const struct zone utc = {.has_footer = true};

const struct zone *ms_zone_utc(void)
{
	return &utc;
}

bool ms_zone_name_ok(struct slice name)
{
	if (name.n == 0 || name.n > MS_ZONE_NAME_MAX)
		return false;
	char before = '/';
	for (size_t i = 0; i < name.n; i++) {
		char c = name.p[i];
		bool letter = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
		if (!letter && c != '_' && c != '-' && c != '+' && c != '/')
			return false;
		if (c == '/' && before == '/')
			return false;
		before = c;
	}
	return before != '/';
}

struct cursor {
	struct slice rest;
	bool ok;
};

static bool take_char(struct cursor *c, char wanted)
{
	if (c->rest.n == 0 || c->rest.p[0] != wanted)
		return false;
	c->rest = ms_slice_sub(c->rest, 1, SIZE_MAX);
	return true;
}

static int64_t take_number(struct cursor *c, int64_t min, int64_t max)
{
	int64_t value = 0;
	size_t n = 0;
	for (; n < c->rest.n && n < 5 && c->rest.p[n] >= '0' && c->rest.p[n] <= '9'; n++)
		value = value * 10 + (c->rest.p[n] - '0');
	c->ok &= n > 0 && value >= min && value <= max;
	c->rest = ms_slice_sub(c->rest, n, SIZE_MAX);
	return value;
}

// [+-]hh[:mm[:ss]]
static int64_t take_time(struct cursor *c, int64_t max_hours)
{
	bool minus = take_char(c, '-');
	if (!minus)
		(void)take_char(c, '+');
	int64_t value = take_number(c, 0, max_hours) * 3600;
	if (take_char(c, ':'))
		value += take_number(c, 0, 59) * 60;
	if (take_char(c, ':'))
		value += take_number(c, 0, 59);
	return minus ? -value : value;
}

// The name of a zone's time: three or more letters, or anything between < and >.
static void skip_name(struct cursor *c)
{
	size_t n = 0;
	if (take_char(c, '<')) {
		n = ms_slice_find(c->rest, '>');
		c->ok &= n < c->rest.n;
		c->rest = ms_slice_sub(c->rest, n + 1, SIZE_MAX);
		return;
	}
	while (n < c->rest.n && ((c->rest.p[n] | 0x20) >= 'a' && (c->rest.p[n] | 0x20) <= 'z'))
		n++;
	c->ok &= n >= 3;
	c->rest = ms_slice_sub(c->rest, n, SIZE_MAX);
}

static struct rule take_rule(struct cursor *c)
{
	struct rule r = {.time = 2 * 3600};
	if (take_char(c, 'M')) {
		r.month = (int)take_number(c, 1, 12);
		c->ok &= take_char(c, '.');
		r.week = (int)take_number(c, 1, 5);
		c->ok &= take_char(c, '.');
		r.day = (int)take_number(c, 0, 6);
	} else if (take_char(c, 'J')) {
		r.kind = RULE_JULIAN;
		r.day = (int)take_number(c, 1, 365);
	} else {
		r.kind = RULE_DAY;
		r.day = (int)take_number(c, 0, 365);
	}
	if (take_char(c, '/'))
		r.time = take_time(c, 167);
	return r;
}

static bool read_footer(struct slice text, struct zone *zone)
{
	struct cursor c = {.rest = text, .ok = true};
	if (text.n == 0)
		return true; // the last transition is for ever
	skip_name(&c);
	zone->standard = -take_time(&c, 24); // POSIX counts westwards
	zone->summer = zone->standard + 3600;
	zone->has_footer = true;
	if (!c.ok || c.rest.n == 0)
		return c.ok;
	zone->has_dst = true;
	skip_name(&c);
	if (c.rest.n > 0 && c.rest.p[0] != ',')
		zone->summer = -take_time(&c, 24);
	c.ok &= take_char(&c, ',');
	zone->begin = take_rule(&c);
	c.ok &= take_char(&c, ',');
	zone->end = take_rule(&c);
	return c.ok && c.rest.n == 0;
}

// Local seconds at which the rule takes effect in that year.
static int64_t rule_seconds(const struct rule *r, int64_t year)
{
	int64_t day = 0;
	if (r->kind == RULE_MONTH_WEEK_DAY) {
		int64_t first = ms_civil_days(year, r->month, 1);
		int weekday = (int)(((first + 4) % 7 + 7) % 7);
		int of_month = 1 + (r->day - weekday + 7) % 7 + 7 * (r->week - 1);
		while (of_month > ms_civil_month_days(year, r->month)) // week 5 is the last one
			of_month -= 7;
		day = first + of_month - 1;
	} else {
		day = ms_civil_days(year, 1, 1) + r->day - (r->kind == RULE_JULIAN);
		if (r->kind == RULE_JULIAN && r->day >= 60 && ms_civil_month_days(year, 2) == 29)
			day++;
	}
	return day * DAY_SECONDS + r->time;
}

// --- The file ----------------------------------------------------------------------------------------

static uint32_t be32(const char *p)
{
	const unsigned char *b = (const unsigned char *)p;
	return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

static int64_t be64(const char *p)
{
	return (int64_t)((uint64_t)be32(p) << 32 | be32(p + 4));
}

struct header {
	uint32_t isut, isstd, leap, times, types, chars;
};

static bool read_header(struct slice bytes, struct header *h)
{
	if (bytes.n < HEADER_BYTES || memcmp(bytes.p, "TZif", 4) != 0 || bytes.p[4] < '2')
		return false;
	*h = (struct header){.isut = be32(bytes.p + 20),
			     .isstd = be32(bytes.p + 24),
			     .leap = be32(bytes.p + 28),
			     .times = be32(bytes.p + 32),
			     .types = be32(bytes.p + 36),
			     .chars = be32(bytes.p + 40)};
	return h->times <= TRANSITIONS_MAX && h->types >= 1 && h->types <= TYPES_MAX && h->chars <= 65536 &&
	       h->leap <= 65536 && h->isut <= TYPES_MAX && h->isstd <= TYPES_MAX;
}

static size_t block_bytes(const struct header *h, size_t time_bytes)
{
	return h->times * (time_bytes + 1) + h->types * 6 + h->chars + h->leap * (time_bytes + 4) + h->isstd + h->isut;
}

static bool read_block(struct slice bytes, const struct header *h, struct arena *arena, struct zone *zone)
{
	int64_t *times = ms_arena_alloc(arena, MS_MAX(h->times, 1u) * sizeof(*times));
	int64_t *offsets = ms_arena_alloc(arena, h->types * sizeof(*offsets));
	uint8_t *types = ms_arena_alloc(arena, MS_MAX(h->times, 1u));
	if (times == NULL || offsets == NULL || types == NULL)
		return false;
	const char *p = bytes.p;
	for (uint32_t i = 0; i < h->times; i++, p += 8) {
		times[i] = be64(p);
		if (i > 0 && times[i] <= times[i - 1])
			return false;
	}
	for (uint32_t i = 0; i < h->times; i++, p++) {
		types[i] = (uint8_t)*p;
		if (types[i] >= h->types)
			return false;
	}
	for (uint32_t i = 0; i < h->types; i++, p += 6) {
		offsets[i] = (int32_t)be32(p);
		if (offsets[i] < -OFFSET_MAX || offsets[i] > OFFSET_MAX)
			return false;
	}
	zone->times = times;
	zone->types = types;
	zone->offsets = offsets;
	zone->count = h->times;
	zone->first = offsets[0];
	return true;
}

enum ms_err ms_zone_parse(struct slice bytes, struct arena *arena, struct errinfo *info, const struct zone **ret_zone)
{
	struct header h;
	struct zone *zone = ms_arena_alloc(arena, sizeof(*zone));
	if (zone == NULL)
		return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory");
	*zone = (struct zone){0};
	// The first block is for readers of 32-bit times; the second, behind it, holds all.
	bool ok = read_header(bytes, &h);
	if (ok)
		bytes = ms_slice_sub(bytes, HEADER_BYTES + block_bytes(&h, 4), SIZE_MAX);
	ok = ok && read_header(bytes, &h);
	if (ok)
		bytes = ms_slice_sub(bytes, HEADER_BYTES, SIZE_MAX);
	size_t size = ok ? block_bytes(&h, 8) : 0;
	ok = ok && bytes.n >= size + 2 && bytes.p[size] == '\n' && bytes.p[bytes.n - 1] == '\n' &&
	     read_block(bytes, &h, arena, zone) && read_footer(ms_slice(bytes.p + size + 1, bytes.n - size - 2), zone);
	if (!ok)
		return ms_fail(info, MS_ERR_INVALID,
			       "this is no time zone file (TZif version 2 or later), or a broken one");
	*ret_zone = zone;
	return MS_OK;
}

// --- Looking up --------------------------------------------------------------------------------------

// By the footer: the changes of the years around, in order.
static void period_by_rules(const struct zone *zone, int64_t unix_s, struct zone_period *p)
{
	int64_t floor = zone->count > 0 ? zone->times[zone->count - 1] : INT64_MIN;
	*p = (struct zone_period){.from = floor, .to = INT64_MAX, .offset = zone->standard};
	if (!zone->has_dst)
		return;
	int64_t year = ms_civil_of(unix_s).year;
	for (int64_t y = year - 1; y <= year + 1; y++) {
		struct change {
			int64_t at, offset;
		} changes[2] = {{rule_seconds(&zone->begin, y) - zone->standard, zone->summer},
				{rule_seconds(&zone->end, y) - zone->summer, zone->standard}};
		if (changes[0].at > changes[1].at) { // the south
			struct change first = changes[1];
			changes[1] = changes[0];
			changes[0] = first;
		}
		for (size_t i = 0; i < 2; i++) {
			if (changes[i].at <= unix_s) {
				p->from = MS_MAX(changes[i].at, floor);
				p->offset = changes[i].offset;
			} else if (changes[i].at < p->to) {
				p->to = changes[i].at;
			}
		}
	}
}

void ms_zone_period(const struct zone *zone, int64_t unix_s, struct zone_period *p)
{
	size_t low = 0, high = zone->count; // transitions at or before unix_s: [0, low)
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (zone->times[middle] <= unix_s)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == zone->count && zone->has_footer) {
		period_by_rules(zone, unix_s, p);
		return;
	}
	*p = (struct zone_period){.from = low > 0 ? zone->times[low - 1] : INT64_MIN,
				  .to = low < zone->count ? zone->times[low] : INT64_MAX,
				  .offset = low > 0 ? zone->offsets[zone->types[low - 1]] : zone->first};
}
