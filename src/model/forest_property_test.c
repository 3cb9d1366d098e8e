// SPDX-License-Identifier: Apache-2.0
// Every kernel of every instruction set that this machine has gives the bits of a naive walk over the description of
// the trees: for forests of many shapes, drawn at random, and all ways to cut rows into calls.
//
// A longer run: test_model --run forest_property --effort 5000 --seed N.
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "model/forest_draw_test.h"
#include "model/kernels.h"
#include "model/layout.h"

#define ROWS 141 // two blocks and a rest that is a block too
#define BLOCK_GROUPS_MAX 64
#define CELLS_MAX ((size_t)1 << 17) // of leaves of all trees for all rows
#define REPORTS_MAX 10

// What was exercised, in words.
struct seen {
	char what[200][48];
	size_t count;
	size_t forests, values;
};

static void note(struct seen *seen, const char *fmt, ...) MS_PRINTF(2, 3);
static void note(struct seen *seen, const char *fmt, ...)
{
	char text[sizeof(seen->what[0])];
	va_list args;
	va_start(args, fmt);
	REQUIRE(vsnprintf(text, sizeof(text), fmt, args) < (int)sizeof(text));
	va_end(args);
	for (size_t i = 0; i < seen->count; i++)
		if (strcmp(seen->what[i], text) == 0)
			return;
	REQUIRE(seen->count < MS_ARRAY_LEN(seen->what));
	memcpy(seen->what[seen->count++], text, sizeof(text));
}

static void expect(const struct seen *seen, const char *fmt, ...) MS_PRINTF(2, 3);
static void expect(const struct seen *seen, const char *fmt, ...)
{
	char text[sizeof(seen->what[0])];
	bool found = false;
	va_list args;
	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	for (size_t i = 0; i < seen->count; i++)
		found = found || strcmp(seen->what[i], text) == 0;
	if (!found)
		printf("# never exercised: %s\n", text);
	CHECK(found);
}

// --- What a plan uses ----------------------------------------------------------------------------------

// Byte columns that just fit the registers of a kernel, or just do not.
static const unsigned border_bytes[] = {1, 64, 65, 128, 129, 256};

static unsigned parts_of(const struct forest_plan *p)
{
	return p->rank_stride == 64 ? 1 : p->rank_stride == 128 ? 2 : 4;
}

static const char *type_of(bool single)
{
	return single ? "f32" : "f64";
}

static void note_row(struct seen *seen, const struct forest *f, const char *isa)
{
	const struct forest_plan *p = f->plan;
	switch (p->single) {
	case MODEL_KERNEL_TILES:
		note(seen, "%s row tiles %s levels %u parts %u", isa, p->tiles.whole ? "whole" : "deep",
		     p->tiles.levels, parts_of(p));
		break;
	case MODEL_KERNEL_BITS:
		note(seen, "%s row bits slots %u parts %u", isa, p->bits.leaf_slots, parts_of(p));
		break;
	case MODEL_KERNEL_OBLIVIOUS:
		note(seen, "%s row oblivious width %u parts %u", isa, p->oblivious.width, parts_of(p));
		break;
	case MODEL_KERNEL_QUANTISED:
		note(seen, "%s row nodes of %s", isa, p->words ? "words" : "bytes");
		break;
	case MODEL_KERNEL_WALK:
		note(seen, "row walk %s", f->oblivious ? "oblivious" : type_of(!f->wide));
		break;
	case MODEL_KERNEL_AUTO:
	case MODEL_KERNEL_COUNT:
		CHECK(p->single != MODEL_KERNEL_AUTO && p->single != MODEL_KERNEL_COUNT);
	}
}

static void note_block(struct seen *seen, const struct forest *f, const char *isa)
{
	const struct forest_plan *p = f->plan;
	if (p->block == NULL || f->params.group_count > BLOCK_GROUPS_MAX)
		return;
	if (p->sum != NULL)
		note(seen, "%s sum %s %u %s", isa, ms_model_kernel_name(p->batch), p->planes.entries,
		     type_of(p->planes.single));
	else if (p->batch == MODEL_KERNEL_TILES)
		note(seen, "%s block tiles levels %u", isa, p->tiles.levels);
	else if (p->batch == MODEL_KERNEL_BITS)
		note(seen, "%s block bits slots %u", isa, p->bits.leaf_slots);
	else if (p->batch == MODEL_KERNEL_OBLIVIOUS)
		note(seen, "%s block oblivious width %u", isa, p->oblivious.width);
	else
		note(seen, "%s block nodes of %s", isa, p->words ? "words" : "bytes");
}

