// SPDX-License-Identifier: Apache-2.0
// A LightGBM text file: header, trees, parameters, the categories of pandas columns.
#include "model/lightgbm.h"

#include <math.h>

#include "json/json.h"

enum header_key {
	KEY_VERSION,
	KEY_NUM_CLASS,
	KEY_NUM_TREE_PER_ITERATION,
	KEY_MAX_FEATURE_IDX,
	KEY_OBJECTIVE,
	KEY_AVERAGE_OUTPUT,
	KEY_FEATURE_NAMES,
	KEY_FEATURE_INFOS,
	KEY_TREE_SIZES,
	KEY_COUNT
};
static const char *const KEY_NAMES[KEY_COUNT] = {
	"version",        "num_class",     "num_tree_per_iteration", "max_feature_idx", "objective",
	"average_output", "feature_names", "feature_infos",          "tree_sizes",
};

struct reader {
	struct loader_context *ctx;
	struct errinfo *info;
	struct line_reader lines;
	struct slice value[KEY_COUNT];
	int64_t line[KEY_COUNT]; // 0: the key is absent
	size_t class_count;      // num_class
	size_t group_count;      // num_tree_per_iteration
	size_t feature_count;
	size_t tree_count;
	struct tree_reader trees;
	struct slice categorical_parameter; // "[categorical_feature: 6,7]"
	struct slice pandas_categorical;    // JSON
	int64_t pandas_line;
	struct model_description *desc;
};

static enum ms_err no_memory(struct reader *r)
{
	return ms_fail(r->info, MS_ERR_MODEL_TOO_LARGE, "the model needs more memory than it may use");
}

// --- Lines -----------------------------------------------------------------------------------------------

bool ms_lightgbm_next_line(struct line_reader *r, struct slice *ret_line)
{
	if (r->rest.n == 0)
		return false;
	size_t n = ms_slice_find(r->rest, '\n');
	struct slice line = {r->rest.p, n};
	size_t taken = n < r->rest.n ? n + 1 : n;
	r->rest.p += taken;
	r->rest.n -= taken;
	r->line++;
	if (line.n > 0 && line.p[line.n - 1] == '\r')
		line.n--;
	*ret_line = line;
	return true;
}

void ms_lightgbm_split(struct slice line, struct slice *ret_key, struct slice *ret_value)
{
	size_t at = ms_slice_find(line, '=');
	*ret_key = ms_slice_sub(line, 0, at);
	*ret_value = ms_slice_sub(line, at + 1, SIZE_MAX);
}

// "Tree=17"
static bool is_tree_line(struct slice line)
{
	return ms_slice_starts_with(line, MS_SLICE_LIT("Tree="));
}

// --- Header ------------------------------------------------------------------------------------------------

static enum ms_err read_header(struct reader *r)
{
	struct slice line, key, value;
	if (!ms_lightgbm_next_line(&r->lines, &line) || !ms_slice_eq_cstr(line, "tree"))
		return MS_LIGHTGBM_FAIL(r->info, 1, "a LightGBM text model starts with the line \"tree\"");
	for (struct line_reader ahead = r->lines; ms_lightgbm_next_line(&ahead, &line); r->lines = ahead) {
		if (is_tree_line(line) || ms_slice_eq_cstr(line, "end of trees"))
			break;
		ms_lightgbm_split(line, &key, &value);
		for (int k = 0; k < KEY_COUNT; k++) {
			if (!ms_slice_eq_cstr(key, KEY_NAMES[k]))
				continue;
			if (r->line[k] != 0)
				return MS_LIGHTGBM_FAIL(r->info, ahead.line, "the header has \"%s\" twice",
							KEY_NAMES[k]);
			r->value[k] = value;
			r->line[k] = ahead.line;
			break;
		}
	}
	return MS_OK;
}

static enum ms_err header_number(struct reader *r, enum header_key key, size_t max, size_t *ret_value)
{
	uint64_t v;
	if (r->line[key] == 0)
		return MS_LIGHTGBM_FAIL(r->info, r->lines.line, "the header has no \"%s\"", KEY_NAMES[key]);
	if (!ms_slice_to_u64(ms_slice_trim(r->value[key]), &v))
		return MS_LIGHTGBM_FAIL(r->info, r->line[key], "%s: \"%.*s\" is no whole number", KEY_NAMES[key],
					(int)MS_MIN(r->value[key].n, 24), r->value[key].p);
	if (v > max) {
		r->info->line = r->line[key];
		return ms_fail(r->info, MS_ERR_MODEL_TOO_LARGE, "%s is %llu, at most %zu is allowed", KEY_NAMES[key],
			       (unsigned long long)v, max);
	}
	*ret_value = (size_t)v;
	return MS_OK;
}

