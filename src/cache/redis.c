// SPDX-License-Identifier: Apache-2.0
// The cache on a Redis server: each operation is one command, TAKE one script, CLEAR a walk over the keys.
#include <stdio.h>
#include <stdlib.h>

#include "cache/private.h"
#include "wire/wire.h"

#define PREFIX "mainstay:"
#define PREFIX_MAX 256
#define COST_MAX (QUOTA_LIMIT_MAX * 2) // more never passes either, and a double holds it
#define SCAN_COUNT "256"
#define UNLINK_MAX 65536 // keys of one answer to SCAN, which gives about as many as asked for
#define REPLY_EXTRA ((size_t)1 << 20)

// An operation under way.
struct pending {
	struct redis_command command;
	struct pending *next; // of the free ones
	struct cache_redis *redis;
	struct loop *loop;
	struct cache_op *op;
	int64_t begun_ns;
	struct buf text; // TAKE: the script's arguments. CLEAR: the pattern
	char cursor[32]; // CLEAR
	size_t cursor_n;
};

struct cache_redis {
	struct cache *cache;
	struct redis *client;
	struct pending **idle; // of each loop
	unsigned loop_count;
	size_t prefix_n;
	char prefix[PREFIX_MAX];
};

static const char *const scripts[] = {ms_cache_quota_script};

// --- Operations under way ----------------------------------------------------------------------------

static struct pending *pending_new(struct cache_redis *r, struct loop *loop, struct cache_op *op)
{
	struct pending **idle = &r->idle[ms_loop_index(loop)], *p = *idle;
	if (p != NULL)
		*idle = p->next;
	else if ((p = calloc(1, sizeof(*p))) != NULL)
		ms_buf_init(&p->text, 16384);
	if (p == NULL)
		return NULL;
	p->redis = r;
	p->loop = loop;
	p->op = op;
	p->begun_ns = ms_clock_mono_ns();
	ms_buf_clear(&p->text);
	return p;
}

static void pending_give_back(struct pending *p)
{
	struct pending **idle = &p->redis->idle[ms_loop_index(p->loop)];
	p->op = NULL;
	p->next = *idle;
	*idle = p;
}

static enum ms_err translate(enum ms_err err)
{
	return err == MS_ERR_WIRE ? MS_ERR_CACHE : err;
}

static void finish(struct pending *p, enum ms_err err)
{
	struct cache_op *op = p->op;
	op->err = err;
	if (err != MS_OK)
		op->found = op->admitted = false;
	ms_cache_count(p->redis->cache, p->loop, op, p->begun_ns);
	pending_give_back(p);
	op->done(op);
}

// --- Answers -----------------------------------------------------------------------------------------

static enum ms_err read_results(struct cache_op *op, const struct redis_reply *reply)
{
	if (reply->kind != REDIS_ARRAY || reply->count != 1 + 3 * op->quota_count)
		return MS_ERR_CACHE;
	for (size_t i = 0; i < reply->count; i++) {
		if (reply->items[i].kind != REDIS_INTEGER || reply->items[i].integer < 0)
			return MS_ERR_CACHE;
	}
	op->admitted = reply->items[0].integer == 1;
	for (size_t i = 0; i < op->quota_count; i++) {
		const struct redis_reply *items = &reply->items[1 + 3 * i];
		op->results[i] = (struct quota_result){(uint64_t)items[0].integer, (uint64_t)items[1].integer,
						       (uint64_t)items[2].integer};
	}
	return MS_OK;
}

// What the server may answer to the verb; everything else is an error.
static enum ms_err read_reply(struct cache_op *op, const struct redis_reply *reply)
{
	if (op->verb == CACHE_TAKE)
		return read_results(op, reply);
	if (op->verb == CACHE_REMOVE) {
		op->found = reply->kind == REDIS_INTEGER && reply->integer > 0;
		return reply->kind == REDIS_INTEGER ? MS_OK : MS_ERR_CACHE;
	}
	if (op->verb == CACHE_SET)
		return reply->kind == REDIS_STATUS ? MS_OK : MS_ERR_CACHE;
	if (reply->kind != REDIS_STRING && reply->kind != REDIS_NIL)
		return MS_ERR_CACHE;
	op->found = reply->kind == REDIS_STRING;
	op->value = op->found ? reply->text : MS_SLICE_EMPTY;
	return MS_OK;
}

static void on_reply(struct redis_command *command, enum ms_err err, const struct redis_reply *reply)
{
	struct pending *p = command->arg;
	finish(p, err == MS_OK ? read_reply(p->op, reply) : translate(err));
}

// --- CLEAR -------------------------------------------------------------------------------------------

static void on_scanned(struct redis_command *command, enum ms_err err, const struct redis_reply *reply);

