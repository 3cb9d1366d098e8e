// SPDX-License-Identifier: Apache-2.0
// JSON-Schema-Test-Suite (tests/vectors/README.md): every required case of the five drafts passes; of the optional ones all but those that are
// listed here, each with its reason. A case that is listed and passes fails as well.
#include <stdio.h>

#include "schema/schema.h"

#include "tests/lib/test.h"

#define MEMORY ((size_t)64 << 20)
#define FOLDER "tests/vectors/json-schema/"
enum { DRAFTS = 5 };

static const char *const draft_names[DRAFTS] = {"draft4", "draft6", "draft7", "draft2019-09", "draft2020-12"};

// Files and how many cases they hold in each draft.
struct file {
	const char *name;
	unsigned cases[DRAFTS];
};
static const struct file required[] = {
	{"additionalItems", {17, 19, 19, 19, 0}},
	{"additionalProperties", {16, 16, 16, 21, 21}},
	{"allOf", {27, 30, 30, 30, 30}},
	{"anchor", {0, 0, 0, 8, 8}},
	{"anyOf", {15, 18, 18, 18, 18}},
	{"boolean_schema", {0, 18, 18, 18, 18}},
	{"const", {0, 54, 54, 54, 54}},
	{"contains", {0, 19, 21, 21, 21}},
	{"content", {0, 0, 0, 18, 18}},
	{"default", {7, 7, 7, 7, 7}},
	{"definitions", {2, 2, 2, 0, 0}},
	{"defs", {0, 0, 0, 2, 2}},
	{"dependencies", {29, 36, 36, 0, 0}},
	{"dependentRequired", {0, 0, 0, 20, 20}},
	{"dependentSchemas", {0, 0, 0, 20, 20}},
	{"dynamicRef", {0, 0, 0, 0, 44}},
	{"enum", {49, 45, 45, 51, 51}},
	{"exclusiveMaximum", {0, 4, 4, 4, 4}},
	{"exclusiveMinimum", {0, 4, 4, 4, 4}},
	{"format", {36, 54, 102, 114, 133}},
	{"if-then-else", {0, 0, 30, 30, 30}},
	{"infinite-loop-detection", {2, 2, 2, 2, 2}},
	{"items", {21, 28, 28, 28, 29}},
	{"maxContains", {0, 0, 0, 14, 14}},
	{"maxItems", {4, 6, 6, 6, 6}},
	{"maxLength", {5, 7, 7, 7, 7}},
	{"maxProperties", {8, 10, 10, 10, 10}},
	{"maximum", {14, 8, 8, 8, 8}},
	{"minContains", {0, 0, 0, 28, 28}},
	{"minItems", {4, 6, 6, 6, 6}},
	{"minLength", {5, 7, 7, 7, 7}},
	{"minProperties", {8, 10, 10, 10, 10}},
	{"minimum", {17, 11, 11, 11, 11}},
	{"multipleOf", {11, 11, 11, 11, 11}},
	{"not", {20, 38, 38, 40, 40}},
	{"oneOf", {23, 27, 27, 27, 27}},
	{"pattern", {9, 9, 9, 9, 12}},
	{"patternProperties", {18, 23, 23, 23, 25}},
	{"prefixItems", {0, 0, 0, 0, 11}},
	{"properties", {24, 28, 28, 28, 28}},
	{"propertyNames", {0, 22, 22, 22, 22}},
	{"recursiveRef", {0, 0, 0, 34, 0}},
	{"ref", {45, 70, 78, 81, 79}},
	{"refRemote", {17, 23, 23, 31, 31}},
	{"required", {17, 18, 18, 18, 18}},
	{"type", {79, 80, 80, 80, 80}},
	{"unevaluatedItems", {0, 0, 0, 56, 71}},
	{"unevaluatedProperties", {0, 0, 0, 129, 129}},
	{"uniqueItems", {69, 69, 69, 69, 69}},
	{"vocabulary", {0, 0, 0, 5, 5}},
};
static const struct file optional[] = {
	{"optional/anchor", {0, 0, 0, 4, 4}},
	{"optional/bignum", {9, 9, 9, 9, 9}},
	{"optional/content", {0, 0, 10, 0, 0}},
	{"optional/cross-draft", {0, 0, 2, 3, 1}},
	{"optional/dependencies-compatibility", {0, 0, 0, 36, 36}},
	{"optional/dynamicRef", {0, 0, 0, 0, 2}},
	{"optional/ecmascript-regex", {74, 74, 74, 74, 74}},
	{"optional/float-overflow", {1, 1, 1, 1, 1}},
	{"optional/format-assertion", {0, 0, 0, 0, 4}},
	{"optional/format/date", {0, 0, 81, 81, 81}},
	{"optional/format/date-time", {33, 33, 33, 33, 33}},
	{"optional/format/duration", {0, 0, 0, 52, 52}},
	{"optional/format/ecmascript-regex", {0, 0, 12, 12, 12}},
	{"optional/format/email", {20, 20, 20, 20, 27}},
	{"optional/format/hostname", {30, 30, 64, 64, 64}},
	{"optional/format/idn-email", {0, 0, 18, 18, 18}},
	{"optional/format/idn-hostname", {0, 0, 89, 90, 90}},
	{"optional/format/ipv4", {41, 41, 41, 41, 41}},
	{"optional/format/ipv6", {42, 42, 42, 42, 42}},
	{"optional/format/iri", {0, 0, 24, 24, 24}},
	{"optional/format/iri-reference", {0, 0, 13, 13, 13}},
	{"optional/format/json-pointer", {0, 40, 40, 40, 40}},
	{"optional/format/regex", {0, 0, 8, 8, 8}},
	{"optional/format/relative-json-pointer", {0, 0, 25, 25, 25}},
	{"optional/format/time", {0, 0, 47, 47, 47}},
	{"optional/format/unknown", {7, 7, 7, 7, 7}},
	{"optional/format/uri", {46, 46, 46, 46, 46}},
	{"optional/format/uri-reference", {0, 28, 28, 28, 28}},
	{"optional/format/uri-template", {0, 38, 38, 38, 38}},
	{"optional/format/uuid", {0, 0, 0, 28, 28}},
	{"optional/id", {3, 7, 7, 3, 3}},
	{"optional/no-schema", {0, 0, 0, 3, 3}},
	{"optional/non-bmp-regex", {12, 12, 12, 12, 12}},
	{"optional/refOfUnknownKeyword", {0, 0, 0, 10, 10}},
	{"optional/unknownKeyword", {0, 3, 3, 3, 3}},
	{"optional/zeroTerminatedFloats", {1, 0, 0, 0, 0}},
};
static const char *const remotes[] = {
	"baseUriChange/folderInteger.json",
	"baseUriChangeFolder/folderInteger.json",
	"baseUriChangeFolderInSubschema/folderInteger.json",
	"draft2019-09/baseUriChange/folderInteger.json",
	"draft2019-09/baseUriChangeFolder/folderInteger.json",
	"draft2019-09/baseUriChangeFolderInSubschema/folderInteger.json",
	"draft2019-09/dependentRequired.json",
	"draft2019-09/detached-ref.json",
	"draft2019-09/different-id-ref-string.json",
	"draft2019-09/extendible-dynamic-ref.json",
	"draft2019-09/ignore-prefixItems.json",
	"draft2019-09/integer.json",
	"draft2019-09/locationIndependentIdentifier.json",
	"draft2019-09/metaschema-no-validation.json",
	"draft2019-09/metaschema-optional-vocabulary.json",
	"draft2019-09/name-defs.json",
	"draft2019-09/nested-absolute-ref-to-string.json",
	"draft2019-09/nested/foo-ref-string.json",
	"draft2019-09/nested/string.json",
	"draft2019-09/ref-and-defs.json",
	"draft2019-09/subSchemas.json",
	"draft2019-09/urn-ref-string.json",
	"draft2020-12/baseUriChange/folderInteger.json",
	"draft2020-12/baseUriChangeFolder/folderInteger.json",
	"draft2020-12/baseUriChangeFolderInSubschema/folderInteger.json",
	"draft2020-12/detached-dynamicref.json",
	"draft2020-12/detached-ref.json",
	"draft2020-12/different-id-ref-string.json",
	"draft2020-12/extendible-dynamic-ref.json",
	"draft2020-12/format-assertion-false.json",
	"draft2020-12/format-assertion-true.json",
	"draft2020-12/integer.json",
	"draft2020-12/locationIndependentIdentifier.json",
	"draft2020-12/metaschema-no-validation.json",
	"draft2020-12/metaschema-optional-vocabulary.json",
	"draft2020-12/name-defs.json",
	"draft2020-12/nested-absolute-ref-to-string.json",
	"draft2020-12/nested/foo-ref-string.json",
	"draft2020-12/nested/string.json",
	"draft2020-12/prefixItems.json",
	"draft2020-12/ref-and-defs.json",
	"draft2020-12/subSchemas.json",
	"draft2020-12/tree.json",
	"draft2020-12/urn-ref-string.json",
	"draft4/locationIndependentIdentifier.json",
	"draft4/name.json",
	"draft4/subSchemas.json",
	"draft6/detached-ref.json",
	"draft6/locationIndependentIdentifier.json",
	"draft6/name.json",
	"draft6/ref-and-definitions.json",
	"draft6/subSchemas.json",
	"draft7/detached-ref.json",
	"draft7/ignore-dependentRequired.json",
	"draft7/locationIndependentIdentifier.json",
	"draft7/name.json",
	"draft7/ref-and-definitions.json",
	"draft7/subSchemas.json",
	"integer.json",
	"nested/foo-ref-string.json",
	"nested/string.json",
};

