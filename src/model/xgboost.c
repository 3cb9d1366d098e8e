// SPDX-License-Identifier: Apache-2.0
#include "model/xgboost.h"

#include <math.h>

#include "model/linear.h"

// Deepest place of a file: a number in an array of the tree_param-like objects, about ten levels down.
#define JSON_DEPTH 64
#define BIT(i) ((uint64_t)1 << (i))

// --- Objectives --------------------------------------------------------------------------------------

// base_score is a prediction; what the sums start from is its margin. LINK_STEPS: the inverse of
// TRANSFORM_SOFTPLUS_SUM, over all outputs.
enum margin_link { LINK_IDENTITY, LINK_LOGIT, LINK_LOG, LINK_STEPS };

struct objective {
	const char *name;
	enum margin_link link;
	enum transform_kind transform; // of predict()
	enum model_task task;
	enum label_rule label_rule;
	enum transform_kind probability; // TRANSFORM_IDENTITY: none
};

// xgboost src/objective/*.
static const struct objective objectives[] = {
	{"reg:squarederror", LINK_IDENTITY, TRANSFORM_IDENTITY, MODEL_REGRESSION, LABEL_NONE, TRANSFORM_IDENTITY},
	{"reg:linear", LINK_IDENTITY, TRANSFORM_IDENTITY, MODEL_REGRESSION, LABEL_NONE, TRANSFORM_IDENTITY},
	{"reg:squaredlogerror", LINK_IDENTITY, TRANSFORM_IDENTITY, MODEL_REGRESSION, LABEL_NONE, TRANSFORM_IDENTITY},
	{"reg:pseudohubererror", LINK_IDENTITY, TRANSFORM_IDENTITY, MODEL_REGRESSION, LABEL_NONE, TRANSFORM_IDENTITY},
	{"reg:absoluteerror", LINK_IDENTITY, TRANSFORM_IDENTITY, MODEL_REGRESSION, LABEL_NONE, TRANSFORM_IDENTITY},
	{"reg:quantileerror", LINK_IDENTITY, TRANSFORM_IDENTITY, MODEL_REGRESSION, LABEL_NONE, TRANSFORM_IDENTITY},
	{"reg:expectileerror", LINK_STEPS, TRANSFORM_SOFTPLUS_SUM, MODEL_REGRESSION, LABEL_NONE, TRANSFORM_IDENTITY},
	{"reg:normal", LINK_IDENTITY, TRANSFORM_IDENTITY, MODEL_REGRESSION, LABEL_NONE, TRANSFORM_IDENTITY},
	{"reg:logistic", LINK_LOGIT, TRANSFORM_SIGMOID, MODEL_REGRESSION, LABEL_NONE, TRANSFORM_IDENTITY},
	{"reg:gamma", LINK_LOG, TRANSFORM_EXP, MODEL_REGRESSION, LABEL_NONE, TRANSFORM_IDENTITY},
	{"reg:tweedie", LINK_LOG, TRANSFORM_EXP, MODEL_REGRESSION, LABEL_NONE, TRANSFORM_IDENTITY},
	{"count:poisson", LINK_LOG, TRANSFORM_EXP, MODEL_REGRESSION, LABEL_NONE, TRANSFORM_IDENTITY},
	{"survival:cox", LINK_LOG, TRANSFORM_EXP, MODEL_REGRESSION, LABEL_NONE, TRANSFORM_IDENTITY},
	{"survival:aft", LINK_LOG, TRANSFORM_EXP, MODEL_REGRESSION, LABEL_NONE, TRANSFORM_IDENTITY},
	{"binary:logistic", LINK_LOGIT, TRANSFORM_SIGMOID, MODEL_BINARY, LABEL_PROBABILITY, TRANSFORM_SIGMOID},
	{"binary:logitraw", LINK_IDENTITY, TRANSFORM_IDENTITY, MODEL_BINARY, LABEL_RAW, TRANSFORM_SIGMOID},
	{"binary:hinge", LINK_IDENTITY, TRANSFORM_HINGE, MODEL_BINARY, LABEL_RAW, TRANSFORM_IDENTITY},
	{"multi:softprob", LINK_IDENTITY, TRANSFORM_SOFTMAX, MODEL_MULTICLASS, LABEL_RAW, TRANSFORM_SOFTMAX},
	{"multi:softmax", LINK_IDENTITY, TRANSFORM_ARGMAX, MODEL_MULTICLASS, LABEL_RAW, TRANSFORM_SOFTMAX},
	{"rank:pairwise", LINK_IDENTITY, TRANSFORM_IDENTITY, MODEL_RANKING, LABEL_NONE, TRANSFORM_IDENTITY},
	{"rank:ndcg", LINK_IDENTITY, TRANSFORM_IDENTITY, MODEL_RANKING, LABEL_NONE, TRANSFORM_IDENTITY},
	{"rank:map", LINK_IDENTITY, TRANSFORM_IDENTITY, MODEL_RANKING, LABEL_NONE, TRANSFORM_IDENTITY},
};

