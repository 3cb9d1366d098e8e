// SPDX-License-Identifier: Apache-2.0
#include "app/store.h"

#include <stdio.h>

#include "auth/auth.h"
#include "bus/bus.h"
#include "gateway/gateway.h"
#include "rt/rt.h"

#define MODULES_MAX 32
#define FILE_NAME "mainstay.db"

// The migrations of all modules, in the order in which they are applied. The store's own tables come before them.
static const struct store_migrations *const modules[] = {&ms_auth_migrations, &ms_bus_migrations,
							 &ms_gateway_migrations, NULL};

enum { MIGRATE_AUTO, MIGRATE_ALWAYS, MIGRATE_NEVER }; // the order of the setting's range

static size_t module_count(void)
{
	size_t count = 0;
	while (modules[count] != NULL)
		count++;
	MS_ASSERT(count <= MODULES_MAX);
	return count;
}

static bool has(const char *text)
{
	return text[0] != '\0';
}

bool ms_app_wants_store(const struct settings *s)
{
	return s->auth || has(s->store_url) || has(s->store_host) || has(s->bus_url) || has(s->bus_host);
}

enum ms_err ms_app_store_url(const struct settings *s, struct arena *arena, struct errinfo *info, const char **ret_url)
{
	if (has(s->store_url)) {
		*ret_url = s->store_url;
		return MS_OK;
	}
	if (has(s->store_host)) {
		const struct store_server server = {.host = s->store_host,
						    .port = (unsigned)s->store_port,
						    .name = s->store_name,
						    .user = s->store_user,
						    .password = s->store_password};
		return ms_store_server_url(&server, arena, info, ret_url);
	}
	*ret_url = ms_arena_printf(arena, "sqlite:%s/" FILE_NAME, s->data_dir);
	return *ret_url != NULL ? MS_OK : ms_fail(info, MS_ERR_NO_MEMORY, "out of memory");
}

static bool is_embedded(const char *url)
{
	return ms_slice_starts_with(ms_slice_cstr(url), MS_SLICE_LIT("sqlite:"));
}

static enum ms_err check(const struct settings *s, const char *url, struct errinfo *info)
{
	if (s->replicas > 1 && is_embedded(url)) {
		ms_errinfo_set_field(info, MS_SLICE_LIT("replicas"));
		return ms_fail(
			info, MS_ERR_CONFIG,
			"replicas: %lld replicas cannot share the embedded database; set store.url or store.host to a "
			"PostgreSQL that all of them reach",
			(long long)s->replicas);
	}
	if (s->store_connections_max > 0 && s->store_connections_min > s->store_connections_max) {
		ms_errinfo_set_field(info, MS_SLICE_LIT("store.connections_min"));
		return ms_fail(info, MS_ERR_CONFIG,
			       "store.connections_min: %lld is more than store.connections_max, %lld",
			       (long long)s->store_connections_min, (long long)s->store_connections_max);
	}
	return MS_OK;
}

enum ms_err ms_app_check_store(const struct settings *s, struct errinfo *info)
{
	struct arena arena;
	const char *url;
	if (!ms_app_wants_store(s))
		return MS_OK;
	ms_arena_init(&arena, 1024, (size_t)1 << 16);
	enum ms_err err = ms_app_store_url(s, &arena, info, &url);
	if (err == MS_OK)
		err = check(s, url, info);
	ms_arena_fini(&arena);
	return err;
}

static bool migrates(const struct settings *s, const char *url)
{
	return s->store_migrate == MIGRATE_ALWAYS || (s->store_migrate == MIGRATE_AUTO && is_embedded(url));
}

static enum ms_err open_at(const struct settings *s, const char *url, enum app_store_use use, struct log *log,
			   struct metrics *metrics, struct errinfo *info, struct store **ret_store)
{
	struct store_migrations sets[MODULES_MAX];
	for (size_t i = 0; i < module_count(); i++)
		sets[i] = *modules[i];
	const struct store_options options = {
		.url = url,
		.log = log,
		.metrics = metrics,
		.migrations = sets,
		.migration_count = module_count(),
		.migrate = migrates(s, url),
		.connections_min = (unsigned)s->store_connections_min,
		.connections_max = (unsigned)s->store_connections_max,
		.idle_timeout_ms = s->store_idle_timeout,
		.queue_depth = (unsigned)s->store_queue,
		.check_only = use == APP_STORE_LOOK,
	};
	return ms_store_open(&options, info, ret_store);
}

enum ms_err ms_app_open_store(const struct settings *s, enum app_store_use use, struct log *log,
			      struct metrics *metrics, struct errinfo *info, struct store **ret_store)
{
	struct arena arena;
	const char *url;
	ms_arena_init(&arena, 1024, (size_t)1 << 16);
	enum ms_err err = ms_app_store_url(s, &arena, info, &url);
	if (err == MS_OK)
		err = open_at(s, url, use, log, metrics, info, ret_store);
	ms_arena_fini(&arena);
	return err;
}

enum ms_err ms_app_prepare_store(const struct settings *s, struct errinfo *info)
{
	return has(s->store_url) || has(s->store_host) ? MS_OK : ms_dir_create(s->data_dir, info);
}

enum ms_err ms_app_store_place(const struct settings *s, struct errinfo *info, char ret_place[MS_STORE_PLACE_SIZE])
{
	struct arena arena;
	const char *url;
	ms_arena_init(&arena, 1024, (size_t)1 << 16);
	enum ms_err err = ms_app_store_url(s, &arena, info, &url);
	if (err == MS_OK)
		ms_store_place(url, ret_place);
	ms_arena_fini(&arena);
	return err;
}
