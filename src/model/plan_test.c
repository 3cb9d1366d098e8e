// SPDX-License-Identifier: Apache-2.0
// Which kernels a forest of some shape gets, by itself and when one is asked for.
#include <stdio.h>

#include "model/forest_draw_test.h"
#include "model/kernels.h"

#define MANY 100 // trees: enough that ranks pay

// What an instruction set makes of a shape.
struct choice {
	enum model_kernel single, batch;
};

#define AUTO MODEL_KERNEL_AUTO
#define WALK MODEL_KERNEL_WALK
#define NODES MODEL_KERNEL_QUANTISED
#define TILES MODEL_KERNEL_TILES
#define BITS MODEL_KERNEL_BITS
#define OBLIVIOUS MODEL_KERNEL_OBLIVIOUS

struct plan_case {
	const char *name;
	struct draw_shape shape;
	enum model_kernel asked;
	struct choice avx512, others;
};

#define LEAF_WISE(n, count, most)                                                                          \
	.tree = DRAW_LEAF_WISE, .trees = (count), .depth = 40, .leaves = (n), .groups = 1, .cuts = (most), \
	.only_le = true
#define BALANCED(n, count) \
	.tree = DRAW_BALANCED, .trees = (count), .depth = (n), .groups = 1, .cuts = 9, .only_le = true
#define SAME(n, count)                                                                                      \
	.tree = DRAW_OBLIVIOUS, .trees = (count), .depth = (n), .same_depth = true, .groups = 1, .cuts = 9, \
	.only_le = true
#define CHAINS(n, count) .tree = DRAW_CHAIN, .trees = (count), .depth = (n), .groups = 1, .cuts = 9, .only_le = true

static const struct plan_case cases[] = {
	{"six levels", {BALANCED(6, MANY), .features = 8}, AUTO, {TILES, TILES}, {NODES, BITS}},
	{"256 columns", {BALANCED(6, 300), .features = 256}, AUTO, {TILES, TILES}, {NODES, BITS}},
	{"257 columns, f32", {BALANCED(6, 300), .features = 257, .single = true}, AUTO, {WALK, WALK}, {WALK, WALK}},
	{"257 columns, f64", {BALANCED(6, 300), .features = 257}, AUTO, {NODES, NODES}, {NODES, NODES}},
	{"257 columns, f32, nodes",
	 {BALANCED(6, 300), .features = 257, .single = true},
	 NODES,
	 {NODES, NODES},
	 {NODES, NODES}},
	{"257 columns, tiles", {BALANCED(6, 300), .features = 257}, TILES, {WALK, WALK}, {WALK, WALK}},
	{"257 columns, bits", {BALANCED(6, 300), .features = 257}, BITS, {WALK, WALK}, {WALK, WALK}},
	{"seven levels", {BALANCED(7, MANY), .features = 8}, AUTO, {TILES, TILES}, {NODES, NODES}},
	{"seven levels, tiles", {BALANCED(7, MANY), .features = 8}, TILES, {TILES, TILES}, {WALK, WALK}},
	{"seven levels, bits", {BALANCED(7, MANY), .features = 8}, BITS, {WALK, WALK}, {WALK, WALK}},
	{"twelve levels", {BALANCED(12, MANY), .features = 8}, AUTO, {NODES, NODES}, {NODES, NODES}},
	{"32 leaves", {LEAF_WISE(32, MANY, 9), .features = 8}, AUTO, {BITS, BITS}, {NODES, BITS}},
	{"64 leaves", {LEAF_WISE(64, MANY, 9), .features = 8}, AUTO, {TILES, BITS}, {NODES, BITS}},
	{"65 leaves", {LEAF_WISE(65, MANY, 9), .features = 8}, AUTO, {TILES, TILES}, {NODES, NODES}},
	{"65 leaves, bits", {LEAF_WISE(65, MANY, 9), .features = 8}, BITS, {WALK, WALK}, {WALK, WALK}},
	{"64 leaves, bits", {LEAF_WISE(64, MANY, 9), .features = 8}, BITS, {BITS, BITS}, {WALK, BITS}},
	{"walk", {BALANCED(6, MANY), .features = 8}, WALK, {WALK, WALK}, {WALK, WALK}},
	{"nodes", {BALANCED(6, MANY), .features = 8}, NODES, {NODES, NODES}, {NODES, NODES}},
	{"oblivious for nodes", {BALANCED(6, MANY), .features = 8}, OBLIVIOUS, {WALK, WALK}, {WALK, WALK}},
	{"oblivious", {SAME(6, MANY), .features = 8}, AUTO, {OBLIVIOUS, OBLIVIOUS}, {WALK, OBLIVIOUS}},
	{"oblivious, 16 tests", {SAME(16, 2), .features = 8}, OBLIVIOUS, {OBLIVIOUS, OBLIVIOUS}, {WALK, OBLIVIOUS}},
	{"oblivious, 17 tests", {SAME(17, 2), .features = 8}, OBLIVIOUS, {WALK, WALK}, {WALK, WALK}},
	{"oblivious, 257 columns", {SAME(6, MANY), .features = 257}, OBLIVIOUS, {WALK, WALK}, {WALK, WALK}},
	{"oblivious, tiles", {SAME(6, MANY), .features = 8}, TILES, {WALK, WALK}, {WALK, WALK}},
	{"oblivious, bits", {SAME(6, MANY), .features = 8}, BITS, {WALK, WALK}, {WALK, WALK}},
	{"oblivious, nodes", {SAME(6, MANY), .features = 8}, NODES, {WALK, WALK}, {WALK, WALK}},
	{"small", {BALANCED(3, 20), .features = 40}, AUTO, {WALK, WALK}, {WALK, WALK}},
	{"small, tiles", {BALANCED(3, 20), .features = 40}, TILES, {TILES, TILES}, {WALK, WALK}},
	{"65,536 cuts", {LEAF_WISE(4001, 17, 65536), .features = 1}, NODES, {WALK, WALK}, {WALK, WALK}},
	{"65,535 cuts", {LEAF_WISE(4001, 17, 65535), .features = 1}, NODES, {NODES, NODES}, {NODES, NODES}},
	{"chains, small nodes", {CHAINS(200, 50), .features = 8, .single = true}, TILES, {TILES, TILES}, {WALK, WALK}},
	{"chains, large nodes", {CHAINS(200, 50), .features = 8}, TILES, {TILES, TILES}, {WALK, WALK}},
};

