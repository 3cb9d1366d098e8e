// SPDX-License-Identifier: Apache-2.0
// Keys that sign and verify: a key and the one algorithm that it is for.
#include <stdatomic.h>
#include <stdlib.h>

#include "jose/internal.h"

#define SECRET_MAX 1024

struct jose_key *ms_jose_key_ref(struct jose_key *key)
{
	atomic_fetch_add_explicit(&key->refs, 1, memory_order_relaxed);
	return key;
}

void ms_jose_key_unref(struct jose_key *key)
{
	if (key == NULL || atomic_fetch_sub_explicit(&key->refs, 1, memory_order_acq_rel) != 1)
		return;
	ms_crypto_key_unref(key->key);
	ms_hmac_free(key->hmac);
	ms_wipe((void *)(uintptr_t)key->secret.p, key->secret.n);
	free(key);
}

enum jose_alg ms_jose_key_alg(const struct jose_key *key)
{
	return key->alg;
}

struct slice ms_jose_key_id(const struct jose_key *key)
{
	return key->kid;
}

bool ms_jose_key_is_private(const struct jose_key *key)
{
	return key->can_sign;
}

// Takes the crypto key, also when it fails.
static enum ms_err make(enum jose_alg alg, struct crypto_key *crypto, struct slice secret, struct slice kid,
			unsigned use, struct errinfo *info, struct jose_key **ret_key)
{
	char print[MS_THUMBPRINT_SIZE];
	enum ms_err err = MS_OK;
	struct jose_key *key = NULL;
	if (kid.n == 0) {
		err = ms_jwk_thumbprint(crypto, secret, print);
		kid = ms_slice(print, sizeof(print));
	} else if (kid.n > MS_JOSE_KID_MAX) {
		err = ms_fail(info, MS_ERR_INVALID, "the id of a key has at most %d bytes", MS_JOSE_KID_MAX);
	}
	struct crypto_hmac *hmac =
		err == MS_OK && crypto == NULL ? ms_hmac_new(ms_jose_alg_row(alg)->hash, secret) : NULL;
	if (err == MS_OK && (crypto != NULL || hmac != NULL))
		key = malloc(sizeof(*key) + secret.n + kid.n);
	if (key == NULL) {
		ms_hmac_free(hmac);
		ms_crypto_key_unref(crypto);
		return err != MS_OK ? err : MS_ERR_NO_MEMORY;
	}
	char *tail = (char *)(key + 1);
	*key = (struct jose_key){.refs = 1, .alg = alg, .key = crypto, .hmac = hmac};
	if (secret.n > 0)
		memcpy(tail, secret.p, secret.n);
	memcpy(tail + secret.n, kid.p, kid.n);
	key->secret = ms_slice(tail, secret.n);
	key->kid = ms_slice(tail + secret.n, kid.n);
	key->can_sign = (use & JWK_SIGN) != 0 && (crypto == NULL || ms_crypto_key_is_private(crypto));
	key->can_verify = (use & JWK_VERIFY) != 0;
	*ret_key = key;
	return MS_OK;
}

static enum ms_err make_hmac(enum jose_alg alg, struct slice secret, struct slice kid, unsigned use,
			     struct errinfo *info, struct jose_key **ret_key)
{
	const struct jose_alg_row *row = ms_jose_alg_row(alg);
	MS_ASSERT(row->family == FAMILY_OCT);
	if (secret.n < ms_digest_size(row->hash) || secret.n > SECRET_MAX)
		return ms_fail(info, MS_ERR_INVALID, "a secret for %s has %zu to %d bytes, not %zu", row->name,
			       ms_digest_size(row->hash), SECRET_MAX, secret.n);
	return make(alg, NULL, secret, kid, use, info, ret_key);
}

enum ms_err ms_jose_key_hmac(enum jose_alg alg, struct slice secret, struct slice kid, struct errinfo *info,
			     struct jose_key **ret_key)
{
	return make_hmac(alg, secret, kid, JWK_SIGN | JWK_VERIFY, info, ret_key);
}

