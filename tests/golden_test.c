// SPDX-License-Identifier: Apache-2.0
// Our predictions against those of the libraries that made the models: every golden.txt below the given
// folders (format: tests/golden/README.md). Raw scores and leaves must have the same bits, predictions be
// within MAX_ULPS units in the last place; a batch must give the bits of single rows. One TAP line a model.
#include <dirent.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/base.h"
#include "model/model.h"

#define MAX_ULPS 2
#define MESSAGES_MAX 3 // per model

struct golden {
	const char *dir;
	const char *model_dir; // where the model is when it is not beside the golden file
	struct slice text;
	struct slice model_file;
	struct slice format;
	struct slice note;
	struct slice refuse;
	size_t features, raw, pred, leaf, label, rows;
	double tolerance; // of scores whose last bits no library promises; 0: none
	int failures;
};

static unsigned case_number, failed_cases;

static void fail(struct golden *g, const char *fmt, ...) MS_PRINTF(2, 3);
static void fail(struct golden *g, const char *fmt, ...)
{
	if (g->failures++ >= MESSAGES_MAX)
		return;
	va_list args;
	va_start(args, fmt);
	printf("# %s: ", g->dir);
	vprintf(fmt, args);
	printf("\n");
	va_end(args);
}

static void *must(void *p)
{
	if (p != NULL)
		return p;
	printf("Bail out! out of memory\n");
	exit(1);
}

// The bytes of dir/name; p == NULL when there is no such file.
static struct slice read_file(const char *dir, struct slice name)
{
	char path[4096];
	snprintf(path, sizeof(path), "%s/%.*s", dir, MS_SLICE_ARG(name));
	FILE *f = fopen(path, "rb");
	if (f == NULL)
		return MS_SLICE_EMPTY;
	fseek(f, 0, SEEK_END);
	size_t n = (size_t)ftell(f);
	rewind(f);
	char *bytes = must(malloc(n + 1)); // with a NUL behind it, for strtod
	n = fread(bytes, 1, n, f);
	bytes[n] = '\0';
	fclose(f);
	return ms_slice(bytes, n);
}

// Base64 with line breaks (RFC 4648, section 4), in place.
static struct slice decode_base64(struct slice text)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	char *dst = must(malloc(text.n + 1));
	size_t n = 0;
	uint32_t bits = 0, count = 0;
	for (size_t i = 0; i < text.n && text.p[i] != '='; i++) {
		const char *digit = text.p[i] != '\0' ? strchr(digits, text.p[i]) : NULL;
		if (digit == NULL)
			continue;
		bits = bits << 6 | (uint32_t)(digit - digits);
		if (++count % 4 == 0) {
			dst[n++] = (char)(bits >> 16);
			dst[n++] = (char)(bits >> 8);
			dst[n++] = (char)bits;
		}
	}
	if (count % 4 >= 2)
		dst[n++] = (char)(count % 4 == 2 ? bits >> 4 : bits >> 10);
	if (count % 4 == 3)
		dst[n++] = (char)(bits >> 2);
	return ms_slice(dst, n);
}

static size_t header_count(struct slice value)
{
	uint64_t n = 0;
	return ms_slice_to_u64(value, &n) ? (size_t)n : 0;
}

// Reads "key value" lines up to "rows" or "refuse"; what is left are the rows.
static bool read_header(struct golden *g)
{
	struct slice line;
	while (ms_slice_next(&g->text, '\n', &line)) {
		size_t at = ms_slice_find(line, ' ');
		struct slice key = ms_slice_sub(line, 0, at), value = ms_slice_sub(line, at + 1, SIZE_MAX);
		if (ms_slice_eq_cstr(key, "model"))
			g->model_file = value;
		else if (ms_slice_eq_cstr(key, "format"))
			g->format = value;
		else if (ms_slice_eq_cstr(key, "note"))
			g->note = value;
		else if (ms_slice_eq_cstr(key, "features"))
			g->features = header_count(value);
		else if (ms_slice_eq_cstr(key, "raw"))
			g->raw = header_count(value);
		else if (ms_slice_eq_cstr(key, "pred"))
			g->pred = header_count(value);
		else if (ms_slice_eq_cstr(key, "leaf"))
			g->leaf = header_count(value);
		else if (ms_slice_eq_cstr(key, "label"))
			g->label = header_count(value);
		else if (ms_slice_eq_cstr(key, "tolerance"))
			g->tolerance = strtod(value.p, NULL);
		else if (ms_slice_eq_cstr(key, "refuse"))
			g->refuse = value;
		if (ms_slice_eq_cstr(key, "rows")) {
			g->rows = header_count(value);
			return g->rows > 0 && g->model_file.n > 0 && g->features > 0;
		}
	}
	return g->refuse.n > 0;
}

