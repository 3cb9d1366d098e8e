// SPDX-License-Identifier: Apache-2.0
// The gateway role: stands in front of all routes of the process.
#include "app/gateway.h"

#include <stdio.h>
#include <stdlib.h>

#include "app/app.h"
#include "app/cache.h"

#define GATEWAY_FILE_MAX ((size_t)16 << 20)

static void check(void *arg, const struct loop *loop, struct health_report *ret_report)
{
	struct app *app = arg;
	(void)loop;
	// Other upstreams are served, and the roles of this process.
	ret_report->health = ms_gateway_healthy(app->gateway, ret_report->message, sizeof(ret_report->message))
				     ? HEALTH_OK
				     : HEALTH_DEGRADED;
}

// The settings' lists are not NULL-terminated.
static const char *const *trusted_proxies(struct string_list list)
{
	const char **copy = calloc(list.count + 1, sizeof(*copy));
	for (size_t i = 0; copy != NULL && i < list.count; i++)
		copy[i] = list.items[i];
	return copy;
}

static enum ms_err read_file(const char *path, struct errinfo *info, struct slice *ret_text)
{
	struct errinfo why;
	ms_errinfo_init(&why);
	*ret_text = MS_SLICE_EMPTY;
	if (path[0] == '\0')
		return MS_OK;
	enum ms_err err = ms_file_read(path, GATEWAY_FILE_MAX, &why, ret_text);
	return err == MS_OK
		       ? MS_OK
		       : ms_fail(info, MS_ERR_CONFIG, "gateway.file %.150s cannot be read: %.250s", path, why.message);
}

static enum ms_err make(struct app *app, struct slice text, struct errinfo *info)
{
	const char *const *trusted = trusted_proxies(app->settings->gateway_trusted_proxies);
	const struct gateway_options options = {.rt = app->rt,
						.log = app->log,
						.metrics = app->metrics,
						.store = app->store,
						.auth = app->state.auth,
						.cache = app->cache,
						.file = text,
						.file_name = app->settings->gateway_file,
						.trusted_proxies = trusted};
	enum ms_err err = trusted != NULL ? ms_gateway_new(&options, info, &app->gateway)
					  : ms_fail(info, MS_ERR_NO_MEMORY, "out of memory for the gateway");
	free((void *)(uintptr_t)trusted);
	return err;
}

static enum ms_err start(struct app *app, struct errinfo *info)
{
	struct slice text;
	// Nothing is configured and nothing can be: every request is for the other roles.
	if (app->store == NULL && app->settings->gateway_file[0] == '\0')
		return MS_OK;
	MS_TRY(ms_app_open_cache(app, info));
	MS_TRY(read_file(app->settings->gateway_file, info, &text));
	enum ms_err err = make(app, text, info);
	free((void *)(uintptr_t)text.p);
	MS_TRY(err);
	ms_app_add_routes(app, ms_gateway_routes(app->gateway));
	ms_app_add_routes(app, ms_gateway_upstream_routes(app->gateway));
	ms_app_add_check(app, (struct health_check){.name = "gateway", .fn = check, .arg = app});
	return MS_OK;
}

static void stop(struct app *app)
{
	ms_gateway_stop(app->gateway);
}

enum ms_err ms_app_reload_gateway(struct app *app, const char *path, struct errinfo *info)
{
	struct slice text;
	if (app->gateway == NULL || path[0] == '\0')
		return MS_OK;
	MS_TRY(read_file(path, info, &text));
	enum ms_err err = ms_gateway_reload(app->gateway, text, path, info);
	free((void *)(uintptr_t)text.p);
	return err;
}

const struct role ms_role_gateway = {
	.name = "gateway",
	.summary = "routes, balances and guards requests to other services and to the roles of this process",
	.start = start,
	.stop = stop,
};