static void note_ranks(struct seen *seen, const struct forest *f, const char *isa)
{
	const struct forest_plan *p = f->plan;
	if (p->rank_stride == 0 || p->words)
		return;
	note(seen, "%s ranks of %s, %s", isa, type_of(p->ranks->cuts_f32 != NULL),
	     p->ranks->pivots ? "a byte a column" : "some of several bytes");
	for (size_t i = 0; i < p->ranks->sets_count; i++)
		note(seen, "%s sets %s", isa, p->ranks->sets[i].table != NULL ? "by table" : "one by one");
	for (size_t i = 0; i < MS_ARRAY_LEN(border_bytes); i++)
		if (p->ranks->byte_count == border_bytes[i])
			note(seen, "%s %u byte columns", isa, border_bytes[i]);
}

static void expect_common(const struct seen *seen, const char *isa)
{
	expect(seen, "%s row nodes of bytes", isa);
	expect(seen, "%s row nodes of words", isa);
	expect(seen, "%s block nodes of bytes", isa);
	expect(seen, "%s block nodes of words", isa);
	for (unsigned slots = 32; slots <= 64; slots *= 2)
		expect(seen, "%s block bits slots %u", isa, slots);
	for (unsigned width = 8; width <= 16; width *= 2)
		expect(seen, "%s block oblivious width %u", isa, width);
	for (int single = 0; single <= 1; single++) {
		expect(seen, "%s ranks of %s, a byte a column", isa, type_of(single));
		expect(seen, "%s ranks of %s, some of several bytes", isa, type_of(single));
	}
	expect(seen, "%s sets by table", isa);
	expect(seen, "%s sets one by one", isa);
	for (size_t i = 0; i < MS_ARRAY_LEN(border_bytes); i++)
		expect(seen, "%s %u byte columns", isa, border_bytes[i]);
}

static void expect_registers(const struct seen *seen, const char *isa)
{
	for (unsigned parts = 1; parts <= 4; parts *= 2) {
		for (unsigned levels = 4; levels <= 6; levels++)
			expect(seen, "%s row tiles whole levels %u parts %u", isa, levels, parts);
		expect(seen, "%s row tiles deep levels %u parts %u", isa, LAYOUT_TILE_LEVELS_MAX, parts);
		for (unsigned slots = 32; slots <= 64; slots *= 2)
			expect(seen, "%s row bits slots %u parts %u", isa, slots, parts);
		for (unsigned width = 8; width <= 16; width *= 2)
			expect(seen, "%s row oblivious width %u parts %u", isa, width, parts);
	}
	for (unsigned levels = 4; levels <= 6; levels++) {
		expect(seen, "%s block tiles levels %u", isa, levels);
		expect(seen, "%s sum oblivious %u f64", isa, 1u << levels);
		for (int single = 0; single <= 1; single++)
			expect(seen, "%s sum tiles %u %s", isa, 1u << levels, type_of(single));
	}
	for (unsigned slots = 32; slots <= 64; slots *= 2)
		for (int single = 0; single <= 1; single++)
			expect(seen, "%s sum bits %u %s", isa, slots, type_of(single));
}

static void expect_all(const struct seen *seen)
{
	expect(seen, "row walk f32");
	expect(seen, "row walk f64");
	expect(seen, "row walk oblivious");
	for (int isa = MODEL_ISA_PLAIN; isa < MODEL_ISA_COUNT; isa++)
		if (ms_kernels_choose((enum model_isa)isa)->isa == (enum model_isa)isa)
			expect_common(seen, ms_model_isa_name((enum model_isa)isa));
	if (ms_kernels_choose(MODEL_ISA_AVX512)->isa == MODEL_ISA_AVX512)
		expect_registers(seen, ms_model_isa_name(MODEL_ISA_AVX512));
}

// --- One forest ----------------------------------------------------------------------------------------

