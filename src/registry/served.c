// SPDX-License-Identifier: Apache-2.0
// One loaded version: model file and metadata become an immutable object that many threads share.
#include <math.h>
#include <stdlib.h>

#include "registry/served.h"
#include "json/json.h"

#define METADATA_MAX_BYTES ((size_t)4 << 20)
#define SERVED_ARENA_MAX ((size_t)1 << 30)

static const char *const known_keys[] = {"name", "version", "format", "inputs", "outputs", "labels", "sha256"};

static bool is_known_key(struct slice key)
{
	for (size_t i = 0; i < MS_ARRAY_LEN(known_keys); i++) {
		if (ms_slice_eq_cstr(key, known_keys[i]))
			return true;
	}
	return false;
}

static enum ms_err metadata_error(struct errinfo *info, const char *key, const char *wanted)
{
	return ms_fail(info, MS_ERR_MODEL_METADATA, "metadata.json: '%s' must be %s", key, wanted);
}

// A string member; absent gives an empty slice.
static enum ms_err get_text(const struct json_value *object, const char *key, struct errinfo *info,
			    struct slice *ret_text)
{
	const struct json_value *v = ms_json_get(object, key);
	*ret_text = MS_SLICE_EMPTY;
	if (v == NULL || v->type == JSON_NULL || ms_json_as_str(v, ret_text))
		return MS_OK;
	return metadata_error(info, key, "a string");
}

static enum ms_err read_format(const struct json_value *metadata, struct errinfo *info, enum model_format *ret_format)
{
	struct slice name;
	MS_TRY(get_text(metadata, "format", info, &name));
	if (name.n == 0 || ms_model_format_parse(name, ret_format))
		return MS_OK;
	struct slice names[MODEL_FORMAT_COUNT];
	struct buf list;
	ms_buf_init(&list, 256);
	for (int f = MODEL_FORMAT_AUTO + 1; f < MODEL_FORMAT_COUNT; f++) {
		names[f] = ms_slice_cstr(ms_model_format_name((enum model_format)f));
		ms_buf_printf(&list, "%s%s", list.n > 0 ? ", " : "", names[f].p);
	}
	enum ms_err err =
		ms_fail(info, MS_ERR_MODEL_METADATA, "metadata.json: format '%.*s' is not known; there are: %.*s",
			MS_SLICE_ARG(name), MS_SLICE_ARG(ms_buf_slice(&list)));
	ms_buf_fini(&list);
	return err;
}

static enum ms_err check_sha256(const struct served_model *served, const struct json_value *metadata,
				struct errinfo *info)
{
	struct slice want;
	MS_TRY(get_text(metadata, "sha256", info, &want));
	if (want.n == 0 || ms_slice_eq_nocase(want, ms_slice_cstr(served->sha256)))
		return MS_OK;
	return ms_fail(info, MS_ERR_MODEL_METADATA,
		       "metadata.json gives sha256 %.*s, but the model file's is %s: the file was changed or damaged",
		       MS_SLICE_ARG(want), served->sha256);
}

// The name in one entry of "inputs": a string, or an object with "name".
static bool input_name(const struct json_value *entry, struct slice *ret_name)
{
	if (entry->type == JSON_OBJECT)
		entry = ms_json_get(entry, "name");
	return ms_json_as_str(entry, ret_name) && ret_name->n > 0;
}

static enum ms_err name_inputs(struct served_model *served, const struct json_value *metadata, struct errinfo *info)
{
	const struct model_info *mi = ms_model_info(served->model);
	const struct json_value *given = ms_json_get(metadata, "inputs");
	if (given != NULL && given->type != JSON_ARRAY)
		return metadata_error(info, "inputs", "an array of names or of objects with a name");
	if (given != NULL && given->array.count != mi->feature_count)
		return ms_fail(info, MS_ERR_MODEL_METADATA, "metadata.json lists %zu inputs, but the model takes %zu",
			       given->array.count, mi->feature_count);
	struct served_input *inputs = MS_ARENA_ARRAY(&served->arena, struct served_input, mi->feature_count);
	if (inputs == NULL)
		return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory for %zu inputs", mi->feature_count);
	served->inputs = inputs;
	served->input_count = mi->feature_count;
	served->plain = true;
	for (size_t i = 0; i < mi->feature_count; i++) {
		const struct model_feature *f = &mi->features[i];
		struct slice name = f->name;
		if (given != NULL && !input_name(&given->array.items[i], &name))
			return ms_fail(info, MS_ERR_MODEL_METADATA, "metadata.json: input %zu has no name", i);
		void *old;
		inputs[i] = (struct served_input){.name = ms_arena_copy(&served->arena, name),
						  .categorical = f->categorical,
						  .strings = f->has_strings || f->any_string};
		served->plain = served->plain && !f->categorical;
		if (inputs[i].name.p == NULL || !ms_map_put(&served->input_index, inputs[i].name, &inputs[i], &old))
			return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory for %zu inputs", mi->feature_count);
		if (old != NULL)
			return ms_fail(info, MS_ERR_MODEL_METADATA, "two inputs have the name '%.*s'",
				       MS_SLICE_ARG(name));
	}
	return MS_OK;
}

