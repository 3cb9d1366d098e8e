// SPDX-License-Identifier: Apache-2.0
// GET /api/v1/metrics: the few figures that a person or a script asks for first, as JSON.
#include "serve/private.h"

void ms_serve_status(struct exchange *x, void *role)
{
	struct serve *serve = role;
	const struct snapshot *snapshot = ms_registry_snapshot(serve->options.registry, x->loop);
	struct process_stats process;
	struct json_writer w;
	uint64_t model_bytes = 0, predictions = 0, rows = 0;
	ms_process_stats(&process);
	for (size_t m = 0; m < snapshot->model_count; m++) {
		for (size_t v = 0; v < snapshot->models[m].version_count; v++) {
			const struct served_model *served = snapshot->models[m].versions[v].served;
			if (served == NULL)
				continue;
			model_bytes += ms_model_info(served->model)->memory_bytes;
			for (size_t i = 0; i < served->stats_count; i++) {
				predictions +=
					atomic_load_explicit(&served->stats[i].success_count, memory_order_relaxed);
				rows += atomic_load_explicit(&served->stats[i].rows, memory_order_relaxed);
			}
		}
	}
	struct pool_stats pool = ms_pool_stats(serve->pool);
	ms_json_writer_init(&w, x->body);
	ms_json_begin_object(&w);
	ms_json_key_lit(&w, "models_loaded");
	ms_json_u64(&w, snapshot->ready_count);
	ms_json_key_lit(&w, "models_broken");
	ms_json_u64(&w, snapshot->broken_count);
	ms_json_key_lit(&w, "predictions");
	ms_json_u64(&w, predictions);
	ms_json_key_lit(&w, "rows");
	ms_json_u64(&w, rows);
	ms_json_key_lit(&w, "cache"); // of loaded models
	ms_json_begin_object(&w);
	ms_json_key_lit(&w, "entries");
	ms_json_u64(&w, snapshot->ready_count);
	ms_json_key_lit(&w, "bytes");
	ms_json_u64(&w, model_bytes);
	ms_json_end_object(&w);
	ms_json_key_lit(&w, "queue");
	ms_json_begin_object(&w);
	ms_json_key_lit(&w, "waiting");
	ms_json_u64(&w, pool.waiting);
	ms_json_key_lit(&w, "running");
	ms_json_u64(&w, pool.running);
	ms_json_key_lit(&w, "rejected");
	ms_json_u64(&w, pool.rejected);
	ms_json_end_object(&w);
	ms_json_key_lit(&w, "uptime_seconds");
	ms_json_f64(&w, (double)(ms_loop_wall_ns(x->loop) - serve->options.start_unix_ns) * 1e-9);
	ms_json_key_lit(&w, "memory");
	ms_json_begin_object(&w);
	ms_json_key_lit(&w, "resident_bytes");
	ms_json_u64(&w, process.resident_bytes);
	ms_json_key_lit(&w, "virtual_bytes");
	ms_json_u64(&w, process.virtual_bytes);
	ms_json_end_object(&w);
	ms_json_end_object(&w);
	ms_http_send_json(x, 200);
}
