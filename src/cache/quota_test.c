// SPDX-License-Identifier: Apache-2.0
// Limits against a model that is written another way: it keeps what was admitted, and asks libc for the calendar.
#include <stdio.h>
#include <time.h>

#include "cache/cache_test_kit.h"

#define KEYS 12
#define DAY ((int64_t)86400000)

// --- The calendar ------------------------------------------------------------------------------------

static int64_t start_of(int year, int month)
{
	struct tm tm = {.tm_year = year - 1900, .tm_mon = month, .tm_mday = 1};
	return (int64_t)timegm(&tm) * 1000;
}

static void check_calendar(int64_t now)
{
	time_t seconds = (time_t)(now / 1000);
	struct tm tm;
	int64_t start, end;
	gmtime_r(&seconds, &tm);
	ms_quota_calendar(QUOTA_MONTH, now, &start, &end);
	CHECK_INT(start, start_of(tm.tm_year + 1900, tm.tm_mon));
	CHECK_INT(end, start_of(tm.tm_year + 1900, tm.tm_mon + 1));
	ms_quota_calendar(QUOTA_YEAR, now, &start, &end);
	CHECK_INT(start, start_of(tm.tm_year + 1900, 0));
	CHECK_INT(end, start_of(tm.tm_year + 1901, 0));
}

TEST(months_and_years_are_those_of_the_calendar)
{
	for (int64_t day = 0; day < 366 * 440; day += 1) {
		if (day % 97 == 0 || day < 366 * 5)
			check_calendar(day * DAY);
	}
	for (int year = 1970; year < 2400; year++) {
		for (int month = 0; month < 12; month++) {
			check_calendar(start_of(year, month));
			check_calendar(start_of(year, month + 1) - 1);
		}
	}
}

// --- The model ---------------------------------------------------------------------------------------

struct admitted {
	int64_t window; // its start
	uint64_t cost;
};
struct model {
	struct cache_quota quotas[MS_CACHE_QUOTAS_MAX];
	size_t count;
	struct admitted *log[MS_CACHE_QUOTAS_MAX]; // of windows
	size_t log_n[MS_CACHE_QUOTAS_MAX];
	// GCRA: theoretical arrival time, in ms times limit; and the latest time that was seen by an admitted step.
	__int128 tat[MS_CACHE_QUOTAS_MAX];
	int64_t last[MS_CACHE_QUOTAS_MAX];
};
#define LOG_MAX 4000
static struct admitted logs[KEYS][MS_CACHE_QUOTAS_MAX][LOG_MAX];

static int64_t window_start(const struct cache_quota *q, int64_t at, int64_t *ret_end)
{
	if (q->kind == QUOTA_WINDOW) {
		int64_t start = at / (int64_t)q->period_ms * (int64_t)q->period_ms;
		*ret_end = start + (int64_t)q->period_ms;
		return start;
	}
	time_t seconds = (time_t)(at / 1000);
	struct tm tm;
	gmtime_r(&seconds, &tm);
	bool year = q->kind == QUOTA_YEAR;
	*ret_end = year ? start_of(tm.tm_year + 1901, 0) : start_of(tm.tm_year + 1900, tm.tm_mon + 1);
	return start_of(tm.tm_year + 1900, year ? 0 : tm.tm_mon);
}

// The window that counts now: a later one once something was admitted there.
static int64_t current_window(const struct model *m, size_t i, int64_t now, int64_t *ret_end, uint64_t *ret_used)
{
	int64_t start = window_start(&m->quotas[i], now, ret_end);
	for (size_t k = 0; k < m->log_n[i]; k++) {
		if (m->log[i][k].window > start)
			start = window_start(&m->quotas[i], m->log[i][k].window, ret_end);
	}
	*ret_used = 0;
	for (size_t k = 0; k < m->log_n[i]; k++)
		*ret_used += m->log[i][k].window == start ? m->log[i][k].cost : 0;
	return start;
}