static enum ms_err read_counts(struct reader *r)
{
	const struct model_options *options = r->ctx->options;
	MS_TRY(header_number(r, KEY_NUM_CLASS, options->max_classes, &r->class_count));
	r->group_count = r->class_count;
	if (r->line[KEY_NUM_TREE_PER_ITERATION] != 0)
		MS_TRY(header_number(r, KEY_NUM_TREE_PER_ITERATION, options->max_classes, &r->group_count));
	if (r->class_count == 0 || r->group_count == 0)
		return MS_LIGHTGBM_FAIL(r->info, r->line[KEY_NUM_CLASS],
					"num_class and num_tree_per_iteration are at least 1");
	MS_TRY(header_number(r, KEY_MAX_FEATURE_IDX, options->max_features - 1, &r->feature_count));
	r->feature_count++;
	return MS_OK;
}

// --- Features ------------------------------------------------------------------------------------------------

// LightGBM separates names by spaces and has put '_' for those inside names.
static enum ms_err read_names(struct reader *r, struct model_feature *features)
{
	if (r->line[KEY_FEATURE_NAMES] == 0)
		return MS_LIGHTGBM_FAIL(r->info, r->lines.line, "the header has no \"feature_names\"");
	struct slice rest = r->value[KEY_FEATURE_NAMES], name;
	size_t n = 0;
	while (ms_slice_next(&rest, ' ', &name)) {
		if (name.n == 0)
			continue;
		if (n < r->feature_count) {
			features[n].name = ms_arena_copy(r->ctx->memory, name);
			if (features[n].name.p == NULL)
				return no_memory(r);
		}
		n++;
	}
	if (n != r->feature_count)
		return MS_LIGHTGBM_FAIL(r->info, r->line[KEY_FEATURE_NAMES],
					"feature_names has %zu names, max_feature_idx says %zu", n, r->feature_count);
	return MS_OK;
}

// "[min:max]" is numeric, "none" constant, else the categories follow.
static enum ms_err read_infos(struct reader *r, bool *categorical)
{
	struct slice rest = r->value[KEY_FEATURE_INFOS], item;
	size_t n = 0;
	if (r->line[KEY_FEATURE_INFOS] == 0)
		return MS_OK;
	while (ms_slice_next(&rest, ' ', &item)) {
		if (item.n == 0)
			continue;
		if (n < r->feature_count)
			categorical[n] = item.p[0] != '[' && !ms_slice_eq_cstr(item, "none");
		n++;
	}
	if (n != r->feature_count)
		return MS_LIGHTGBM_FAIL(r->info, r->line[KEY_FEATURE_INFOS],
					"feature_infos has %zu items, max_feature_idx says %zu", n, r->feature_count);
	return MS_OK;
}

static bool default_names(const struct reader *r)
{
	for (size_t i = 0; i < r->feature_count; i++) {
		struct slice name = r->desc->features[i].name;
		uint64_t number;
		if (!ms_slice_starts_with(name, MS_SLICE_LIT("Column_")) ||
		    !ms_slice_to_u64(ms_slice_sub(name, 7, SIZE_MAX), &number) || number != i)
			return false;
	}
	return true;
}

static enum ms_err read_features(struct reader *r)
{
	if (r->feature_count > r->value[KEY_FEATURE_NAMES].n)
		return MS_LIGHTGBM_FAIL(r->info, r->line[KEY_MAX_FEATURE_IDX],
					"max_feature_idx says %zu features, feature_names has fewer", r->feature_count);
	r->desc->features = MS_ARENA_ARRAY(r->ctx->memory, struct model_feature, r->feature_count);
	r->trees.categorical = MS_ARENA_ARRAY(r->ctx->scratch, bool, r->feature_count);
	if (r->desc->features == NULL || r->trees.categorical == NULL)
		return no_memory(r);
	MS_TRY(read_names(r, r->desc->features));
	MS_TRY(read_infos(r, r->trees.categorical));
	r->desc->feature_count = r->feature_count;
	r->desc->named_features = !default_names(r);
	return MS_OK;
}

