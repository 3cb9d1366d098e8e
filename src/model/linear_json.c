// SPDX-License-Identifier: Apache-2.0
// Linear models as a small JSON of our own; README.md describes it.
#include <math.h>

#include "model/linear.h"
#include "model/loader.h"
#include "json/json.h"

struct reader {
	struct loader_context *ctx;
	struct errinfo *info;
	const struct json_value *root;
	size_t feature_count;
	size_t output_count;
	struct model_description *desc;
};

struct link {
	const char *name;
	enum transform_kind transform;
	enum model_task task; // that it implies where the file names none
};
static const struct link LINKS[] = {
	{"identity", TRANSFORM_IDENTITY, MODEL_REGRESSION},
	{"log", TRANSFORM_EXP, MODEL_REGRESSION},
	{"logit", TRANSFORM_SIGMOID, MODEL_BINARY},
	{"softmax", TRANSFORM_SOFTMAX, MODEL_MULTICLASS},
};

static const char *const KEYS[] = {
	"format", "version", "task", "link", "coefficients", "intercepts", "features", "labels", "means", "scales",
};

static enum ms_err no_memory(struct reader *r)
{
	return ms_fail(r->info, MS_ERR_MODEL_TOO_LARGE, "the model needs more memory than it may use");
}

// Member names are few and known: a slip of the pen is told, not ignored.
static enum ms_err check_keys(struct reader *r)
{
	struct slice known[MS_ARRAY_LEN(KEYS)];
	for (size_t k = 0; k < MS_ARRAY_LEN(KEYS); k++)
		known[k] = ms_slice_cstr(KEYS[k]);
	for (size_t i = 0; i < r->root->object.count; i++) {
		struct slice key = r->root->object.members[i].key;
		bool found = false;
		for (size_t k = 0; k < MS_ARRAY_LEN(KEYS); k++)
			found = found || ms_slice_eq(key, known[k]);
		if (found)
			continue;
		size_t near = ms_text_nearest(key, known, MS_ARRAY_LEN(KEYS));
		return ms_fail(r->info, MS_ERR_MODEL_FORMAT, "unknown member \"%.*s\"%s%s%s", MS_SLICE_ARG(key),
			       near != SIZE_MAX ? "; did you mean \"" : "", near != SIZE_MAX ? KEYS[near] : "",
			       near != SIZE_MAX ? "\"?" : "");
	}
	return MS_OK;
}

static enum ms_err check_format(struct reader *r)
{
	const struct json_value *format = ms_json_get(r->root, "format"), *version = ms_json_get(r->root, "version");
	struct slice name;
	int64_t number = 0;
	if (!ms_json_as_str(format, &name) || !ms_slice_eq_cstr(name, "mainstay-linear"))
		return ms_fail(r->info, MS_ERR_MODEL_FORMAT, "\"format\" must be \"mainstay-linear\"");
	if (!ms_json_as_i64(version, &number))
		return ms_fail(r->info, MS_ERR_MODEL_FORMAT, "\"version\" must be 1");
	if (number != 1)
		return ms_fail(r->info, MS_ERR_MODEL_UNSUPPORTED, "\"version\" %lld is not known; 1 is",
			       (long long)number);
	return MS_OK;
}

static enum ms_err read_number(struct reader *r, const struct json_value *v, const char *where, double *ret_value)
{
	if (!ms_json_as_f64(v, ret_value))
		return ms_fail(r->info, MS_ERR_MODEL_FORMAT, "\"%s\": a finite number is expected, not a %s", where,
			       ms_json_type_name(v->type));
	return MS_OK;
}

// `count` numbers; NULL when the member is absent.
static enum ms_err read_numbers(struct reader *r, const struct json_value *list, const char *where, size_t count,
				double *dst)
{
	if (list->type != JSON_ARRAY || list->array.count != count)
		return ms_fail(r->info, MS_ERR_MODEL_FORMAT, "\"%s\": a list of %zu numbers is expected", where, count);
	for (size_t i = 0; i < count; i++)
		MS_TRY(read_number(r, &list->array.items[i], where, &dst[i]));
	return MS_OK;
}

static enum ms_err read_optional_numbers(struct reader *r, const char *key, size_t count, const double **ret_numbers)
{
	const struct json_value *list = ms_json_get(r->root, key);
	*ret_numbers = NULL;
	if (list == NULL)
		return MS_OK;
	if (list->type != JSON_ARRAY || list->array.count != count)
		return ms_fail(r->info, MS_ERR_MODEL_FORMAT, "\"%s\": a list of %zu numbers is expected", key, count);
	double *numbers = MS_ARENA_ARRAY(r->ctx->memory, double, count);
	if (numbers == NULL)
		return no_memory(r);
	MS_TRY(read_numbers(r, list, key, count, numbers));
	*ret_numbers = numbers;
	return MS_OK;
}

