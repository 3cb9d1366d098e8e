// SPDX-License-Identifier: Apache-2.0
// POST /api/v1/predict/batch: several requests in one; a bad one does not spoil the others.
#include "serve/private.h"

#define MAX_BATCHES 10000

struct batch_state {
	struct offload offload;
};

static void write_failure(struct json_writer *w, const struct errinfo *info)
{
	ms_json_key_lit(w, "error");
	ms_json_cstr(w, info->message);
	ms_json_key_lit(w, "code");
	ms_json_cstr(w, ms_err_name(info->code));
	if (info->field[0] == '\0' && info->row < 0)
		return;
	ms_json_key_lit(w, "details");
	ms_json_begin_object(w);
	if (info->field[0] != '\0') {
		ms_json_key_lit(w, "field");
		ms_json_cstr(w, info->field);
	}
	if (info->row >= 0) {
		ms_json_key_lit(w, "row");
		ms_json_i64(w, info->row);
	}
	ms_json_end_object(w);
}

// One batch from its own text, so that its errors end with it. The text was checked as JSON already.
static void run_one(struct offload *o, struct slice text, struct json_writer *w)
{
	struct arena_mark mark = ms_arena_mark(o->x->arena);
	struct predict_item item = {.x = o->x};
	struct model_sample sample = {.unix_ms = o->unix_ns / 1000000};
	struct json_reader r;
	struct json_limits limits = MS_JSON_DEFAULT_LIMITS;
	struct errinfo info;
	int64_t start = ms_clock_mono_ns(), at_ns;
	limits.max_bytes = SIZE_MAX;
	ms_errinfo_init(&info);
	ms_json_reader_init(&r, text, &limits, o->x->arena, &info);
	enum ms_err err =
		ms_predict_read(&r, ms_offload_snapshot(o), o->serve->options.max_rows, o->x->arena, &info, &item);
	at_ns = ms_clock_mono_ns();
	sample.input_ns = at_ns - start;
	size_t before = o->x->body->n;
	struct json_writer saved = *w;
	ms_json_begin_object(w);
	if (err == MS_OK)
		err = ms_predict_write(&item, ms_offload_pool(o), o->x->arena, &info, w, &sample, &at_ns);
	if (err != MS_OK) {
		o->x->body->n = before; // nothing of a failed batch but its error is shown
		*w = saved;
		ms_json_begin_object(w);
		if (info.code != err) // every failure brings its words; this keeps the answer valid if one does not
			MS_IGNORE(ms_fail(&info, err, "the batch failed"));
		write_failure(w, &info);
		ms_serve_count_error(o->serve, NULL, err);
	}
	ms_json_end_object(w);
	sample.failed = err != MS_OK;
	sample.total_ns = ms_clock_mono_ns() - start;
	if (item.served != NULL)
		ms_served_record(item.served, NULL, &sample);
	ms_arena_rewind(o->x->arena, mark);
}

static enum ms_err find_parts(struct offload *o, struct slice *ret_id, struct slice *ret_batches)
{
	struct json_reader r;
	struct json_limits limits = MS_JSON_DEFAULT_LIMITS;
	struct slice key;
	limits.max_bytes = SIZE_MAX;
	ms_json_reader_init(&r, o->x->req.body, &limits, o->x->arena, &o->info);
	if (!ms_json_enter_object(&r))
		return r.err;
	while (ms_json_next_key(&r, &key)) {
		bool is_id = ms_slice_eq_cstr(key, "batch_id");
		if (!is_id && !ms_slice_eq_cstr(key, "batches")) {
			ms_errinfo_set_field(&o->info, key);
			return ms_fail(&o->info, MS_ERR_PREDICT_FIELD,
				       "unknown field '%.*s'; there are: batch_id, batches", MS_SLICE_ARG(key));
		}
		enum json_type type = ms_json_peek(&r);
		if (type != JSON_INVALID && (is_id ? type != JSON_STRING && type != JSON_NUMBER : type != JSON_ARRAY)) {
			ms_errinfo_set_field(&o->info, key);
			return ms_fail(&o->info, MS_ERR_PREDICT_FIELD, "'%.*s' must be %s, not %s", MS_SLICE_ARG(key),
				       is_id ? "a string" : "an array of requests", ms_json_type_name(type));
		}
		if (!ms_json_skip(&r, is_id ? ret_id : ret_batches))
			return r.err;
	}
	MS_TRY(ms_json_finish(&r));
	if (ret_batches->p != NULL)
		return MS_OK;
	ms_errinfo_set_field(&o->info, MS_SLICE_LIT("batches"));
	return ms_fail(&o->info, MS_ERR_PREDICT_FIELD, "'batches' is missing: an array of {\"model\", \"features\"}");
}

static enum ms_err run_all(struct offload *o, struct slice batches, struct json_writer *w)
{
	struct json_reader r;
	struct json_limits limits = MS_JSON_DEFAULT_LIMITS;
	struct slice text;
	size_t count = 0;
	limits.max_bytes = SIZE_MAX;
	ms_json_reader_init(&r, batches, &limits, o->x->arena, &o->info);
	if (!ms_json_enter_array(&r))
		return r.err;
	while (ms_json_next_item(&r)) {
		if (++count > MAX_BATCHES)
			return ms_fail(&o->info, MS_ERR_PREDICT_TOO_MANY_ROWS, "more than %d batches in one request",
				       MAX_BATCHES);
		if (!ms_json_skip(&r, &text))
			return r.err;
		run_one(o, text, w);
	}
	return r.err;
}

static void run_batch(struct offload *o)
{
	struct slice id = MS_SLICE_EMPTY, batches = MS_SLICE_EMPTY;
	struct json_writer w;
	char now[MS_RFC3339_SIZE];
	o->err = find_parts(o, &id, &batches);
	if (o->err != MS_OK)
		return;
	ms_json_writer_init(&w, o->x->body);
	ms_json_begin_object(&w);
	ms_json_key_lit(&w, "batch_id");
	if (id.n > 0)
		ms_json_raw(&w, id);
	else
		ms_json_null(&w);
	ms_json_key_lit(&w, "results");
	ms_json_begin_array(&w);
	o->err = run_all(o, batches, &w);
	if (o->err != MS_OK)
		return;
	ms_json_end_array(&w);
	ms_json_key_lit(&w, "processed_at");
	ms_json_str(&w, ms_slice(now, ms_text_rfc3339(ms_clock_wall_ns(), now)));
	ms_json_key_lit(&w, "request_id");
	ms_json_str(&w, o->x->req.id);
	ms_json_end_object(&w);
	if (!ms_buf_ok(o->x->body))
		o->err = ms_fail(&o->info, MS_ERR_LIMIT, "the answer is too large: send fewer rows");
}

static void finish_batch(struct offload *o)
{
	if (o->err != MS_OK)
		ms_offload_fail(o);
	else
		ms_http_send_json(o->x, 200);
}

void ms_serve_predict_batch(struct exchange *x, void *role)
{
	struct batch_state *s = MS_SERVE_STATE(x, struct batch_state);
	if (s == NULL)
		return;
	ms_offload_init(&s->offload, x, role, run_batch, finish_batch);
	ms_offload_away(&s->offload);
}
