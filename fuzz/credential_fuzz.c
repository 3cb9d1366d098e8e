// SPDX-License-Identifier: Apache-2.0
// Any bytes as the texts that users and imports bring: encodings, API keys, stored password hashes, sealed boxes. What decodes is encoded
// again and must be the same text; nothing is hashed.
#include "crypto/crypto.h"
#include "fuzz/fuzz.h"

#define MEMORY ((size_t)4 << 20)

typedef bool decode_fn(struct slice text, struct arena *arena, struct slice *ret_bytes);
typedef void append_fn(struct buf *out, struct slice bytes);

static void check(decode_fn *decode, append_fn *append, bool any_case, struct slice text)
{
	struct arena arena;
	struct buf again;
	struct slice bytes;
	ms_arena_init(&arena, 4096, MEMORY);
	ms_buf_init(&again, MEMORY);
	if (decode(text, &arena, &bytes)) {
		append(&again, bytes);
		struct slice want = text;
		while (any_case && want.n > 0 && want.p[want.n - 1] == '=') // base32 is written without padding
			want.n--;
		MS_ASSERT(any_case ? ms_slice_eq_nocase(ms_buf_slice(&again), want)
				   : ms_slice_eq(ms_buf_slice(&again), want));
	}
	ms_buf_fini(&again);
	ms_arena_fini(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t key[MS_BOX_KEY_SIZE] = {1};
	struct slice text = ms_slice(data, size), prefix, secret;
	struct arena arena;
	if (size > 65536)
		return 0;
	check(ms_base64_decode, ms_base64_append, false, text);
	check(ms_base64url_decode, ms_base64url_append, false, text);
	check(ms_hex_decode, ms_hex_append, true, text);
	check(ms_base32_decode, ms_base32_append, true, text);
	if (ms_api_key_parse(text, &prefix))
		MS_ASSERT(prefix.n >= 1 && prefix.n <= MS_API_KEY_PREFIX_MAX && text.n == prefix.n + 34);
	struct errinfo info;
	ms_errinfo_init(&info);
	enum ms_err err = ms_password_check_stored(text, &info);
	MS_ASSERT(err == MS_OK || (err == MS_ERR_INVALID && info.message[0] != '\0'));
	ms_arena_init(&arena, 4096, MEMORY);
	MS_ASSERT(ms_box_open(key, MS_SLICE_EMPTY, text, &arena, &secret) == MS_ERR_INVALID);
	ms_arena_fini(&arena);
	return 0;
}
