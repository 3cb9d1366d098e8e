// SPDX-License-Identifier: Apache-2.0
#include "model/ranks.h"

#include <math.h>
#include <stdlib.h>

#define RADIX_BITS 8
#define RADIX_SIZE (1u << RADIX_BITS)

struct build {
	const struct forest *f;
	struct arena *memory;
	struct arena *scratch;
	struct forest_ranks *r;
	size_t *first; // by column of the forest, and one more: its keys begin here
	uint64_t *keys;
	uint64_t *spare;
};

// --- Cuts ----------------------------------------------------------------------------------------------

// Orders as the numbers do. Both zeros are one.
static uint64_t key_of(double x)
{
	uint64_t bits;
	x += 0.0;
	memcpy(&bits, &x, sizeof(bits));
	return bits >> 63 != 0 ? ~bits : bits | (uint64_t)1 << 63;
}

static double number_of(uint64_t key)
{
	double x;
	uint64_t bits = key >> 63 != 0 ? key & ~((uint64_t)1 << 63) : ~key;
	memcpy(&x, &bits, sizeof(x));
	return x;
}

static void radix_sort(uint64_t *keys, uint64_t *spare, size_t n)
{
	for (unsigned shift = 0; shift < 64; shift += RADIX_BITS) {
		size_t count[RADIX_SIZE] = {0}, at = 0;
		for (size_t i = 0; i < n; i++)
			count[keys[i] >> shift & (RADIX_SIZE - 1)]++;
		if (n == 0 || count[keys[0] >> shift & (RADIX_SIZE - 1)] == n)
			continue; // one digit for all
		for (size_t d = 0; d < RADIX_SIZE; d++) {
			size_t here = count[d];
			count[d] = at;
			at += here;
		}
		for (size_t i = 0; i < n; i++)
			spare[count[keys[i] >> shift & (RADIX_SIZE - 1)]++] = keys[i];
		memcpy(keys, spare, n * sizeof(*keys));
	}
}

typedef void test_fn(struct build *b, uint32_t column, double threshold);

static void each_test(struct build *b, test_fn *fn)
{
	const struct forest *f = b->f;
	for (size_t i = 0; i < f->test_count; i++)
		fn(b, f->tests[i].column, f->tests[i].threshold);
	for (size_t i = 0; f->nodes_f32 != NULL && i < f->node_count; i++)
		if (f->nodes_f32[i].child != 0 && f->nodes_f32[i].column != FOREST_SET_COLUMN)
			fn(b, f->nodes_f32[i].column, (double)f->nodes_f32[i].threshold);
	for (size_t i = 0; f->nodes_f64 != NULL && i < f->node_count; i++)
		if (f->nodes_f64[i].child != 0 && f->nodes_f64[i].column != FOREST_SET_COLUMN_WIDE)
			fn(b, f->nodes_f64[i].column, f->nodes_f64[i].threshold);
}

static void count_test(struct build *b, uint32_t column, double threshold)
{
	b->first[column + 1] += !isnan(threshold);
}

static void keep_test(struct build *b, uint32_t column, double threshold)
{
	if (!isnan(threshold))
		b->keys[b->first[column]++] = key_of(threshold);
}

// The keys of all tests, grouped by column.
static bool collect_keys(struct build *b)
{
	size_t columns = b->f->column_count, n = 0;
	b->first = MS_ARENA_ARRAY(b->scratch, size_t, columns + 2);
	if (b->first == NULL)
		return false;
	each_test(b, count_test);
	for (size_t c = 0; c <= columns; c++) {
		n += b->first[c];
		b->first[c] = n;
	}
	b->keys = MS_ARENA_ARRAY(b->scratch, uint64_t, MS_MAX(n, 1));
	b->spare = MS_ARENA_ARRAY(b->scratch, uint64_t, MS_MAX(n, 1));
	if (b->keys == NULL || b->spare == NULL)
		return false;
	each_test(b, keep_test); // moves each start to the next column's
	memmove(b->first + 1, b->first, columns * sizeof(*b->first));
	b->first[0] = 0;
	return true;
}

// Sorts the keys of each column and leaves each once; ret_count by column.
static size_t sort_keys(struct build *b, uint32_t *ret_count)
{
	size_t used = 0;
	for (size_t c = 0; c < b->f->column_count; c++) {
		uint64_t *keys = b->keys + b->first[c];
		size_t n = b->first[c + 1] - b->first[c], kept = 0;
		radix_sort(keys, b->spare, n);
		for (size_t i = 0; i < n; i++)
			if (kept == 0 || keys[kept - 1] != keys[i])
				keys[kept++] = keys[i];
		ret_count[c] = (uint32_t)kept;
		used += kept > 0;
	}
	return used;
}

