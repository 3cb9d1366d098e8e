// SPDX-License-Identifier: Apache-2.0
#include "gateway/inspect/validate.h"

#include <stdio.h>

#include "tests/lib/test.h"

static struct arena arena;

struct param_case {
	enum rv_in in;
	enum rv_style style;
	bool explode;
	const char *schema, *query, *header, *capture;
	const char *want; // message of the first finding's place, or "" when fine
};

static void run_param(const struct param_case *c, size_t index)
{
	struct rv_param p = {
		.in = c->in, .style = c->style, .explode = c->explode, .required = true, .name = MS_SLICE_LIT("ids")};
	struct errinfo info;
	ms_errinfo_init(&info);
	ms_arena_init(&arena, 4096, 1 << 20);
	REQUIRE(ms_rv_param_compile(RV_DRAFT202012, ms_slice_cstr(c->schema), &arena, &info, &p) == MS_OK);
	struct http_header header = {MS_SLICE_LIT("Ids"), ms_slice_cstr(c->header)};
	struct slice capture = ms_slice_cstr(c->capture), name = MS_SLICE_LIT("ids"), message, findings;
	struct rv_request request = {.query = ms_slice_cstr(c->query),
				     .headers = &header,
				     .header_count = c->header != NULL,
				     .captures = &capture,
				     .capture_names = &name,
				     .capture_count = c->capture != NULL};
	struct rv_rules rules = {.params = &p, .param_count = 1};
	CHECK_OK(ms_rv_check(&rules, &request, &arena, &message, &findings));
	bool ok = *c->want == '\0' ? CHECK(message.p == NULL) : CHECK(message.p != NULL);
	if (ok && message.p != NULL) {
		CHECK_SLICE(message, "request param doesn't conform to schema");
		ok = CHECK_HAS(ms_arena_cstr(&arena, findings), c->want);
	}
	if (!ok)
		printf("# case %zu: %.*s\n", index, MS_SLICE_ARG(findings));
	ms_schema_free(p.schema);
	ms_arena_fini(&arena);
}

#define INTS "{\"type\":\"array\",\"items\":{\"type\":\"integer\"},\"minItems\":2}"
#define POINT                                                                                                          \
	"{\"type\":\"object\",\"properties\":{\"x\":{\"type\":\"integer\"},\"y\":{\"type\":\"number\"}},\"required\":" \
	"[\"x\",\"y\"]}"