static size_t percent_decode(struct slice text, char *dst)
{
	size_t n = 0;
	for (size_t i = 0; i < text.n; i++) {
		unsigned byte = (unsigned char)text.p[i];
		if (text.p[i] == '%' && i + 2 < text.n) {
			char hex[3] = {text.p[i + 1], text.p[i + 2], '\0'};
			byte = (unsigned)strtoul(hex, NULL, 16);
			i += 2;
		}
		dst[n++] = (char)byte;
	}
	return n;
}

// The numbers of one block ("1 2 3"). With a model they are features: it encodes categories. False on bad text.
static bool read_block(struct golden *g, const struct model *model, struct slice block, size_t count, double *dst)
{
	struct slice rest = ms_slice_trim(block), item;
	size_t n = 0;
	while (rest.n > 0 && ms_slice_next(&rest, ' ', &item)) {
		if (n == count)
			return false;
		if (model != NULL && ms_slice_starts_with(item, MS_SLICE_LIT("s:"))) {
			char text[1024];
			struct errinfo info;
			ms_errinfo_init(&info);
			struct slice encoded = ms_slice_sub(item, 2, sizeof(text));
			size_t length = percent_decode(encoded, text);
			if (ms_model_encode_string(model, n, ms_slice(text, length), &info, &dst[n]) != MS_OK) {
				fail(g, "category \"%.*s\": %s", MS_SLICE_ARG(item), info.message);
				return false;
			}
		} else {
			char *end;
			double number = strtod(item.p, &end);
			if (end != item.p + item.n)
				return false;
			dst[n] = number;
			if (model != NULL && ms_model_encode_number(model, n, number, NULL, &dst[n]) != MS_OK)
				return false;
		}
		n++;
	}
	return n == count;
}

struct table {
	double *features, *raw, *pred, *leaf, *label;
};

static bool read_rows(struct golden *g, const struct model *model, struct table *t)
{
	struct slice line, block[5];
	for (size_t r = 0; r < g->rows; r++) {
		if (!ms_slice_next(&g->text, '\n', &line))
			return false;
		memset(block, 0, sizeof(block));
		for (size_t i = 0; i < MS_ARRAY_LEN(block); i++) {
			bool absent = i == 3 && g->leaf == 0; // the block of leaves is left out
			if (!absent && !ms_slice_next(&line, '|', &block[i]))
				break;
		}
		if (!read_block(g, model, block[0], g->features, t->features + r * g->features) ||
		    !read_block(g, NULL, block[1], g->raw, t->raw + r * g->raw) ||
		    !read_block(g, NULL, block[2], g->pred, t->pred + r * g->pred) ||
		    !read_block(g, NULL, block[3], g->leaf, t->leaf + r * g->leaf) ||
		    !read_block(g, NULL, block[4], g->label, t->label + r * g->label)) {
			fail(g, "row %zu of golden.txt is not as its header says", r);
			return false;
		}
	}
	return true;
}

static uint64_t bits_of(double x)
{
	uint64_t u;
	memcpy(&u, &x, sizeof(u));
	return u;
}

static bool same_bits(double a, double b)
{
	return (isnan(a) && isnan(b)) || bits_of(a) == bits_of(b);
}

// Distance in units in the last place, of f32 or f64.
static double ulps(double a, double b, bool single)
{
	if (same_bits(a, b) || a == b)
		return 0;
	if (isnan(a) || isnan(b) || isinf(a) || isinf(b))
		return INFINITY;
	double below = single ? (double)nextafterf((float)fabs(b), 0) : nextafter(fabs(b), 0);
	return fabs(a - b) / (fabs(b) - below);
}

static void compare(struct golden *g, const char *what, const double *got, const double *want, size_t width,
		    double max_ulps, bool single)
{
	for (size_t i = 0; i < g->rows * width; i++) {
		double scale = fmax(1, fabs(want[i]));
		bool near = g->tolerance > 0 && fabs(got[i] - want[i]) <= g->tolerance * scale;
		bool ok = near           ? true
			  : max_ulps > 0 ? ulps(got[i], want[i], single) <= max_ulps
					 : same_bits(got[i], want[i]);
		if (!ok)
			fail(g, "row %zu, %s %zu: got %a, want %a (%016" PRIx64 ", %016" PRIx64 ")", i / width, what,
			     i % width, got[i], want[i], bits_of(got[i]), bits_of(want[i]));
	}
}

