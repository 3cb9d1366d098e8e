// SPDX-License-Identifier: Apache-2.0
#include "cache/quota.h"

#define MS_PER_DAY 86400000

static uint64_t common_divisor(uint64_t a, uint64_t b)
{
	while (b != 0) {
		uint64_t rest = a % b;
		a = b;
		b = rest;
	}
	return a;
}

static enum ms_err make_bucket(const struct cache_quota *q, struct errinfo *info, struct meter *m)
{
	if (q->burst == 0 || q->burst > QUOTA_LIMIT_MAX)
		return ms_fail(info, MS_ERR_INVALID, "the burst of a limit must be 1 to 2^40");
	*m = (struct meter){.kind = q->kind, .limit = q->burst, .period = q->period_ms, .rate = q->limit};
	if (!MS_MUL_OVERFLOWS(m->period, m->limit, &m->room) && m->room <= QUOTA_ROOM_MAX)
		return MS_OK;
	uint64_t divisor = common_divisor(m->period, m->rate);
	m->period /= divisor;
	m->rate /= divisor;
	if (!MS_MUL_OVERFLOWS(m->period, m->limit, &m->room) && m->room <= QUOTA_ROOM_MAX)
		return MS_OK;
	return ms_fail(info, MS_ERR_LIMIT, "burst and period of a limit are too large together");
}

enum ms_err ms_meter_make(const struct cache_quota *q, struct errinfo *info, struct meter *ret_meter)
{
	bool calendar = q->kind == QUOTA_MONTH || q->kind == QUOTA_YEAR;
	if (q->limit == 0 || q->limit > QUOTA_LIMIT_MAX)
		return ms_fail(info, MS_ERR_INVALID, "a limit must be 1 to 2^40");
	if (!calendar && (q->period_ms == 0 || q->period_ms > QUOTA_PERIOD_MAX))
		return ms_fail(info, MS_ERR_INVALID, "the period of a limit must be 1 to 2^43 ms");
	if (q->kind == QUOTA_GCRA)
		return make_bucket(q, info, ret_meter);
	if (!calendar && q->kind != QUOTA_WINDOW)
		return ms_fail(info, MS_ERR_INVALID, "there is no such kind of limit");
	*ret_meter = (struct meter){.kind = q->kind, .limit = q->limit, .period = calendar ? 0 : q->period_ms};
	return MS_OK;
}

// --- The calendar ------------------------------------------------------------------------------------
// Days of the proleptic Gregorian calendar, counted in years that begin in March, so that the leap day comes last.

static int64_t days_before_month(int64_t year, int64_t month)
{
	year -= month <= 2;
	int64_t era = year / 400, year_of_era = year - era * 400;
	int64_t day_of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5;
	return era * 146097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719468;
}

void ms_quota_calendar(enum quota_kind kind, int64_t now_ms, int64_t *ret_start, int64_t *ret_end)
{
	int64_t days = (now_ms > 0 ? now_ms : 0) / MS_PER_DAY + 719468;
	int64_t era = days / 146097, day_of_era = days - era * 146097;
	int64_t year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
	int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
	int64_t shifted = (5 * day_of_year + 2) / 153;
	int64_t month = shifted < 10 ? shifted + 3 : shifted - 9;
	int64_t year = year_of_era + era * 400 + (month <= 2);
	int64_t next_year = year + 1, next_month = 1;
	if (kind == QUOTA_YEAR) {
		month = 1;
	} else if (month < 12) {
		next_year = year;
		next_month = month + 1;
	}
	*ret_start = days_before_month(year, month) * MS_PER_DAY;
	*ret_end = days_before_month(next_year, next_month) * MS_PER_DAY;
}

// --- Steps -------------------------------------------------------------------------------------------

static void window_of(const struct meter *m, int64_t at, int64_t *ret_start, int64_t *ret_end)
{
	if (m->kind != QUOTA_WINDOW) {
		ms_quota_calendar(m->kind, at, ret_start, ret_end);
		return;
	}
	int64_t period = (int64_t)m->period;
	*ret_start = at - at % period;
	*ret_end = *ret_start + period;
}

// The state at `now`; returns the end of the window, or for a bucket the time that its level is of. A clock that
// went back finds a state of later: that one stays until the clock is there again.
static int64_t bring_up(const struct meter *m, struct meter_state *s, int64_t now)
{
	if (m->kind == QUOTA_GCRA) {
		uint64_t drained = 0;
		int64_t at = s->known && s->at > now ? s->at : now;
		if (!s->known || MS_MUL_OVERFLOWS((uint64_t)(at - s->at), m->rate, &drained) || drained >= s->used)
			*s = (struct meter_state){.at = at};
		else
			*s = (struct meter_state){.at = at, .used = s->used - drained};
		s->known = true;
		return at;
	}
	int64_t start, end;
	window_of(m, now, &start, &end);
	if (s->known && s->at > start) {
		window_of(m, s->at, &start, &end);
		s->at = start;
	}
	if (!s->known || s->at < start)
		*s = (struct meter_state){.at = start, .known = true};
	return end;
}

static bool fits(const struct meter *m, const struct meter_state *s, uint64_t cost)
{
	if (cost > m->limit)
		return false;
	if (m->kind == QUOTA_GCRA)
		return s->used <= m->room - cost * m->period;
	return s->used <= m->limit - cost;
}

static uint64_t divide_up(uint64_t a, uint64_t b)
{
	return a / b + (a % b != 0);
}

static struct quota_result tell(const struct meter *m, const struct meter_state *s, bool fit, uint64_t cost,
				int64_t mark, int64_t now)
{
	struct quota_result r = {.remaining = 0};
	uint64_t ahead = (uint64_t)(mark - now);
	if (m->kind != QUOTA_GCRA) {
		r.remaining = s->used < m->limit ? m->limit - s->used : 0;
		r.reset_ms = ahead;
		r.retry_ms = fit ? 0 : ahead;
		return r;
	}
	r.remaining = s->used < m->room ? (m->room - s->used) / m->period : 0;
	r.reset_ms = s->used > 0 ? ahead + divide_up(s->used, m->rate) : 0;
	if (!fit && cost <= m->limit)
		r.retry_ms = ahead + divide_up(s->used - (m->room - cost * m->period), m->rate);
	else if (!fit)
		r.retry_ms = MS_MAX(r.reset_ms, 1U);
	return r;
}

bool ms_meters_take(const struct meter *meters, struct meter_state *states, size_t count, uint64_t cost, int64_t now_ms,
		    struct quota_result *ret_results, uint64_t *ret_keep_ms)
{
	int64_t marks[MS_CACHE_QUOTAS_MAX], now = now_ms > 0 ? now_ms : 0;
	bool fit[MS_CACHE_QUOTAS_MAX], admitted = true;
	MS_ASSERT(count > 0 && count <= MS_CACHE_QUOTAS_MAX);
	for (size_t i = 0; i < count; i++) {
		marks[i] = bring_up(&meters[i], &states[i], now);
		fit[i] = fits(&meters[i], &states[i], cost);
		admitted &= fit[i];
	}
	*ret_keep_ms = 1;
	for (size_t i = 0; i < count; i++) {
		if (admitted)
			states[i].used += meters[i].kind == QUOTA_GCRA ? cost * meters[i].period : cost;
		ret_results[i] = tell(&meters[i], &states[i], fit[i], cost, marks[i], now);
		*ret_keep_ms = MS_MAX(*ret_keep_ms, ret_results[i].reset_ms);
	}
	return admitted;
}