// The model's own labels, unless they are just the places of its classes: 0, 1, 2 …
static void take_own_labels(struct served_model *served)
{
	const struct model_info *info = ms_model_info(served->model);
	bool tell_more = false;
	for (size_t i = 0; info->labels != NULL && i < info->class_count; i++) {
		uint64_t number;
		tell_more = tell_more || !ms_slice_to_u64(info->labels[i], &number) || number != i;
	}
	if (!tell_more)
		return;
	served->labels = info->labels;
	served->label_count = info->class_count;
}

static enum ms_err name_labels(struct served_model *served, const struct json_value *metadata, struct errinfo *info)
{
	const struct json_value *given = ms_json_get(metadata, "labels");
	size_t classes = ms_model_info(served->model)->class_count;
	if (given == NULL || given->type == JSON_NULL) {
		take_own_labels(served);
		return MS_OK;
	}
	if (given->type != JSON_ARRAY)
		return metadata_error(info, "labels", "an array with a name for each class");
	if (given->array.count != classes)
		return ms_fail(info, MS_ERR_MODEL_METADATA,
			       "metadata.json lists %zu labels, but the model has %zu classes", given->array.count,
			       classes);
	struct slice *labels = MS_ARENA_ARRAY(&served->arena, struct slice, classes);
	if (labels == NULL)
		return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory for %zu labels", classes);
	for (size_t i = 0; i < classes; i++) {
		const struct json_value *v = &given->array.items[i];
		if (v->type != JSON_STRING && v->type != JSON_NUMBER)
			return metadata_error(info, "labels", "an array of strings or numbers");
		labels[i] = ms_arena_copy(&served->arena, v->str); // a number's text is its name
		if (labels[i].p == NULL)
			return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory for %zu labels", classes);
	}
	served->labels = labels;
	served->label_count = classes;
	return MS_OK;
}

static void write_inputs(struct json_writer *w, const struct served_model *served)
{
	const struct model_info *mi = ms_model_info(served->model);
	ms_json_begin_array(w);
	for (size_t i = 0; i < served->input_count; i++) {
		const struct model_feature *f = &mi->features[i];
		ms_json_begin_object(w);
		ms_json_key_lit(w, "name");
		ms_json_str(w, served->inputs[i].name);
		ms_json_key_lit(w, "type");
		ms_json_cstr(w, f->categorical ? "category" : mi->input_single_precision ? "float32" : "float64");
		if (f->category_count > 0) {
			ms_json_key_lit(w, "categories");
			ms_json_begin_array(w);
			for (size_t c = 0; c < f->category_count; c++)
				ms_json_str(w, f->categories[c]);
			ms_json_end_array(w);
		}
		ms_json_end_object(w);
	}
	ms_json_end_array(w);
}

static void write_outputs(struct json_writer *w, const struct served_model *served)
{
	ms_json_begin_array(w);
	for (int o = 0; o < MODEL_OUTPUT_COUNT; o++) {
		size_t width = ms_model_output_width(served->model, (enum model_output)o);
		if (width == 0)
			continue;
		bool whole = o == MODEL_OUTPUT_LABEL || o == MODEL_OUTPUT_LEAF;
		ms_json_begin_object(w);
		ms_json_key_lit(w, "name");
		ms_json_cstr(w, ms_model_output_name((enum model_output)o));
		ms_json_key_lit(w, "type");
		ms_json_cstr(w, whole ? "int64"
				: o != MODEL_OUTPUT_CONTRIBUTIONS && ms_model_info(served->model)->single_precision
					? "float32"
					: "float64");
		ms_json_key_lit(w, "shape");
		ms_json_begin_array(w);
		ms_json_i64(w, -1);
		size_t group = ms_model_output_group(served->model, (enum model_output)o);
		if (group != width)
			ms_json_u64(w, width / group);
		ms_json_u64(w, group);
		ms_json_end_array(w);
		ms_json_end_object(w);
	}
	ms_json_end_array(w);
}

