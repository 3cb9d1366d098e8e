// SPDX-License-Identifier: Apache-2.0
// The OAuth provider's own: id tokens and the key that signs them, secrets, refusals, housekeeping.
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "auth/oauth.h"

#define ID_TOKEN_LIFE_S 3600
#define ID_KEY_CONTEXT "mainstay id token key"
#define DER_PREFIX_SIZE 16

const char *ms_auth_issuer(const struct auth *auth)
{
	return auth->options.issuer;
}

void ms_oauth_refuse(struct oauth_refusal *refusal, const char *error, const char *fmt, ...)
{
	va_list args;
	va_start(args, fmt);
	vsnprintf(refusal->description, sizeof(refusal->description), fmt, args);
	va_end(args);
	refusal->error = error;
}

void ms_oauth_secret_make(const char *prefix, struct oauth_secret *ret_secret)
{
	uint8_t random[MS_API_KEY_RANDOM_SIZE];
	ms_random_bytes(random, sizeof(random));
	size_t n = ms_api_key_make(ms_slice_cstr(prefix), random, ret_secret->text);
	ms_wipe(random, sizeof(random));
	ms_sha256(ms_slice(ret_secret->text, n), ret_secret->digest);
}

bool ms_oauth_secret_digest(struct slice text, const char *prefix, uint8_t ret_digest[MS_SHA256_SIZE])
{
	struct slice found;
	if (!ms_api_key_parse(text, &found) || !ms_slice_eq_cstr(found, prefix))
		return false;
	ms_sha256(text, ret_digest);
	return true;
}

struct slice ms_oauth_endpoint(const struct auth *auth, const char *path, struct arena *arena)
{
	return ms_slice_cstr(ms_arena_printf(arena, "%s%s", auth->options.issuer, path));
}

bool ms_oauth_keep(struct arena *arena, struct slice *text)
{
	if (text->p == NULL)
		return true;
	*text = ms_arena_copy(arena, *text);
	return text->p != NULL;
}

enum ms_err ms_oauth_end_sessions(struct store_tx *tx, const struct store_rows *ids, struct errinfo *info)
{
	for (size_t i = 0; i < ids->count; i++) {
		struct slice id = ms_store_get_text(ids, i, 0);
		MS_TRY(ms_store_run(tx, "UPDATE sessions SET revoked_us = $2 WHERE id = $1 AND revoked_us = 0",
				    MS_STORE_PARAMS(ms_store_text(id), ms_store_int(ms_store_now_us(tx))), info, NULL));
		MS_TRY(ms_auth_void_session(tx, id, info));
	}
	return MS_OK;
}

enum ms_err ms_oauth_sweep(struct store_tx *tx, int64_t before_us, int64_t rows, struct errinfo *info)
{
	static const char *const statements[] = {
		"DELETE FROM oauth_codes WHERE hash IN (SELECT hash FROM oauth_codes WHERE expires_us < $1 ORDER BY "
		"expires_us LIMIT $2)",
		"DELETE FROM oauth_logins WHERE hash IN (SELECT hash FROM oauth_logins WHERE expires_us < $1 ORDER BY "
		"expires_us LIMIT $2)",
		"DELETE FROM oauth_devices WHERE hash IN (SELECT hash FROM oauth_devices WHERE expires_us < $1 ORDER "
		"BY expires_us LIMIT $2)",
		"DELETE FROM oauth_assertions WHERE expires_us < $1 AND jti IN (SELECT jti FROM oauth_assertions WHERE "
		"expires_us < $1 "
		"ORDER BY expires_us LIMIT $2)",
	};
	for (size_t i = 0; i < MS_ARRAY_LEN(statements); i++)
		MS_TRY(ms_store_run(tx, statements[i], MS_STORE_PARAMS(ms_store_int(before_us), ms_store_int(rows)),
				    info, NULL));
	return MS_OK;
}

// --- Id tokens ---------------------------------------------------------------------------------------

