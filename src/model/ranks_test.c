// SPDX-License-Identifier: Apache-2.0
// Ranks against a linear count of a column's cuts; the tests that they turn thresholds and sets into; every instruction
// set's way to find them.
#include <math.h>
#include <stdlib.h>

#include "model/forest_draw_test.h"
#include "model/kernels.h"

#define UNTOUCHED 0xee

struct fixture {
	struct draw_forest draw;
	struct arena memory;
	const struct forest *f;
	const struct forest_ranks *r;
	double **cuts; // by column of the forest: sorted, each once
	uint32_t *cut_count;
};

static void *take(struct arena *a, size_t count, size_t size)
{
	void *p = ms_arena_calloc(a, count, size);
	REQUIRE(p != NULL);
	return p;
}

static void add_cut(struct fixture *x, uint32_t column, double cut)
{
	uint32_t at = 0;
	if (isnan(cut))
		return;
	if (x->cuts[column] == NULL)
		x->cuts[column] = take(&x->memory, x->f->node_count, sizeof(double));
	double *cuts = x->cuts[column];
	while (at < x->cut_count[column] && cuts[at] < cut)
		at++;
	if (at < x->cut_count[column] && cuts[at] == cut)
		return;
	memmove(cuts + at + 1, cuts + at, (x->cut_count[column]++ - at) * sizeof(*cuts));
	cuts[at] = cut;
}

static bool is_f32(const struct forest *f)
{
	return f->nodes_f32 != NULL;
}

// The test of a node: false when it is a leaf or asks a set.
static bool test_of(const struct forest *f, size_t i, uint32_t *ret_column, double *ret_threshold)
{
	bool is_test;
	if (f->oblivious) {
		*ret_column = f->tests[i].column;
		*ret_threshold = f->tests[i].threshold;
		return true;
	}
	if (is_f32(f)) {
		is_test = f->nodes_f32[i].child != 0 && f->nodes_f32[i].column != FOREST_SET_COLUMN;
		*ret_column = f->nodes_f32[i].column;
		*ret_threshold = (double)f->nodes_f32[i].threshold;
	} else {
		is_test = f->nodes_f64[i].child != 0 && f->nodes_f64[i].column != FOREST_SET_COLUMN_WIDE;
		*ret_column = f->nodes_f64[i].column;
		*ret_threshold = f->nodes_f64[i].threshold;
	}
	return is_test;
}

static size_t test_count(const struct forest *f)
{
	return f->oblivious ? f->test_count : f->node_count;
}

static void setup(struct fixture *x, const struct draw_shape *shape)
{
	struct arena scratch;
	uint32_t column;
	double threshold;
	*x = (struct fixture){0};
	ms_draw_forest(&x->draw, shape, ms_rand_u64(ms_test_rand()));
	ms_arena_init(&x->memory, 1 << 16, (size_t)1 << 30);
	ms_arena_init(&scratch, 1 << 16, (size_t)1 << 30);
	x->f = ms_draw_build(&x->draw, shape->trees, MODEL_KERNEL_WALK, MODEL_ISA_PLAIN, &x->memory);
	x->r = ms_ranks_build(x->f, &x->memory, &scratch);
	REQUIRE(x->r != NULL);
	ms_arena_fini(&scratch);
	x->cuts = take(&x->memory, x->f->column_count, sizeof(*x->cuts));
	x->cut_count = take(&x->memory, x->f->column_count, sizeof(*x->cut_count));
	for (size_t i = 0; i < test_count(x->f); i++)
		if (test_of(x->f, i, &column, &threshold))
			add_cut(x, column, threshold);
}

static void teardown(struct fixture *x)
{
	ms_arena_fini(&x->memory);
	ms_draw_free(&x->draw);
}

static uint32_t linear_rank(const struct fixture *x, uint32_t column, double value)
{
	uint32_t below = 0;
	for (uint32_t i = 0; i < x->cut_count[column]; i++)
		below += !(x->cuts[column][i] >= value);
	return below;
}