static size_t padded(size_t n)
{
	return (n + RANK_GROUP - 1) / RANK_GROUP * RANK_GROUP;
}

static void write_number(float *f32, double *f64, size_t at, double x)
{
	if (f32 != NULL)
		f32[at] = (float)x;
	else
		f64[at] = x;
}

static void write_column(const struct build *b, const struct rank_column *c, float *cuts_f32, double *cuts_f64,
			 float *pivots_f32, double *pivots_f64)
{
	const uint64_t *keys = b->keys + b->first[c->source];
	size_t n = padded(c->cut_count);
	for (size_t i = 0; i < n; i++)
		write_number(cuts_f32, cuts_f64, c->first_cut + i, i < c->cut_count ? number_of(keys[i]) : INFINITY);
	if (c->cut_count > RANK_BYTE_CUTS)
		return;
	for (size_t g = 0; g < RANK_GROUP; g++) {
		size_t last = g * RANK_GROUP + RANK_GROUP - 1;
		write_number(pivots_f32, pivots_f64, c->first_pivot + g,
			     last < c->cut_count ? number_of(keys[last]) : INFINITY);
	}
}

// Places the columns' cuts, pivots and bytes.
static bool place_columns(struct build *b, const uint32_t *count, struct rank_column *columns, uint32_t *column_of,
			  size_t *ret_cuts, size_t *ret_pivots, size_t *ret_bytes)
{
	size_t n = 0, cuts = 0, pivots = 0, bytes = 0;
	b->r->words = b->r->pivots = true;
	for (size_t c = 0; c < b->f->column_count; c++) {
		column_of[c] = UINT32_MAX;
		if (count[c] == 0)
			continue;
		if (cuts > UINT32_MAX - padded(count[c]))
			return false; // more than 2^32 nodes were refused before
		column_of[c] = (uint32_t)n;
		columns[n++] = (struct rank_column){
			.source = (uint32_t)c,
			.cut_count = count[c],
			.first_cut = (uint32_t)cuts,
			.first_pivot = (uint32_t)pivots,
			.first_byte = (uint32_t)bytes,
		};
		cuts += padded(count[c]);
		bytes += (count[c] + RANK_BYTE_CUTS - 1) / RANK_BYTE_CUTS;
		if (count[c] <= RANK_BYTE_CUTS)
			pivots += RANK_GROUP;
		b->r->pivots = b->r->pivots && count[c] <= RANK_BYTE_CUTS;
		b->r->words = b->r->words && count[c] <= RANK_WORDS_MAX;
	}
	*ret_cuts = cuts;
	*ret_pivots = pivots;
	*ret_bytes = bytes;
	return true;
}

static bool build_columns(struct build *b)
{
	struct forest_ranks *r = b->r;
	size_t all = b->f->column_count, cuts, pivots;
	uint32_t *count = MS_ARENA_ARRAY(b->scratch, uint32_t, all);
	uint32_t *column_of = MS_ARENA_ARRAY(b->memory, uint32_t, all);
	if (count == NULL || column_of == NULL || !collect_keys(b))
		return false;
	r->column_count = sort_keys(b, count);
	struct rank_column *columns = MS_ARENA_ARRAY(b->memory, struct rank_column, MS_MAX(r->column_count, 1));
	if (columns == NULL || !place_columns(b, count, columns, column_of, &cuts, &pivots, &r->byte_count))
		return false;
	bool single = b->f->params.input_single && !b->f->wide && !b->f->oblivious;
	float *cuts_f32 = NULL, *pivots_f32 = NULL;
	double *cuts_f64 = NULL, *pivots_f64 = NULL;
	if (single) {
		cuts_f32 = MS_ARENA_ARRAY(b->memory, float, MS_MAX(cuts, 1));
		pivots_f32 = MS_ARENA_ARRAY(b->memory, float, MS_MAX(pivots, 1));
	} else {
		cuts_f64 = MS_ARENA_ARRAY(b->memory, double, MS_MAX(cuts, 1));
		pivots_f64 = MS_ARENA_ARRAY(b->memory, double, MS_MAX(pivots, 1));
	}
	if ((single && (cuts_f32 == NULL || pivots_f32 == NULL)) ||
	    (!single && (cuts_f64 == NULL || pivots_f64 == NULL)))
		return false;
	for (size_t i = 0; i < r->column_count; i++)
		write_column(b, &columns[i], cuts_f32, cuts_f64, pivots_f32, pivots_f64);
	r->columns = columns;
	r->column_of = column_of;
	r->cuts_f32 = cuts_f32;
	r->cuts_f64 = cuts_f64;
	r->pivots_f32 = pivots_f32;
	r->pivots_f64 = pivots_f64;
	return true;
}