// --- Objective -------------------------------------------------------------------------------------------------

struct objective {
	const char *name;
	enum model_task task;
	enum transform_kind transform;
	bool needs_sigmoid; // parameter "sigmoid:<positive>"
};

// With the aliases of src/io/config.cpp (ParseObjectiveAlias).
static const struct objective OBJECTIVES[] = {
	{"regression", MODEL_REGRESSION, TRANSFORM_IDENTITY, false},
	{"regression_l2", MODEL_REGRESSION, TRANSFORM_IDENTITY, false},
	{"mean_squared_error", MODEL_REGRESSION, TRANSFORM_IDENTITY, false},
	{"mse", MODEL_REGRESSION, TRANSFORM_IDENTITY, false},
	{"l2", MODEL_REGRESSION, TRANSFORM_IDENTITY, false},
	{"l2_root", MODEL_REGRESSION, TRANSFORM_IDENTITY, false},
	{"root_mean_squared_error", MODEL_REGRESSION, TRANSFORM_IDENTITY, false},
	{"rmse", MODEL_REGRESSION, TRANSFORM_IDENTITY, false},
	{"regression_l1", MODEL_REGRESSION, TRANSFORM_IDENTITY, false},
	{"mean_absolute_error", MODEL_REGRESSION, TRANSFORM_IDENTITY, false},
	{"l1", MODEL_REGRESSION, TRANSFORM_IDENTITY, false},
	{"mae", MODEL_REGRESSION, TRANSFORM_IDENTITY, false},
	{"huber", MODEL_REGRESSION, TRANSFORM_IDENTITY, false},
	{"fair", MODEL_REGRESSION, TRANSFORM_IDENTITY, false},
	{"quantile", MODEL_REGRESSION, TRANSFORM_IDENTITY, false},
	{"mape", MODEL_REGRESSION, TRANSFORM_IDENTITY, false},
	{"mean_absolute_percentage_error", MODEL_REGRESSION, TRANSFORM_IDENTITY, false},
	{"poisson", MODEL_REGRESSION, TRANSFORM_EXP, false},
	{"gamma", MODEL_REGRESSION, TRANSFORM_EXP, false},
	{"tweedie", MODEL_REGRESSION, TRANSFORM_EXP, false},
	{"cross_entropy", MODEL_REGRESSION, TRANSFORM_SIGMOID, false},
	{"xentropy", MODEL_REGRESSION, TRANSFORM_SIGMOID, false},
	{"cross_entropy_lambda", MODEL_REGRESSION, TRANSFORM_LOG1P_EXP, false},
	{"xentlambda", MODEL_REGRESSION, TRANSFORM_LOG1P_EXP, false},
	{"binary", MODEL_BINARY, TRANSFORM_SIGMOID, true},
	{"multiclass", MODEL_MULTICLASS, TRANSFORM_SOFTMAX, false},
	{"softmax", MODEL_MULTICLASS, TRANSFORM_SOFTMAX, false},
	{"multiclassova", MODEL_MULTICLASS, TRANSFORM_SIGMOID, true},
	{"multiclass_ova", MODEL_MULTICLASS, TRANSFORM_SIGMOID, true},
	{"ova", MODEL_MULTICLASS, TRANSFORM_SIGMOID, true},
	{"ovr", MODEL_MULTICLASS, TRANSFORM_SIGMOID, true},
	{"lambdarank", MODEL_RANKING, TRANSFORM_IDENTITY, false},
	{"rank_xendcg", MODEL_RANKING, TRANSFORM_IDENTITY, false},
	{"xendcg", MODEL_RANKING, TRANSFORM_IDENTITY, false},
	{"xe_ndcg", MODEL_RANKING, TRANSFORM_IDENTITY, false},
	{"xe_ndcg_mart", MODEL_RANKING, TRANSFORM_IDENTITY, false},
	{"xendcg_mart", MODEL_RANKING, TRANSFORM_IDENTITY, false},
	{"custom", MODEL_REGRESSION, TRANSFORM_IDENTITY, false},
	{"none", MODEL_REGRESSION, TRANSFORM_IDENTITY, false},
	{"null", MODEL_REGRESSION, TRANSFORM_IDENTITY, false},
	{"na", MODEL_REGRESSION, TRANSFORM_IDENTITY, false},
};

