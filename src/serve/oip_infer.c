// SPDX-License-Identifier: Apache-2.0
// Open Inference Protocol v2: infer, with JSON and binary tensors both ways.
#include <math.h>

#include "serve/private.h"
#include "serve/tensor.h"

#define MAX_INPUTS 100000
#define JSON_LENGTH_HEADER "Inference-Header-Content-Length"

enum binary_choice { BINARY_UNSAID, BINARY_NO, BINARY_YES };

struct wanted_output {
	struct slice name;
	enum model_output output;
	enum binary_choice binary;
	double *values;
	enum tensor_type type;
	size_t width;
};

struct infer_state {
	struct offload offload;
	struct served_model *served;
	struct slice id;
	struct tensor *inputs;
	size_t input_count, input_capacity;
	struct wanted_output outputs[MODEL_OUTPUT_COUNT];
	size_t output_count;
	bool binary_default;
	bool raw_request; // the body is one tensor and nothing else
	struct slice json, binary;
	struct feature_matrix matrix;
	struct model_sample sample;
	struct slice content_length; // of the JSON part of the answer
};

// --- Reading the request -----------------------------------------------------------------------------

static enum ms_err read_inputs(struct infer_state *s, struct json_reader *r, struct errinfo *info)
{
	struct arena *arena = s->offload.x->arena;
	if (!ms_json_enter_array(r))
		return r->err;
	while (ms_json_next_item(r)) {
		if (s->input_count == MAX_INPUTS)
			return ms_fail(info, MS_ERR_LIMIT, "more than %d inputs", MAX_INPUTS);
		if (s->input_count == s->input_capacity) {
			size_t capacity = MS_MAX(s->input_capacity * 2, (size_t)4);
			struct tensor *bigger = MS_ARENA_ARRAY(arena, struct tensor, capacity);
			if (bigger == NULL)
				return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory for the inputs");
			if (s->input_count > 0)
				memcpy(bigger, s->inputs, s->input_count * sizeof(*bigger));
			s->inputs = bigger;
			s->input_capacity = capacity;
		}
		MS_TRY(ms_tensor_read(r, info, &s->inputs[s->input_count]));
		s->input_count++;
	}
	return r->err;
}

// Parameters that ask for another answer than the one that would come.
static bool changes_answer(struct slice key)
{
	return ms_slice_eq_cstr(key, "classification") || ms_slice_starts_with(key, MS_SLICE_LIT("shared_memory_"));
}

// "parameters" of an output or of the request: `wanted` turns binary data on or off.
static enum ms_err read_binary_choice(struct json_reader *r, const char *wanted, struct errinfo *info,
				      enum binary_choice *ret_choice)
{
	struct slice key;
	if (!ms_json_enter_object(r))
		return r->err;
	while (ms_json_next_key(r, &key)) {
		bool flag;
		if (changes_answer(key)) {
			ms_errinfo_set_field(info, key);
			return ms_fail(info, MS_ERR_PREDICT_FIELD,
				       "parameter '%.*s': this extension of the protocol is not supported",
				       MS_SLICE_ARG(key));
		}
		if (!ms_slice_eq_cstr(key, wanted)) {
			if (!ms_json_skip(r, NULL))
				return r->err;
		} else if (!ms_json_read_bool(r, &flag))
			return r->err;
		else
			*ret_choice = flag ? BINARY_YES : BINARY_NO;
	}
	return r->err;
}

static enum ms_err read_output(struct infer_state *s, struct json_reader *r, struct errinfo *info)
{
	struct wanted_output out = {0};
	struct slice key;
	if (!ms_json_enter_object(r))
		return r->err;
	while (ms_json_next_key(r, &key)) {
		if (ms_slice_eq_cstr(key, "name")) {
			if (!ms_json_read_string(r, &out.name))
				return r->err;
		} else if (ms_slice_eq_cstr(key, "parameters"))
			MS_TRY(read_binary_choice(r, "binary_data", info, &out.binary));
		else if (!ms_json_skip(r, NULL))
			return r->err;
	}
	if (r->err != MS_OK)
		return r->err;
	bool known = ms_slice_eq_cstr(out.name, "predictions") || ms_model_output_parse(out.name, &out.output);
	if (!known) {
		ms_errinfo_set_field(info, out.name);
		return ms_fail(info, MS_ERR_MODEL_OUTPUT,
			       "unknown output '%.*s'; there are: predictions, raw, probability, label, leaf, "
			       "contributions, tree",
			       MS_SLICE_ARG(out.name));
	}
	if (s->output_count == MS_ARRAY_LEN(s->outputs))
		return ms_fail(info, MS_ERR_MODEL_OUTPUT, "an output is requested twice");
	s->outputs[s->output_count++] = out;
	return MS_OK;
}