// Optional cases that are answered otherwise, wherever the file exists for the draft (asserted from a draft on where that is said).
struct difference {
	const char *file;
	unsigned cases;
	enum schema_draft from;
	const char *reason;
};
static const struct difference differences[] = {
	{"optional/format/hostname", 23, SCHEMA_DRAFT7,
	 "what is inside an xn-- label (Punycode, IDNA 2008) is not looked at"},
	{"optional/format/idn-hostname", 54, SCHEMA_DRAFT7,
	 "the format is not asserted: it needs the tables of IDNA 2008"},
	{"optional/content", 4, SCHEMA_DRAFT7, "contentEncoding and contentMediaType are annotations"},
};

struct run {
	enum schema_draft draft;
	struct schema_document documents[MS_ARRAY_LEN(remotes)];
	char uris[MS_ARRAY_LEN(remotes)][120];
	struct arena all;
	size_t passed, different;
};

static void read_remotes(struct run *run)
{
	for (size_t i = 0; i < MS_ARRAY_LEN(remotes); i++) {
		char path[200];
		snprintf(path, sizeof(path), FOLDER "remotes/%s", remotes[i]);
		snprintf(run->uris[i], sizeof(run->uris[i]), "http://localhost:1234/%s", remotes[i]);
		run->documents[i].uri = ms_slice_cstr(run->uris[i]);
		REQUIRE(ms_json_parse(ms_test_file(path), NULL, &run->all, NULL, &run->documents[i].value) == MS_OK);
	}
}