// Every key of the cache that begins with the operation's: as a pattern, its own special characters escaped.
static bool make_pattern(struct pending *p)
{
	const struct cache_redis *r = p->redis;
	const struct slice parts[] = {ms_slice(r->prefix, r->prefix_n), p->op->key};
	for (size_t i = 0; i < MS_ARRAY_LEN(parts); i++) {
		for (size_t k = 0; k < parts[i].n; k++) {
			char c = parts[i].p[k];
			if (c == '*' || c == '?' || c == '[' || c == ']' || c == '\\' || c == '^' || c == '-')
				ms_buf_append_char(&p->text, '\\');
			ms_buf_append_char(&p->text, c);
		}
	}
	ms_buf_append_char(&p->text, '*');
	p->cursor[0] = '0';
	p->cursor_n = 1;
	return ms_buf_ok(&p->text);
}

static enum ms_err scan(struct pending *p)
{
	const struct slice parts[] = {MS_SLICE_LIT("SCAN"),  ms_slice(p->cursor, p->cursor_n),
				      MS_SLICE_LIT("MATCH"), ms_buf_slice(&p->text),
				      MS_SLICE_LIT("COUNT"), MS_SLICE_LIT(SCAN_COUNT)};
	p->command.done = on_scanned;
	return ms_redis_send(p->redis->client, p->loop, &p->command, parts, MS_ARRAY_LEN(parts));
}

static void scan_on(struct pending *p)
{
	bool over = p->cursor_n == 1 && p->cursor[0] == '0';
	enum ms_err err = over ? MS_OK : scan(p);
	if (over || err != MS_OK)
		finish(p, translate(err));
}

static void on_unlinked(struct redis_command *command, enum ms_err err, const struct redis_reply *reply)
{
	struct pending *p = command->arg;
	if (err != MS_OK || reply->kind != REDIS_INTEGER)
		finish(p, err == MS_OK ? MS_ERR_CACHE : translate(err));
	else
		scan_on(p);
}

static enum ms_err unlink_keys(struct pending *p, const struct redis_reply *keys)
{
	struct slice *parts = malloc((keys->count + 1) * sizeof(*parts));
	if (parts == NULL)
		return MS_ERR_NO_MEMORY;
	parts[0] = MS_SLICE_LIT("UNLINK");
	for (size_t i = 0; i < keys->count; i++)
		parts[i + 1] = keys->items[i].text;
	p->command.done = on_unlinked;
	enum ms_err err = ms_redis_send(p->redis->client, p->loop, &p->command, parts, keys->count + 1);
	free(parts);
	return err;
}

static bool is_scan_reply(const struct redis_reply *reply)
{
	if (reply->kind != REDIS_ARRAY || reply->count != 2 || reply->items[0].kind != REDIS_STRING ||
	    reply->items[0].text.n == 0 || reply->items[0].text.n > sizeof(((struct pending *)NULL)->cursor) ||
	    reply->items[1].kind != REDIS_ARRAY || reply->items[1].count > UNLINK_MAX)
		return false;
	for (size_t i = 0; i < reply->items[1].count; i++) {
		if (reply->items[1].items[i].kind != REDIS_STRING)
			return false;
	}
	return true;
}

static void on_scanned(struct redis_command *command, enum ms_err err, const struct redis_reply *reply)
{
	struct pending *p = command->arg;
	if (err == MS_OK && !is_scan_reply(reply))
		err = MS_ERR_CACHE;
	if (err != MS_OK) {
		finish(p, translate(err));
		return;
	}
	p->cursor_n = reply->items[0].text.n;
	memcpy(p->cursor, reply->items[0].text.p, p->cursor_n);
	if (reply->items[1].count == 0)
		scan_on(p);
	else if ((err = unlink_keys(p, &reply->items[1])) != MS_OK)
		finish(p, translate(err));
}

// --- Commands ----------------------------------------------------------------------------------------

static struct slice whole_key(const struct cache_redis *r, const struct cache_op *op, char *dst)
{
	memcpy(dst, r->prefix, r->prefix_n);
	if (op->key.n > 0)
		memcpy(dst + r->prefix_n, op->key.p, op->key.n);
	return ms_slice(dst, r->prefix_n + op->key.n);
}

static enum ms_err send_take(struct pending *p, struct slice key, const struct meter *meters)
{
	static const struct slice kinds[] = {
		[QUOTA_WINDOW] = {"w", 1}, [QUOTA_MONTH] = {"m", 1}, [QUOTA_YEAR] = {"y", 1}, [QUOTA_GCRA] = {"g", 1}};
	const struct cache_op *op = p->op;
	ms_redis_append_number(&p->text, 1);
	ms_redis_append_part(&p->text, key);
	ms_redis_append_number(&p->text, (uint64_t)atomic_load(&p->redis->cache->test_now_ms));
	ms_redis_append_number(&p->text, MS_MIN(op->cost, COST_MAX));
	for (size_t i = 0; i < op->quota_count; i++) {
		ms_redis_append_part(&p->text, kinds[meters[i].kind]);
		ms_redis_append_number(&p->text, meters[i].limit);
		ms_redis_append_number(&p->text, meters[i].period);
		ms_redis_append_number(&p->text, meters[i].rate);
	}
	if (!ms_buf_ok(&p->text))
		return MS_ERR_NO_MEMORY;
	return ms_redis_eval(p->redis->client, p->loop, &p->command, 0, ms_buf_slice(&p->text),
			     4 + 4 * op->quota_count);
}