static enum ms_err read_member(struct infer_state *s, struct json_reader *r, struct slice key, struct errinfo *info)
{
	enum binary_choice choice = BINARY_UNSAID;
	if (ms_slice_eq_cstr(key, "id"))
		return ms_json_read_string(r, &s->id) ? MS_OK : r->err;
	if (ms_slice_eq_cstr(key, "inputs"))
		return read_inputs(s, r, info);
	if (ms_slice_eq_cstr(key, "parameters")) {
		MS_TRY(read_binary_choice(r, "binary_data_output", info, &choice));
		s->binary_default = choice == BINARY_YES;
		return MS_OK;
	}
	if (!ms_slice_eq_cstr(key, "outputs"))
		return ms_json_skip(r, NULL) ? MS_OK : r->err;
	if (!ms_json_enter_array(r))
		return r->err;
	while (ms_json_next_item(r))
		MS_TRY(read_output(s, r, info));
	return r->err;
}

static enum ms_err read_json(struct infer_state *s, struct errinfo *info)
{
	struct json_reader r;
	struct json_limits limits = MS_JSON_DEFAULT_LIMITS;
	struct slice key;
	limits.max_bytes = SIZE_MAX; // net bounded the body
	limits.allow_nan = true;     // clients of this protocol write NaN and Infinity bare, though it is no JSON
	ms_json_reader_init(&r, s->json, &limits, s->offload.x->arena, info);
	if (!ms_json_enter_object(&r))
		return r.err;
	while (ms_json_next_key(&r, &key))
		MS_TRY(read_member(s, &r, key, info));
	MS_TRY(ms_json_finish(&r));
	if (s->input_count > 0)
		return MS_OK;
	ms_errinfo_set_field(info, MS_SLICE_LIT("inputs"));
	return ms_fail(info, MS_ERR_PREDICT_FIELD, "'inputs' is missing or empty");
}

// Binary tensors follow the JSON in the order of the inputs.
static enum ms_err attach_binary(struct infer_state *s, struct errinfo *info)
{
	struct slice rest = s->binary;
	for (size_t i = 0; i < s->input_count; i++) {
		struct tensor *t = &s->inputs[i];
		if (!t->has_binary_size)
			continue;
		if (t->binary_size > rest.n) {
			ms_errinfo_set_field(info, t->name);
			return ms_fail(info, MS_ERR_PREDICT_SHAPE,
				       "input '%.*s' says %llu bytes of binary data, but %zu are left in the body",
				       MS_SLICE_ARG(t->name), (unsigned long long)t->binary_size, rest.n);
		}
		t->binary = ms_slice(rest.p != NULL ? rest.p : "", (size_t)t->binary_size);
		rest = ms_slice_sub(rest, (size_t)t->binary_size, rest.n);
	}
	return rest.n == 0 ? MS_OK
			   : ms_fail(info, MS_ERR_PREDICT_SHAPE,
				     "%zu bytes are left behind the binary data of all inputs", rest.n);
}

// The header splits the body; without it all is JSON; 0 means a raw request.
static enum ms_err split_body(struct infer_state *s, struct errinfo *info)
{
	struct exchange *x = s->offload.x;
	struct slice header = ms_http_header(&x->req, JSON_LENGTH_HEADER);
	uint64_t n;
	s->json = x->req.body;
	s->binary = MS_SLICE_EMPTY;
	if (header.p == NULL)
		return MS_OK;
	if (!ms_slice_to_u64(header, &n) || n > x->req.body.n) {
		ms_errinfo_set_field(info, MS_SLICE_LIT(JSON_LENGTH_HEADER));
		return ms_fail(info, MS_ERR_INVALID,
			       JSON_LENGTH_HEADER
			       " must be the length of the JSON part, at most the body's %zu bytes, not '%.*s'",
			       x->req.body.n, MS_SLICE_ARG(header));
	}
	s->raw_request = n == 0;
	s->json = ms_slice_sub(x->req.body, 0, (size_t)n);
	s->binary = ms_slice_sub(x->req.body, (size_t)n, x->req.body.n);
	return MS_OK;
}

