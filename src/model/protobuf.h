// SPDX-License-Identifier: Apache-2.0
// A reader of Protocol Buffers messages: bytes in, fields out, in the order of the file. It allocates nothing,
// follows no nesting by itself (the bytes of a nested message are read by another reader) and never leaves its
// bytes, whatever they are. Private to the model module.
#ifndef MS_MODEL_PROTOBUF_H
#define MS_MODEL_PROTOBUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/base.h"

enum pb_wire { PB_VARINT = 0, PB_FIXED64 = 1, PB_BYTES = 2, PB_FIXED32 = 5 };

// Errors are sticky: after the first, no field follows and ms_pb_ok() is false.
struct pb {
	const char *at;
	const char *end;
	bool failed;
};

struct pb_field {
	uint32_t number;
	enum pb_wire wire;
	uint64_t value;     // of PB_VARINT, PB_FIXED64 and PB_FIXED32
	struct slice bytes; // of PB_BYTES
};

struct pb ms_pb(struct slice message);
static inline bool ms_pb_ok(const struct pb *p)
{
	return !p->failed;
}
// False at the end and at the first damage.
bool ms_pb_next_slow(struct pb *p, struct pb_field *ret_field);
static inline bool ms_pb_next(struct pb *p, struct pb_field *ret_field)
{
	// Lists of small integers are what large files consist of: two bytes each, key and value.
	if (p->end - p->at >= 2 && (unsigned char)p->at[0] < 0x80 && (p->at[0] & 7) == PB_VARINT &&
	    (unsigned char)p->at[0] >= 8 && (unsigned char)p->at[1] < 0x80) {
		*ret_field = (struct pb_field){.number = (uint32_t)p->at[0] >> 3, .value = (uint64_t)p->at[1]};
		p->at += 2;
		return true;
	}
	return ms_pb_next_slow(p, ret_field);
}

static inline int64_t ms_pb_i64(const struct pb_field *f)
{
	return (int64_t)f->value;
}
float ms_pb_f32(const struct pb_field *f);
double ms_pb_f64(const struct pb_field *f);

// The next number of a packed list of varints; false at the end and at damage.
bool ms_pb_next_varint(struct pb *p, uint64_t *ret_value);

// Repeated numbers come packed (one PB_BYTES field) or one by one. How many this field holds; false when it can
// hold none of that kind (`size` is 0 for varints, else 4 or 8).
bool ms_pb_count(const struct pb_field *f, size_t size, size_t *ret_count);
// Copies them; `dst` has room for what ms_pb_count() said.
void ms_pb_copy_i64(const struct pb_field *f, int64_t *dst);
void ms_pb_copy_f32(const struct pb_field *f, float *dst);
void ms_pb_copy_f64(const struct pb_field *f, double *dst);

#endif