// A forest, some rows, and what they give.
struct subject {
	struct draw_forest draw;
	uint64_t seed;
	double *rows;
	uint32_t *leaves; // by row and tree
	double *raw;      // by row and group
	size_t *reports;
};

// One of its finished forms.
struct form {
	const struct forest *forest;
	enum model_kernel kernel;
	enum model_isa isa;
};

static bool same_bits(double a, double b)
{
	return memcmp(&a, &b, sizeof(a)) == 0 || (isnan(a) && isnan(b));
}

static void *take(size_t count, size_t size)
{
	void *p = malloc(MS_MAX(count * size, 1)); // exact, for the address sanitizer
	REQUIRE(p != NULL);
	return p;
}

// Scratch that is aligned to no more than 16 bytes.
static void *take_scratch(const struct forest *f, void **ret_free)
{
	char *p = aligned_alloc(64, (ms_forest_scratch_size(f) + 16 + 63) / 64 * 64);
	REQUIRE(p != NULL);
	*ret_free = p;
	memset(p, 0xa5, ms_forest_scratch_size(f) + 16);
	return p + 16;
}

// The first tree without which the difference in the raw score is gone: SIZE_MAX when shorter forests show none.
static size_t guilty_tree(const struct subject *s, const struct form *form, size_t first, size_t n, size_t row)
{
	const size_t groups = s->draw.shape.groups;
	struct draw_forest part = s->draw;
	double *got = take(n * groups, sizeof(*got)), *want = take(groups, sizeof(*want));
	size_t good = 0, bad = s->draw.shape.trees + 1;
	for (size_t count = s->draw.shape.trees; good + 1 < bad; count = (good + bad) / 2) {
		struct arena memory;
		void *freed;
		ms_arena_init(&memory, 1 << 16, (size_t)4 << 30);
		part.shape.trees = (uint32_t)count;
		const struct forest *f = ms_draw_build(&part, count, form->kernel, form->isa, &memory);
		ms_forest_raw(f, s->rows + first * s->draw.shape.features, n, take_scratch(f, &freed), got);
		ms_draw_raw(&part, s->leaves + row * s->draw.shape.trees, s->rows + row * s->draw.shape.features, want);
		bool same = true;
		for (size_t k = 0; k < groups; k++)
			same = same && same_bits(got[(row - first) * groups + k], want[k]);
		if (same)
			good = count;
		else
			bad = count;
		free(freed);
		ms_arena_fini(&memory);
	}
	free(got);
	free(want);
	return bad > s->draw.shape.trees ? SIZE_MAX : bad - 1;
}

static void report(const struct subject *s, const struct form *form, const char *what, size_t row, size_t tree,
		   double got, double want)
{
	char shape[512];
	const struct forest_plan *p = form->forest->plan;
	ms_draw_describe(&s->draw.shape, shape, sizeof(shape));
	printf("# forest of seed %" PRIu64 ": %s\n", s->seed, shape);
	printf("# kernel %s, instruction set %s (one row: %s, many: %s): row %zu, ", ms_model_kernel_name(form->kernel),
	       ms_model_isa_name(form->isa), ms_model_kernel_name(p->single), ms_model_kernel_name(p->batch), row);
	if (tree == SIZE_MAX)
		printf("in no shorter forest, ");
	else
		printf("tree %zu, ", tree);
	printf("%s: %a instead of %a\n", what, got, want);
	ms_test_check(false, "the bits of the reference", __FILE__, __LINE__);
}

static void check_raw(const struct subject *s, const struct form *form, void *scratch, size_t first, size_t n)
{
	const size_t groups = s->draw.shape.groups;
	double *got = take(n * groups, sizeof(*got));
	char what[96];
	ms_forest_raw(form->forest, s->rows + first * s->draw.shape.features, n, scratch, got);
	for (size_t i = 0; i < n * groups && *s->reports < REPORTS_MAX; i++) {
		size_t row = first + i / groups;
		double want = s->raw[first * groups + i];
		if (same_bits(got[i], want))
			continue;
		++*s->reports;
		snprintf(what, sizeof(what), "raw score %zu in a call of %zu rows from %zu on", i % groups, n, first);
		report(s, form, what, row, guilty_tree(s, form, first, n, row), got[i], want);
		break; // of one call one is enough
	}
	free(got);
}