// --- The lists -----------------------------------------------------------------------------------------

static double stored_cut(const struct forest_ranks *r, size_t at)
{
	return r->cuts_f32 != NULL ? (double)r->cuts_f32[at] : r->cuts_f64[at];
}

static double stored_pivot(const struct forest_ranks *r, size_t at)
{
	return r->pivots_f32 != NULL ? (double)r->pivots_f32[at] : r->pivots_f64[at];
}

static void check_column(const struct fixture *x, const struct rank_column *c)
{
	const uint32_t count = x->cut_count[c->source];
	const double *cuts = x->cuts[c->source];
	CHECK_INT(c->cut_count, count);
	CHECK_INT(c->first_cut % RANK_GROUP, 0);
	for (uint32_t i = 0; i < (count + RANK_GROUP - 1) / RANK_GROUP * RANK_GROUP; i++) {
		double want = i < count ? cuts[i] : INFINITY;
		CHECK(stored_cut(x->r, c->first_cut + i) == want);
	}
	for (uint32_t g = 0; count <= RANK_BYTE_CUTS && g < RANK_GROUP; g++) {
		uint32_t last = g * RANK_GROUP + RANK_GROUP - 1;
		CHECK(stored_pivot(x->r, c->first_pivot + g) == (last < count ? cuts[last] : INFINITY));
	}
}

static void check_lists(const struct fixture *x)
{
	const struct forest_ranks *r = x->r;
	size_t columns = 0, bytes = 0, most = 0;
	for (uint32_t c = 0; c < x->f->column_count; c++) {
		if (x->cut_count[c] == 0) {
			CHECK_INT(r->column_of[c], UINT32_MAX);
			continue;
		}
		REQUIRE(r->column_of[c] < r->column_count);
		CHECK_INT(r->columns[r->column_of[c]].source, c);
		CHECK_INT(r->columns[r->column_of[c]].first_byte, bytes);
		check_column(x, &r->columns[r->column_of[c]]);
		columns++;
		bytes += (x->cut_count[c] + 254) / 255;
		most = MS_MAX(most, x->cut_count[c]);
	}
	CHECK_INT(r->column_count, columns);
	CHECK(r->pivots == (most <= 255));
	if (r->sets_count > 0)
		return;
	CHECK_INT(r->word_count, columns);
	CHECK_INT(r->byte_count, bytes);
	CHECK(r->bytes == (bytes <= RANK_BYTES_MAX));
	CHECK(r->words == (most <= RANK_WORDS_MAX && columns <= RANK_WORDS_MAX));
}

// --- Rows ----------------------------------------------------------------------------------------------

// A prepared row: values around the cuts of each column. With `next`, the one after the last.
static void draw_columns(struct fixture *x, double *values)
{
	struct rand *r = ms_test_rand();
	static const double some[] = {NAN, INFINITY, -INFINITY, 0.0, -0.0, 0x1p-149, 1e38, -1e38};
	for (uint32_t c = 0; c < x->f->column_count; c++) {
		double v = some[ms_rand_below(r, MS_ARRAY_LEN(some))];
		if (x->cut_count[c] > 0 && ms_rand_below(r, 4) != 0) {
			v = x->cuts[c][ms_rand_below(r, x->cut_count[c])];
			double side = ms_rand_below(r, 2) ? INFINITY : -INFINITY;
			if (ms_rand_below(r, 2))
				v = is_f32(x->f) ? (double)nextafterf((float)v, (float)side) : nextafter(v, side);
		}
		values[c] = is_f32(x->f) ? (double)(float)v : v;
	}
}

// The values as the forest holds them.
static const void *packed(const struct fixture *x, const double *values, float *single)
{
	for (size_t c = 0; is_f32(x->f) && c < x->f->column_count; c++)
		single[c] = (float)values[c];
	return is_f32(x->f) ? (const void *)single : (const void *)values;
}

