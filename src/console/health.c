// SPDX-License-Identifier: Apache-2.0
// Health and metrics.
#include "console/private.h"

// Above this share of the limit the process is likely to be killed soon.
#define MEMORY_DEGRADED 0.9

static const char *health_name(enum health health)
{
	static const char *const names[] = {
		[HEALTH_OK] = "healthy",
		[HEALTH_DEGRADED] = "degraded",
		[HEALTH_UNHEALTHY] = "unhealthy",
	};
	return names[health];
}

static enum health worse(enum health a, enum health b)
{
	return a > b ? a : b;
}

static void write_report(struct json_writer *w, const char *name, const struct health_report *report)
{
	ms_json_key_lit(w, name);
	ms_json_begin_object(w);
	ms_json_key_lit(w, "status");
	ms_json_cstr(w, health_name(report->health));
	ms_json_key_lit(w, "message");
	ms_json_cstr(w, report->message);
	ms_json_end_object(w);
}

static enum health write_memory(const struct console *console, struct json_writer *w)
{
	struct process_stats process;
	enum health health = HEALTH_OK;
	uint64_t limit = atomic_load(&console->memory_limit);
	ms_process_stats(&process);
	if (limit > 0 && (double)process.resident_bytes > MEMORY_DEGRADED * (double)limit)
		health = HEALTH_DEGRADED;
	ms_json_key_lit(w, "memory");
	ms_json_begin_object(w);
	ms_json_key_lit(w, "status");
	ms_json_cstr(w, health_name(health));
	ms_json_key_lit(w, "resident_bytes");
	ms_json_u64(w, process.resident_bytes);
	ms_json_key_lit(w, "limit_bytes");
	if (limit > 0)
		ms_json_u64(w, limit);
	else
		ms_json_null(w);
	ms_json_end_object(w);
	return health;
}

static void health(struct exchange *x, void *role)
{
	const struct console *console = role;
	struct json_writer w;
	enum health all = HEALTH_OK;
	struct buf checks;
	// The checks decide the status, which stands before them: they are written aside first.
	ms_buf_init(&checks, (size_t)1 << 20);
	ms_json_writer_init(&w, &checks);
	ms_json_begin_object(&w);
	all = worse(all, write_memory(console, &w));
	for (size_t i = 0; i < *console->options.check_count; i++) {
		const struct health_check *check = &console->options.checks[i];
		struct health_report report = {.health = HEALTH_OK};
		check->fn(check->arg, x->loop, &report);
		write_report(&w, check->name, &report);
		all = worse(all, report.health);
	}
	ms_json_end_object(&w);
	ms_json_writer_init(&w, x->body);
	ms_json_begin_object(&w);
	ms_json_key_lit(&w, "status");
	ms_json_cstr(&w, health_name(all));
	ms_json_key_lit(&w, "version");
	ms_json_cstr(&w, MAINSTAY_VERSION);
	ms_json_key_lit(&w, "uptime_seconds");
	ms_json_f64(&w, (double)(ms_loop_wall_ns(x->loop) - console->options.start_unix_ns) * 1e-9);
	ms_json_key_lit(&w, "checks");
	ms_json_raw(&w, ms_buf_slice(&checks));
	ms_json_end_object(&w);
	ms_buf_fini(&checks);
	ms_http_send_json(x, all == HEALTH_UNHEALTHY ? 503 : 200);
}

static void send_flag(struct exchange *x, const char *key, bool value)
{
	struct json_writer w;
	ms_json_writer_init(&w, x->body);
	ms_json_begin_object(&w);
	ms_json_key_lit(&w, key);
	ms_json_bool(&w, value);
	ms_json_end_object(&w);
	ms_http_send_json(x, value ? 200 : 503);
}

static void live(struct exchange *x, void *role)
{
	(void)role;
	send_flag(x, "live", true);
}

static void ready(struct exchange *x, void *role)
{
	const struct console *console = role;
	send_flag(x, "ready", console->options.is_ready(console->options.is_ready_arg));
}

static void metrics(struct exchange *x, void *role)
{
	const struct console *console = role;
	enum metrics_format format = ms_metrics_negotiate(ms_http_header(&x->req, "Accept"));
	ms_metrics_write(console->options.metrics, format, x->body);
	ms_http_send(x, 200, ms_metrics_content_type(format));
}

#define OBSERVABILITY .tag = "observability"
#define PROBE OBSERVABILITY, .flags = ROUTE_QUIET | ROUTE_WHILE_DRAINING | ROUTE_PUBLIC
#define OBJECT "{\"type\":\"object\"}"

static const struct route routes[] = {
	{.method = HTTP_GET,
	 .pattern = "/health",
	 .handle = health,
	 PROBE,
	 .operation_id = "health",
	 .summary = "Status of the process and of each dependency",
	 .response_schema = OBJECT},
	{.method = HTTP_GET,
	 .pattern = "/health/live",
	 .handle = live,
	 PROBE,
	 .operation_id = "live",
	 .summary = "200 while the process runs",
	 .response_schema = OBJECT},
	{.method = HTTP_GET,
	 .pattern = "/health/ready",
	 .handle = ready,
	 PROBE,
	 .operation_id = "ready",
	 .summary = "200 when requests are welcome; 503 while starting, loading or draining",
	 .response_schema = OBJECT},
	{.method = HTTP_GET,
	 .pattern = "/ready",
	 .handle = ready,
	 PROBE,
	 .operation_id = "ready_short",
	 .summary = "The same as /health/ready",
	 .response_schema = OBJECT},
	{.method = HTTP_GET,
	 .pattern = "/metrics",
	 .handle = metrics,
	 OBSERVABILITY,
	 .flags = ROUTE_QUIET | ROUTE_WHILE_DRAINING,
	 .permission = "metrics.read",
	 .operation_id = "metrics",
	 .summary = "Metrics for Prometheus, text 0.0.4 or OpenMetrics 1.0 by Accept",
	 .response_type = "text/plain"},
};

struct route_set ms_console_routes(struct console *console)
{
	return (struct route_set){.routes = routes, .count = MS_ARRAY_LEN(routes), .role = console};
}