// --- Sets ----------------------------------------------------------------------------------------------

// A set of the forest with what it is sorted by. Many nodes may share a set's words, and these may be many: words are
// looked at once for each set that the file holds, not for each node.
struct set_key {
	uint32_t set;
	uint32_t first_word;
	uint32_t words;   // without zeros at the end
	uint32_t content; // equal for equal words
};

static int compare_u32(uint32_t a, uint32_t b)
{
	return (a > b) - (a < b);
}

static int compare_places(const void *a, const void *b, void *context)
{
	const struct forest *f = context;
	struct set_key x, y;
	memcpy(&x, a, sizeof(x));
	memcpy(&y, b, sizeof(y));
	int by_place = compare_u32(x.first_word, y.first_word);
	return by_place != 0 ? by_place : compare_u32(f->sets[x.set].bit_count, f->sets[y.set].bit_count);
}

static int compare_words(const void *a, const void *b, void *context)
{
	const struct forest *f = context;
	struct set_key x, y;
	memcpy(&x, a, sizeof(x));
	memcpy(&y, b, sizeof(y));
	if (x.words != y.words)
		return compare_u32(x.words, y.words);
	return x.words == 0 ? 0
			    : memcmp(f->set_words + x.first_word, f->set_words + y.first_word,
				     x.words * sizeof(*f->set_words));
}

// By category column, then by content: equal tests become neighbours.
static int compare_tests(const void *a, const void *b, void *context)
{
	const struct forest *f = context;
	struct set_key kx, ky;
	memcpy(&kx, a, sizeof(kx));
	memcpy(&ky, b, sizeof(ky));
	const struct forest_set *x = &f->sets[kx.set], *y = &f->sets[ky.set];
	if (x->category != y->category)
		return compare_u32(x->category, y->category);
	if (x->missing_in != y->missing_in)
		return x->missing_in ? 1 : -1;
	return compare_u32(kx.content, ky.content);
}

static uint32_t used_words(const struct forest *f, const struct forest_set *s)
{
	uint32_t words = s->bit_count / 32;
	while (words > 0 && f->set_words[s->first_word + words - 1] == 0)
		words--;
	return words;
}

// The keys of all sets, equal tests side by side. NULL when memory is out.
static struct set_key *sort_sets(struct build *b)
{
	struct forest *f = (struct forest *)(uintptr_t)b->f; // for qsort_r, which hands it on untouched
	const size_t n = f->set_count;
	size_t places = 0;
	struct set_key *keys = MS_ARENA_ARRAY(b->scratch, struct set_key, n);
	struct set_key *heads = MS_ARENA_ARRAY(b->scratch, struct set_key, n); // one for each place in the words
	uint32_t *content = MS_ARENA_ARRAY(b->scratch, uint32_t, n);           // by place
	if (keys == NULL || heads == NULL || content == NULL)
		return NULL;
	for (size_t i = 0; i < n; i++)
		keys[i] = (struct set_key){.set = (uint32_t)i, .first_word = f->sets[i].first_word};
	qsort_r(keys, n, sizeof(*keys), compare_places, f);
	for (size_t i = 0; i < n; i++) {
		if (i == 0 || compare_places(&keys[i - 1], &keys[i], f) != 0) {
			heads[places] = keys[i];
			heads[places].words = used_words(f, &f->sets[keys[i].set]);
			heads[places].content = (uint32_t)places; // its number, until the contents are known
			places++;
		}
		keys[i].words = heads[places - 1].words;
		keys[i].content = (uint32_t)(places - 1);
	}
	qsort_r(heads, places, sizeof(*heads), compare_words, f);
	for (size_t i = 0, number = 0; i < places; i++) {
		number += i > 0 && compare_words(&heads[i - 1], &heads[i], f) != 0;
		content[heads[i].content] = (uint32_t)number;
	}
	for (size_t i = 0; i < n; i++)
		keys[i].content = content[keys[i].content];
	qsort_r(keys, n, sizeof(*keys), compare_tests, f);
	return keys;
}