// The bytes of a row; `exact`: NaN ranks as the number of all cuts, else as any number that no test tells from it.
static void check_bytes(const struct fixture *x, const double *values, size_t step, bool exact, const uint8_t *bytes)
{
	const size_t numeric = x->r->byte_count - (x->r->word_count - x->r->column_count);
	for (size_t i = 0; i < x->r->column_count; i++) {
		const struct rank_column *c = &x->r->columns[i];
		const uint32_t rank = linear_rank(x, c->source, values[c->source]);
		for (uint32_t start = 0; start < c->cut_count; start += 255) {
			uint32_t want = rank < start ? 0 : MS_MIN(rank - start, 255);
			uint32_t got = bytes[(c->first_byte + start / 255) * step];
			CHECK_INT(exact ? got : MS_MIN(got, MS_MIN(c->cut_count - start, 255)), want);
		}
	}
	for (size_t i = 0; i < (numeric + 1) * step; i++)
		if (i % step != 0 || i / step >= numeric)
			CHECK_INT(bytes[i], UNTOUCHED);
}

static void check_rows(struct fixture *x, size_t rows)
{
	const size_t columns = x->f->column_count, size = (x->r->byte_count + 1) * 64;
	double *values = take(&x->memory, columns, sizeof(*values));
	float *single = take(&x->memory, columns, sizeof(*single));
	uint8_t *bytes = take(&x->memory, size, 1);
	uint16_t *words = take(&x->memory, x->r->word_count, sizeof(*words));
	for (size_t i = 0; i < rows; i++) {
		draw_columns(x, values);
		const void *row = packed(x, values, single);
		ms_ranks_words(x->r, row, words);
		for (size_t c = 0; x->r->words && c < x->r->column_count; c++) {
			uint32_t source = x->r->columns[c].source;
			CHECK_INT(words[c], linear_rank(x, source, values[source]));
		}
		for (size_t step = 1; step <= 64; step *= 8) {
			memset(bytes, UNTOUCHED, size);
			ms_ranks_bytes(x->r, row, step, bytes);
			check_bytes(x, values, step, true, bytes);
			for (int isa = MODEL_ISA_PLAIN; isa < MODEL_ISA_COUNT; isa++) {
				memset(bytes, UNTOUCHED, size);
				ms_kernels_choose((enum model_isa)isa)->rank_bytes(x->r, row, step, bytes);
				check_bytes(x, values, step, false, bytes);
			}
		}
	}
}

// --- Tests ---------------------------------------------------------------------------------------------

// A value at most the threshold has a rank below the cut, in words and in its byte; any other has not.
static void check_test(const struct fixture *x, uint32_t column, double threshold, double value)
{
	const struct rank_test word = ms_ranks_word_test(x->r, column, threshold);
	const struct rank_test byte = ms_ranks_byte_test(x->r, column, threshold);
	if (isnan(threshold)) {
		CHECK_INT(word.cut, 0);
		CHECK_INT(byte.cut, 0);
		return;
	}
	const struct rank_column *c = &x->r->columns[word.column];
	const uint32_t rank = linear_rank(x, column, value), start = (byte.column - c->first_byte) * 255;
	CHECK_INT(c->source, column);
	CHECK(word.cut >= 1 && word.cut <= c->cut_count);
	CHECK((rank < word.cut) == (value <= threshold));
	CHECK(byte.cut >= 1 && byte.cut <= 255 && start < c->cut_count);
	CHECK(((rank < start ? 0 : MS_MIN(rank - start, 255)) < byte.cut) == (value <= threshold));
}

