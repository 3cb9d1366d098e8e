// SPDX-License-Identifier: Apache-2.0
// jwt: signed tokens of consumers. The algorithm is that of the consumer's key, never the token's choice.
#include "crypto/crypto.h"
#include "gateway/plugins/credential.h"

#define CLAIM_EXP UINT64_C(1)
#define CLAIM_NBF UINT64_C(2)

struct config {
	struct text_list uri_param_names, cookie_names, header_names;
	struct slice key_claim_name, anonymous, realm;
	bool secret_is_base64, run_on_preflight;
	uint64_t claims_to_verify;
	double maximum_expiration;
	struct slice challenge, challenge_token; // compiled
};
static const char *const claims[] = {"exp", "nbf", NULL};
static const struct field fields[] = {
	GW_STRINGS(config, uri_param_names, "[\"jwt\"]", "Parameters of the query that hold the token"),
	GW_STRINGS(config, cookie_names, NULL, "Cookies that hold the token"),
	GW_STRINGS(config, header_names, "[\"authorization\"]", "Headers that hold the token, behind \"Bearer \""),
	GW_STRING(config, key_claim_name, "\"iss\"", "Claim or header member that names the credential"),
	GW_BOOL(config, secret_is_base64, "false", "Secrets of HS256 to HS512 are base64"),
	GW_FIELD(config, claims_to_verify, FIELD_CHOICES, .choices = claims,
		 .help = "Registered claims that are checked"),
	GW_STRING(config, anonymous, NULL, "Consumer (name or id) of requests without a valid token"),
	GW_BOOL(config, run_on_preflight, "true", "Ask OPTIONS requests for a token, too"),
	GW_NUMBER(config, maximum_expiration, "0", 0, 31536000,
		  "Longest time in seconds that a token may be valid; 0: any"),
	GW_STRING(config, realm, NULL, "Realm of WWW-Authenticate"),
	{0},
};

// --- Finding the token -------------------------------------------------------------------------------------

enum found { FOUND_NONE, FOUND_TOKEN, FOUND_SEVERAL };

static enum found take(enum found found, struct slice token, struct slice *ret_token)
{
	if (found == FOUND_TOKEN)
		return ms_slice_eq(token, *ret_token) ? FOUND_TOKEN : FOUND_SEVERAL;
	if (found == FOUND_NONE)
		*ret_token = token;
	return found == FOUND_NONE ? FOUND_TOKEN : FOUND_SEVERAL;
}

static bool bearer(struct slice value, struct slice *ret_token)
{
	value = ms_slice_trim(value);
	if (value.n < 8 || !ms_slice_eq_nocase(ms_slice_sub(value, 0, 6), MS_SLICE_LIT("Bearer")) ||
	    (value.p[6] != ' ' && value.p[6] != '\t'))
		return false;
	*ret_token = ms_slice_trim(ms_slice_sub(value, 7, value.n));
	return ret_token->n > 0;
}

static enum found in_headers(const struct gw_request *r, const struct config *c, enum found found,
			     struct slice *ret_token)
{
	struct slice token;
	for (size_t i = 0; i < r->out.headers.count; i++) {
		const struct http_header *h = &r->out.headers.items[i];
		if (ms_gw_text_list_has_nocase(&c->header_names, h->name) && bearer(h->value, &token))
			found = take(found, token, ret_token);
	}
	return found;
}

static enum found in_cookies(const struct gw_request *r, const struct config *c, enum found found,
			     struct slice *ret_token)
{
	for (size_t i = 0; i < r->out.headers.count && c->cookie_names.count > 0; i++) {
		const struct http_header *h = &r->out.headers.items[i];
		struct slice rest = h->value, pair;
		if (!ms_slice_eq_nocase(h->name, MS_SLICE_LIT("Cookie")))
			continue;
		while (ms_slice_next(&rest, ';', &pair)) {
			size_t equals = ms_slice_find(pair, '=');
			struct slice value = ms_slice_trim(ms_slice_sub(pair, equals + 1, pair.n));
			if (value.n > 0 &&
			    ms_gw_text_list_has(&c->cookie_names, ms_slice_trim(ms_slice_sub(pair, 0, equals))))
				found = take(found, value, ret_token);
		}
	}
	return found;
}

static enum found in_query(struct gw_request *r, const struct config *c, enum found found, struct slice *ret_token)
{
	struct gw_args args;
	if (r->out.query.n == 0 || c->uri_param_names.count == 0 || !ms_gw_args_read(r, r->out.query, &args))
		return found;
	for (size_t i = 0; i < args.count; i++) {
		if (args.items[i].name.p != NULL && args.items[i].value.n > 0 &&
		    ms_gw_text_list_has(&c->uri_param_names, args.items[i].name))
			found = take(found, args.items[i].value, ret_token);
	}
	return found;
}