static const struct objective *find_objective(struct slice name)
{
	for (size_t i = 0; i < MS_ARRAY_LEN(OBJECTIVES); i++)
		if (ms_slice_eq_cstr(name, OBJECTIVES[i].name))
			return &OBJECTIVES[i];
	return NULL;
}

// The words behind the name: "sqrt", "sigmoid:1", "num_class:3".
static enum ms_err read_objective_parameters(struct reader *r, struct slice rest, const struct objective *o)
{
	struct model_description *d = r->desc;
	struct slice word;
	int64_t line = r->line[KEY_OBJECTIVE];
	bool has_sigmoid = false;
	while (ms_slice_next(&rest, ' ', &word)) {
		struct slice key = ms_slice_sub(word, 0, ms_slice_find(word, ':'));
		struct slice value = ms_slice_sub(word, key.n + 1, SIZE_MAX);
		uint64_t classes;
		if (ms_slice_eq_cstr(key, "sqrt") && o->transform == TRANSFORM_IDENTITY) {
			d->transform.kind = TRANSFORM_SIGNED_SQUARE;
		} else if (ms_slice_eq_cstr(key, "sigmoid") && o->needs_sigmoid) {
			has_sigmoid = ms_number_parse_f64_lenient(value, &d->transform.scale) &&
				      d->transform.scale > 0 && isfinite(d->transform.scale);
		} else if (ms_slice_eq_cstr(key, "num_class") && o->task == MODEL_MULTICLASS) {
			if (!ms_slice_to_u64(value, &classes) || classes != r->group_count)
				return MS_LIGHTGBM_FAIL(r->info, line,
							"the objective says %.*s classes, the header %zu",
							(int)MS_MIN(value.n, 24), value.p, r->group_count);
		}
	}
	if (o->needs_sigmoid && !has_sigmoid)
		return MS_LIGHTGBM_FAIL(r->info, line, "objective %s needs a positive \"sigmoid:\" behind it", o->name);
	return MS_OK;
}

static enum ms_err read_objective(struct reader *r)
{
	struct model_description *d = r->desc;
	struct slice rest = ms_slice_trim(r->value[KEY_OBJECTIVE]), name = MS_SLICE_EMPTY;
	d->transform = (struct transform){.kind = TRANSFORM_IDENTITY, .scale = 1};
	d->task = MODEL_REGRESSION;
	d->raw_count = r->group_count;
	if (r->line[KEY_OBJECTIVE] == 0) // a custom one: raw scores
		return MS_OK;
	(void)ms_slice_next(&rest, ' ', &name);
	const struct objective *o = find_objective(name);
	if (o == NULL) {
		r->info->line = r->line[KEY_OBJECTIVE];
		return ms_fail(r->info, MS_ERR_MODEL_UNSUPPORTED, "the objective \"%.*s\" is not known",
			       (int)MS_MIN(name.n, 64), name.p);
	}
	d->task = o->task;
	d->transform.kind = o->transform;
	d->objective = ms_arena_copy(r->ctx->memory, name);
	if (d->objective.p == NULL)
		return no_memory(r);
	MS_TRY(read_objective_parameters(r, rest, o));
	if (o->task == MODEL_BINARY && r->group_count != 1)
		return MS_LIGHTGBM_FAIL(r->info, r->line[KEY_OBJECTIVE],
					"objective binary has one tree per iteration, the header says %zu",
					r->group_count);
	if (o->task == MODEL_MULTICLASS && r->group_count < 2)
		return MS_LIGHTGBM_FAIL(r->info, r->line[KEY_OBJECTIVE], "objective %s needs at least 2 classes",
					o->name);
	return MS_OK;
}

// Classifiers and random forests, once the number of trees is known.
static void finish_outputs(struct reader *r)
{
	struct model_description *d = r->desc;
	size_t iterations = r->tree_count / r->group_count;
	d->trees_per_iteration = r->group_count;
	if (r->line[KEY_AVERAGE_OUTPUT] != 0 && iterations > 0)
		d->transform.divisor = (double)iterations;
	if (d->task == MODEL_BINARY || d->task == MODEL_MULTICLASS) {
		d->class_count = MS_MAX(r->group_count, 2);
		d->has_probability = true;
		d->probability = d->transform;
		d->label_rule = LABEL_PROBABILITY;
	}
}

// --- Trees -----------------------------------------------------------------------------------------------------