static void check_tests(struct fixture *x)
{
	double *values = take(&x->memory, x->f->column_count, sizeof(*values)), threshold;
	uint32_t column;
	for (size_t i = 0; i < test_count(x->f); i++) {
		if (!test_of(x->f, i, &column, &threshold))
			continue;
		if (i % 16 == 0)
			draw_columns(x, values);
		check_test(x, column, threshold, values[column]);
		check_test(x, column, threshold, threshold);
		check_test(x, column, threshold, NAN);
		check_test(x, column, threshold, nextafter(threshold, INFINITY));
	}
}

static void check_shape(const struct draw_shape *shape, size_t rows)
{
	struct fixture x;
	setup(&x, shape);
	check_lists(&x);
	check_rows(&x, rows);
	check_tests(&x);
	teardown(&x);
}

TEST(ranks_of_every_number_of_cuts)
{
	static const uint32_t cuts[] = {1, 2, 15, 16, 17, 32, 33, 239, 240, 241, 254, 255, 256, 257, 510, 511, 1021};
	for (size_t i = 0; i < MS_ARRAY_LEN(cuts); i++)
		for (int kind = 0; kind < 4; kind++) {
			struct draw_shape s = {.tree = kind == 3 ? DRAW_OBLIVIOUS : DRAW_LEAF_WISE,
					       .trees = cuts[i] / 4 + 3,
					       .features = 3,
					       .groups = 1,
					       .depth = kind == 3 ? 6 : 20,
					       .leaves = 16,
					       .cuts = cuts[i],
					       .cut_kind = (enum draw_cuts)(i % 3),
					       .single = kind != 1,
					       .only_le = kind != 0,
					       .special = kind == 2 ? 10 : 0};
			check_shape(&s, 20);
		}
}

TEST(ranks_of_many_columns)
{
	const struct draw_shape narrow = {.tree = DRAW_LEAF_WISE,
					  .trees = 200,
					  .features = 128,
					  .groups = 1,
					  .depth = 20,
					  .leaves = 9,
					  .cuts = 4,
					  .cut_kind = DRAW_CUTS_MIXED,
					  .zero_missing = 30,
					  .special = 10};
	const struct draw_shape wide = {.tree = DRAW_LEAF_WISE,
					.trees = 80,
					.features = 1500,
					.groups = 1,
					.depth = 20,
					.leaves = 30,
					.cuts = 4,
					.single = true};
	check_shape(&narrow, 20);
	check_shape(&wide, 5);
}

TEST(ranks_of_more_cuts_than_words_count)
{
	static const uint32_t cuts[] = {65280, 65281, 65535, 65536};
	for (size_t i = 0; i < MS_ARRAY_LEN(cuts); i++) {
		struct fixture x;
		struct arena scratch;
		const struct draw_shape s = {.tree = DRAW_LEAF_WISE,
					     .trees = cuts[i] / 4000 + 1,
					     .features = 1,
					     .groups = 1,
					     .depth = 60,
					     .leaves = 4001,
					     .cuts = cuts[i],
					     .only_le = true,
					     .single = i % 2};
		x = (struct fixture){0};
		ms_draw_forest(&x.draw, &s, ms_rand_u64(ms_test_rand()));
		ms_arena_init(&x.memory, 1 << 16, (size_t)1 << 30);
		ms_arena_init(&scratch, 1 << 16, (size_t)1 << 30);
		x.f = ms_draw_build(&x.draw, s.trees, MODEL_KERNEL_WALK, MODEL_ISA_PLAIN, &x.memory);
		const struct forest_ranks *r = ms_ranks_build(x.f, &x.memory, &scratch);
		REQUIRE(r != NULL);
		CHECK_INT(r->columns[0].cut_count, cuts[i]);
		CHECK_INT(r->byte_count, (cuts[i] + 254) / 255);
		CHECK(r->bytes == (cuts[i] <= 65280));
		CHECK(r->words == (cuts[i] <= 65535));
		ms_arena_fini(&scratch);
		teardown(&x);
	}
}

// --- Sets ----------------------------------------------------------------------------------------------

