// SPDX-License-Identifier: Apache-2.0
// POST /api/v1/predict: the request that everything else exists for.
#include "serve/private.h"

static const struct slice fields[] = {
	{"model", 5},  {"model_type", 10}, {"version", 7},     {"features", 8},
	{"output", 6}, {"iterations", 10}, {"early_stop", 10},
};
enum field {
	FIELD_MODEL,
	FIELD_MODEL_TYPE,
	FIELD_VERSION,
	FIELD_FEATURES,
	FIELD_OUTPUT,
	FIELD_ITERATIONS,
	FIELD_EARLY_STOP,
	FIELD_COUNT
};

#define EARLY_STOP_EVERY 10 // iterations, as in LightGBM

static enum ms_err fail_field(struct errinfo *info, struct slice field, const char *wanted, enum json_type got)
{
	ms_errinfo_set_field(info, field);
	return ms_fail(info, MS_ERR_PREDICT_FIELD, "'%.*s' must be %s, not %s", MS_SLICE_ARG(field), wanted,
		       ms_json_type_name(got));
}

MS_COLD static enum ms_err unknown_field(struct errinfo *info, struct slice key)
{
	size_t nearest = ms_text_nearest(key, fields, FIELD_COUNT);
	ms_errinfo_set_field(info, key);
	if (nearest != SIZE_MAX)
		return ms_fail(info, MS_ERR_PREDICT_FIELD, "unknown field '%.*s'; did you mean '%.*s'?",
			       MS_SLICE_ARG(key), MS_SLICE_ARG(fields[nearest]));
	return ms_fail(info, MS_ERR_PREDICT_FIELD,
		       "unknown field '%.*s'; there are: model, version, features, output, "
		       "iterations, early_stop",
		       MS_SLICE_ARG(key));
}

// What a value should be, and the beginning of what it is.
static enum ms_err fail_value(struct errinfo *info, enum field field, const char *wanted, struct slice text)
{
	ms_errinfo_set_field(info, fields[field]);
	return ms_fail(info, MS_ERR_PREDICT_FIELD, "%s, not %.*s", wanted, (int)MS_MIN(text.n, 40), text.p);
}

// {"margin": 10, "every": 10}
static enum ms_err read_early_stop(struct json_reader *r, struct errinfo *info, struct model_query *query)
{
	struct slice key, text;
	const enum json_type type = ms_json_peek(r);
	if (type == JSON_NULL)
		return ms_json_read_null(r) ? MS_OK : r->err;
	if (type != JSON_OBJECT)
		return r->err != MS_OK ? r->err
				       : fail_field(info, fields[FIELD_EARLY_STOP],
						    "an object {\"margin\": 10, \"every\": 10}", type);
	if (!ms_json_enter_object(r))
		return r->err;
	query->early_stop_every = EARLY_STOP_EVERY;
	while (ms_json_next_key(r, &key)) {
		const bool margin = ms_slice_eq_cstr(key, "margin");
		if (!margin && !ms_slice_eq_cstr(key, "every")) {
			ms_errinfo_set_field(info, fields[FIELD_EARLY_STOP]);
			return ms_fail(info, MS_ERR_PREDICT_FIELD, "'early_stop' has margin and every, not '%.*s'",
				       MS_SLICE_ARG(key));
		}
		if (!ms_json_skip(r, &text))
			return r->err;
		if (margin && !(ms_number_parse_f64(text, &query->early_stop_margin) && query->early_stop_margin > 0))
			return fail_value(info, FIELD_EARLY_STOP, "'early_stop.margin' must be a number above 0", text);
		if (!margin && !(ms_slice_to_u64(text, &query->early_stop_every) && query->early_stop_every > 0))
			return fail_value(info, FIELD_EARLY_STOP,
					  "'early_stop.every' must be a whole number of iterations, at least 1", text);
	}
	if (query->early_stop_margin > 0 || r->err != MS_OK)
		return r->err;
	ms_errinfo_set_field(info, fields[FIELD_EARLY_STOP]);
	return ms_fail(info, MS_ERR_PREDICT_FIELD,
		       "'early_stop' needs a margin, as in {\"margin\": 10, \"every\": 10}");
}

