// SPDX-License-Identifier: Apache-2.0
// Speed of the json module next to simdjson and jansson, as far as they are there: the same documents in the
// same run, readers taking turns, the best round of each counted.
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "bench/json/bench.h"
#include "json/json.h"

#define MEMORY ((size_t)1 << 30)
#define ROUNDS 15
#define ROUND_NS 30000000

// --- Documents -----------------------------------------------------------------------------------------

static void add_document_end(struct buf *b)
{
	if (!ms_buf_reserve(b, BENCH_PADDING))
		abort();
	memset(b->p + b->n, 0, BENCH_PADDING);
}

static void write_predict(struct buf *b, struct rand *rand)
{
	struct json_writer w;
	ms_json_writer_init(&w, b);
	ms_json_begin_object(&w);
	ms_json_key_lit(&w, "instances");
	ms_json_begin_array(&w);
	ms_json_begin_object(&w);
	for (int i = 0; i < 30; i++) {
		char key[32];
		snprintf(key, sizeof(key), "mean_feature_%d", i);
		ms_json_key_lit(&w, key);
		if (i % 3 == 0)
			ms_json_i64(&w, (int64_t)ms_rand_below(rand, 5000));
		else
			ms_json_f64(&w, floor(ms_rand_double(rand) * 1e6) / 1e4);
	}
	ms_json_end_object(&w);
	ms_json_end_array(&w);
	ms_json_end_object(&w);
	add_document_end(b);
}

static void write_matrix(struct buf *b, struct rand *rand, bool full_precision)
{
	struct json_writer w;
	ms_json_writer_init(&w, b);
	ms_json_begin_object(&w);
	ms_json_key_lit(&w, "data");
	ms_json_begin_array(&w);
	for (int row = 0; row < 10000; row++) {
		ms_json_begin_array(&w);
		for (int column = 0; column < 30; column++) {
			double value = ms_rand_double(rand) * 200 - 100;
			ms_json_f64(&w, full_precision ? value : floor(value * 1e4) / 1e4);
		}
		ms_json_end_array(&w);
	}
	ms_json_end_array(&w);
	ms_json_end_object(&w);
	add_document_end(b);
}

static void write_record(struct json_writer *w, struct rand *rand, unsigned id)
{
	static const char *const names[] = {"Ada", "Grace", "Jürgen", "Søren", "Łukasz", "Mei", "O\"Neil", "Zoë"};
	static const char *const tags[] = {"trial", "enterprise", "eu-west", "migrated", "priority"};
	char text[160];
	ms_json_begin_object(w);
	ms_json_key_lit(w, "id");
	ms_json_u64(w, 1000000 + id);
	ms_json_key_lit(w, "name");
	ms_json_cstr(w, names[ms_rand_below(rand, MS_ARRAY_LEN(names))]);
	ms_json_key_lit(w, "email");
	snprintf(text, sizeof(text), "user.%u@mail-%u.example.org", id, (unsigned)ms_rand_below(rand, 100));
	ms_json_cstr(w, text);
	ms_json_key_lit(w, "active");
	ms_json_bool(w, ms_rand_below(rand, 2) == 0);
	ms_json_key_lit(w, "manager");
	ms_json_null(w);
	ms_json_key_lit(w, "created_at");
	snprintf(text, sizeof(text), "2026-0%u-1%uT08:30:0%u.000Z", 1 + id % 9, id % 10, id % 10);
	ms_json_cstr(w, text);
	ms_json_key_lit(w, "bio");
	ms_json_cstr(w, "Works on churn models; likes plain text, short functions and long walks.\nSecond line.");
	ms_json_key_lit(w, "location");
	ms_json_begin_object(w);
	ms_json_key_lit(w, "lat");
	ms_json_f64(w, ms_rand_double(rand) * 180 - 90);
	ms_json_key_lit(w, "lon");
	ms_json_f64(w, floor(ms_rand_double(rand) * 360e6) / 1e6 - 180);
	ms_json_key_lit(w, "city");
	ms_json_cstr(w, id % 4 == 0 ? "東京都千代田区" : "Rotterdam");
	ms_json_end_object(w);
	ms_json_key_lit(w, "tags");
	ms_json_begin_array(w);
	for (uint64_t i = ms_rand_below(rand, 5); i > 0; i--)
		ms_json_cstr(w, tags[ms_rand_below(rand, MS_ARRAY_LEN(tags))]);
	ms_json_end_array(w);
	ms_json_key_lit(w, "scores");
	ms_json_begin_array(w);
	for (int i = 0; i < 5; i++)
		ms_json_f64(w, floor(ms_rand_double(rand) * 1000) / 1000);
	ms_json_end_array(w);
	ms_json_end_object(w);
}