static void fill_table(const struct forest *f, const struct rank_sets *s, const uint32_t *order, uint8_t *table)
{
	for (uint32_t i = 0; i < s->count; i++) {
		const struct forest_set *set = &f->sets[order[s->first + i]];
		for (uint32_t row = 0; row < s->code_count + 2; row++) {
			uint32_t code = row < s->code_count    ? row
					: row == s->code_count ? FOREST_CATEGORY_OUTSIDE
							       : FOREST_CATEGORY_MISSING;
			table[(size_t)row * s->count + i] = !ms_forest_in_set(f, set, code);
		}
	}
}

// `budget` is what the tables may still take together.
static bool build_table(struct build *b, struct rank_sets *s, const uint32_t *order, size_t *budget)
{
	size_t bytes;
	if (MS_MUL_OVERFLOWS((size_t)s->code_count + 2, (size_t)s->count, &bytes) || bytes > RANK_TABLE_BYTES_MAX ||
	    bytes > *budget)
		return true; // asked set by set
	*budget -= bytes;
	uint8_t *table = MS_ARENA_ARRAY(b->memory, uint8_t, bytes);
	if (table == NULL)
		return false;
	fill_table(b->f, s, order, table);
	s->table = table;
	return true;
}

static bool build_sets(struct build *b)
{
	const struct forest *f = b->f;
	struct forest_ranks *r = b->r;
	size_t n = f->set_count;
	r->word_count = r->column_count;
	if (n == 0)
		return true;
	struct set_key *sorted = sort_sets(b);
	uint32_t *order = MS_ARENA_ARRAY(b->memory, uint32_t, n);
	uint32_t *column_of = MS_ARENA_ARRAY(b->memory, uint32_t, n);
	struct rank_sets *groups = MS_ARENA_ARRAY(b->memory, struct rank_sets, f->category_count);
	if (sorted == NULL || order == NULL || column_of == NULL || groups == NULL)
		return false;
	size_t distinct = 0, budget = RANK_TABLES_BYTES_MAX;
	struct rank_sets *group = NULL;
	for (size_t i = 0; i < n; i++) {
		const struct forest_set *s = &f->sets[sorted[i].set];
		bool fresh = i == 0 || compare_tests(&sorted[i - 1], &sorted[i], (void *)(uintptr_t)f) != 0;
		if (group == NULL || group->category != s->category) {
			group = &groups[r->sets_count++];
			*group = (struct rank_sets){
				.category = s->category,
				.first = (uint32_t)distinct,
				.first_column = (uint32_t)(r->column_count + distinct),
				.first_byte = (uint32_t)(r->byte_count + distinct),
			};
		}
		if (fresh) {
			order[distinct++] = sorted[i].set;
			group->count++;
			group->code_count = MS_MAX(group->code_count, sorted[i].words * 32);
		}
		column_of[sorted[i].set] = (uint32_t)(r->column_count + distinct - 1);
	}
	for (size_t g = 0; g < r->sets_count; g++)
		if (!build_table(b, &groups[g], order, &budget))
			return false;
	r->sets = groups;
	r->set_order = order;
	r->set_column_of = column_of;
	r->word_count += distinct;
	r->byte_count += distinct;
	return true;
}

const struct forest_ranks *ms_ranks_build(const struct forest *f, struct arena *memory, struct arena *scratch)
{
	struct forest_ranks *r = MS_ARENA_NEW(memory, struct forest_ranks);
	struct build b = {.f = f, .memory = memory, .scratch = scratch, .r = r};
	if (r == NULL || !build_columns(&b) || !build_sets(&b))
		return NULL;
	r->words = r->words && r->word_count <= RANK_WORDS_MAX;
	r->bytes = r->byte_count <= RANK_BYTES_MAX;
	return r;
}

// --- Tests ---------------------------------------------------------------------------------------------

// Cuts of a column that are below x; all for NaN.
#define DEFINE_RANK(name, type)                                           \
	static inline uint32_t name(const type *cuts, uint32_t n, type x) \
	{                                                                 \
		const type *p = cuts;                                     \
		while (n > 1) {                                           \
			uint32_t half = n / 2;                            \
			p = p[half - 1] >= x ? p : p + half;              \
			n -= half;                                        \
		}                                                         \
		return (uint32_t)(p - cuts) + !(*p >= x);                 \
	}
DEFINE_RANK(rank_f32, float)
DEFINE_RANK(rank_f64, double)
#undef DEFINE_RANK

static uint32_t rank_of(const struct forest_ranks *r, const struct rank_column *c, double x)
{
	return r->cuts_f32 != NULL ? rank_f32(r->cuts_f32 + c->first_cut, c->cut_count, (float)x)
				   : rank_f64(r->cuts_f64 + c->first_cut, c->cut_count, x);
}

