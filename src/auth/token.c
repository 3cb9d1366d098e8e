// SPDX-License-Identifier: Apache-2.0
// Access tokens: JSON Web Tokens of the profile of RFC 9068, with the names that the clients of this service use beside the registered ones.
#include "auth/internal.h"

#define TYPE "at+jwt"
#define TIME_MAX_S 253402300799 // the last second of the year 9999
#define SKEW_S 5                // between the machines that issue; none of ours sets iat or nbf ahead

static void member(struct json_writer *w, const char *name, struct slice value)
{
	if (value.n == 0)
		return;
	ms_json_key_lit(w, name);
	ms_json_str(w, value);
}

static void number(struct json_writer *w, const char *name, int64_t value)
{
	ms_json_key_lit(w, name);
	ms_json_i64(w, value);
}

static void write_claims(const struct auth *auth, const struct auth_claims *claims, const char *id, int64_t issued_s,
			 int64_t expires_s, struct buf *out)
{
	struct json_writer w;
	ms_json_writer_init(&w, out);
	ms_json_begin_object(&w);
	member(&w, "iss", ms_slice_cstr(auth->options.issuer));
	member(&w, "sub", claims->user_id.n > 0 ? claims->user_id : claims->client_id);
	member(&w, "aud", ms_slice_cstr(auth->options.audience));
	member(&w, "user_id", claims->user_id);
	member(&w, "username", claims->username);
	member(&w, "role", claims->role);
	ms_json_key_lit(&w, "permissions");
	if (claims->permissions.n > 0)
		ms_json_raw(&w, claims->permissions);
	else {
		ms_json_begin_array(&w);
		ms_json_end_array(&w);
	}
	member(&w, "client_id", claims->client_id);
	member(&w, "scope", claims->scope);
	number(&w, "iat", issued_s);
	number(&w, "nbf", issued_s);
	number(&w, "exp", expires_s);
	member(&w, "jti", ms_slice_cstr(id));
	member(&w, "sid", claims->session);
	ms_json_end_object(&w);
}

enum ms_err ms_auth_token_sign(struct auth *auth, const struct auth_claims *claims, struct errinfo *info,
			       struct buf *out)
{
	char id[MS_AUTH_ID_SIZE];
	struct buf payload;
	int64_t issued_s = claims->issued_s != 0 ? claims->issued_s : ms_clock_wall_ns() / 1000000000;
	int64_t expires_s =
		claims->expires_s != 0 ? claims->expires_s : issued_s + (int64_t)(auth->options.token_life_ms / 1000);
	if (claims->id.n == 0 || !ms_slice_to_cstr(claims->id, id, sizeof(id)))
		ms_auth_id(id);
	struct jose_key *key = ms_auth_signing_key(auth);
	if (key == NULL)
		return ms_fail(info, MS_ERR_INTERNAL, "there is no key to sign with");
	ms_buf_init(&payload, MS_JWS_MAX);
	write_claims(auth, claims, id, issued_s, expires_s, &payload);
	enum ms_err err = ms_buf_ok(&payload) ? ms_jws_sign(key, MS_SLICE_LIT(TYPE), ms_buf_slice(&payload), info, out)
					      : ms_fail(info, MS_ERR_LIMIT,
							"the token would be too large: this user has too many grants");
	ms_buf_fini(&payload);
	ms_jose_key_unref(key);
	return err;
}

static struct slice text_of(const struct json_value *claims, const char *name)
{
	struct slice text = MS_SLICE_EMPTY;
	return ms_json_as_str(ms_json_get(claims, name), &text) ? text : MS_SLICE_EMPTY;
}

static enum ms_err raw_permissions(const struct json_value *claims, struct arena *arena, struct errinfo *info,
				   struct slice *ret_raw)
{
	const struct json_value *list = ms_json_get(claims, "permissions");
	struct json_writer w;
	struct buf out;
	if (list == NULL || list->type != JSON_ARRAY)
		return ms_fail(info, MS_ERR_TOKEN_INVALID, "the token has no permissions");
	ms_buf_init(&out, MS_JWS_MAX * 2);
	ms_json_writer_init(&w, &out);
	ms_json_value(&w, list);
	*ret_raw = ms_buf_ok(&out) ? ms_arena_copy(arena, ms_buf_slice(&out)) : MS_SLICE_EMPTY;
	ms_buf_fini(&out);
	return ret_raw->p != NULL ? MS_OK : ms_fail(info, MS_ERR_NO_MEMORY, "out of memory");
}

enum ms_err ms_auth_token_read(const struct auth *auth, const struct loop *loop, struct slice token,
			       struct arena *arena, struct errinfo *info, struct auth_claims *ret_claims)
{
	struct jwt_claims jwt;
	const struct jwt_policy policy = {
		.issuer = ms_slice_cstr(auth->options.issuer),
		.audience = ms_slice_cstr(auth->options.audience),
		.typ = MS_SLICE_LIT(TYPE),
		.now_s = ms_clock_wall_ns() / 1000000000,
		.skew_s = SKEW_S,
		.needs_expiry = true,
		.needs_subject = true,
	};
	MS_TRY(ms_jwt_verify(token, ms_auth_verify_keys(auth, loop), &policy, arena, info, &jwt));
	*ret_claims = (struct auth_claims){
		.user_id = text_of(jwt.all, "user_id"),
		.username = text_of(jwt.all, "username"),
		.role = text_of(jwt.all, "role"),
		.session = text_of(jwt.all, "sid"),
		.id = jwt.id,
		.client_id = text_of(jwt.all, "client_id"),
		.scope = text_of(jwt.all, "scope"),
		.issued_s = jwt.issued_s,
		.expires_s = jwt.expires_s,
	};
	// Whoever shares the secret may write any time: those that we write can be counted in microseconds.
	bool own = jwt.id.n == MS_AUTH_ID_SIZE - 1 && jwt.issued_s >= 0 && jwt.expires_s <= TIME_MAX_S &&
		   (ms_slice_eq(ret_claims->user_id, jwt.subject) ||
		    (ret_claims->user_id.n == 0 && ms_slice_eq(ret_claims->client_id, jwt.subject)));
	if (!own)
		return ms_fail(info, MS_ERR_TOKEN_INVALID, "the token is none of this service's access tokens");
	return raw_permissions(jwt.all, arena, info, &ret_claims->permissions);
}