// The shape comes from "coefficients": a list of numbers is one output, a list of lists one output each.
static enum ms_err read_coefficients(struct reader *r, double **ret_weights)
{
	const struct json_value *list = ms_json_get(r->root, "coefficients");
	if (list == NULL || list->type != JSON_ARRAY || list->array.count == 0)
		return ms_fail(r->info, MS_ERR_MODEL_FORMAT,
			       "\"coefficients\" must be a list of numbers, or a list of them for each output");
	const struct json_value *rows = list;
	r->output_count = 1;
	if (list->array.items[0].type == JSON_ARRAY) {
		r->output_count = list->array.count;
		rows = list->array.items;
	}
	r->feature_count = rows->array.count;
	if (r->feature_count == 0)
		return ms_fail(r->info, MS_ERR_MODEL_FORMAT, "\"coefficients\" has an empty list");
	for (size_t k = 0; k < r->output_count; k++)
		if (rows[k].type != JSON_ARRAY || rows[k].array.count != r->feature_count)
			return ms_fail(
				r->info, MS_ERR_MODEL_FORMAT,
				"\"coefficients\": each list must have %zu numbers, as the first; list %zu differs",
				r->feature_count, k);
	if (r->output_count > r->ctx->options->max_classes || r->feature_count > r->ctx->options->max_features)
		return ms_fail(r->info, MS_ERR_MODEL_TOO_LARGE,
			       "%zu outputs of %zu features are too many (%zu and %zu are allowed)", r->output_count,
			       r->feature_count, r->ctx->options->max_classes, r->ctx->options->max_features);
	double *weights = MS_ARENA_ARRAY(r->ctx->memory, double, r->output_count * r->feature_count);
	if (weights == NULL)
		return no_memory(r);
	for (size_t k = 0; k < r->output_count; k++)
		MS_TRY(read_numbers(r, &rows[k], "coefficients", r->feature_count, weights + k * r->feature_count));
	*ret_weights = weights;
	return MS_OK;
}

static enum ms_err read_intercepts(struct reader *r, const double **ret_intercepts)
{
	const struct json_value *v = ms_json_get(r->root, "intercepts");
	double *intercepts = MS_ARENA_ARRAY(r->ctx->memory, double, r->output_count);
	if (intercepts == NULL)
		return no_memory(r);
	*ret_intercepts = intercepts;
	if (v == NULL)
		return MS_OK;
	if (v->type == JSON_NUMBER && r->output_count == 1)
		return read_number(r, v, "intercepts", &intercepts[0]);
	return read_numbers(r, v, "intercepts", r->output_count, intercepts);
}

static enum ms_err read_scaling(struct reader *r, struct linear_model *m)
{
	MS_TRY(read_optional_numbers(r, "means", r->feature_count, &m->means));
	MS_TRY(read_optional_numbers(r, "scales", r->feature_count, &m->scales));
	for (size_t i = 0; m->scales != NULL && i < r->feature_count; i++)
		if (m->scales[i] == 0)
			return ms_fail(r->info, MS_ERR_MODEL_FORMAT, "\"scales\": number %zu is 0", i);
	return MS_OK;
}

// A list of `count` strings, none empty; NULL when the member is absent.
static enum ms_err read_strings(struct reader *r, const char *key, size_t count, struct slice **ret_strings)
{
	const struct json_value *list = ms_json_get(r->root, key);
	*ret_strings = NULL;
	if (list == NULL)
		return MS_OK;
	if (list->type != JSON_ARRAY || list->array.count != count)
		return ms_fail(r->info, MS_ERR_MODEL_FORMAT, "\"%s\": a list of %zu strings is expected", key, count);
	struct slice *strings = MS_ARENA_ARRAY(r->ctx->memory, struct slice, count);
	if (strings == NULL)
		return no_memory(r);
	for (size_t i = 0; i < count; i++) {
		struct slice text;
		if (!ms_json_as_str(&list->array.items[i], &text) || text.n == 0)
			return ms_fail(r->info, MS_ERR_MODEL_FORMAT, "\"%s\": item %zu must be a string, not empty",
				       key, i);
		strings[i] = ms_arena_copy(r->ctx->memory, text);
		if (strings[i].p == NULL)
			return no_memory(r);
	}
	*ret_strings = strings;
	return MS_OK;
}

static enum ms_err read_features(struct reader *r)
{
	struct slice *names;
	MS_TRY(read_strings(r, "features", r->feature_count, &names));
	struct model_feature *features = MS_ARENA_ARRAY(r->ctx->memory, struct model_feature, r->feature_count);
	if (features == NULL)
		return no_memory(r);
	for (size_t i = 0; i < r->feature_count; i++) {
		if (names != NULL) {
			features[i].name = names[i];
			continue;
		}
		char *name = ms_arena_printf(r->ctx->memory, "f%zu", i);
		if (name == NULL)
			return no_memory(r);
		features[i].name = ms_slice_cstr(name);
	}
	r->desc->features = features;
	r->desc->feature_count = r->feature_count;
	r->desc->named_features = names != NULL;
	return MS_OK;
}