static void write_mixed(struct buf *b, struct rand *rand)
{
	struct json_writer w;
	ms_json_writer_init(&w, b);
	ms_json_begin_array(&w);
	for (unsigned i = 0; i < 10000; i++)
		write_record(&w, rand, i);
	ms_json_end_array(&w);
	add_document_end(b);
}

// The same with line breaks and four blanks a level. Knows only what write_mixed() writes: no brackets in strings.
static void indent(struct buf *b, struct slice text)
{
	static const char blanks[] = "                                ";
	size_t depth = 0;
	bool in_string = false;
	for (size_t i = 0; i < text.n; i++) {
		char c = text.p[i];
		in_string ^= c == '"' && text.p[i - 1] != '\\';
		bool closes = !in_string && (c == ']' || c == '}');
		bool opens = !in_string && (c == '[' || c == '{');
		depth += opens;
		depth -= closes;
		if (closes) {
			ms_buf_append_char(b, '\n');
			ms_buf_append(b, blanks, depth * 4);
		}
		ms_buf_append_char(b, c);
		if (!in_string && c == ':')
			ms_buf_append_char(b, ' ');
		if (opens || (!in_string && c == ',')) {
			ms_buf_append_char(b, '\n');
			ms_buf_append(b, blanks, depth * 4);
		}
	}
	add_document_end(b);
}

// --- Ours ----------------------------------------------------------------------------------------------

static struct arena arena;
static struct buf written;

static double reader_predict(const char *text, size_t n)
{
	struct json_reader r;
	double sum = 0, value;
	struct slice key;
	ms_json_reader_init(&r, ms_slice(text, n), NULL, NULL, NULL);
	ms_json_enter_object(&r);
	ms_json_next_key(&r, &key);
	ms_json_enter_array(&r);
	while (ms_json_next_item(&r)) {
		ms_json_enter_object(&r);
		while (ms_json_next_key(&r, &key)) {
			if (ms_json_read_f64(&r, &value))
				sum += value + (double)key.n;
		}
	}
	ms_json_next_key(&r, &key);
	return ms_json_finish(&r) == MS_OK ? sum : NAN;
}

static double reader_matrix(const char *text, size_t n)
{
	struct json_reader r;
	double sum = 0, row[30];
	size_t count;
	struct slice key;
	ms_json_reader_init(&r, ms_slice(text, n), NULL, NULL, NULL);
	ms_json_enter_object(&r);
	ms_json_next_key(&r, &key);
	ms_json_enter_array(&r);
	while (ms_json_next_item(&r)) {
		ms_json_enter_array(&r);
		if (!ms_json_read_f64_items(&r, row, 30, &count))
			return NAN;
		for (size_t i = 0; i < count; i++)
			sum += row[i];
	}
	ms_json_next_key(&r, &key);
	return ms_json_finish(&r) == MS_OK ? sum : NAN;
}

static double reader_skip(const char *text, size_t n)
{
	struct json_reader r;
	ms_json_reader_init(&r, ms_slice(text, n), NULL, NULL, NULL);
	ms_json_skip(&r, NULL);
	return ms_json_finish(&r) == MS_OK ? 1 : NAN;
}