enum ms_err ms_jose_key_generate(enum jose_alg alg, struct errinfo *info, struct jose_key **ret_key)
{
	const struct jose_alg_row *row = ms_jose_alg_row(alg);
	MS_ASSERT(row->family != FAMILY_OCT);
	struct crypto_key *crypto;
	MS_TRY(ms_crypto_key_generate(row->kind, MS_RSA_MIN_BITS, &crypto));
	return make(alg, crypto, MS_SLICE_EMPTY, MS_SLICE_EMPTY, JWK_SIGN | JWK_VERIFY, info, ret_key);
}

enum ms_err ms_jose_key_parse_pem(struct slice pem, enum jose_alg alg, struct slice kid, struct errinfo *info,
				  struct jose_key **ret_key)
{
	const struct jose_alg_row *row = ms_jose_alg_row(alg);
	MS_ASSERT(row->family != FAMILY_OCT);
	struct crypto_key *crypto;
	MS_TRY(ms_crypto_key_from_pem(pem, info, &crypto));
	if (ms_crypto_key_kind(crypto) != row->kind) {
		ms_crypto_key_unref(crypto);
		return ms_fail(info, MS_ERR_INVALID, "this PEM key is of another type than %s wants", row->name);
	}
	return make(alg, crypto, MS_SLICE_EMPTY, kid, JWK_SIGN | JWK_VERIFY, info, ret_key);
}

// --- JWK ---

// The one algorithm that goes with the type and curve; RSA keys and secrets have several.
static enum jose_alg implied_alg(const struct json_value *jwk)
{
	static const struct {
		const char *crv;
		enum jose_alg alg;
	} curves[] = {{"P-256", JOSE_ES256}, {"P-384", JOSE_ES384}, {"P-521", JOSE_ES512}, {"Ed25519", JOSE_ED25519}};
	struct slice crv;
	if (!ms_json_as_str(ms_json_get(jwk, "crv"), &crv))
		return JOSE_ALG_COUNT;
	for (size_t i = 0; i < MS_ARRAY_LEN(curves); i++) {
		if (ms_slice_eq_cstr(crv, curves[i].crv))
			return curves[i].alg;
	}
	return JOSE_ALG_COUNT;
}

static enum ms_err pick_alg(const struct jwk *jwk, enum jose_alg fallback, struct errinfo *info, enum jose_alg *ret_alg)
{
	ms_errinfo_set_field(info, MS_SLICE_LIT("alg"));
	enum jose_alg alg = fallback;
	if (jwk->alg.p != NULL && !ms_jose_alg_find(jwk->alg, &alg))
		return ms_fail(info, MS_ERR_INVALID, "\"alg\" of a JSON Web Key is none that is known");
	if (alg == JOSE_ALG_COUNT)
		return ms_fail(info, MS_ERR_INVALID, "a JSON Web Key has to say its \"alg\"");
	static const char *const types[] = {
		[FAMILY_OCT] = "oct", [FAMILY_RSA] = "RSA", [FAMILY_EC] = "EC", [FAMILY_OKP] = "OKP"};
	const struct jose_alg_row *row = ms_jose_alg_row(alg);
	if (!ms_slice_eq_cstr(jwk->kty, types[row->family]))
		return ms_fail(info, MS_ERR_INVALID, "a JSON Web Key for %s has \"kty\" %s", row->name,
			       types[row->family]);
	if ((jwk->use & (JWK_SIGN | JWK_VERIFY)) == 0)
		return ms_fail(info, MS_ERR_INVALID,
			       "\"use\" or \"key_ops\" of the key is for other things than signatures");
	ms_errinfo_set_field(info, MS_SLICE_EMPTY);
	*ret_alg = alg;
	return MS_OK;
}

