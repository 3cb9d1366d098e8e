// SPDX-License-Identifier: Apache-2.0
// Any bytes as YAML. What was read is written as JSON, which must be JSON, and read again as YAML, which must give the same.
#include "fuzz/fuzz.h"
#include "yaml/yaml.h"

#define MEMORY ((size_t)64 << 20)

static size_t count(const struct yaml_lines *lines, const struct json_value *value)
{
	MS_ASSERT(ms_yaml_line(lines, value) >= 1);
	size_t nodes = 1;
	for (size_t i = 0; value->type == JSON_ARRAY && i < value->array.count; i++)
		nodes += count(lines, &value->array.items[i]);
	for (size_t i = 0; value->type == JSON_OBJECT && i < value->object.count; i++)
		nodes += count(lines, &value->object.members[i].value);
	return nodes;
}

static void write_tree(struct buf *out, const struct json_value *value)
{
	struct json_writer w;
	ms_json_writer_init(&w, out);
	ms_json_value(&w, value);
	MS_ASSERT(ms_buf_ok(out));
}

static bool is_ascii(struct slice text)
{
	for (size_t i = 0; i < text.n; i++) {
		if ((unsigned char)text.p[i] >= 0x7f)
			return false;
	}
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct yaml_limits limits = {.nodes = 10000};
	const struct yaml_limits wider = {.nodes = 20000};
	struct arena arena;
	ms_arena_init(&arena, 4096, MEMORY);
	struct errinfo info;
	ms_errinfo_init(&info);
	const struct json_value *value, *again;
	struct yaml_lines *lines;
	if (ms_yaml_parse(ms_slice(data, size), &limits, &arena, &info, &value, &lines) == MS_OK) {
		// Merged members are counted where they were, and where they went.
		MS_ASSERT(count(lines, value) <= limits.nodes);
		struct buf first, second;
		ms_buf_init(&first, MEMORY);
		ms_buf_init(&second, MEMORY);
		write_tree(&first, value);
		MS_ASSERT(ms_json_parse(ms_buf_slice(&first), NULL, &arena, NULL, &again) == MS_OK);
		// JSON may hold controls beyond ASCII as they are, YAML may not.
		enum ms_err err = ms_yaml_parse(ms_buf_slice(&first), &wider, &arena, NULL, &again, NULL);
		MS_ASSERT(err == MS_OK || !is_ascii(ms_buf_slice(&first)));
		if (err == MS_OK) {
			write_tree(&second, again);
			MS_ASSERT(ms_slice_eq(ms_buf_slice(&first), ms_buf_slice(&second)));
		}
		ms_buf_fini(&first);
		ms_buf_fini(&second);
	} else {
		MS_ASSERT(info.message[0] != '\0');
	}
	ms_arena_fini(&arena);
	return 0;
}
