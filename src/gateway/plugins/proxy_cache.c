// SPDX-License-Identifier: Apache-2.0
// proxy-cache: answers of upstreams that are given again. What is kept is what the upstream said, before other plugins changed it; they change it again
// each time. With cache_control as RFC 9111 has it for a shared cache.
#include <stdlib.h>

#include "cache/cache.h"
#include "crypto/crypto.h"
#include "gateway/plugins/proxy_cache_entry.h"

enum strategy { STRATEGY_MEMORY, STRATEGY_REDIS };
enum status { STATUS_NONE, STATUS_HIT, STATUS_MISS, STATUS_REFRESH, STATUS_BYPASS };
struct response_headers {
	bool age, status, key;
};
struct memory_config {
	struct slice dictionary_name;
};
struct config {
	struct integer_list response_code;
	struct text_list request_method, content_type, vary_headers, vary_query_params;
	int64_t cache_ttl, storage_ttl, max_size;
	bool cache_control, ignore_uri_case;
	int strategy;
	struct memory_config memory;
	struct gw_redis redis;
	struct response_headers response_headers;
};
static const char *const strategies[] = {"memory", "redis", NULL};
static const struct field memory_fields[] = {
	GW_STRING(memory_config, dictionary_name, "\"kong_db_cache\"", "Accepted: there is one memory"), {0}};
static const struct field header_fields[] = {
	GW_BOOL(response_headers, age, "true", "Age"),
	{.name = "X-Cache-Status",
	 .kind = FIELD_BOOL,
	 .offset = offsetof(struct response_headers, status),
	 .fallback = "true",
	 .help = "X-Cache-Status: Hit, Miss, Refresh, Bypass"},
	{.name = "X-Cache-Key",
	 .kind = FIELD_BOOL,
	 .offset = offsetof(struct response_headers, key),
	 .fallback = "true",
	 .help = "X-Cache-Key"},
	{0},
};
static const struct field fields[] = {
	GW_FIELD(config, response_code, FIELD_INTEGERS, .fallback = "[200,301,404]", .min = 100, .max = 900,
		 .help = "Statuses that are kept"),
	GW_STRINGS(config, request_method, "[\"GET\",\"HEAD\"]", "Methods whose answers are kept"),
	GW_STRINGS(config, content_type, "[\"text/plain\",\"application/json\"]",
		   "Content types that are kept, with their parameters"),
	GW_INTEGER(config, cache_ttl, "300", 1, 2147483647, "Seconds that an answer is fresh without cache_control"),
	GW_FIELD(config, strategy, FIELD_CHOICE, .required = true, .choices = strategies,
		 .help = "Where answers are kept; redis is ours"),
	GW_BOOL(config, cache_control, "false", "Follow Cache-Control of both sides"),
	GW_BOOL(config, ignore_uri_case, "false", "Paths that differ in case alone are the same"),
	GW_INTEGER(config, storage_ttl, "0", 0, 2147483647,
		   "Seconds that answers are kept, also when no longer fresh; 0: as long as they are fresh"),
	GW_RECORD(config, memory, memory_fields, "Of strategy memory"),
	GW_RECORD(config, redis, ms_gw_redis_fields, "Of strategy redis; without host: the Redis of the process"),
	GW_STRINGS(config, vary_query_params, NULL, "Parameters of the query that tell answers apart; none: all"),
	GW_STRINGS(config, vary_headers, NULL, "Headers that tell answers apart"),
	GW_RECORD(config, response_headers, header_fields, "Headers that clients are sent"),
	GW_INTEGER(config, max_size, "1048576", 1, 8000000, "Ours: largest body that is kept"),
	{0},
};

struct caching {
	struct cache_op op;
	struct gw_request *r;
	const struct config *config;
	struct cache *cache;
	struct slice key;  // of the cache: "pc:", the plugin's id, ":", base
	struct slice base; // 64 hex digits: X-Cache-Key
	struct slice path; // that the upstream was going to be asked for
	bool second;       // the key is that of a variant
	struct slice vary; // names of the headers of the variant
	enum status status;
	int64_t store_ttl_s; // found out in the answer phase; 0: not stored
	struct gw_cached entry;
};

// --- Keys ----------------------------------------------------------------------------------------------------------

