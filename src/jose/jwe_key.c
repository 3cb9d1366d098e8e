// SPDX-License-Identifier: Apache-2.0
// Algorithms and keys of JWE.
#include <stdlib.h>

#include "jose/internal.h"

static const struct jwe_alg_row rows[JWE_ALG_COUNT] = {
	[JWE_DIR] = {"dir", WAY_DIRECT, 0, 0},
	[JWE_A128KW] = {"A128KW", WAY_WRAP, 16, 0},
	[JWE_A192KW] = {"A192KW", WAY_WRAP, 24, 0},
	[JWE_A256KW] = {"A256KW", WAY_WRAP, 32, 0},
	[JWE_A128GCMKW] = {"A128GCMKW", WAY_GCM, 16, 0},
	[JWE_A192GCMKW] = {"A192GCMKW", WAY_GCM, 24, 0},
	[JWE_A256GCMKW] = {"A256GCMKW", WAY_GCM, 32, 0},
	[JWE_RSA_OAEP] = {"RSA-OAEP", WAY_OAEP, 0, CRYPTO_SHA1},
	[JWE_RSA_OAEP_256] = {"RSA-OAEP-256", WAY_OAEP, 0, CRYPTO_SHA256},
	[JWE_ECDH_ES] = {"ECDH-ES", WAY_AGREE, 0, 0},
	[JWE_ECDH_ES_A128KW] = {"ECDH-ES+A128KW", WAY_AGREE_WRAP, 16, 0},
	[JWE_ECDH_ES_A192KW] = {"ECDH-ES+A192KW", WAY_AGREE_WRAP, 24, 0},
	[JWE_ECDH_ES_A256KW] = {"ECDH-ES+A256KW", WAY_AGREE_WRAP, 32, 0},
};

static const struct jwe_enc_row encs[] = {
	{"A128GCM", 16, true},        {"A192GCM", 24, true},        {"A256GCM", 32, true},
	{"A128CBC-HS256", 32, false}, {"A192CBC-HS384", 48, false}, {"A256CBC-HS512", 64, false},
};

const struct jwe_alg_row *ms_jwe_alg_row(enum jwe_alg alg)
{
	MS_ASSERT((unsigned)alg < JWE_ALG_COUNT);
	return &rows[alg];
}

const char *ms_jwe_alg_name(enum jwe_alg alg)
{
	return ms_jwe_alg_row(alg)->name;
}

bool ms_jwe_alg_find(struct slice name, enum jwe_alg *ret_alg)
{
	for (size_t i = 0; i < JWE_ALG_COUNT; i++) {
		if (ms_slice_eq_cstr(name, rows[i].name)) {
			*ret_alg = (enum jwe_alg)i;
			return true;
		}
	}
	return false;
}

const struct jwe_enc_row *ms_jwe_enc_find(struct slice name)
{
	for (size_t i = 0; i < MS_ARRAY_LEN(encs); i++) {
		if (ms_slice_eq_cstr(name, encs[i].name))
			return &encs[i];
	}
	return NULL;
}

void ms_jwe_key_free(struct jwe_key *key)
{
	if (key == NULL)
		return;
	ms_crypto_key_unref(key->key);
	ms_wipe((void *)(uintptr_t)key->secret.p, key->secret.n);
	free(key);
}

// Takes the crypto key, also when it fails.
static enum ms_err make(const struct jwe_key *like, struct jwe_key **ret_key)
{
	struct jwe_key *key = malloc(sizeof(*key) + like->secret.n + like->kid.n);
	if (key == NULL) {
		ms_crypto_key_unref(like->key);
		return MS_ERR_NO_MEMORY;
	}
	char *tail = (char *)(key + 1);
	*key = *like;
	if (like->secret.n > 0)
		memcpy(tail, like->secret.p, like->secret.n);
	if (like->kid.n > 0)
		memcpy(tail + like->secret.n, like->kid.p, like->kid.n);
	key->secret = ms_slice(tail, like->secret.n);
	key->kid = ms_slice(tail + like->secret.n, like->kid.n);
	*ret_key = key;
	return MS_OK;
}