// Reads every value for what it is, as a visitor of a peer does.
static void visit(struct json_reader *r, double *count)
{
	double number;
	bool b;
	struct slice s;
	++*count;
	switch (ms_json_peek(r)) {
	case JSON_OBJECT:
		ms_json_enter_object(r);
		while (ms_json_next_key(r, &s))
			visit(r, count);
		return;
	case JSON_ARRAY:
		ms_json_enter_array(r);
		while (ms_json_next_item(r))
			visit(r, count);
		return;
	case JSON_STRING:
		ms_json_read_string(r, &s);
		return;
	case JSON_NUMBER:
		ms_json_read_f64(r, &number);
		return;
	case JSON_TRUE:
	case JSON_FALSE:
		ms_json_read_bool(r, &b);
		return;
	case JSON_NULL:
		ms_json_read_null(r);
		return;
	case JSON_INVALID:
		return;
	}
}

static double reader_mixed(const char *text, size_t n)
{
	struct json_reader r;
	double count = 0;
	ms_arena_reset(&arena);
	ms_json_reader_init(&r, ms_slice(text, n), NULL, &arena, NULL);
	visit(&r, &count);
	return ms_json_finish(&r) == MS_OK ? count : NAN;
}

static double tree(const char *text, size_t n)
{
	const struct json_value *value;
	ms_arena_reset(&arena);
	return ms_json_parse(ms_slice(text, n), NULL, &arena, NULL, &value) == MS_OK ? 1 : NAN;
}

static const struct json_value *tree_to_write;

static double write_again(const char *text, size_t n)
{
	(void)text;
	struct json_writer w;
	ms_buf_clear(&written);
	ms_json_writer_init(&w, &written);
	ms_json_value(&w, tree_to_write);
	return written.n == n ? 1 : NAN;
}

// --- Measuring -----------------------------------------------------------------------------------------

struct reader {
	const char *name; // NULL: not there
	bench_fn *run;
	double best_ns; // per document
};

static int64_t now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000 + t.tv_nsec;
}

static void measure(struct reader *reader, struct slice text)
{
	int64_t start = now_ns(), elapsed;
	int count = 0;
	do {
		if (isnan(reader->run(text.p, text.n))) {
			printf("  %s refuses the document\n", reader->name);
			exit(1);
		}
		count++;
		elapsed = now_ns() - start;
	} while (elapsed < ROUND_NS);
	double ns = (double)elapsed / count;
	if (reader->best_ns == 0 || ns < reader->best_ns)
		reader->best_ns = ns;
}

// The first reader is the one that the others are compared with.
static void compare(const char *title, struct slice text, struct reader *readers, size_t count)
{
	printf("%s (%zu bytes)\n", title, text.n);
	for (int round = 0; round < ROUNDS; round++) {
		for (size_t i = 0; i < count; i++) {
			if (readers[i].name != NULL)
				measure(&readers[i], text);
		}
	}
	for (size_t i = 0; i < count; i++) {
		if (readers[i].name != NULL)
			printf("  %-22s %8.0f MB/s %12.2f us   %5.2f x\n", readers[i].name,
			       (double)text.n / readers[i].best_ns * 1e3, readers[i].best_ns / 1e3,
			       readers[i].best_ns / readers[0].best_ns);
	}
	fflush(stdout);
}

