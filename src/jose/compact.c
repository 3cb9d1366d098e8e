// SPDX-License-Identifier: Apache-2.0
// What JWS and JWE have in common: parts between dots, and a header.
#include "jose/internal.h"

#define HEADER_MAX ((size_t)16 << 10)

enum ms_err ms_jose_base64url(struct slice text, struct arena *arena, struct slice *ret_bytes)
{
	size_t n;
	uint8_t *bytes = ms_arena_alloc(arena, MS_BASE64_DECODED_MAX(text.n));
	if (bytes == NULL)
		return MS_ERR_NO_MEMORY;
	if (!ms_base64url_decode_to(text, bytes, &n))
		return MS_ERR_INVALID;
	*ret_bytes = ms_slice(bytes, n);
	return MS_OK;
}

bool ms_compact_split(struct slice compact, struct slice *ret_parts, size_t count)
{
	size_t found = 0;
	struct slice part;
	while (ms_slice_next(&compact, '.', &part)) {
		if (found == count)
			return false;
		ret_parts[found++] = part;
	}
	return found == count;
}

static enum ms_err bad(struct errinfo *info, const char *what)
{
	return ms_fail(info, MS_ERR_TOKEN_INVALID, "the token's header %s", what);
}

static bool optional_text(const struct json_value *header, const char *member, struct slice *ret_text)
{
	const struct json_value *value = ms_json_get(header, member);
	return value == NULL || (ms_json_as_str(value, ret_text) && ret_text->n > 0);
}

enum ms_err ms_jose_header(struct slice part, struct arena *arena, struct errinfo *info, struct jose_header *ret_header)
{
	struct jose_header h = {0};
	if (part.n > HEADER_MAX)
		return bad(info, "is too long");
	enum ms_err err = ms_jose_base64url(part, arena, &h.text);
	if (err != MS_OK)
		return err == MS_ERR_NO_MEMORY ? err : bad(info, "is not base64url");
	err = ms_jose_json(h.text, HEADER_MAX, arena, NULL, &h.all);
	if (err == MS_ERR_NO_MEMORY || err == MS_ERR_LIMIT)
		return err;
	if (err != MS_OK || h.all->type != JSON_OBJECT)
		return bad(info, "is no JSON object of members that are there once");
	if (!optional_text(h.all, "alg", &h.alg) || h.alg.p == NULL)
		return bad(info, "has no \"alg\"");
	if (!optional_text(h.all, "kid", &h.kid) || !optional_text(h.all, "typ", &h.typ))
		return bad(info, "has a \"kid\" or \"typ\" that is no text");
	if (ms_json_get(h.all, "crit") != NULL)
		return bad(info, "asks for extensions (\"crit\")");
	*ret_header = h;
	return MS_OK;
}