// By name; parameters of one name stay as they came, for servers tell those apart.
static int by_name(const void *a, const void *b)
{
	const struct gw_arg *x = a, *y = b;
	int order = ms_slice_cmp(x->name, y->name);
	return order != 0 ? order : (x->raw.p > y->raw.p) - (x->raw.p < y->raw.p);
}

static void add_part(struct buf *text, struct slice part)
{
	ms_buf_append_u64(text, part.n);
	ms_buf_append_char(text, ':');
	ms_buf_append_slice(text, part);
}

static bool add_query(struct gw_request *r, const struct config *c, struct buf *text)
{
	struct gw_args args;
	if (!ms_gw_args_read(r, r->out.query, &args))
		return false;
	if (args.count > 0)
		qsort(args.items, args.count, sizeof(args.items[0]), by_name);
	for (size_t i = 0; i < args.count; i++) {
		const struct gw_arg *arg = &args.items[i];
		if (c->vary_query_params.count == 0 ||
		    (arg->name.p != NULL && ms_gw_text_list_has(&c->vary_query_params, arg->name)))
			add_part(text, arg->raw);
	}
	ms_buf_append_char(text, ';'); // or a parameter would pass for a header
	return true;
}

static void add_lower(struct buf *text, struct slice s, bool lower)
{
	size_t start = text->n;
	add_part(text, s);
	for (size_t i = start; lower && ms_buf_ok(text) && i < text->n; i++)
		text->p[i] = text->p[i] >= 'A' && text->p[i] <= 'Z' ? (char)(text->p[i] + 32) : text->p[i];
}

static void add_headers(const struct gw_request *r, const struct text_list *names, struct buf *text)
{
	for (size_t i = 0; i < names->count; i++) {
		for (size_t j = 0; j < r->out.headers.count; j++) {
			if (ms_slice_eq_nocase(r->out.headers.items[j].name, names->items[i]))
				add_part(text, r->out.headers.items[j].value);
		}
		ms_buf_append_char(text, ';');
	}
}

static bool make_key(struct caching *k, struct slice what)
{
	struct gw_request *r = k->r;
	char hex[MS_SHA256_HEX_SIZE];
	ms_sha256_hex(what, hex);
	k->key = ms_gw_text(r, "pc:%s:%s", ms_gw_use(r)->id, hex);
	if (k->base.p == NULL)
		k->base = ms_slice_sub(k->key, k->key.n - MS_MIN(k->key.n, (size_t)64), 64);
	return k->key.p != NULL;
}

// All that decides what the upstream answers: what was asked, and what the plugins before made of it.
static bool base_key(struct caching *k)
{
	static struct slice always[] = {MS_SLICE_LIT("Authorization"), MS_SLICE_LIT("X-Forwarded-Host"),
					MS_SLICE_LIT("X-Forwarded-Prefix")};
	struct gw_request *r = k->r;
	const struct config *c = k->config;
	struct buf text;
	ms_buf_init(&text, 262144);
	add_part(&text, r->consumer != NULL ? ms_slice_cstr(r->consumer->id) : r->credential_id);
	add_part(&text, r->route != NULL ? ms_slice_cstr(r->route->id) : MS_SLICE_EMPTY);
	add_part(&text, r->out.method);
	add_part(&text, r->tls ? MS_SLICE_LIT("https") : MS_SLICE_LIT("http"));
	add_lower(&text, r->x->req.authority, true);
	add_lower(&text, r->x->req.path, c->ignore_uri_case);
	add_lower(&text, r->out.path, c->ignore_uri_case);
	k->path = r->out.path;
	bool ok = add_query(r, c, &text);
	add_headers(r, &(struct text_list){always, MS_ARRAY_LEN(always)}, &text);
	add_headers(r, &c->vary_headers, &text);
	ok = ok && ms_buf_ok(&text) && make_key(k, ms_buf_slice(&text));
	ms_buf_fini(&text);
	return ok;
}

// The key of the answer for these values of the headers that the upstream named in Vary.
static bool variant_key(struct caching *k, struct slice names)
{
	struct slice rest = names, name;
	struct buf text;
	ms_buf_init(&text, 262144);
	add_part(&text, k->base);
	while (ms_slice_next(&rest, ',', &name)) {
		struct slice one = ms_slice_trim(name);
		add_part(&text, one);
		add_headers(k->r, &(struct text_list){&one, 1}, &text);
	}
	bool ok = ms_buf_ok(&text) && make_key(k, ms_buf_slice(&text));
	ms_buf_fini(&text);
	return ok;
}

