// SPDX-License-Identifier: Apache-2.0
// The code for an id token, and what the id token must be (OpenID Connect Core 1.0, 3.1.3.7; RFC 9207; RFC 9700).
#include "auth/federation.h"

#define ANSWER_MAX ((size_t)512 << 10)
#define USERINFO_MAX ((size_t)256 << 10)
#define SUBJECT_MAX 255
#define SKEW_S 60
#define NAME_MAX_BYTES 200

static enum ms_err no_memory(struct errinfo *info)
{
	return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory");
}

static enum ms_err bad(struct errinfo *info, const char *why)
{
	return ms_fail(info, MS_ERR_TOKEN_INVALID, "the provider's id token %s", why);
}

// --- The token endpoint ------------------------------------------------------------------------------

static void append_pair(struct buf *out, const char *name, struct slice value)
{
	ms_buf_printf(out, "%s%s=", out->n > 0 ? "&" : "", name);
	ms_federation_encode(out, value);
}

static enum ms_err keep(struct buf *text, struct arena *arena, struct errinfo *info, struct slice *ret_text)
{
	*ret_text = ms_buf_ok(text) ? ms_arena_copy(arena, ms_buf_slice(text)) : MS_SLICE_EMPTY;
	if (text->n > 0)
		ms_wipe(text->p, text->n);
	ms_buf_fini(text);
	return ret_text->p != NULL ? MS_OK : no_memory(info);
}

static enum ms_err basic(const struct federation *f, struct arena *arena, struct errinfo *info,
			 struct slice *ret_header)
{
	struct buf pair, header;
	ms_buf_init(&pair, 8192);
	ms_federation_encode(&pair, ms_slice_cstr(f->options.client_id));
	ms_buf_append_char(&pair, ':');
	ms_federation_encode(&pair, ms_slice_cstr(f->options.client_secret));
	ms_buf_init(&header, 16384);
	ms_buf_append_cstr(&header, "Basic ");
	ms_base64_append(&header, ms_buf_slice(&pair));
	if (pair.n > 0)
		ms_wipe(pair.p, pair.n);
	bool good = ms_buf_ok(&pair);
	ms_buf_fini(&pair);
	MS_TRY(keep(&header, arena, info, ret_header));
	return good ? MS_OK : no_memory(info);
}

static enum ms_err redeem(struct federation *f, const struct provider_metadata *metadata,
			  const struct federation_attempt *attempt, struct slice code, struct arena *arena,
			  struct errinfo *info, struct slice *ret_id_token, struct slice *ret_access_token)
{
	struct buf form;
	const struct json_value *answer;
	struct wire_request request = {
		.url = metadata->token, .accept = MS_SLICE_LIT("application/json"), .max_bytes = ANSWER_MAX};
	bool secret = f->options.client_secret[0] != '\0';
	ms_buf_init(&form, (size_t)64 << 10);
	append_pair(&form, "grant_type", MS_SLICE_LIT("authorization_code"));
	append_pair(&form, "code", code);
	append_pair(&form, "redirect_uri", f->redirect_uri);
	append_pair(&form, "code_verifier", attempt->verifier);
	if (!secret || metadata->secret_in_form)
		append_pair(&form, "client_id", ms_slice_cstr(f->options.client_id));
	if (secret && metadata->secret_in_form)
		append_pair(&form, "client_secret", ms_slice_cstr(f->options.client_secret));
	MS_TRY(keep(&form, arena, info, &request.form));
	if (secret && !metadata->secret_in_form)
		MS_TRY(basic(f, arena, info, &request.authorization));
	MS_TRY(ms_provider_fetch(f, &request, "token endpoint", arena, info, &answer));
	if (!ms_json_as_str(ms_json_get(answer, "id_token"), ret_id_token))
		return ms_fail(info, MS_ERR_TOKEN_INVALID, "the provider's token endpoint gave no id token");
	if (!ms_json_as_str(ms_json_get(answer, "access_token"), ret_access_token))
		*ret_access_token = MS_SLICE_EMPTY;
	return MS_OK;
}

// --- The id token ------------------------------------------------------------------------------------

struct header {
	struct slice kid; // p NULL: none
	struct slice alg;
};

