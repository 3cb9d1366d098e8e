// SPDX-License-Identifier: Apache-2.0
// Rows for measurements, drawn so that a forest has to decide: uniform rows would mostly fall to one side of every split.
#include <math.h>
#include <stdlib.h>

#include "model/loader.h"

#define THRESHOLDS_MAX 4096 // kept per feature; of more a random choice
#define MISSING_ONE_IN 32
#define EXACT_ONE_IN 8

struct thresholds {
	double *values; // ascending, once they are all there
	size_t count;   // kept
	size_t seen;    // in the forest
	size_t codes;   // categories by code: one more than the largest that a set knows
};

struct sampler {
	const struct model *model;
	const struct model_description *d;
	struct rand rand;
	struct thresholds *features;
};

// --- What the forest compares with -----------------------------------------------------------------------

typedef void visit_fn(struct sampler *s, size_t feature, double threshold);

static void visit(struct sampler *s, visit_fn *fn, uint32_t column, double threshold)
{
	const struct forest *f = s->d->forest;
	size_t source = f->column_source[column];
	bool negated = (column >= f->form_end[FOREST_PLAIN] && column < f->form_end[FOREST_NEGATED]) ||
		       column >= f->form_end[FOREST_ZERO_AS_NAN];
	if (source < s->d->feature_count) // else the value is computed from a category
		fn(s, source, negated ? -threshold : threshold);
}

static void visit_nodes(struct sampler *s, visit_fn *fn, const struct forest_tree *tree)
{
	const struct forest *f = s->d->forest;
	for (size_t i = tree->root; i < (size_t)tree->root + tree->node_count; i++) {
		if (f->wide && f->nodes_f64[i].child != 0 && f->nodes_f64[i].column != FOREST_SET_COLUMN_WIDE)
			visit(s, fn, f->nodes_f64[i].column, f->nodes_f64[i].threshold);
		else if (!f->wide && f->nodes_f32[i].child != 0 && f->nodes_f32[i].column != FOREST_SET_COLUMN)
			visit(s, fn, f->nodes_f32[i].column, (double)f->nodes_f32[i].threshold);
	}
}

static void visit_all(struct sampler *s, visit_fn *fn)
{
	const struct forest *f = s->d->forest;
	for (size_t t = 0; f != NULL && t < f->tree_count; t++) {
		const struct forest_tree *tree = &f->trees[t];
		if (!f->oblivious)
			visit_nodes(s, fn, tree);
		for (size_t i = 0; f->oblivious && i < tree->node_count; i++)
			visit(s, fn, f->tests[tree->root + i].column, f->tests[tree->root + i].threshold);
	}
}

static void count_one(struct sampler *s, size_t feature, double threshold)
{
	(void)threshold;
	s->features[feature].count++;
}

// A random choice of those seen so far, each as likely as the others.
static void keep_one(struct sampler *s, size_t feature, double threshold)
{
	struct thresholds *t = &s->features[feature];
	size_t place = t->seen < t->count ? t->seen : ms_rand_below(&s->rand, t->seen + 1);
	t->seen++;
	if (place < t->count)
		t->values[place] = threshold;
}

