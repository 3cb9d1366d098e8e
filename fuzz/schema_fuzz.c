// SPDX-License-Identifier: Apache-2.0
// {"schema": …, "value": …}: any schema, and any value against it, within bounds. What is found points into the value; two checks say the same; a value
// with findings has one when asked for one only.
#include "fuzz/fuzz.h"
#include "schema/schema.h"

#define MEMORY ((size_t)32 << 20)
#define STEPS 200000

static void check(const struct schema *schema, const struct json_value *value, struct arena *arena)
{
	struct schema_finding *all = NULL, *one = NULL;
	size_t count = 0, first = 0;
	enum ms_err err = ms_schema_check(schema, value, STEPS, 20, arena, NULL, &all, &count);
	MS_ASSERT(err == MS_OK || err == MS_ERR_LIMIT || err == MS_ERR_NO_MEMORY);
	if (err != MS_OK)
		return;
	MS_ASSERT(count <= 20);
	for (size_t i = 0; i < count; i++) {
		MS_ASSERT(all[i].message.n > 0 && all[i].keyword.n > 0);
		MS_ASSERT(all[i].instance.n == 0 || all[i].instance.p[0] == '/');
	}
	err = ms_schema_check(schema, value, 2 * STEPS, 1, arena, NULL, &one, &first);
	MS_ASSERT(err != MS_OK || (first > 0) == (count > 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena arena;
	ms_arena_init(&arena, 4096, MEMORY);
	const struct json_value *doc = NULL;
	struct json_limits limits = MS_JSON_DEFAULT_LIMITS;
	if (ms_json_parse(ms_slice(data, size), &limits, &arena, NULL, &doc) == MS_OK && doc->type == JSON_OBJECT) {
		const struct json_value *schema = ms_json_get(doc, "schema"), *value = ms_json_get(doc, "value");
		for (int draft = SCHEMA_BY_ITSELF; schema != NULL && draft <= SCHEMA_2020_12; draft++) {
			struct schema_options options = {.draft = (enum schema_draft)draft,
							 .assert_format = draft % 2 == 0,
							 .max_bytes = (size_t)8 << 20};
			struct schema *compiled;
			struct errinfo info;
			ms_errinfo_init(&info);
			if (ms_schema_compile(schema, &options, &info, &compiled) != MS_OK) {
				MS_ASSERT(info.message[0] != '\0');
				continue;
			}
			if (value != NULL)
				check(compiled, value, &arena);
			ms_schema_free(compiled);
		}
	}
	ms_arena_fini(&arena);
	return 0;
}
