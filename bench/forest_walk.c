// SPDX-License-Identifier: Apache-2.0
// Time of one prediction by the tree walk, for synthetic forests of common shapes: best pass of
// single-row calls with rows that change every time, and of one call with many rows. The results are
// checked against a plain walk over the description of the trees.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "model/plan.h"

#define FEATURES 28
#define ROWS 1024
#define PASSES 51

struct shape {
	const char *name;
	size_t trees;
	uint32_t leaves;
	bool balanced; // every path as long; else leaf-wise growth
	bool single;
	unsigned set_percent; // of the splits
};

static const struct shape SHAPES[] = {
	{"f32 100 trees depth 6", 100, 64, true, true, 0},
	{"f32 500 trees depth 6", 500, 64, true, true, 0},
	{"f32 1000 trees depth 8", 1000, 256, true, true, 0},
	{"f32 500 trees depth 10", 500, 1024, true, true, 0},
	{"f64 100 trees 31 leaves", 100, 31, false, false, 0},
	{"f64 500 trees 31 leaves", 500, 31, false, false, 0},
	{"f64 500 trees depth 6", 500, 64, true, false, 0},
	{"f64 500 trees 255 leaves", 500, 255, false, false, 0},
	{"f64 500 trees 31 leaves, 20% sets", 500, 31, false, false, 20},
};

struct reference {
	struct tree_node *nodes;
	size_t count;
};

static double now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void make_split(const struct shape *s, struct forest_builder *b, struct rand *r, struct tree_node *n)
{
	n->column = (uint32_t)ms_rand_below(r, FEATURES);
	n->missing_left = ms_rand_below(r, 2);
	if (ms_rand_below(r, 100) < s->set_percent) {
		uint32_t words[1] = {(uint32_t)ms_rand_u64(r)};
		n->kind = TREE_NODE_SET;
		n->in_set_left = true;
		n->missing_left = false;
		n->set.word_count = 1;
		MS_ASSERT(ms_forest_add_set(b, words, 1, &n->set.first_word) == MS_OK);
		n->column = FEATURES - 1 - n->column % 4;
		return;
	}
	n->kind = TREE_NODE_NUMERIC;
	n->compare = s->single ? TREE_LT : TREE_LE;
	double t = (double)(1 + ms_rand_below(r, 254)) * (20.0 / 255) + n->column * 0.001;
	n->threshold = s->single ? (double)(float)t : t;
}

// Splits leaves one by one, the next in line (balanced) or any (leaf-wise).
static void make_tree(const struct shape *s, struct forest_builder *b, struct rand *r, struct reference *ret_tree)
{
	struct tree_node *nodes;
	size_t count = s->leaves * 2 - 1;
	MS_ASSERT(ms_forest_tree_begin(b, count, 0, &nodes) == MS_OK);
	size_t used = 1, next = 0;
	nodes[0].kind = TREE_NODE_LEAF;
	while (used < count) {
		size_t at = next++;
		if (!s->balanced)
			do
				at = ms_rand_below(r, used);
			while (nodes[at].kind != TREE_NODE_LEAF);
		make_split(s, b, r, &nodes[at]);
		nodes[at].left = (uint32_t)used++;
		nodes[at].right = (uint32_t)used++;
		nodes[used - 1].kind = nodes[used - 2].kind = TREE_NODE_LEAF;
	}
	for (size_t i = 0; i < count; i++)
		if (nodes[i].kind == TREE_NODE_LEAF)
			nodes[i].value = (double)(float)(ms_rand_double(r) - 0.5);
	ret_tree->count = count;
	ret_tree->nodes = malloc(count * sizeof(*nodes));
	MS_ASSERT(ret_tree->nodes != NULL);
	memcpy(ret_tree->nodes, nodes, count * sizeof(*nodes));
	MS_ASSERT(ms_forest_tree_end(b, 0) == MS_OK);
}

static double reference_value(const struct forest *f, const struct reference *tree, const double *row)
{
	const struct tree_node *n = tree->nodes;
	while (n->kind != TREE_NODE_LEAF) {
		double x = row[n->column];
		bool left;
		if (isnan(x))
			left = n->missing_left;
		else if (n->kind == TREE_NODE_SET)
			left = x >= 0 && x < 32 && (f->set_words[n->set.first_word] >> (uint32_t)x & 1);
		else
			left = n->compare == TREE_LT ? (float)x < (float)n->threshold : x <= n->threshold;
		n = &tree->nodes[left ? n->left : n->right];
	}
	return n->value;
}

