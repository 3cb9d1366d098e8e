// SPDX-License-Identifier: Apache-2.0
#include "model/catboost.h"

// Trees that are not symmetric nest two levels a split; CatBoost's are at most 16 deep.
#define JSON_DEPTH 128
#define BIT(i) ((uint64_t)1 << (i))

// --- Losses ------------------------------------------------------------------------------------------

enum loss_kind { LOSS_REGRESSION, LOSS_BINARY, LOSS_CLASSES, LOSS_LABELS, LOSS_RANKING };

struct loss {
	const char *name;
	enum loss_kind kind;
	enum transform_kind transform; // of predictions, and of probabilities for classifiers
};

// Losses that are not listed predict their raw score, as CatBoost's own do by default. Where predict() of the
// library would answer a class, we answer its probability (README.md).
static const struct loss losses[] = {
	{"Logloss", LOSS_BINARY, TRANSFORM_SIGMOID},
	{"CrossEntropy", LOSS_BINARY, TRANSFORM_SIGMOID},
	{"Focal", LOSS_BINARY, TRANSFORM_SIGMOID},
	{"MultiClass", LOSS_CLASSES, TRANSFORM_SOFTMAX_QUICK},
	{"MultiClassOneVsAll", LOSS_CLASSES, TRANSFORM_SIGMOID},
	{"MultiLogloss", LOSS_LABELS, TRANSFORM_SIGMOID},
	{"MultiCrossEntropy", LOSS_LABELS, TRANSFORM_SIGMOID},
	{"Poisson", LOSS_REGRESSION, TRANSFORM_EXP},
	{"Tweedie", LOSS_REGRESSION, TRANSFORM_EXP},
	{"RMSEWithUncertainty", LOSS_REGRESSION, TRANSFORM_UNCERTAINTY},
	{"LambdaMart", LOSS_RANKING, TRANSFORM_IDENTITY},
	{"PairLogit", LOSS_RANKING, TRANSFORM_IDENTITY},
	{"PairLogitPairwise", LOSS_RANKING, TRANSFORM_IDENTITY},
	{"QueryCrossEntropy", LOSS_RANKING, TRANSFORM_IDENTITY},
	{"QueryRMSE", LOSS_RANKING, TRANSFORM_IDENTITY},
	{"QuerySoftMax", LOSS_RANKING, TRANSFORM_IDENTITY},
	{"GroupQuantile", LOSS_RANKING, TRANSFORM_IDENTITY},
	{"StochasticFilter", LOSS_RANKING, TRANSFORM_IDENTITY},
	{"StochasticRank", LOSS_RANKING, TRANSFORM_IDENTITY},
	{"YetiRank", LOSS_RANKING, TRANSFORM_IDENTITY},
	{"YetiRankPairwise", LOSS_RANKING, TRANSFORM_IDENTITY},
};

static struct loss find_loss(struct slice name)
{
	for (size_t i = 0; i < MS_ARRAY_LEN(losses); i++)
		if (ms_slice_eq_cstr(name, losses[i].name))
			return losses[i];
	return (struct loss){"", LOSS_REGRESSION, TRANSFORM_IDENTITY};
}

// --- model_info --------------------------------------------------------------------------------------

static bool read_loss_function(struct cat_model *m)
{
	static const char *const names[] = {"type"};
	struct doc_object o = {.what = "loss_function", .names = names, .count = MS_ARRAY_LEN(names)};
	size_t member;
	if (!ms_doc_enter_object(&m->doc, &o))
		return false;
	while (ms_doc_next_member(&m->doc, &o, &member))
		if (!ms_doc_read_string(&m->doc, &m->loss))
			return false;
	return ms_doc_err(&m->doc) == MS_OK;
}

static bool read_params(struct cat_model *m)
{
	static const char *const names[] = {"loss_function"};
	struct doc_object o = {.what = "params", .names = names, .count = MS_ARRAY_LEN(names)};
	size_t member;
	if (!ms_doc_enter_object(&m->doc, &o))
		return false;
	while (ms_doc_next_member(&m->doc, &o, &member))
		if (!read_loss_function(m))
			return false;
	return ms_doc_err(&m->doc) == MS_OK;
}

// The name of a class: a string, or a number as the file writes it.
static bool read_label(struct cat_model *m, struct slice *ret_label)
{
	struct doc *d = &m->doc;
	struct slice text;
	bool ok = ms_doc_peek(d) == JSON_STRING ? ms_doc_read_string(d, &text) : ms_json_skip(&d->json, &text);
	if (!ok)
		return false;
	*ret_label = ms_arena_copy(m->ctx->memory, text);
	if (ret_label->p == NULL)
		ms_doc_fail_memory(d);
	return ret_label->p != NULL;
}