TEST(parameters_in_their_styles)
{
	static const struct param_case cases[] = {
		{RV_QUERY, RV_BY_PLACE, false, "{\"type\":\"integer\"}", "a=1&ids=12", NULL, NULL, ""},
		{RV_QUERY, RV_BY_PLACE, false, "{\"type\":\"integer\"}", "ids=1x", NULL, NULL,
		 "is string (\\\"1x\\\"), must be integer"},
		{RV_QUERY, RV_BY_PLACE, false, "{\"type\":\"integer\"}", "ids=%31", NULL, NULL, ""},
		{RV_QUERY, RV_BY_PLACE, false, "{\"type\":\"integer\"}", "ids=%3", NULL, NULL, "cannot be decoded"},
		{RV_QUERY, RV_BY_PLACE, false, "{\"type\":\"integer\"}", "ids=1&ids=2", NULL, NULL, "twice"},
		{RV_QUERY, RV_BY_PLACE, false, "{\"type\":\"integer\"}", "idsx=1", NULL, NULL, "is missing"},
		{RV_QUERY, RV_BY_PLACE, false, "{\"type\":\"boolean\"}", "ids=true", NULL, NULL, ""},
		{RV_QUERY, RV_BY_PLACE, false, "{\"type\":\"string\",\"minLength\":1}", "ids=a+b", NULL, NULL, ""},
		{RV_QUERY, RV_BY_PLACE, false, INTS, "ids=1,2", NULL, NULL, ""},
		{RV_QUERY, RV_BY_PLACE, true, INTS, "ids=1&ids=2", NULL, NULL, ""},
		{RV_QUERY, RV_BY_PLACE, true, INTS, "ids=1&ids=z", NULL, NULL, "\"path\":\"/1\""},
		{RV_QUERY, RV_SPACE_DELIMITED, false, INTS, "ids=1%202", NULL, NULL, ""},
		{RV_QUERY, RV_PIPE_DELIMITED, false, INTS, "ids=1|2", NULL, NULL, ""},
		{RV_QUERY, RV_BY_PLACE, false, POINT, "ids=x,1,y,2.5", NULL, NULL, ""},
		{RV_QUERY, RV_BY_PLACE, true, POINT, "x=1&y=2.5", NULL, NULL, ""},
		{RV_QUERY, RV_DEEP_OBJECT, true, POINT, "ids[x]=1&ids%5By%5D=2.5", NULL, NULL, ""},
		{RV_QUERY, RV_DEEP_OBJECT, true, POINT, "ids[x]=1", NULL, NULL, "lacks the member"},
		{RV_HEADER, RV_BY_PLACE, false, INTS, NULL, "1,2", NULL, ""},
		{RV_HEADER, RV_BY_PLACE, true, POINT, NULL, "x=1,y=2", NULL, ""},
		{RV_HEADER, RV_BY_PLACE, false, POINT, NULL, "x,q,y,2", NULL, "\"path\":\"/x\""},
		{RV_PATH, RV_BY_PLACE, false, "{\"type\":\"integer\",\"maximum\":9}", NULL, NULL, "7", ""},
		{RV_PATH, RV_BY_PLACE, false, "{\"type\":\"integer\",\"maximum\":9}", NULL, NULL, "10",
		 "must be at most 9"},
		{RV_PATH, RV_LABEL, true, INTS, NULL, NULL, ".1.2", ""},
		{RV_PATH, RV_MATRIX, false, INTS, NULL, NULL, ";ids=1,2", ""},
		{RV_PATH, RV_MATRIX, true, INTS, NULL, NULL, ";ids=1;ids=2", ""},
		{RV_PATH, RV_MATRIX, true, POINT, NULL, NULL, ";x=1;y=2", ""},
	};
	for (size_t i = 0; i < MS_ARRAY_LEN(cases); i++)
		run_param(&cases[i], i);
}

// The message for a body, "" when it is fine.
static const char *body_says(enum rv_version version, const char *schema, const char *type, const char *body,
			     bool strict)
{
	static char said[600];
	struct errinfo info;
	struct schema *compiled = NULL;
	ms_errinfo_init(&info);
	enum ms_err err = ms_rv_compile(version, ms_slice_cstr(schema), &info, &compiled);
	if (err != MS_OK) {
		CHECK_INT(err, MS_ERR_INVALID);
		snprintf(said, sizeof(said), "%s", info.message);
		return said;
	}
	ms_arena_init(&arena, 4096, 1 << 20);
	struct http_header header = {MS_SLICE_LIT("content-type"), ms_slice_cstr(type)};
	struct slice allowed = MS_SLICE_LIT("application/json"), message, findings;
	struct rv_rules rules = {.body = compiled,
				 .content_types = &allowed,
				 .content_type_count = 1,
				 .content_type_parameters = strict};
	struct rv_request request = {.headers = &header, .header_count = 1, .body = ms_slice_cstr(body)};
	CHECK_OK(ms_rv_check(&rules, &request, &arena, &message, &findings));
	snprintf(said, sizeof(said), "%.*s%s%.*s", MS_SLICE_ARG(message), message.n > 0 ? " " : "",
		 MS_SLICE_ARG(findings));
	ms_schema_free(compiled);
	ms_arena_fini(&arena);
	return said;
}

