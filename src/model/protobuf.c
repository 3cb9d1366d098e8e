// SPDX-License-Identifier: Apache-2.0
#include "model/protobuf.h"

struct pb ms_pb(struct slice message)
{
	// Pointer arithmetic on NULL is undefined even for no bytes.
	static const char none[1];
	const char *start = message.n > 0 ? message.p : none;
	return (struct pb){.at = start, .end = start + message.n};
}

static bool fail(struct pb *p)
{
	p->failed = true;
	p->at = p->end;
	return false;
}

// At most ten bytes; bits beyond the 64th are damage.
bool ms_pb_next_varint(struct pb *p, uint64_t *ret_value)
{
	if (p->at == p->end)
		return false;
	uint64_t value = 0;
	for (unsigned shift = 0; shift < 64; shift += 7) {
		if (p->at == p->end)
			return fail(p);
		uint64_t byte = (unsigned char)*p->at++;
		if (shift == 63 && byte > 1)
			return fail(p);
		value |= (byte & 0x7f) << shift;
		if (byte < 0x80) {
			*ret_value = value;
			return true;
		}
	}
	return fail(p);
}

static bool read_fixed(struct pb *p, size_t size, uint64_t *ret_value)
{
	if ((size_t)(p->end - p->at) < size)
		return fail(p);
	uint64_t value = 0;
	for (size_t i = 0; i < size; i++)
		value |= (uint64_t)(unsigned char)p->at[i] << (8 * i);
	p->at += size;
	*ret_value = value;
	return true;
}

static bool read_bytes(struct pb *p, struct slice *ret_bytes)
{
	uint64_t n;
	if (p->at == p->end || !ms_pb_next_varint(p, &n) || n > (uint64_t)(p->end - p->at))
		return fail(p);
	*ret_bytes = ms_slice(p->at, (size_t)n);
	p->at += n;
	return true;
}

bool ms_pb_next_slow(struct pb *p, struct pb_field *ret_field)
{
	uint64_t key;
	if (p->failed || !ms_pb_next_varint(p, &key))
		return false;
	uint64_t number = key >> 3;
	if (number == 0 || number >= (uint64_t)1 << 29)
		return fail(p);
	*ret_field = (struct pb_field){.number = (uint32_t)number, .wire = (enum pb_wire)(key & 7)};
	switch (key & 7) {
	case PB_VARINT:
		return (p->at != p->end || fail(p)) && ms_pb_next_varint(p, &ret_field->value);
	case PB_FIXED64:
		return read_fixed(p, 8, &ret_field->value);
	case PB_FIXED32:
		return read_fixed(p, 4, &ret_field->value);
	case PB_BYTES:
		return read_bytes(p, &ret_field->bytes);
	default: // groups (3 and 4) are in no format that is read here
		return fail(p);
	}
}

float ms_pb_f32(const struct pb_field *f)
{
	uint32_t bits = (uint32_t)f->value;
	float value;
	memcpy(&value, &bits, sizeof(value));
	return value;
}

double ms_pb_f64(const struct pb_field *f)
{
	double value;
	memcpy(&value, &f->value, sizeof(value));
	return value;
}

bool ms_pb_count(const struct pb_field *f, size_t size, size_t *ret_count)
{
	enum pb_wire single = size == 0 ? PB_VARINT : size == 4 ? PB_FIXED32 : PB_FIXED64;
	*ret_count = 1;
	if (f->wire == single)
		return true;
	if (f->wire != PB_BYTES)
		return false;
	if (size > 0) {
		*ret_count = f->bytes.n / size;
		return f->bytes.n % size == 0;
	}
	struct pb p = ms_pb(f->bytes);
	uint64_t value;
	size_t n = 0;
	while (ms_pb_next_varint(&p, &value))
		n++;
	*ret_count = n;
	return ms_pb_ok(&p);
}

void ms_pb_copy_i64(const struct pb_field *f, int64_t *dst)
{
	if (f->wire == PB_VARINT) {
		*dst = ms_pb_i64(f);
		return;
	}
	struct pb p = ms_pb(f->bytes);
	uint64_t value;
	while (ms_pb_next_varint(&p, &value))
		*dst++ = (int64_t)value;
}

// Numbers of a packed list are little-endian and not aligned.
void ms_pb_copy_f32(const struct pb_field *f, float *dst)
{
	if (f->wire == PB_FIXED32) {
		*dst = ms_pb_f32(f);
		return;
	}
	for (struct pb p = ms_pb(f->bytes); p.at != p.end;) {
		struct pb_field item = {0};
		if (read_fixed(&p, sizeof(*dst), &item.value))
			*dst++ = ms_pb_f32(&item);
	}
}

void ms_pb_copy_f64(const struct pb_field *f, double *dst)
{
	if (f->wire == PB_FIXED64) {
		*dst = ms_pb_f64(f);
		return;
	}
	for (struct pb p = ms_pb(f->bytes); p.at != p.end;) {
		struct pb_field item = {0};
		if (read_fixed(&p, sizeof(*dst), &item.value))
			*dst++ = ms_pb_f64(&item);
	}
}