struct rank_test ms_ranks_word_test(const struct forest_ranks *r, uint32_t column, double threshold)
{
	if (isnan(threshold))
		return (struct rank_test){0, 0};
	uint32_t at = r->column_of[column];
	MS_ASSERT(at < r->column_count);
	return (struct rank_test){at, rank_of(r, &r->columns[at], threshold) + 1};
}

struct rank_test ms_ranks_byte_test(const struct forest_ranks *r, uint32_t column, double threshold)
{
	struct rank_test t = ms_ranks_word_test(r, column, threshold);
	if (t.cut == 0)
		return t;
	const struct rank_column *c = &r->columns[t.column];
	uint32_t place = t.cut - 1;
	return (struct rank_test){c->first_byte + place / RANK_BYTE_CUTS, place % RANK_BYTE_CUTS + 1};
}

struct rank_test ms_ranks_word_set_test(const struct forest_ranks *r, uint32_t set)
{
	return (struct rank_test){r->set_column_of[set], 1};
}

struct rank_test ms_ranks_byte_set_test(const struct forest_ranks *r, uint32_t set)
{
	size_t numeric_bytes = r->byte_count - (r->word_count - r->column_count);
	return (struct rank_test){(uint32_t)(r->set_column_of[set] - r->column_count + numeric_bytes), 1};
}

// --- Rows ----------------------------------------------------------------------------------------------

void ms_ranks_put_bytes(const struct rank_column *c, uint32_t rank, size_t step, uint8_t *out)
{
	uint32_t bytes = (c->cut_count + RANK_BYTE_CUTS - 1) / RANK_BYTE_CUTS;
	for (uint32_t i = 0; i < bytes; i++) {
		uint32_t start = i * RANK_BYTE_CUTS;
		out[(c->first_byte + i) * step] = rank < start ? 0 : (uint8_t)MS_MIN(rank - start, UINT8_MAX);
	}
}

void ms_ranks_bytes(const struct forest_ranks *r, const void *columns, size_t step, uint8_t *out)
{
	const float *f32 = columns;
	const double *f64 = columns;
	for (size_t i = 0; i < r->column_count; i++) {
		const struct rank_column *c = &r->columns[i];
		uint32_t rank = r->cuts_f32 != NULL
					? rank_f32(r->cuts_f32 + c->first_cut, c->cut_count, f32[c->source])
					: rank_f64(r->cuts_f64 + c->first_cut, c->cut_count, f64[c->source]);
		ms_ranks_put_bytes(c, rank, step, out);
	}
}

void ms_ranks_words(const struct forest_ranks *r, const void *columns, uint16_t *out)
{
	const float *f32 = columns;
	const double *f64 = columns;
	for (size_t i = 0; i < r->column_count; i++) {
		const struct rank_column *c = &r->columns[i];
		out[i] = (uint16_t)(r->cuts_f32 != NULL
					    ? rank_f32(r->cuts_f32 + c->first_cut, c->cut_count, f32[c->source])
					    : rank_f64(r->cuts_f64 + c->first_cut, c->cut_count, f64[c->source]));
	}
}

// The set tests of one category column for one value: a row of its table, or `spare` filled test by test.
static uint8_t set_rank(const struct forest *f, const struct forest_ranks *r, const struct rank_sets *s, uint32_t i,
			uint32_t code)
{
	if (s->table == NULL)
		return !ms_forest_in_set(f, &f->sets[r->set_order[s->first + i]], code);
	uint32_t row = code < s->code_count              ? code
		       : code == FOREST_CATEGORY_MISSING ? s->code_count + 1
							 : s->code_count;
	return s->table[(size_t)row * s->count + i];
}

void ms_ranks_set_bytes(const struct forest *f, const struct forest_ranks *r, const uint32_t *categories, size_t step,
			uint8_t *out)
{
	for (size_t g = 0; g < r->sets_count; g++) {
		const struct rank_sets *s = &r->sets[g];
		for (uint32_t i = 0; i < s->count; i++)
			out[(s->first_byte + i) * step] = set_rank(f, r, s, i, categories[s->category]);
	}
}

void ms_ranks_set_words(const struct forest *f, const struct forest_ranks *r, const uint32_t *categories, uint16_t *out)
{
	for (size_t g = 0; g < r->sets_count; g++) {
		const struct rank_sets *s = &r->sets[g];
		for (uint32_t i = 0; i < s->count; i++)
			out[s->first_column + i] = set_rank(f, r, s, i, categories[s->category]);
	}
}
