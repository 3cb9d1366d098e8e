// SPDX-License-Identifier: Apache-2.0
// Any bytes as CBOR. What was accepted in order has one encoding: written again it is the same bytes. What is accepted in order is accepted
// in any order too.
#include "auth/cbor.h"
#include "fuzz/fuzz.h"

#define MEMORY ((size_t)16 << 20)

static void write_head(struct buf *out, unsigned major, uint64_t n)
{
	unsigned size = n < 24 ? 0 : n < 0x100 ? 1 : n < 0x10000 ? 2 : n < 0x100000000 ? 4 : 8;
	unsigned extra = size == 0 ? (unsigned)n : size == 1 ? 24 : size == 2 ? 25 : size == 4 ? 26 : 27;
	ms_buf_append_char(out, (char)(major << 5 | extra));
	for (unsigned i = size; i > 0; i--)
		ms_buf_append_char(out, (char)(n >> (8 * (i - 1))));
}

static void write_value(struct buf *out, const struct cbor_value *value)
{
	switch (value->type) {
	case CBOR_UNSIGNED:
	case CBOR_NEGATIVE:
		write_head(out, value->type, value->n);
		break;
	case CBOR_BYTES:
	case CBOR_TEXT:
		write_head(out, value->type, value->bytes.n);
		ms_buf_append_slice(out, value->bytes);
		break;
	case CBOR_ARRAY:
		write_head(out, 4, value->array.count);
		for (size_t i = 0; i < value->array.count; i++)
			write_value(out, &value->array.items[i]);
		break;
	case CBOR_MAP:
		write_head(out, 5, value->map.count);
		for (size_t i = 0; i < value->map.count; i++) {
			write_value(out, &value->map.pairs[i].key);
			write_value(out, &value->map.pairs[i].value);
		}
		break;
	case CBOR_BOOL:
		write_head(out, 7, value->flag ? 21 : 20);
		break;
	case CBOR_NULL:
		write_head(out, 7, 22);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct cbor_limits any_order = {.max_depth = 8, .max_items = 1024, .any_order = true};
	struct arena arena;
	struct buf out;
	struct cbor_value value, again;
	struct slice rest = ms_slice(data, size);
	ms_arena_init(&arena, 4096, MEMORY);
	ms_buf_init(&out, MEMORY);
	bool ok = ms_cbor_read(&rest, NULL, &arena, NULL, &value) == MS_OK;
	struct slice free_rest = ms_slice(data, size);
	bool free_ok = ms_cbor_read(&free_rest, &any_order, &arena, NULL, &again) == MS_OK;
	MS_ASSERT(!ok || (free_ok && rest.n == free_rest.n));
	if (free_ok) {
		write_value(&out, &again);
		MS_ASSERT(ms_buf_ok(&out) && out.n == size - free_rest.n && memcmp(out.p, data, out.n) == 0);
	}
	ms_buf_fini(&out);
	ms_arena_fini(&arena);
	return 0;
}