static void check(const struct shape *s, const struct forest *f, const struct reference *trees, const double *rows,
		  const double *out)
{
	for (size_t r = 0; r < ROWS; r++) {
		double sum = 0;
		float sum_single = 0;
		for (size_t t = 0; t < s->trees; t++) {
			double value = reference_value(f, &trees[t], rows + r * FEATURES);
			sum += value;
			sum_single += (float)value;
		}
		if (out[r] != (s->single ? (double)sum_single : sum)) {
			fprintf(stderr, "%s: row %zu differs\n", s->name, r);
			exit(1);
		}
	}
}

static int compare_double(const void *a, const void *b)
{
	const double *x = a, *y = b;
	return (*x > *y) - (*x < *y);
}

static double time_rows(const struct forest *f, const double *rows, size_t rows_per_call, void *scratch, double *out)
{
	double times[PASSES];
	for (int pass = 0; pass < PASSES; pass++) {
		double start = now_ns();
		for (size_t r = 0; r < ROWS; r += rows_per_call)
			ms_forest_raw(f, rows + r * FEATURES, rows_per_call, scratch, out + r);
		times[pass] = (now_ns() - start) / ROWS;
	}
	qsort(times, PASSES, sizeof(times[0]), compare_double);
	return times[0]; // the least disturbed
}

static void run(const struct shape *s, enum model_kernel kernel, const double *rows, double *out)
{
	struct model_options options = MS_MODEL_DEFAULT_OPTIONS;
	options.kernel = kernel;
	struct arena scratch, memory;
	ms_arena_init(&scratch, 1 << 20, (size_t)1 << 30);
	ms_arena_init(&memory, 1 << 20, (size_t)1 << 30);
	struct rand r = {42};
	struct forest_params params = {
		.feature_count = FEATURES,
		.group_count = 1,
		.input_single = s->single,
		.sum_single = s->single,
		.scale = 1,
	};
	struct errinfo info;
	struct forest_builder *b;
	const struct forest *f;
	struct reference *trees = calloc(s->trees, sizeof(*trees));
	MS_ASSERT(trees != NULL);
	MS_ASSERT(ms_forest_builder_new(&params, &options, &scratch, &memory, &info, &b) == MS_OK);
	for (size_t t = 0; t < s->trees; t++)
		make_tree(s, b, &r, &trees[t]);
	MS_ASSERT(ms_forest_finish(b, &f) == MS_OK);
	if (kernel != MODEL_KERNEL_WALK && f->plan->single != kernel && f->plan->batch != kernel)
		goto end;
	void *work = aligned_alloc(16, ms_forest_scratch_size(f));
	MS_ASSERT(work != NULL);
	double one = time_rows(f, rows, 1, work, out);
	check(s, f, trees, rows, out);
	double many = time_rows(f, rows, ROWS, work, out);
	check(s, f, trees, rows, out);
	printf("%-36s %10.2f %10.2f %12.2f  %s, %s\n", s->name, one / 1e3, many / 1e3, ms_forest_row_ns(f) / 1e3,
	       ms_model_kernel_name(f->plan->single), ms_model_kernel_name(f->plan->batch));
	free(work);
end:
	for (size_t t = 0; t < s->trees; t++)
		free(trees[t].nodes);
	free(trees);
	ms_arena_fini(&memory);
	ms_arena_fini(&scratch);
}

int main(int argc, char **argv)
{
	double *rows = malloc(ROWS * FEATURES * sizeof(*rows)), *out = malloc(ROWS * sizeof(*out));
	MS_ASSERT(rows != NULL && out != NULL);
	struct rand r = {7};
	for (size_t i = 0; i < (size_t)ROWS * FEATURES; i++)
		rows[i] = i % FEATURES >= FEATURES - 4 ? (double)ms_rand_below(&r, 40)
			  : ms_rand_below(&r, 50) == 0 ? NAN
						       : 20 * ms_rand_double(&r);
	printf("%-36s %10s %10s %12s\n", "µs per row", "1 row", "1024 rows", "estimate");
	for (size_t i = 0; i < MS_ARRAY_LEN(SHAPES); i++)
		if (argc < 2 || strstr(SHAPES[i].name, argv[1]) != NULL)
			for (int k = MODEL_KERNEL_WALK; k < MODEL_KERNEL_COUNT; k++)
				run(&SHAPES[i], (enum model_kernel)k, rows, out);
	free(rows);
	free(out);
	return 0;
}