static enum ms_err from_value(const struct json_value *value, enum jose_alg fallback, struct arena *arena,
			      struct errinfo *info, struct jose_key **ret_key)
{
	struct jwk jwk;
	enum jose_alg alg;
	MS_TRY(ms_jwk_read(value, info, &jwk));
	MS_TRY(pick_alg(&jwk, fallback, info, &alg));
	const struct jose_alg_row *row = ms_jose_alg_row(alg);
	if (row->family == FAMILY_OCT) {
		struct slice secret;
		MS_TRY(ms_jwk_secret(&jwk, arena, info, &secret));
		enum ms_err err = make_hmac(alg, secret, jwk.kid, jwk.use, info, ret_key);
		ms_wipe((void *)(uintptr_t)secret.p, secret.n);
		return err;
	}
	struct crypto_key *crypto;
	MS_TRY(ms_jwk_asymmetric(&jwk, arena, info, &crypto));
	if (ms_crypto_key_kind(crypto) != row->kind) {
		ms_crypto_key_unref(crypto);
		return ms_fail(info, MS_ERR_INVALID, "the curve of this key is not that of %s", row->name);
	}
	return make(alg, crypto, MS_SLICE_EMPTY, jwk.kid, jwk.use, info, ret_key);
}

enum ms_err ms_jose_key_parse(struct slice jwk, enum jose_alg fallback, struct errinfo *info, struct jose_key **ret_key)
{
	struct arena arena;
	ms_arena_init(&arena, 8192, MS_JWK_MEMORY);
	const struct json_value *value;
	enum ms_err err = ms_jose_json(jwk, MS_JWK_MAX, &arena, info, &value);
	if (err == MS_OK)
		err = from_value(value, fallback, &arena, info, ret_key);
	ms_arena_fini(&arena);
	return err;
}

static void write_members(struct json_writer *w, const struct jose_key *key, const struct crypto_key_params *params)
{
	ms_json_begin_object(w);
	if (key->key != NULL) {
		ms_jwk_write(w, key->key, params);
	} else {
		struct buf text;
		ms_buf_init(&text, 4096);
		ms_base64url_append(&text, key->secret);
		ms_json_key_lit(w, "kty");
		ms_json_cstr(w, "oct");
		ms_json_key_lit(w, "k");
		ms_json_str(w, ms_buf_slice(&text));
		w->out->failed = w->out->failed || !ms_buf_ok(&text);
		if (text.n > 0)
			ms_wipe(text.p, text.n);
		ms_buf_fini(&text);
	}
	ms_json_key_lit(w, "alg");
	ms_json_cstr(w, ms_jose_alg_name(key->alg));
	ms_json_key_lit(w, "use");
	ms_json_cstr(w, "sig");
	ms_json_key_lit(w, "kid");
	ms_json_str(w, key->kid);
	ms_json_end_object(w);
}

void ms_jose_key_write(const struct jose_key *key, bool with_private, struct buf *out)
{
	MS_ASSERT(key->key != NULL || with_private); // a secret is never published
	with_private = with_private && key->key != NULL && ms_crypto_key_is_private(key->key);
	struct arena arena;
	struct json_writer w;
	struct crypto_key_params params = {0};
	ms_arena_init(&arena, 8192, 32768);
	if (key->key != NULL && ms_crypto_key_to_params(key->key, with_private, &arena, &params) != MS_OK) {
		out->failed = true;
	} else {
		ms_json_writer_init(&w, out);
		write_members(&w, key, &params);
	}
	const struct slice secrets[] = {params.d, params.p, params.q, params.dp, params.dq, params.qi};
	for (size_t i = 0; i < MS_ARRAY_LEN(secrets); i++)
		ms_wipe((void *)(uintptr_t)secrets[i].p, secrets[i].n);
	ms_arena_fini(&arena);
}

// --- JWK sets ---

static enum jose_alg set_fallback(const struct json_value *value)
{
	struct slice kty;
	if (ms_json_as_str(ms_json_get(value, "kty"), &kty) && ms_slice_eq_cstr(kty, "RSA"))
		return JOSE_RS256;
	return implied_alg(value);
}