static enum ms_err find_objective(const struct xgb_model *m, const struct objective **ret_objective)
{
	for (size_t i = 0; i < MS_ARRAY_LEN(objectives); i++) {
		if (ms_slice_eq_cstr(m->objective, objectives[i].name)) {
			*ret_objective = &objectives[i];
			return MS_OK;
		}
	}
	return ms_fail(
		m->ctx->info, MS_ERR_MODEL_UNSUPPORTED,
		"the objective '%.*s' is not one of XGBoost's own that this server knows, so it can not tell what "
		"a prediction is",
		MS_SLICE_ARG(m->objective));
}

static bool since(const struct xgb_model *m, uint32_t major, uint32_t minor)
{
	return m->version[0] > major || (m->version[0] == major && m->version[1] >= minor);
}

// --- base_score --------------------------------------------------------------------------------------

// In float and with the C library's functions, as XGBoost does.
static float margin_of(const struct xgb_model *m, enum margin_link link, float score)
{
	if (link == LINK_LOG)
		return logf(score);
	if (link == LINK_IDENTITY || link == LINK_STEPS)
		return score;
	if (since(m, 3, 1)) { // older ones take a score as it is
		if (score < 1e-6f)
			score = 1e-6f;
		if (score > 1.0f - 1e-6f)
			score = 1.0f - 1e-6f;
	}
	return -logf(1.0f / score - 1.0f);
}

// From expectiles to the first of them and the inverse softplus of each step, kept from being zero
// (src/objective/expectile_obj.cc, ProbToMargin).
static void steps_of(float *margins, size_t count)
{
	static const float least = 1e-6f;
	for (size_t i = count - 1; i > 0; i--) {
		float step = margins[i] - margins[i - 1] - least;
		if (!(step > least))
			step = least;
		margins[i] = step + logf(-expm1f(-step));
	}
}

static enum ms_err fail_base_score(const struct xgb_model *m, const char *what)
{
	return ms_fail(m->ctx->info, MS_ERR_MODEL_FORMAT, "base_score '%.*s': %s", MS_SLICE_ARG(m->base_score), what);
}

// "5E-1", "[5E-1]", "[1E0,2E0]": one score for all outputs or one for each.
static enum ms_err read_base_score(struct xgb_model *m, enum margin_link link)
{
	float *margins = MS_ARENA_ARRAY(m->ctx->scratch, float, m->output_count);
	if (margins == NULL)
		return ms_fail(m->ctx->info, MS_ERR_MODEL_TOO_LARGE, "the model needs more memory than it may use");
	struct slice rest = m->base_score, part;
	if (rest.n >= 2 && (rest.p[0] == '[' || rest.p[0] == '('))
		rest = ms_slice_sub(rest, 1, rest.n - 2);
	size_t count = 0;
	while (ms_slice_next(&rest, ',', &part)) {
		float score;
		if (count == m->output_count)
			return fail_base_score(m, "it has more numbers than the model has outputs");
		if (!ms_number_parse_f32_lenient(ms_slice_trim(part), &score))
			return fail_base_score(m, "expected a number, or numbers between brackets");
		if (link == LINK_LOGIT && !(score >= 0 && score <= 1))
			return fail_base_score(m, "a probability is expected, 0 to 1");
		margins[count++] = margin_of(m, link, score);
		if (!isfinite(margins[count - 1]))
			return fail_base_score(m, "the objective has no margin for this number");
	}
	if (count != 1 && count != m->output_count)
		return fail_base_score(m, "one number is expected, or one for each output");
	for (size_t i = count; i < m->output_count; i++)
		margins[i] = margins[0];
	if (link == LINK_STEPS)
		steps_of(margins, m->output_count);
	m->base_margins = margins;
	return MS_OK;
}