static void check_leaves(const struct subject *s, const struct form *form, void *scratch, size_t n)
{
	const size_t trees = s->draw.shape.trees;
	double *got = take(n * trees, sizeof(*got));
	ms_forest_leaves(form->forest, s->rows, n, scratch, got);
	for (size_t i = 0; i < n * trees && *s->reports < REPORTS_MAX; i++) {
		double want = ms_draw_leaf_id(&s->draw.trees[i % trees], s->leaves[i]);
		if (same_bits(got[i], want))
			continue;
		++*s->reports;
		report(s, form, "leaf", i / trees, i % trees, got[i], want);
		break;
	}
	free(got);
}

static void check_trees(const struct subject *s, const struct form *form, void *scratch, size_t n)
{
	const size_t trees = s->draw.shape.trees, width = s->draw.shape.vector ? s->draw.shape.groups : 1;
	double *got = take(n * trees * width, sizeof(*got)), *want = take(width, sizeof(*want));
	ms_forest_trees(form->forest, s->rows, n, scratch, got);
	for (size_t i = 0; i < n * trees && *s->reports < REPORTS_MAX; i++) {
		ms_draw_tree_output(&s->draw, &s->draw.trees[i % trees], s->leaves[i],
				    s->rows + i / trees * s->draw.shape.features, want);
		bool same = true;
		for (size_t k = 0; k < width; k++)
			same = same && same_bits(got[i * width + k], want[k]);
		if (same)
			continue;
		++*s->reports;
		report(s, form, "output of the tree", i / trees, i % trees, got[i * width], want[0]);
		break;
	}
	free(got);
	free(want);
}

static void check_form(struct seen *seen, struct subject *s, enum model_kernel kernel, enum model_isa isa)
{
	static const size_t sizes[] = {1, 2, 7, 8, 9, 63, 64, 65, 130};
	const size_t trees = s->draw.shape.trees, width = s->draw.shape.vector ? s->draw.shape.groups : 1;
	struct arena memory;
	ms_arena_init(&memory, 1 << 16, (size_t)4 << 30);
	struct form form = {ms_draw_build(&s->draw, trees, kernel, isa, &memory), kernel, isa};
	const struct forest_plan *p = form.forest->plan;
	const char *name = ms_model_isa_name(p->kernels->isa);
	// The same plan comes up under its own name, and one that gives way is the walk.
	const bool own =
		kernel == MODEL_KERNEL_AUTO ? p->single != p->batch : p->single == kernel || p->batch == kernel;
	if (own) {
		void *freed, *scratch = take_scratch(form.forest, &freed);
		note_row(seen, form.forest, name);
		note_block(seen, form.forest, name);
		note_ranks(seen, form.forest, name);
		check_raw(s, &form, scratch, 0, ROWS);
		for (size_t i = 0; i < MS_ARRAY_LEN(sizes); i++)
			check_raw(s, &form, scratch, ms_rand_below(&s->draw.rand, ROWS - sizes[i] + 1), sizes[i]);
		size_t n = MS_MAX(MS_MIN(CELLS_MAX / MS_MAX(trees * width, 1), ROWS), 1);
		check_leaves(s, &form, scratch, n);
		check_trees(s, &form, scratch, n);
		seen->values += ROWS;
		free(freed);
	}
	ms_arena_fini(&memory);
}