static enum ms_err send_set(struct pending *p, struct slice key)
{
	const struct cache_op *op = p->op;
	char ttl[24];
	int n = snprintf(ttl, sizeof(ttl), "%llu", (unsigned long long)MS_MIN(op->ttl_ms, CACHE_TTL_MAX_MS));
	const struct slice parts[] = {
		MS_SLICE_LIT("SET"), key, op->value, MS_SLICE_LIT("PX"), ms_slice(ttl, (size_t)n), MS_SLICE_LIT("NX"),
		MS_SLICE_LIT("GET")};
	return ms_redis_send(p->redis->client, p->loop, &p->command, parts,
			     op->verb == CACHE_ADD ? MS_ARRAY_LEN(parts) : MS_ARRAY_LEN(parts) - 2);
}

static enum ms_err send_op(struct pending *p, const struct meter *meters)
{
	struct cache_redis *r = p->redis;
	char bytes[PREFIX_MAX + MS_CACHE_KEY_MAX];
	const struct slice key = whole_key(r, p->op, bytes);
	struct slice parts[] = {MS_SLICE_LIT("GET"), key};
	p->command.done = on_reply;
	p->command.arg = p;
	switch (p->op->verb) {
	case CACHE_SET:
	case CACHE_ADD:
		return send_set(p, key);
	case CACHE_TAKE:
		return send_take(p, key, meters);
	case CACHE_CLEAR:
		return make_pattern(p) ? scan(p) : MS_ERR_NO_MEMORY;
	case CACHE_REMOVE:
		parts[0] = MS_SLICE_LIT("UNLINK");
		break;
	case CACHE_GET:
		break;
	}
	return ms_redis_send(r->client, p->loop, &p->command, parts, MS_ARRAY_LEN(parts));
}

bool ms_cache_redis_run(struct cache_redis *r, struct loop *loop, struct cache_op *op, const struct meter *meters)
{
	struct pending *p = pending_new(r, loop, op);
	op->err = p != NULL ? translate(send_op(p, meters)) : MS_ERR_NO_MEMORY;
	if (op->err == MS_OK)
		return false;
	if (p != NULL)
		pending_give_back(p);
	return true;
}

enum ms_err ms_cache_check_url(const char *url, struct errinfo *info)
{
	return ms_redis_check_url(url, info);
}

// --- Life --------------------------------------------------------------------------------------------

enum ms_err ms_cache_redis_new(struct cache *cache, const struct cache_options *options, struct errinfo *info,
			       struct cache_redis **ret_redis)
{
	struct slice prefix = ms_slice_cstr(options->prefix != NULL ? options->prefix : PREFIX);
	const struct redis_options client = {.url = options->url,
					     .scripts = scripts,
					     .script_count = MS_ARRAY_LEN(scripts),
					     .timeout_ms = options->timeout_ms,
					     .max_waiting = options->max_waiting,
					     .max_reply = MS_CACHE_VALUE_MAX + REPLY_EXTRA,
					     .rt = options->rt,
					     .log = options->log};
	if (prefix.n > PREFIX_MAX)
		return ms_fail(info, MS_ERR_CONFIG, "the prefix of the cache's keys is longer than %d bytes",
			       PREFIX_MAX);
	struct cache_redis *r = calloc(1, sizeof(*r));
	struct pending **idle = calloc(ms_rt_loop_count(options->rt), sizeof(struct pending *));
	enum ms_err err = r != NULL && idle != NULL ? ms_redis_new(&client, info, &r->client)
						    : ms_fail(info, MS_ERR_NO_MEMORY, "out of memory for the cache");
	if (err != MS_OK) {
		free(idle);
		free(r);
		return err;
	}
	r->cache = cache;
	r->idle = idle;
	r->loop_count = ms_rt_loop_count(options->rt);
	r->prefix_n = prefix.n;
	memcpy(r->prefix, prefix.p, prefix.n);
	*ret_redis = r;
	return MS_OK;
}

void ms_cache_redis_start(struct cache_redis *r)
{
	ms_redis_start(r->client);
}

void ms_cache_redis_stop(struct cache_redis *r)
{
	ms_redis_stop(r->client);
}

void ms_cache_redis_free(struct cache_redis *r)
{
	if (r == NULL)
		return;
	for (unsigned i = 0; i < r->loop_count; i++) {
		for (struct pending *p = r->idle[i]; p != NULL;) {
			struct pending *next = p->next;
			ms_buf_fini(&p->text);
			free(p);
			p = next;
		}
	}
	ms_redis_free(r->client);
	free(r->idle);
	free(r);
}

bool ms_cache_redis_healthy(const struct cache_redis *r)
{
	return ms_redis_healthy(r->client);
}