static bool bucket_admits(const struct model *m, size_t i, uint64_t cost, int64_t now)
{
	const struct cache_quota *q = &m->quotas[i];
	__int128 at = (__int128)MS_MAX(now, m->last[i]) * q->limit, tat = MS_MAX(m->tat[i], at);
	return tat + (__int128)cost * q->period_ms <= at + (__int128)q->burst * q->period_ms;
}

static bool admits(const struct model *m, size_t i, uint64_t cost, int64_t now)
{
	int64_t end;
	uint64_t used;
	if (m->quotas[i].kind == QUOTA_GCRA)
		return bucket_admits(m, i, cost, now);
	(void)current_window(m, i, now, &end, &used);
	return used + cost <= m->quotas[i].limit;
}

static void count_in(struct model *m, size_t i, uint64_t cost, int64_t now)
{
	const struct cache_quota *q = &m->quotas[i];
	int64_t end;
	uint64_t used;
	if (q->kind == QUOTA_GCRA) {
		m->last[i] = MS_MAX(now, m->last[i]);
		m->tat[i] = MS_MAX(m->tat[i], (__int128)m->last[i] * q->limit) + (__int128)cost * q->period_ms;
		return;
	}
	int64_t start = current_window(m, i, now, &end, &used);
	REQUIRE(m->log_n[i] < LOG_MAX);
	m->log[i][m->log_n[i]++] = (struct admitted){start, cost};
}

static void check_bucket(const struct model *m, size_t i, const struct quota_result *r, bool fit, uint64_t cost,
			 int64_t now)
{
	const struct cache_quota *q = &m->quotas[i];
	CHECK(bucket_admits(m, i, r->remaining, now) && !bucket_admits(m, i, r->remaining + 1, now));
	CHECK(bucket_admits(m, i, q->burst, now + (int64_t)r->reset_ms));
	CHECK(r->reset_ms == 0 || !bucket_admits(m, i, q->burst, now + (int64_t)r->reset_ms - 1) ||
	      m->tat[i] > (__int128)(now + (int64_t)r->reset_ms - 1) * q->limit);
	if (fit) {
		CHECK_INT(r->retry_ms, 0);
	} else if (cost <= q->burst) {
		CHECK(bucket_admits(m, i, cost, now + (int64_t)r->retry_ms));
		CHECK(!bucket_admits(m, i, cost, now + (int64_t)r->retry_ms - 1));
	} else {
		CHECK_INT(r->retry_ms, MS_MAX(r->reset_ms, 1U));
	}
}

// What the cache said of a step is what the model says; the model takes it too.
static void check_step(struct model *m, const struct cache_op *op, int64_t now)
{
	bool all = true, fit[MS_CACHE_QUOTAS_MAX];
	for (size_t i = 0; i < m->count; i++)
		all &= fit[i] = admits(m, i, op->cost, now);
	CHECK_OK(op->err);
	CHECK_INT(op->admitted, all);
	for (size_t i = 0; i < m->count; i++) {
		const struct cache_quota *q = &m->quotas[i];
		const struct quota_result *r = &op->results[i];
		int64_t end;
		uint64_t used;
		if (all && op->cost > 0)
			count_in(m, i, op->cost, now);
		if (q->kind == QUOTA_GCRA) {
			check_bucket(m, i, r, fit[i], op->cost, now);
			continue;
		}
		(void)current_window(m, i, now, &end, &used);
		CHECK_INT(r->remaining, q->limit - used);
		CHECK_INT(r->reset_ms, end - now);
		CHECK_INT(r->retry_ms, fit[i] ? 0 : end - now);
	}
}

static struct cache_quota draw_quota(struct rand *rand)
{
	static const uint64_t periods[] = {1000, 60000, 3600000, 86400000, 777, 1};
	static const enum quota_kind kinds[] = {QUOTA_WINDOW, QUOTA_MONTH, QUOTA_YEAR,
						QUOTA_GCRA,   QUOTA_GCRA,  QUOTA_WINDOW};
	struct cache_quota q = {.kind = kinds[ms_rand_below(rand, MS_ARRAY_LEN(kinds))],
				.limit = 1 + ms_rand_below(rand, 40),
				.period_ms = periods[ms_rand_below(rand, MS_ARRAY_LEN(periods))],
				.burst = 1 + ms_rand_below(rand, 30)};
	if (ms_rand_below(rand, 8) == 0)
		q.limit = 1 + ms_rand_below(rand, (uint64_t)1 << 40);
	return q;
}

