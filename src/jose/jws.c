// SPDX-License-Identifier: Apache-2.0
#include "jose/internal.h"

static enum ms_err bad(struct errinfo *info, const char *what)
{
	return ms_fail(info, MS_ERR_TOKEN_INVALID, "%s", what);
}

// The key that the header names, for the algorithm that the header names; never one without the other.
static enum ms_err find_key(const struct jose_header *header, struct jose_keys keys, struct errinfo *info,
			    const struct jose_key **ret_key)
{
	enum jose_alg alg;
	if (!ms_jose_alg_find(header->alg, &alg))
		return bad(info, "the token's algorithm is none that is known");
	const struct jose_key *found = NULL;
	for (size_t i = 0; i < keys.count; i++) {
		const struct jose_key *key = keys.keys[i];
		if (key->alg != alg || !key->can_verify ||
		    (header->kid.p != NULL && !ms_slice_eq(key->kid, header->kid)))
			continue;
		if (found != NULL)
			return bad(info, "the token does not say which of several keys signed it");
		found = key;
	}
	if (found == NULL)
		return bad(info, "there is no key of the token's \"kid\" and \"alg\"");
	*ret_key = found;
	return MS_OK;
}

static bool verify(const struct jose_key *key, struct slice message, struct slice signature)
{
	const struct jose_alg_row *row = ms_jose_alg_row(key->alg);
	if (key->hmac != NULL) {
		uint8_t mac[MS_DIGEST_MAX];
		return ms_hmac_with(key->hmac, message, mac) &&
		       ms_equal_constant_time(ms_slice(mac, ms_digest_size(row->hash)), signature);
	}
	return ms_crypto_verify(key->key, row->scheme, row->hash, message, signature);
}

// `only` NULL: the one of `keys` that the header names.
static enum ms_err verify_with(struct slice compact, struct jose_keys keys, const struct jose_key *only,
			       struct arena *arena, struct errinfo *info, struct jws *ret_jws)
{
	struct slice parts[3], signature, payload;
	struct jose_header header;
	const struct jose_key *key;
	if (compact.n > MS_JWS_MAX)
		return bad(info, "the token is too long");
	if (!ms_compact_split(compact, parts, 3))
		return bad(info, "the token has not three parts");
	MS_TRY(ms_jose_header(parts[0], arena, info, &header));
	if (only != NULL)
		header.kid = MS_SLICE_EMPTY;
	MS_TRY(find_key(&header, keys, info, &key));
	enum ms_err err = ms_jose_base64url(parts[2], arena, &signature);
	if (err != MS_OK)
		return err == MS_ERR_NO_MEMORY ? err : bad(info, "the token's signature is not base64url");
	if (!verify(key, ms_slice_sub(compact, 0, parts[0].n + 1 + parts[1].n), signature))
		return bad(info, "the token's signature does not verify");
	err = ms_jose_base64url(parts[1], arena, &payload);
	if (err != MS_OK)
		return err == MS_ERR_NO_MEMORY ? err : bad(info, "the token's payload is not base64url");
	*ret_jws = (struct jws){.header = header.text, .payload = payload, .typ = header.typ, .key = key};
	return MS_OK;
}

enum ms_err ms_jws_verify(struct slice compact, struct jose_keys keys, struct arena *arena, struct errinfo *info,
			  struct jws *ret_jws)
{
	return verify_with(compact, keys, NULL, arena, info, ret_jws);
}

enum ms_err ms_jws_verify_by(struct slice compact, const struct jose_key *key, struct arena *arena,
			     struct errinfo *info, struct jws *ret_jws)
{
	struct jose_key *keys[1] = {(struct jose_key *)(uintptr_t)key}; // read alone
	return verify_with(compact, (struct jose_keys){keys, 1}, key, arena, info, ret_jws);
}

enum ms_err ms_jws_look(struct slice compact, struct arena *arena, struct errinfo *info, struct jws *ret_jws)
{
	struct slice parts[3], payload;
	struct jose_header header;
	if (compact.n > MS_JWS_MAX)
		return bad(info, "the token is too long");
	if (!ms_compact_split(compact, parts, 3))
		return bad(info, "the token has not three parts");
	MS_TRY(ms_jose_header(parts[0], arena, info, &header));
	enum ms_err err = ms_jose_base64url(parts[1], arena, &payload);
	if (err != MS_OK)
		return err == MS_ERR_NO_MEMORY ? err : bad(info, "the token's payload is not base64url");
	*ret_jws = (struct jws){.header = header.text, .payload = payload, .typ = header.typ};
	return MS_OK;
}

static void append_header(const struct jose_key *key, struct slice typ, struct buf *out)
{
	struct buf text;
	struct json_writer w;
	ms_buf_init(&text, 8192);
	ms_json_writer_init(&w, &text);
	ms_json_begin_object(&w);
	ms_json_key_lit(&w, "alg");
	ms_json_cstr(&w, ms_jose_alg_name(key->alg));
	if (typ.n > 0) {
		ms_json_key_lit(&w, "typ");
		ms_json_str(&w, typ);
	}
	ms_json_key_lit(&w, "kid");
	ms_json_str(&w, key->kid);
	ms_json_end_object(&w);
	ms_base64url_append(out, ms_buf_slice(&text));
	out->failed = out->failed || !ms_buf_ok(&text);
	ms_buf_fini(&text);
}

static enum ms_err append_signature(const struct jose_key *key, struct slice message, struct buf *out)
{
	const struct jose_alg_row *row = ms_jose_alg_row(key->alg);
	struct buf signature;
	enum ms_err err = MS_OK;
	ms_buf_init(&signature, MS_RSA_MAX_BITS / 8);
	if (key->hmac != NULL) {
		uint8_t mac[MS_DIGEST_MAX];
		err = ms_hmac_with(key->hmac, message, mac) ? MS_OK : MS_ERR_NO_MEMORY;
		ms_buf_append(&signature, mac, ms_digest_size(row->hash));
	} else {
		err = ms_crypto_sign(key->key, row->scheme, row->hash, message, &signature);
	}
	if (err == MS_OK && !ms_buf_ok(&signature))
		err = MS_ERR_NO_MEMORY;
	if (err == MS_OK) {
		ms_buf_append_char(out, '.');
		ms_base64url_append(out, ms_buf_slice(&signature));
	}
	ms_buf_fini(&signature);
	return err;
}

enum ms_err ms_jws_sign(const struct jose_key *key, struct slice typ, struct slice payload, struct errinfo *info,
			struct buf *out)
{
	MS_ASSERT(key->can_sign);
	size_t start = out->n;
	append_header(key, typ, out);
	ms_buf_append_char(out, '.');
	ms_base64url_append(out, payload);
	enum ms_err err = ms_buf_ok(out) ? MS_OK : MS_ERR_NO_MEMORY;
	if (err == MS_OK)
		err = append_signature(key, ms_slice(out->p + start, out->n - start), out);
	if (err == MS_OK && ms_buf_ok(out))
		return MS_OK;
	out->n = start;
	return ms_fail(info, MS_ERR_NO_MEMORY, "no memory to sign a token");
}
