// SPDX-License-Identifier: Apache-2.0
// Metrics of requests and the access log.
#include "net/server.h"

static const char *const request_labels[] = {"method", "endpoint", "status"};
static const char *const duration_labels[] = {"method", "endpoint"};
static const double duration_buckets[] = {0.001, 0.01, 0.1, 0.5, 1, 2.5, 5, 10};

enum ms_err ms_stats_init(struct stats *stats, struct metrics *metrics, struct errinfo *info)
{
	const struct metric_options requests = {
		.name = "http_requests_total",
		.help = "HTTP requests answered, by method, route and status.",
		.type = METRIC_COUNTER,
		.labels = request_labels,
		.label_count = MS_ARRAY_LEN(request_labels),
	};
	const struct metric_options seconds = {
		.name = "http_request_duration_seconds",
		.help = "Time from the first byte of a request to its answer, by method and route.",
		.unit = "seconds",
		.type = METRIC_HISTOGRAM,
		.labels = duration_labels,
		.label_count = MS_ARRAY_LEN(duration_labels),
		.buckets = duration_buckets,
		.bucket_count = MS_ARRAY_LEN(duration_buckets),
	};
	const struct metric_options active = {
		.name = "active_connections",
		.help = "Open client connections.",
		.type = METRIC_GAUGE,
	};
	stats->requests = ms_metrics_family(metrics, &requests);
	stats->seconds = ms_metrics_family(metrics, &seconds);
	struct metric_family *family = ms_metrics_family(metrics, &active);
	stats->active = family != NULL ? ms_metrics_series(family, NULL) : NULL;
	if (stats->requests == NULL || stats->seconds == NULL || stats->active == NULL)
		return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory for the metrics of the HTTP server");
	return MS_OK;
}

// A request whose line was not readable has no method.
static uint8_t method_of(const struct work *w)
{
	return w->parsed ? (uint8_t)w->x.req.method : HTTP_METHOD_COUNT;
}

static struct slice method_name(uint8_t method)
{
	return method < HTTP_METHOD_COUNT ? ms_slice_cstr(ms_http_method_name((enum http_method)method))
					  : MS_SLICE_LIT("unknown");
}

static struct slice endpoint_of(const struct work *w)
{
	const struct route *route = w->x.req.route;
	return route != NULL ? ms_slice_cstr(route->pattern) : MS_SLICE_LIT("unmatched");
}

static struct metric_series *requests_series(struct work *w, struct route_stats *cache)
{
	struct net_loop *nl = w->nl;
	uint8_t method = method_of(w);
	size_t i = 0;
	for (; i < STATS_SLOTS && cache->slots[i].requests != NULL; i++) {
		if (cache->slots[i].status == w->status && cache->slots[i].method == method)
			return cache->slots[i].requests;
	}
	char status[4] = {(char)('0' + w->status / 100), (char)('0' + w->status / 10 % 10),
			  (char)('0' + w->status % 10)};
	const struct slice values[] = {method_name(method), endpoint_of(w), ms_slice(status, 3)};
	struct metric_series *series = ms_metrics_series(nl->server->stats.requests, values);
	if (i < STATS_SLOTS && series != NULL) {
		cache->slots[i].status = (uint16_t)w->status;
		cache->slots[i].method = method;
		cache->slots[i].requests = series;
	}
	return series;
}

static struct metric_series *seconds_series(struct work *w, struct route_stats *cache)
{
	struct net_loop *nl = w->nl;
	uint8_t method = method_of(w);
	struct metric_series **slot = &cache->seconds[method];
	if (*slot == NULL) {
		const struct slice values[] = {method_name(method), endpoint_of(w)};
		*slot = ms_metrics_series(nl->server->stats.seconds, values);
	}
	return *slot;
}

static bool should_log(const struct work *w)
{
	const struct http_server_options *options = &w->nl->server->options;
	switch (options->access_log) {
	case ACCESS_LOG_OFF:
		return false;
	case ACCESS_LOG_ERRORS:
		return w->status >= 500;
	case ACCESS_LOG_ALL:
		break;
	}
	const struct route *route = w->x.req.route;
	// 503 is how a probe says "not ready", which is no error of the server.
	bool quiet = route != NULL && (route->flags & ROUTE_QUIET) != 0 && (w->status < 500 || w->status == 503);
	return !quiet || ms_log_enabled(options->log, LOG_DEBUG);
}

// The query is left out: it may carry what is private.
static void log_access(const struct work *w, int64_t duration_ns)
{
	const struct http_request *req = &w->x.req;
	struct log *log = w->nl->server->options.log;
	char trace_id[33];
	ms_trace_id_hex(&req->trace, trace_id);
	struct slice agent = ms_http_header(req, "User-Agent");
	const struct log_field fields[] = {
		MS_LOG_STR("http.request.method", method_name(method_of(w))),
		MS_LOG_STR("url.path", req->path),
		MS_LOG_INT("http.response.status_code", w->status),
		MS_LOG_INT("http.response.body.bytes", (int64_t)w->body_bytes),
		MS_LOG_INT("event.duration", duration_ns),
		MS_LOG_STR("client.address", req->peer),
		MS_LOG_STR("http.request.id", req->id),
		MS_LOG_CSTR("trace.id", trace_id),
		MS_LOG_STR("user_agent.original", agent), // last: left out when absent
	};
	size_t count = MS_ARRAY_LEN(fields) - (agent.p == NULL);
	// Not ERROR: those lines wait for a slow reader of the log, and a loop must not.
	enum log_level level = w->status >= 500 ? LOG_WARN : LOG_INFO;
	if (ms_log_enabled(log, level))
		ms_log_write(log, level, "request", fields, count);
}

void ms_stats_record(struct work *w)
{
	struct net_loop *nl = w->nl;
	int64_t duration_ns = ms_clock_mono_ns() - w->x.req.start_mono_ns;
	struct route_stats *cache = &nl->route_stats[w->route_index];
	struct metric_series *requests = requests_series(w, cache), *seconds = seconds_series(w, cache);
	if (requests != NULL)
		ms_counter_add(requests, nl->index, 1);
	if (seconds != NULL)
		ms_histogram_observe(seconds, nl->index, (double)duration_ns * 1e-9);
	if (should_log(w))
		log_access(w, duration_ns);
}

void ms_server_warn(const struct http_server *server, const char *message, const char *address, const char *reason)
{
	struct log *log = server->options.log;
	const struct log_field fields[] = {
		MS_LOG_CSTR("error.message", reason),
		MS_LOG_CSTR("server.address", address), // last: left out when there is none
	};
	if (ms_log_enabled(log, LOG_WARN))
		ms_log_write(log, LOG_WARN, message, fields, MS_ARRAY_LEN(fields) - (address == NULL));
}