// --- Who it is of --------------------------------------------------------------------------------------------

struct refusal {
	const char *code, *message;
	bool about_token;
	struct gw_detail details[2];
	size_t detail_count;
};

static bool refuse(struct refusal *why, const char *code, const char *message)
{
	*why = (struct refusal){.code = code, .message = message, .about_token = true};
	return false;
}

static bool saying(struct gw_request *r, struct refusal *why, const char *before, struct slice name, const char *after)
{
	struct slice text = ms_gw_text(r, "%s'%.*s'%s", before, MS_SLICE_ARG(name), after);
	return refuse(why, "gateway.token_unknown", text.p != NULL ? text.p : "Unauthorized");
}

static const struct json_value *member(const struct json_value *object, struct slice name)
{
	for (size_t i = 0; i < object->object.count; i++) {
		if (ms_slice_eq(object->object.members[i].key, name))
			return &object->object.members[i].value;
	}
	return NULL;
}

// Texts, and numbers as they are written: Kong's `kid` and `iss` may be either.
static struct slice claim_text(const struct json_value *value)
{
	if (value != NULL && (value->type == JSON_STRING || value->type == JSON_NUMBER))
		return value->str;
	return MS_SLICE_EMPTY;
}

static bool check_time(const struct json_value *payload, const char *name, double *ret_s, const char **ret_wrong)
{
	const struct json_value *value = ms_json_get(payload, name);
	if (ms_json_as_f64(value, ret_s))
		return true;
	*ret_wrong = "must be a number";
	return false;
}

static void blame(struct refusal *why, const char *claim, const char *wrong)
{
	if (why->detail_count == 0)
		refuse(why, "gateway.token_claims", wrong);
	why->details[why->detail_count++] = (struct gw_detail){claim, wrong};
}

static bool check_claims(const struct config *c, const struct json_value *payload, double now_s, struct refusal *why)
{
	double exp = 0, nbf = 0;
	const char *wrong = NULL;
	*why = (struct refusal){0};
	if (c->claims_to_verify & CLAIM_EXP) {
		if (check_time(payload, "exp", &exp, &wrong) && exp <= now_s)
			wrong = "token expired";
		if (wrong != NULL)
			blame(why, "exp", wrong);
	}
	wrong = NULL;
	if (c->claims_to_verify & CLAIM_NBF) {
		if (check_time(payload, "nbf", &nbf, &wrong) && nbf > now_s)
			wrong = "token not valid yet";
		if (wrong != NULL)
			blame(why, "nbf", wrong);
	}
	if (why->detail_count > 0)
		return false;
	wrong = NULL;
	if (c->maximum_expiration > 0 &&
	    (!check_time(payload, "exp", &exp, &wrong) || exp - now_s > c->maximum_expiration))
		blame(why, "exp", "exceeds maximum allowed expiration");
	return why->detail_count == 0;
}

// The credential that the token names, whose key then has to have signed it.
static bool find_credential(struct gw_request *r, const struct config *c, const struct json_value *payload,
			    const struct json_value *header, struct refusal *why,
			    const struct gw_credential **ret_credential)
{
	const struct json_value *value = member(payload, c->key_claim_name);
	if (value == NULL || value->type == JSON_NULL || value->type == JSON_FALSE)
		value = member(header, c->key_claim_name);
	if (value == NULL || value->type == JSON_NULL || value->type == JSON_FALSE)
		return saying(r, why, "No mandatory ", c->key_claim_name, " in claims");
	struct slice key = claim_text(value);
	if (key.n == 0)
		return saying(r, why, "Invalid ", c->key_claim_name, " in claims");
	const struct gw_credential *credential = ms_plan_credential(r->plan, GW_JWT, key);
	if (credential == NULL || credential->consumer == NULL || credential->compiled == NULL)
		return saying(r, why, "No credentials found for given ", c->key_claim_name, "");
	*ret_credential = credential;
	return true;
}