// A number of iterations, or "best": those that early stopping of the training found.
static enum ms_err find_iterations(struct errinfo *info, struct predict_item *item)
{
	const struct slice text = item->iterations_text;
	uint64_t *iterations = &item->query.iterations;
	if (text.n == 0 || ms_slice_eq_cstr(text, "null"))
		return MS_OK;
	if (ms_slice_eq_cstr(text, "\"best\""))
		return ms_model_best_iterations(item->served->model, info, iterations);
	if (ms_slice_to_u64(text, iterations) && *iterations > 0)
		return MS_OK;
	return fail_value(info, FIELD_ITERATIONS, "'iterations' must be a whole number, at least 1, or \"best\"", text);
}

static enum ms_err read_text(struct json_reader *r, struct errinfo *info, enum field field, struct slice *ret_text)
{
	enum json_type type = ms_json_peek(r);
	// Versions such as 3 are written as numbers by many clients.
	if (type == JSON_NUMBER && field == FIELD_VERSION)
		return ms_json_skip(r, ret_text) ? MS_OK : r->err;
	if (type == JSON_NULL && field != FIELD_MODEL)
		return ms_json_read_null(r) ? MS_OK : r->err;
	if (type != JSON_STRING)
		return r->err != MS_OK ? r->err : fail_field(info, fields[field], "a string", type);
	return ms_json_read_string(r, ret_text) ? MS_OK : r->err;
}

// The model that `item` names; the only one there is when it names none.
static enum ms_err find_model(const struct snapshot *snapshot, struct errinfo *info, struct predict_item *item)
{
	if (item->model.n == 0) {
		if (snapshot->model_count != 1) {
			ms_errinfo_set_field(info, fields[FIELD_MODEL]);
			return ms_fail(info, MS_ERR_PREDICT_FIELD,
				       "'model' is missing: %zu models are served, so name one", snapshot->model_count);
		}
		item->model = snapshot->models[0].name;
	}
	MS_TRY(ms_http_allow(item->x, item->model, info));
	return ms_serve_find(item->x, snapshot, item->model, item->version, info, &item->served);
}

// What reading a request needs besides the reader.
struct reading {
	const struct snapshot *snapshot;
	size_t max_rows;
	struct arena *arena;
	struct errinfo *info;
	const struct served_model *ahead; // the model for which the features were read already, or NULL
};

// Mostly a model is named before its features: then these are read on the way. Whatever is wrong with them, and whatever comes
// behind them that changes their meaning, is left to the second reading.
static bool read_ahead(struct json_reader *r, struct reading *t, struct predict_item *item)
{
	const struct arena_mark mark = ms_arena_mark(t->arena);
	struct json_reader ahead = *r;
	struct served_model *served;
	struct slice model = item->model;
	if ((size_t)(r->end - r->p) > MS_SERVE_INLINE_BODY)
		return false; // reading twice is cheaper there than the memory of two matrices
	if (model.n == 0 && t->snapshot->model_count == 1)
		model = t->snapshot->models[0].name;
	if (model.n == 0 || ms_snapshot_find(t->snapshot, model, item->version, NULL, &served) != MS_OK)
		return false;
	ahead.info = NULL;
	if (ms_features_read(&ahead, served, t->max_rows, t->arena, NULL, &item->matrix) != MS_OK) {
		ms_arena_rewind(t->arena, mark);
		return false;
	}
	item->features = ms_slice(r->p, (size_t)(ahead.p - r->p));
	ahead.info = r->info;
	*r = ahead;
	t->ahead = served;
	return true;
}

