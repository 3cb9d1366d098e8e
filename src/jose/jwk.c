// SPDX-License-Identifier: Apache-2.0
// The members of a JSON Web Key (RFC 7517, RFC 7518 section 6, RFC 8037), for keys that sign and keys that decrypt.
#include "jose/internal.h"

enum ms_err ms_jose_json(struct slice text, size_t bytes, struct arena *arena, struct errinfo *info,
			 const struct json_value **ret_value)
{
	struct json_limits limits = {.max_depth = 16, .max_bytes = bytes, .reject_duplicates = true};
	return ms_json_parse(text, &limits, arena, info, ret_value);
}

static enum ms_err bad(struct errinfo *info, const char *member, const char *what)
{
	ms_errinfo_set_field(info, ms_slice_cstr(member));
	return ms_fail(info, MS_ERR_INVALID, "\"%s\" of a JSON Web Key %s", member, what);
}

// A string, or absent: then ret_text->p is NULL.
static enum ms_err optional_text(const struct json_value *jwk, const char *member, struct errinfo *info,
				 struct slice *ret_text)
{
	const struct json_value *value = ms_json_get(jwk, member);
	*ret_text = MS_SLICE_EMPTY;
	if (value == NULL)
		return MS_OK;
	if (!ms_json_as_str(value, ret_text))
		return bad(info, member, "is a string");
	if (ret_text->n == 0)
		return bad(info, member, "is not empty");
	return MS_OK;
}

// What `key_ops` allows; each operation once.
static enum ms_err read_key_ops(const struct json_value *ops, struct errinfo *info, unsigned *use)
{
	unsigned seen = 0;
	if (ops->type != JSON_ARRAY || ops->array.count > 8)
		return bad(info, "key_ops", "is an array of at most 8 operations");
	static const struct {
		const char *name;
		unsigned use;
	} known[] = {
		{"sign", JWK_SIGN},         {"verify", JWK_VERIFY},     {"decrypt", JWK_DECRYPT},
		{"unwrapKey", JWK_DECRYPT}, {"deriveKey", JWK_DECRYPT}, {"deriveBits", JWK_DECRYPT},
	};
	for (size_t i = 0; i < ops->array.count; i++) {
		struct slice name, other;
		if (!ms_json_as_str(&ops->array.items[i], &name))
			return bad(info, "key_ops", "holds strings");
		for (size_t k = 0; k < i; k++) {
			if (ms_json_as_str(&ops->array.items[k], &other) && ms_slice_eq(name, other))
				return bad(info, "key_ops", "names an operation once");
		}
		for (size_t k = 0; k < MS_ARRAY_LEN(known); k++) {
			if (ms_slice_eq_cstr(name, known[k].name))
				seen |= known[k].use;
		}
	}
	*use &= seen;
	return MS_OK;
}

enum ms_err ms_jwk_read(const struct json_value *value, struct errinfo *info, struct jwk *ret_jwk)
{
	if (value->type != JSON_OBJECT)
		return ms_fail(info, MS_ERR_INVALID, "a JSON Web Key is an object");
	struct jwk jwk = {.all = value, .use = JWK_SIGN | JWK_VERIFY | JWK_DECRYPT};
	struct slice use;
	MS_TRY(optional_text(value, "kty", info, &jwk.kty));
	MS_TRY(optional_text(value, "alg", info, &jwk.alg));
	MS_TRY(optional_text(value, "kid", info, &jwk.kid));
	MS_TRY(optional_text(value, "use", info, &use));
	if (jwk.kty.p == NULL)
		return bad(info, "kty", "says its type and must be there");
	if (jwk.kid.n > MS_JOSE_KID_MAX)
		return bad(info, "kid", "is too long");
	if (use.p != NULL)
		jwk.use = ms_slice_eq_cstr(use, "sig")   ? JWK_SIGN | JWK_VERIFY
			  : ms_slice_eq_cstr(use, "enc") ? JWK_DECRYPT
							 : 0;
	const struct json_value *ops = ms_json_get(value, "key_ops");
	if (ops != NULL)
		MS_TRY(read_key_ops(ops, info, &jwk.use));
	*ret_jwk = jwk;
	return MS_OK;
}