// The key of id tokens beside JWT_SECRET: Ed25519, from the secret, so that every process has the same one. The form is PKCS #8 (RFC 8410, section 7).
static enum ms_err derive_key(const char *secret, struct errinfo *info, struct jose_key **ret_key)
{
	static const uint8_t prefix[DER_PREFIX_SIZE] = {0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06,
							0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20};
	uint8_t der[DER_PREFIX_SIZE + MS_SHA256_SIZE];
	struct buf pem;
	memcpy(der, prefix, sizeof(prefix));
	ms_hkdf(CRYPTO_SHA256, ms_slice_cstr(secret), MS_SLICE_EMPTY, MS_SLICE_LIT(ID_KEY_CONTEXT),
		der + sizeof(prefix), MS_SHA256_SIZE);
	ms_buf_init(&pem, 1024);
	ms_buf_append_cstr(&pem, "-----BEGIN PRIVATE KEY-----\n");
	ms_base64_append(&pem, ms_slice(der, sizeof(der)));
	ms_buf_append_cstr(&pem, "\n-----END PRIVATE KEY-----\n");
	enum ms_err err =
		ms_buf_ok(&pem) ? ms_jose_key_parse_pem(ms_buf_slice(&pem), JOSE_ED25519, MS_SLICE_EMPTY, info, ret_key)
				: ms_fail(info, MS_ERR_NO_MEMORY, "out of memory");
	ms_wipe(der, sizeof(der));
	if (pem.p != NULL)
		ms_wipe(pem.p, pem.n);
	ms_buf_fini(&pem);
	return err;
}

static struct jose_key *id_key(struct auth *auth)
{
	return auth->oauth->id_key != NULL ? ms_jose_key_ref(auth->oauth->id_key) : ms_auth_signing_key(auth);
}

enum jose_alg ms_oauth_id_token_alg(struct auth *auth)
{
	struct jose_key *key = id_key(auth);
	enum jose_alg alg = ms_jose_key_alg(key);
	ms_jose_key_unref(key);
	return alg;
}

void ms_oauth_write_jwks(const struct auth *auth, const struct loop *loop, struct buf *out)
{
	if (auth->oauth->id_key == NULL) {
		ms_auth_write_jwks(auth, loop, out);
		return;
	}
	ms_buf_append_cstr(out, "{\"keys\":[");
	ms_jose_key_write(auth->oauth->id_key, false, out);
	ms_buf_append_cstr(out, "]}");
}

static void text_member(struct json_writer *w, const char *name, struct slice value)
{
	if (value.n == 0)
		return;
	ms_json_key_lit(w, name);
	ms_json_str(w, value);
}

static void int_member(struct json_writer *w, const char *name, int64_t value)
{
	ms_json_key_lit(w, name);
	ms_json_i64(w, value);
}

static void write_methods(struct json_writer *w, struct slice methods)
{
	struct slice word;
	ms_json_key_lit(w, "amr");
	ms_json_begin_array(w);
	while (ms_slice_next(&methods, ' ', &word)) {
		if (word.n > 0)
			ms_json_str(w, word);
	}
	ms_json_end_array(w);
}

static void write_id_claims(const struct auth *auth, const struct oauth_issue *issue, struct buf *out)
{
	struct json_writer w;
	int64_t now_s = ms_clock_wall_ns() / 1000000000;
	ms_json_writer_init(&w, out);
	ms_json_begin_object(&w);
	text_member(&w, "iss", ms_slice_cstr(auth->options.issuer));
	text_member(&w, "sub", issue->claims.user_id);
	text_member(&w, "aud", issue->claims.client_id);
	int_member(&w, "iat", now_s);
	int_member(&w, "exp", now_s + ID_TOKEN_LIFE_S);
	int_member(&w, "auth_time", issue->auth_us / 1000000);
	text_member(&w, "nonce", issue->nonce);
	text_member(&w, "sid", issue->claims.session);
	write_methods(&w, issue->methods);
	if (ms_oauth_scope_has(issue->scope, "profile")) {
		text_member(&w, "name", issue->user.display_name);
		text_member(&w, "preferred_username", issue->user.username);
	}
	if (ms_oauth_scope_has(issue->scope, "email") && issue->user.email.n > 0) {
		text_member(&w, "email", issue->user.email);
		ms_json_key_lit(&w, "email_verified");
		ms_json_bool(&w, false); // nobody has looked
	}
	ms_json_end_object(&w);
}