// The text of the features is kept until the model is known, whichever member comes first.
static enum ms_err read_member(struct json_reader *r, const struct slice *key, struct reading *t,
			       struct predict_item *item)
{
	struct errinfo *info = t->info;
	for (size_t f = 0; f < FIELD_COUNT; f++) {
		if (!ms_slice_eq(*key, fields[f]))
			continue;
		switch ((enum field)f) {
		case FIELD_MODEL:
		case FIELD_MODEL_TYPE:
			if (item->model.n > 0) {
				ms_errinfo_set_field(info, *key);
				return ms_fail(info, MS_ERR_PREDICT_FIELD, "the model is named twice");
			}
			return read_text(r, info, (enum field)f, &item->model);
		case FIELD_VERSION:
			return read_text(r, info, FIELD_VERSION, &item->version);
		case FIELD_OUTPUT:
			return read_text(r, info, FIELD_OUTPUT, &item->output_name);
		case FIELD_ITERATIONS:
			return ms_json_skip(r, &item->iterations_text) ? MS_OK : r->err;
		case FIELD_EARLY_STOP:
			return read_early_stop(r, info, &item->query);
		case FIELD_FEATURES:
			if (item->have_features) {
				ms_errinfo_set_field(info, *key);
				return ms_fail(info, MS_ERR_PREDICT_FIELD, "'features' is given twice");
			}
			item->have_features = true;
			if (read_ahead(r, t, item))
				return MS_OK;
			return ms_json_skip(r, &item->features) ? MS_OK : r->err;
		case FIELD_COUNT:
			break;
		}
	}
	return unknown_field(info, *key);
}

enum ms_err ms_predict_read(struct json_reader *r, const struct snapshot *snapshot, size_t max_rows,
			    struct arena *arena, struct errinfo *info, struct predict_item *item)
{
	struct reading t = {.snapshot = snapshot, .max_rows = max_rows, .arena = arena, .info = info};
	struct slice key;
	if (ms_json_peek(r) != JSON_OBJECT && r->err == MS_OK)
		return ms_fail(info, MS_ERR_PREDICT_FIELD,
			       "a prediction request must be an object with 'model' and 'features', not %s",
			       ms_json_type_name(ms_json_peek(r)));
	if (!ms_json_enter_object(r))
		return r->err;
	while (ms_json_next_key(r, &key))
		MS_TRY(read_member(r, &key, &t, item));
	MS_TRY(ms_json_finish(r)); // the text is judged as JSON before its meaning is
	MS_TRY(find_model(snapshot, info, item));
	if (!item->have_features) {
		ms_errinfo_set_field(info, fields[FIELD_FEATURES]);
		return ms_fail(
			info, MS_ERR_PREDICT_FIELD,
			"'features' is missing: rows [[…],…], one row […], records [{…},…] or columns {\"name\":[…]}");
	}
	if (item->output_name.n > 0 && !ms_model_output_parse(item->output_name, &item->query.output)) {
		ms_errinfo_set_field(info, fields[FIELD_OUTPUT]);
		return ms_fail(info, MS_ERR_MODEL_OUTPUT, "'output' must be " MS_MODEL_OUTPUT_NAMES ", not '%.*s'",
			       MS_SLICE_ARG(item->output_name));
	}
	MS_TRY(find_iterations(info, item));
	if (t.ahead == item->served)
		return MS_OK;
	struct json_reader features;
	struct json_limits limits = MS_JSON_DEFAULT_LIMITS;
	limits.max_bytes = SIZE_MAX; // the body was bounded already
	ms_json_reader_init(&features, item->features, &limits, arena, info);
	MS_TRY(ms_features_read(&features, item->served, max_rows, arena, info, &item->matrix));
	return ms_json_finish(&features);
}

// Time since the last look at the clock, which this is too.
static int64_t lap(int64_t *at_ns)
{
	int64_t before = *at_ns;
	*at_ns = ms_clock_mono_ns();
	return *at_ns - before;
}

