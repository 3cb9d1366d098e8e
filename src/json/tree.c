// SPDX-License-Identifier: Apache-2.0
// The tree parser. Items of the arrays and objects that are still open wait on one stack; when one closes,
// its items move to the arena in one piece. No recursion.
#include <math.h>
#include <stdlib.h>

#include "json/duplicate.h"
#include "json/scan.h"

#define LOCAL_STACK 4096 // bytes; most requests need no more

// An open array or object; on the stack before its items.
struct frame {
	size_t outer; // offset of the frame around this one
	bool is_object;
};

struct builder {
	struct json_reader reader;
	bool reject_duplicates;
	char *stack; // `local`, or from malloc when more was needed
	size_t used;
	size_t capacity;
	size_t frame; // offset of the innermost frame
	_Alignas(16) char local[LOCAL_STACK];
};

static bool grow(struct builder *b, size_t n)
{
	// What is on the stack goes to the arena later: a stack beyond the arena's limit could not end well.
	size_t max = MS_MAX(b->reader.arena->max, (size_t)LOCAL_STACK);
	size_t need, capacity;
	if (MS_ADD_OVERFLOWS(b->used, n, &need) || need > max || MS_MUL_OVERFLOWS(b->capacity, 2, &capacity))
		return ms_json_fail_memory(&b->reader, b->reader.p, max);
	capacity = MS_MIN(MS_MAX(capacity, need), max);
	bool is_local = b->stack == b->local;
	char *stack = realloc(is_local ? NULL : b->stack, capacity);
	if (stack == NULL)
		return ms_json_fail_at(&b->reader, b->reader.p, MS_ERR_NO_MEMORY, "out of memory");
	if (is_local)
		memcpy(stack, b->local, b->used);
	b->stack = stack;
	b->capacity = capacity;
	return true;
}

// Room for n bytes on top of the stack, n a multiple of 8; NULL after an error.
static inline void *push(struct builder *b, size_t n)
{
	if (MS_UNLIKELY(n > b->capacity - b->used) && !grow(b, n))
		return NULL;
	void *p = b->stack + b->used;
	b->used += n;
	return p;
}

static inline struct frame *innermost(struct builder *b)
{
	return (struct frame *)(void *)(b->stack + b->frame);
}

static bool open_frame(struct builder *b, bool is_object)
{
	size_t at = b->used;
	struct frame *frame = push(b, sizeof(*frame));
	if (frame == NULL)
		return false;
	*frame = (struct frame){.outer = b->frame, .is_object = is_object};
	b->frame = at;
	return true;
}

static bool check_keys(struct builder *b, const struct json_member *members, size_t count)
{
	struct json_reader *r = &b->reader;
	const struct json_member *twice = NULL;
	enum ms_err err = ms_json_find_duplicate(members, count, r->arena, &twice);
	if (err != MS_OK)
		return ms_json_fail_memory(r, r->p, count * 2 * sizeof(uint32_t));
	if (twice == NULL)
		return true;
	// A key that had escapes is not in the text; then the place is where its object ends.
	uintptr_t key = (uintptr_t)twice->key.p;
	bool in_text = key >= (uintptr_t)r->start && key < (uintptr_t)r->end;
	ms_errinfo_set_field(r->info, twice->key);
	struct slice shown = ms_slice_sub(twice->key, 0, 100);
	return ms_json_fail_at(r, in_text ? twice->key.p - 1 : r->p - 1, MS_ERR_JSON_DUPLICATE_KEY,
			       "the key \"%.*s\" is twice in one object", MS_SLICE_ARG(shown));
}

// Moves the items of the innermost frame to the arena and takes the frame off.
static bool close_frame(struct builder *b, struct json_value *ret_value)
{
	struct frame frame = *innermost(b);
	char *items = b->stack + b->frame + sizeof(frame);
	size_t n = (size_t)(b->stack + b->used - items);
	void *copy = NULL;
	if (n > 0) {
		copy = ms_arena_alloc(b->reader.arena, n);
		if (copy == NULL)
			return ms_json_fail_memory(&b->reader, b->reader.p, n);
		memcpy(copy, items, n);
	}
	b->used = b->frame;
	b->frame = frame.outer;
	if (!frame.is_object) {
		*ret_value = (struct json_value){.type = JSON_ARRAY, .array = {copy, n / sizeof(struct json_value)}};
		return true;
	}
	size_t count = n / sizeof(struct json_member);
	*ret_value = (struct json_value){.type = JSON_OBJECT, .object = {copy, count}};
	return !b->reject_duplicates || count < 2 || check_keys(b, copy, count);
}

