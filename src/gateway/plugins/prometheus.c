// SPDX-License-Identifier: Apache-2.0
// prometheus: metrics with the names that Kong's have.
#include <stdlib.h>

#include "gateway/plugins/plugins.h"

#define SERIES_MAX 4096 // of a loop's own notes; the families have limits of their own
#define FAMILY_SERIES 10000

struct config {
	bool per_consumer, status_code_metrics, latency_metrics, bandwidth_metrics, upstream_health_metrics, ai_metrics,
		wasm_metrics;
};
static const struct field fields[] = {
	GW_BOOL(config, per_consumer, "false", "Tell consumers apart"),
	GW_BOOL(config, status_code_metrics, "false", "kong_http_requests_total"),
	GW_BOOL(config, latency_metrics, "false",
		"kong_request_latency_ms, kong_kong_latency_ms, kong_upstream_latency_ms"),
	GW_BOOL(config, bandwidth_metrics, "false", "kong_bandwidth_bytes"),
	GW_BOOL(config, upstream_health_metrics, "false", "Accepted: the gateway's own metrics always tell of targets"),
	GW_BOOL(config, ai_metrics, "false", "Accepted and not used"),
	GW_BOOL(config, wasm_metrics, "false", "Accepted and not used"),
	{0},
};

enum family { FAMILY_REQUESTS, FAMILY_REQUEST_MS, FAMILY_KONG_MS, FAMILY_UPSTREAM_MS, FAMILY_BANDWIDTH, FAMILY_COUNT };
static const double own_buckets[] = {1, 2, 5, 7, 10, 15, 20, 30, 50, 75, 100, 200, 500, 750, 1000, 3000, 6000};
static const double upstream_buckets[] = {25, 50, 80, 100, 250, 400, 700, 1000, 2000, 5000, 10000, 30000, 60000};
static const char *const request_labels[] = {"service", "route", "code", "source", "workspace", "consumer"};
static const char *const latency_labels[] = {"service", "route", "workspace"};
static const char *const bandwidth_labels[] = {"service", "route", "direction", "workspace", "consumer"};
#define LATENCY(n, h, b)                                                                                        \
	{                                                                                                       \
		.name = (n), .help = (h), .type = METRIC_HISTOGRAM, .labels = latency_labels, .label_count = 3, \
		.buckets = (b), .bucket_count = MS_ARRAY_LEN(b), .max_series = FAMILY_SERIES                    \
	}
static const struct metric_options families[FAMILY_COUNT] = {
	[FAMILY_REQUESTS] = {.name = "kong_http_requests_total",
			     .help = "HTTP status codes per consumer, service and route.",
			     .type = METRIC_COUNTER,
			     .labels = request_labels,
			     .label_count = 6,
			     .max_series = FAMILY_SERIES},
	[FAMILY_REQUEST_MS] =
		LATENCY("kong_request_latency_ms", "Whole time of requests per service and route.", upstream_buckets),
	[FAMILY_KONG_MS] =
		LATENCY("kong_kong_latency_ms", "Time that the gateway added per service and route.", own_buckets),
	[FAMILY_UPSTREAM_MS] = LATENCY("kong_upstream_latency_ms",
				       "Time until upstreams answered per service and route.", upstream_buckets),
	// Kong's name has no _total, which counters have here.
	[FAMILY_BANDWIDTH] = {.name = "kong_bandwidth_bytes",
			      .help = "Bytes of bodies per consumer, service and route.",
			      .unit = "bytes",
			      .type = METRIC_GAUGE,
			      .labels = bandwidth_labels,
			      .label_count = 5,
			      .max_series = FAMILY_SERIES},
};

// Of a loop: series that were found before, so that no lock is taken again.
struct notes {
	struct gw_kept kept;
	struct map map;
	struct metric_family *families[FAMILY_COUNT];
};

static void free_notes(struct gw_kept *kept)
{
	struct notes *notes = MS_CONTAINER_OF(kept, struct notes, kept);
	struct slice key;
	void *series;
	for (size_t cursor = 0; ms_map_next(&notes->map, &cursor, &key, &series);)
		free((void *)(uintptr_t)key.p);
	ms_map_fini(&notes->map);
	free(notes);
}

static struct gw_kept *make_notes(struct gw_request *r, const void *config)
{
	struct notes *notes = calloc(1, sizeof(*notes));
	(void)config;
	if (notes == NULL)
		return NULL;
	notes->kept.free = free_notes;
	ms_map_init(&notes->map, SERIES_MAX, ms_random_hash_seed());
	for (size_t i = 0; i < FAMILY_COUNT; i++)
		notes->families[i] = ms_metrics_family(r->services->metrics, &families[i]);
	return &notes->kept;
}

