// SPDX-License-Identifier: Apache-2.0
// Compact JWE (RFC 7516), decryption. What fails behind the header says no more than that it failed, so that nobody learns about
// the key by asking.
#include "jose/internal.h"

static enum ms_err bad(struct errinfo *info, const char *what)
{
	return ms_fail(info, MS_ERR_TOKEN_INVALID, "%s", what);
}

static bool text_of(const struct json_value *header, const char *member, struct slice *ret_text)
{
	return ms_json_as_str(ms_json_get(header, member), ret_text);
}

// Bytes in a member of the header; absent is empty.
static enum ms_err bytes_of(const struct json_value *header, const char *member, struct arena *arena,
			    struct slice *ret_bytes)
{
	struct slice text;
	*ret_bytes = MS_SLICE_EMPTY;
	if (ms_json_get(header, member) == NULL)
		return MS_OK;
	return text_of(header, member, &text) ? ms_jose_base64url(text, arena, ret_bytes) : MS_ERR_INVALID;
}

static enum ms_err find_key(const struct jose_header *header, const struct jwe_key *const *keys, size_t count,
			    const struct jwe_enc_row *enc, struct errinfo *info, const struct jwe_key **ret_key)
{
	enum jwe_alg alg;
	if (!ms_jwe_alg_find(header->alg, &alg))
		return bad(info, "the token's key management algorithm is none that is taken");
	const struct jwe_key *found = NULL;
	for (size_t i = 0; i < count; i++) {
		const struct jwe_key *key = keys[i];
		if (key->alg != alg || (key->enc != NULL && key->enc != enc) ||
		    (header->kid.p != NULL && !ms_slice_eq(key->kid, header->kid)))
			continue;
		if (found != NULL)
			return bad(info, "the token does not say for which of several keys it was encrypted");
		found = key;
	}
	if (found == NULL)
		return bad(info, "there is no key of the token's \"kid\" and \"alg\"");
	*ret_key = found;
	return MS_OK;
}