// --- Looking up ------------------------------------------------------------------------------------------------------

// Requests that neither get nor leave a kept answer.
static bool passes_by(const struct gw_request *r, const struct config *c)
{
	struct gw_cache_control cc;
	bool authorized = ms_gw_request_header(r, "Authorization").p != NULL;
	if (!ms_gw_text_list_has(&c->request_method, r->out.method) || ms_gw_request_header(r, "Range").p != NULL ||
	    r->x->req.protocol.n > 0 || r->x->req.has_body)
		return true;
	// Whose answer that is only the upstream knows, unless a plugin found out who calls. The anonymous consumer is nobody.
	if (authorized && (r->anonymous || (r->consumer == NULL && r->credential_id.n == 0)))
		return true;
	if (!c->cache_control)
		return false;
	cc = ms_gw_cache_control(&r->out.headers);
	return cc.no_store || cc.no_cache || authorized;
}

static bool is_fresh(const struct caching *k, const struct gw_cached *e)
{
	int64_t resident = MS_MAX(k->r->wall_ns / 1000000000 - e->stored_s, (int64_t)0), age = resident + e->age_s;
	if (!k->config->cache_control)
		return resident <= k->config->cache_ttl;
	struct gw_cache_control cc = ms_gw_cache_control(&k->r->out.headers);
	int64_t stale = age - e->ttl_s;
	if (cc.max_age >= 0 && age > cc.max_age)
		return false;
	if (cc.min_fresh >= 0 && -stale < cc.min_fresh)
		return false;
	if (stale <= 0)
		return true;
	return !e->no_stale && cc.max_stale >= 0 && stale <= cc.max_stale;
}

static void say(struct gw_request *r, const struct caching *k, const char *status)
{
	// The answer counts more than its remarks.
	if (k->config->response_headers.status)
		MS_IGNORE(ms_gw_header_set(&r->answer.headers, MS_SLICE_LIT("X-Cache-Status"), ms_slice_cstr(status)));
	if (k->config->response_headers.key && k->base.p != NULL)
		MS_IGNORE(ms_gw_header_set(&r->answer.headers, MS_SLICE_LIT("X-Cache-Key"), k->base));
}

static enum gw_verdict hit(struct caching *k, const struct gw_cached *e)
{
	struct gw_request *r = k->r;
	int64_t age = MS_MAX(r->wall_ns / 1000000000 - e->stored_s, (int64_t)0) + e->age_s;
	k->status = STATUS_HIT;
	ms_gw_answer(r, e->status, MS_SLICE_EMPTY, MS_SLICE_EMPTY);
	r->answer.body = e->body;
	r->answer.source = GW_FROM_CACHE;
	for (size_t i = 0; i < e->header_count; i++) {
		if (!ms_gw_header_add(&r->answer.headers, e->headers[i].name, e->headers[i].value))
			break; // as many as were there
	}
	if (k->config->response_headers.age) {
		struct slice text = ms_gw_text(r, "%lld", (long long)age);
		if (text.p != NULL)
			MS_IGNORE(ms_gw_header_set(&r->answer.headers, MS_SLICE_LIT("Age"), text)); // as above
	}
	return GW_ANSWERED;
}

static enum gw_verdict miss(struct caching *k, enum status status)
{
	struct gw_request *r = k->r;
	k->status = status;
	if (k->config->cache_control && ms_gw_cache_control(&r->out.headers).only_if_cached) {
		ms_gw_fail(r, 504, "gateway.not_cached",
			   "The answer is not in the cache, and only-if-cached was asked for");
		return GW_ANSWERED;
	}
	// What is kept must be the whole answer, not "not modified".
	ms_gw_header_remove(&r->out.headers, MS_SLICE_LIT("If-None-Match"));
	ms_gw_header_remove(&r->out.headers, MS_SLICE_LIT("If-Modified-Since"));
	return GW_NEXT;
}

static void looked_later(struct cache_op *op);
static enum gw_verdict look(struct caching *k);