static const char *text_of(const struct json_value *object, const char *member, struct arena *arena)
{
	struct slice text = MS_SLICE_EMPTY;
	REQUIRE(ms_json_as_str(ms_json_get(object, member), &text));
	const char *cstr = ms_arena_cstr(arena, text);
	REQUIRE(cstr != NULL);
	return cstr;
}

static unsigned differences_of(const char *file, enum schema_draft draft)
{
	for (size_t i = 0; i < MS_ARRAY_LEN(differences); i++) {
		// The content keywords are annotations by the words of 2019-09, and their cases say so from there.
		bool content = strcmp(file, "optional/content") == 0 && draft != SCHEMA_DRAFT7;
		if (strcmp(differences[i].file, file) == 0 && draft >= differences[i].from && !content)
			return differences[i].cases;
	}
	return 0;
}

// 1 valid, 0 not, -1 an error.
static int check(const struct schema *schema, const struct json_value *data, struct arena *arena)
{
	struct schema_finding *findings;
	size_t count;
	struct errinfo info;
	ms_errinfo_init(&info);
	enum ms_err err = ms_schema_check(schema, data, 0, 10, arena, &info, &findings, &count);
	for (size_t i = 0; err == MS_OK && i < count; i++)
		CHECK(findings[i].message.n > 0 && findings[i].keyword.n > 0 &&
		      ms_utf8_valid_prefix(findings[i].message) == findings[i].message.n);
	if (err != MS_OK)
		printf("# %s\n", info.message);
	return err != MS_OK ? -1 : count == 0;
}