// base64url bytes. A number has no zero byte in front; a field element has its size, which the crypto module checks.
static enum ms_err read_bytes(const struct json_value *jwk, const char *member, bool number, struct arena *arena,
			      struct errinfo *info, struct slice *ret_bytes)
{
	struct slice text;
	MS_TRY(optional_text(jwk, member, info, &text));
	*ret_bytes = MS_SLICE_EMPTY;
	if (text.p == NULL)
		return MS_OK;
	enum ms_err err = ms_jose_base64url(text, arena, ret_bytes);
	if (err != MS_OK)
		return err == MS_ERR_NO_MEMORY ? err : bad(info, member, "is base64url without padding");
	if (number && ret_bytes->p[0] == 0)
		return bad(info, member, "is a number without a zero byte in front");
	return MS_OK;
}

struct part {
	const char *name;
	struct slice *bytes;
	bool is_private;
};

// The members of a key type, the public ones first.
static size_t parts_of(enum jose_family family, struct crypto_key_params *p, struct part parts[8])
{
	const struct part rsa[] = {
		{"n", &p->n, false}, {"e", &p->e, false},  {"d", &p->d, true},   {"p", &p->p, true},
		{"q", &p->q, true},  {"dp", &p->dp, true}, {"dq", &p->dq, true}, {"qi", &p->qi, true},
	};
	const struct part ec[] = {{"x", &p->x, false}, {"y", &p->y, false}, {"d", &p->d, true}};
	const struct part okp[] = {{"x", &p->x, false}, {"d", &p->d, true}};
	switch (family) {
	case FAMILY_RSA:
		memcpy(parts, rsa, sizeof(rsa));
		return MS_ARRAY_LEN(rsa);
	case FAMILY_EC:
		memcpy(parts, ec, sizeof(ec));
		return MS_ARRAY_LEN(ec);
	case FAMILY_OKP:
		memcpy(parts, okp, sizeof(okp));
		return MS_ARRAY_LEN(okp);
	case FAMILY_OCT:
		break;
	}
	MS_UNREACHABLE();
}

static const struct {
	const char *kty, *crv;
	enum jose_family family;
	enum crypto_key_kind kind;
} types[] = {
	{"RSA", NULL, FAMILY_RSA, CRYPTO_RSA},          {"EC", "P-256", FAMILY_EC, CRYPTO_P256},
	{"EC", "P-384", FAMILY_EC, CRYPTO_P384},        {"EC", "P-521", FAMILY_EC, CRYPTO_P521},
	{"OKP", "Ed25519", FAMILY_OKP, CRYPTO_ED25519}, {"OKP", "X25519", FAMILY_OKP, CRYPTO_X25519},
};

enum ms_err ms_jwk_asymmetric(const struct jwk *jwk, struct arena *arena, struct errinfo *info,
			      struct crypto_key **ret_key)
{
	struct slice crv;
	MS_TRY(optional_text(jwk->all, "crv", info, &crv));
	size_t at = 0;
	while (at < MS_ARRAY_LEN(types) && !(ms_slice_eq_cstr(jwk->kty, types[at].kty) &&
					     (types[at].crv == NULL || ms_slice_eq_cstr(crv, types[at].crv))))
		at++;
	if (at == MS_ARRAY_LEN(types))
		return bad(info, "kty", "is oct, RSA, EC with P-256, P-384 or P-521, or OKP with Ed25519 or X25519");
	if (ms_json_get(jwk->all, "oth") != NULL)
		return bad(info, "oth", "is refused: an RSA key has two primes");
	struct crypto_key_params params = {0};
	struct part parts[8];
	size_t count = parts_of(types[at].family, &params, parts);
	enum ms_err err = MS_OK;
	for (size_t i = 0; i < count && err == MS_OK; i++) {
		err = read_bytes(jwk->all, parts[i].name, types[at].family == FAMILY_RSA, arena, info, parts[i].bytes);
		if (err == MS_OK && parts[i].bytes->p == NULL && !parts[i].is_private)
			err = bad(info, parts[i].name, "must be there");
	}
	if (err == MS_OK)
		err = ms_crypto_key_from_params(types[at].kind, &params, info, ret_key);
	for (size_t i = 0; i < count; i++) {
		if (parts[i].is_private)
			ms_wipe((void *)(uintptr_t)parts[i].bytes->p, parts[i].bytes->n);
	}
	return err;
}