// --- Tensors to rows ---------------------------------------------------------------------------------

struct filling {
	struct infer_state *s;
	size_t column; // of a column tensor, or SIZE_MAX for a matrix
};

static enum ms_err put(struct filling *f, size_t index, size_t *ret_column, double **ret_place)
{
	size_t columns = f->s->matrix.columns;
	*ret_column = f->column != SIZE_MAX ? f->column : index % columns;
	*ret_place = &f->s->matrix.values[f->column != SIZE_MAX ? index * columns + f->column : index];
	return MS_OK;
}

static enum ms_err name_place(struct filling *f, size_t index, size_t column, struct errinfo *info, enum ms_err err)
{
	if (err != MS_OK && info != NULL) {
		info->row = (int64_t)(f->column != SIZE_MAX ? index : index / f->s->matrix.columns);
		ms_errinfo_set_field(info, f->s->served->inputs[column].name);
	}
	return err;
}

static enum ms_err put_number(void *arg, size_t index, double value, struct errinfo *info)
{
	struct filling *f = arg;
	size_t column;
	double *place;
	MS_TRY(put(f, index, &column, &place));
	*place = value;
	if (!f->s->served->inputs[column].categorical || isnan(value))
		return MS_OK;
	return name_place(f, index, column, info,
			  ms_model_encode_number(f->s->served->model, column, value, info, place));
}

static enum ms_err put_text(void *arg, size_t index, struct slice text, struct errinfo *info)
{
	struct filling *f = arg;
	size_t column;
	double *place;
	MS_TRY(put(f, index, &column, &place));
	if (!f->s->served->inputs[column].strings)
		return name_place(f, index, column, info,
				  ms_fail(info, MS_ERR_PREDICT_TYPE,
					  "feature '%.*s' must be a number, not datatype BYTES",
					  MS_SLICE_ARG(f->s->served->inputs[column].name)));
	return name_place(f, index, column, info, ms_features_from_text(f->s->served, column, text, info, place));
}

static enum ms_err make_matrix(struct infer_state *s, size_t rows, struct errinfo *info)
{
	size_t columns = s->served->input_count, count, bytes;
	if (rows > s->offload.serve->options.max_rows)
		return ms_fail(info, MS_ERR_PREDICT_TOO_MANY_ROWS,
			       "%zu rows are more than %zu in one request (setting predict.max_rows)", rows,
			       s->offload.serve->options.max_rows);
	if (MS_MUL_OVERFLOWS(rows, columns, &count) || MS_MUL_OVERFLOWS(count, sizeof(double), &bytes))
		return ms_fail(info, MS_ERR_LIMIT, "the rows do not fit into memory");
	s->matrix = (struct feature_matrix){
		.values = ms_arena_alloc(s->offload.x->arena, bytes), .rows = rows, .columns = columns};
	if (s->matrix.values == NULL)
		return ms_fail(info, MS_ERR_LIMIT, "%zu rows of %zu features do not fit into the memory of one request",
			       rows, columns);
	for (size_t i = 0; i < count; i++)
		s->matrix.values[i] = (double)NAN;
	return MS_OK;
}

// One tensor of all features: [rows, features], or [features] for one row.
static bool is_matrix(const struct infer_state *s, size_t *ret_rows)
{
	const struct tensor *t = &s->inputs[0];
	size_t columns = s->served->input_count;
	if (s->input_count != 1 || t->shape[t->dims - 1] != columns)
		return false;
	// Of a model with one feature a tensor [n] of that name is a column.
	if (t->dims == 1 && columns == 1)
		return false;
	*ret_rows = columns > 0 ? t->elements / columns : 0;
	return t->dims <= 2;
}