static void run_group(struct run *run, const char *file, const struct json_value *group, struct arena *arena)
{
	const struct json_value *tests = ms_json_get(group, "tests");
	const char *name = text_of(group, "description", arena);
	struct schema_options options = {
		.draft = run->draft, .documents = run->documents, .document_count = MS_ARRAY_LEN(remotes)};
	options.assert_format = strncmp(file, "optional/format/", 16) == 0;
	struct schema *schema = NULL;
	struct errinfo info;
	ms_errinfo_init(&info);
	enum ms_err err = ms_schema_compile(ms_json_get(group, "schema"), &options, &info, &schema);
	for (size_t i = 0; i < tests->array.count; i++) {
		const struct json_value *test = &tests->array.items[i];
		const char *test_name = text_of(test, "description", arena);
		bool want = false;
		REQUIRE(ms_json_as_bool(ms_json_get(test, "valid"), &want));
		int got = err == MS_OK ? check(schema, ms_json_get(test, "data"), arena) : -1;
		bool differs = got != want;
		run->passed += !differs;
		run->different += differs;
		if (differs && differences_of(file, run->draft) == 0)
			printf("# %s %s: %s: %s: got %d %s\n", draft_names[run->draft - 1], file, name, test_name, got,
			       info.message);
	}
	ms_schema_free(schema);
}

static void run_files(enum schema_draft draft, const struct file *files, size_t count)
{
	struct run run = {.draft = draft};
	struct arena one;
	ms_arena_init(&run.all, 65536, MEMORY);
	ms_arena_init(&one, 65536, MEMORY);
	read_remotes(&run);
	size_t expected = 0;
	for (size_t i = 0; i < count; i++) {
		char path[200];
		const struct json_value *groups;
		if (files[i].cases[draft - 1] == 0)
			continue;
		expected += files[i].cases[draft - 1];
		snprintf(path, sizeof(path), FOLDER "tests/%s/%s.json", draft_names[draft - 1], files[i].name);
		REQUIRE(ms_json_parse(ms_test_file(path), NULL, &run.all, NULL, &groups) == MS_OK);
		size_t before = run.different;
		for (size_t k = 0; k < groups->array.count; k++) {
			run_group(&run, files[i].name, &groups->array.items[k], &one);
			ms_arena_reset(&one);
		}
		if (!CHECK_INT(run.different - before, differences_of(files[i].name, draft)))
			printf("# in %s\n", files[i].name);
	}
	CHECK_INT(run.passed + run.different, expected);
	printf("# %s: %zu cases pass, %zu differ\n", draft_names[draft - 1], run.passed, run.different);
	ms_arena_fini(&one);
	ms_arena_fini(&run.all);
}

#define SUITE(name, draft)                                          \
	TEST(suite_##name##_required)                               \
	{                                                           \
		run_files(draft, required, MS_ARRAY_LEN(required)); \
	}                                                           \
	TEST(suite_##name##_optional)                               \
	{                                                           \
		run_files(draft, optional, MS_ARRAY_LEN(optional)); \
	}
SUITE(draft4, SCHEMA_DRAFT4)
SUITE(draft6, SCHEMA_DRAFT6)
SUITE(draft7, SCHEMA_DRAFT7)
SUITE(2019_09, SCHEMA_2019_09)
SUITE(2020_12, SCHEMA_2020_12)
