// SPDX-License-Identifier: Apache-2.0
// Private to serve: what the handlers share.
#ifndef MS_SERVE_PRIVATE_H
#define MS_SERVE_PRIVATE_H

#include "serve/serve.h"

// Above either, a request leaves the loop thread: its body is long to parse, or its rows long to predict.
#define MS_SERVE_INLINE_BODY ((size_t)64 << 10)
#define MS_SERVE_INLINE_NS 200000

struct serve {
	struct serve_options options;
	struct pool *pool;
	struct metric_family *errors; // model_errors_total; a series by code, made when it first occurs
};

// --- Work that may leave the loop thread ---------------------------------------------------------------
// A request's own state starts with this. `run` does the rest of the work wherever it is called and leaves
// the answer in x->body, or `err` and `info`; `finish` sends it, on the loop thread.
struct offload;
typedef void offload_fn(struct offload *o);
struct offload {
	struct exchange *x;
	struct serve *serve;
	struct snapshot *snapshot; // held while the work is away from the loop
	offload_fn *run;
	offload_fn *finish;
	enum ms_err err;
	struct errinfo info;
	int64_t unix_ns;  // of the request, for time stamps
	int64_t queue_ns; // time spent waiting for the pool
	bool away;        // runs on the pool
	struct job job;
};
void ms_offload_init(struct offload *o, struct exchange *x, struct serve *serve, offload_fn *run, offload_fn *finish);
const struct snapshot *ms_offload_snapshot(const struct offload *o);
// The pool whose idle threads may share the work; NULL on the loop thread.
struct pool *ms_offload_pool(const struct offload *o);
// Runs here and now, or on the pool; a full pool answers 503.
void ms_offload_here(struct offload *o);
void ms_offload_away(struct offload *o);
// Sends what failed and counts it.
void ms_offload_fail(struct offload *o);

// A request's state, zeroed, in its arena; NULL and answered when memory is out.
void *ms_serve_state(struct exchange *x, size_t size);
#define MS_SERVE_STATE(x, type) ((type *)ms_serve_state((x), sizeof(type)))
void ms_serve_count_error(struct serve *serve, const struct exchange *x, enum ms_err code);
// The body as one JSON object; NULL and answered when it is not.
const struct json_value *ms_serve_json_body(struct exchange *x, struct errinfo *info);

// As ms_snapshot_find; whoever may not see all models is not told by an error which others there are.
MS_MUST_USE enum ms_err ms_serve_find(const struct exchange *x, const struct snapshot *snapshot, struct slice name,
				      struct slice version_or_alias, struct errinfo *info,
				      struct served_model **ret_served);
// A change to the model store is done, or has failed: whoever wants to know is told.
void ms_serve_tell(const struct serve *serve, const struct serve_change *change);

// --- Handlers, by file ---------------------------------------------------------------------------------
// predict.c, batch.c
void ms_serve_predict(struct exchange *x, void *role);
void ms_serve_predict_batch(struct exchange *x, void *role);
// models.c
void ms_serve_models_list(struct exchange *x, void *role);
void ms_serve_model_show(struct exchange *x, void *role);
void ms_serve_version_show(struct exchange *x, void *role);
// changes.c
void ms_serve_version_push(struct exchange *x, void *role);
void ms_serve_version_remove(struct exchange *x, void *role);
void ms_serve_model_remove(struct exchange *x, void *role);
void ms_serve_alias_set(struct exchange *x, void *role);
void ms_serve_alias_remove(struct exchange *x, void *role);
// status.c
void ms_serve_status(struct exchange *x, void *role);
// oip.c
void ms_oip_live(struct exchange *x, void *role);
void ms_oip_ready(struct exchange *x, void *role);
void ms_oip_server(struct exchange *x, void *role);
void ms_oip_models(struct exchange *x, void *role);
void ms_oip_model(struct exchange *x, void *role);
void ms_oip_model_ready(struct exchange *x, void *role);
void ms_oip_stats(struct exchange *x, void *role);
// oip_infer.c
void ms_oip_infer(struct exchange *x, void *role);
// oip_repository.c
void ms_oip_index(struct exchange *x, void *role);
void ms_oip_load(struct exchange *x, void *role);
void ms_oip_unload(struct exchange *x, void *role);

// --- Predictions shared by predict.c and batch.c ---------------------------------------------------------
struct predict_item {
	const struct exchange *x; // who asks
	struct slice model;
	struct slice version;
	struct slice output_name;
	struct slice iterations_text; // raw: a number or "best"
	struct model_query query;
	struct served_model *served;
	struct feature_matrix matrix;
	struct slice features; // raw text, while the model is not known yet
	bool have_features;
};
// Reads the reader's whole text, one request object, for item->x; unknown members are refused, and models that the caller may not use.
MS_MUST_USE enum ms_err ms_predict_read(struct json_reader *r, const struct snapshot *snapshot, size_t max_rows,
					struct arena *arena, struct errinfo *info, struct predict_item *item);
// Writes "predictions", "model", "model_version" into the open object; fills the sample's times. `at_ns` is the clock when
// it is called, and afterwards when it returns.
MS_MUST_USE enum ms_err ms_predict_write(const struct predict_item *item, struct pool *pool, struct arena *arena,
					 struct errinfo *info, struct json_writer *w, struct model_sample *sample,
					 int64_t *at_ns);

#endif