// Whether two sets of the forest ask the same.
static bool same_test(const struct forest *f, const struct forest_set *a, const struct forest_set *b)
{
	if (a->category != b->category || a->missing_in != b->missing_in)
		return false;
	for (uint32_t code = 0; code < MS_MAX(a->bit_count, b->bit_count); code++)
		if (ms_forest_in_set(f, a, code) != ms_forest_in_set(f, b, code))
			return false;
	return true;
}

// The codes of all category columns are `code`: what each set's test finds.
static void check_code(const struct fixture *x, uint32_t code, uint32_t *codes, uint16_t *words, uint8_t *bytes)
{
	const struct forest_ranks *r = x->r;
	for (size_t i = 0; i < x->f->category_count; i++)
		codes[i] = code;
	ms_ranks_set_words(x->f, r, codes, words);
	ms_ranks_set_bytes(x->f, r, codes, 64, bytes);
	for (uint32_t i = 0; i < x->f->set_count; i++) {
		const struct forest_set *set = &x->f->sets[i];
		struct rank_test word = ms_ranks_word_set_test(r, i), byte = ms_ranks_byte_set_test(r, i);
		bool member = code == FOREST_CATEGORY_MISSING ? set->missing_in : false;
		if (code < set->bit_count)
			member = x->f->set_words[set->first_word + code / 32] >> (code % 32) & 1;
		CHECK((words[word.column] < word.cut) == member);
		CHECK((bytes[(size_t)byte.column * 64] < byte.cut) == member);
		CHECK(word.column >= r->column_count && word.column < r->word_count && byte.column < r->byte_count);
	}
}

static void check_distinct(const struct fixture *x)
{
	size_t distinct = 0, counted = 0;
	for (uint32_t i = 0; i < x->f->set_count; i++) {
		bool fresh = true;
		for (uint32_t k = 0; k < i && fresh; k++) {
			bool same = same_test(x->f, &x->f->sets[i], &x->f->sets[k]);
			CHECK(same == (x->r->set_column_of[i] == x->r->set_column_of[k]));
			fresh = !same;
		}
		distinct += fresh;
	}
	CHECK_INT(x->r->word_count - x->r->column_count, distinct);
	for (size_t g = 0; g < x->r->sets_count; g++)
		counted += x->r->sets[g].count;
	CHECK_INT(counted, distinct);
}

static void check_sets(const struct draw_shape *shape, bool tables, bool bytes)
{
	struct fixture x;
	setup(&x, shape);
	check_lists(&x);
	check_rows(&x, 10);
	check_distinct(&x);
	CHECK(x.r->bytes == bytes);
	CHECK(x.r->sets_count > 0);
	for (size_t g = 0; g < x.r->sets_count; g++)
		CHECK((x.r->sets[g].table != NULL) == tables);
	uint32_t *codes = take(&x.memory, x.f->category_count, sizeof(*codes));
	uint16_t *word_ranks = take(&x.memory, x.r->word_count, sizeof(*word_ranks));
	uint8_t *byte_ranks = take(&x.memory, x.r->byte_count * 64, 1);
	const uint32_t last = shape->set_words * 32;
	for (uint32_t code = 0; code < MS_MIN(last + 40, 500); code++)
		check_code(&x, code, codes, word_ranks, byte_ranks);
	for (uint32_t i = 0; i < 40; i++)
		check_code(&x, (uint32_t)ms_rand_below(ms_test_rand(), last + 40), codes, word_ranks, byte_ranks);
	check_code(&x, FOREST_CATEGORY_OUTSIDE, codes, word_ranks, byte_ranks);
	check_code(&x, FOREST_CATEGORY_MISSING, codes, word_ranks, byte_ranks);
	check_code(&x, INT32_MAX, codes, word_ranks, byte_ranks);
	teardown(&x);
}