static enum ms_err fill_columns(struct infer_state *s, struct errinfo *info)
{
	size_t rows = s->inputs[0].elements;
	uint8_t *seen = ms_arena_calloc(s->offload.x->arena, s->served->input_count, 1);
	if (seen == NULL)
		return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory for the inputs");
	MS_TRY(make_matrix(s, rows, info));
	for (size_t i = 0; i < s->input_count; i++) {
		const struct tensor *t = &s->inputs[i];
		size_t column = ms_served_input_index(s->served, t->name);
		ms_errinfo_set_field(info, t->name);
		if (column == SIZE_MAX)
			return ms_fail(info, MS_ERR_PREDICT_FEATURE,
				       "input '%.*s' is no feature of model '%.*s', and no tensor of shape [rows, %zu] "
				       "with all of them",
				       MS_SLICE_ARG(t->name), MS_SLICE_ARG(s->served->name), s->served->input_count);
		if (seen[column]++)
			return ms_fail(info, MS_ERR_PREDICT_FEATURE, "input '%.*s' is given twice",
				       MS_SLICE_ARG(t->name));
		bool column_shape = t->dims == 1 || (t->dims == 2 && t->shape[1] == 1);
		if (!column_shape || t->elements != rows)
			return ms_fail(info, MS_ERR_PREDICT_SHAPE,
				       "input '%.*s' must have the shape [%zu] or [%zu, 1] like the first input",
				       MS_SLICE_ARG(t->name), rows, rows);
		ms_errinfo_set_field(info, MS_SLICE_EMPTY);
		struct filling f = {.s = s, .column = column};
		MS_TRY(ms_tensor_elements(t, s->offload.x->arena, info, put_number, put_text, &f));
	}
	return MS_OK;
}

static enum ms_err fill_rows(struct infer_state *s, struct errinfo *info)
{
	size_t rows;
	if (!is_matrix(s, &rows))
		return fill_columns(s, info);
	struct filling f = {.s = s, .column = SIZE_MAX};
	MS_TRY(make_matrix(s, rows, info));
	return ms_tensor_elements(&s->inputs[0], s->offload.x->arena, info, put_number, put_text, &f);
}

// A raw request: the body is the one input tensor of the metadata.
static enum ms_err read_raw(struct infer_state *s, struct errinfo *info)
{
	bool single = ms_model_info(s->served->model)->input_single_precision;
	for (size_t i = 0; i < s->served->input_count; i++) {
		if (s->served->inputs[i].strings)
			return ms_fail(
				info, MS_ERR_INVALID,
				"a raw request needs a model of one input; model '%.*s' takes a tensor per column",
				MS_SLICE_ARG(s->served->name));
	}
	struct tensor *t = MS_ARENA_NEW(s->offload.x->arena, struct tensor);
	size_t columns = s->served->input_count, row_bytes;
	if (t == NULL)
		return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory for the input");
	t->name = MS_SLICE_LIT("features");
	t->type = single ? TENSOR_FP32 : TENSOR_FP64;
	row_bytes = columns * ms_tensor_type_size(t->type);
	if (row_bytes == 0 || s->binary.n == 0 || s->binary.n % row_bytes != 0)
		return ms_fail(info, MS_ERR_PREDICT_SHAPE,
			       "a raw request must hold rows of %zu %s values (%zu bytes each), not %zu bytes", columns,
			       ms_tensor_type_name(t->type), row_bytes, s->binary.n);
	t->dims = 2;
	t->shape[0] = s->binary.n / row_bytes;
	t->shape[1] = columns;
	t->elements = (size_t)t->shape[0] * columns;
	t->binary = s->binary;
	s->inputs = t;
	s->input_count = 1;
	s->binary_default = true;
	return MS_OK;
}

static void decode(struct infer_state *s)
{
	struct offload *o = &s->offload;
	int64_t start = ms_clock_mono_ns();
	o->err = ms_serve_find(o->x, ms_offload_snapshot(o), o->x->req.params[0], o->x->req.params[1], &o->info,
			       &s->served);
	if (o->err == MS_OK)
		o->err = split_body(s, &o->info);
	if (o->err == MS_OK)
		o->err = s->raw_request ? read_raw(s, &o->info) : read_json(s, &o->info);
	if (o->err == MS_OK && !s->raw_request)
		o->err = attach_binary(s, &o->info);
	if (o->err == MS_OK)
		o->err = fill_rows(s, &o->info);
	s->sample.input_ns = ms_clock_mono_ns() - start;
}

