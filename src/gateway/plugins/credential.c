// SPDX-License-Identifier: Apache-2.0
// Credentials of consumers, made ready when a plan is made.
#include "gateway/plugins/credential.h"
#include "crypto/crypto.h"

static void release_jwt(void *object)
{
	struct gw_jwt_key *k = object;
	ms_jose_key_unref(k->key);
	ms_jose_key_unref(k->from_base64);
}

static void wipe_basic(void *object)
{
	ms_wipe(object, sizeof(struct gw_basic_secret));
}

// HMAC pads a short key with zeros (RFC 2104), so a secret that is shorter than RFC 7518 wants, as Kong gives out, is the same key when it
// is padded here.
static enum ms_err hmac_key(enum jose_alg alg, struct slice secret, struct errinfo *info, struct jose_key **ret_key)
{
	char padded[MS_DIGEST_MAX] = {0};
	size_t wanted = alg == JOSE_HS256 ? 32 : alg == JOSE_HS384 ? 48 : 64;
	if (secret.n == 0)
		return ms_fail(info, MS_ERR_INVALID, "the secret is empty");
	if (secret.n >= wanted)
		return ms_jose_key_hmac(alg, secret, MS_SLICE_LIT("gateway"), info, ret_key);
	memcpy(padded, secret.p, secret.n);
	enum ms_err err = ms_jose_key_hmac(alg, ms_slice(padded, wanted), MS_SLICE_LIT("gateway"), info, ret_key);
	ms_wipe(padded, sizeof(padded));
	return err;
}

// Base64 of either alphabet, with or without padding, as Kong reads it.
static bool any_base64(struct slice text, struct arena *arena, struct slice *ret_bytes)
{
	while (text.n > 0 && text.p[text.n - 1] == '=')
		text.n--;
	char *copy = ms_arena_alloc(arena, text.n);
	if (copy == NULL)
		return false;
	for (size_t i = 0; i < text.n; i++)
		copy[i] = text.p[i] == '+' ? '-' : text.p[i] == '/' ? '_' : text.p[i];
	return ms_base64url_decode(ms_slice(copy, text.n), arena, ret_bytes);
}

static enum ms_err jwt_keys(struct plan *plan, const struct gw_credential *c, struct gw_jwt_key *k,
			    struct errinfo *info)
{
	struct slice bytes, name = c->algorithm.n > 0 ? c->algorithm : MS_SLICE_LIT("HS256");
	struct errinfo nobody;
	if (!ms_jose_alg_find(name, &k->alg))
		return ms_fail(info, MS_ERR_INVALID,
			       "algorithm: \"%.*s\" is not one of HS256 to HS512, RS256 to RS512, PS256 to PS512, "
			       "ES256 to ES512, EdDSA",
			       MS_SLICE_ARG(name));
	if (k->alg > JOSE_HS512) {
		if (c->rsa_public_key.n == 0)
			return ms_fail(info, MS_ERR_INVALID, "rsa_public_key: required for %.*s", MS_SLICE_ARG(name));
		return ms_jose_key_parse_pem(c->rsa_public_key, k->alg, MS_SLICE_LIT("gateway"), info, &k->key);
	}
	MS_TRY(hmac_key(k->alg, c->secret, info, &k->key));
	// For plugins with secret_is_base64; a secret that is no base64 lets nobody in there.
	ms_errinfo_init(&nobody);
	if (any_base64(c->secret, &plan->arena, &bytes) && bytes.n > 0 &&
	    hmac_key(k->alg, bytes, &nobody, &k->from_base64) != MS_OK)
		k->from_base64 = NULL;
	return MS_OK;
}

static enum ms_err compile_jwt(struct plan *plan, struct gw_credential *c, struct errinfo *info)
{
	struct gw_jwt_key *k = MS_ARENA_NEW(&plan->arena, struct gw_jwt_key);
	if (k == NULL)
		return ms_fail(info, MS_ERR_NO_MEMORY, "there is no memory for it");
	MS_TRY(jwt_keys(plan, c, k, info));
	if (!ms_arena_defer(&plan->arena, release_jwt, k)) {
		release_jwt(k);
		return ms_fail(info, MS_ERR_NO_MEMORY, "there is no memory for it");
	}
	c->compiled = k;
	return MS_OK;
}

static enum ms_err compile_basic(struct plan *plan, struct gw_credential *c, struct errinfo *info)
{
	struct gw_basic_secret *s = MS_ARENA_NEW(&plan->arena, struct gw_basic_secret);
	uint8_t mac[MS_DIGEST_MAX];
	if (s == NULL || !ms_arena_defer(&plan->arena, wipe_basic, s))
		return ms_fail(info, MS_ERR_NO_MEMORY, "there is no memory for it");
	if (c->key.n == 0 || ms_slice_find(c->key, ':') < c->key.n)
		return ms_fail(info, MS_ERR_INVALID, "username: text without a colon");
	s->hashed = ms_slice_starts_with(c->secret, MS_SLICE_LIT("$argon2")) ||
		    ms_slice_starts_with(c->secret, MS_SLICE_LIT("$2"));
	if (s->hashed) {
		s->stored = c->secret;
		MS_TRY(ms_password_check_stored(c->secret, info));
	} else {
		if (c->secret.n == 0 || c->secret.n > MS_PASSWORD_MAX_LENGTH)
			return ms_fail(info, MS_ERR_INVALID, "password: text of 1 to %d bytes", MS_PASSWORD_MAX_LENGTH);
		ms_random_bytes(s->salt, sizeof(s->salt));
		ms_hmac(CRYPTO_SHA256, ms_slice(s->salt, sizeof(s->salt)), c->secret, mac);
		memcpy(s->digest, mac, sizeof(s->digest));
	}
	c->compiled = s;
	return MS_OK;
}

bool ms_gw_credential_compile(struct plan *plan, struct gw_credential *credential, const char *path,
			      const struct json_value *where, struct problems *problems)
{
	struct errinfo info;
	enum ms_err err = MS_OK;
	ms_errinfo_init(&info);
	if (credential->kind == GW_JWT)
		err = compile_jwt(plan, credential, &info);
	else if (credential->kind == GW_BASICAUTH)
		err = compile_basic(plan, credential, &info);
	else if (credential->key.n == 0)
		err = ms_fail(&info, MS_ERR_INVALID, "key: required");
	if (err != MS_OK)
		ms_problem_add(problems, path, where, "%s", info.message);
	return err == MS_OK;
}