// Only to find the key and its hash; whether it is true is decided with the signature.
static enum ms_err read_header(struct slice compact, struct arena *arena, struct errinfo *info,
			       struct header *ret_header)
{
	struct slice text;
	struct errinfo ignored;
	const struct json_value *header;
	*ret_header = (struct header){0};
	ms_errinfo_init(&ignored);
	if (compact.n > MS_JWS_MAX ||
	    !ms_base64url_decode(ms_slice_sub(compact, 0, ms_slice_find(compact, '.')), arena, &text) ||
	    ms_json_parse(text, NULL, arena, &ignored, &header) != MS_OK)
		return bad(info, "cannot be read");
	if (!ms_json_as_str(ms_json_get(header, "kid"), &ret_header->kid))
		ret_header->kid = MS_SLICE_EMPTY;
	if (!ms_json_as_str(ms_json_get(header, "alg"), &ret_header->alg))
		ret_header->alg = MS_SLICE_EMPTY;
	return MS_OK;
}

static bool knows(struct jose_keys keys, struct slice kid)
{
	for (size_t i = 0; i < keys.count; i++) {
		if (ms_slice_eq(ms_jose_key_id(keys.keys[i]), kid))
			return true;
	}
	return false;
}

static enum ms_err verify_with(struct federation *f, struct slice compact, const struct header *header, bool anew,
			       struct arena *arena, struct errinfo *info, bool *ret_known,
			       struct jwt_claims *ret_claims)
{
	struct jose_keys keys;
	const struct jwt_policy policy = {.issuer = ms_slice_cstr(f->options.issuer),
					  .audience = ms_slice_cstr(f->options.client_id),
					  .now_s = ms_clock_wall_ns() / 1000000000,
					  .skew_s = SKEW_S,
					  .needs_expiry = true,
					  .needs_subject = true};
	MS_TRY(ms_provider_keys(f, anew, arena, info, &keys));
	*ret_known = header->kid.p != NULL && knows(keys, header->kid);
	enum ms_err err = ms_jwt_verify(compact, keys, &policy, arena, info, ret_claims);
	ms_provider_keys_done(keys);
	return err;
}

static enum ms_err verify(struct federation *f, struct slice compact, const struct header *header, struct arena *arena,
			  struct errinfo *info, struct jwt_claims *ret_claims)
{
	bool known = false;
	enum ms_err err = verify_with(f, compact, header, false, arena, info, &known, ret_claims);
	// Keys change: one that is not among those we have may be new.
	if (err == MS_ERR_TOKEN_INVALID && !known)
		err = verify_with(f, compact, header, true, arena, info, &known, ret_claims);
	return err;
}

static enum ms_err decrypt(const struct federation *f, struct slice *token, struct arena *arena, struct errinfo *info)
{
	struct jwe jwe;
	const struct jwe_key *key = f->decryption_key;
	size_t dots = 0;
	for (size_t i = 0; i < token->n; i++)
		dots += token->p[i] == '.';
	if (dots != 4)
		return MS_OK;
	if (key == NULL)
		return bad(info, "is encrypted, and identity.provider.decryption_key is not set");
	MS_TRY(ms_jwe_open(*token, &key, 1, arena, info, &jwe));
	*token = jwe.plaintext;
	return MS_OK;
}

// Absent is fine in this flow.
static enum ms_err check_at_hash(const struct json_value *claims, const struct header *header, struct slice access,
				 struct arena *arena, struct errinfo *info)
{
	static const enum crypto_hash hashes[JOSE_ALG_COUNT] = {
		[JOSE_HS256] = CRYPTO_SHA256,  [JOSE_HS384] = CRYPTO_SHA384, [JOSE_HS512] = CRYPTO_SHA512,
		[JOSE_RS256] = CRYPTO_SHA256,  [JOSE_RS384] = CRYPTO_SHA384, [JOSE_RS512] = CRYPTO_SHA512,
		[JOSE_PS256] = CRYPTO_SHA256,  [JOSE_PS384] = CRYPTO_SHA384, [JOSE_PS512] = CRYPTO_SHA512,
		[JOSE_ES256] = CRYPTO_SHA256,  [JOSE_ES384] = CRYPTO_SHA384, [JOSE_ES512] = CRYPTO_SHA512,
		[JOSE_ED25519] = CRYPTO_SHA512};
	uint8_t digest[MS_DIGEST_MAX];
	enum jose_alg alg;
	struct slice text, half;
	const struct json_value *claim = ms_json_get(claims, "at_hash");
	if (claim == NULL || access.n == 0)
		return MS_OK;
	if (!ms_json_as_str(claim, &text) || !ms_base64url_decode(text, arena, &half) ||
	    !ms_jose_alg_find(header->alg, &alg))
		return bad(info, "has an at_hash that cannot be read");
	ms_digest(hashes[alg], access, digest);
	if (!ms_equal_constant_time(half, ms_slice(digest, ms_digest_size(hashes[alg]) / 2)))
		return bad(info, "does not belong to the access token (at_hash)");
	return MS_OK;
}