static void draw_model(struct rand *rand, struct model *m, size_t key)
{
	*m = (struct model){.count = 1 + ms_rand_below(rand, MS_CACHE_QUOTAS_MAX)};
	for (size_t i = 0; i < m->count; i++) {
		m->quotas[i] = draw_quota(rand);
		m->log[i] = logs[key][i];
		m->tat[i] = 0;
	}
}

static int64_t draw_step(struct rand *rand)
{
	switch (ms_rand_below(rand, 12)) {
	case 0:
		return (int64_t)ms_rand_below(rand, 40) * DAY;
	case 1:
		return (int64_t)ms_rand_below(rand, 7200000);
	case 2:
		return -(int64_t)ms_rand_below(rand, 5000);
	case 3:
		return -(int64_t)ms_rand_below(rand, 7200000);
	case 4:
		return 0;
	default:
		return (int64_t)ms_rand_below(rand, 1500);
	}
}

CACHE_TEST(limits_are_those_of_the_model)
{
	struct rand *rand = ms_test_rand();
	struct model models[KEYS];
	size_t rounds = ms_test_rounds(f->redis ? 6000 : 30000), admitted = 0;
	int64_t now = (int64_t)1795000000000;
	for (size_t i = 0; i < KEYS; i++)
		draw_model(rand, &models[i], i);
	for (size_t n = 0; n < rounds; n++) {
		size_t key = ms_rand_below(rand, KEYS);
		struct model *m = &models[key];
		char name[16];
		now += draw_step(rand);
		atomic_store(&f->cache->test_now_ms, now);
		snprintf(name, sizeof(name), "key-%zu", key);
		uint64_t cost = ms_rand_below(rand, 4) == 0 ? ms_rand_below(rand, 25) : 1;
		struct cache_op op = ms_cache_test_take(f, name, m->quotas, m->count, cost);
		check_step(m, &op, now);
		admitted += op.admitted && cost > 0;
		for (size_t i = 0; i < m->count; i++) { // windows that are over do not come back
			if (m->log_n[i] > LOG_MAX - 10)
				m->log[i][0] = m->log[i][--m->log_n[i]];
		}
	}
	CHECK(admitted > rounds / 50 && admitted < rounds); // both happened
}

CACHE_TEST(a_clock_that_goes_back_makes_a_window_longer_once)
{
	const struct cache_quota quotas[] = {{.kind = QUOTA_WINDOW, .limit = 2, .period_ms = 60000}};
	const int64_t start = (int64_t)1795000020000 / 60000 * 60000;
	atomic_store(&f->cache->test_now_ms, start + 1000);
	CHECK(ms_cache_test_take(f, "k", quotas, 1, 1).admitted);
	atomic_store(&f->cache->test_now_ms, start - 5000); // the window before
	struct cache_op op = ms_cache_test_take(f, "k", quotas, 1, 1);
	CHECK(op.admitted);
	CHECK_INT(op.results[0].remaining, 0);
	CHECK_INT(op.results[0].reset_ms, 65000);
	op = ms_cache_test_take(f, "k", quotas, 1, 1);
	CHECK(!op.admitted);
	CHECK_INT(op.results[0].retry_ms, 65000);
	atomic_store(&f->cache->test_now_ms, start + 59999);
	CHECK(!ms_cache_test_take(f, "k", quotas, 1, 1).admitted);
	atomic_store(&f->cache->test_now_ms, start + 60000);
	CHECK(ms_cache_test_take(f, "k", quotas, 1, 2).admitted);
}