static enum gw_verdict looked(struct caching *k)
{
	struct gw_cached entry;
	if (k->op.err != MS_OK) { // a cache that is gone is no reason to fail
		k->status = STATUS_BYPASS;
		return GW_NEXT;
	}
	if (!k->op.found || !ms_gw_cached_read(k->r->arena, k->op.value, &entry))
		return miss(k, STATUS_MISS);
	if (entry.kind == ENTRY_VARY && !k->second) {
		k->second = true;
		k->vary = entry.body;
		return variant_key(k, entry.body) ? look(k) : miss(k, STATUS_MISS);
	}
	if (entry.kind != ENTRY_ANSWER)
		return miss(k, STATUS_MISS);
	return is_fresh(k, &entry) ? hit(k, &entry) : miss(k, STATUS_REFRESH);
}

static enum gw_verdict look(struct caching *k)
{
	k->op = (struct cache_op){.verb = CACHE_GET, .key = k->key, .done = looked_later};
	return ms_cache_run(k->cache, k->r->x->loop, &k->op) ? looked(k) : GW_WAIT;
}

static void looked_later(struct cache_op *op)
{
	struct caching *k = MS_CONTAINER_OF(op, struct caching, op);
	enum gw_verdict verdict = looked(k);
	if (verdict != GW_WAIT)
		ms_gw_resume(k->r, verdict);
}

static enum gw_verdict access(struct gw_request *r, const void *config, void **state)
{
	const struct config *c = config;
	struct caching *k = MS_ARENA_NEW(r->arena, struct caching);
	if (k == NULL)
		return GW_NEXT;
	*k = (struct caching){.r = r, .config = c, .status = STATUS_BYPASS};
	*state = k;
	k->cache = c->strategy == STRATEGY_REDIS ? ms_gw_redis_cache(r, &c->redis) : ms_gw_memory_cache(r);
	if (k->cache == NULL || passes_by(r, c) || !base_key(k))
		return GW_NEXT;
	return look(k);
}

// --- Keeping -----------------------------------------------------------------------------------------------------------

static bool keeps_type(const struct config *c, struct slice type)
{
	for (size_t i = 0; i < c->content_type.count; i++) {
		if (ms_slice_eq_nocase(ms_slice_trim(c->content_type.items[i]), ms_slice_trim(type)))
			return true;
	}
	return false;
}

static bool keeps_status(const struct config *c, int status)
{
	for (size_t i = 0; i < c->response_code.count; i++) {
		if (c->response_code.items[i] == status)
			return true;
	}
	return false;
}

// How long the answer is fresh; 0: it may not be kept.
static int64_t lifetime(const struct caching *k, const struct gw_headers *came, struct gw_cached *e)
{
	const struct config *c = k->config;
	struct gw_cache_control cc = ms_gw_cache_control(came);
	int64_t now_s = k->r->wall_ns / 1000000000;
	if (!c->cache_control)
		return c->cache_ttl;
	if (cc.is_private || cc.no_cache || (cc.no_store && !cc.must_understand))
		return 0;
	e->no_stale = cc.must_revalidate || cc.s_maxage >= 0;
	if (cc.s_maxage >= 0)
		return cc.s_maxage;
	if (cc.max_age >= 0)
		return cc.max_age;
	struct slice expires = ms_gw_header(came, MS_SLICE_LIT("Expires"));
	return expires.p != NULL ? ms_gw_expires(expires, now_s) : 0;
}

// All Vary headers as one list; false for "*", and for what is too long to be one.
static bool read_vary(struct caching *k, const struct gw_headers *came)
{
	struct slice names = MS_SLICE_EMPTY;
	for (size_t i = 0; i < came->count; i++) {
		struct slice value = ms_slice_trim(came->items[i].value);
		if (!ms_slice_eq_nocase(came->items[i].name, MS_SLICE_LIT("Vary")) || value.n == 0)
			continue;
		names = names.n == 0 ? value : ms_gw_text(k->r, "%.*s,%.*s", MS_SLICE_ARG(names), MS_SLICE_ARG(value));
	}
	k->vary = names;
	return ms_slice_find(names, '*') == names.n && names.n <= 1024;
}

static bool is_kept_header(struct slice name)
{
	static const char *const dropped[] = {"Connection",
					      "Keep-Alive",
					      "Proxy-Authenticate",
					      "Proxy-Authorization",
					      "TE",
					      "Trailer",
					      "Transfer-Encoding",
					      "Upgrade",
					      "Content-Length",
					      "Age",
					      "X-Cache-Status",
					      "X-Cache-Key",
					      "X-Request-ID"};
	for (size_t i = 0; i < MS_ARRAY_LEN(dropped); i++) {
		if (ms_slice_eq_nocase(name, ms_slice_cstr(dropped[i])))
			return false;
	}
	return true;
}