static enum ms_err check_claims(const struct federation *f, const struct jwt_claims *claims,
				const struct federation_attempt *attempt, struct errinfo *info)
{
	struct slice nonce, azp;
	const struct json_value *party = ms_json_get(claims->all, "azp"), *aud = ms_json_get(claims->all, "aud");
	if (!ms_json_as_str(ms_json_get(claims->all, "nonce"), &nonce) ||
	    !ms_equal_constant_time(nonce, attempt->nonce))
		return bad(info, "is not for this sign-in (nonce)");
	if (party != NULL && (!ms_json_as_str(party, &azp) || !ms_slice_eq_cstr(azp, f->options.client_id)))
		return bad(info, "was issued to another client (azp)");
	if (party == NULL && aud != NULL && aud->type == JSON_ARRAY && aud->array.count > 1)
		return bad(info, "is for several audiences and does not say to whom it was issued (azp)");
	if (claims->issued_s == INT64_MIN)
		return bad(info, "does not say when it was issued (iat)");
	if (claims->subject.n > SUBJECT_MAX)
		return bad(info, "has a subject of more than 255 bytes");
	for (size_t i = 0; i < claims->subject.n; i++) {
		if ((unsigned char)claims->subject.p[i] < 0x20 || claims->subject.p[i] == 0x7f)
			return bad(info, "has a subject with control characters");
	}
	return MS_OK;
}

// --- Who it is ---------------------------------------------------------------------------------------

static const struct json_value *claim_of(const struct json_value *claims, const struct json_value *userinfo,
					 const char *name)
{
	const struct json_value *value = ms_json_get(claims, name);
	return value != NULL ? value : ms_json_get(userinfo, name);
}

static bool is_clean(struct slice text, size_t max)
{
	if (text.n == 0 || text.n > max)
		return false;
	for (size_t i = 0; i < text.n; i++) {
		if ((unsigned char)text.p[i] < 0x20 || text.p[i] == 0x7f)
			return false;
	}
	return true;
}

static struct slice text_of(const struct json_value *claims, const struct json_value *userinfo, const char *name,
			    size_t max)
{
	struct slice text;
	return ms_json_as_str(claim_of(claims, userinfo, name), &text) && is_clean(text, max) ? text : MS_SLICE_EMPTY;
}

static bool has_group(const struct json_value *groups, struct slice group)
{
	struct slice text;
	if (ms_json_as_str(groups, &text))
		return ms_slice_eq(text, group);
	for (size_t i = 0; groups != NULL && groups->type == JSON_ARRAY && i < groups->array.count; i++) {
		if (ms_json_as_str(&groups->array.items[i], &text) && ms_slice_eq(text, group))
			return true;
	}
	return false;
}

static struct slice role_of(const struct federation *f, const struct json_value *groups)
{
	const struct auth_provider_options *o = &f->options;
	for (size_t i = 0; i < o->group_role_count; i++) {
		struct slice item = ms_slice_cstr(o->group_roles[i]);
		const char *equals = strrchr(o->group_roles[i], '=');
		if (equals == NULL)
			continue;
		size_t at = (size_t)(equals - item.p);
		if (has_group(groups, ms_slice_sub(item, 0, at)))
			return ms_slice_sub(item, at + 1, SIZE_MAX);
	}
	return strcmp(o->role, "none") != 0 ? ms_slice_cstr(o->role) : MS_SLICE_EMPTY;
}