// The metadata as it is shown and stored: what the model file says, then what the user gave besides.
static enum ms_err complete_metadata(struct served_model *served, const struct json_value *given, struct errinfo *info)
{
	struct buf text;
	struct json_writer w;
	ms_buf_init(&text, METADATA_MAX_BYTES * 4);
	ms_json_writer_init(&w, &text);
	ms_json_begin_object(&w);
	ms_json_key_lit(&w, "name");
	ms_json_str(&w, served->name);
	ms_json_key_lit(&w, "version");
	ms_json_str(&w, served->version);
	ms_json_key_lit(&w, "format");
	ms_json_cstr(&w, ms_model_format_name(ms_model_info(served->model)->format));
	ms_json_key_lit(&w, "inputs");
	write_inputs(&w, served);
	ms_json_key_lit(&w, "outputs");
	write_outputs(&w, served);
	if (served->label_count > 0) {
		ms_json_key_lit(&w, "labels");
		ms_json_begin_array(&w);
		for (size_t i = 0; i < served->label_count; i++)
			ms_json_str(&w, served->labels[i]);
		ms_json_end_array(&w);
	}
	ms_json_key_lit(&w, "sha256");
	ms_json_cstr(&w, served->sha256);
	for (size_t i = 0; given != NULL && i < given->object.count; i++) {
		if (is_known_key(given->object.members[i].key))
			continue;
		ms_json_key(&w, given->object.members[i].key);
		ms_json_value(&w, &given->object.members[i].value);
	}
	ms_json_end_object(&w);
	served->metadata = ms_buf_ok(&text) ? ms_arena_copy(&served->arena, ms_buf_slice(&text)) : MS_SLICE_EMPTY;
	ms_buf_fini(&text);
	if (served->metadata.p == NULL)
		return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory for the metadata");
	return MS_OK;
}

// The first predictions of a process touch cold memory; they must not be a client's. Rows of zeros and of
// missing values also prove that the model evaluates at all.
static enum ms_err warm(const struct served_model *served, struct errinfo *info)
{
	// Contributions are as wide as features times classes, and few ask for them: their memory is not taken here.
	enum { WARMED = MODEL_OUTPUT_CONTRIBUTIONS };
	size_t columns = ms_model_info(served->model)->feature_count, widest = 1;
	for (int o = 0; o < WARMED; o++)
		widest = MS_MAX(widest, ms_model_output_width(served->model, (enum model_output)o));
	double *rows = calloc(2 * MS_MAX(columns, (size_t)1), sizeof(*rows));
	double *out = calloc(2 * widest, sizeof(*out));
	void *scratch = malloc(ms_model_scratch_size_for(served->model, MODEL_OUTPUT_DEFAULT) + 1);
	bool ok = rows != NULL && out != NULL && scratch != NULL;
	for (size_t i = 0; ok && i < columns; i++)
		rows[columns + i] = (double)NAN;
	for (int o = 0; ok && o < WARMED; o++) {
		if (ms_model_output_width(served->model, (enum model_output)o) > 0)
			ms_model_predict(served->model, &MS_MODEL_QUERY((enum model_output)o), rows, 2, scratch, out);
	}
	free(rows);
	free(out);
	free(scratch);
	return ok ? MS_OK : ms_fail(info, MS_ERR_NO_MEMORY, "out of memory for the first predictions");
}

static enum ms_err parse_metadata(const struct served_source *source, struct arena *arena, struct errinfo *info,
				  const struct json_value **ret_metadata)
{
	*ret_metadata = NULL;
	if (source->metadata.p == NULL)
		return MS_OK; // an empty file is no JSON, and said so below
	struct json_limits limits = MS_JSON_DEFAULT_LIMITS;
	limits.max_bytes = METADATA_MAX_BYTES;
	struct errinfo why;
	ms_errinfo_init(&why);
	if (ms_json_parse(source->metadata, &limits, arena, &why, ret_metadata) != MS_OK)
		return ms_fail(info, MS_ERR_MODEL_METADATA, "metadata.json: %s", why.message);
	if ((*ret_metadata)->type != JSON_OBJECT)
		return ms_fail(info, MS_ERR_MODEL_METADATA, "metadata.json must hold an object, not %s",
			       ms_json_type_name((*ret_metadata)->type));
	return MS_OK;
}

static enum ms_err fill(struct served_model *served, const struct served_source *source, struct arena *scratch,
			struct errinfo *info)
{
	const struct json_value *metadata;
	enum model_format format = source->format;
	MS_TRY(parse_metadata(source, scratch, info, &metadata));
	if (format == MODEL_FORMAT_AUTO)
		MS_TRY(read_format(metadata, info, &format));
	ms_sha256_hex(source->bytes, served->sha256);
	MS_TRY(check_sha256(served, metadata, info));
	MS_TRY(ms_model_load(source->bytes, format, source->model_options, info, &served->model));
	MS_TRY(name_inputs(served, metadata, info));
	MS_TRY(name_labels(served, metadata, info));
	MS_TRY(complete_metadata(served, metadata, info));
	return warm(served, info);
}