static bool read_labels(struct cat_model *m)
{
	struct doc *d = &m->doc;
	size_t capacity = 0;
	if (ms_doc_take_null(d))
		return true;
	if (!ms_doc_enter_array(d))
		return false;
	while (ms_doc_next_item(d)) {
		if (m->label_count == capacity) {
			size_t wanted = capacity < 16 ? 16 : capacity * 2, size = sizeof(*m->labels);
			m->labels = ms_arena_grow(m->ctx->memory, m->labels, capacity * size, wanted * size);
			capacity = wanted;
		}
		if (m->labels == NULL) {
			ms_doc_fail_memory(d);
			return false;
		}
		if (!read_label(m, &m->labels[m->label_count]))
			return false;
		m->label_count++;
	}
	return ms_doc_err(d) == MS_OK;
}

static bool read_class_params(struct cat_model *m)
{
	static const char *const names[] = {"class_names"};
	struct doc_object o = {.what = "class_params", .names = names, .count = MS_ARRAY_LEN(names)};
	size_t member;
	if (ms_doc_peek(&m->doc) != JSON_OBJECT)
		return ms_doc_skip(&m->doc);
	if (!ms_doc_enter_object(&m->doc, &o))
		return false;
	while (ms_doc_next_member(&m->doc, &o, &member))
		if (!read_labels(m))
			return false;
	return ms_doc_err(&m->doc) == MS_OK;
}

// A text of many lines, one of them "Branch: tags/v1.2.10".
static bool read_version(struct cat_model *m)
{
	static const char mark[] = "tags/v";
	struct slice text;
	if (!ms_doc_read_string(&m->doc, &text))
		return false;
	const char *found = memmem(text.p, text.n, mark, strlen(mark));
	if (found == NULL)
		return true;
	const char *begin = found + strlen(mark), *end = begin;
	while (end < text.p + text.n && end - begin < 20 && ((*end >= '0' && *end <= '9') || *end == '.'))
		end++;
	m->version = ms_slice(begin, (size_t)(end - begin));
	return true;
}

static bool read_model_info(struct cat_model *m)
{
	enum { THRESHOLD, VERSION, CLASS_PARAMS, MULTICLASS_PARAMS, PARAMS };
	static const char *const names[] = {"binclass_probability_threshold", "catboost_version_info", "class_params",
					    "multiclass_params", "params"};
	struct doc_object o = {.what = "model_info", .names = names, .count = MS_ARRAY_LEN(names)};
	struct doc *d = &m->doc;
	size_t member;
	if (!ms_doc_enter_object(d, &o))
		return false;
	while (ms_doc_next_member(d, &o, &member)) {
		bool ok = false;
		switch (member) {
		case THRESHOLD:
			m->has_threshold = true;
			ok = ms_doc_skip(d);
			break;
		case VERSION:
			ok = read_version(m);
			break;
		case CLASS_PARAMS:
		case MULTICLASS_PARAMS: // before 0.26
			m->label_count = 0;
			ok = read_class_params(m);
			break;
		case PARAMS:
			ok = read_params(m);
			break;
		}
		if (!ok)
			return false;
	}
	return ms_doc_err(d) == MS_OK;
}

// --- The first pass ------------------------------------------------------------------------------------

// [scale, [bias, …]]; older files: [scale, bias].
static bool read_scale_and_bias(struct cat_model *m)
{
	struct doc *d = &m->doc;
	size_t count = 0;
	if (!ms_doc_enter_array(d))
		return false;
	for (; ms_doc_next_item(d); count++) {
		bool ok;
		if (count == 0)
			ok = ms_doc_read_f64(d, &m->scale);
		else if (count == 1 && ms_doc_peek(d) == JSON_ARRAY)
			ok = ms_doc_read_f64_array(d, &m->bias);
		else if (count == 1 && !ms_doc_take_null(d)) {
			ok = ms_doc_reserve_f64(d, &m->bias, 1) && ms_doc_read_f64(d, &m->bias.f64[0]);
			m->bias.count = 1;
		} else {
			ok = count == 1;
		}
		if (!ok) {
			ms_doc_fail(d, MS_ERR_MODEL_FORMAT, "expected a scale and a bias, found more");
			return false;
		}
	}
	if (ms_doc_err(d) == MS_OK && count != 2)
		ms_doc_fail(d, MS_ERR_MODEL_FORMAT, "expected a scale and a bias, found %zu items", count);
	return ms_doc_err(d) == MS_OK;
}

static bool note_trees(struct cat_model *m, bool oblivious)
{
	if (m->has_trees) {
		ms_doc_fail(&m->doc, MS_ERR_MODEL_FORMAT,
			    "both 'oblivious_trees' and 'trees' are there; a model has one");
		return false;
	}
	m->has_trees = true;
	m->oblivious = oblivious;
	m->trees = m->doc;
	return ms_doc_skip(&m->doc);
}

