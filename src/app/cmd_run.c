// SPDX-License-Identifier: Apache-2.0
// `mainstay run`: the server's life from settings to the last answered request.
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "app/app.h"
#include "app/bus.h"
#include "app/commands.h"
#include "app/store.h"

static const enum log_level log_levels[] = {LOG_TRACE, LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR, LOG_OFF};
static const enum log_format log_formats[] = {LOG_FORMAT_AUTO, LOG_FORMAT_JSON, LOG_FORMAT_TEXT};

// A second signal this soon is the first one, sent by a terminal and a supervisor both.
#define SAME_SIGNAL_NS 500000000

struct run {
	struct app app;
	struct cli *cli;
	struct config *config;
	uint32_t roles;
	uint32_t started;     // roles whose start was called
	int64_t terminate_ns; // of the first signal to stop
	struct string_list addresses;
	struct http_listen *listens;
	struct http_tls_options tls;
	struct pool *pool; // one thread for what blocks besides requests: reading the settings again
	struct reload {
		struct job job;
		struct config *config; // the new one, until it is applied
		struct errinfo info;
		bool running;
	} reload;
};

void ms_app_add_routes(struct app *app, struct route_set routes)
{
	MS_ASSERT(app->route_set_count < MS_APP_ROUTE_SETS_MAX);
	app->route_sets[app->route_set_count++] = routes;
}

void ms_app_add_check(struct app *app, struct health_check check)
{
	MS_ASSERT(app->check_count < MS_APP_CHECKS_MAX);
	app->checks[app->check_count++] = check;
}

bool ms_app_is_ready(void *arg)
{
	const struct app *app = arg;
	bool loaded = app->registry == NULL || ms_registry_ready(app->registry);
	return loaded && !atomic_load(&app->draining);
}

// --- Signals -----------------------------------------------------------------------------------------

static void drained(void *arg)
{
	struct run *run = arg;
	ms_log(run->app.log, LOG_INFO, "all requests are answered");
	ms_rt_stop(run->app.rt);
}

static void on_terminate(int signum, void *arg)
{
	struct run *run = arg;
	int64_t now_ns = ms_clock_mono_ns();
	if (atomic_exchange(&run->app.draining, true)) {
		if (now_ns - run->terminate_ns < SAME_SIGNAL_NS)
			return;
		ms_log(run->app.log, LOG_WARN, "stopping at once: the signal came again");
		ms_http_server_cut(run->app.server);
		return;
	}
	run->terminate_ns = now_ns;
	ms_log(run->app.log, LOG_INFO, "shutting down",
	       MS_LOG_CSTR("mainstay.signal", signum == SIGTERM ? "SIGTERM" : "SIGINT"));
	for (size_t i = 0; i < ms_role_count(); i++) {
		if ((run->started >> i & 1) != 0 && ms_role(i)->drain != NULL)
			ms_role(i)->drain(&run->app);
	}
	ms_http_server_drain(run->app.server, (unsigned)run->app.settings->http_drain_grace, drained, run);
}

static void read_again(struct job *job)
{
	struct reload *reload = MS_CONTAINER_OF(job, struct reload, job);
	struct run *run = MS_CONTAINER_OF(reload, struct run, reload);
	ms_errinfo_init(&reload->info);
	if (ms_settings_load(&run->cli->origin, NULL, NULL, &reload->info, &reload->config) != MS_OK)
		reload->config = NULL;
}

static uint64_t memory_limit_of(const struct settings *settings)
{
	return settings->memory_limit > 0 ? settings->memory_limit : ms_process_memory_limit();
}

// Settings that can change while running take effect; the others wait for the next start, and the log says so.
static void warn_of_restart(struct run *run, const struct config *fresh)
{
	for (size_t i = 0; i < ms_config_count(); i++) {
		struct setting_view old, new;
		ms_config_view(run->config, i, &old);
		ms_config_view(fresh, i, &new);
		if (!old.reloadable && strcmp(old.value, new.value) != 0)
			ms_log(run->app.log, LOG_WARN, "this setting takes effect at the next start",
			       MS_LOG_CSTR("mainstay.setting", old.key));
	}
}