TEST(bodies_and_their_types)
{
	const char *schema = "{\"type\":\"object\",\"required\":[\"a\"],\"properties\":{\"a\":{\"type\":\"integer\"}}}";
	CHECK_STR(body_says(RV_DRAFT4, schema, "application/json", "{\"a\":1}", true), "");
	CHECK_STR(body_says(RV_DRAFT7, schema, "application/json", "{\"a\":1.5}", true),
		  "request body doesn't conform to schema [{\"in\":\"body\",\"path\":\"/a\",\"keyword\":\"type\","
		  "\"message\":\"is number (1.5), must be integer\"}]");
	CHECK_HAS(body_says(RV_DRAFT201909, schema, "application/json", "{\"a\":", true),
		  "doesn't conform to schema [{\"in\":\"body\"");
	CHECK_HAS(body_says(RV_DRAFT202012, schema, "application/json", "", true), "doesn't conform");
	CHECK_HAS(body_says(RV_DRAFT6, schema, "text/plain", "{\"a\":1}", true),
		  "specified Content-Type is not allowed");
	CHECK_HAS(body_says(RV_DRAFT6, schema, "application/json; charset=utf-8", "{\"a\":1}", true),
		  "specified Content-Type is not allowed");
	CHECK_STR(body_says(RV_DRAFT6, schema, "application/json; charset=utf-8", "{\"a\":1}", false), "");
	CHECK_HAS(body_says(RV_DRAFT7, "{\"type\":\"strange\"}", "", "", true), "type is string, must be null");
	CHECK_HAS(body_says(RV_DRAFT7, "{", "", "", true), "line 1");
}

TEST(the_kong_language)
{
	const char *schema = "[{\"name\":{\"type\":\"string\",\"required\":true,\"len_min\":2,\"starts_with\":\"a.\"}},"
			     "{\"age\":{\"type\":\"integer\",\"between\":[0,120]}},{\"kind\":{\"type\":\"string\","
			     "\"one_of\":[\"x\",\"y\"]}},"
			     "{\"tags\":{\"type\":\"set\",\"elements\":{\"type\":\"string\"},\"len_max\":2}},"
			     "{\"map\":{\"type\":\"map\",\"keys\":{\"type\":\"string\",\"len_eq\":1},\"values\":{"
			     "\"type\":\"number\",\"gt\":0}}},"
			     "{\"sub\":{\"type\":\"record\",\"fields\":[{\"id\":{\"type\":\"string\",\"uuid\":true,"
			     "\"required\":true}}]}}]";
	static const char *const good[] = {
		"{\"name\":\"a.b\"}",
		"{\"name\":\"a.b\",\"age\":null,\"kind\":\"y\",\"tags\":[\"p\",\"q\"],\"map\":{\"k\":0.5}}",
		"{\"name\":\"a.\",\"sub\":{\"id\":\"2b9f1e0c-6a5d-4c8e-9a55-0d2b3f4c5d6e\"}}",
	};
	static const char *const bad[] = {
		"{}",
		"{\"name\":\"ab\"}",
		"{\"name\":null}",
		"{\"name\":\"a.\",\"age\":121}",
		"{\"name\":\"a.\",\"other\":1}",
		"{\"name\":\"a.\",\"kind\":\"z\"}",
		"{\"name\":\"a.\",\"tags\":[\"p\",\"p\"]}",
		"{\"name\":\"a.\",\"tags\":[\"p\",\"q\",\"r\"]}",
		"{\"name\":\"a.\",\"map\":{\"kk\":1}}",
		"{\"name\":\"a.\",\"map\":{\"k\":0}}",
		"{\"name\":\"a.\",\"sub\":{\"id\":\"7\"}}",
		"[]",
	};
	for (size_t i = 0; i < MS_ARRAY_LEN(good); i++)
		CHECK_STR(body_says(RV_KONG, schema, "application/json", good[i], true), "");
	for (size_t i = 0; i < MS_ARRAY_LEN(bad); i++) {
		if (!CHECK_HAS(body_says(RV_KONG, schema, "application/json", bad[i], true),
			       "request body doesn't conform to schema"))
			printf("# %s\n", bad[i]);
	}
	CHECK_HAS(body_says(RV_KONG, "[{\"a\":{\"type\":\"string\",\"match\":\"^%a+$\"}}]", "", "", true),
		  "Lua pattern");
	CHECK_HAS(body_says(RV_KONG, "{\"type\":\"object\"}", "", "", true), "must be an array of fields");
	CHECK_HAS(body_says(RV_KONG, "[{\"a\":{\"type\":\"function\"}}]", "", "", true), "is no type");
	CHECK_HAS(body_says(RV_KONG, "[{\"a\":{\"type\":\"string\",\"zzz\":1}}]", "", "", true),
		  "\"zzz\": is not understood");
}
