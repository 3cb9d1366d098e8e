// SPDX-License-Identifier: Apache-2.0
// The ml role: predictions, the model API, and the Open Inference Protocol v2 over REST.
//
// Small predictions run on the loop thread without allocation beyond the request's arena; large ones (by
// body size or by the model's estimated cost) run whole on the inference pool.
#ifndef MS_SERVE_SERVE_H
#define MS_SERVE_SERVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/base.h"
#include "model/model.h"
#include "net/net.h"
#include "registry/registry.h"
#include "serve/csv.h"
#include "json/json.h"

// A change to the model store that a request asked for, when it is done or has failed; borrowed.
struct serve_change {
	const struct exchange *x; // who asked
	const char *
		what; // "version.pushed", "version.removed", "model.removed", "alias.set", "alias.removed", "model.loaded", "model.unloaded"
	struct slice model, version, alias; // empty where there is none
	enum ms_err err;
};
typedef void serve_changed_fn(const struct serve_change *change, void *arg);

struct serve;
struct serve_options {
	struct registry *registry;
	struct rt *rt;
	struct log *log;
	struct metrics *metrics;
	size_t max_rows;       // of one request
	unsigned pool_threads; // at least 1
	unsigned pool_depth;
	int64_t start_unix_ns;       // of the process, for uptime
	bool (*is_ready)(void *arg); // of the whole process: started, loaded, not draining; any thread
	void *is_ready_arg;
	serve_changed_fn *changed; // on the request's loop, before the answer; NULL: nobody wants to know
	void *changed_arg;
};
MS_MUST_USE enum ms_err ms_serve_new(const struct serve_options *options, struct errinfo *info,
				     struct serve **ret_serve);
// Ends the pool; after the loops have ended, before ms_rt_free.
void ms_serve_stop(struct serve *serve);
void ms_serve_free(struct serve *serve); // after ms_rt_free; accepts NULL
// The routes of the role; static tables.
struct route_set ms_serve_routes(struct serve *serve);

// --- Shared with the command line ----------------------------------------------------------------------

// Rows for a model: row-major, one column per input.
struct feature_matrix {
	double *values;
	size_t rows;
	size_t columns;
};
// Reads "features" in any of its forms (README.md): rows, one row, records, one record, columns. The matrix
// lives in the arena. Messages name the row and the feature.
MS_MUST_USE enum ms_err ms_features_read(struct json_reader *r, const struct served_model *served, size_t max_rows,
					 struct arena *arena, struct errinfo *info, struct feature_matrix *ret_matrix);
// One value as text (a CSV cell) for an input: empty = missing.
MS_MUST_USE enum ms_err ms_features_from_text(const struct served_model *served, size_t column, struct slice text,
					      struct errinfo *info, double *ret_value);

// MS_ERR_MODEL_OUTPUT with the outputs that the model has, when it lacks this one, or what else of the query does not fit.
MS_MUST_USE enum ms_err ms_output_check(const struct served_model *served, const struct model_query *query,
					struct errinfo *info);
// Predicts all rows; the values are in the arena, ms_model_output_width() per row. With a pool (from a thread that may block)
// many rows are divided among its idle threads.
MS_MUST_USE enum ms_err ms_output_compute(const struct served_model *served, const struct model_query *query,
					  struct pool *pool, const struct feature_matrix *matrix, struct arena *arena,
					  struct errinfo *info, double **ret_values);
// The names of the inputs, in the order of the contributions.
void ms_output_write_features(struct json_writer *w, const struct served_model *served);
// One row's prediction as JSON: a value, or an array when there are several. Contributions: an object for each raw
// score.
void ms_output_write_row(struct json_writer *w, const struct served_model *served, enum model_output output,
			 const double *row);

#endif
