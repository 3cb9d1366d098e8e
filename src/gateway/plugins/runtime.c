// SPDX-License-Identifier: Apache-2.0
// What plugins keep from one request to the next: by name on each loop, and connections to Redis for all.
#include <pthread.h>
#include <stdlib.h>

#include "cache/cache.h"
#include "gateway/plugins/plugins.h"

#define OWN_CACHES_MAX 64

struct entry {
	struct list_node node;
	struct gw_kept *kept;
	struct slice name; // behind this
};
struct per_loop {
	struct mail mail; // that stops it
	struct map map;   // name → entry
	struct list entries;
	bool stopped;
};
struct own_cache {
	char *url;
	struct cache *cache;
};
struct gw_runtime {
	const struct gw_services *services;
	struct per_loop *loops;
	unsigned loop_count;
	pthread_mutex_t mutex; // of the caches: taken when a loop meets one for the first time
	struct own_cache caches[OWN_CACHES_MAX];
	size_t cache_count;
	bool stopping;
};

enum ms_err ms_gw_runtime_new(const struct gw_services *services, struct gw_runtime **ret_runtime)
{
	struct gw_runtime *runtime = calloc(1, sizeof(*runtime));
	unsigned count = ms_rt_loop_count(services->rt);
	if (runtime == NULL)
		return MS_ERR_NO_MEMORY;
	runtime->services = services;
	runtime->loop_count = count;
	runtime->loops = calloc(count, sizeof(*runtime->loops));
	if (runtime->loops == NULL || pthread_mutex_init(&runtime->mutex, NULL) != 0) {
		free(runtime->loops);
		free(runtime);
		return MS_ERR_NO_MEMORY;
	}
	for (unsigned i = 0; i < count; i++) {
		ms_map_init(&runtime->loops[i].map, GW_KEPT_MAX, ms_random_hash_seed());
		ms_list_init(&runtime->loops[i].entries);
	}
	*ret_runtime = runtime;
	return MS_OK;
}

static void stop_loop(struct mail *mail)
{
	struct per_loop *loop = MS_CONTAINER_OF(mail, struct per_loop, mail);
	loop->stopped = true;
	MS_LIST_FOREACH (node, &loop->entries) {
		struct entry *e = MS_CONTAINER_OF(node, struct entry, node);
		if (e->kept->stop != NULL)
			e->kept->stop(e->kept);
	}
}

void ms_gw_runtime_stop(struct gw_runtime *runtime)
{
	if (runtime == NULL)
		return;
	pthread_mutex_lock(&runtime->mutex);
	runtime->stopping = true;
	pthread_mutex_unlock(&runtime->mutex);
	for (unsigned i = 0; i < runtime->loop_count; i++)
		ms_loop_post(ms_rt_loop(runtime->services->rt, i), &runtime->loops[i].mail, stop_loop);
	for (size_t i = 0; i < runtime->cache_count; i++)
		ms_cache_stop(runtime->caches[i].cache);
}

void ms_gw_runtime_free(struct gw_runtime *runtime)
{
	if (runtime == NULL)
		return;
	for (unsigned i = 0; i < runtime->loop_count; i++) {
		struct list_node *node;
		while ((node = ms_list_pop(&runtime->loops[i].entries)) != NULL) {
			struct entry *e = MS_CONTAINER_OF(node, struct entry, node);
			e->kept->free(e->kept);
			free(e);
		}
		ms_map_fini(&runtime->loops[i].map);
	}
	for (size_t i = 0; i < runtime->cache_count; i++) {
		ms_cache_free(runtime->caches[i].cache);
		free(runtime->caches[i].url);
	}
	pthread_mutex_destroy(&runtime->mutex);
	free(runtime->loops);
	free(runtime);
}