static void check_output(struct golden *g, const struct model *model, enum model_output output, const double *rows,
			 const double *want, size_t want_width, double max_ulps)
{
	const char *name = ms_model_output_name(output);
	size_t width = ms_model_output_width(model, output);
	if (width != want_width) {
		fail(g, "%s has width %zu, want %zu", name, width, want_width);
		return;
	}
	double *one = must(calloc(g->rows * width + 1, sizeof(double)));
	double *many = must(calloc(g->rows * width + 1, sizeof(double)));
	void *scratch = must(aligned_alloc(16, ms_model_scratch_size_for(model, output) + 16));
	for (size_t r = 0; r < g->rows; r++)
		ms_model_predict(model, &MS_MODEL_QUERY(output), rows + r * g->features, 1, scratch, one + r * width);
	ms_model_predict(model, &MS_MODEL_QUERY(output), rows, g->rows, scratch, many);
	compare(g, name, one, want, width, max_ulps, ms_model_info(model)->single_precision);
	for (size_t i = 0; i < g->rows * width; i++)
		if (!same_bits(one[i], many[i]))
			fail(g, "row %zu, %s: %a alone, %a in a batch", i / width, name, one[i], many[i]);
	free(one);
	free(many);
	free(scratch);
}

static bool mentions(struct slice text, struct slice word)
{
	for (size_t i = 0; i + word.n <= text.n; i++)
		if (ms_slice_starts_with(ms_slice_sub(text, i, SIZE_MAX), word))
			return true;
	return false;
}

// CatBoost's predict() answers what it is asked for: probabilities where the note or the width says so.
static enum model_output predicted_output(const struct golden *g, const struct model *model)
{
	bool probability = ms_model_output_width(model, MODEL_OUTPUT_DEFAULT) != g->pred ||
			   mentions(g->note, MS_SLICE_LIT("Probability"));
	return ms_slice_eq_cstr(g->format, "catboost-json") && probability ? MODEL_OUTPUT_PROBABILITY
									   : MODEL_OUTPUT_DEFAULT;
}

// --- Contributions (contributions.txt, written by golden/contributions.py) ---------------------------------

#define EXACT_TOLERANCE 1e-9

struct contributions {
	struct slice text;
	struct slice absent; // a part of the reason why the model has none
	size_t rows;
	double tolerance; // of the library's values, relative to the row's largest; 0: there are none
	bool exact;       // the true values follow
};

static bool read_contributions_header(struct contributions *c)
{
	struct slice line;
	while (ms_slice_next(&c->text, '\n', &line)) {
		size_t at = ms_slice_find(line, ' ');
		struct slice key = ms_slice_sub(line, 0, at), value = ms_slice_sub(line, at + 1, SIZE_MAX);
		if (ms_slice_eq_cstr(key, "absent"))
			c->absent = value;
		else if (ms_slice_eq_cstr(key, "tolerance"))
			c->tolerance = strtod(value.p, NULL);
		else if (ms_slice_eq_cstr(key, "exact"))
			c->exact = header_count(value) != 0;
		if (ms_slice_eq_cstr(key, "rows")) {
			c->rows = header_count(value);
			return c->rows > 0 && (c->exact || c->tolerance > 0);
		}
	}
	return c->absent.n > 0;
}

// One block of a row: what we said against what is recorded.
static void compare_contributions(struct golden *g, size_t row, struct slice block, const double *got, size_t width,
				  double tolerance)
{
	double *want = must(calloc(width, sizeof(*want))), largest = 0;
	if (read_block(g, NULL, block, width, want)) {
		for (size_t i = 0; i < width; i++)
			largest = fmax(largest, fabs(want[i]));
		for (size_t i = 0; i < width; i++)
			if (!(fabs(got[i] - want[i]) <= tolerance * largest))
				fail(g, "row %zu, contribution %zu: got %.17g, want %.17g", row, i, got[i], want[i]);
	} else {
		fail(g, "row %zu of contributions.txt does not have %zu values", row, width);
	}
	free(want);
}