static enum ms_err pick_alg(const struct jwk *jwk, enum jwe_alg fallback, struct errinfo *info, struct jwe_key *key)
{
	key->alg = fallback;
	if (jwk->alg.p != NULL && !ms_jwe_alg_find(jwk->alg, &key->alg)) {
		key->enc = ms_jwe_enc_find(jwk->alg);
		key->alg = key->enc != NULL ? JWE_DIR : JWE_ALG_COUNT;
	}
	if (key->alg == JWE_ALG_COUNT)
		return ms_fail(info, MS_ERR_INVALID,
			       "\"alg\" of a key for decryption is missing or none that is known");
	if ((jwk->use & JWK_DECRYPT) == 0)
		return ms_fail(info, MS_ERR_INVALID,
			       "\"use\" or \"key_ops\" of the key is for other things than decryption");
	return MS_OK;
}

static enum ms_err read_secret(const struct jwk *jwk, struct jwe_key *key, struct arena *arena, struct errinfo *info,
			       struct jwe_key **ret_key)
{
	if (!ms_slice_eq_cstr(jwk->kty, "oct"))
		return ms_fail(info, MS_ERR_INVALID, "a key for %s has \"kty\" oct", ms_jwe_alg_name(key->alg));
	MS_TRY(ms_jwk_secret(jwk, arena, info, &key->secret));
	size_t want = key->enc != NULL ? key->enc->key_size : ms_jwe_alg_row(key->alg)->key_size;
	enum ms_err err = MS_OK;
	if (want != 0 ? key->secret.n != want : key->secret.n < 16 || key->secret.n > 64)
		err = ms_fail(info, MS_ERR_INVALID, "a secret for %s has another size", ms_jwe_alg_name(key->alg));
	else
		err = make(key, ret_key);
	ms_wipe((void *)(uintptr_t)key->secret.p, key->secret.n);
	return err;
}

static enum ms_err read_private(const struct jwk *jwk, struct jwe_key *key, struct arena *arena, struct errinfo *info,
				struct jwe_key **ret_key)
{
	MS_TRY(ms_jwk_asymmetric(jwk, arena, info, &key->key));
	enum crypto_key_kind kind = ms_crypto_key_kind(key->key);
	bool fits = ms_jwe_alg_row(key->alg)->way == WAY_OAEP ? kind == CRYPTO_RSA
							      : kind != CRYPTO_RSA && kind != CRYPTO_ED25519;
	if (fits && ms_crypto_key_is_private(key->key))
		return make(key, ret_key);
	ms_crypto_key_unref(key->key);
	return ms_fail(info, MS_ERR_INVALID, "a key for %s is a private key that fits it", ms_jwe_alg_name(key->alg));
}

enum ms_err ms_jwe_key_parse(struct slice text, enum jwe_alg fallback, struct errinfo *info, struct jwe_key **ret_key)
{
	struct arena arena;
	ms_arena_init(&arena, 8192, MS_JWK_MEMORY);
	const struct json_value *value;
	struct jwk jwk;
	struct jwe_key key = {0};
	enum ms_err err = ms_jose_json(text, MS_JWK_MAX, &arena, info, &value);
	if (err == MS_OK)
		err = ms_jwk_read(value, info, &jwk);
	if (err == MS_OK)
		err = pick_alg(&jwk, fallback, info, &key);
	if (err == MS_OK) {
		enum jwe_way way = ms_jwe_alg_row(key.alg)->way;
		key.kid = jwk.kid;
		err = way == WAY_DIRECT || way == WAY_WRAP || way == WAY_GCM
			      ? read_secret(&jwk, &key, &arena, info, ret_key)
			      : read_private(&jwk, &key, &arena, info, ret_key);
	}
	ms_arena_fini(&arena);
	return err;
}