// Takes `kept`, also when it fails.
static bool remember(struct per_loop *loop, struct slice name, struct gw_kept *kept)
{
	struct entry *e = malloc(sizeof(*e) + name.n);
	if (e == NULL) {
		kept->free(kept);
		return false;
	}
	memcpy(e + 1, name.p, name.n);
	*e = (struct entry){.kept = kept, .name = ms_slice(e + 1, name.n)};
	if (!ms_map_put(&loop->map, e->name, e, NULL)) {
		kept->free(kept);
		free(e);
		return false;
	}
	ms_list_append(&loop->entries, &e->node);
	return true;
}

struct gw_kept *ms_gw_keep(struct gw_request *r, struct slice name, gw_kept_fn *make, const void *config)
{
	struct per_loop *loop = &r->services->runtime->loops[ms_loop_index(r->x->loop)];
	struct entry *e = ms_map_get(&loop->map, name);
	if (e != NULL)
		return e->kept;
	if (loop->stopped || loop->entries.count >= GW_KEPT_MAX)
		return NULL;
	struct gw_kept *kept = make(r, config);
	return kept != NULL && remember(loop, name, kept) ? kept : NULL;
}

// --- Logging in measure ------------------------------------------------------------------------------------

struct last_log {
	struct gw_kept kept;
	int64_t at_ns;
};

static void free_last(struct gw_kept *kept)
{
	free(MS_CONTAINER_OF(kept, struct last_log, kept));
}

static struct gw_kept *make_last(struct gw_request *r, const void *config)
{
	(void)r;
	(void)config;
	struct last_log *last = calloc(1, sizeof(*last));
	if (last == NULL)
		return NULL;
	last->kept.free = free_last;
	return &last->kept;
}

bool ms_gw_may_log(struct gw_request *r, struct slice name)
{
	struct gw_kept *kept = ms_gw_keep(r, name, make_last, NULL);
	int64_t now = ms_loop_now_ns(r->x->loop);
	if (kept == NULL)
		return false;
	struct last_log *last = MS_CONTAINER_OF(kept, struct last_log, kept);
	if (last->at_ns != 0 && now - last->at_ns < 1000000000)
		return false;
	last->at_ns = now;
	return true;
}

// --- Own caches --------------------------------------------------------------------------------------------

// Under the mutex.
static struct cache *find_cache(struct gw_runtime *runtime, struct slice url, unsigned timeout_ms, struct errinfo *info)
{
	struct cache *cache = NULL;
	for (size_t i = 0; i < runtime->cache_count; i++) {
		if (ms_slice_eq_cstr(url, runtime->caches[i].url))
			return runtime->caches[i].cache;
	}
	if (runtime->stopping || runtime->cache_count == OWN_CACHES_MAX)
		return NULL;
	char *copy = malloc(url.n + 1);
	if (copy == NULL || !ms_slice_to_cstr(url, copy, url.n + 1)) {
		free(copy);
		return NULL;
	}
	const struct cache_options options = {
		.url = copy, .timeout_ms = timeout_ms, .rt = runtime->services->rt, .log = runtime->services->log};
	if (ms_cache_new(&options, info, &cache) != MS_OK) {
		free(copy);
		return NULL;
	}
	runtime->caches[runtime->cache_count++] = (struct own_cache){copy, cache};
	return cache;
}

struct known_cache { // a loop's own note, so that the mutex is taken once
	struct gw_kept kept;
	struct cache *cache;
};
struct wanted_cache {
	struct slice url;
	unsigned timeout_ms;
};

static void free_known(struct gw_kept *kept)
{
	free(MS_CONTAINER_OF(kept, struct known_cache, kept));
}

