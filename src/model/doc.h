// SPDX-License-Identifier: Apache-2.0
// One document, two encodings: the loaders of JSON-shaped model files read JSON and UBJSON through this
// interface and do not know which it is. Private to the model module.
//
// It is a pull reader like json.h, with what a loader of large models needs on top: whole arrays of numbers at
// once, and objects whose known members are told apart, checked for repetition and for absence. Errors are
// sticky: after the first, every call fails.
#ifndef MS_MODEL_DOC_H
#define MS_MODEL_DOC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/base.h"
#include "model/ubjson.h"
#include "json/json.h"

// A copy of it is a place to come back to.
struct doc {
	bool is_ubjson;
	struct arena *arena; // for unescaped strings and for arrays; lives as long as what was read
	struct json_reader json;
	struct ubj_reader ubj;
	// For messages: "tree 3", "tree_param", "num_nodes"; NULL when there is none.
	const char *item;
	size_t item_number;
	const char *object;
	const char *member;
};

void ms_doc_init_json(struct doc *d, struct slice text, uint32_t max_depth, bool allow_nan, struct arena *arena,
		      struct errinfo *info);
void ms_doc_init_ubjson(struct doc *d, struct slice bytes, struct arena *arena, struct errinfo *info);

static inline enum ms_err ms_doc_err(const struct doc *d)
{
	return d->is_ubjson ? d->ubj.err : d->json.err;
}
// Bytes of the document that were read.
static inline size_t ms_doc_offset(const struct doc *d)
{
	return d->is_ubjson ? (size_t)(d->ubj.p - d->ubj.start) : (size_t)(d->json.p - d->json.start);
}
// Fails with a message at the present place; keeps the first error.
enum ms_err ms_doc_fail(struct doc *d, enum ms_err code, const char *fmt, ...) MS_PRINTF(3, 4);
// Memory ran out or met its limit.
enum ms_err ms_doc_fail_memory(struct doc *d);

enum json_type ms_doc_peek(struct doc *d);
bool ms_doc_enter_array(struct doc *d);
bool ms_doc_next_item(struct doc *d);
bool ms_doc_read_f64(struct doc *d, double *ret_value);
bool ms_doc_read_i64(struct doc *d, int64_t *ret_value);
bool ms_doc_read_string(struct doc *d, struct slice *ret_value);
bool ms_doc_skip(struct doc *d);
// Consumes a null and says so; anything else stays.
bool ms_doc_take_null(struct doc *d);
// Only white space may be left.
MS_MUST_USE enum ms_err ms_doc_finish(struct doc *d);
// What a loader returns: `err`, with the place in the message when it is the reader's, and with the errors of the
// JSON reader turned into those of a model file.
MS_MUST_USE enum ms_err ms_doc_close(struct doc *d, enum ms_err err);

// --- Objects -----------------------------------------------------------------------------------------

// What a loader knows of one object: `names` in the order of the loader's enumeration, at most 64.
struct doc_object {
	const char *what; // for messages: "tree_param"
	const char *const *names;
	size_t count;
	uint64_t seen; // bit per name
};

// Enters; `o->seen` is cleared.
bool ms_doc_enter_object(struct doc *d, struct doc_object *o);
// The next member whose name is known; others are skipped. False at the end or at an error. A known name that
// comes twice is an error.
bool ms_doc_next_member(struct doc *d, struct doc_object *o, size_t *ret_index);
// The same for objects whose names are data: every key is returned.
bool ms_doc_next_key(struct doc *d, struct slice *ret_key);
static inline bool ms_doc_has(const struct doc_object *o, size_t index)
{
	return (o->seen >> index & 1) != 0;
}
// An error that names the first absent one of the members whose bits are in `mask`.
bool ms_doc_require(struct doc *d, const struct doc_object *o, uint64_t mask);

// --- Arrays of numbers -------------------------------------------------------------------------------

// Grown as items are read, so memory stays in proportion to the file; reused from one array of a type to the
// next. Memory in the document's arena.
struct doc_array {
	union {
		float *f32;
		double *f64;
		int64_t *i64;
		void *items;
	};
	size_t count;
	size_t capacity;
};

// Each replaces the contents. f32: decimals are rounded to float once. i64: integers, and booleans as 0 and 1.
bool ms_doc_read_f32_array(struct doc *d, struct doc_array *array);
bool ms_doc_read_f64_array(struct doc *d, struct doc_array *array);
bool ms_doc_read_i64_array(struct doc *d, struct doc_array *array);
// Room for `capacity` items of an array of that type; the contents and the count stay.
bool ms_doc_reserve_f64(struct doc *d, struct doc_array *array, size_t capacity);

#endif