// --- Writing the answer ------------------------------------------------------------------------------

static struct slice label_text(const struct infer_state *s, double value)
{
	return s->served->labels[(size_t)value];
}

static size_t binary_size(const struct infer_state *s, const struct wanted_output *out)
{
	size_t count = s->matrix.rows * out->width, bytes = 0;
	if (out->type != TENSOR_BYTES)
		return count * ms_tensor_type_size(out->type);
	for (size_t i = 0; i < count; i++)
		bytes += sizeof(uint32_t) + label_text(s, out->values[i]).n;
	return bytes;
}

static void write_binary(const struct infer_state *s, const struct wanted_output *out, struct buf *body)
{
	for (size_t i = 0; i < s->matrix.rows * out->width; i++) {
		double value = out->values[i];
		float single = (float)value;
		int64_t whole = (int64_t)value;
		if (out->type == TENSOR_BYTES) {
			struct slice text = label_text(s, value);
			uint32_t n = (uint32_t)text.n;
			ms_buf_append(body, &n, sizeof(n));
			ms_buf_append_slice(body, text);
		} else if (out->type == TENSOR_FP32)
			ms_buf_append(body, &single, sizeof(single));
		else if (out->type == TENSOR_FP64)
			ms_buf_append(body, &value, sizeof(value));
		else
			ms_buf_append(body, &whole, sizeof(whole));
	}
}

static void write_data(const struct infer_state *s, const struct wanted_output *out, struct json_writer *w)
{
	ms_json_key_lit(w, "data");
	ms_json_begin_array(w);
	for (size_t i = 0; i < s->matrix.rows * out->width; i++) {
		if (out->type == TENSOR_BYTES)
			ms_json_str(w, label_text(s, out->values[i]));
		else if (out->type == TENSOR_FP32)
			ms_json_f32(w, (float)out->values[i]);
		else if (out->type == TENSOR_FP64)
			ms_json_f64(w, out->values[i]);
		else
			ms_json_i64(w, (int64_t)out->values[i]);
	}
	ms_json_end_array(w);
}

static void write_output(const struct infer_state *s, const struct wanted_output *out, struct json_writer *w)
{
	ms_json_begin_object(w);
	ms_json_key_lit(w, "name");
	ms_json_str(w, out->name);
	ms_json_key_lit(w, "datatype");
	ms_json_cstr(w, ms_tensor_type_name(out->type));
	ms_json_key_lit(w, "shape");
	ms_json_begin_array(w);
	ms_json_u64(w, s->matrix.rows);
	size_t group = ms_model_output_group(s->served->model, out->output);
	if (group != out->width)
		ms_json_u64(w, out->width / group);
	ms_json_u64(w, group);
	ms_json_end_array(w);
	if (out->binary == BINARY_YES) {
		ms_json_key_lit(w, "parameters");
		ms_json_begin_object(w);
		ms_json_key_lit(w, "binary_data_size");
		ms_json_u64(w, binary_size(s, out));
		ms_json_end_object(w);
	} else
		write_data(s, out, w);
	ms_json_end_object(w);
}

static enum tensor_type output_type(const struct served_model *served, enum model_output output)
{
	if (output == MODEL_OUTPUT_LABEL)
		return served->labels != NULL ? TENSOR_BYTES : TENSOR_INT64;
	if (output == MODEL_OUTPUT_LEAF)
		return TENSOR_INT64;
	if (output == MODEL_OUTPUT_CONTRIBUTIONS)
		return TENSOR_FP64;
	return ms_model_info(served->model)->single_precision ? TENSOR_FP32 : TENSOR_FP64;
}