// --- The first pass: everything but the trees ----------------------------------------------------------

bool ms_xgb_read_count(struct doc *d, const char *what, uint64_t max, size_t *ret_value)
{
	struct slice text;
	uint64_t value;
	if (!ms_doc_read_string(d, &text))
		return false;
	if (!ms_slice_to_u64(text, &value) || value > max) {
		ms_doc_fail(d, MS_ERR_MODEL_FORMAT, "%s is '%.*s', expected a whole number up to %llu as a string",
			    what, MS_SLICE_ARG(text), (unsigned long long)max);
		return false;
	}
	*ret_value = (size_t)value;
	return true;
}

static bool read_attributes(struct xgb_model *m)
{
	static const char *const names[] = {"best_iteration"};
	struct doc_object o = {.what = "attributes", .names = names, .count = MS_ARRAY_LEN(names)};
	struct doc *d = &m->doc;
	size_t member;
	if (!ms_doc_enter_object(d, &o))
		return false;
	while (ms_doc_next_member(d, &o, &member)) {
		struct slice text;
		if (!ms_doc_read_string(d, &text))
			return false;
		// An attribute is any text that a user may have set: what is no number says nothing.
		m->has_best_iteration = ms_slice_to_u64(text, &m->best_iteration);
	}
	return ms_doc_err(d) == MS_OK;
}

static bool read_learner_param(struct xgb_model *m)
{
	enum { BASE_SCORE, NUM_CLASS, NUM_FEATURE, NUM_TARGET };
	static const char *const names[] = {"base_score", "num_class", "num_feature", "num_target"};
	struct doc_object o = {.what = "learner_model_param", .names = names, .count = MS_ARRAY_LEN(names)};
	const struct model_options *options = m->ctx->options;
	struct doc *d = &m->doc;
	size_t member, target_count = 1;
	if (!ms_doc_enter_object(d, &o))
		return false;
	while (ms_doc_next_member(d, &o, &member)) {
		bool ok = false;
		switch (member) {
		case BASE_SCORE:
			ok = ms_doc_read_string(d, &m->base_score);
			break;
		case NUM_CLASS:
			ok = ms_xgb_read_count(d, names[member], options->max_classes, &m->class_count);
			break;
		case NUM_FEATURE:
			ok = ms_xgb_read_count(d, names[member], options->max_features, &m->feature_count);
			break;
		case NUM_TARGET:
			ok = ms_xgb_read_count(d, names[member], options->max_classes, &target_count);
			break;
		}
		if (!ok)
			return false;
	}
	m->output_count = MS_MAX(MS_MAX(m->class_count, target_count), (size_t)1);
	return ms_doc_require(d, &o, BIT(BASE_SCORE) | BIT(NUM_FEATURE));
}

static bool read_objective(struct xgb_model *m)
{
	static const char *const names[] = {"name"};
	struct doc_object o = {.what = "objective", .names = names, .count = MS_ARRAY_LEN(names)};
	size_t member;
	if (!ms_doc_enter_object(&m->doc, &o))
		return false;
	while (ms_doc_next_member(&m->doc, &o, &member))
		if (!ms_doc_read_string(&m->doc, &m->objective))
			return false;
	return ms_doc_require(&m->doc, &o, BIT(0));
}

// An array of strings, copied to the model's memory.
static bool read_strings(struct xgb_model *m, struct slice **ret_items, size_t *ret_count)
{
	struct doc *d = &m->doc;
	struct slice *items = NULL;
	size_t count = 0, capacity = 0;
	if (!ms_doc_enter_array(d))
		return false;
	while (ms_doc_next_item(d)) {
		struct slice text;
		if (!ms_doc_read_string(d, &text))
			return false;
		if (count == capacity) {
			size_t wanted = capacity < 16 ? 16 : capacity * 2;
			items = ms_arena_grow(m->ctx->scratch, items, capacity * sizeof(*items),
					      wanted * sizeof(*items));
			capacity = wanted;
		}
		if (items != NULL)
			items[count] = ms_arena_copy(m->ctx->memory, text);
		if (items == NULL || items[count].p == NULL) {
			ms_doc_fail_memory(d);
			return false;
		}
		count++;
	}
	*ret_items = items;
	*ret_count = count;
	return ms_doc_err(d) == MS_OK;
}