enum ms_err ms_predict_write(const struct predict_item *item, struct pool *pool, struct arena *arena,
			     struct errinfo *info, struct json_writer *w, struct model_sample *sample, int64_t *at_ns)
{
	double *values;
	MS_TRY(ms_output_compute(item->served, &item->query, pool, &item->matrix, arena, info, &values));
	sample->infer_ns = lap(at_ns);
	size_t width = ms_model_output_width(item->served->model, item->query.output);
	ms_json_key_lit(w, "predictions");
	ms_json_begin_array(w);
	for (size_t row = 0; row < item->matrix.rows; row++)
		ms_output_write_row(w, item->served, item->query.output, values + row * width);
	ms_json_end_array(w);
	if (item->query.output == MODEL_OUTPUT_CONTRIBUTIONS) {
		ms_json_key_lit(w, "features");
		ms_output_write_features(w, item->served);
	}
	ms_json_key_lit(w, "model");
	ms_json_str(w, item->served->name);
	ms_json_key_lit(w, "model_version");
	ms_json_str(w, item->served->version);
	sample->rows = item->matrix.rows;
	sample->output_ns = lap(at_ns);
	return MS_OK;
}

// --- The handler ---------------------------------------------------------------------------------------

struct predict_state {
	struct offload offload;
	struct predict_item item;
	struct model_sample sample;
	int64_t at_ns; // of the last look at the clock
	bool decoded;
};

static void decode(struct predict_state *s)
{
	struct offload *o = &s->offload;
	struct json_reader r;
	struct json_limits limits = MS_JSON_DEFAULT_LIMITS;
	limits.max_bytes = SIZE_MAX; // net bounded the body
	s->at_ns = ms_clock_mono_ns();
	ms_json_reader_init(&r, o->x->req.body, &limits, o->x->arena, &o->info);
	o->err = ms_predict_read(&r, ms_offload_snapshot(o), o->serve->options.max_rows, o->x->arena, &o->info,
				 &s->item);
	s->sample.input_ns = lap(&s->at_ns);
	s->decoded = true;
}

static void run_predict(struct offload *o)
{
	struct predict_state *s = MS_CONTAINER_OF(o, struct predict_state, offload);
	struct json_writer w;
	char now[MS_RFC3339_SIZE];
	if (!s->decoded)
		decode(s);
	else if (o->away)
		s->at_ns = ms_clock_mono_ns(); // the queue is no part of the inference
	if (o->err != MS_OK)
		return;
	ms_json_writer_init(&w, o->x->body);
	ms_json_begin_object(&w);
	o->err = ms_predict_write(&s->item, ms_offload_pool(o), o->x->arena, &o->info, &w, &s->sample, &s->at_ns);
	if (o->err != MS_OK)
		return;
	ms_json_key_lit(&w, "timestamp");
	ms_json_str(&w, ms_slice(now, ms_text_rfc3339(o->unix_ns, now)));
	ms_json_key_lit(&w, "request_id");
	ms_json_str(&w, o->x->req.id);
	ms_json_end_object(&w);
	if (!ms_buf_ok(o->x->body))
		o->err = ms_fail(&o->info, MS_ERR_LIMIT, "the answer is too large: send fewer rows");
}

static void finish_predict(struct offload *o)
{
	struct predict_state *s = MS_CONTAINER_OF(o, struct predict_state, offload);
	s->sample.failed = o->err != MS_OK;
	s->sample.queue_ns = o->queue_ns;
	s->sample.total_ns = (o->away ? ms_clock_mono_ns() : s->at_ns) - o->x->req.start_mono_ns;
	s->sample.unix_ms = o->unix_ns / 1000000;
	if (s->item.served != NULL)
		ms_served_record(s->item.served, o->x->loop, &s->sample);
	if (o->err != MS_OK)
		ms_offload_fail(o);
	else
		ms_http_send_json(o->x, 200);
}

void ms_serve_predict(struct exchange *x, void *role)
{
	struct predict_state *s = MS_SERVE_STATE(x, struct predict_state);
	if (s == NULL)
		return;
	struct offload *o = &s->offload;
	ms_offload_init(o, x, role, run_predict, finish_predict);
	s->item.x = x;
	if (x->req.body.n > MS_SERVE_INLINE_BODY) {
		ms_offload_away(o);
		return;
	}
	decode(s);
	uint64_t cost = s->item.served != NULL
				? s->item.matrix.rows * ms_model_row_ns(s->item.served->model, s->item.query.output)
				: 0;
	if (o->err == MS_OK && cost > MS_SERVE_INLINE_NS)
		ms_offload_away(o);
	else
		ms_offload_here(o);
}