static struct gw_kept *make_known(struct gw_request *r, const void *config)
{
	const struct wanted_cache *wanted = config;
	struct gw_runtime *runtime = r->services->runtime;
	struct errinfo info;
	ms_errinfo_init(&info);
	pthread_mutex_lock(&runtime->mutex);
	struct cache *cache = find_cache(runtime, wanted->url, wanted->timeout_ms, &info);
	pthread_mutex_unlock(&runtime->mutex);
	struct known_cache *known = cache != NULL ? calloc(1, sizeof(*known)) : NULL;
	if (known == NULL) {
		if (ms_gw_may_log(r, MS_SLICE_LIT("log:own-cache")))
			ms_log(r->services->log, LOG_ERROR, "The Redis of a plugin cannot be used",
			       MS_LOG_CSTR("error.message", info.message));
		return NULL;
	}
	known->kept.free = free_known;
	known->cache = cache;
	return &known->kept;
}

struct cache *ms_gw_own_cache(struct gw_request *r, struct slice url, unsigned timeout_ms)
{
	const struct wanted_cache wanted = {url, timeout_ms};
	struct gw_kept *kept = ms_gw_keep(r, url, make_known, &wanted);
	return kept != NULL ? MS_CONTAINER_OF(kept, struct known_cache, kept)->cache : NULL;
}

// --- `redis` of configurations -----------------------------------------------------------------------------

const struct field ms_gw_redis_fields[] = {
	GW_STRING(gw_redis, host, NULL, "Host of Redis; none: the cache of this process"),
	GW_INTEGER(gw_redis, port, "6379", 1, GW_PORT_MAX, "Port"),
	GW_INTEGER(gw_redis, timeout, "2000", 1, 2147483646, "Milliseconds for an operation"),
	GW_STRING(gw_redis, username, NULL, "User (Redis 6)"),
	GW_FIELD(gw_redis, password, FIELD_STRING, .secret = true, .help = "Password"),
	GW_INTEGER(gw_redis, database, "0", 0, 1000000, "Number of the database"),
	GW_BOOL(gw_redis, ssl, "false", "TLS"),
	GW_BOOL(gw_redis, ssl_verify, "false", "Check the certificate"),
	GW_STRING(gw_redis, server_name, NULL, "Server name of TLS"),
	{0},
};

bool ms_gw_redis_compile(struct plan *plan, struct gw_redis *redis, const char *path, struct problems *problems)
{
	struct buf url;
	if (redis->host.n == 0)
		return true;
	ms_buf_init(&url, 4096);
	ms_buf_append_cstr(&url, redis->ssl ? "rediss://" : "redis://");
	if (redis->password.n > 0 || redis->username.n > 0) {
		ms_gw_percent_append(&url, redis->username, false);
		ms_buf_append_char(&url, ':');
		ms_gw_percent_append(&url, redis->password, false);
		ms_buf_append_char(&url, '@');
	}
	bool v6 = ms_slice_find(redis->host, ':') < redis->host.n;
	ms_buf_printf(&url, v6 ? "[%.*s]:%lld/%lld" : "%.*s:%lld/%lld", MS_SLICE_ARG(redis->host),
		      (long long)redis->port, (long long)redis->database);
	redis->url = ms_buf_ok(&url) ? ms_arena_copy(&plan->arena, ms_buf_slice(&url)) : MS_SLICE_EMPTY;
	ms_buf_fini(&url);
	if (redis->url.p == NULL)
		ms_problem_add(problems, path, NULL, "redis: host, username and password are too long");
	return redis->url.p != NULL;
}

struct cache *ms_gw_redis_cache(struct gw_request *r, const struct gw_redis *redis)
{
	return redis->url.n > 0 ? ms_gw_own_cache(r, redis->url, (unsigned)redis->timeout) : r->services->cache;
}

struct cache *ms_gw_memory_cache(struct gw_request *r)
{
	struct cache *cache = r->services->cache;
	if (cache == NULL || strcmp(ms_cache_kind(cache), "memory") == 0)
		return cache;
	const struct wanted_cache wanted = {.timeout_ms = 1000};
	struct gw_kept *kept = ms_gw_keep(r, MS_SLICE_LIT("memory"), make_known, &wanted);
	return kept != NULL ? MS_CONTAINER_OF(kept, struct known_cache, kept)->cache : NULL;
}