#undef CHAINS
#undef LEAF_WISE
#undef BALANCED
#undef SAME

// What holds of every plan.
static void check_whole(const struct forest *f, enum model_kernel asked)
{
	const struct forest_plan *p = f->plan;
	const bool walk = p->single == WALK && p->batch == WALK;
	CHECK(!walk || (p->rank_stride == 0 && p->row == NULL && p->block == NULL && p->sum == NULL));
	CHECK(walk == (p->ranks == NULL));
	CHECK(p->rank_stride % 64 == 0);
	CHECK(p->sum == NULL || p->block != NULL);
	CHECK(p->nodes_byte == NULL || p->nodes_word == NULL);
	CHECK(p->words == (p->nodes_word != NULL));
	if (!walk)
		CHECK(p->rank_stride >= (p->words ? 2 * p->ranks->word_count : p->ranks->byte_count));
	if (asked != MODEL_KERNEL_AUTO)
		CHECK_STR(p->reason, p->single == asked || p->batch == asked
					     ? "asked for"
					     : "the one asked for cannot take this model here");
}

TEST(plan_by_shape)
{
	for (size_t i = 0; i < MS_ARRAY_LEN(cases); i++)
		for (int isa = MODEL_ISA_PLAIN; isa < MODEL_ISA_COUNT; isa++) {
			const struct plan_case *c = &cases[i];
			struct draw_forest d;
			struct arena memory;
			if (ms_kernels_choose((enum model_isa)isa)->isa != (enum model_isa)isa)
				continue;
			ms_draw_forest(&d, &c->shape, ms_rand_u64(ms_test_rand()));
			ms_arena_init(&memory, 1 << 16, (size_t)1 << 30);
			const struct forest *f =
				ms_draw_build(&d, c->shape.trees, c->asked, (enum model_isa)isa, &memory);
			const struct choice want = isa == MODEL_ISA_AVX512 ? c->avx512 : c->others;
			if (f->plan->single != want.single || f->plan->batch != want.batch)
				printf("# %s, %s: one row %s, many %s\n", c->name,
				       ms_model_isa_name((enum model_isa)isa), ms_model_kernel_name(f->plan->single),
				       ms_model_kernel_name(f->plan->batch));
			CHECK_INT(f->plan->single, want.single);
			CHECK_INT(f->plan->batch, want.batch);
			CHECK_INT(f->plan->kernels->isa, isa);
			check_whole(f, c->asked);
			ms_arena_fini(&memory);
			ms_draw_free(&d);
		}
}

