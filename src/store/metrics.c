// SPDX-License-Identifier: Apache-2.0
// What the store counts. Names begin with store_.
#include "store/private.h"

static const char *const kinds[2] = {"read", "write"};
static const char *const outcomes[STORE_OUTCOMES] = {
	[STORE_COMMITTED] = "committed", [STORE_FAILED] = "failed",    [STORE_CONFLICTED] = "conflict",
	[STORE_LOST] = "unavailable",    [STORE_IN_DOUBT] = "unknown",
};
static const char *const kind_label[] = {"kind"};
static const char *const outcome_labels[] = {"kind", "outcome"};
static const double seconds_buckets[] = {0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025,
					 0.05,   0.1,     0.25,   0.5,   1,      2.5,   5,    10};

static enum store_outcome outcome_of(enum ms_err err)
{
	if (err == MS_OK)
		return STORE_COMMITTED;
	if (err == MS_ERR_STORE_CONFLICT)
		return STORE_CONFLICTED;
	if (err == MS_ERR_STORE_GONE)
		return STORE_LOST;
	return err == MS_ERR_STORE_UNKNOWN ? STORE_IN_DOUBT : STORE_FAILED;
}

void ms_store_count(struct store *store, const struct store_work *work, int64_t begun_ns)
{
	const struct store_metrics *m = &store->metrics;
	const uint32_t shard = MS_METRICS_SHARED_SHARD;
	ms_counter_add(m->transactions[work->writes][outcome_of(work->err)], shard, 1);
	ms_histogram_observe(m->seconds[work->writes], shard, (double)(ms_clock_mono_ns() - begun_ns) * 1e-9);
	// Who came into a group that was under way did not wait.
	ms_histogram_observe(m->wait_seconds[work->writes], shard,
			     (double)MS_MAX(begun_ns - work->queued_ns, (int64_t)0) * 1e-9);
}

static void collect(void *arg)
{
	struct store *store = arg;
	unsigned waiting = 0, open = 0;
	for (size_t i = 0; i < store->lane_count; i++) {
		struct store_lane *lane = &store->lanes[i];
		pthread_mutex_lock(&lane->lock);
		waiting += lane->waiting;
		pthread_mutex_unlock(&lane->lock);
		open += ms_store_pool_open(&lane->pool);
	}
	ms_gauge_set(store->metrics.queue_depth, waiting);
	ms_gauge_set(store->metrics.connections, open);
	ms_gauge_set(store->metrics.healthy, ms_store_healthy(store) ? 1 : 0);
}

static struct metric_series *series(struct metrics *metrics, const struct metric_options *options,
				    const struct slice *values)
{
	struct metric_family *family = ms_metrics_family(metrics, options);
	return family != NULL ? ms_metrics_series(family, values) : NULL;
}

static void register_by_kind(struct store_metrics *m, struct metrics *metrics)
{
	for (size_t k = 0; k < 2; k++) {
		struct slice values[2] = {ms_slice_cstr(kinds[k])};
		const struct metric_options seconds = {.name = "store_transaction_duration_seconds",
						       .help = "Time that transactions take, their commit included.",
						       .unit = "seconds",
						       .type = METRIC_HISTOGRAM,
						       .labels = kind_label,
						       .label_count = 1,
						       .buckets = seconds_buckets,
						       .bucket_count = MS_ARRAY_LEN(seconds_buckets)};
		struct metric_options wait = seconds;
		wait.name = "store_queue_wait_seconds";
		wait.help = "Time that transactions wait for a thread of the store.";
		m->seconds[k] = series(metrics, &seconds, values);
		m->wait_seconds[k] = series(metrics, &wait, values);
		for (size_t i = 0; i < STORE_OUTCOMES; i++) {
			values[1] = ms_slice_cstr(outcomes[i]);
			m->transactions[k][i] =
				series(metrics,
				       &(struct metric_options){.name = "store_transactions_total",
								.help = "Transactions, by what became of them.",
								.type = METRIC_COUNTER,
								.labels = outcome_labels,
								.label_count = 2},
				       values);
		}
	}
}

bool ms_store_metrics_register(struct store *store)
{
	struct metrics *metrics = store->options.metrics;
	struct store_metrics *m = &store->metrics;
	static const struct metric_options commits = {.name = "store_commits_total",
						      .help = "Commits of writes; several transactions may share one.",
						      .type = METRIC_COUNTER},
					   retries = {.name = "store_retries_total",
						      .help = "Transactions that were run again because others "
							      "disturbed them or a connection broke.",
						      .type = METRIC_COUNTER},
					   rejected = {.name = "store_rejected_total",
						       .help = "Transactions that found the queue full.",
						       .type = METRIC_COUNTER},
					   depth = {.name = "store_queue_depth",
						    .help = "Transactions that wait.",
						    .type = METRIC_GAUGE},
					   connections = {.name = "store_connections",
							  .help = "Connections to the database that run transactions.",
							  .type = METRIC_GAUGE},
					   healthy = {.name = "store_up",
						      .help = "1 while the database answers.",
						      .type = METRIC_GAUGE};
	if (metrics == NULL)
		return true;
	register_by_kind(m, metrics);
	m->commits = series(metrics, &commits, NULL);
	m->retries = series(metrics, &retries, NULL);
	m->rejected = series(metrics, &rejected, NULL);
	m->queue_depth = series(metrics, &depth, NULL);
	m->connections = series(metrics, &connections, NULL);
	m->healthy = series(metrics, &healthy, NULL);
	return ms_metrics_on_collect(metrics, collect, store);
}
