// SPDX-License-Identifier: Apache-2.0
// The columns of a CatBoost model, and the tests of categories against single values ("one-hot").
#include <stdio.h>
#include <stdlib.h>

#include "model/catboost.h"
#include "model/catboost_hash.h"

#define BIT(i) ((uint64_t)1 << (i))

struct feature_record {
	bool categorical;
	size_t index; // among the features of its kind
	size_t flat;  // column
	struct slice name;
	bool has_nans;
	bool nan_is_true;
	int32_t *values; // ascending
	size_t value_count;
};

struct feature_list {
	struct cat_model *m;
	struct feature_record *records;
	size_t count;
	size_t capacity;
	struct doc_array numbers; // reused
};

static int compare_values(const void *a, const void *b)
{
	int32_t x, y;
	memcpy(&x, a, sizeof(x));
	memcpy(&y, b, sizeof(y));
	return (x > y) - (x < y);
}

static bool read_index(struct doc *d, const struct model_options *options, size_t *ret_index)
{
	int64_t index;
	if (!ms_doc_read_i64(d, &index))
		return false;
	if (index < 0 || (uint64_t)index >= options->max_features) {
		ms_doc_fail(d, MS_ERR_MODEL_FORMAT, "the index %lld is out of range (0 to %zu)", (long long)index,
			    options->max_features - 1);
		return false;
	}
	*ret_index = (size_t)index;
	return true;
}

static bool read_nan_treatment(struct doc *d, bool *ret_nan_is_true)
{
	struct slice text;
	if (!ms_doc_read_string(d, &text))
		return false;
	// AsIs: NaN passes no test; AsFalse: it is minus infinity, which passes none either.
	bool known = ms_slice_eq_cstr(text, "AsIs") || ms_slice_eq_cstr(text, "AsFalse");
	*ret_nan_is_true = ms_slice_eq_cstr(text, "AsTrue");
	if (!known && !*ret_nan_is_true)
		ms_doc_fail(d, MS_ERR_MODEL_UNSUPPORTED, "'%.*s' is not known; expected AsIs, AsFalse or AsTrue",
			    MS_SLICE_ARG(text));
	return known || *ret_nan_is_true;
}

// The hashes that the trees test; written as signed, taken as unsigned too.
static bool read_values(struct feature_list *l, struct feature_record *record)
{
	struct doc *d = &l->m->doc;
	if (ms_doc_take_null(d))
		return true;
	if (!ms_doc_read_i64_array(d, &l->numbers))
		return false;
	int32_t *values = MS_ARENA_ARRAY(l->m->ctx->memory, int32_t, l->numbers.count);
	if (values == NULL) {
		ms_doc_fail_memory(d);
		return false;
	}
	for (size_t i = 0; i < l->numbers.count; i++) {
		int64_t value = l->numbers.i64[i];
		if (value < INT32_MIN || value > UINT32_MAX) {
			ms_doc_fail(d, MS_ERR_MODEL_FORMAT, "values[%zu] is %lld, which is no hash of 32 bits", i,
				    (long long)value);
			return false;
		}
		values[i] = (int32_t)(uint32_t)value;
	}
	qsort(values, l->numbers.count, sizeof(*values), compare_values);
	record->values = values;
	for (size_t i = 0; i < l->numbers.count; i++)
		if (i == 0 || values[i] != values[i - 1])
			values[record->value_count++] = values[i];
	return true;
}

static bool read_feature(struct feature_list *l, struct feature_record *record)
{
	enum { FEATURE_ID, FEATURE_INDEX, FEATURE_NAME, FLAT_FEATURE_INDEX, HAS_NANS, NAN_VALUE_TREATMENT, VALUES };
	static const char *const names[] = {"feature_id", "feature_index",       "feature_name", "flat_feature_index",
					    "has_nans",   "nan_value_treatment", "values"};
	struct doc_object o = {.what = record->categorical ? "categorical_features" : "float_features",
			       .names = names,
			       .count = MS_ARRAY_LEN(names)};
	const struct model_options *options = l->m->ctx->options;
	struct doc *d = &l->m->doc;
	struct slice id = MS_SLICE_EMPTY;
	size_t member;
	if (!ms_doc_enter_object(d, &o))
		return false;
	while (ms_doc_next_member(d, &o, &member)) {
		bool ok = false;
		switch (member) {
		case FEATURE_ID:
			ok = ms_doc_read_string(d, &id);
			break;
		case FEATURE_INDEX:
			ok = read_index(d, options, &record->index);
			break;
		case FEATURE_NAME:
			ok = ms_doc_read_string(d, &record->name);
			break;
		case FLAT_FEATURE_INDEX:
			ok = read_index(d, options, &record->flat);
			break;
		case HAS_NANS:
			record->has_nans = ms_doc_peek(d) == JSON_TRUE;
			ok = ms_doc_skip(d);
			break;
		case NAN_VALUE_TREATMENT:
			ok = read_nan_treatment(d, &record->nan_is_true);
			break;
		case VALUES:
			ok = record->categorical ? read_values(l, record) : ms_doc_skip(d);
			break;
		}
		if (!ok)
			return false;
	}
	if (record->name.n == 0)
		record->name = id;
	return ms_doc_require(d, &o, BIT(FEATURE_INDEX) | BIT(FLAT_FEATURE_INDEX));
}