static enum ms_err read_file(struct cat_model *m)
{
	enum { FEATURES_INFO, MODEL_INFO, OBLIVIOUS_TREES, SCALE_AND_BIAS, TREES };
	static const char *const names[] = {"features_info", "model_info", "oblivious_trees", "scale_and_bias",
					    "trees"};
	struct doc_object o = {.what = "model file", .names = names, .count = MS_ARRAY_LEN(names)};
	struct doc *d = &m->doc;
	size_t member;
	if (!ms_doc_enter_object(d, &o))
		return ms_doc_err(d);
	while (ms_doc_next_member(d, &o, &member)) {
		bool ok = false;
		switch (member) {
		case FEATURES_INFO:
			ok = ms_cat_read_features(m);
			break;
		case MODEL_INFO:
			ok = read_model_info(m);
			break;
		case OBLIVIOUS_TREES:
		case TREES:
			ok = note_trees(m, member == OBLIVIOUS_TREES);
			break;
		case SCALE_AND_BIAS:
			ok = read_scale_and_bias(m);
			break;
		}
		if (!ok)
			return ms_doc_err(d);
	}
	uint64_t trees = ms_doc_has(&o, TREES) ? BIT(TREES) : BIT(OBLIVIOUS_TREES);
	if (!ms_doc_require(d, &o, BIT(FEATURES_INFO) | trees))
		return ms_doc_err(d);
	return ms_doc_finish(d);
}

// --- The description -----------------------------------------------------------------------------------

static enum ms_err no_memory(const struct cat_model *m)
{
	return ms_fail(m->ctx->info, MS_ERR_MODEL_TOO_LARGE,
		       "the model needs more than the %zu bytes of memory it may use", m->ctx->memory->max);
}

static enum ms_err describe_features(const struct cat_model *m, struct model_description *desc)
{
	desc->features = m->features;
	desc->feature_count = m->feature_count;
	desc->named_features = m->named_features;
	if (m->category_count == 0)
		return MS_OK;
	struct category_encoding *encodings =
		MS_ARENA_ARRAY(m->ctx->memory, struct category_encoding, m->feature_count);
	if (encodings == NULL)
		return no_memory(m);
	for (size_t i = 0; i < m->feature_count; i++)
		encodings[i].kind = m->features[i].categorical ? CATEGORY_FUNCTION : CATEGORY_CODES;
	desc->encodings = encodings;
	desc->encode = ms_cat_encode;
	return MS_OK;
}

static enum ms_err describe_outputs(const struct cat_model *m, struct model_description *desc)
{
	struct loss loss = find_loss(m->loss);
	size_t k = m->output_count;
	if (loss.kind == LOSS_LABELS && k == 1)
		loss.kind = LOSS_BINARY;
	if ((loss.kind == LOSS_BINARY && k != 1) || (loss.kind == LOSS_CLASSES && k < 2) ||
	    (loss.transform == TRANSFORM_UNCERTAINTY && k != 2))
		return ms_fail(m->ctx->info, MS_ERR_MODEL_FORMAT, "a model trained for %s can not have %zu outputs",
			       loss.name, k);
	static const enum model_task tasks[] = {
		[LOSS_REGRESSION] = MODEL_REGRESSION, [LOSS_BINARY] = MODEL_BINARY,   [LOSS_CLASSES] = MODEL_MULTICLASS,
		[LOSS_LABELS] = MODEL_MULTICLASS,     [LOSS_RANKING] = MODEL_RANKING,
	};
	desc->task = tasks[loss.kind];
	desc->raw_count = k;
	desc->trees_per_iteration = 1;
	desc->transform = (struct transform){.kind = loss.transform, .scale = 1};
	if (loss.kind == LOSS_REGRESSION || loss.kind == LOSS_RANKING)
		return MS_OK;
	desc->class_count = MS_MAX(k, (size_t)2);
	desc->has_probability = true;
	desc->probability = desc->transform;
	// Labels that do not exclude each other have a probability each, but none of them is the answer.
	desc->label_rule = m->has_threshold || loss.kind == LOSS_LABELS ? LABEL_NONE : LABEL_RAW;
	desc->labels = m->label_count == desc->class_count ? m->labels : NULL;
	return MS_OK;
}

static enum ms_err describe_texts(const struct cat_model *m, struct model_description *desc)
{
	desc->objective = ms_arena_copy(m->ctx->memory, m->loss);
	desc->library_version = ms_arena_copy(m->ctx->memory, m->version);
	return desc->objective.p != NULL && desc->library_version.p != NULL ? MS_OK : no_memory(m);
}

enum ms_err ms_catboost_json_load(struct loader_context *ctx, struct model_description *ret_description)
{
	struct cat_model m = {.ctx = ctx, .scale = 1};
	struct model_description desc = {.input_single_precision = true};
	ms_doc_init_json(&m.doc, ctx->bytes, JSON_DEPTH, false, ctx->scratch, ctx->info);
	MS_TRY(ms_doc_close(&m.doc, read_file(&m)));
	MS_TRY(ms_cat_read_forest(&m, &desc.forest));
	MS_TRY(describe_features(&m, &desc));
	MS_TRY(describe_outputs(&m, &desc));
	MS_TRY(describe_texts(&m, &desc));
	*ret_description = desc;
	return MS_OK;
}