// The nodes of a tree are small while a child is near enough, and of words beyond.
TEST(plan_nodes_of_words_where_children_are_far)
{
	for (uint32_t depth = 15; depth <= 17; depth += 2) {
		struct draw_forest d;
		struct arena memory;
		const struct draw_shape s = {.tree = DRAW_BALANCED,
					     .trees = 1,
					     .depth = depth,
					     .features = 3,
					     .groups = 1,
					     .cuts = 9,
					     .only_le = true};
		ms_draw_forest(&d, &s, ms_rand_u64(ms_test_rand()));
		ms_arena_init(&memory, 1 << 16, (size_t)1 << 30);
		const struct forest *f = ms_draw_build(&d, 1, MODEL_KERNEL_QUANTISED, MODEL_ISA_AUTO, &memory);
		CHECK(f->plan->ranks->bytes);
		CHECK((f->plan->nodes_byte != NULL) == (depth == 15));
		CHECK((f->plan->nodes_word != NULL) == (depth == 17));
		ms_arena_fini(&memory);
		ms_draw_free(&d);
	}
}

// Many trees of a single leaf and one of 64: no layout gives each of them the room of the large one.
static const struct forest *sparse_forest(size_t small_trees, enum model_kernel kernel, enum model_isa isa,
					  struct arena *scratch, struct arena *memory)
{
	const struct forest_params params = {.feature_count = 1, .group_count = 1, .scale = 1};
	struct model_options options = MS_MODEL_DEFAULT_OPTIONS;
	struct errinfo info;
	struct forest_builder *b;
	struct tree_node *nodes;
	const struct forest *f;
	options.kernel = kernel;
	options.isa = isa;
	ms_errinfo_init(&info);
	REQUIRE(ms_forest_builder_new(&params, &options, scratch, memory, &info, &b) == MS_OK);
	for (size_t t = 0; t <= small_trees; t++) {
		const uint32_t splits = t == small_trees / 2 ? 63 : 0;
		REQUIRE(ms_forest_tree_begin(b, 2 * splits + 1, 0, &nodes) == MS_OK);
		for (uint32_t i = 0; i < splits; i++)
			nodes[i] = (struct tree_node){
				.kind = TREE_NODE_NUMERIC, .left = 2 * i + 1, .right = 2 * i + 2, .threshold = i};
		for (uint32_t i = splits; i < 2 * splits + 1; i++)
			nodes[i] = (struct tree_node){.kind = TREE_NODE_LEAF, .value = 1};
		REQUIRE(ms_forest_tree_end(b, 0) == MS_OK);
	}
	REQUIRE(ms_forest_finish(b, &f) == MS_OK);
	return f;
}

TEST(plan_of_one_large_tree_among_leaves_is_small)
{
	static const enum model_kernel kernels[] = {AUTO, TILES, BITS, NODES};
	for (size_t k = 0; k < MS_ARRAY_LEN(kernels); k++)
		for (int isa = MODEL_ISA_PLAIN; isa < MODEL_ISA_COUNT; isa++) {
			struct arena memory, scratch;
			double row = 5, sum;
			if (ms_kernels_choose((enum model_isa)isa)->isa != (enum model_isa)isa)
				continue;
			ms_arena_init(&memory, 1 << 16, (size_t)1 << 30);
			ms_arena_init(&scratch, 1 << 16, (size_t)1 << 30);
			const struct forest *f =
				sparse_forest(40000, kernels[k], (enum model_isa)isa, &scratch, &memory);
			CHECK(memory.used < f->node_count * 256);
			void *work = ms_arena_alloc(&scratch, ms_forest_scratch_size(f));
			ms_forest_raw(f, &row, 1, work, &sum);
			CHECK_F64(sum, 40001);
			ms_arena_fini(&memory);
			ms_arena_fini(&scratch);
		}
}

TEST(plan_of_an_unknown_instruction_set_is_plain)
{
	const enum model_isa foreign =
		ms_kernels_choose(MODEL_ISA_NEON)->isa == MODEL_ISA_NEON ? MODEL_ISA_AVX512 : MODEL_ISA_NEON;
	CHECK_INT(ms_kernels_choose(foreign)->isa, ms_kernels_choose(MODEL_ISA_PLAIN)->isa);
	CHECK(ms_kernels_choose(MODEL_ISA_AUTO) != NULL);
}