static bool read_list(struct feature_list *l, bool categorical)
{
	struct doc *d = &l->m->doc;
	if (ms_doc_take_null(d))
		return true;
	if (!ms_doc_enter_array(d))
		return false;
	while (ms_doc_next_item(d)) {
		if (l->count == l->capacity) {
			size_t wanted = l->capacity < 16 ? 16 : l->capacity * 2, size = sizeof(*l->records);
			l->records = ms_arena_grow(l->m->ctx->scratch, l->records, l->capacity * size, wanted * size);
			l->capacity = wanted;
		}
		if (l->records == NULL) {
			ms_doc_fail_memory(d);
			return false;
		}
		struct feature_record *record = &l->records[l->count++];
		*record = (struct feature_record){.categorical = categorical};
		if (!read_feature(l, record))
			return false;
	}
	return ms_doc_err(d) == MS_OK;
}

// A list that has to be empty: the features of a kind that is not evaluated here.
static bool refuse_list(struct cat_model *m, const char *what, const char *advice)
{
	struct doc *d = &m->doc;
	size_t count = 0;
	if (ms_doc_peek(d) != JSON_ARRAY)
		return ms_doc_skip(d);
	if (!ms_doc_enter_array(d))
		return false;
	for (; ms_doc_next_item(d); count++)
		if (!ms_doc_skip(d))
			return false;
	if (count > 0)
		ms_doc_fail(d, MS_ERR_MODEL_UNSUPPORTED, "the model uses %zu %s, which are not supported; %s", count,
			    what, advice);
	return ms_doc_err(d) == MS_OK;
}

// --- From records to the tables of the loader ----------------------------------------------------------

static bool check_records(struct feature_list *l)
{
	struct cat_model *m = l->m;
	for (size_t i = 0; i < l->count; i++) {
		const struct feature_record *r = &l->records[i];
		size_t *count = r->categorical ? &m->category_count : &m->float_count;
		*count = MS_MAX(*count, r->index + 1);
		m->feature_count = MS_MAX(m->feature_count, r->flat + 1);
	}
	m->floats = MS_ARENA_ARRAY(m->ctx->scratch, struct cat_float_feature, m->float_count);
	m->categories = MS_ARENA_ARRAY(m->ctx->scratch, struct cat_category_feature, m->category_count);
	m->features = MS_ARENA_ARRAY(m->ctx->memory, struct model_feature, m->feature_count);
	if (m->floats == NULL || m->categories == NULL || m->features == NULL) {
		ms_doc_fail_memory(&m->doc);
		return false;
	}
	return true;
}

static bool place_record(struct cat_model *m, const struct feature_record *r)
{
	struct model_feature *feature = &m->features[r->flat];
	bool twice = r->categorical ? m->categories[r->index].present : m->floats[r->index].present;
	if (twice || feature->name.p != NULL) {
		ms_doc_fail(&m->doc, MS_ERR_MODEL_FORMAT, "two features have the same %s %zu",
			    twice ? "feature_index" : "flat_feature_index", twice ? r->index : r->flat);
		return false;
	}
	char number[24];
	int n = snprintf(number, sizeof(number), "%zu", r->flat);
	struct slice unnamed = ms_slice(number, (size_t)n);
	if (r->name.n > 0 && !ms_slice_eq(r->name, unnamed))
		m->named_features = true;
	feature->name = ms_arena_copy(m->ctx->memory, r->name.n > 0 ? r->name : unnamed);
	feature->categorical = r->categorical;
	feature->any_string = r->categorical;
	if (feature->name.p == NULL) {
		ms_doc_fail_memory(&m->doc);
		return false;
	}
	if (r->categorical) {
		m->categories[r->index] = (struct cat_category_feature){
			.present = true,
			.column = (uint32_t)r->flat,
			.values = r->values,
			.value_count = r->value_count,
		};
	} else {
		m->floats[r->index] = (struct cat_float_feature){
			.present = true,
			.nan_is_true = r->nan_is_true && r->has_nans,
			.column = (uint32_t)r->flat,
		};
	}
	return true;
}

