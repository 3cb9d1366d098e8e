// SPDX-License-Identifier: Apache-2.0
#include "app/bus.h"

#include <stdio.h>
#include <unistd.h>

#define MS_PER_HOUR 3600000

// NULL: events stay in process.
static enum ms_err url_of(const struct settings *s, struct arena *arena, struct errinfo *info, const char **ret_url)
{
	*ret_url = s->bus_url[0] != '\0' ? s->bus_url : NULL;
	if (*ret_url != NULL || s->bus_host[0] == '\0')
		return MS_OK;
	const struct bus_server server = {.host = s->bus_host,
					  .port = (unsigned)s->bus_port,
					  .user = s->bus_user,
					  .password = s->bus_password[0] != '\0' ? s->bus_password : "guest",
					  .vhost = s->bus_vhost,
					  .tls = s->bus_tls};
	return ms_bus_server_url(&server, arena, info, ret_url);
}

enum ms_err ms_app_check_bus(const struct settings *s, struct errinfo *info)
{
	struct arena arena;
	const char *url;
	ms_arena_init(&arena, 1024, (size_t)1 << 16);
	enum ms_err err = url_of(s, &arena, info, &url);
	if (err == MS_OK)
		err = ms_bus_check(url, s->bus_exchange, info);
	ms_arena_fini(&arena);
	return err;
}

enum ms_err ms_app_open_bus(const struct settings *s, struct store *store, struct rt *rt, struct log *log,
			    struct metrics *metrics, struct errinfo *info, struct bus **ret_bus)
{
	struct arena arena;
	char host[64] = "", process[96];
	if (gethostname(host, sizeof(host) - 1) != 0)
		snprintf(host, sizeof(host), "unknown");
	snprintf(process, sizeof(process), "%s-%d", host, (int)getpid());
	struct bus_options options = {.store = store,
				      .rt = rt,
				      .log = log,
				      .metrics = metrics,
				      .exchange = s->bus_exchange,
				      .process = process,
				      .tls_ca = s->bus_tls_ca,
				      .dead_hours = (unsigned)(s->bus_dead_age / MS_PER_HOUR),
				      .dead_limit = (uint64_t)s->bus_dead_limit};
	ms_arena_init(&arena, 1024, (size_t)1 << 16);
	enum ms_err err = url_of(s, &arena, info, &options.url);
	if (err == MS_OK)
		err = ms_bus_new(&options, info, ret_bus);
	ms_arena_fini(&arena);
	return err;
}