static void check_shape(struct seen *seen, const struct draw_shape *shape)
{
	size_t reports = 0;
	struct subject s = {.seed = ms_rand_u64(ms_test_rand()), .reports = &reports};
	ms_draw_forest(&s.draw, shape, s.seed);
	s.rows = take((size_t)ROWS * shape->features, sizeof(double));
	s.leaves = take((size_t)ROWS * shape->trees, sizeof(uint32_t));
	s.raw = take((size_t)ROWS * shape->groups, sizeof(double));
	for (size_t i = 0; i < ROWS; i++) {
		double *row = s.rows + i * shape->features;
		ms_draw_row(&s.draw, row);
		for (size_t t = 0; t < shape->trees; t++)
			s.leaves[i * shape->trees + t] = ms_draw_leaf(&s.draw, &s.draw.trees[t], row);
		ms_draw_raw(&s.draw, s.leaves + i * shape->trees, row, s.raw + i * shape->groups);
	}
	check_form(seen, &s, MODEL_KERNEL_WALK, MODEL_ISA_PLAIN);
	for (int isa = MODEL_ISA_PLAIN; isa < MODEL_ISA_COUNT; isa++) {
		if (ms_kernels_choose((enum model_isa)isa)->isa != (enum model_isa)isa)
			continue;
		check_form(seen, &s, MODEL_KERNEL_AUTO, (enum model_isa)isa);
		for (int k = MODEL_KERNEL_QUANTISED; k < MODEL_KERNEL_COUNT; k++)
			if ((k == MODEL_KERNEL_OBLIVIOUS) == (shape->tree == DRAW_OBLIVIOUS) &&
			    (k != MODEL_KERNEL_TILES || ms_kernels_choose((enum model_isa)isa)->tiles_row != NULL))
				check_form(seen, &s, (enum model_kernel)k, (enum model_isa)isa);
	}
	seen->forests++;
	free(s.rows);
	free(s.leaves);
	free(s.raw);
	ms_draw_free(&s.draw);
}

// --- Shapes --------------------------------------------------------------------------------------------

// The types of the sums and the number of groups, in turn.
static void set_sums(struct draw_shape *s, unsigned turn)
{
	s->groups = 1;
	s->single = s->sum_single = true;
	switch (turn % 4) {
	case 0:
		break;
	case 1:
		s->single = s->sum_single = false;
		break;
	case 2:
		s->sum_single = false;
		break;
	default:
		s->groups = 3;
		s->vector = turn / 4 % 2;
	}
}

// Each width of a row in bytes with each form of trees.
static void check_widths(struct seen *seen)
{
	static const uint32_t features[] = {1, 64, 65, 128, 129, 256, 257};
	static const uint32_t trees[] = {63, 64, 65, 127, 129};
	static const struct {
		enum draw_tree tree;
		uint32_t depth, leaves;
	} forms[] = {
		{DRAW_BALANCED, 1, 0},    {DRAW_BALANCED, 4, 0},    {DRAW_BALANCED, 5, 0},    {DRAW_BALANCED, 6, 0},
		{DRAW_BALANCED, 7, 0},    {DRAW_BALANCED, 11, 0},   {DRAW_LEAF_WISE, 40, 31}, {DRAW_LEAF_WISE, 40, 32},
		{DRAW_LEAF_WISE, 40, 33}, {DRAW_LEAF_WISE, 40, 64}, {DRAW_LEAF_WISE, 40, 65}, {DRAW_OBLIVIOUS, 4, 0},
		{DRAW_OBLIVIOUS, 5, 0},   {DRAW_OBLIVIOUS, 6, 0},   {DRAW_OBLIVIOUS, 8, 0},   {DRAW_OBLIVIOUS, 9, 0},
		{DRAW_OBLIVIOUS, 10, 0},
	};
	for (unsigned i = 0; i < MS_ARRAY_LEN(features); i++)
		for (unsigned k = 0; k < MS_ARRAY_LEN(forms); k++) {
			struct draw_shape s = {.tree = forms[k].tree,
					       .trees = trees[(i + 2 * k) % MS_ARRAY_LEN(trees)],
					       .features = features[i],
					       .depth = forms[k].depth,
					       .leaves = forms[k].leaves,
					       .cuts = 20 + 20 * (k % 3),
					       .cut_kind = (enum draw_cuts)(k % 4),
					       .only_le = true};
			if (s.depth == 1)
				s.trees += 256; // a split for each feature
			if (s.depth == 11)
				s.trees = 9;
			set_sums(&s, i + k);
			check_shape(seen, &s);
		}
}