static bool may_keep(struct caching *k, const struct gw_headers *came)
{
	struct gw_request *r = k->r;
	uint64_t age = 0;
	struct slice said = ms_gw_header(came, MS_SLICE_LIT("Age"));
	if (r->answer.source != GW_FROM_UPSTREAM && r->answer.source != GW_FROM_LOCAL)
		return false;
	// A plugin behind this one (canary) has sent the request elsewhere: that answer is not for all.
	if (r->out.host.n > 0 || r->out.port != 0 || !ms_slice_eq(r->out.path, k->path))
		return false;
	// What our own guard let one caller see is not for everybody.
	if (r->answer.source == GW_FROM_LOCAL && r->services->auth != NULL &&
	    (r->x->req.route == NULL || (r->x->req.route->flags & ROUTE_PUBLIC) == 0))
		return false;
	if (!keeps_status(k->config, r->answer.status) ||
	    !keeps_type(k->config, ms_gw_header(came, MS_SLICE_LIT("Content-Type"))) ||
	    ms_gw_header(came, MS_SLICE_LIT("Set-Cookie")).p != NULL || !read_vary(k, came))
		return false;
	if (said.p != NULL && (!ms_slice_to_u64(said, &age) || age > INT32_MAX))
		age = INT32_MAX;
	k->entry = (struct gw_cached){.kind = ENTRY_ANSWER, .status = r->answer.status, .age_s = (int64_t)age};
	k->entry.ttl_s = lifetime(k, came, &k->entry);
	k->store_ttl_s = k->config->storage_ttl > 0 ? k->config->storage_ttl : k->entry.ttl_s - k->entry.age_s;
	return k->entry.ttl_s > 0 && k->store_ttl_s > 0;
}

static void answer(struct gw_request *r, const void *config, void **state)
{
	static const char *const names[] = {"Bypass", "Hit", "Miss", "Refresh", "Bypass"};
	struct caching *k = *state;
	(void)config;
	if (k == NULL)
		return;
	if (k->status == STATUS_MISS || k->status == STATUS_REFRESH) {
		if (may_keep(k, ms_gw_came_headers(r))) {
			r->answer.wants_body = true;
			r->answer.max_body = r->answer.max_body == 0
						     ? (uint64_t)k->config->max_size
						     : MS_MAX(r->answer.max_body, (uint64_t)k->config->max_size);
		} else {
			k->status = STATUS_BYPASS;
		}
	}
	say(r, k, names[k->status]);
}

// An operation that outlives the request.
struct storing {
	struct cache_op op;
	struct slice value; // malloc
};

static void stored(struct cache_op *op)
{
	struct storing *s = MS_CONTAINER_OF(op, struct storing, op);
	free((void *)(uintptr_t)s->value.p); // a failure leaves the answer uncached
	free(s);
}

static void store(struct caching *k, const struct gw_cached *entry)
{
	struct storing *s = malloc(sizeof(*s));
	struct slice value = ms_gw_cached_write(entry);
	if (s == NULL || value.p == NULL) {
		free((void *)(uintptr_t)value.p);
		free(s);
		return;
	}
	*s = (struct storing){.value = value};
	s->op = (struct cache_op){.verb = CACHE_SET,
				  .key = k->key,
				  .value = value,
				  .ttl_ms = (uint64_t)k->store_ttl_s * 1000,
				  .done = stored};
	if (ms_cache_run(k->cache, k->r->x->loop, &s->op))
		stored(&s->op);
}

static bool keep_headers(struct caching *k, const struct gw_headers *came)
{
	struct http_header *headers = MS_ARENA_ARRAY(k->r->arena, struct http_header, came->count);
	size_t n = 0;
	if (headers == NULL)
		return false;
	for (size_t i = 0; i < came->count; i++) {
		if (is_kept_header(came->items[i].name))
			headers[n++] = came->items[i];
	}
	k->entry.headers = headers;
	k->entry.header_count = n;
	return true;
}