// Which settings are others now; never their values. `fresh` NULL: they were wrong.
static void record_reload(struct run *run, const struct config *fresh)
{
	struct buf details;
	struct json_writer w;
	ms_buf_init(&details, 4096);
	ms_json_writer_init(&w, &details);
	ms_json_begin_object(&w);
	ms_json_key_lit(&w, "changed");
	ms_json_begin_array(&w);
	for (size_t i = 0; fresh != NULL && i < ms_config_count() && details.n < 3000; i++) {
		struct setting_view view;
		ms_config_view(fresh, i, &view);
		if (ms_config_differs(run->config, fresh, i))
			ms_json_cstr(&w, view.key);
	}
	ms_json_end_array(&w);
	ms_json_end_object(&w);
	const struct audit_entry entry = {.event = AUTH_SETTINGS_RELOADED,
					  .outcome = fresh != NULL ? AUDIT_OK : AUDIT_FAILED,
					  .actor = ms_auth_actor_system(),
					  .target = MS_SLICE_LIT("server"),
					  .details = ms_buf_ok(&details) ? ms_buf_slice(&details) : MS_SLICE_EMPTY};
	ms_audit_later(run->app.state.auth, &entry);
	ms_buf_fini(&details);
}

static void apply_again(struct job *job)
{
	struct reload *reload = MS_CONTAINER_OF(job, struct reload, job);
	struct run *run = MS_CONTAINER_OF(reload, struct run, reload);
	struct errinfo info;
	reload->running = false;
	ms_errinfo_init(&info);
	record_reload(run, reload->config);
	if (reload->config == NULL) {
		ms_log(run->app.log, LOG_ERROR, "settings are wrong; the present ones stay",
		       MS_LOG_CSTR("error.message", reload->info.message));
		return;
	}
	warn_of_restart(run, reload->config);
	ms_log_set_level(run->app.log, log_levels[ms_config_settings(reload->config)->log_level]);
	ms_console_set_memory_limit(run->app.console, memory_limit_of(ms_config_settings(reload->config)));
	ms_config_free(reload->config);
	reload->config = NULL;
	if (ms_http_server_reload_tls(run->app.server, &info) != MS_OK)
		ms_log(run->app.log, LOG_ERROR, "certificate cannot be read again; the present one stays",
		       MS_LOG_CSTR("error.message", info.message));
	ms_log(run->app.log, LOG_INFO, "settings were read again");
}

static void on_reload(int signum, void *arg)
{
	struct run *run = arg;
	(void)signum;
	if (run->reload.running)
		return;
	run->reload.running = ms_pool_submit(run->pool, &run->reload.job, ms_rt_loop(run->app.rt, 0), read_again,
					     apply_again) == MS_OK;
	if (run->app.registry != NULL)
		ms_registry_look(run->app.registry);
}

// --- Start -------------------------------------------------------------------------------------------

static struct http_limits limits_of(const struct settings *s)
{
	return (struct http_limits){
		.uri_bytes = (size_t)s->http_uri_limit,
		.header_bytes = (size_t)s->http_header_limit,
		.header_count = (unsigned)s->http_header_count,
		.body_bytes = (size_t)s->http_body_limit,
		.upload_bytes = (size_t)s->http_upload_limit,
		.inflated_ratio = (size_t)s->http_inflate_ratio,
		.connections = (unsigned)s->http_connections,
		.header_timeout_ms = (unsigned)s->http_header_timeout,
		.body_timeout_ms = (unsigned)s->http_body_timeout,
		.idle_timeout_ms = (unsigned)s->http_idle_timeout,
		.write_timeout_ms = (unsigned)s->http_write_timeout,
		.drain_timeout_ms = (unsigned)s->http_drain_timeout,
		.h2_streams = (unsigned)s->http_h2_streams,
		.h2_glitches = (unsigned)s->http_h2_glitches,
	};
}

// Each connection needs a descriptor; the soft limit of most systems is 1024.
static void raise_descriptor_limit(void)
{
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == limit.rlim_max)
		return;
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
		return; // the lower limit stays; connections beyond it are refused by accept
}