static struct metric_series *series_of(struct notes *notes, enum family family, const struct slice *values)
{
	char key[1024];
	size_t n = 0, count = families[family].label_count;
	key[n++] = (char)('a' + family);
	for (size_t i = 0; i < count; i++) {
		struct slice value = ms_slice_sub(values[i], 0, 128); // as metrics cuts them
		key[n++] = '\0';
		if (value.n > 0)
			memcpy(key + n, value.p, value.n);
		n += value.n;
	}
	struct metric_series *series = ms_map_get(&notes->map, ms_slice(key, n));
	if (series != NULL || notes->families[family] == NULL)
		return series;
	series = ms_metrics_series(notes->families[family], values);
	char *copy = series != NULL && notes->map.count < SERIES_MAX ? malloc(n) : NULL;
	if (copy == NULL)
		return series;
	memcpy(copy, key, n);
	if (!ms_map_put(&notes->map, ms_slice(copy, n), series, NULL))
		free(copy);
	return series;
}

static const char *source_of(const struct gw_request *r)
{
	return r->answer.source == GW_FROM_UPSTREAM || r->answer.source == GW_FROM_LOCAL  ? "service"
	       : r->answer.source == GW_FROM_CACHE || r->answer.source == GW_FROM_GATEWAY ? "exit"
											  : "error";
}

static struct slice name_or_id(struct slice name, const char *id)
{
	return name.n > 0 ? name : ms_slice_cstr(id);
}

static void count_bytes(struct gw_request *r, struct notes *notes, struct slice service, struct slice route,
			struct slice consumer, const struct http_outcome *outcome)
{
	uint32_t shard = ms_loop_index(r->x->loop);
	uint64_t in = r->x->req.has_body && r->x->req.content_length != UINT64_MAX ? r->x->req.content_length : 0;
	const struct slice ingress[] = {service, route, MS_SLICE_LIT("ingress"), MS_SLICE_LIT("default"), consumer};
	const struct slice egress[] = {service, route, MS_SLICE_LIT("egress"), MS_SLICE_LIT("default"), consumer};
	ms_gauge_add(series_of(notes, FAMILY_BANDWIDTH, ingress), shard, (double)in);
	ms_gauge_add(series_of(notes, FAMILY_BANDWIDTH, egress), shard, (double)outcome->body_bytes);
}

static void observe_times(struct gw_request *r, struct notes *notes, struct slice service, struct slice route,
			  const struct http_outcome *outcome)
{
	uint32_t shard = ms_loop_index(r->x->loop);
	const struct slice values[] = {service, route, MS_SLICE_LIT("default")};
	double all = (double)outcome->duration_ns / 1e6, upstream = 0;
	if (r->sent_ns > 0 && r->upstream_ns >= r->sent_ns) {
		upstream = (double)(r->upstream_ns - r->sent_ns) / 1e6;
		ms_histogram_observe(series_of(notes, FAMILY_UPSTREAM_MS, values), shard, upstream);
	}
	if (r->sent_ns >= r->start_ns && r->sent_ns > 0)
		ms_histogram_observe(series_of(notes, FAMILY_KONG_MS, values), shard,
				     (double)(r->sent_ns - r->start_ns) / 1e6);
	ms_histogram_observe(series_of(notes, FAMILY_REQUEST_MS, values), shard, all);
}

static void over(struct gw_request *r, const void *config, void **state, const struct http_outcome *outcome)
{
	const struct config *c = config;
	char code[8] = "0";
	(void)state;
	struct gw_kept *kept =
		r->services->metrics != NULL ? ms_gw_keep(r, MS_SLICE_LIT("prometheus"), make_notes, NULL) : NULL;
	if (kept == NULL)
		return;
	struct notes *notes = MS_CONTAINER_OF(kept, struct notes, kept);
	struct slice service = r->service != NULL ? name_or_id(r->service->name, r->service->id) : MS_SLICE_LIT("");
	struct slice route = r->route != NULL ? name_or_id(r->route->name, r->route->id) : MS_SLICE_LIT("");
	struct slice consumer = c->per_consumer && r->consumer != NULL
					? name_or_id(r->consumer->username, r->consumer->id)
					: MS_SLICE_LIT("");
	if (c->status_code_metrics) {
		int status = outcome->status > 0 && outcome->status < 1000 ? outcome->status : 0;
		for (int i = 2, rest = status; status > 0 && i >= 0; i--, rest /= 10)
			code[i] = (char)('0' + rest % 10);
		const struct slice values[] = {service,
					       route,
					       ms_slice(code, status > 0 ? 3 : 1),
					       ms_slice_cstr(source_of(r)),
					       MS_SLICE_LIT("default"),
					       consumer};
		ms_counter_add(series_of(notes, FAMILY_REQUESTS, values), ms_loop_index(r->x->loop), 1);
	}
	if (c->latency_metrics)
		observe_times(r, notes, service, route, outcome);
	if (c->bandwidth_metrics)
		count_bytes(r, notes, service, route, consumer, outcome);
}

const struct gw_plugin_kind ms_plugin_prometheus = {
	.name = "prometheus",
	.priority = 13,
	.fields = fields,
	.config_bytes = sizeof(struct config),
	.per_consumer = true,
	.help = "Metrics with Kong's names",
	.over = over,
};