static enum gw_verdict answer_body(struct gw_request *r, const void *config, void **state)
{
	struct caching *k = *state;
	struct slice body = ms_gw_came_body(r);
	(void)config;
	if (k == NULL || (k->status != STATUS_MISS && k->status != STATUS_REFRESH) ||
	    body.n > (size_t)k->config->max_size || !keep_headers(k, ms_gw_came_headers(r)))
		return GW_NEXT;
	k->entry.body = body;
	k->entry.stored_s = r->wall_ns / 1000000000;
	if (k->vary.n > 0) { // at the base lies by what answers differ, the answer itself beside it
		struct gw_cached vary = {.kind = ENTRY_VARY, .stored_s = k->entry.stored_s, .body = k->vary};
		k->key = ms_gw_text(r, "pc:%s:%.*s", ms_gw_use(r)->id, MS_SLICE_ARG(k->base));
		if (k->key.p == NULL)
			return GW_NEXT;
		store(k, &vary);
		if (!variant_key(k, k->vary))
			return GW_NEXT;
	} else if (k->second) { // it does not differ any more
		k->key = ms_gw_text(r, "pc:%s:%.*s", ms_gw_use(r)->id, MS_SLICE_ARG(k->base));
		if (k->key.p == NULL)
			return GW_NEXT;
	}
	store(k, &k->entry);
	return GW_NEXT;
}

static bool wants_answer_body(const void *config)
{
	(void)config;
	return true;
}

// --- Purging -----------------------------------------------------------------------------------------------------------

struct purging {
	struct cache_op op;
	gw_purged_fn *done;
	void *arg;
	struct mail mail;
	char key[64];
};

static void purged_home(struct mail *mail)
{
	struct purging *p = MS_CONTAINER_OF(mail, struct purging, mail);
	p->done(p->op.err, p->arg);
	free(p);
}

static void purged(struct cache_op *op)
{
	struct purging *p = MS_CONTAINER_OF(op, struct purging, op);
	p->done(op->err, p->arg);
	free(p);
}

void ms_gw_cache_purge(const struct gw_services *services, struct loop *loop, struct slice plugin_id,
		       gw_purged_fn *done, void *arg)
{
	struct purging *p = calloc(1, sizeof(*p));
	if (p == NULL || plugin_id.n >= GW_ID_SIZE) {
		free(p);
		done(p == NULL ? MS_ERR_NO_MEMORY : MS_ERR_INVALID, arg);
		return;
	}
	memcpy(p->key, "pc:", 3);
	if (plugin_id.n > 0) {
		memcpy(p->key + 3, plugin_id.p, plugin_id.n);
		p->key[3 + plugin_id.n] = ':';
	}
	p->done = done;
	p->arg = arg;
	p->op = (struct cache_op){.verb = CACHE_CLEAR, .key = ms_slice_cstr(p->key), .done = purged};
	if (ms_cache_run(services->cache, loop, &p->op))
		ms_loop_post(loop, &p->mail, purged_home);
}

static bool compile(struct plan *plan, void *config, const char *path, struct problems *problems)
{
	struct config *c = config;
	for (size_t i = 0; i < c->vary_headers.count; i++) {
		if (!ms_gw_header_name_ok(c->vary_headers.items[i])) {
			ms_problem_add(problems, path, NULL, "vary_headers: \"%.*s\" is no name of a header",
				       MS_SLICE_ARG(c->vary_headers.items[i]));
			return false;
		}
	}
	for (size_t i = 0; i < c->request_method.count; i++) {
		struct slice m = c->request_method.items[i];
		if (!ms_slice_eq_cstr(m, "GET") && !ms_slice_eq_cstr(m, "HEAD")) {
			ms_problem_add(problems, path, NULL,
				       "request_method: answers to %.*s are not kept here; GET, HEAD", MS_SLICE_ARG(m));
			return false;
		}
	}
	return c->strategy != STRATEGY_REDIS || ms_gw_redis_compile(plan, &c->redis, path, problems);
}

const struct gw_plugin_kind ms_plugin_proxy_cache = {
	.name = "proxy-cache",
	.priority = 100,
	.fields = fields,
	.config_bytes = sizeof(struct config),
	.per_consumer = true,
	.help = "Keeps answers and gives them again",
	.compile = compile,
	.wants_answer_body = wants_answer_body,
	.access = access,
	.answer = answer,
	.answer_body = answer_body,
};