static enum ms_err compute(struct infer_state *s, struct errinfo *info)
{
	struct arena *arena = s->offload.x->arena;
	int64_t start = ms_clock_mono_ns();
	if (s->output_count == 0)
		s->outputs[s->output_count++] = (struct wanted_output){.name = MS_SLICE_LIT("predictions")};
	for (size_t i = 0; i < s->output_count; i++) {
		struct wanted_output *out = &s->outputs[i];
		MS_TRY(ms_output_compute(s->served, &MS_MODEL_QUERY(out->output), ms_offload_pool(&s->offload),
					 &s->matrix, arena, info, &out->values));
		out->width = ms_model_output_width(s->served->model, out->output);
		out->type = output_type(s->served, out->output);
		if (out->binary == BINARY_UNSAID)
			out->binary = s->binary_default ? BINARY_YES : BINARY_NO;
	}
	s->sample.infer_ns = ms_clock_mono_ns() - start;
	s->sample.rows = s->matrix.rows;
	return MS_OK;
}

static void write_answer(struct infer_state *s)
{
	struct exchange *x = s->offload.x;
	struct json_writer w;
	bool binary = false;
	int64_t start = ms_clock_mono_ns();
	ms_json_writer_init(&w, x->body);
	ms_json_begin_object(&w);
	ms_json_key_lit(&w, "model_name");
	ms_json_str(&w, s->served->name);
	ms_json_key_lit(&w, "model_version");
	ms_json_str(&w, s->served->version);
	if (s->id.p != NULL) {
		ms_json_key_lit(&w, "id");
		ms_json_str(&w, s->id);
	}
	ms_json_key_lit(&w, "outputs");
	ms_json_begin_array(&w);
	for (size_t i = 0; i < s->output_count; i++) {
		write_output(s, &s->outputs[i], &w);
		binary = binary || s->outputs[i].binary == BINARY_YES;
	}
	ms_json_end_array(&w);
	ms_json_end_object(&w);
	if (binary)
		s->content_length = ms_slice_cstr(ms_arena_printf(x->arena, "%zu", x->body->n));
	for (size_t i = 0; i < s->output_count; i++) {
		if (s->outputs[i].binary == BINARY_YES)
			write_binary(s, &s->outputs[i], x->body);
	}
	s->sample.output_ns = ms_clock_mono_ns() - start;
}

static void run_infer(struct offload *o)
{
	struct infer_state *s = MS_CONTAINER_OF(o, struct infer_state, offload);
	if (s->matrix.values == NULL && o->err == MS_OK)
		decode(s);
	if (o->err == MS_OK)
		o->err = compute(s, &o->info);
	if (o->err != MS_OK)
		return;
	write_answer(s);
	if (!ms_buf_ok(o->x->body))
		o->err = ms_fail(&o->info, MS_ERR_LIMIT, "the answer is too large: send fewer rows");
}

static void finish_infer(struct offload *o)
{
	struct infer_state *s = MS_CONTAINER_OF(o, struct infer_state, offload);
	s->sample.failed = o->err != MS_OK;
	s->sample.queue_ns = o->queue_ns;
	s->sample.total_ns = ms_clock_mono_ns() - o->x->req.start_mono_ns;
	s->sample.unix_ms = o->unix_ns / 1000000;
	if (s->served != NULL)
		ms_served_record(s->served, o->x->loop, &s->sample);
	if (o->err != MS_OK)
		ms_offload_fail(o);
	else if (s->content_length.p != NULL) {
		ms_http_set_header(o->x, JSON_LENGTH_HEADER, s->content_length);
		ms_http_send(o->x, 200, "application/octet-stream");
	} else
		ms_http_send_json(o->x, 200);
}

void ms_oip_infer(struct exchange *x, void *role)
{
	struct infer_state *s = MS_SERVE_STATE(x, struct infer_state);
	if (s == NULL)
		return;
	struct offload *o = &s->offload;
	ms_offload_init(o, x, role, run_infer, finish_infer);
	if (x->req.body.n > MS_SERVE_INLINE_BODY) {
		ms_offload_away(o);
		return;
	}
	decode(s);
	uint64_t row_ns = 0;
	for (size_t i = 0; o->err == MS_OK && i < MS_MAX(s->output_count, (size_t)1); i++) // none: the default
		row_ns += ms_model_row_ns(s->served->model, s->outputs[i].output);
	uint64_t cost = s->matrix.rows * row_ns;
	if (cost > MS_SERVE_INLINE_NS)
		ms_offload_away(o);
	else
		ms_offload_here(o);
}