// Reads a scalar into *value, or enters an array or object and opens its frame.
static inline bool begin_value(struct builder *b, struct json_value *value)
{
	struct json_reader *r = &b->reader;
	const char *p = skip_space(r->p, r->end);
	value->type = p < r->end ? type_of(r, *p) : JSON_INVALID;
	switch (value->type) {
	case JSON_OBJECT:
	case JSON_ARRAY:
		return enter(r, p) && open_frame(b, value->type == JSON_OBJECT);
	case JSON_STRING:
		return read_string_at(r, p, true, &value->str);
	case JSON_NUMBER:
		r->p = ms_json_scan_number_text(r, p);
		if (MS_UNLIKELY(r->p == NULL)) {
			r->p = r->end;
			return false;
		}
		value->str = (struct slice){p, (size_t)(r->p - p)};
		return true;
	case JSON_NULL:
		return take_literal(r, p, "null", 4) || ms_json_fail_expected(r, p, "a value");
	case JSON_TRUE:
		return take_literal(r, p, "true", 4) || ms_json_fail_expected(r, p, "a value");
	case JSON_FALSE:
		return take_literal(r, p, "false", 5) || ms_json_fail_expected(r, p, "a value");
	case JSON_INVALID:
		break;
	}
	return ms_json_fail_expected(r, p, "a value");
}

// To the next value of the innermost frame; the key of a member is pushed before its value.
static inline bool next_value(struct builder *b)
{
	if (!innermost(b)->is_object)
		return next_item(&b->reader);
	struct slice key;
	if (!next_key(&b->reader, true, &key))
		return false;
	struct slice *at = push(b, sizeof(key));
	if (at == NULL)
		return false;
	*at = key;
	return true;
}

static bool build(struct builder *b, struct json_value *ret_value)
{
	struct json_reader *r = &b->reader;
	for (;;) {
		struct json_value value;
		if (!begin_value(b, &value))
			return false;
		bool done = value.type != JSON_ARRAY && value.type != JSON_OBJECT;
		for (;;) {
			if (done) { // it has a value, which belongs into the frame around it
				if (r->depth == 0) {
					*ret_value = value;
					return true;
				}
				struct json_value *at = push(b, sizeof(value));
				if (at == NULL)
					return false;
				*at = value;
			}
			if (next_value(b))
				break;
			if (r->err != MS_OK || !close_frame(b, &value))
				return false;
			done = true;
		}
	}
}

enum ms_err ms_json_parse(struct slice text, const struct json_limits *limits, struct arena *arena,
			  struct errinfo *info, const struct json_value **ret_value)
{
	_Static_assert(sizeof(struct json_member) == sizeof(struct slice) + sizeof(struct json_value),
		       "a member is pushed in two parts");
	_Static_assert(sizeof(struct frame) % 8 == 0, "the stack stays aligned");
	MS_ASSERT(arena != NULL);
	// Filling `local` with a pattern, as the build does, would cost more than a small text.
	struct builder b __attribute__((uninitialized));
	if (limits == NULL)
		limits = &MS_JSON_DEFAULT_LIMITS;
	ms_json_reader_init(&b.reader, text, limits, arena, info);
	b.reject_duplicates = limits->reject_duplicates;
	b.stack = b.local;
	b.capacity = sizeof(b.local);
	b.used = b.frame = 0;
	struct json_value *root = MS_ARENA_NEW(arena, struct json_value);
	if (root == NULL)
		(void)ms_json_fail_memory(&b.reader, b.reader.p, sizeof(*root));
	enum ms_err err = MS_OK;
	if (root == NULL || !build(&b, root))
		err = b.reader.err;
	else
		err = ms_json_finish(&b.reader);
	if (b.stack != b.local)
		free(b.stack);
	if (err == MS_OK)
		*ret_value = root;
	return err;
}

// --- Access --------------------------------------------------------------------------------------------

const struct json_value *ms_json_get(const struct json_value *object, const char *key)
{
	if (object == NULL || object->type != JSON_OBJECT)
		return NULL;
	struct slice wanted = ms_slice_cstr(key);
	for (size_t i = 0; i < object->object.count; i++) {
		if (ms_slice_eq(object->object.members[i].key, wanted))
			return &object->object.members[i].value;
	}
	return NULL;
}

bool ms_json_as_f64(const struct json_value *v, double *ret_value)
{
	if (v == NULL || v->type != JSON_NUMBER)
		return false;
	if (ms_slice_ends_with(v->str, MS_SLICE_LIT("N"))) // "NaN"
		*ret_value = NAN;
	else if (ms_slice_ends_with(v->str, MS_SLICE_LIT("y"))) // "Infinity"
		*ret_value = v->str.p[0] == '-' ? -INFINITY : INFINITY;
	else
		return ms_number_parse_f64(v->str, ret_value);
	return true;
}

bool ms_json_as_i64(const struct json_value *v, int64_t *ret_value)
{
	return v != NULL && v->type == JSON_NUMBER && ms_slice_to_i64(v->str, ret_value);
}

bool ms_json_as_bool(const struct json_value *v, bool *ret_value)
{
	if (v == NULL || (v->type != JSON_TRUE && v->type != JSON_FALSE))
		return false;
	*ret_value = v->type == JSON_TRUE;
	return true;
}

bool ms_json_as_str(const struct json_value *v, struct slice *ret_value)
{
	if (v == NULL || v->type != JSON_STRING)
		return false;
	*ret_value = v->str;
	return true;
}
