// SPDX-License-Identifier: Apache-2.0
// A WebSocket server for the tests: what comes goes back. Says "port N" once it listens, "closed CODE REASON" for each WebSocket that is
// over; drains and ends well on SIGTERM. Arguments are name=value: address=…, cert=FILE key=FILE, ping_ms=N, max_message=N, max_waiting=N, loops=N.
//
//	/echo    permessage-deflate when offered, subprotocols "chat" and "superchat", Origins of the own host
//	/plain   without permessage-deflate
//	/origin  Origin https://app.example alone
//	/close   closes with the code and reason that a message names: "4000 bye"
//	/flood   sends 64 KiB messages without end, heeding back-pressure; "careless" as first message: without heeding it
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "net/net.h"

struct server {
	int argc;
	char **argv;
	struct rt *rt;
	struct http_server *http;
};

static const char *text(const struct server *s, const char *name, const char *otherwise)
{
	size_t n = strlen(name);
	for (int i = 1; i < s->argc; i++) {
		if (strncmp(s->argv[i], name, n) == 0 && s->argv[i][n] == '=')
			return s->argv[i] + n + 1;
	}
	return otherwise;
}

static unsigned number(const struct server *s, const char *name)
{
	return (unsigned)strtoul(text(s, name, "0"), NULL, 10);
}

static void on_closed(struct ws *ws, unsigned code, struct slice reason, void *arg)
{
	(void)ws, (void)arg;
	printf("closed %u %.*s\n", code, MS_SLICE_ARG(reason));
	fflush(stdout);
}

static void on_echo(struct ws *ws, enum ws_kind kind, struct slice bytes, void *arg)
{
	(void)arg;
	ms_ws_send(ws, kind, bytes);
}

static void on_close_wanted(struct ws *ws, enum ws_kind kind, struct slice bytes, void *arg)
{
	(void)kind, (void)arg;
	uint64_t code;
	if (!ms_slice_to_u64(ms_slice_sub(bytes, 0, 4), &code))
		code = 1011;
	ms_ws_close(ws, (unsigned)code, ms_slice_sub(bytes, 5, SIZE_MAX));
	ms_ws_close(ws, 1000, MS_SLICE_EMPTY);                      // does nothing
	ms_ws_send(ws, WS_TEXT, MS_SLICE_LIT("not sent any more")); // likewise
}

static char flood_bytes[64 << 10];

static void flood(struct ws *ws, void *arg)
{
	(void)arg;
	while (ms_ws_send(ws, WS_BINARY, ms_slice(flood_bytes, sizeof(flood_bytes))) < sizeof(flood_bytes))
		;
}

static void on_flood(struct ws *ws, enum ws_kind kind, struct slice bytes, void *arg)
{
	(void)kind;
	for (int i = 0; ms_slice_eq_cstr(bytes, "careless") && i < 1000; i++)
		ms_ws_send(ws, WS_BINARY, ms_slice(flood_bytes, sizeof(flood_bytes)));
	flood(ws, arg);
}

static void accept_with(struct exchange *x, struct server *s, const struct ws_handlers *handlers, bool deflate,
			const char *const *origins)
{
	static const char *const protocols[] = {"superchat", "chat", NULL};
	const struct ws_options options = {
		.max_message = number(s, "max_message"),
		.max_waiting = number(s, "max_waiting"),
		.ping_ms = number(s, "ping_ms"),
		.deflate = deflate,
		.origins = origins,
		.subprotocols = protocols,
		.handlers = handlers,
		.arg = s,
	};
	(void)ms_ws_accept(x, &options);
}

static const struct ws_handlers echoes = {on_echo, on_closed, NULL};

static void get_echo(struct exchange *x, void *role)
{
	accept_with(x, role, &echoes, true, NULL);
}

static void get_plain(struct exchange *x, void *role)
{
	accept_with(x, role, &echoes, false, NULL);
}

static void get_origin(struct exchange *x, void *role)
{
	static const char *const origins[] = {"https://app.example", NULL};
	accept_with(x, role, &echoes, true, origins);
}

static void get_close(struct exchange *x, void *role)
{
	static const struct ws_handlers handlers = {on_close_wanted, on_closed, NULL};
	accept_with(x, role, &handlers, true, NULL);
}

static void get_flood(struct exchange *x, void *role)
{
	static const struct ws_handlers handlers = {on_flood, on_closed, flood};
	accept_with(x, role, &handlers, false, NULL);
}

#define FLAGS ROUTE_STREAM | ROUTE_PUBLIC
static const struct route routes[] = {
	{.method = HTTP_GET, .pattern = "/echo", .handle = get_echo, .flags = FLAGS},
	{.method = HTTP_GET, .pattern = "/plain", .handle = get_plain, .flags = FLAGS},
	{.method = HTTP_GET, .pattern = "/origin", .handle = get_origin, .flags = FLAGS},
	{.method = HTTP_GET, .pattern = "/close", .handle = get_close, .flags = FLAGS},
	{.method = HTTP_GET, .pattern = "/flood", .handle = get_flood, .flags = FLAGS},
};

static void on_drained(void *arg)
{
	struct server *s = arg;
	ms_rt_stop(s->rt);
}

static void on_terminate(int signum, void *arg)
{
	struct server *s = arg;
	(void)signum;
	ms_http_server_drain(s->http, 0, on_drained, s);
}

static bool run(struct server *s, struct metrics *metrics, struct errinfo *info)
{
	const struct route_set set = {routes, MS_ARRAY_LEN(routes), s};
	const struct http_tls_options tls = {text(s, "cert", ""), text(s, "key", ""), "1.2"};
	const struct http_listen listen = {text(s, "address", "127.0.0.1:0"), tls.cert_file[0] != '\0' ? &tls : NULL};
	const struct http_server_options options = {
		.rt = s->rt,
		.metrics = metrics,
		.route_sets = &set,
		.route_set_count = 1,
		.listens = &listen,
		.listen_count = 1,
		.limits = MS_HTTP_DEFAULT_LIMITS,
		.access_log = ACCESS_LOG_OFF,
		.h2 = true,
	};
	if (ms_http_server_new(&options, info, &s->http) != MS_OK ||
	    ms_signal_watch(ms_rt_loop(s->rt, 0), SIGTERM, on_terminate, s) != MS_OK)
		return false;
	ms_http_server_start(s->http);
	printf("port %u\n", ms_http_server_port(s->http, 0));
	fflush(stdout);
	return ms_rt_run(s->rt, info) == MS_OK;
}

int main(int argc, char **argv)
{
	struct server s = {.argc = argc, .argv = argv};
	struct metrics *metrics = NULL;
	struct errinfo info;
	ms_errinfo_init(&info);
	unsigned loops = number(&s, "loops");
	const struct rt_options options = {.loops = loops > 0 ? loops : 1};
	bool ok = ms_rt_new(&options, &info, &s.rt) == MS_OK && ms_metrics_new(options.loops, &metrics) == MS_OK &&
		  run(&s, metrics, &info);
	if (!ok)
		fprintf(stderr, "%s\n", info.message);
	ms_http_server_free(s.http);
	ms_metrics_free(metrics);
	ms_rt_free(s.rt);
	return ok ? EXIT_SUCCESS : EXIT_FAILURE;
}