static bool read_gbtree_param(struct xgb_model *m)
{
	static const char *const names[] = {"num_parallel_tree", "num_trees"};
	struct doc_object o = {.what = "gbtree_model_param", .names = names, .count = MS_ARRAY_LEN(names)};
	size_t member;
	if (!ms_doc_enter_object(&m->doc, &o))
		return false;
	while (ms_doc_next_member(&m->doc, &o, &member))
		if (!ms_xgb_read_count(&m->doc, names[member], m->ctx->options->max_trees,
				       member == 0 ? &m->parallel_trees : &m->tree_count))
			return false;
	return ms_doc_require(&m->doc, &o, BIT(1));
}

static bool read_weight_drop(struct xgb_model *m)
{
	if (m->has_tree_weights) {
		ms_doc_fail(&m->doc, MS_ERR_MODEL_FORMAT, "weight_drop comes twice");
		return false;
	}
	m->has_tree_weights = true;
	return ms_doc_read_f32_array(&m->doc, &m->tree_weights);
}

static bool read_booster_model(struct xgb_model *m)
{
	enum { CATS, GBTREE_MODEL_PARAM, ITERATION_INDPTR, TREE_INFO, TREES, WEIGHT_DROP, WEIGHTS };
	static const char *const names[] = {"cats",  "gbtree_model_param", "iteration_indptr", "tree_info",
					    "trees", "weight_drop",        "weights"};
	struct doc_object o = {.what = "model", .names = names, .count = MS_ARRAY_LEN(names)};
	struct doc *d = &m->doc;
	size_t member;
	if (!ms_doc_enter_object(d, &o))
		return false;
	while (ms_doc_next_member(d, &o, &member)) {
		bool ok = false;
		switch (member) {
		case CATS:
			ok = ms_xgb_read_categories(m);
			break;
		case GBTREE_MODEL_PARAM:
			ok = read_gbtree_param(m);
			break;
		case ITERATION_INDPTR:
			ok = ms_doc_read_i64_array(d, &m->iteration_starts);
			break;
		case TREE_INFO:
			ok = ms_doc_read_i64_array(d, &m->tree_groups);
			break;
		case TREES:
			m->trees = *d;
			ok = ms_doc_skip(d);
			break;
		case WEIGHT_DROP: // since 3.4
			ok = read_weight_drop(m);
			break;
		case WEIGHTS:
			m->has_linear_weights = true;
			ok = ms_doc_read_f32_array(d, &m->linear_weights);
			break;
		}
		if (!ok)
			return false;
	}
	m->has_trees = ms_doc_has(&o, TREES);
	if (m->has_trees)
		return ms_doc_require(d, &o, BIT(GBTREE_MODEL_PARAM) | BIT(TREE_INFO));
	return ms_doc_require(d, &o, m->has_linear_weights ? 0 : BIT(TREES));
}

// "gradient_booster". Up to 3.2 a DART booster wraps a whole tree booster: the member "gbtree".
static bool read_booster(struct xgb_model *m, bool wrapped)
{
	enum { GBTREE, MODEL, NAME, WEIGHT_DROP };
	static const char *const names[] = {"gbtree", "model", "name", "weight_drop"};
	struct doc_object o = {
		.what = wrapped ? "gbtree" : "gradient_booster", .names = names, .count = MS_ARRAY_LEN(names)};
	struct doc *d = &m->doc;
	size_t member;
	struct slice name = MS_SLICE_EMPTY;
	if (!ms_doc_enter_object(d, &o))
		return false;
	while (ms_doc_next_member(d, &o, &member)) {
		bool ok = false;
		switch (member) {
		case GBTREE:
			if (!wrapped)
				ok = read_booster(m, true);
			else
				ms_doc_fail(d, MS_ERR_MODEL_FORMAT, "a tree booster holds another tree booster");
			break;
		case MODEL:
			ok = read_booster_model(m);
			break;
		case NAME:
			ok = ms_doc_read_string(d, &name);
			break;
		case WEIGHT_DROP:
			ok = read_weight_drop(m);
			break;
		}
		if (!ok)
			return false;
	}
	if (ms_doc_has(&o, GBTREE) && ms_doc_has(&o, MODEL)) {
		ms_doc_fail(d, MS_ERR_MODEL_FORMAT, "both 'gbtree' and 'model' are there; a booster has one of them");
		return false;
	}
	if (!wrapped)
		m->booster_name = name;
	return ms_doc_require(d, &o, ms_doc_has(&o, GBTREE) ? BIT(NAME) : BIT(NAME) | BIT(MODEL));
}