static void check_contribution_rows(struct golden *g, const struct model *model, struct contributions *c,
				    const double *features)
{
	const size_t width = ms_model_output_width(model, MODEL_OUTPUT_CONTRIBUTIONS);
	if (width != g->raw * (g->features + 1)) {
		fail(g, "contributions have width %zu, want %zu × %zu", width, g->raw, g->features + 1);
		return;
	}
	double *got = must(calloc(width, sizeof(*got)));
	void *scratch = must(malloc(ms_model_scratch_size_for(model, MODEL_OUTPUT_CONTRIBUTIONS) + 1));
	struct slice line, block;
	size_t rows = 0;
	for (; rows < c->rows && ms_slice_next(&c->text, '\n', &line) && ms_slice_next(&line, '|', &block); rows++) {
		size_t row = header_count(ms_slice_trim(block));
		if (row >= g->rows) {
			fail(g, "contributions.txt names row %zu", row);
			break;
		}
		ms_model_predict(model, &MS_MODEL_QUERY(MODEL_OUTPUT_CONTRIBUTIONS), features + row * g->features, 1,
				 scratch, got);
		if (c->tolerance > 0 && ms_slice_next(&line, '|', &block))
			compare_contributions(g, row, block, got, width, c->tolerance);
		if (c->exact && ms_slice_next(&line, '|', &block))
			compare_contributions(g, row, block, got, width, EXACT_TOLERANCE);
	}
	if (rows != c->rows)
		fail(g, "contributions.txt has %zu rows, its header says %zu", rows, c->rows);
	free(got);
	free(scratch);
}

static void check_contributions(struct golden *g, const struct model *model, const double *features)
{
	struct contributions c = {.text = read_file(g->dir, MS_SLICE_LIT("contributions.txt"))};
	const char *text = c.text.p, *absence = ms_model_output_absence(model, MODEL_OUTPUT_CONTRIBUTIONS);
	if (text == NULL)
		return;
	if (!read_contributions_header(&c))
		fail(g, "contributions.txt has a bad header");
	else if (c.absent.n > 0 && (absence == NULL || !mentions(ms_slice_cstr(absence), c.absent)))
		fail(g, "must have no contributions (%.*s), but: %s", MS_SLICE_ARG(c.absent),
		     absence != NULL ? absence : "it has");
	else if (c.absent.n == 0)
		check_contribution_rows(g, model, &c, features);
	free((void *)(uintptr_t)text);
}

// --- A part of the iterations (iterations.txt, written by golden/iterations.py) ----------------------------

#define PLACES_MAX 64

struct iterations {
	struct slice text;
	struct slice absent; // a part of the reason why the model has none
	size_t total;
	size_t count, places[PLACES_MAX]; // rows of golden.txt
	double *rows;                     // their features
};

static bool read_places(struct iterations *t, struct slice list)
{
	struct slice item;
	while (ms_slice_next(&list, ' ', &item)) {
		if (t->count == PLACES_MAX)
			return false;
		t->places[t->count++] = header_count(item);
	}
	return t->count > 0 && t->total > 0;
}

static bool read_iterations_header(struct iterations *t)
{
	struct slice line;
	while (ms_slice_next(&t->text, '\n', &line)) {
		size_t at = ms_slice_find(line, ' ');
		struct slice key = ms_slice_sub(line, 0, at), value = ms_slice_sub(line, at + 1, SIZE_MAX);
		if (ms_slice_eq_cstr(key, "absent"))
			t->absent = value;
		else if (ms_slice_eq_cstr(key, "iterations"))
			t->total = header_count(value);
		else if (ms_slice_eq_cstr(key, "rows"))
			return read_places(t, value);
	}
	return t->absent.n > 0;
}

// "query raw 3 0x0.0p+0 0": output, iterations or "best", margin and frequency of early stopping.
static bool read_query(const struct golden *g, const struct model *model, struct slice line, struct model_query *query)
{
	struct slice word[5] = {0};
	for (size_t i = 0; i < MS_ARRAY_LEN(word); i++)
		if (!ms_slice_next(&line, ' ', &word[i]))
			return false;
	const bool raw = ms_slice_eq_cstr(word[1], "raw");
	*query = (struct model_query){
		.output = raw ? MODEL_OUTPUT_RAW : predicted_output(g, model),
		.early_stop_margin = strtod(word[3].p, NULL),
	};
	const bool best = ms_slice_eq_cstr(word[2], "best");
	return ms_slice_eq_cstr(word[0], "query") && (raw || ms_slice_eq_cstr(word[1], "pred")) &&
	       (best ? ms_model_best_iterations(model, NULL, &query->iterations) == MS_OK
		     : ms_slice_to_u64(word[2], &query->iterations)) &&
	       ms_slice_to_u64(word[4], &query->early_stop_every) &&
	       (query->iterations > 0 || query->early_stop_margin > 0);
}