static enum ms_err read_task(struct reader *r, const struct link *link)
{
	struct model_description *d = r->desc;
	struct slice name;
	const struct json_value *v = ms_json_get(r->root, "task");
	d->task = link->task == MODEL_BINARY && r->output_count > 1 ? MODEL_MULTICLASS : link->task;
	if (v == NULL)
		return MS_OK;
	for (int t = MODEL_REGRESSION; t <= MODEL_RANKING; t++)
		if (ms_json_as_str(v, &name) && ms_slice_eq_cstr(name, ms_model_task_name((enum model_task)t))) {
			d->task = (enum model_task)t;
			return MS_OK;
		}
	return ms_fail(r->info, MS_ERR_MODEL_FORMAT,
		       "\"task\" must be \"regression\", \"binary\", \"multiclass\" or \"ranking\"");
}

static enum ms_err read_link(struct reader *r, const struct link **ret_link)
{
	struct slice name = MS_SLICE_LIT("identity");
	const struct json_value *v = ms_json_get(r->root, "link");
	if (v == NULL || ms_json_as_str(v, &name))
		for (size_t i = 0; i < MS_ARRAY_LEN(LINKS); i++)
			if (ms_slice_eq_cstr(name, LINKS[i].name)) {
				*ret_link = &LINKS[i];
				return MS_OK;
			}
	return ms_fail(r->info, MS_ERR_MODEL_FORMAT,
		       "\"link\" must be \"identity\", \"log\", \"logit\" or \"softmax\"");
}

static enum ms_err read_outputs(struct reader *r)
{
	struct model_description *d = r->desc;
	const struct link *link = NULL;
	MS_TRY(read_link(r, &link));
	MS_TRY(read_task(r, link));
	d->raw_count = r->output_count;
	d->transform = (struct transform){.kind = link->transform, .scale = 1};
	d->objective = ms_slice_cstr(link->name);
	bool binary = d->task == MODEL_BINARY, multiclass = d->task == MODEL_MULTICLASS;
	if (binary && r->output_count != 1)
		return ms_fail(r->info, MS_ERR_MODEL_FORMAT, "a binary model has one list of coefficients, not %zu",
			       r->output_count);
	if (multiclass && r->output_count < 2)
		return ms_fail(r->info, MS_ERR_MODEL_FORMAT,
			       "a multiclass model has a list of coefficients for each class");
	if (binary || multiclass) {
		d->class_count = MS_MAX(r->output_count, 2);
		d->has_probability = link->transform == TRANSFORM_SIGMOID || link->transform == TRANSFORM_SOFTMAX;
		d->probability = d->transform;
		d->label_rule = LABEL_RAW;
	}
	struct slice *labels;
	if (ms_json_get(r->root, "labels") != NULL && d->class_count == 0)
		return ms_fail(r->info, MS_ERR_MODEL_FORMAT, "\"labels\" are the names of classes: a %s model has none",
			       ms_model_task_name(d->task));
	MS_TRY(read_strings(r, "labels", d->class_count, &labels));
	d->labels = labels;
	return MS_OK;
}

enum ms_err ms_linear_json_load(struct loader_context *ctx, struct model_description *ret_description)
{
	const struct json_limits limits = {.max_depth = 4, .max_bytes = SIZE_MAX, .reject_duplicates = true};
	struct model_description desc = {0};
	struct reader r = {.ctx = ctx, .info = ctx->info, .desc = &desc};
	MS_TRY(ms_json_parse(ctx->bytes, &limits, ctx->scratch, ctx->info, &r.root));
	if (r.root->type != JSON_OBJECT)
		return ms_fail(ctx->info, MS_ERR_MODEL_FORMAT, "a linear model is a JSON object");
	MS_TRY(check_format(&r));
	MS_TRY(check_keys(&r));
	struct linear_model *m = MS_ARENA_NEW(ctx->memory, struct linear_model);
	double *weights = NULL;
	if (m == NULL)
		return no_memory(&r);
	MS_TRY(read_coefficients(&r, &weights));
	m->weights = weights;
	m->feature_count = r.feature_count;
	m->output_count = r.output_count;
	MS_TRY(read_intercepts(&r, &m->start));
	MS_TRY(read_scaling(&r, m));
	MS_TRY(read_features(&r));
	MS_TRY(read_outputs(&r));
	desc.linear = m;
	*ret_description = desc;
	return MS_OK;
}