static bool read_learner(struct xgb_model *m)
{
	enum { ATTRIBUTES, FEATURE_NAMES, FEATURE_TYPES, GRADIENT_BOOSTER, LEARNER_MODEL_PARAM, OBJECTIVE };
	static const char *const names[] = {"attributes",       "feature_names",       "feature_types",
					    "gradient_booster", "learner_model_param", "objective"};
	struct doc_object o = {.what = "learner", .names = names, .count = MS_ARRAY_LEN(names)};
	struct doc *d = &m->doc;
	size_t member;
	if (!ms_doc_enter_object(d, &o))
		return false;
	while (ms_doc_next_member(d, &o, &member)) {
		bool ok = false;
		switch (member) {
		case ATTRIBUTES:
			ok = read_attributes(m);
			break;
		case FEATURE_NAMES:
			ok = read_strings(m, &m->names, &m->name_count);
			break;
		case FEATURE_TYPES:
			ok = read_strings(m, &m->types, &m->type_count);
			break;
		case GRADIENT_BOOSTER:
			ok = read_booster(m, false);
			break;
		case LEARNER_MODEL_PARAM:
			ok = read_learner_param(m);
			break;
		case OBJECTIVE:
			ok = read_objective(m);
			break;
		}
		if (!ok)
			return false;
	}
	return ms_doc_require(d, &o, BIT(GRADIENT_BOOSTER) | BIT(LEARNER_MODEL_PARAM) | BIT(OBJECTIVE));
}

static bool read_version(struct xgb_model *m)
{
	struct doc_array version = {0};
	if (!ms_doc_read_i64_array(&m->doc, &version))
		return false;
	for (size_t i = 0; i < version.count && i < MS_ARRAY_LEN(m->version); i++)
		m->version[i] = version.i64[i] >= 0 && version.i64[i] < 10000 ? (uint32_t)version.i64[i] : 0;
	return true;
}

static enum ms_err read_file(struct xgb_model *m)
{
	enum { LEARNER, VERSION };
	static const char *const names[] = {"learner", "version"};
	struct doc_object o = {.what = "model file", .names = names, .count = MS_ARRAY_LEN(names)};
	struct doc *d = &m->doc;
	size_t member;
	if (ms_doc_enter_object(d, &o))
		while (ms_doc_next_member(d, &o, &member))
			if (!(member == LEARNER ? read_learner(m) : read_version(m)))
				return ms_doc_err(d);
	if (!ms_doc_require(d, &o, BIT(LEARNER)))
		return ms_doc_err(d);
	return ms_doc_finish(d);
}

// --- Checks ------------------------------------------------------------------------------------------

static enum ms_err check_booster(struct xgb_model *m)
{
	static const char *const names[] = {[XGB_GBTREE] = "gbtree", [XGB_DART] = "dart", [XGB_GBLINEAR] = "gblinear"};
	struct errinfo *info = m->ctx->info;
	size_t i = 0;
	while (i < MS_ARRAY_LEN(names) && !ms_slice_eq_cstr(m->booster_name, names[i]))
		i++;
	if (i == MS_ARRAY_LEN(names))
		return ms_fail(info, MS_ERR_MODEL_UNSUPPORTED,
			       "the booster '%.*s' is not known; expected gbtree, dart or gblinear",
			       MS_SLICE_ARG(m->booster_name));
	m->booster = (enum xgb_booster)i;
	bool linear = m->booster == XGB_GBLINEAR;
	if (linear ? !m->has_linear_weights : !m->has_trees)
		return ms_fail(info, MS_ERR_MODEL_FORMAT, "a booster '%s' needs the member '%s', which is missing",
			       names[i], linear ? "weights" : "trees");
	if (m->booster == XGB_DART && !m->has_tree_weights)
		return ms_fail(info, MS_ERR_MODEL_FORMAT,
			       "a booster 'dart' needs the member 'weight_drop', which is missing");
	return MS_OK;
}