// Numbers of cuts at which ranks change their form, on a few columns.
static void check_cuts(struct seen *seen)
{
	static const uint32_t cuts[] = {1, 2, 15, 16, 17, 31, 32, 33, 239, 240, 241, 254, 255, 256, 257, 509, 510, 511};
	for (unsigned i = 0; i < MS_ARRAY_LEN(cuts); i++)
		for (unsigned k = 0; k < 4; k++) {
			const uint32_t features = 1 + k;
			struct draw_shape s = {.tree = k == 3 ? DRAW_OBLIVIOUS : DRAW_LEAF_WISE,
					       .trees = cuts[i] * features / 8 + 1,
					       .features = features,
					       .depth = k == 3 ? 8 : 30,
					       .same_depth = true,
					       .leaves = k == 2 ? 64 : 20,
					       .cuts = cuts[i],
					       .cut_kind = (enum draw_cuts)((i + k) % 3),
					       .only_le = true};
			set_sums(&s, i + k);
			check_shape(seen, &s);
		}
}

// Forests that are large in one way or another.
static void check_large(struct seen *seen)
{
	static const uint32_t cuts[] = {65280, 65281, 65535, 65536, 70000};
	const bool all = ms_test_rounds(100) >= 100; // else the sets alone
	for (unsigned i = 0; all && i < MS_ARRAY_LEN(cuts); i++) {
		struct draw_shape s = {.tree = DRAW_LEAF_WISE,
				       .trees = cuts[i] / 2000 + 1,
				       .features = 1,
				       .depth = 60,
				       .leaves = 2001,
				       .cuts = cuts[i],
				       .only_le = true};
		set_sums(&s, i);
		check_shape(seen, &s);
	}
	const struct draw_shape shapes[] = {
		{.tree = DRAW_MIXED,
		 .trees = 20000,
		 .depth = 4,
		 .leaves = 4,
		 .features = 20,
		 .cuts = 30,
		 .special = 5,
		 .groups = 1},
		{.tree = DRAW_LEAF_WISE,
		 .trees = 1025,
		 .depth = 50,
		 .leaves = 30,
		 .features = 9,
		 .cuts = 80,
		 .special = 1,
		 .groups = 2,
		 .ends = true},
		{.tree = DRAW_LEAF_WISE,
		 .trees = 60,
		 .depth = 50,
		 .leaves = 100,
		 .features = 5000,
		 .cuts = 5,
		 .groups = 1,
		 .single = true},
		{.tree = DRAW_LEAF_WISE,
		 .trees = 1000,
		 .depth = 5,
		 .leaves = 8,
		 .features = 7,
		 .cuts = 50,
		 .groups = 500},
		{.tree = DRAW_BALANCED,
		 .trees = 20,
		 .depth = 4,
		 .features = 7,
		 .cuts = 50,
		 .groups = 500,
		 .vector = true},
		{.tree = DRAW_CHAIN,
		 .trees = 100,
		 .depth = 60,
		 .features = 7,
		 .cuts = 30,
		 .groups = 1,
		 .zero_missing = 20},
		{.tree = DRAW_BALANCED,
		 .trees = 1,
		 .depth = 17,
		 .features = 7,
		 .cuts = 30,
		 .groups = 1,
		 .single = true},
		{.tree = DRAW_OBLIVIOUS,
		 .trees = 5,
		 .depth = 16,
		 .same_depth = true,
		 .features = 9,
		 .cuts = 30,
		 .groups = 1,
		 .single = true},
		{.tree = DRAW_OBLIVIOUS,
		 .trees = 3,
		 .depth = 17,
		 .same_depth = true,
		 .features = 9,
		 .cuts = 30,
		 .groups = 2},
		// Sets: more than 256 tests; tables beyond their limit, and codes beyond 2^24; both.
		{.tree = DRAW_LEAF_WISE,
		 .trees = 60,
		 .depth = 50,
		 .leaves = 40,
		 .features = 4,
		 .cuts = 9,
		 .groups = 1,
		 .set_splits = 90,
		 .sets = 300,
		 .set_columns = 1,
		 .set_words = 20},
		{.tree = DRAW_LEAF_WISE,
		 .trees = 30,
		 .depth = 50,
		 .leaves = 20,
		 .features = 3,
		 .cuts = 9,
		 .groups = 1,
		 .set_splits = 80,
		 .sets = 4,
		 .set_columns = 2,
		 .set_words = 1200000,
		 .single = true,
		 .rule = FOREST_CATEGORY_XGBOOST},
		{.tree = DRAW_LEAF_WISE,
		 .trees = 40,
		 .depth = 50,
		 .leaves = 40,
		 .features = 4,
		 .cuts = 9,
		 .groups = 1,
		 .set_splits = 80,
		 .sets = 1000,
		 .set_columns = 1,
		 .set_words = 200,
		 .special = 20},
	};
	for (size_t i = 0; i < MS_ARRAY_LEN(shapes); i++)
		if (all || shapes[i].sets > 0)
			check_shape(seen, &shapes[i]);
}