static size_t count_tree_sizes(const struct reader *r)
{
	struct slice rest = r->value[KEY_TREE_SIZES];
	int64_t size;
	size_t n = 0;
	while (ms_lightgbm_scan_int(&rest, &size))
		n++;
	return n;
}

static enum ms_err check_tree_count(struct reader *r)
{
	if (r->tree_count % r->group_count != 0)
		return MS_LIGHTGBM_FAIL(r->info, r->lines.line,
					"%zu trees are no multiple of the %zu per iteration: is the file cut off?",
					r->tree_count, r->group_count);
	if (r->line[KEY_TREE_SIZES] != 0 && count_tree_sizes(r) != r->tree_count)
		return MS_LIGHTGBM_FAIL(r->info, r->lines.line,
					"tree_sizes lists %zu trees, the file has %zu: is it cut off?",
					count_tree_sizes(r), r->tree_count);
	return MS_OK;
}

static enum ms_err read_trees(struct reader *r)
{
	struct forest_params params = {
		.feature_count = r->feature_count,
		.group_count = r->group_count,
		.category_rule = FOREST_CATEGORY_LIGHTGBM,
		.scale = 1,
	};
	struct forest_builder *b;
	MS_TRY(ms_forest_builder_new(&params, r->ctx->options, r->ctx->scratch, r->ctx->memory, r->info, &b));
	r->trees.ctx = r->ctx;
	r->trees.forest = b;
	r->trees.feature_count = r->feature_count;
	struct slice line;
	bool ended = false;
	while (!ended && ms_lightgbm_next_line(&r->lines, &line)) {
		if (is_tree_line(line)) {
			uint32_t group = (uint32_t)(r->tree_count % r->group_count);
			MS_TRY(ms_lightgbm_read_tree(&r->trees, &r->lines, r->tree_count, group));
			r->tree_count++;
			ms_loader_progress(r->ctx, r->ctx->bytes.n - r->lines.rest.n);
		} else if (ms_slice_eq_cstr(line, "end of trees")) {
			ended = true;
		} else if (line.n > 0) {
			return MS_LIGHTGBM_FAIL(r->info, r->lines.line,
						"\"Tree=\" or \"end of trees\" is expected, not \"%.*s\"",
						(int)MS_MIN(line.n, 40), line.p);
		}
	}
	if (!ended)
		return MS_LIGHTGBM_FAIL(r->info, r->lines.line,
					"the file ends without \"end of trees\": is it cut off?");
	MS_TRY(check_tree_count(r));
	return ms_forest_finish(b, &r->desc->forest);
}

// --- Behind the trees --------------------------------------------------------------------------------------------

static void read_tail(struct reader *r)
{
	static const char pandas[] = "pandas_categorical:", parameter[] = "[categorical_feature: ";
	struct slice line;
	while (ms_lightgbm_next_line(&r->lines, &line)) {
		if (ms_slice_starts_with(line, MS_SLICE_LIT(pandas))) {
			r->pandas_categorical = ms_slice_sub(line, sizeof(pandas) - 1, SIZE_MAX);
			r->pandas_line = r->lines.line;
		} else if (ms_slice_starts_with(line, MS_SLICE_LIT(parameter))) {
			r->categorical_parameter = ms_slice_sub(line, sizeof(parameter) - 1, SIZE_MAX);
			if (ms_slice_ends_with(r->categorical_parameter, MS_SLICE_LIT("]")))
				r->categorical_parameter.n--;
		}
	}
}

// The features that the lists of pandas_categorical stand for, in order: those of the parameter
// categorical_feature, or those known to be categorical, whichever are as many. Else nobody knows: false.
static bool pandas_features(const struct reader *r, size_t list_count, uint32_t *features)
{
	struct slice rest = r->categorical_parameter, item;
	uint64_t feature;
	size_t n = 0;
	while (rest.n > 0 && ms_slice_next(&rest, ',', &item)) {
		if (!ms_slice_to_u64(ms_slice_trim(item), &feature) || feature >= r->feature_count)
			break;
		if (n < list_count)
			features[n] = (uint32_t)feature;
		n++;
	}
	if (n == list_count) {
		for (size_t i = 1; i < n; i++)
			if (features[i] <= features[i - 1])
				return false;
		return true;
	}
	n = 0;
	for (size_t i = 0; i < r->feature_count; i++) {
		if (!r->trees.categorical[i])
			continue;
		if (n < list_count)
			features[n] = (uint32_t)i;
		n++;
	}
	return n == list_count;
}

