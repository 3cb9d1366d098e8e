// SPDX-License-Identifier: Apache-2.0
// Strict CBOR (RFC 8949), the part of it that CTAP2 allows: one encoding of each value. Bytes in, values out.
//
// Refused: lengths that are longer than they need be, indefinite lengths, tags, floating-point numbers, `undefined` and other simple values, text
// that is not UTF-8, a key twice in a map, keys out of order (CTAP2: by major type, then the shorter, then by bytes), and more depth or
// items than the limits say.
#ifndef MS_AUTH_CBOR_H
#define MS_AUTH_CBOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/base.h"

enum cbor_type { CBOR_UNSIGNED, CBOR_NEGATIVE, CBOR_BYTES, CBOR_TEXT, CBOR_ARRAY, CBOR_MAP, CBOR_BOOL, CBOR_NULL };
const char *ms_cbor_type_name(enum cbor_type type); // "a byte string"

struct cbor_pair;
struct cbor_value {
	enum cbor_type type;
	union {
		uint64_t n;         // CBOR_UNSIGNED: the number; CBOR_NEGATIVE: it is -1 - n
		struct slice bytes; // of byte strings and texts, within the input
		bool flag;
		struct {
			const struct cbor_value *items;
			size_t count;
		} array;
		struct {
			const struct cbor_pair *pairs; // as they came
			size_t count;
		} map;
	};
};
struct cbor_pair {
	struct cbor_value key, value;
};

struct cbor_limits {
	uint32_t max_depth; // of arrays and maps in one another
	size_t max_items;   // values in all, keys counted
	// Keys in any order. Browsers and password managers differ in what they wrap around an authenticator's data.
	bool any_order;
};
extern const struct cbor_limits MS_CBOR_DEFAULT_LIMITS; // 8, 1024, in order

// One value off the front of `rest`. The tree lives in the arena and borrows from the bytes. Errors: MS_ERR_INVALID with the offset,
// MS_ERR_LIMIT, MS_ERR_NO_MEMORY.
MS_MUST_USE enum ms_err ms_cbor_read(struct slice *rest, const struct cbor_limits *limits, struct arena *arena,
				     struct errinfo *info, struct cbor_value *ret_value);
// The same, and nothing may follow.
MS_MUST_USE enum ms_err ms_cbor_parse(struct slice bytes, const struct cbor_limits *limits, struct arena *arena,
				      struct errinfo *info, struct cbor_value *ret_value);

// NULL when absent, or when `map` is none.
const struct cbor_value *ms_cbor_get_text(const struct cbor_value *map, const char *key);
const struct cbor_value *ms_cbor_get_int(const struct cbor_value *map, int64_t key);
// False when NULL, of another type or out of range.
MS_MUST_USE bool ms_cbor_as_int(const struct cbor_value *value, int64_t *ret_n);
MS_MUST_USE bool ms_cbor_as_bytes(const struct cbor_value *value, struct slice *ret_bytes);
MS_MUST_USE bool ms_cbor_as_text(const struct cbor_value *value, struct slice *ret_text);

#endif
