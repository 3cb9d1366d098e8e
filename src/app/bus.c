// SPDX-License-Identifier: Apache-2.0
#include "app/bus.h"

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

static void check_bus(void *arg, const struct loop *loop, struct health_report *ret_report)
{
	const struct bus *bus = arg;
	(void)loop;
	bool healthy = ms_bus_healthy(bus);
	// Events wait in the outbox meanwhile: nothing is lost, and everything else goes on.
	ret_report->health = healthy ? HEALTH_OK : HEALTH_DEGRADED;
	snprintf(ret_report->message, sizeof(ret_report->message), "%s%s", ms_bus_kind(bus),
		 healthy ? "" : ": not connected, events wait; see the log");
}

static enum ms_err open_at(struct app *app, const char *url, struct errinfo *info)
{
	const struct settings *s = app->settings;
	char host[64] = "", process[96];
	if (gethostname(host, sizeof(host) - 1) != 0)
		snprintf(host, sizeof(host), "unknown");
	snprintf(process, sizeof(process), "%s-%d", host, (int)getpid());
	const struct bus_options options = {.store = app->store,
					    .rt = app->rt,
					    .log = app->log,
					    .metrics = app->metrics,
					    .url = url,
					    .exchange = s->bus_exchange,
					    .process = process,
					    .tls_ca = s->bus_tls_ca,
					    .dead_hours = (unsigned)(s->bus_dead_age / MS_PER_HOUR),
					    .dead_limit = (uint64_t)s->bus_dead_limit};
	return ms_bus_new(&options, info, &app->bus);
}

enum ms_err ms_app_open_bus(struct app *app, struct errinfo *info)
{
	struct arena arena;
	const char *url;
	ms_arena_init(&arena, 1024, (size_t)1 << 16);
	enum ms_err err = url_of(app->settings, &arena, info, &url);
	if (err == MS_OK)
		err = open_at(app, url, info);
	ms_arena_fini(&arena);
	if (err == MS_OK)
		ms_app_add_check(app, (struct health_check){.name = "bus", .fn = check_bus, .arg = app->bus});
	return err;
}