enum ms_err ms_jwk_secret(const struct jwk *jwk, struct arena *arena, struct errinfo *info, struct slice *ret_secret)
{
	MS_TRY(read_bytes(jwk->all, "k", false, arena, info, ret_secret));
	return ret_secret->p != NULL ? MS_OK : bad(info, "k", "must be there");
}

static void write_bytes(struct json_writer *w, const char *member, struct slice bytes)
{
	struct buf text;
	ms_buf_init(&text, 4096);
	ms_base64url_append(&text, bytes);
	ms_json_key_lit(w, member);
	ms_json_str(w, ms_buf_slice(&text));
	w->out->failed = w->out->failed || !ms_buf_ok(&text);
	if (text.n > 0)
		ms_wipe(text.p, text.n);
	ms_buf_fini(&text);
}

static size_t type_of(enum crypto_key_kind kind)
{
	for (size_t i = 0; i < MS_ARRAY_LEN(types); i++) {
		if (types[i].kind == kind)
			return i;
	}
	MS_UNREACHABLE();
}

void ms_jwk_write(struct json_writer *w, const struct crypto_key *key, const struct crypto_key_params *params)
{
	size_t type = type_of(ms_crypto_key_kind(key));
	struct crypto_key_params copy = *params;
	struct part parts[8];
	ms_json_key_lit(w, "kty");
	ms_json_cstr(w, types[type].kty);
	if (types[type].crv != NULL) {
		ms_json_key_lit(w, "crv");
		ms_json_cstr(w, types[type].crv);
	}
	size_t count = parts_of(types[type].family, &copy, parts);
	for (size_t i = 0; i < count; i++) {
		if (parts[i].bytes->n > 0)
			write_bytes(w, parts[i].name, *parts[i].bytes);
	}
}

// The required public members in the order of their names, without white space.
static void write_thumbprint_text(struct buf *text, const struct crypto_key *key, const struct crypto_key_params *p,
				  struct slice secret)
{
	struct json_writer w;
	ms_json_writer_init(&w, text);
	ms_json_begin_object(&w);
	size_t type = key != NULL ? type_of(ms_crypto_key_kind(key)) : 0;
	bool rsa = key != NULL && types[type].family == FAMILY_RSA;
	if (key != NULL && !rsa) {
		ms_json_key_lit(&w, "crv");
		ms_json_cstr(&w, types[type].crv);
	}
	if (rsa)
		write_bytes(&w, "e", p->e);
	if (key == NULL)
		write_bytes(&w, "k", secret);
	ms_json_key_lit(&w, "kty");
	ms_json_cstr(&w, key == NULL ? "oct" : types[type].kty);
	if (rsa)
		write_bytes(&w, "n", p->n);
	if (key != NULL && !rsa)
		write_bytes(&w, "x", p->x);
	if (key != NULL && types[type].family == FAMILY_EC)
		write_bytes(&w, "y", p->y);
	ms_json_end_object(&w);
}

enum ms_err ms_jwk_thumbprint(const struct crypto_key *key, struct slice secret, char ret_print[MS_THUMBPRINT_SIZE])
{
	struct arena arena;
	struct buf text;
	struct crypto_key_params params = {0};
	ms_arena_init(&arena, 4096, 16384);
	ms_buf_init(&text, 8192);
	enum ms_err err = key != NULL ? ms_crypto_key_to_params(key, false, &arena, &params) : MS_OK;
	if (err == MS_OK) {
		write_thumbprint_text(&text, key, &params, secret);
		err = ms_buf_ok(&text) ? MS_OK : MS_ERR_NO_MEMORY;
	}
	if (err == MS_OK) {
		uint8_t digest[MS_SHA256_SIZE];
		ms_sha256(ms_buf_slice(&text), digest);
		ms_wipe(text.p, text.n); // the secret may be in it
		ms_buf_clear(&text);
		ms_base64url_append(&text, ms_slice(digest, sizeof(digest)));
		MS_ASSERT(text.n == MS_THUMBPRINT_SIZE);
		memcpy(ret_print, text.p, text.n);
	}
	ms_buf_fini(&text);
	ms_arena_fini(&arena);
	return err;
}
