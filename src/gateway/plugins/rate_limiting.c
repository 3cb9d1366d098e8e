// SPDX-License-Identifier: Apache-2.0
// rate-limiting: a request is counted in the same step that decides about it (cache TAKE), so that parallel requests cannot pass together where one may.
#include "cache/cache.h"
#include "crypto/crypto.h"
#include "gateway/address.h"
#include "gateway/plugins/plugins.h"

enum { PERIODS = 6 };
enum limit_by { BY_CONSUMER, BY_CREDENTIAL, BY_IP, BY_SERVICE, BY_HEADER, BY_PATH };
enum policy { POLICY_LOCAL, POLICY_CLUSTER, POLICY_REDIS };
enum algorithm { ALGORITHM_WINDOW, ALGORITHM_GCRA };
enum header_set { HEADERS_BOTH, HEADERS_DRAFT, HEADERS_LEGACY };
#define KEY_PLAIN_MAX 200 // longer identifiers are hashed

struct window {          // a limit that is set
	unsigned period; // index of period_names
	struct slice limit_text;
};
struct config {
	int64_t second, minute, hour, day, month, year; // 0: not set
	int limit_by, policy, algorithm, ratelimit;
	struct slice header_name, path, error_message;
	bool fault_tolerant, hide_client_headers;
	int64_t error_code, burst;
	double sync_rate;
	struct gw_redis redis;
	struct slice redis_host, redis_username, redis_password, redis_server_name; // as older files have it
	int64_t redis_port, redis_timeout, redis_database;
	bool redis_ssl, redis_ssl_verify;
	// compiled
	struct window windows[PERIODS];
	struct cache_quota quotas[PERIODS];
	size_t count;
	struct slice policy_text; // RateLimit-Policy
	const char *message;
};
static const char *const limit_bys[] = {"consumer", "credential", "ip", "service", "header", "path", NULL};
static const char *const policies[] = {"local", "cluster", "redis", NULL};
static const char *const algorithms[] = {"window", "gcra", NULL};
static const char *const header_sets[] = {"both", "draft", "legacy", NULL};
#define LIMIT(member) \
	GW_FIELD(config, member, FIELD_INTEGER, .min = 1, .max = 1099511627776, .help = "Requests in a " #member)
static const struct field fields[] = {
	LIMIT(second),
	LIMIT(minute),
	LIMIT(hour),
	LIMIT(day),
	LIMIT(month),
	LIMIT(year),
	GW_CHOICE(config, limit_by, "\"consumer\"", limit_bys,
		  "Whose requests are counted together; else those of the IP address"),
	GW_STRING(config, header_name, NULL, "Header, for limit_by header"),
	GW_STRING(config, path, NULL, "Path, for limit_by path"),
	GW_CHOICE(config, policy, "\"local\"", policies, "Where requests are counted: in this process, or in Redis"),
	GW_BOOL(config, fault_tolerant, "true", "Let requests pass while Redis cannot be asked"),
	GW_RECORD(config, redis, ms_gw_redis_fields, "Redis of this plugin; without host: that of the process"),
	GW_STRING(config, redis_host, NULL, "Older name of redis.host"),
	GW_INTEGER(config, redis_port, "6379", 1, GW_PORT_MAX, "Older name of redis.port"),
	GW_STRING(config, redis_username, NULL, "Older name of redis.username"),
	GW_FIELD(config, redis_password, FIELD_STRING, .secret = true, .help = "Older name of redis.password"),
	GW_BOOL(config, redis_ssl, "false", "Older name of redis.ssl"),
	GW_BOOL(config, redis_ssl_verify, "false", "Older name of redis.ssl_verify"),
	GW_STRING(config, redis_server_name, NULL, "Older name of redis.server_name"),
	GW_INTEGER(config, redis_timeout, "2000", 1, 2147483646, "Older name of redis.timeout"),
	GW_INTEGER(config, redis_database, "0", 0, 1000000, "Older name of redis.database"),
	GW_BOOL(config, hide_client_headers, "false", "Do not tell clients of their limits"),
	GW_INTEGER(config, error_code, "429", 400, 599, "Status of refusals"),
	GW_STRING(config, error_message, "\"API rate limit exceeded\"", "Message of refusals"),
	GW_NUMBER(config, sync_rate, "-1", -1, 1000000, "Accepted: every request is counted at once here"),
	GW_CHOICE(config, algorithm, "\"window\"", algorithms, "Ours: calendar windows, or evenly with bursts (GCRA)"),
	GW_INTEGER(config, burst, "0", 0, 1099511627776, "Ours: requests at once with gcra; 0: as many as the limit"),
	GW_CHOICE(config, ratelimit, "\"both\"", header_sets,
		  "Ours: RateLimit and RateLimit-Policy (draft), the older headers (legacy)"),
	{0},
};
static const char *const period_names[PERIODS] = {"second", "minute", "hour", "day", "month", "year"};
static const uint64_t period_s[PERIODS] = {1, 60, 3600, 86400, 2592000, 31536000};
static const struct slice limit_names[PERIODS] = {
	MS_SLICE_LIT("X-RateLimit-Limit-Second"), MS_SLICE_LIT("X-RateLimit-Limit-Minute"),
	MS_SLICE_LIT("X-RateLimit-Limit-Hour"),   MS_SLICE_LIT("X-RateLimit-Limit-Day"),
	MS_SLICE_LIT("X-RateLimit-Limit-Month"),  MS_SLICE_LIT("X-RateLimit-Limit-Year"),
};
static const struct slice remaining_names[PERIODS] = {
	MS_SLICE_LIT("X-RateLimit-Remaining-Second"), MS_SLICE_LIT("X-RateLimit-Remaining-Minute"),
	MS_SLICE_LIT("X-RateLimit-Remaining-Hour"),   MS_SLICE_LIT("X-RateLimit-Remaining-Day"),
	MS_SLICE_LIT("X-RateLimit-Remaining-Month"),  MS_SLICE_LIT("X-RateLimit-Remaining-Year"),
};

// --- Headers ---------------------------------------------------------------------------------------------------

static uint64_t seconds(uint64_t ms)
{
	return ms / 1000 + (ms % 1000 != 0);
}

static size_t put_number(char *dst, uint64_t value)
{
	char digits[20];
	size_t n = 0;
	do
		digits[n++] = (char)('0' + value % 10);
	while ((value /= 10) > 0);
	for (size_t i = 0; i < n; i++)
		dst[i] = digits[n - 1 - i];
	return n;
}

static struct slice number(struct gw_request *r, uint64_t value)
{
	char *text = ms_arena_alloc(r->arena, 20);
	return text != NULL ? ms_slice(text, put_number(text, value)) : MS_SLICE_EMPTY;
}

// The one of which the least is left: what counts next.
static size_t tightest(const struct config *c, const struct cache_op *op)
{
	size_t best = 0;
	for (size_t i = 1; i < c->count; i++) {
		if (op->results[i].remaining < op->results[best].remaining)
			best = i;
	}
	return best;
}

// RFC 9651 lists: "minute";r=50;t=30, "day";r=10;t=400
static void say_draft(struct gw_request *r, const struct config *c, const struct cache_op *op)
{
	char *text = ms_arena_alloc(r->arena, PERIODS * 64);
	size_t n = 0;
	if (text == NULL)
		return;
	for (size_t i = 0; i < c->count; i++) {
		const char *name = period_names[c->windows[i].period];
		size_t name_n = strlen(name);
		if (i > 0) {
			text[n++] = ',';
			text[n++] = ' ';
		}
		text[n++] = '"';
		memcpy(text + n, name, name_n);
		n += name_n;
		memcpy(text + n, "\";r=", 4);
		n += 4;
		n += put_number(text + n, op->results[i].remaining);
		memcpy(text + n, ";t=", 3);
		n += 3;
		n += put_number(text + n, seconds(op->results[i].reset_ms));
	}
	ms_gw_extra_set(r, MS_SLICE_LIT("RateLimit-Policy"), c->policy_text);
	ms_gw_extra_set(r, MS_SLICE_LIT("RateLimit"), ms_slice(text, n));
}

static void say_legacy(struct gw_request *r, const struct config *c, const struct cache_op *op)
{
	for (size_t i = 0; i < c->count; i++) {
		unsigned period = c->windows[i].period;
		ms_gw_extra_set(r, limit_names[period], c->windows[i].limit_text);
		ms_gw_extra_set(r, remaining_names[period], number(r, op->results[i].remaining));
	}
	size_t next = tightest(c, op);
	ms_gw_extra_set(r, MS_SLICE_LIT("RateLimit-Limit"), c->windows[next].limit_text);
	ms_gw_extra_set(r, MS_SLICE_LIT("RateLimit-Remaining"), number(r, op->results[next].remaining));
	ms_gw_extra_set(r, MS_SLICE_LIT("RateLimit-Reset"), number(r, seconds(op->results[next].reset_ms)));
}

static void say(struct gw_request *r, const struct config *c, const struct cache_op *op)
{
	if (c->hide_client_headers)
		return;
	if (c->ratelimit != HEADERS_LEGACY)
		say_draft(r, c, op);
	if (c->ratelimit != HEADERS_DRAFT)
		say_legacy(r, c, op);
}

// --- Whose requests ----------------------------------------------------------------------------------------------

static struct slice identifier(const struct gw_request *r, const struct config *c)
{
	switch ((enum limit_by)c->limit_by) {
	case BY_CONSUMER:
		return r->consumer != NULL ? ms_slice_cstr(r->consumer->id) : r->credential_id;
	case BY_CREDENTIAL:
		return r->credential != NULL ? ms_slice_cstr(r->credential->id) : r->credential_id;
	case BY_SERVICE:
		return r->service != NULL ? ms_slice_cstr(r->service->id) : MS_SLICE_EMPTY;
	case BY_HEADER:
		return ms_gw_header(&r->out.headers, c->header_name);
	case BY_PATH:
		return ms_slice_eq(r->match.path, c->path) ? c->path : MS_SLICE_EMPTY;
	case BY_IP:
	default:
		return MS_SLICE_EMPTY;
	}
}

// The address in its one form. Of IPv6 the network: whoever has one address there has 2^64.
static struct slice address_of(const struct gw_request *r)
{
	struct gw_address address;
	if (!ms_gw_address_parse(r->client_ip, &address))
		return r->client_ip;
	bool v4 = address.high == 0 && address.low >> 32 == 0xffff;
	uint64_t part = v4 ? address.low : address.high;
	return ms_arena_copy(r->arena, ms_slice(&part, sizeof(part)));
}

// "rl:", the plugin's id, what it is by, whose. The plugin's id stays when plans change, so counts do.
static struct slice key_of(struct gw_request *r, const struct config *c)
{
	static const char letters[] = "ckishp";
	struct slice who = identifier(r, c);
	char letter = letters[c->limit_by];
	uint8_t digest[MS_SHA256_SIZE];
	if (who.n == 0) { // falls back to the address
		who = address_of(r);
		letter = 'i';
	}
	if (who.n > KEY_PLAIN_MAX) {
		ms_sha256(who, digest);
		who = ms_slice(digest, sizeof(digest));
		letter = (char)(letter - 32);
	}
	size_t id_n = strlen(ms_gw_use(r)->id);
	char *key = ms_arena_alloc(r->arena, 3 + id_n + 3 + who.n), *at = key;
	if (key == NULL)
		return MS_SLICE_EMPTY;
	memcpy(at, "rl:", 3);
	memcpy(at + 3, ms_gw_use(r)->id, id_n);
	at += 3 + id_n;
	*at++ = ':';
	*at++ = letter;
	*at++ = ':';
	if (who.n > 0)
		memcpy(at, who.p, who.n);
	return ms_slice(key, (size_t)(at - key) + who.n);
}

// --- Access ------------------------------------------------------------------------------------------------------

struct taking {
	struct cache_op op;
	struct gw_request *r;
	const struct config *config;
};

static enum gw_verdict broken(struct gw_request *r, const struct config *c, enum ms_err err)
{
	if (ms_gw_may_log(r, MS_SLICE_LIT("log:rate-limiting")))
		ms_log(r->services->log, LOG_WARN,
		       c->fault_tolerant ? "Rate limits cannot be counted: requests pass"
					 : "Rate limits cannot be counted: requests are refused",
		       MS_LOG_CSTR("error.code", ms_err_name(err)));
	if (c->fault_tolerant)
		return GW_NEXT;
	ms_gw_fail(r, 500, ms_err_name(err), "An unexpected error occurred");
	return GW_ANSWERED;
}

static enum gw_verdict decided(struct gw_request *r, const struct config *c, const struct cache_op *op)
{
	uint64_t retry_ms = 1;
	if (op->err != MS_OK)
		return broken(r, c, op->err);
	say(r, c, op);
	if (op->admitted)
		return GW_NEXT;
	for (size_t i = 0; i < c->count; i++)
		retry_ms = MS_MAX(retry_ms, op->results[i].retry_ms);
	if (!c->hide_client_headers)
		ms_gw_extra_set(r, MS_SLICE_LIT("Retry-After"), number(r, seconds(retry_ms)));
	ms_gw_fail(r, (int)c->error_code, "gateway.rate_limited", c->message);
	return GW_ANSWERED;
}

static void taken(struct cache_op *op)
{
	struct taking *t = MS_CONTAINER_OF(op, struct taking, op);
	ms_gw_resume(t->r, decided(t->r, t->config, op));
}

static enum gw_verdict access(struct gw_request *r, const void *config, void **state)
{
	const struct config *c = config;
	(void)state;
	struct cache *cache = c->policy == POLICY_REDIS ? ms_gw_redis_cache(r, &c->redis) : ms_gw_memory_cache(r);
	struct taking *t = MS_ARENA_NEW(r->arena, struct taking);
	struct slice key = key_of(r, c);
	if (cache == NULL || t == NULL || key.p == NULL)
		return broken(r, c, cache == NULL ? MS_ERR_CACHE : MS_ERR_NO_MEMORY);
	*t = (struct taking){
		.op = {.verb = CACHE_TAKE,
		       .key = key,
		       .quotas = c->quotas,
		       .quota_count = c->count,
		       .cost = 1,
		       .done = taken},
		.r = r,
		.config = c,
	};
	return ms_cache_run(cache, r->x->loop, &t->op) ? decided(r, c, &t->op) : GW_WAIT;
}

// --- Configuration -------------------------------------------------------------------------------------------------

static void take_older_redis(struct config *c)
{
	if (c->redis.host.n > 0 || c->redis_host.n == 0)
		return;
	c->redis = (struct gw_redis){.host = c->redis_host,
				     .username = c->redis_username,
				     .password = c->redis_password,
				     .server_name = c->redis_server_name,
				     .port = c->redis_port,
				     .timeout = c->redis_timeout,
				     .database = c->redis_database,
				     .ssl = c->redis_ssl,
				     .ssl_verify = c->redis_ssl_verify};
}

static struct cache_quota quota_of(const struct config *c, unsigned period, int64_t limit)
{
	struct cache_quota q = {.kind = QUOTA_WINDOW, .limit = (uint64_t)limit, .period_ms = period_s[period] * 1000};
	if (c->algorithm == ALGORITHM_GCRA) {
		q.kind = QUOTA_GCRA;
		q.burst = (uint64_t)(c->burst > 0 ? c->burst : limit);
	} else if (period >= 4) {
		q.kind = period == 4 ? QUOTA_MONTH : QUOTA_YEAR;
	}
	return q;
}

static bool check_quota(const struct cache_quota *quota, const char *path, struct problems *problems)
{
	struct errinfo info;
	ms_errinfo_init(&info);
	if (ms_cache_check_quota(quota, &info) == MS_OK)
		return true;
	ms_problem_add(problems, path, NULL, "%s", info.message);
	return false;
}

static bool compile_limits(struct plan *plan, struct config *c, const char *path, struct problems *problems)
{
	const int64_t limits[PERIODS] = {c->second, c->minute, c->hour, c->day, c->month, c->year};
	int before = -1;
	bool ok = true;
	struct buf policy;
	ms_buf_init(&policy, 4096);
	for (unsigned i = 0; i < PERIODS; i++) {
		if (limits[i] == 0)
			continue;
		if (before >= 0 && limits[i] < limits[before]) {
			ms_problem_add(problems, path, NULL,
				       "The limit for %s(%lld) cannot be lower than the limit for %s(%lld)",
				       period_names[i], (long long)limits[i], period_names[before],
				       (long long)limits[before]);
			ok = false;
		}
		before = (int)i;
		const char *text = ms_arena_printf(&plan->arena, "%lld", (long long)limits[i]);
		ok = ok && text != NULL;
		ms_buf_printf(&policy, "%s\"%s\";q=%lld", c->count > 0 ? ", " : "", period_names[i],
			      (long long)limits[i]);
		if (i < 4 || c->algorithm == ALGORITHM_GCRA) // months and years have no one length
			ms_buf_printf(&policy, ";w=%llu", (unsigned long long)period_s[i]);
		c->windows[c->count] = (struct window){i, ms_slice_cstr(text)};
		c->quotas[c->count] = quota_of(c, i, limits[i]);
		ok = check_quota(&c->quotas[c->count++], path, problems) && ok;
	}
	c->policy_text = ms_buf_ok(&policy) ? ms_arena_copy(&plan->arena, ms_buf_slice(&policy)) : MS_SLICE_EMPTY;
	ms_buf_fini(&policy);
	if (c->count == 0)
		ms_problem_add(problems, path, NULL,
			       "at least one of these must be given: second, minute, hour, day, month, year");
	return ok && c->count > 0 && c->policy_text.p != NULL;
}

static bool compile(struct plan *plan, void *config, const char *path, struct problems *problems)
{
	struct config *c = config;
	size_t before = problems->count;
	bool ok = compile_limits(plan, c, path, problems);
	take_older_redis(c);
	c->message = ms_arena_cstr(&plan->arena, c->error_message);
	if (c->policy == POLICY_CLUSTER)
		ms_problem_add(problems, path, NULL,
			       "policy: \"cluster\" needs Kong's database; use \"redis\" or \"local\"");
	if (c->limit_by == BY_HEADER && !ms_gw_header_name_ok(c->header_name))
		ms_problem_add(problems, path, NULL,
			       "header_name: the name of a header is required with limit_by header");
	if (c->limit_by == BY_PATH && c->path.n == 0)
		ms_problem_add(problems, path, NULL, "path: required with limit_by path");
	if (c->sync_rate != -1 && (c->policy != POLICY_REDIS || c->sync_rate < 0.02))
		ms_problem_add(problems, path, NULL, "sync_rate: -1, or with policy redis 0.02 or more");
	if (c->burst > 0 && c->algorithm != ALGORITHM_GCRA)
		ms_problem_add(problems, path, NULL, "burst: only with algorithm gcra");
	if (c->policy == POLICY_REDIS && !ms_gw_redis_compile(plan, &c->redis, path, problems))
		return false;
	return ok && c->message != NULL && problems->count == before;
}

const struct gw_plugin_kind ms_plugin_rate_limiting = {
	.name = "rate-limiting",
	.priority = 910,
	.fields = fields,
	.config_bytes = sizeof(struct config),
	.per_consumer = true,
	.help = "Limits of requests in time",
	.compile = compile,
	.access = access,
};