static void check_query(struct golden *g, const struct model *model, struct iterations *t, struct slice asked)
{
	struct model_query query;
	struct errinfo info;
	struct slice line;
	ms_errinfo_init(&info);
	if (!read_query(g, model, asked, &query) || ms_model_check_query(model, &query, &info) != MS_OK) {
		fail(g, "%.*s: cannot be asked: %s", MS_SLICE_ARG(asked), info.message);
		return;
	}
	const bool raw = query.output == MODEL_OUTPUT_RAW, single = ms_model_info(model)->single_precision;
	const size_t width = ms_model_output_width(model, query.output);
	double *one = must(calloc(width, sizeof(*one))), *want = must(calloc(width, sizeof(*want)));
	double *many = must(calloc(t->count * width, sizeof(*many)));
	void *scratch = must(aligned_alloc(16, ms_model_scratch_size(model) + 16));
	ms_model_predict(model, &query, t->rows, t->count, scratch, many);
	for (size_t r = 0; r < t->count; r++) {
		if (!ms_slice_next(&t->text, '\n', &line) || !read_block(g, NULL, line, width, want)) {
			fail(g, "%.*s: row %zu of the list does not have %zu values", MS_SLICE_ARG(asked), r, width);
			break;
		}
		ms_model_predict(model, &query, t->rows + r * g->features, 1, scratch, one);
		for (size_t i = 0; i < width; i++) {
			if (raw ? !same_bits(one[i], want[i]) : !(ulps(one[i], want[i], single) <= MAX_ULPS))
				fail(g, "%.*s: row %zu, value %zu: got %a, want %a", MS_SLICE_ARG(asked), t->places[r],
				     i, one[i], want[i]);
			if (!same_bits(one[i], many[r * width + i]))
				fail(g, "%.*s: row %zu, value %zu: %a alone, %a in a batch", MS_SLICE_ARG(asked),
				     t->places[r], i, one[i], many[r * width + i]);
		}
	}
	free(one);
	free(want);
	free(many);
	free(scratch);
}

static void check_no_iterations(struct golden *g, const struct model *model, struct slice why)
{
	struct errinfo info;
	ms_errinfo_init(&info);
	const struct model_query query = {.output = MODEL_OUTPUT_RAW, .iterations = 1};
	if (ms_model_check_query(model, &query, &info) == MS_OK || !mentions(ms_slice_cstr(info.message), why))
		fail(g, "must have no iterations (%.*s), but: %s", MS_SLICE_ARG(why), info.message);
}

static void check_queries(struct golden *g, const struct model *model, struct iterations *t, const double *features)
{
	const size_t have = ms_model_info(model)->iteration_count;
	struct slice line;
	size_t queries = 0;
	if (have != t->total)
		fail(g, "the model has %zu iterations, the library says %zu", have, t->total);
	t->rows = must(calloc(t->count * g->features, sizeof(double)));
	for (size_t i = 0; i < t->count; i++) {
		if (t->places[i] >= g->rows)
			fail(g, "iterations.txt names row %zu", t->places[i]);
		else
			memcpy(t->rows + i * g->features, features + t->places[i] * g->features,
			       g->features * sizeof(double));
	}
	for (; ms_slice_next(&t->text, '\n', &line) && line.n > 0; queries++)
		check_query(g, model, t, line);
	if (queries == 0)
		fail(g, "iterations.txt has no queries");
	free(t->rows);
}

static void check_iterations(struct golden *g, const struct model *model, const double *features)
{
	struct iterations t = {.text = read_file(g->dir, MS_SLICE_LIT("iterations.txt"))};
	const char *text = t.text.p;
	if (text == NULL)
		return;
	if (!read_iterations_header(&t))
		fail(g, "iterations.txt has a bad header");
	else if (t.absent.n > 0)
		check_no_iterations(g, model, t.absent);
	else
		check_queries(g, model, &t, features);
	free((void *)(uintptr_t)text);
}