// Columns that the file does not mention: the model does not look at them.
static bool name_the_rest(struct cat_model *m)
{
	for (size_t i = 0; i < m->feature_count; i++) {
		if (m->features[i].name.p != NULL)
			continue;
		m->features[i].name = ms_slice_cstr(ms_arena_printf(m->ctx->memory, "%zu", i));
		if (m->features[i].name.p == NULL) {
			ms_doc_fail_memory(&m->doc);
			return false;
		}
	}
	return true;
}

static bool number_computed_columns(struct cat_model *m)
{
	struct cat_one_hot *one_hot = MS_ARENA_NEW(m->ctx->memory, struct cat_one_hot);
	struct cat_category_feature *kept =
		MS_ARENA_ARRAY(m->ctx->memory, struct cat_category_feature, m->category_count);
	if (one_hot == NULL || kept == NULL) {
		ms_doc_fail_memory(&m->doc);
		return false;
	}
	for (size_t i = 0; i < m->category_count; i++) {
		struct cat_category_feature *c = &m->categories[i];
		if (c->value_count == 0)
			continue;
		c->first_computed = (uint32_t)one_hot->computed_count;
		one_hot->computed_count += c->value_count;
		kept[one_hot->feature_count++] = *c;
	}
	if (one_hot->computed_count > INT32_MAX) {
		ms_doc_fail(&m->doc, MS_ERR_MODEL_TOO_LARGE, "the model tests for more than 2^31 categories");
		return false;
	}
	one_hot->features = kept;
	m->one_hot = one_hot;
	return true;
}

bool ms_cat_read_features(struct cat_model *m)
{
	enum { CATEGORICAL, CTRS, EMBEDDING, FLOAT, TEXT };
	static const char *const names[] = {"categorical_features", "ctrs", "embedding_features", "float_features",
					    "text_features"};
	struct doc_object o = {.what = "features_info", .names = names, .count = MS_ARRAY_LEN(names)};
	struct feature_list l = {.m = m};
	struct doc *d = &m->doc;
	size_t member;
	if (!ms_doc_enter_object(d, &o))
		return false;
	while (ms_doc_next_member(d, &o, &member)) {
		bool ok = false;
		switch (member) {
		case CATEGORICAL:
		case FLOAT:
			ok = read_list(&l, member == CATEGORICAL);
			break;
		case CTRS:
			ok = refuse_list(m, "target statistics of categories (CTR)",
					 "train with one_hot_max_size at least as large as the number of categories");
			break;
		case TEXT:
			ok = refuse_list(m, "text features", "turn texts into numbers before training");
			break;
		case EMBEDDING:
			ok = refuse_list(m, "embedding features", "pass their numbers as features of their own");
			break;
		}
		if (!ok)
			return false;
	}
	if (ms_doc_err(d) != MS_OK || !check_records(&l))
		return false;
	for (size_t i = 0; i < l.count; i++)
		if (!place_record(m, &l.records[i]))
			return false;
	return name_the_rest(m) && number_computed_columns(m);
}

// --- At prediction -------------------------------------------------------------------------------------

double ms_cat_encode(const void *context, size_t feature, struct slice text)
{
	(void)context;
	(void)feature;
	return (double)ms_catboost_category_hash(text);
}

size_t ms_cat_find_value(const struct cat_category_feature *feature, int32_t value)
{
	size_t low = 0, high = feature->value_count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (feature->values[middle] < value)
			low = middle + 1;
		else
			high = middle;
	}
	return low < feature->value_count && feature->values[low] == value ? low : feature->value_count;
}

void ms_cat_compute(const void *context, const double *row, double *dst)
{
	const struct cat_one_hot *one_hot = context;
	for (size_t i = 0; i < one_hot->computed_count; i++)
		dst[i] = 1;
	for (size_t i = 0; i < one_hot->feature_count; i++) {
		const struct cat_category_feature *f = &one_hot->features[i];
		double hash = row[f->column];
		if (!(hash >= INT32_MIN && hash <= INT32_MAX) || hash != (double)(int32_t)hash)
			continue; // no hash: it equals no value
		size_t place = ms_cat_find_value(f, (int32_t)hash);
		if (place < f->value_count)
			dst[f->first_computed + place] = 0;
	}
}
