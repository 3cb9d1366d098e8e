// SPDX-License-Identifier: Apache-2.0
#include "app/cache.h"

#include <stdio.h>
#include <string.h>

// "": in memory.
static enum ms_err url_of(const struct settings *s, struct arena *arena, struct errinfo *info, const char **ret_url)
{
	const char *host = s->cache_host, *colon = strchr(host, ':');
	bool bare_v6 = host[0] != '[' && colon != NULL && strchr(colon + 1, ':') != NULL;
	*ret_url = s->cache_url;
	if (s->cache_url[0] == '\0' && host[0] != '\0')
		*ret_url = ms_arena_printf(arena, bare_v6 ? "redis://[%s]" : "redis://%s", host);
	return *ret_url != NULL ? MS_OK : ms_fail(info, MS_ERR_NO_MEMORY, "out of memory");
}

enum ms_err ms_app_check_cache(const struct settings *s, struct errinfo *info)
{
	const char *url, *key = s->cache_url[0] != '\0' ? "cache.url" : "cache.host";
	struct arena arena;
	struct errinfo why;
	ms_errinfo_init(&why);
	ms_arena_init(&arena, 1024, (size_t)1 << 16);
	enum ms_err err = url_of(s, &arena, info, &url);
	if (err == MS_OK && url[0] != '\0') {
		ms_errinfo_set_field(info, ms_slice_cstr(key));
		err = ms_cache_check_url(url, &why);
		if (err != MS_OK)
			err = ms_fail(info, err, "%s: %.400s", key, why.message);
	}
	ms_arena_fini(&arena);
	return err;
}

static void check_cache(void *arg, const struct loop *loop, struct health_report *ret_report)
{
	const struct cache *cache = arg;
	(void)loop;
	bool healthy = ms_cache_healthy(cache);
	// Whoever uses it says what happens without it; nothing stops.
	ret_report->health = healthy ? HEALTH_OK : HEALTH_DEGRADED;
	snprintf(ret_report->message, sizeof(ret_report->message), "%s%s", ms_cache_kind(cache),
		 healthy ? "" : ": does not answer as it should; see the log");
}

static enum ms_err open_at(struct app *app, const char *url, struct errinfo *info)
{
	const struct settings *s = app->settings;
	const struct cache_options options = {.url = url,
					      .memory_bytes = (size_t)s->cache_memory,
					      .timeout_ms = (unsigned)s->cache_timeout,
					      .rt = app->rt,
					      .log = app->log,
					      .metrics = app->metrics};
	if (url[0] == '\0' && s->replicas > 1)
		ms_log(app->log, LOG_WARN,
		       "the cache is in the memory of each process, so limits count per process; set cache.url to a "
		       "Redis "
		       "that all of them share",
		       MS_LOG_INT("mainstay.replicas", s->replicas));
	return ms_cache_new(&options, info, &app->cache);
}

enum ms_err ms_app_open_cache(struct app *app, struct errinfo *info)
{
	struct arena arena;
	const char *url;
	if (app->cache != NULL)
		return MS_OK;
	ms_arena_init(&arena, 1024, (size_t)1 << 16);
	enum ms_err err = url_of(app->settings, &arena, info, &url);
	if (err == MS_OK)
		err = open_at(app, url, info);
	ms_arena_fini(&arena);
	if (err == MS_OK)
		ms_app_add_check(app, (struct health_check){.name = "cache", .fn = check_cache, .arg = app->cache});
	return err;
}