static enum ms_err copy_category(struct reader *r, const struct json_value *v, struct slice *ret_text)
{
	struct slice text = v->type == JSON_TRUE    ? MS_SLICE_LIT("True")
			    : v->type == JSON_FALSE ? MS_SLICE_LIT("False")
						    : v->str;
	*ret_text = ms_arena_copy(r->ctx->memory, text);
	return ret_text->p != NULL ? MS_OK : no_memory(r);
}

static enum ms_err read_category_list(struct reader *r, const struct json_value *list, struct model_feature *f,
				      struct category_encoding *e)
{
	size_t n = list->array.count;
	struct slice *texts = MS_ARENA_ARRAY(r->ctx->memory, struct slice, n);
	double *numbers = MS_ARENA_ARRAY(r->ctx->memory, double, n);
	if (texts == NULL || numbers == NULL)
		return no_memory(r);
	e->kind = CATEGORY_NUMBERS;
	for (size_t i = 0; i < n; i++) {
		const struct json_value *v = &list->array.items[i];
		if (v->type != JSON_STRING && v->type != JSON_NUMBER && v->type != JSON_TRUE && v->type != JSON_FALSE)
			return MS_LIGHTGBM_FAIL(r->info, r->pandas_line,
						"pandas_categorical: a category is a %s, not a string or number",
						ms_json_type_name(v->type));
		MS_TRY(copy_category(r, v, &texts[i]));
		if (v->type != JSON_NUMBER || !ms_number_parse_f64_lenient(v->str, &numbers[i]))
			e->kind = CATEGORY_STRINGS;
	}
	e->numbers = numbers;
	f->categories = texts;
	f->category_count = n;
	f->has_strings = e->kind == CATEGORY_STRINGS;
	return MS_OK;
}

static enum ms_err read_pandas(struct reader *r)
{
	const struct json_limits limits = {.max_depth = 3, .max_bytes = SIZE_MAX, .allow_nan = true};
	const struct json_value *root;
	if (r->pandas_line == 0)
		return MS_OK;
	r->info->line = r->pandas_line;
	MS_TRY(ms_json_parse(ms_slice_trim(r->pandas_categorical), &limits, r->ctx->scratch, r->info, &root));
	r->info->line = -1;
	if (root->type == JSON_NULL)
		return MS_OK;
	if (root->type != JSON_ARRAY)
		return MS_LIGHTGBM_FAIL(r->info, r->pandas_line, "pandas_categorical: a list of lists is expected");
	size_t n = root->array.count;
	uint32_t *features = MS_ARENA_ARRAY(r->ctx->scratch, uint32_t, n);
	if (features == NULL)
		return no_memory(r);
	if (n == 0 || n > r->feature_count || !pandas_features(r, n, features))
		return MS_OK; // categories are given as codes
	struct category_encoding *e = MS_ARENA_ARRAY(r->ctx->memory, struct category_encoding, r->feature_count);
	if (e == NULL)
		return no_memory(r);
	for (size_t i = 0; i < n; i++) {
		const struct json_value *list = &root->array.items[i];
		if (list->type != JSON_ARRAY)
			return MS_LIGHTGBM_FAIL(r->info, r->pandas_line,
						"pandas_categorical: a list of lists is expected");
		r->trees.categorical[features[i]] = true;
		MS_TRY(read_category_list(r, list, &r->desc->features[features[i]], &e[features[i]]));
	}
	r->desc->encodings = e;
	return MS_OK;
}

enum ms_err ms_lightgbm_load(struct loader_context *ctx, struct model_description *ret_description)
{
	struct model_description desc = {0};
	struct reader r = {.ctx = ctx, .info = ctx->info, .lines = {.rest = ctx->bytes}, .desc = &desc};
	MS_TRY(read_header(&r));
	MS_TRY(read_counts(&r));
	MS_TRY(read_features(&r));
	MS_TRY(read_objective(&r));
	MS_TRY(read_trees(&r));
	finish_outputs(&r);
	read_tail(&r);
	MS_TRY(read_pandas(&r));
	for (size_t i = 0; i < r.feature_count; i++)
		desc.features[i].categorical = r.trees.categorical[i];
	desc.library_version = ms_arena_copy(ctx->memory, ms_slice_trim(r.value[KEY_VERSION]));
	if (desc.library_version.p == NULL)
		return no_memory(&r);
	*ret_description = desc;
	return MS_OK;
}