static void append_u32(struct buf *out, size_t n)
{
	const uint8_t bytes[4] = {(uint8_t)(n >> 24), (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n};
	ms_buf_append(out, bytes, sizeof(bytes));
}

static void append_counted(struct buf *out, struct slice bytes)
{
	append_u32(out, bytes.n);
	ms_buf_append_slice(out, bytes);
}

// Concat KDF of NIST SP 800-56A as RFC 7518, 4.6.2 has it: at most 64 bytes, two rounds of SHA-256.
static enum ms_err derive(struct slice secret, struct slice algorithm, struct slice apu, struct slice apv, size_t size,
			  struct arena *arena, struct slice *ret_key)
{
	uint8_t *key = ms_arena_alloc(arena, 64);
	if (key == NULL)
		return MS_ERR_NO_MEMORY;
	struct buf text;
	ms_buf_init(&text, 65536);
	for (uint32_t round = 1; round <= 2; round++) {
		ms_buf_clear(&text);
		append_u32(&text, round);
		ms_buf_append_slice(&text, secret);
		append_counted(&text, algorithm);
		append_counted(&text, apu);
		append_counted(&text, apv);
		append_u32(&text, size * 8);
		ms_sha256(ms_buf_slice(&text), key + 32 * (round - 1));
	}
	bool ok = ms_buf_ok(&text);
	if (text.n > 0)
		ms_wipe(text.p, text.n);
	ms_buf_fini(&text);
	*ret_key = ms_slice(key, size);
	return ok ? MS_OK : MS_ERR_NO_MEMORY;
}

// The secret that our key and the sender's ephemeral one agree on, made into a key of `size` bytes for `algorithm`.
static enum ms_err agree(const struct jwe_key *key, const struct json_value *header, struct slice algorithm,
			 size_t size, struct arena *arena, struct slice *ret_key)
{
	struct jwk jwk;
	struct crypto_key *peer;
	struct slice apu, apv;
	uint8_t secret[MS_AGREED_MAX];
	size_t n = 0;
	const struct json_value *epk = ms_json_get(header, "epk");
	if (epk == NULL)
		return MS_ERR_INVALID;
	MS_TRY(bytes_of(header, "apu", arena, &apu));
	MS_TRY(bytes_of(header, "apv", arena, &apv));
	MS_TRY(ms_jwk_read(epk, NULL, &jwk));
	MS_TRY(ms_jwk_asymmetric(&jwk, arena, NULL, &peer));
	bool ok = ms_crypto_key_kind(peer) == ms_crypto_key_kind(key->key) && !ms_crypto_key_is_private(peer) &&
		  ms_crypto_agree(key->key, peer, secret, &n);
	ms_crypto_key_unref(peer);
	enum ms_err err = ok ? derive(ms_slice(secret, n), algorithm, apu, apv, size, arena, ret_key) : MS_ERR_INVALID;
	ms_wipe(secret, sizeof(secret));
	return err;
}

// The key that encrypts the content. It has the size that `enc` wants.
static enum ms_err content_key(const struct jwe_key *key, const struct jose_header *header,
			       const struct jwe_enc_row *enc, struct slice wrapped, struct arena *arena,
			       struct slice *ret_key)
{
	const struct jwe_alg_row *row = ms_jwe_alg_row(key->alg);
	struct slice got = key->secret, iv, tag;
	switch (row->way) {
	case WAY_DIRECT:
	case WAY_AGREE:
		if (wrapped.n != 0)
			return MS_ERR_INVALID;
		if (row->way == WAY_AGREE)
			MS_TRY(agree(key, header->all, ms_slice_cstr(enc->name), enc->key_size, arena, &got));
		break;
	case WAY_WRAP:
		MS_TRY(ms_aes_unwrap(key->secret, wrapped, arena, &got));
		break;
	case WAY_AGREE_WRAP:
		MS_TRY(agree(key, header->all, header->alg, row->key_size, arena, &got));
		MS_TRY(ms_aes_unwrap(got, wrapped, arena, &got));
		break;
	case WAY_GCM:
		MS_TRY(bytes_of(header->all, "iv", arena, &iv));
		MS_TRY(bytes_of(header->all, "tag", arena, &tag));
		MS_TRY(ms_aes_gcm_open(key->secret, iv, MS_SLICE_EMPTY, wrapped, tag, arena, &got));
		break;
	case WAY_OAEP:
		MS_TRY(ms_crypto_oaep_open(key->key, row->hash, wrapped, arena, &got));
		break;
	}
	if (got.n != enc->key_size)
		return MS_ERR_INVALID;
	*ret_key = got;
	return MS_OK;
}

// parts: header, key, iv, ciphertext, tag.
static enum ms_err decrypt(const struct jwe_key *key, const struct jose_header *header, const struct jwe_enc_row *enc,
			   const struct slice parts[5], struct arena *arena, struct slice *ret_plaintext)
{
	struct slice bytes[5], secret;
	for (size_t i = 1; i < 5; i++)
		MS_TRY(ms_jose_base64url(parts[i], arena, &bytes[i]));
	MS_TRY(content_key(key, header, enc, bytes[1], arena, &secret));
	if (enc->gcm)
		return ms_aes_gcm_open(secret, bytes[2], parts[0], bytes[3], bytes[4], arena, ret_plaintext);
	return ms_aes_cbc_hmac_open(secret, bytes[2], parts[0], bytes[3], bytes[4], arena, ret_plaintext);
}

enum ms_err ms_jwe_open(struct slice compact, const struct jwe_key *const *keys, size_t count, struct arena *arena,
			struct errinfo *info, struct jwe *ret_jwe)
{
	struct slice parts[5], name, plaintext;
	struct jose_header header;
	const struct jwe_key *key;
	if (compact.n > MS_JWE_MAX)
		return bad(info, "the token is too long");
	if (!ms_compact_split(compact, parts, 5))
		return bad(info, "the token has not five parts");
	MS_TRY(ms_jose_header(parts[0], arena, info, &header));
	if (ms_json_get(header.all, "zip") != NULL)
		return bad(info, "the token is compressed");
	const struct jwe_enc_row *enc = text_of(header.all, "enc", &name) ? ms_jwe_enc_find(name) : NULL;
	if (enc == NULL)
		return bad(info, "the token's content encryption is none that is known");
	MS_TRY(find_key(&header, keys, count, enc, info, &key));
	enum ms_err err = decrypt(key, &header, enc, parts, arena, &plaintext);
	if (err == MS_ERR_NO_MEMORY)
		return err;
	if (err != MS_OK)
		return bad(info, "the token cannot be decrypted");
	*ret_jwe = (struct jwe){.header = header.text, .plaintext = plaintext};
	return MS_OK;
}