// What makes a whole set unusable: two keys that answer to one name, or secrets among public keys.
static enum ms_err check_set(struct jose_key *const *keys, size_t count, struct errinfo *info)
{
	const struct jose_key *last = keys[count - 1];
	for (size_t i = 0; i + 1 < count; i++) {
		if ((keys[i]->key == NULL) != (last->key == NULL))
			return ms_fail(info, MS_ERR_INVALID, "a key set holds secrets and public keys");
		if (keys[i]->alg == last->alg && ms_slice_eq(keys[i]->kid, last->kid))
			return ms_fail(info, MS_ERR_INVALID, "a key set holds two keys of one \"kid\" and \"alg\"");
	}
	return MS_OK;
}

static bool same_member(const struct json_value *a, const struct json_value *b, const char *member)
{
	struct slice x = MS_SLICE_EMPTY, y = MS_SLICE_EMPTY;
	bool has_x = ms_json_as_str(ms_json_get(a, member), &x), has_y = ms_json_as_str(ms_json_get(b, member), &y);
	return has_x == has_y && ms_slice_eq(x, y);
}

// As check_set, for the texts: also a key that is passed over must not share the name of another.
static enum ms_err check_names(const struct json_value *list, size_t at, struct errinfo *info)
{
	const struct json_value *last = &list->array.items[at];
	for (size_t i = 0; i < at && ms_json_get(last, "kid") != NULL; i++) {
		const struct json_value *other = &list->array.items[i];
		if (same_member(last, other, "kid") && same_member(last, other, "alg") &&
		    same_member(last, other, "kty") && same_member(last, other, "use"))
			return ms_fail(info, MS_ERR_INVALID, "a key set holds two keys of one \"kid\" and \"alg\"");
	}
	return MS_OK;
}

static enum ms_err read_set(const struct json_value *list, struct arena *scratch, struct errinfo *info,
			    struct jose_key **keys, size_t *count)
{
	for (size_t i = 0; i < list->array.count; i++) {
		const struct json_value *value = &list->array.items[i];
		if (value->type != JSON_OBJECT)
			return ms_fail(info, MS_ERR_INVALID, "a key of a key set is an object");
		MS_TRY(check_names(list, i, info));
		struct arena_mark mark = ms_arena_mark(scratch);
		enum ms_err err = from_value(value, set_fallback(value), scratch, NULL, &keys[*count]);
		ms_arena_rewind(scratch, mark);
		if (err == MS_ERR_NO_MEMORY || err == MS_ERR_LIMIT)
			return err;
		if (err != MS_OK)
			continue; // of another kind, for another use, or one that cannot be trusted
		++*count;
		MS_TRY(check_set(keys, *count, info));
	}
	return MS_OK;
}

enum ms_err ms_jose_keys_parse(struct slice jwks, size_t max, struct arena *arena, struct errinfo *info,
			       struct jose_keys *ret_keys)
{
	struct arena scratch;
	ms_arena_init(&scratch, 16384, (size_t)8 << 20);
	const struct json_value *value;
	enum ms_err err = ms_jose_json(jwks, MS_JWKS_MAX, &scratch, info, &value);
	const struct json_value *list = err == MS_OK ? ms_json_get(value, "keys") : NULL;
	if (err == MS_OK && (list == NULL || list->type != JSON_ARRAY))
		err = ms_fail(info, MS_ERR_INVALID, "a key set is an object with an array \"keys\"");
	else if (err == MS_OK && list->array.count > max)
		err = ms_fail(info, MS_ERR_LIMIT, "a key set holds at most %zu keys, not %zu", max, list->array.count);
	struct jose_key **keys = NULL;
	size_t count = 0;
	if (err == MS_OK) {
		keys = MS_ARENA_ARRAY(arena, struct jose_key *, list->array.count);
		err = keys != NULL ? read_set(list, &scratch, info, keys, &count) : MS_ERR_NO_MEMORY;
	}
	ms_arena_fini(&scratch);
	if (err == MS_OK) {
		*ret_keys = (struct jose_keys){keys, count};
		return MS_OK;
	}
	for (size_t i = 0; i < count; i++)
		ms_jose_key_unref(keys[i]);
	return err;
}