enum ms_err ms_served_new(const struct served_source *source, struct errinfo *info, struct served_model **ret_served)
{
	int64_t start_ns = ms_clock_mono_ns();
	struct served_model *served = calloc(1, sizeof(*served));
	if (served == NULL)
		return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory for a model");
	struct arena scratch;
	ms_arena_init(&scratch, 4096, METADATA_MAX_BYTES * 32);
	ms_arena_init(&served->arena, 4096, SERVED_ARENA_MAX);
	ms_map_init(&served->input_index, SIZE_MAX, ms_random_hash_seed());
	atomic_init(&served->refs, 1);
	served->name = ms_arena_copy(&served->arena, source->name);
	served->version = ms_arena_copy(&served->arena, source->version);
	served->file_name = ms_arena_copy(&served->arena, source->file_name);
	served->file_bytes = source->bytes.n;
	served->signature = source->signature;
	// aligned_alloc: each set fills cache lines of its own.
	served->stats_count = source->loops + 1;
	served->stats = aligned_alloc(_Alignof(struct model_stats), served->stats_count * sizeof(*served->stats));
	enum ms_err err = MS_OK;
	if (served->name.p == NULL || served->version.p == NULL || served->file_name.p == NULL || served->stats == NULL)
		err = ms_fail(info, MS_ERR_NO_MEMORY, "out of memory for a model");
	if (err == MS_OK) {
		memset(served->stats, 0, served->stats_count * sizeof(*served->stats));
		err = fill(served, source, &scratch, info);
	}
	ms_arena_fini(&scratch);
	served->loaded_unix_ns = ms_clock_wall_ns();
	served->load_ns = ms_clock_mono_ns() - start_ns;
	if (err != MS_OK) {
		ms_served_unref(served);
		return err;
	}
	*ret_served = served;
	return MS_OK;
}

struct served_model *ms_served_ref(struct served_model *served)
{
	atomic_fetch_add_explicit(&served->refs, 1, memory_order_relaxed);
	return served;
}

void ms_served_unref(struct served_model *served)
{
	if (served == NULL || atomic_fetch_sub_explicit(&served->refs, 1, memory_order_acq_rel) != 1)
		return;
	if (served->registry != NULL)
		ms_registry_leave(served);
	ms_model_unref(served->model);
	ms_map_fini(&served->input_index);
	ms_arena_fini(&served->arena);
	free(served->stats);
	free(served);
}

size_t ms_served_input_index(const struct served_model *served, struct slice name)
{
	const struct served_input *input = ms_map_get(&served->input_index, name);
	return input != NULL ? (size_t)(input - served->inputs) : SIZE_MAX;
}

static void add(atomic_uint_least64_t *counter, uint64_t n, bool own)
{
	// A loop is the only writer of its figures: a plain load and store is enough and costs no bus lock.
	if (own)
		atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n,
				      memory_order_relaxed);
	else
		atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

void ms_served_record(const struct served_model *served, const struct loop *loop, const struct model_sample *sample)
{
	bool own = loop != NULL && ms_loop_index(loop) < served->stats_count - 1;
	size_t index = own ? ms_loop_index(loop) : served->stats_count - 1;
	struct model_stats *stats = &served->stats[index];
	add(sample->failed ? &stats->fail_count : &stats->success_count, 1, own);
	add(sample->failed ? &stats->fail_ns : &stats->success_ns, (uint64_t)sample->total_ns, own);
	add(&stats->queue_ns, (uint64_t)sample->queue_ns, own);
	add(&stats->input_ns, (uint64_t)sample->input_ns, own);
	add(&stats->infer_ns, (uint64_t)sample->infer_ns, own);
	add(&stats->output_ns, (uint64_t)sample->output_ns, own);
	add(&stats->rows, sample->rows, own);
	atomic_store_explicit(&stats->last_unix_ms, (uint64_t)sample->unix_ms, memory_order_relaxed);
	uint32_t shard = own ? (uint32_t)index : MS_METRICS_SHARED_SHARD;
	if (served->predictions_ok == NULL)
		return;
	ms_counter_add(sample->failed ? served->predictions_failed : served->predictions_ok, shard, 1);
	if (!sample->failed)
		ms_histogram_observe(served->duration, shard, (double)sample->infer_ns * 1e-9);
}
