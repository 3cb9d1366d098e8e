// SPDX-License-Identifier: Apache-2.0
#include <math.h>

#include "jose/internal.h"

#define TIME_LIMIT 9007199254740992.0 // 2^53: whole seconds that a number of JSON can hold

static enum ms_err bad(struct errinfo *info, const char *claim, const char *what)
{
	ms_errinfo_set_field(info, ms_slice_cstr(claim));
	return ms_fail(info, MS_ERR_TOKEN_INVALID, "the token's \"%s\" %s", claim, what);
}

// "application/" in front means the same as nothing (RFC 7515, 4.1.9).
static struct slice short_type(struct slice typ)
{
	static const char prefix[] = "application/";
	struct slice front = ms_slice_sub(typ, 0, sizeof(prefix) - 1);
	if (!ms_slice_eq_nocase(front, MS_SLICE_LIT("application/")))
		return typ;
	struct slice rest = ms_slice_sub(typ, front.n, typ.n);
	return ms_slice_find(rest, '/') == rest.n ? rest : typ;
}

static bool typ_ok(struct slice typ, struct slice wanted)
{
	if (wanted.n > 0)
		return ms_slice_eq_nocase(short_type(typ), short_type(wanted));
	// "JWT" says what every token is. Any other type is a promise to somebody else.
	return typ.n == 0 || ms_slice_eq_nocase(short_type(typ), MS_SLICE_LIT("JWT"));
}

static enum ms_err read_text(const struct json_value *all, const char *claim, struct errinfo *info,
			     struct slice *ret_text)
{
	const struct json_value *value = ms_json_get(all, claim);
	*ret_text = MS_SLICE_EMPTY;
	return value == NULL || ms_json_as_str(value, ret_text) ? MS_OK : bad(info, claim, "is no text");
}

static enum ms_err read_time(const struct json_value *all, const char *claim, struct errinfo *info, int64_t *ret_s)
{
	const struct json_value *value = ms_json_get(all, claim);
	double seconds;
	*ret_s = INT64_MIN;
	if (value == NULL)
		return MS_OK;
	if (!ms_json_as_f64(value, &seconds) || !(fabs(seconds) <= TIME_LIMIT))
		return bad(info, claim, "is no time in seconds");
	*ret_s = (int64_t)floor(seconds);
	return MS_OK;
}

static bool audience_ok(const struct json_value *aud, struct slice wanted)
{
	struct slice text;
	if (aud == NULL)
		return false;
	if (ms_json_as_str(aud, &text))
		return ms_slice_eq(text, wanted);
	if (aud->type != JSON_ARRAY)
		return false;
	bool found = false;
	for (size_t i = 0; i < aud->array.count; i++) {
		if (!ms_json_as_str(&aud->array.items[i], &text))
			return false;
		found = found || ms_slice_eq(text, wanted);
	}
	return found;
}

static enum ms_err check_names(const struct jwt_claims *c, const struct jwt_policy *policy, struct errinfo *info)
{
	if (policy->issuer.n > 0 && !ms_slice_eq(c->issuer, policy->issuer))
		return bad(info, "iss", "is not the issuer that is trusted here");
	if (policy->audience.n > 0 && !audience_ok(ms_json_get(c->all, "aud"), policy->audience))
		return bad(info, "aud", "does not name this service");
	if (policy->needs_subject && c->subject.n == 0)
		return bad(info, "sub", "is not there");
	if (policy->needs_expiry && c->expires_s == INT64_MIN)
		return bad(info, "exp", "is not there");
	return MS_OK;
}

static enum ms_err check_times(const struct jwt_claims *c, const struct jwt_policy *policy, struct errinfo *info)
{
	if (c->expires_s != INT64_MIN && policy->now_s - policy->skew_s >= c->expires_s)
		return ms_fail(info, MS_ERR_TOKEN_EXPIRED, "the token has expired");
	// An absent time is below every other.
	if (policy->now_s + policy->skew_s < MS_MAX(c->not_before_s, c->issued_s))
		return ms_fail(info, MS_ERR_TOKEN_EARLY, "the token is not valid yet");
	return MS_OK;
}

static enum ms_err read_claims(const struct json_value *all, struct errinfo *info, struct jwt_claims *ret_claims)
{
	struct jwt_claims c = {.all = all};
	MS_TRY(read_text(all, "iss", info, &c.issuer));
	MS_TRY(read_text(all, "sub", info, &c.subject));
	MS_TRY(read_text(all, "jti", info, &c.id));
	MS_TRY(read_time(all, "iat", info, &c.issued_s));
	MS_TRY(read_time(all, "nbf", info, &c.not_before_s));
	MS_TRY(read_time(all, "exp", info, &c.expires_s));
	*ret_claims = c;
	return MS_OK;
}

enum ms_err ms_jwt_verify(struct slice compact, struct jose_keys keys, const struct jwt_policy *policy,
			  struct arena *arena, struct errinfo *info, struct jwt_claims *ret_claims)
{
	MS_ASSERT(policy->skew_s >= 0 && policy->skew_s <= 60);
	struct jws jws;
	struct jwt_claims claims;
	const struct json_value *all;
	MS_TRY(ms_jws_verify(compact, keys, arena, info, &jws));
	if (!typ_ok(jws.typ, policy->typ))
		return ms_fail(info, MS_ERR_TOKEN_INVALID, "the token is of another type than is wanted here");
	enum ms_err err = ms_jose_json(jws.payload, MS_JWS_MAX, arena, NULL, &all);
	if (err == MS_ERR_NO_MEMORY || err == MS_ERR_LIMIT)
		return err;
	if (err != MS_OK || all->type != JSON_OBJECT)
		return ms_fail(info, MS_ERR_TOKEN_INVALID,
			       "the token's claims are no JSON object of members that are there once");
	MS_TRY(read_claims(all, info, &claims));
	MS_TRY(check_names(&claims, policy, info));
	MS_TRY(check_times(&claims, policy, info));
	*ret_claims = claims;
	return MS_OK;
}
