// SPDX-License-Identifier: Apache-2.0
// Values in and out, and the table of prepared statements.
#include <math.h>

#include "store/private.h"

enum ms_err ms_store_check_values(const struct store_value *params, size_t count, struct errinfo *info)
{
	for (size_t i = 0; i < count; i++) {
		const struct store_value *v = &params[i];
		if (v->kind == STORE_REAL && isnan(v->real))
			return ms_fail(info, MS_ERR_INVALID,
				       "a value is not a number, which the database does not keep");
		if (v->kind != STORE_TEXT || v->bytes.n == 0)
			continue;
		if (memchr(v->bytes.p, '\0', v->bytes.n) != NULL)
			return ms_fail(info, MS_ERR_INVALID,
				       "a text holds the character U+0000, which the database does not keep");
		if (ms_utf8_valid_prefix(v->bytes) != v->bytes.n)
			return ms_fail(info, MS_ERR_INVALID, "a text is not valid UTF-8");
	}
	return MS_OK;
}

static const struct store_value *value_at(const struct store_rows *rows, size_t row, size_t column)
{
	MS_ASSERT(row < rows->count && column < rows->columns);
	return &rows->values[row * rows->columns + column];
}

int64_t ms_store_get_int(const struct store_rows *rows, size_t row, size_t column)
{
	const struct store_value *v = value_at(rows, row, column);
	MS_ASSERT(v->kind == STORE_INT || v->kind == STORE_NULL);
	return v->kind == STORE_INT ? v->integer : 0;
}

double ms_store_get_real(const struct store_rows *rows, size_t row, size_t column)
{
	const struct store_value *v = value_at(rows, row, column);
	MS_ASSERT(v->kind == STORE_REAL || v->kind == STORE_INT || v->kind == STORE_NULL);
	return v->kind == STORE_REAL ? v->real : v->kind == STORE_INT ? (double)v->integer : 0.0;
}

static struct slice bytes_at(const struct store_rows *rows, size_t row, size_t column, enum store_kind kind)
{
	const struct store_value *v = value_at(rows, row, column);
	MS_ASSERT(v->kind == kind || v->kind == STORE_NULL);
	return v->kind == kind ? v->bytes : MS_SLICE_EMPTY;
}

struct slice ms_store_get_text(const struct store_rows *rows, size_t row, size_t column)
{
	return bytes_at(rows, row, column, STORE_TEXT);
}

struct slice ms_store_get_blob(const struct store_rows *rows, size_t row, size_t column)
{
	return bytes_at(rows, row, column, STORE_BLOB);
}

bool ms_store_is_null(const struct store_rows *rows, size_t row, size_t column)
{
	return value_at(rows, row, column)->kind == STORE_NULL;
}

// --- Prepared statements -----------------------------------------------------------------------------

#define KINDS_PER_WORD 21

struct store_kinds ms_store_kinds(const struct store_value *params, size_t count)
{
	_Static_assert(MS_STORE_PARAMS_MAX <= 2 * KINDS_PER_WORD, "kinds of parameters fit two words");
	struct store_kinds kinds = {{0, 0}};
	for (size_t i = 0; i < count; i++)
		kinds.words[i / KINDS_PER_WORD] |= ((uint64_t)params[i].kind + 1) << (i % KINDS_PER_WORD * 3);
	return kinds;
}

struct store_prepared *ms_store_cache_find(struct store_cache *cache, const char *sql, struct store_kinds kinds)
{
	const size_t size = MS_ARRAY_LEN(cache->slots);
	uint64_t hash = ((uint64_t)(uintptr_t)sql ^ kinds.words[0] ^ (kinds.words[1] << 32)) * 0x9E3779B97F4A7C15ULL;
	for (size_t i = (size_t)(hash >> 40) % size;; i = (i + 1) % size) {
		struct store_prepared *slot = &cache->slots[i];
		if (slot->sql == NULL || (slot->sql == sql && slot->kinds.words[0] == kinds.words[0] &&
					  slot->kinds.words[1] == kinds.words[1]))
			return slot;
	}
}