static enum ms_err sign_id_token(struct auth *auth, const struct oauth_issue *issue, struct errinfo *info,
				 struct buf *out)
{
	struct buf payload;
	struct jose_key *key = id_key(auth);
	if (key == NULL)
		return ms_fail(info, MS_ERR_INTERNAL, "there is no key to sign with");
	ms_buf_init(&payload, MS_JWS_MAX);
	write_id_claims(auth, issue, &payload);
	enum ms_err err = ms_buf_ok(&payload) ? ms_jws_sign(key, MS_SLICE_LIT("JWT"), ms_buf_slice(&payload), info, out)
					      : ms_fail(info, MS_ERR_NO_MEMORY, "out of memory");
	ms_buf_fini(&payload);
	ms_jose_key_unref(key);
	return err;
}

enum ms_err ms_oauth_sign(struct auth *auth, const struct oauth_issue *issue, struct errinfo *info, struct buf *access,
			  struct buf *id_token)
{
	MS_TRY(ms_auth_token_sign(auth, &issue->claims, info, access));
	if (issue->claims.user_id.n > 0 && ms_oauth_scope_has(issue->scope, MS_OAUTH_OPENID))
		MS_TRY(sign_id_token(auth, issue, info, id_token));
	return ms_buf_ok(access) && ms_buf_ok(id_token) ? MS_OK
							: ms_fail(info, MS_ERR_LIMIT, "the token would be too large");
}

static struct slice claim(const struct json_value *claims, const char *name)
{
	struct slice text = MS_SLICE_EMPTY;
	return ms_json_as_str(ms_json_get(claims, name), &text) ? text : MS_SLICE_EMPTY;
}

bool ms_oauth_id_token_read(const struct auth *auth, const struct loop *loop, struct slice token, struct arena *arena,
			    struct oauth_id_token *ret_token)
{
	struct jose_keys keys = ms_auth_verify_keys(auth, loop);
	const struct json_value *claims;
	struct errinfo ignored;
	struct jws jws;
	ms_errinfo_init(&ignored);
	if (auth->oauth->id_key != NULL)
		keys = (struct jose_keys){&auth->oauth->id_key, 1};
	if (ms_jws_verify(token, keys, arena, &ignored, &jws) != MS_OK ||
	    !ms_slice_eq_nocase(jws.typ, MS_SLICE_LIT("JWT")) ||
	    ms_json_parse(jws.payload, NULL, arena, &ignored, &claims) != MS_OK || claims->type != JSON_OBJECT)
		return false;
	*ret_token = (struct oauth_id_token){
		.client_id = claim(claims, "aud"), .user_id = claim(claims, "sub"), .session = claim(claims, "sid")};
	return ms_slice_eq_cstr(claim(claims, "iss"), auth->options.issuer) && ret_token->client_id.n > 0 &&
	       ret_token->user_id.n > 0;
}

// --- Life --------------------------------------------------------------------------------------------

enum ms_err ms_auth_oauth_new(struct auth *auth, struct errinfo *info)
{
	auth->oauth = calloc(1, sizeof(*auth->oauth));
	if (auth->oauth == NULL)
		return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory");
	return auth->options.jwt_secret[0] != '\0' ? derive_key(auth->options.jwt_secret, info, &auth->oauth->id_key)
						   : MS_OK;
}

void ms_auth_oauth_free(struct auth *auth)
{
	if (auth->oauth == NULL)
		return;
	ms_jose_key_unref(auth->oauth->id_key);
	free(auth->oauth);
	auth->oauth = NULL;
}