#define PICK(r, ...)         \
	((const uint32_t[]){ \
		__VA_ARGS__}[ms_rand_below((r), sizeof((const uint32_t[]){__VA_ARGS__}) / sizeof(uint32_t))])

static void draw_shape(struct rand *r, struct draw_shape *s)
{
	*s = (struct draw_shape){
		.tree = (enum draw_tree)PICK(r, DRAW_LEAF_WISE, DRAW_LEAF_WISE, DRAW_BALANCED, DRAW_CHAIN, DRAW_MIXED,
					     DRAW_MIXED, DRAW_OBLIVIOUS, DRAW_OBLIVIOUS),
		.trees = PICK(r, 0, 1, 2, 3, 5, 7, 8, 9, 16, 17, 31, 32, 33, 63, 64, 65, 100, 128, 129, 200, 511, 512,
			      513),
		.features = PICK(r, 1, 2, 3, 4, 5, 8, 15, 20, 21, 30, 31, 32, 33, 60, 80, 120, 200),
		.computed = PICK(r, 0, 0, 0, 1, 2, 5),
		.groups = PICK(r, 1, 1, 1, 1, 2, 3, 5, 8, 63, 64, 65),
		.depth = PICK(r, 1, 2, 3, 4, 4, 5, 5, 6, 6, 7, 8),
		.leaves = PICK(r, 2, 3, 4, 8, 9, 15, 16, 17, 24, 31, 32, 33, 40, 63, 64, 65, 100, 255),
		.cuts = PICK(r, 1, 3, 10, 16, 17, 30, 60, 100, 255, 256, 300, 600),
		.cut_kind = DRAW_CUTS_MIXED,
		.single = ms_rand_below(r, 2),
		.same_depth = ms_rand_below(r, 2),
		.only_le = ms_rand_below(r, 5) == 0,
		.ends = ms_rand_below(r, 2),
		.zero_missing = PICK(r, 0, 0, 20, 60),
		.special = PICK(r, 0, 2, 20, 80),
		.rule = (enum forest_category_rule)ms_rand_below(r, 2),
	};
	s->sum_single = s->single && ms_rand_below(r, 2);
	s->vector = ms_rand_below(r, 5) == 0;
	s->linear = !s->single && !s->vector && s->tree != DRAW_OBLIVIOUS && ms_rand_below(r, 5) == 0;
	if (s->tree == DRAW_LEAF_WISE || s->tree == DRAW_CHAIN || s->tree == DRAW_MIXED)
		s->depth = PICK(r, 2, 4, 5, 6, 6, 7, 10, 20, 40, 60);
	if (s->tree == DRAW_BALANCED && s->depth > 6)
		s->trees = MS_MIN(s->trees, 65); // some thousand nodes are enough
	if (s->tree == DRAW_OBLIVIOUS)
		s->depth = PICK(r, 0, 1, 3, 4, 5, 6, 6, 7, 8, 9, 10);
	if (s->tree != DRAW_OBLIVIOUS && ms_rand_below(r, 3) == 0) {
		s->set_splits = PICK(r, 5, 30, 100);
		s->sets = PICK(r, 1, 3, 20, 60, 250, 300);
		s->set_columns = PICK(r, 1, 2, 4);
		s->set_words = PICK(r, 1, 2, 8, 40);
	}
}

static void check_random(struct seen *seen, size_t rounds)
{
	for (size_t i = 0; i < rounds; i++) {
		struct draw_shape s;
		draw_shape(ms_test_rand(), &s);
		check_shape(seen, &s);
	}
}

TEST(forest_property)
{
	struct seen *seen = calloc(1, sizeof(*seen));
	REQUIRE(seen != NULL);
	check_widths(seen);
	check_cuts(seen);
	check_large(seen);
	check_random(seen, ms_test_rounds(100));
	expect_all(seen);
	free(seen);
}
