// SPDX-License-Identifier: Apache-2.0
// Values in PostgreSQL's binary format: whole numbers and reals in the order of the network, texts and blobs as they are.
#include <limits.h>
#include <stdio.h>

#include "store/postgres/private.h"

// Object ids of pg_type, which never change.
enum {
	OID_BOOL = 16,
	OID_BYTEA = 17,
	OID_NAME = 19,
	OID_INT8 = 20,
	OID_INT2 = 21,
	OID_INT4 = 23,
	OID_TEXT = 25,
	OID_FLOAT4 = 700,
	OID_FLOAT8 = 701,
	OID_UNKNOWN = 705,
	OID_BPCHAR = 1042,
	OID_VARCHAR = 1043,
	OID_VOID = 2278,
	OID_NUMERIC = 1700,
};

static void write_be(uint64_t value, char dst[8])
{
	for (size_t i = 8; i-- > 0; value >>= 8)
		dst[i] = (char)(value & 0xFF);
}

enum ms_err ms_postgres_params(const struct store_value *params, size_t count, struct errinfo *info,
			       struct postgres_params *p)
{
	for (size_t i = 0; i < count; i++) {
		const struct store_value *v = &params[i];
		p->types[i] = 0; // what the place wants
		p->values[i] = NULL;
		p->lengths[i] = 0;
		p->formats[i] = 1;
		uint64_t bits;
		switch (v->kind) {
		case STORE_NULL:
			continue;
		case STORE_INT:
		case STORE_REAL:
			memcpy(&bits, v->kind == STORE_INT ? (const void *)&v->integer : (const void *)&v->real,
			       sizeof(bits));
			p->types[i] = v->kind == STORE_INT ? OID_INT8 : OID_FLOAT8;
			write_be(bits, p->numbers[i]);
			p->values[i] = p->numbers[i];
			p->lengths[i] = sizeof(p->numbers[i]);
			continue;
		case STORE_TEXT:
		case STORE_BLOB:
			if (v->bytes.n > INT_MAX / 2)
				return ms_fail(info, MS_ERR_LIMIT, "a value of %zu bytes is too large for the database",
					       v->bytes.n);
			p->types[i] = v->kind == STORE_TEXT ? OID_TEXT : OID_BYTEA;
			p->values[i] = v->bytes.n > 0 ? v->bytes.p : "";
			p->lengths[i] = (int)v->bytes.n;
			continue;
		}
	}
	return MS_OK;
}

static uint64_t read_be(const char *p, size_t n)
{
	uint64_t value = 0;
	for (size_t i = 0; i < n; i++)
		value = value << 8 | (unsigned char)p[i];
	return value;
}

// NUMERIC, which sums and means of whole numbers are: counts of ten thousands. A whole number when it was declared without
// decimal places, else a real.
static bool read_numeric(const char *p, size_t n, struct store_value *ret_value)
{
	enum { HEAD = 8, NEGATIVE = 0x4000, SPECIAL = 0xC000 };
	if (n < HEAD)
		return false;
	size_t digits = (size_t)read_be(p, 2);
	int weight = (int16_t)read_be(p + 2, 2);
	unsigned sign = (unsigned)read_be(p + 4, 2), scale = (unsigned)read_be(p + 6, 2);
	if (n != HEAD + digits * 2 || (sign & SPECIAL) == SPECIAL)
		return false; // infinity and not-a-number
	long double real = 0;
	int64_t whole = 0;
	bool is_whole = scale == 0;
	for (size_t i = 0; i < digits || (int)i <= weight; i++) {
		int64_t digit = i < digits ? (int64_t)read_be(p + HEAD + i * 2, 2) : 0;
		real = real * 10000 + (long double)digit;
		if (MS_MUL_OVERFLOWS(whole, (int64_t)10000, &whole) ||
		    MS_ADD_OVERFLOWS(whole, (sign & NEGATIVE) != 0 ? -digit : digit, &whole))
			is_whole = false;
	}
	for (int i = (int)MS_MAX(digits, (size_t)0) - 1; i > weight; i--)
		real /= 10000;
	*ret_value = is_whole ? ms_store_int(whole) : ms_store_real((double)((sign & NEGATIVE) != 0 ? -real : real));
	return true;
}

static struct store_value real_of(uint64_t bits, size_t n)
{
	double value;
	float small;
	uint32_t half = (uint32_t)bits;
	if (n == sizeof(small)) {
		memcpy(&small, &half, sizeof(small));
		return ms_store_real((double)small);
	}
	memcpy(&value, &bits, sizeof(value));
	return ms_store_real(value);
}

// False for a type that the dialect does not have.
static bool take_value(Oid type, const char *p, size_t n, struct arena *arena, struct store_value *ret_value)
{
	struct slice bytes;
	switch (type) {
	case OID_BOOL:
		*ret_value = ms_store_int(n == 1 && p[0] != 0);
		return n == 1;
	case OID_INT2:
		*ret_value = ms_store_int((int16_t)read_be(p, n));
		return n == 2;
	case OID_INT4:
		*ret_value = ms_store_int((int32_t)read_be(p, n));
		return n == 4;
	case OID_INT8:
		*ret_value = ms_store_int((int64_t)read_be(p, n));
		return n == 8;
	case OID_FLOAT4:
	case OID_FLOAT8:
		*ret_value = real_of(read_be(p, n), n);
		return n == (type == OID_FLOAT4 ? 4U : 8U);
	case OID_NUMERIC:
		return read_numeric(p, n, ret_value);
	case OID_VOID:
		*ret_value = ms_store_null();
		return true;
	case OID_TEXT:
	case OID_VARCHAR:
	case OID_BPCHAR:
	case OID_NAME:
	case OID_UNKNOWN:
	case OID_BYTEA:
		bytes = ms_arena_copy(arena, ms_slice(p, n));
		*ret_value = type == OID_BYTEA ? ms_store_blob(bytes) : ms_store_text(bytes);
		return true;
	default:
		return false;
	}
}

enum ms_err ms_postgres_rows(struct postgres_conn *c, const PGresult *result, size_t max_rows, struct arena *arena,
			     struct errinfo *info, struct store_rows *ret_rows)
{
	size_t count = (size_t)PQntuples(result), columns = (size_t)PQnfields(result), all;
	if (count > max_rows)
		return ms_fail(info, MS_ERR_LIMIT, "the database holds more than %zu rows of what was asked for",
			       max_rows);
	bool fits = !MS_MUL_OVERFLOWS(count, columns, &all);
	struct store_value *values = fits ? MS_ARENA_ARRAY(arena, struct store_value, all) : NULL;
	for (size_t i = 0; values != NULL && i < all; i++) {
		int row = (int)(i / columns), column = (int)(i % columns);
		values[i] = ms_store_null();
		if (PQgetisnull(result, row, column))
			continue;
		Oid type = PQftype(result, column);
		if (!take_value(type, PQgetvalue(result, row, column), (size_t)PQgetlength(result, row, column), arena,
				&values[i])) {
			snprintf(c->base.words, sizeof(c->base.words),
				 "column %s has the type %u, which is not of the dialect", PQfname(result, column),
				 type);
			return ms_fail(info, MS_ERR_STORE, "the database answered with a type that is not known here");
		}
		if (values[i].kind >= STORE_TEXT && values[i].bytes.p == NULL)
			values = NULL;
	}
	if (values == NULL)
		return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory for what the database holds");
	*ret_rows = (struct store_rows){.values = values, .count = count, .columns = columns};
	return MS_OK;
}