CACHE_TEST(all_limits_count_or_none)
{
	const struct cache_quota quotas[] = {{.kind = QUOTA_WINDOW, .limit = 5, .period_ms = 1000},
					     {.kind = QUOTA_GCRA, .limit = 1, .period_ms = 100000, .burst = 2},
					     {.kind = QUOTA_MONTH, .limit = 100}};
	atomic_store(&f->cache->test_now_ms, (int64_t)1795000000000);
	CHECK(ms_cache_test_take(f, "k", quotas, 3, 2).admitted);
	struct cache_op op = ms_cache_test_take(f, "k", quotas, 3, 1);
	CHECK(!op.admitted);
	CHECK_INT(op.results[0].remaining, 3);
	CHECK_INT(op.results[0].retry_ms, 0);
	CHECK_INT(op.results[1].remaining, 0);
	CHECK_INT(op.results[1].retry_ms, 100000);
	CHECK_INT(op.results[2].remaining, 98);
	op = ms_cache_test_take(f, "k", quotas, 3, 0); // looks
	CHECK(op.admitted);
	CHECK_INT(op.results[0].remaining, 3);
	// More than there ever is.
	op = ms_cache_test_take(f, "k", quotas, 3, UINT64_MAX);
	CHECK(op.err == MS_OK && !op.admitted);
	CHECK_INT(op.results[1].retry_ms, 200000);
	CHECK_INT(op.results[2].remaining, 98);
}

CACHE_TEST(a_limit_that_changes_keeps_what_was_counted)
{
	struct cache_quota quotas[] = {{.kind = QUOTA_WINDOW, .limit = 5, .period_ms = 60000},
				       {.kind = QUOTA_GCRA, .limit = 1, .period_ms = 1000, .burst = 5}};
	atomic_store(&f->cache->test_now_ms, (int64_t)1795000020000);
	CHECK(ms_cache_test_take(f, "k", quotas, 2, 4).admitted);
	quotas[0].limit = quotas[1].burst = 3;
	struct cache_op op = ms_cache_test_take(f, "k", quotas, 2, 1);
	CHECK(!op.admitted);
	CHECK(op.results[0].remaining == 0 && op.results[1].remaining == 0);
	CHECK_INT(op.results[1].retry_ms, 2000);
	// In another order and number they are found as well.
	struct cache_quota other[] = {quotas[1], quotas[0], {.kind = QUOTA_YEAR, .limit = 1000}};
	other[0].burst = other[1].limit = 10;
	op = ms_cache_test_take(f, "k", other, 3, 2);
	CHECK(op.admitted);
	CHECK(op.results[0].remaining == 4 && op.results[1].remaining == 4 && op.results[2].remaining == 998);
	other[1].period_ms = 3600000; // another window
	op = ms_cache_test_take(f, "k", other, 3, 1);
	CHECK(op.results[0].remaining == 3 && op.results[1].remaining == 9);
}

CACHE_TEST(what_is_no_limit_is_refused)
{
	static const struct {
		struct cache_quota quota;
		enum ms_err err;
	} cases[] = {
		{{.kind = QUOTA_WINDOW, .limit = 0, .period_ms = 1000}, MS_ERR_INVALID},
		{{.kind = QUOTA_WINDOW, .limit = 1, .period_ms = 0}, MS_ERR_INVALID},
		{{.kind = QUOTA_WINDOW, .limit = ((uint64_t)1 << 40) + 1, .period_ms = 1000}, MS_ERR_INVALID},
		{{.kind = QUOTA_GCRA, .limit = 1, .period_ms = 1000, .burst = 0}, MS_ERR_INVALID},
		{{.kind = QUOTA_GCRA, .limit = 7, .period_ms = 86400001, .burst = (uint64_t)1 << 36}, MS_ERR_LIMIT},
		{{.kind = (enum quota_kind)9, .limit = 7, .period_ms = 1}, MS_ERR_INVALID},
		{{.kind = QUOTA_GCRA, .limit = 86400000, .period_ms = 86400000, .burst = (uint64_t)1 << 40}, MS_OK},
	};
	struct errinfo info;
	for (size_t i = 0; i < MS_ARRAY_LEN(cases); i++) {
		CHECK_INT(ms_cache_test_take(f, "k", &cases[i].quota, 1, 1).err, cases[i].err);
		CHECK_INT(ms_cache_check_quota(&cases[i].quota, &info), cases[i].err);
	}
}