static enum ms_err start_observing(struct run *run, struct errinfo *info)
{
	const struct settings *s = run->app.settings;
	const struct log_options log = {.level = log_levels[s->log_level],
					.format = log_formats[s->log_format],
					.fd = STDERR_FILENO,
					.service = "mainstay",
					.version = MAINSTAY_VERSION};
	MS_TRY(ms_log_new(&log, info, &run->app.log));
	MS_TRY(ms_metrics_new(ms_rt_loop_count(run->app.rt), &run->app.metrics));
	if (!ms_metrics_register_process(run->app.metrics, run->app.log))
		return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory for metrics");
	return MS_OK;
}

static void check_store(void *arg, const struct loop *loop, struct health_report *ret_report)
{
	struct store *store = arg;
	(void)loop;
	// Predictions go on without it.
	ret_report->health = ms_store_healthy(store) ? HEALTH_OK : HEALTH_DEGRADED;
	snprintf(ret_report->message, sizeof(ret_report->message), "%s%s", ms_store_kind(store),
		 ms_store_healthy(store) ? "" : ": does not answer; see the log");
}

static enum ms_err start_store(struct app *app, struct errinfo *info)
{
	if (!ms_app_wants_store(app->settings))
		return MS_OK;
	MS_TRY(ms_app_open_store(app->settings, APP_STORE_SERVE, app->log, app->metrics, info, &app->store));
	ms_app_add_check(app, (struct health_check){.name = "store", .fn = check_store, .arg = app->store});
	return ms_app_open_bus(app, info);
}

static enum ms_err start_roles(struct run *run, struct errinfo *info)
{
	struct app *app = &run->app;
	const struct console_options console = {
		.log = app->log,
		.metrics = app->metrics,
		.start_unix_ns = app->start_unix_ns,
		.memory_limit = memory_limit_of(app->settings),
		.is_ready = ms_app_is_ready,
		.is_ready_arg = app,
		.checks = app->checks,
		.check_count = &app->check_count,
	};
	MS_TRY(ms_console_new(&console, info, &app->console));
	ms_app_add_routes(app, ms_console_routes(app->console));
	for (size_t i = 0; i < ms_role_count(); i++) {
		if ((run->roles >> i & 1) == 0)
			continue;
		run->started |= 1U << i;
		MS_TRY(ms_role(i)->start(app, info));
	}
	return MS_OK;
}

// How curl is told of the first address: with its real port.
static const char *own_address(const struct run *run)
{
	struct arena *arena = &run->cli->arena;
	struct slice address = ms_slice_cstr(run->addresses.items[0]), https = MS_SLICE_LIT("https://"),
		     local = MS_SLICE_LIT("unix:");
	bool tls = ms_slice_starts_with(address, https);
	if (tls)
		address = ms_slice_sub(address, https.n, SIZE_MAX);
	const char *scheme = tls ? "https" : "http";
	if (ms_slice_starts_with(address, local))
		return ms_arena_printf(arena, "--unix-socket %s %s://localhost", address.p + local.n, scheme);
	size_t colon = address.n;
	while (colon > 0 && address.p[colon - 1] != ':')
		colon--;
	struct slice host = ms_slice_sub(address, 0, colon > 0 ? colon - 1 : 0);
	return ms_arena_printf(arena, "%s://%.*s:%u", scheme,
			       MS_SLICE_ARG(host.n > 0 ? host : MS_SLICE_LIT("localhost")),
			       ms_http_server_port(run->app.server, 0));
}