#ifdef HAVE_SIMDJSON
#define SIMDJSON(kind)                                       \
	{"simdjson on-demand", bench_simdjson_##kind, 0},    \
	{                                                    \
		"simdjson DOM", bench_simdjson_dom_##kind, 0 \
	}
#else
#define SIMDJSON(kind)        \
	{                     \
		NULL, NULL, 0 \
	}
#endif
#ifdef HAVE_JANSSON
#define JANSSON(kind)                              \
	{                                          \
		"jansson", bench_jansson_##kind, 0 \
	}
#else
#define JANSSON(kind)         \
	{                     \
		NULL, NULL, 0 \
	}
#endif
#define COMPARE(title, text, ...)                                         \
	do {                                                              \
		struct reader readers[] = {__VA_ARGS__};                  \
		compare((title), (text), readers, MS_ARRAY_LEN(readers)); \
	} while (0)

static void compare_numbers(struct rand *rand)
{
	enum { COUNT = 200000 };
	static char texts[COUNT][MS_NUMBER_SIZE];
	static double values[COUNT];
	double best[4] = {0};
	double sum = 0;
	for (int i = 0; i < COUNT; i++) {
		values[i] = (ms_rand_double(rand) - 0.5) * 1e3;
		texts[i][ms_number_format_f64(values[i], texts[i])] = '\0';
	}
	for (int round = 0; round < ROUNDS; round++) {
		char text[64];
		double value;
		int64_t t[5];
		t[0] = now_ns();
		for (int i = 0; i < COUNT; i++)
			sum += ms_number_parse_f64(ms_slice_cstr(texts[i]), &value) ? value : NAN;
		t[1] = now_ns();
		for (int i = 0; i < COUNT; i++)
			sum -= strtod(texts[i], NULL);
		t[2] = now_ns();
		for (int i = 0; i < COUNT; i++)
			sum += (double)ms_number_format_f64(values[i], text);
		t[3] = now_ns();
		for (int i = 0; i < COUNT; i++)
			sum -= (double)snprintf(text, sizeof(text), "%.17g", values[i]);
		t[4] = now_ns();
		for (int i = 0; i < 4; i++) {
			double ns = (double)(t[i + 1] - t[i]) / COUNT;
			best[i] = round == 0 ? ns : fmin(best[i], ns);
		}
	}
	printf("numbers of 17 digits, each (%g)\n", isnan(sum) ? NAN : 0.0);
	printf("  parse    %6.1f ns   strtod          %6.1f ns   %5.2f x\n", best[0], best[1], best[1] / best[0]);
	printf("  format   %6.1f ns   printf %%.17g    %6.1f ns   %5.2f x\n", best[2], best[3], best[3] / best[2]);
}

int main(void)
{
	struct rand rand = {1};
	struct buf predict, short_matrix, full_matrix, mixed, indented;
	struct buf *all[] = {&predict, &short_matrix, &full_matrix, &mixed, &indented, &written};
	for (size_t i = 0; i < MS_ARRAY_LEN(all); i++)
		ms_buf_init(all[i], MEMORY);
	ms_arena_init(&arena, (size_t)64 << 20, MEMORY);
	write_predict(&predict, &rand);
	write_matrix(&short_matrix, &rand, false);
	write_matrix(&full_matrix, &rand, true);
	write_mixed(&mixed, &rand);
	indent(&indented, ms_buf_slice(&mixed));

	printf("How much longer the others take than the first of each group:\n");
	COMPARE("prediction of 30 features", ms_buf_slice(&predict), {"reader", reader_predict, 0}, SIMDJSON(predict),
		JANSSON(predict));
	COMPARE("10,000 x 30 numbers, 4 decimals", ms_buf_slice(&short_matrix), {"reader", reader_matrix, 0},
		SIMDJSON(matrix), JANSSON(matrix));
	COMPARE("10,000 x 30 numbers, 17 digits", ms_buf_slice(&full_matrix), {"reader", reader_matrix, 0},
		SIMDJSON(matrix), JANSSON(matrix));
	COMPARE("10,000 records", ms_buf_slice(&mixed), {"tree", tree, 0}, {"reader, every value", reader_mixed, 0},
		{"reader, skipping", reader_skip, 0}, SIMDJSON(mixed), JANSSON(mixed));
	COMPARE("10,000 records, indented", ms_buf_slice(&indented), {"tree", tree, 0},
		{"reader, every value", reader_mixed, 0}, {"reader, skipping", reader_skip, 0}, SIMDJSON(mixed),
		JANSSON(mixed));
	struct arena kept;
	ms_arena_init(&kept, (size_t)64 << 20, MEMORY);
	if (ms_json_parse(ms_buf_slice(&mixed), NULL, &kept, NULL, &tree_to_write) != MS_OK)
		return 1;
	COMPARE("10,000 records, written", ms_buf_slice(&mixed), {"writer", write_again, 0});
	compare_numbers(&rand);
	ms_arena_fini(&kept);
	ms_arena_fini(&arena);
	for (size_t i = 0; i < MS_ARRAY_LEN(all); i++)
		ms_buf_fini(all[i]);
	return 0;
}