static void check_rows(struct golden *g, const struct model *model)
{
	if (ms_model_info(model)->feature_count != g->features) {
		fail(g, "the model has %zu features, the rows %zu", ms_model_info(model)->feature_count, g->features);
		return;
	}
	struct table t = {
		must(calloc(g->rows * g->features, sizeof(double))),
		must(calloc(g->rows * g->raw, sizeof(double))),
		must(calloc(g->rows * g->pred, sizeof(double))),
		must(calloc(g->rows * g->leaf + 1, sizeof(double))),
		must(calloc(g->rows * g->label + 1, sizeof(double))),
	};
	if (read_rows(g, model, &t)) {
		check_output(g, model, MODEL_OUTPUT_RAW, t.features, t.raw, g->raw, 0);
		check_output(g, model, predicted_output(g, model), t.features, t.pred, g->pred, MAX_ULPS);
		if (g->leaf > 0)
			check_output(g, model, MODEL_OUTPUT_LEAF, t.features, t.leaf, g->leaf, 0);
		if (g->label > 0)
			check_output(g, model, MODEL_OUTPUT_LABEL, t.features, t.label, g->label, 0);
		check_contributions(g, model, t.features);
		check_iterations(g, model, t.features);
	}
	free(t.features);
	free(t.raw);
	free(t.pred);
	free(t.leaf);
	free(t.label);
}

static void check_model(struct golden *g)
{
	struct slice bytes = read_file(g->dir, g->model_file);
	if (bytes.p == NULL)
		bytes = read_file(g->model_dir, g->model_file);
	if (bytes.p == NULL) {
		fail(g, "the model file \"%.*s\" is missing", MS_SLICE_ARG(g->model_file));
		return;
	}
	if (ms_slice_ends_with(g->model_file, MS_SLICE_LIT(".b64"))) {
		struct slice decoded = decode_base64(bytes);
		free((void *)(uintptr_t)bytes.p);
		bytes = decoded;
	}
	struct model *model = NULL;
	struct errinfo info;
	ms_errinfo_init(&info);
	enum ms_err err = ms_model_load(bytes, MODEL_FORMAT_AUTO, NULL, &info, &model);
	free((void *)(uintptr_t)bytes.p);
	if (g->refuse.n > 0) {
		if (err != MS_ERR_MODEL_UNSUPPORTED)
			fail(g, "must be refused (%.*s), but: %s %s", MS_SLICE_ARG(g->refuse), ms_err_name(err),
			     err != MS_OK ? info.message : "");
	} else if (err != MS_OK) {
		fail(g, "%s: %s", ms_err_name(err), info.message);
	} else if (!ms_slice_eq_cstr(g->format, ms_model_format_name(ms_model_info(model)->format))) {
		fail(g, "taken for %s", ms_model_format_name(ms_model_info(model)->format));
	} else {
		check_rows(g, model);
	}
	if (err == MS_OK)
		ms_model_unref(model);
}

static void run_case(const char *root, const char *name)
{
	char dir[4096], model_dir[4096];
	snprintf(dir, sizeof(dir), "%s/%s", root, name);
	snprintf(model_dir, sizeof(model_dir), "%s/models/%s/v1.0.0", root, name); // as the examples are laid out
	struct golden g = {.dir = dir, .model_dir = model_dir};
	struct slice text = read_file(dir, MS_SLICE_LIT("golden.txt"));
	if (text.p == NULL)
		return;
	g.text = text;
	if (read_header(&g))
		check_model(&g);
	else
		fail(&g, "golden.txt has a bad header");
	printf("%sok %u - %s\n", g.failures > 0 ? "not " : "", ++case_number, name);
	fflush(stdout);
	failed_cases += g.failures > 0;
	free((void *)(uintptr_t)text.p);
}

int main(int argc, char **argv)
{
	if (argc < 2) {
		fprintf(stderr, "usage: %s FOLDER...\n", argv[0]);
		return 2;
	}
	for (int a = 1; a < argc; a++) {
		struct dirent **entries;
		int count = scandir(argv[a], &entries, NULL, alphasort);
		if (count < 0) {
			printf("Bail out! cannot read %s\n", argv[a]);
			return 1;
		}
		for (int i = 0; i < count; i++) {
			if (entries[i]->d_name[0] != '.')
				run_case(argv[a], entries[i]->d_name);
			free(entries[i]);
		}
		free(entries);
	}
	printf("1..%u\n", case_number);
	return failed_cases > 0 || case_number == 0;
}