// The first start makes an administrator; this is the only time that his key is shown.
static enum ms_err show_first_key(struct run *run, struct errinfo *info)
{
	struct app *app = &run->app;
	struct slice key;
	MS_TRY(ms_auth_first_start(app->state.auth, &run->cli->arena, info, &key));
	if (key.n == 0)
		return MS_OK;
	const char *address = own_address(run);
	fprintf(run->cli->err,
		"\nThe first start made the user 'admin' and this key of his; it is shown once and kept in "
		"%s/" MS_AUTH_ADMIN_KEY_FILE ":\n\n"
		"    %.*s\n\n"
		"    curl -H \"X-API-Key: $(cat %s/" MS_AUTH_ADMIN_KEY_FILE ")\" %s/api/v1/auth/me\n"
		"    mainstay user password admin --data-dir %s    # a password to sign in with\n\n",
		app->settings->data_dir, MS_SLICE_ARG(key), app->settings->data_dir,
		address != NULL ? address : "http://localhost:8080", app->settings->data_dir);
	fflush(run->cli->err);
	return MS_OK;
}

static enum ms_err start_state(struct run *run, struct errinfo *info)
{
	struct app *app = &run->app;
	const struct state_options options = {.settings = app->settings,
					      .store = app->store,
					      .bus = app->bus,
					      .environment = run->cli->origin.environment,
					      .rt = app->rt,
					      .log = app->log,
					      .metrics = app->metrics};
	if (!app->settings->auth) {
		ms_log(app->log, LOG_WARN,
		       "authentication is off: whoever reaches this machine's addresses may do everything");
		return MS_OK;
	}
	return ms_state_open(&options, info, &app->state);
}

static enum ms_err start_listening(struct run *run, struct errinfo *info)
{
	static const char *const tls_versions[] = {"1.2", "1.3"};
	struct app *app = &run->app;
	const struct settings *s = app->settings;
	MS_TRY(ms_settings_listen(s, &run->cli->arena, info, &run->addresses));
	run->tls = (struct http_tls_options){.cert_file = s->http_tls_cert,
					     .key_file = s->http_tls_key,
					     .min_version = tls_versions[s->http_tls_min_version]};
	run->listens = MS_ARENA_ARRAY(&run->cli->arena, struct http_listen, run->addresses.count);
	if (run->listens == NULL)
		return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory");
	for (size_t i = 0; i < run->addresses.count; i++) {
		const char *address = run->addresses.items[i];
		bool tls = ms_slice_starts_with(ms_slice_cstr(address), MS_SLICE_LIT("https://"));
		run->listens[i] = (struct http_listen){.address = address, .tls = tls ? &run->tls : NULL};
	}
	const struct http_server_options server = {.rt = app->rt,
						   .log = app->log,
						   .metrics = app->metrics,
						   .route_sets = app->route_sets,
						   .route_set_count = app->route_set_count,
						   .listens = run->listens,
						   .listen_count = run->addresses.count,
						   .limits = limits_of(s),
						   .guard = app->state.auth != NULL ? ms_auth_guard(app->state.auth)
										    : NULL,
						   .access_log = (unsigned)s->log_access,
						   .h2 = s->http_h2};
	MS_TRY(ms_http_server_new(&server, info, &app->server));
	return ms_console_attach(app->console, app->server, info);
}

static enum ms_err watch_signals(struct run *run)
{
	struct loop *loop = ms_rt_loop(run->app.rt, 0);
	MS_TRY(ms_signal_watch(loop, SIGTERM, on_terminate, run));
	MS_TRY(ms_signal_watch(loop, SIGINT, on_terminate, run));
	return ms_signal_watch(loop, SIGHUP, on_reload, run);
}

// A server that could keep nothing should say so now, not when the first model is pushed.
static enum ms_err check_data_dir(const struct settings *settings, struct errinfo *info)
{
	struct errinfo why;
	ms_errinfo_init(&why);
	enum ms_err err = ms_dir_create(settings->data_dir, &why);
	return err == MS_OK
		       ? MS_OK
		       : ms_fail(info, err, "data_dir %.200s cannot be used: %.250s", settings->data_dir, why.message);
}