static bool check(struct gw_request *r, const struct config *c, struct slice token, struct refusal *why,
		  const struct gw_credential **ret_credential)
{
	static const struct json_limits limits = {.max_depth = 32, .max_bytes = MS_JWS_MAX, .reject_duplicates = true};
	const struct json_value *payload, *header;
	struct errinfo info;
	struct jws jws;
	enum jose_alg alg;
	struct slice alg_name = MS_SLICE_EMPTY;
	ms_errinfo_init(&info);
	if (ms_jws_look(token, r->arena, &info, &jws) != MS_OK ||
	    ms_json_parse(jws.payload, &limits, r->arena, &info, &payload) != MS_OK || payload->type != JSON_OBJECT ||
	    ms_json_parse(jws.header, &limits, r->arena, &info, &header) != MS_OK || header->type != JSON_OBJECT) {
		struct slice text = ms_gw_text(r, "Bad token; %s", info.message);
		return refuse(why, "gateway.token_bad", text.p != NULL ? text.p : "Bad token");
	}
	if (!find_credential(r, c, payload, header, why, ret_credential))
		return false;
	const struct gw_jwt_key *k = (*ret_credential)->compiled;
	const struct jose_key *key = c->secret_is_base64 && k->alg <= JOSE_HS512 ? k->from_base64 : k->key;
	if (!ms_json_as_str(ms_json_get(header, "alg"), &alg_name) || !ms_jose_alg_find(alg_name, &alg) ||
	    alg != k->alg)
		return refuse(why, "gateway.token_algorithm", "Invalid algorithm");
	if (key == NULL)
		return refuse(why, "gateway.token_key", "Invalid key/secret");
	if (ms_jws_verify_by(token, key, r->arena, &info, &jws) != MS_OK)
		return refuse(why, "gateway.token_signature", "Invalid signature");
	return check_claims(c, payload, (double)r->wall_ns / 1e9, why);
}

// --- Access --------------------------------------------------------------------------------------------------

static bool authenticate(struct gw_request *r, const struct config *c, struct refusal *why)
{
	const struct gw_credential *credential = NULL;
	struct slice token = MS_SLICE_EMPTY;
	enum found found = in_query(r, c, FOUND_NONE, &token);
	found = in_cookies(r, c, found, &token);
	found = in_headers(r, c, found, &token);
	if (found == FOUND_NONE) {
		refuse(why, "gateway.unauthorized", "Unauthorized");
		why->about_token = false;
		return false;
	}
	if (found == FOUND_SEVERAL)
		return refuse(why, "gateway.token_several", "Multiple tokens provided");
	if (!check(r, c, token, why, &credential))
		return false;
	ms_gw_authenticate(r, credential->consumer, credential, credential->key, false);
	return true;
}

static enum gw_verdict access(struct gw_request *r, const void *config, void **state)
{
	const struct config *c = config;
	struct refusal why = {0};
	(void)state;
	if ((!c->run_on_preflight && ms_gw_is_method(r, "OPTIONS")) || ms_gw_already_in(r, c->anonymous))
		return GW_NEXT;
	if (authenticate(r, c, &why))
		return GW_NEXT;
	enum gw_unknown unknown = ms_gw_unknown_caller(r, c->anonymous);
	if (unknown != GW_UNKNOWN_REFUSE)
		return unknown == GW_UNKNOWN_PASS ? GW_NEXT : GW_ANSWERED;
	ms_gw_fail_with(r, 401, why.code, why.message, why.details, why.detail_count);
	MS_IGNORE(ms_gw_header_add(&r->answer.headers, MS_SLICE_LIT("WWW-Authenticate"),
				   why.about_token ? c->challenge_token : c->challenge)); // the refusal counts more
	return GW_ANSWERED;
}

static bool compile(struct plan *plan, void *config, const char *path, struct problems *problems)
{
	struct config *c = config;
	if (!ms_gw_header_value_ok(c->realm) || ms_slice_find(c->realm, '"') < c->realm.n) {
		ms_problem_add(problems, path, NULL, "realm: text without quotes and control characters");
		return false;
	}
	if (c->uri_param_names.count + c->cookie_names.count + c->header_names.count == 0) {
		ms_problem_add(problems, path, NULL,
			       "one of uri_param_names, cookie_names, header_names has to say where tokens are");
		return false;
	}
	const char *plain = "Bearer", *token = "Bearer error=\"invalid_token\"";
	if (c->realm.n > 0) {
		plain = ms_arena_printf(&plan->arena, "Bearer realm=\"%.*s\"", MS_SLICE_ARG(c->realm));
		token = ms_arena_printf(&plan->arena, "Bearer realm=\"%.*s\", error=\"invalid_token\"",
					MS_SLICE_ARG(c->realm));
	}
	c->challenge = ms_slice_cstr(plain);
	c->challenge_token = ms_slice_cstr(token);
	return plain != NULL && token != NULL;
}

const struct gw_plugin_kind ms_plugin_jwt = {
	.name = "jwt",
	.priority = 1450,
	.fields = fields,
	.config_bytes = sizeof(struct config),
	.help = "JSON Web Tokens of consumers",
	.compile = compile,
	.access = access,
};