static enum ms_err check_features(struct xgb_model *m)
{
	struct errinfo *info = m->ctx->info;
	const struct {
		const char *what;
		size_t count;
	} lists[] = {
		{"feature_names", m->name_count}, {"feature_types", m->type_count}, {"cats.enc", m->categories_count}};
	for (size_t i = 0; i < MS_ARRAY_LEN(lists); i++)
		if (lists[i].count != 0 && lists[i].count != m->feature_count)
			return ms_fail(info, MS_ERR_MODEL_FORMAT, "%s has %zu items, num_feature says %zu",
				       lists[i].what, lists[i].count, m->feature_count);
	return MS_OK;
}

static enum ms_err check_classes(struct xgb_model *m, const struct objective *objective)
{
	if (objective->task == MODEL_MULTICLASS && m->class_count < 2)
		return ms_fail(m->ctx->info, MS_ERR_MODEL_FORMAT,
			       "the objective '%s' needs at least 2 classes, num_class says %zu", objective->name,
			       m->class_count);
	return MS_OK;
}

// --- The description -----------------------------------------------------------------------------------

static enum ms_err no_memory(const struct xgb_model *m)
{
	return ms_fail(m->ctx->info, MS_ERR_MODEL_TOO_LARGE,
		       "the model needs more than the %zu bytes of memory it may use", m->ctx->memory->max);
}

static enum ms_err describe_features(const struct xgb_model *m, struct model_description *desc)
{
	struct arena *memory = m->ctx->memory;
	struct model_feature *features = MS_ARENA_ARRAY(memory, struct model_feature, m->feature_count);
	struct category_encoding *encodings = NULL;
	if (m->categories_count > 0)
		encodings = MS_ARENA_ARRAY(memory, struct category_encoding, m->feature_count);
	if (features == NULL || (m->categories_count > 0 && encodings == NULL))
		return no_memory(m);
	for (size_t i = 0; i < m->feature_count; i++) {
		struct model_feature *f = &features[i];
		if (m->name_count > 0 && m->names[i].n > 0)
			f->name = m->names[i];
		else
			f->name = ms_slice_cstr(ms_arena_printf(memory, "f%zu", i));
		if (f->name.p == NULL)
			return no_memory(m);
		f->categorical = (m->type_count > 0 && ms_slice_eq_cstr(m->types[i], "c")) ||
				 (m->used_as_category != NULL && m->used_as_category[i]);
		const struct xgb_categories *c = m->categories_count > 0 ? &m->categories[i] : NULL;
		if (c == NULL || c->count == 0)
			continue;
		f->categorical = true;
		f->has_strings = c->numbers == NULL;
		f->categories = c->names;
		f->category_count = c->count;
		encodings[i] = (struct category_encoding){
			.kind = c->numbers == NULL ? CATEGORY_STRINGS : CATEGORY_NUMBERS,
			.unseen_refused = true, // XGBoost: "Found a category not in the training set"
			.numbers = c->numbers,
		};
	}
	desc->features = features;
	desc->feature_count = m->feature_count;
	desc->named_features = m->name_count > 0;
	desc->encodings = encodings;
	return MS_OK;
}

static void describe_outputs(const struct xgb_model *m, const struct objective *objective,
			     struct model_description *desc)
{
	enum transform_kind transform = objective->transform;
	if (ms_slice_eq_cstr(m->objective, "reg:quantileerror") && since(m, 3, 4))
		transform = TRANSFORM_SORT; // quantiles do not cross any more
	desc->transform = (struct transform){.kind = transform, .single = true, .scale = 1};
	desc->task = objective->task;
	desc->raw_count = m->output_count;
	bool binary = objective->task == MODEL_BINARY;
	if (!binary && objective->task != MODEL_MULTICLASS)
		return;
	desc->class_count = MS_MAX(m->output_count, (size_t)2);
	desc->label_rule = objective->label_rule;
	if (binary && m->output_count > 1) { // labels that do not exclude each other: none of them is the answer
		desc->task = MODEL_MULTICLASS;
		desc->label_rule = LABEL_NONE;
	}
	desc->has_probability = objective->probability != TRANSFORM_IDENTITY;
	desc->probability = (struct transform){.kind = objective->probability, .single = true, .scale = 1};
}