// Only where something is missing that is needed here.
static enum ms_err ask_userinfo(struct federation *f, const struct provider_metadata *metadata,
				const struct jwt_claims *claims, struct slice access, struct arena *arena,
				struct errinfo *info, const struct json_value **ret_userinfo)
{
	const struct auth_provider_options *o = &f->options;
	struct slice subject;
	bool grouped = o->groups_claim[0] != '\0', makes = grouped || strcmp(o->role, "none") != 0;
	bool lacks = (grouped && ms_json_get(claims->all, o->groups_claim) == NULL) ||
		     (makes && ms_json_get(claims->all, "preferred_username") == NULL &&
		      ms_json_get(claims->all, "email") == NULL);
	*ret_userinfo = NULL;
	if (!lacks || access.n == 0 || metadata->userinfo.n == 0)
		return MS_OK;
	if (!is_clean(access, 3000))
		return ms_fail(info, MS_ERR_TOKEN_INVALID, "the provider's access token cannot be used");
	const char *header = ms_arena_printf(arena, "Bearer %.*s", MS_SLICE_ARG(access));
	if (header == NULL)
		return no_memory(info);
	const struct wire_request request = {.url = metadata->userinfo,
					     .accept = MS_SLICE_LIT("application/json"),
					     .authorization = ms_slice_cstr(header),
					     .max_bytes = USERINFO_MAX};
	MS_TRY(ms_provider_fetch(f, &request, "userinfo endpoint", arena, info, ret_userinfo));
	// Of somebody else it must not be believed (OpenID Connect Core 1.0, 5.3.2).
	if (!ms_json_as_str(ms_json_get(*ret_userinfo, "sub"), &subject) || !ms_slice_eq(subject, claims->subject))
		return ms_fail(info, MS_ERR_TOKEN_INVALID, "the provider's userinfo is of somebody else");
	return MS_OK;
}

static void describe(const struct federation *f, const struct json_value *claims, const struct json_value *userinfo,
		     struct federation_person *person)
{
	struct slice email = text_of(claims, userinfo, "email", MS_AUTH_EMAIL_MAX);
	const struct json_value *verified = claim_of(claims, userinfo, "email_verified");
	person->grouped = f->options.groups_claim[0] != '\0';
	person->role = role_of(f, person->grouped ? claim_of(claims, userinfo, f->options.groups_claim) : NULL);
	person->username = text_of(claims, userinfo, "preferred_username", NAME_MAX_BYTES);
	person->name = text_of(claims, userinfo, "name", NAME_MAX_BYTES);
	if (verified != NULL && verified->type == JSON_TRUE)
		person->email = email;
	if (person->username.n == 0)
		person->username = email;
}

enum ms_err ms_federation_exchange(struct auth *auth, const struct federation_attempt *attempt, struct slice code,
				   struct slice iss, struct arena *arena, struct errinfo *info,
				   struct federation_person *ret_person)
{
	struct federation *f = auth->federation;
	struct provider_metadata metadata;
	struct header header;
	struct jwt_claims claims;
	struct slice token, access;
	const struct json_value *userinfo;
	MS_ASSERT(f != NULL);
	MS_TRY(ms_provider_metadata(f, arena, info, &metadata));
	// Before anything is sent: an answer of another provider would take the code to ours (mix-up).
	if (iss.p != NULL ? !ms_slice_eq_cstr(iss, f->options.issuer) : metadata.names_itself)
		return ms_fail(info, MS_ERR_TOKEN_INVALID, "the answer is not the provider's (iss)");
	MS_TRY(redeem(f, &metadata, attempt, code, arena, info, &token, &access));
	MS_TRY(decrypt(f, &token, arena, info));
	MS_TRY(read_header(token, arena, info, &header));
	MS_TRY(verify(f, token, &header, arena, info, &claims));
	MS_TRY(check_claims(f, &claims, attempt, info));
	MS_TRY(check_at_hash(claims.all, &header, access, arena, info));
	MS_TRY(ask_userinfo(f, &metadata, &claims, access, arena, info, &userinfo));
	*ret_person = (struct federation_person){.issuer = ms_slice_cstr(f->options.issuer), .subject = claims.subject};
	describe(f, claims.all, userinfo, ret_person);
	return MS_OK;
}