static int ascending(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

// Only a model of sets looks at codes, and its set nodes know how many there are.
static void count_codes(struct sampler *s)
{
	const struct forest *f = s->d->forest;
	for (size_t i = 0; f != NULL && !f->oblivious && i < f->node_count; i++) {
		bool is_set = f->wide ? f->nodes_f64[i].column == FOREST_SET_COLUMN_WIDE && f->nodes_f64[i].child != 0
				      : f->nodes_f32[i].column == FOREST_SET_COLUMN && f->nodes_f32[i].child != 0;
		if (!is_set)
			continue;
		const struct forest_set *set = &f->sets[f->wide ? f->nodes_f64[i].index : f->nodes_f32[i].index];
		size_t source = f->category_source[set->category];
		if (source < s->d->feature_count)
			s->features[source].codes = MS_MAX(s->features[source].codes, (size_t)set->bit_count);
	}
}

static enum ms_err collect(struct sampler *s)
{
	size_t total = 0;
	visit_all(s, count_one);
	for (size_t i = 0; i < s->d->feature_count; i++) {
		s->features[i].count = MS_MIN(s->features[i].count, (size_t)THRESHOLDS_MAX);
		total += s->features[i].count;
	}
	double *values = malloc((total + 1) * sizeof(*values));
	if (values == NULL)
		return MS_ERR_NO_MEMORY;
	for (size_t i = 0, at = 0; i < s->d->feature_count; at += s->features[i++].count)
		s->features[i].values = values + at;
	visit_all(s, keep_one);
	for (size_t i = 0; i < s->d->feature_count; i++)
		if (s->features[i].count > 0)
			qsort(s->features[i].values, s->features[i].count, sizeof(double), ascending);
	count_codes(s);
	return MS_OK;
}

// --- Drawing -----------------------------------------------------------------------------------------------

static double draw_category(struct sampler *s, size_t feature)
{
	const struct model_feature *f = &s->d->features[feature];
	double value = NAN;
	if (f->categories != NULL && f->category_count > 0) {
		size_t place = ms_rand_below(&s->rand, f->category_count);
		const struct category_encoding *e = s->d->encodings != NULL ? &s->d->encodings[feature] : NULL;
		if (e != NULL && e->kind == CATEGORY_FUNCTION)
			return s->d->encode(s->d->encode_context, feature, f->categories[place]);
		return e != NULL && e->codes != NULL ? e->codes[place] : (double)place;
	}
	// One code more than the sets know: such values come too.
	double code = (double)ms_rand_below(&s->rand, MS_MAX(s->features[feature].codes, (size_t)8) + 1);
	if (ms_model_encode_number(s->model, feature, code, NULL, &value) != MS_OK)
		return NAN;
	return value;
}

// Between two neighbours, as likely as between any two others, or beyond the ends.
static double draw_number(struct sampler *s, size_t feature)
{
	const struct thresholds *t = &s->features[feature];
	double share = ms_rand_double(&s->rand);
	if (t->count == 0)
		return share * 2 - 1;
	size_t place = ms_rand_below(&s->rand, t->count + 1);
	double first = t->values[0], last = t->values[t->count - 1];
	double beyond = fmax((last - first) / (double)t->count, fabs(first) * 0.01 + 1e-6);
	double low = place > 0 ? t->values[place - 1] : first - beyond;
	double high = place < t->count ? t->values[place] : last + beyond;
	double value = ms_rand_below(&s->rand, EXACT_ONE_IN) == 0 ? high : low + (high - low) * share;
	return isfinite(value) ? value : last;
}

static void draw_row(struct sampler *s, double *row)
{
	for (size_t i = 0; i < s->d->feature_count; i++) {
		if (ms_rand_below(&s->rand, MISSING_ONE_IN) == 0)
			row[i] = NAN;
		else if (s->d->features[i].categorical)
			row[i] = draw_category(s, i);
		else
			row[i] = draw_number(s, i);
	}
}

enum ms_err ms_model_draw_rows(const struct model *model, uint64_t seed, size_t row_count, double *ret_rows)
{
	struct sampler s = {.model = model, .d = ms_model_description(model), .rand = {seed}};
	s.features = calloc(s.d->feature_count + 1, sizeof(*s.features));
	enum ms_err err = s.features != NULL ? collect(&s) : MS_ERR_NO_MEMORY;
	for (size_t r = 0; err == MS_OK && r < row_count; r++)
		draw_row(&s, ret_rows + r * s.d->feature_count);
	if (s.features != NULL)
		free(s.d->feature_count > 0 ? s.features[0].values : NULL);
	free(s.features);
	return err;
}