static enum ms_err describe_texts(const struct xgb_model *m, struct model_description *desc)
{
	desc->objective = ms_arena_copy(m->ctx->memory, m->objective);
	if (desc->objective.p == NULL)
		return no_memory(m);
	if (m->version[0] == 0)
		return MS_OK;
	const char *version = ms_arena_printf(m->ctx->memory, "%u.%u.%u", m->version[0], m->version[1], m->version[2]);
	if (version == NULL)
		return no_memory(m);
	desc->library_version = ms_slice_cstr(version);
	return MS_OK;
}

// The file holds the weights feature by feature, an output each, and the bias behind the last feature.
static enum ms_err read_linear(const struct xgb_model *m, const struct linear_model **ret_linear)
{
	size_t features = m->feature_count, k = m->output_count, count;
	if (MS_MUL_OVERFLOWS(features + 1, k, &count) || m->linear_weights.count != count)
		return ms_fail(m->ctx->info, MS_ERR_MODEL_FORMAT,
			       "weights has %zu items, expected (%zu features + 1) x %zu outputs",
			       m->linear_weights.count, features, k);
	struct linear_model *linear = MS_ARENA_NEW(m->ctx->memory, struct linear_model);
	double *start = MS_ARENA_ARRAY(m->ctx->memory, double, k);
	double *weights = MS_ARENA_ARRAY(m->ctx->memory, double, features *k);
	if (linear == NULL || start == NULL || weights == NULL)
		return no_memory(m);
	const float *from = m->linear_weights.f32;
	for (size_t g = 0; g < k; g++) {
		// As of 3.2 the base score of the first output is added to all of them.
		start[g] = (double)(from[features * k + g] + m->base_margins[0]);
		for (size_t f = 0; f < features; f++)
			weights[g * features + f] = (double)from[f * k + g];
	}
	*linear = (struct linear_model){
		.feature_count = features,
		.output_count = k,
		.single = true,
		.skip_missing = true,
		.start = start,
		.weights = weights,
	};
	*ret_linear = linear;
	return MS_OK;
}

// 0: iterations that are not equally large, which the trees' number does not tell apart.
static size_t trees_an_iteration(const struct xgb_model *m, const struct forest *f)
{
	// A tree for each output, or one with all outputs in its leaves.
	const size_t said = MS_MAX(m->parallel_trees, 1) * (f->params.vector_leaves ? 1 : f->params.group_count);
	const struct doc_array *starts = &m->iteration_starts;
	if (starts->count == 0)
		return said;
	for (size_t i = 0; i < starts->count; i++)
		if (starts->i64[i] < 0 || (uint64_t)starts->i64[i] != i * said)
			return 0;
	return (starts->count - 1) * said == f->tree_count ? said : 0;
}

static enum ms_err load(struct xgb_model *m, struct model_description *ret_description)
{
	const struct objective *objective = NULL;
	struct model_description desc = {.single_precision = true, .input_single_precision = true};
	MS_TRY(ms_doc_close(&m->doc, read_file(m)));
	desc.has_best_iteration = m->has_best_iteration;
	desc.best_iteration = m->best_iteration;
	MS_TRY(check_booster(m));
	MS_TRY(check_features(m));
	MS_TRY(find_objective(m, &objective));
	MS_TRY(check_classes(m, objective));
	MS_TRY(read_base_score(m, objective->link));
	if (m->booster == XGB_GBLINEAR)
		MS_TRY(read_linear(m, &desc.linear));
	else
		MS_TRY(ms_xgb_read_forest(m, &desc.forest));
	if (desc.forest != NULL)
		desc.trees_per_iteration = trees_an_iteration(m, desc.forest);
	MS_TRY(describe_features(m, &desc));
	MS_TRY(describe_texts(m, &desc));
	describe_outputs(m, objective, &desc);
	*ret_description = desc;
	return MS_OK;
}

enum ms_err ms_xgboost_json_load(struct loader_context *ctx, struct model_description *ret_description)
{
	struct xgb_model m = {.ctx = ctx};
	ms_doc_init_json(&m.doc, ctx->bytes, JSON_DEPTH, true, ctx->scratch, ctx->info);
	return load(&m, ret_description);
}

enum ms_err ms_xgboost_ubjson_load(struct loader_context *ctx, struct model_description *ret_description)
{
	struct xgb_model m = {.ctx = ctx};
	ms_doc_init_ubjson(&m.doc, ctx->bytes, ctx->scratch, ctx->info);
	return load(&m, ret_description);
}