TEST(ranks_of_sets)
{
	struct draw_shape s = {.tree = DRAW_LEAF_WISE,
			       .trees = 10,
			       .features = 5,
			       .groups = 1,
			       .depth = 20,
			       .leaves = 20,
			       .cuts = 300,
			       .set_splits = 50,
			       .sets = 12,
			       .set_columns = 3,
			       .set_words = 3};
	check_sets(&s, true, true);
	s.set_splits = 100; // no numeric test at all
	s.sets = 1;
	check_sets(&s, true, true);
	s.trees = 20;
	s.sets = 600; // more than byte columns are
	s.leaves = 40;
	check_sets(&s, true, false);
	s.trees = 4;
	s.sets = 40;
	s.set_columns = 1;
	s.set_words = 20000;
	check_sets(&s, false, true);
}

// A tree that asks one set of `word_count` words at each of its splits, of `columns` features in turn.
static const struct forest_ranks *ranks_of_one_set(struct arena *memory, struct arena *scratch, size_t columns,
						   size_t splits, const uint32_t *words, size_t word_count)
{
	struct errinfo info;
	struct forest_builder *b;
	const struct forest *f;
	struct tree_node *nodes;
	uint32_t first;
	struct model_options options = MS_MODEL_DEFAULT_OPTIONS;
	const struct forest_params params = {.feature_count = columns, .group_count = 1, .scale = 1};
	options.kernel = MODEL_KERNEL_WALK;
	ms_errinfo_init(&info);
	REQUIRE(ms_forest_builder_new(&params, &options, scratch, memory, &info, &b) == MS_OK);
	REQUIRE(ms_forest_tree_begin(b, 2 * splits + 1, 0, &nodes) == MS_OK);
	REQUIRE(ms_forest_add_set(b, words, word_count, &first) == MS_OK);
	for (uint32_t i = 0; i < splits; i++) {
		nodes[2 * i] = (struct tree_node){.kind = TREE_NODE_SET,
						  .column = (uint32_t)(i % columns),
						  .left = 2 * i + 1,
						  .right = 2 * i + 2};
		nodes[2 * i].set.first_word = first;
		nodes[2 * i].set.word_count = (uint32_t)word_count;
		nodes[2 * i + 1].kind = TREE_NODE_LEAF;
	}
	nodes[2 * splits].kind = TREE_NODE_LEAF;
	REQUIRE(ms_forest_tree_end(b, 0) == MS_OK);
	REQUIRE(ms_forest_finish(b, &f) == MS_OK);
	const struct forest_ranks *r = ms_ranks_build(f, memory, scratch);
	REQUIRE(r != NULL);
	return r;
}

// A small file can do this: nodes that share a set cost no look at its words each, and no table each.
TEST(ranks_of_a_set_that_many_nodes_share)
{
	enum { WORDS = 60000, SPLITS = 100000, COLUMNS = 1000 };
	uint32_t *words = calloc(WORDS, sizeof(*words));
	struct arena memory, scratch;
	REQUIRE(words != NULL);
	for (int empty = 0; empty <= 1; empty++) {
		size_t tables = 0;
		words[WORDS - 1] = empty ? 0 : 1;
		ms_arena_init(&memory, 1 << 16, (size_t)1 << 30);
		ms_arena_init(&scratch, 1 << 16, (size_t)1 << 30);
		const struct forest_ranks *r = ranks_of_one_set(&memory, &scratch, COLUMNS, SPLITS, words, WORDS);
		CHECK_INT(r->word_count, COLUMNS);
		CHECK_INT(r->sets_count, COLUMNS);
		for (size_t g = 0; g < r->sets_count; g++)
			tables += r->sets[g].table != NULL ? (r->sets[g].code_count + 2) * (size_t)r->sets[g].count : 0;
		CHECK(tables <= RANK_TABLES_BYTES_MAX);
		CHECK(tables > 0);
		ms_arena_fini(&memory);
		ms_arena_fini(&scratch);
	}
	free(words);
}