static enum ms_err start(struct run *run, struct errinfo *info)
{
	struct app *app = &run->app;
	const struct rt_options rt = {.loops = (unsigned)app->settings->threads};
	raise_descriptor_limit();
	app->start_unix_ns = ms_clock_wall_ns();
	MS_TRY(ms_roles_parse(app->settings->roles, info, &run->roles));
	MS_TRY(check_data_dir(app->settings, info));
	MS_TRY(ms_rt_new(&rt, info, &app->rt));
	MS_TRY(start_observing(run, info));
	MS_TRY(ms_pool_new(&(struct pool_options){.name = "admin", .threads = 1, .depth = 16}, info, &run->pool));
	MS_TRY(start_store(app, info));
	MS_TRY(start_state(run, info));
	MS_TRY(start_roles(run, info));
	if (app->bus != NULL)
		MS_TRY(ms_bus_start(app->bus, info));
	MS_TRY(start_listening(run, info));
	MS_TRY(watch_signals(run));
	return app->state.auth != NULL ? show_first_key(run, info) : MS_OK;
}

static void say_listening(const struct run *run)
{
	const struct app *app = &run->app;
	for (size_t i = 0; i < run->addresses.count; i++) {
		if (!ms_settings_is_local(run->addresses.items[i]) &&
		    !ms_slice_starts_with(ms_slice_cstr(run->addresses.items[i]), MS_SLICE_LIT("https://")))
			ms_log(app->log, LOG_WARN,
			       "this address is reachable from other machines, and nothing encrypts what they send: "
			       "keys and passwords too",
			       MS_LOG_CSTR("server.address", run->addresses.items[i]));
	}
	for (size_t i = 0; i < run->addresses.count; i++)
		ms_log(app->log, LOG_INFO, "listening", MS_LOG_CSTR("server.address", run->addresses.items[i]),
		       MS_LOG_INT("server.port", (int64_t)ms_http_server_port(app->server, i)),
		       MS_LOG_INT("mainstay.threads", (int64_t)ms_rt_loop_count(app->rt)));
}

// --- End ---------------------------------------------------------------------------------------------

// In the reverse order of the start; works from any point that the start came to. Pools end before the loops,
// which deliver their last mail; what that mail touches is freed after the loops.
static void end(struct run *run)
{
	struct app *app = &run->app;
	for (size_t i = ms_role_count(); i-- > 0;) {
		if ((run->started >> i & 1) != 0 && ms_role(i)->stop != NULL)
			ms_role(i)->stop(app);
	}
	ms_pool_free(run->pool);
	ms_state_stop(&app->state);
	if (app->bus != NULL)
		ms_bus_stop(app->bus);
	ms_store_stop(app->store);
	if (app->rt != NULL)
		ms_rt_deliver(app->rt); // requests whose clients were cut off come home before their connections go
	ms_http_server_free(app->server);
	ms_rt_free(app->rt);
	for (size_t i = ms_role_count(); i-- > 0;) {
		if ((run->started >> i & 1) != 0 && ms_role(i)->release != NULL)
			ms_role(i)->release(app);
	}
	ms_state_free(&app->state);
	ms_bus_free(app->bus);
	ms_store_free(app->store);
	ms_console_free(app->console);
	ms_metrics_free(app->metrics);
	ms_log_free(app->log);
	ms_config_free(run->config);
}

static enum cli_exit run_server(struct cli *cli)
{
	struct run run = {.cli = cli};
	struct errinfo info;
	ms_errinfo_init(&info);
	enum cli_exit status = ms_cli_load_config(cli, &run.config);
	if (status != CLI_OK)
		return status;
	run.app.settings = ms_config_settings(run.config);
	enum ms_err err = start(&run, &info);
	if (err == MS_OK) {
		ms_http_server_start(run.app.server);
		say_listening(&run);
		err = ms_rt_run(run.app.rt, &info);
	}
	if (err == MS_OK)
		ms_log(run.app.log, LOG_INFO, "stopped");
	end(&run);
	return err == MS_OK ? CLI_OK : ms_cli_fail(cli, &info);
}

const struct cli_command ms_cmd_run = {
	.noun = "run",
	.arguments = "",
	.summary = "Run the server",
	.details = "Most used settings: --port, --listen, --threads, --data-dir, --models DIR, --model FILE, --roles.\n"
		   "SIGTERM or SIGINT drains and stops, a second one cuts what is open.\n"
		   "SIGHUP reads settings, certificate and models again.\n",
	.settings = true,
	.run = run_server,
};
