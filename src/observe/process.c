// SPDX-License-Identifier: Apache-2.0
// The standard metrics of a process, under the names that dashboards know.
#include "observe/internal.h"
#include "rt/rt.h"

enum row {
	RESIDENT,
	VIRTUAL,
	CPU,
	OPEN_FDS,
	MAX_FDS,
	THREADS,
	START,
	LOG_DROPPED,
	ROWS = PROCESS_METRICS,
};

static const struct {
	const char *name, *help, *unit;
	enum metric_type type;
} rows[ROWS] = {
	[RESIDENT] = {"process_resident_memory_bytes", "Resident memory size in bytes.", "bytes", METRIC_GAUGE},
	[VIRTUAL] = {"process_virtual_memory_bytes", "Virtual memory size in bytes.", "bytes", METRIC_GAUGE},
	[CPU] = {"process_cpu_seconds_total", "User and system processor time spent in seconds.", "seconds",
		 METRIC_COUNTER},
	[OPEN_FDS] = {"process_open_fds", "Open file descriptors.", NULL, METRIC_GAUGE},
	[MAX_FDS] = {"process_max_fds", "Limit of open file descriptors.", NULL, METRIC_GAUGE},
	[THREADS] = {"process_threads", "Threads of the process.", NULL, METRIC_GAUGE},
	[START] = {"process_start_time_seconds", "Start of the process since the Unix epoch in seconds.", "seconds",
		   METRIC_GAUGE},
	[LOG_DROPPED] = {"mainstay_log_dropped_total",
			 "Log lines that were dropped because the reader of the log was too slow or gone.", NULL,
			 METRIC_COUNTER},
};

static void collect(void *arg)
{
	struct metrics *metrics = arg;
	struct process_stats stats;
	ms_process_stats(&stats);
	struct metric_series *const *series = metrics->process;
	ms_gauge_set(series[RESIDENT], (double)stats.resident_bytes);
	ms_gauge_set(series[VIRTUAL], (double)stats.virtual_bytes);
	ms_counter_set(series[CPU], stats.cpu_seconds);
	ms_gauge_set(series[OPEN_FDS], (double)stats.open_fds);
	ms_gauge_set(series[MAX_FDS], (double)stats.max_fds);
	ms_gauge_set(series[THREADS], stats.threads);
	ms_counter_set(series[LOG_DROPPED], (double)ms_log_dropped(metrics->log));
}

bool ms_metrics_register_process(struct metrics *metrics, const struct log *log)
{
	MS_ASSERT(metrics->process[0] == NULL);
	metrics->log = log;
	for (size_t i = 0; i < ROWS; i++) {
		if (i == LOG_DROPPED && log == NULL)
			continue;
		struct metric_options options = {
			.name = rows[i].name, .help = rows[i].help, .unit = rows[i].unit, .type = rows[i].type};
		metrics->process[i] = ms_metrics_series(ms_metrics_family(metrics, &options), NULL);
		if (metrics->process[i] == NULL)
			return false;
	}
	// Once: it is derived from two clocks, and must not wander with them.
	struct process_stats stats;
	ms_process_stats(&stats);
	ms_gauge_set(metrics->process[START], (double)(stats.start_unix_ns / 10000000) / 100);
	return ms_metrics_on_collect(metrics, collect, metrics);
}
