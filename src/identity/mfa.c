// SPDX-License-Identifier: Apache-2.0
// One's own second factors: TOTP and recovery codes; and those of others, for administrators.
#include "identity/proof.h"
#include "identity/qr.h"

#define SVG_MAX ((size_t)64 << 10)

struct mfa_work {
	struct identity_proof p;
	struct slice code; // that confirms
	struct auth_factors factors;
	struct auth_totp totp;
	struct auth_recovery recovery;
};

static struct mfa_work *state_of(struct identity_work *w)
{
	return MS_CONTAINER_OF(w, struct mfa_work, p.w);
}

// --- What there is -----------------------------------------------------------------------------------

static enum ms_err read_factors(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct mfa_work *s = arg;
	struct auth_user user;
	MS_TRY(ms_auth_user_get(tx, s->p.user_id, info, &user));
	return ms_auth_factors(tx, user.id, info, &s->factors);
}

static void send_factors(struct identity_work *work)
{
	struct mfa_work *s = state_of(work);
	struct json_writer w;
	ms_json_writer_init(&w, work->x->body);
	ms_json_begin_object(&w);
	ms_json_key_lit(&w, "totp");
	ms_json_bool(&w, s->factors.totp);
	ms_json_member_time(&w, "totp_since", s->factors.totp_since_us);
	ms_json_key_lit(&w, "passkeys");
	ms_json_u64(&w, s->factors.passkeys);
	ms_json_key_lit(&w, "recovery_codes");
	ms_json_u64(&w, s->factors.recovery_codes);
	ms_json_member_time(&w, "recovery_codes_since", s->factors.recovery_since_us);
	ms_json_key_lit(&w, "required");
	ms_json_bool(&w, work->identity->options.mfa_required);
	ms_json_end_object(&w);
	ms_http_send_json(work->x, 200);
}

static void status(struct exchange *x, void *role)
{
	struct mfa_work *s = MS_IDENTITY_BEGIN(x, role, struct mfa_work);
	if (s != NULL && ms_identity_own(x, &s->p.user_id))
		ms_identity_read(&s->p.w, read_factors, send_factors);
}

static void user_status(struct exchange *x, void *role)
{
	struct mfa_work *s = MS_IDENTITY_BEGIN(x, role, struct mfa_work);
	if (s == NULL)
		return;
	s->p.user_id = x->req.params[0];
	ms_identity_read(&s->p.w, read_factors, send_factors);
}

static enum ms_err reset(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct mfa_work *s = arg;
	return ms_auth_factors_reset(tx, s->p.w.identity->auth, &s->p.w.authority, s->p.user_id, info, &s->factors);
}

static void user_reset(struct exchange *x, void *role)
{
	struct mfa_work *s = MS_IDENTITY_BEGIN(x, role, struct mfa_work);
	if (s == NULL)
		return;
	s->p.user_id = x->req.params[0];
	// His own ones an administrator removes as everybody does: by showing that it is he.
	if (ms_slice_eq(ms_auth_user_of(x), s->p.user_id))
		ms_http_fail_code(
			x, MS_ERR_FORBIDDEN,
			"one's own second factors are removed under /api/v1/auth/mfa and /api/v1/auth/webauthn");
	else
		ms_identity_write(&s->p.w, reset, ms_identity_send_nothing, true);
}

// --- TOTP --------------------------------------------------------------------------------------------

static enum ms_err begin_totp(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct mfa_work *s = arg;
	struct auth_user user;
	MS_TRY(ms_auth_user_get(tx, s->p.user_id, info, &user));
	MS_TRY(ms_auth_totp_begin(tx, s->p.w.identity->auth, &user, info, &s->totp));
	bool ok = ms_identity_keep(&s->p.w, &s->totp.secret) && ms_identity_keep(&s->p.w, &s->totp.uri);
	return ok ? MS_OK : ms_fail(info, MS_ERR_NO_MEMORY, "out of memory for this request");
}

static void send_totp(struct identity_work *work)
{
	struct mfa_work *s = state_of(work);
	struct json_writer w;
	struct buf svg;
	ms_buf_init(&svg, SVG_MAX);
	bool drawn = ms_qr_svg(s->totp.uri, NULL, &svg) == MS_OK;
	ms_json_writer_init(&w, work->x->body);
	ms_json_begin_object(&w);
	ms_json_key_lit(&w, "secret");
	ms_json_str(&w, s->totp.secret);
	ms_json_key_lit(&w, "uri");
	ms_json_str(&w, s->totp.uri);
	ms_json_member_text(&w, "qr_svg",
			    drawn ? ms_buf_slice(&svg) : MS_SLICE_EMPTY); // a name may be too long for one
	ms_json_end_object(&w);
	ms_buf_fini(&svg);
	ms_http_send_json(work->x, 200);
}

static void totp_begin_proved(struct identity_work *w)
{
	ms_identity_write(w, begin_totp, send_totp, false);
}

static void totp_begin(struct exchange *x, void *role)
{
	struct mfa_work *s = MS_IDENTITY_BEGIN(x, role, struct mfa_work);
	if (s == NULL || !ms_identity_person(&s->p))
		return;
	const struct identity_field fields[] = {IDENTITY_PROOF_FIELDS(&s->p)};
	s->p.recent_is_enough = true;
	if (ms_identity_body(x, fields, MS_ARRAY_LEN(fields)))
		ms_identity_prove(&s->p, totp_begin_proved);
}

static enum ms_err confirm_totp(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct mfa_work *s = arg;
	return ms_auth_totp_confirm(tx, s->p.w.identity->auth, &s->p.w.actor, s->p.user_id, s->code, info);
}

static void totp_confirm(struct exchange *x, void *role)
{
	struct mfa_work *s = MS_IDENTITY_BEGIN(x, role, struct mfa_work);
	if (s == NULL || !ms_identity_person(&s->p))
		return;
	const struct identity_field fields[] = {{.name = "code", .kind = FIELD_TEXT, .required = true, .to = &s->code}};
	if (ms_identity_body(x, fields, MS_ARRAY_LEN(fields)))
		ms_identity_write(&s->p.w, confirm_totp, ms_identity_send_nothing, true);
}

static enum ms_err remove_totp(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct mfa_work *s = arg;
	return ms_auth_totp_remove(tx, s->p.w.identity->auth, &s->p.w.actor, s->p.user_id, info);
}

static void totp_remove_proved(struct identity_work *w)
{
	ms_identity_write(w, remove_totp, ms_identity_send_nothing, false);
}

static void totp_remove(struct exchange *x, void *role)
{
	struct mfa_work *s = MS_IDENTITY_BEGIN(x, role, struct mfa_work);
	if (s == NULL || !ms_identity_person(&s->p))
		return;
	const struct identity_field fields[] = {IDENTITY_PROOF_FIELDS(&s->p)};
	if (ms_identity_body(x, fields, MS_ARRAY_LEN(fields)))
		ms_identity_prove(&s->p, totp_remove_proved);
}

// --- Recovery codes ----------------------------------------------------------------------------------

static enum ms_err store_recovery(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct mfa_work *s = arg;
	return ms_auth_recovery_store(tx, s->p.w.identity->auth, &s->p.w.actor, s->p.user_id, &s->recovery, info);
}

static void send_recovery(struct identity_work *work)
{
	struct mfa_work *s = state_of(work);
	struct json_writer w;
	ms_json_writer_init(&w, work->x->body);
	ms_json_begin_object(&w);
	ms_json_key_lit(&w, "codes");
	ms_json_begin_array(&w);
	for (size_t i = 0; i < MS_AUTH_RECOVERY_CODES; i++)
		ms_json_cstr(&w, s->recovery.codes[i]);
	ms_json_end_array(&w);
	ms_json_end_object(&w);
	ms_wipe(&s->recovery, sizeof(s->recovery));
	ms_http_send_json(work->x, 200);
}

static void make_recovery(struct job *job)
{
	struct mfa_work *s = MS_CONTAINER_OF(job, struct mfa_work, p.w.job);
	s->p.w.err = ms_auth_recovery_make(s->p.w.identity->auth, s->p.w.x->arena, &s->p.w.info, &s->recovery);
}

static void recovery_made(struct job *job)
{
	struct mfa_work *s = MS_CONTAINER_OF(job, struct mfa_work, p.w.job);
	if (s->p.w.err != MS_OK)
		ms_identity_fail(&s->p.w);
	else
		ms_identity_write(&s->p.w, store_recovery, send_recovery, false);
}

// Ten hashes are a second of work: nobody without a factor shall cause it.
static void recovery_allowed(struct identity_work *w)
{
	struct mfa_work *s = state_of(w);
	if (ms_auth_has_factor(&s->factors))
		ms_identity_away(w, ms_auth_password_pool(w->identity->auth), make_recovery, recovery_made);
	else
		ms_http_fail_code(w->x, MS_ERR_CONFLICT,
				  "recovery codes stand in for a second factor: set up TOTP or a passkey first");
}

static void recovery_proved(struct identity_work *w)
{
	ms_identity_read(w, read_factors, recovery_allowed);
}

static void recovery(struct exchange *x, void *role)
{
	struct mfa_work *s = MS_IDENTITY_BEGIN(x, role, struct mfa_work);
	if (s == NULL || !ms_identity_person(&s->p))
		return;
	const struct identity_field fields[] = {IDENTITY_PROOF_FIELDS(&s->p)};
	s->p.recent_is_enough = true;
	if (ms_identity_body(x, fields, MS_ARRAY_LEN(fields)))
		ms_identity_prove(&s->p, recovery_proved);
}

// --- Routes ------------------------------------------------------------------------------------------

#define PROOF_BODY "{\"type\":\"object\",\"additionalProperties\":false,\"properties\":{" IDENTITY_PROOF_SCHEMA "}}"
#define TIME(name) "\"" name "\":{\"type\":[\"string\",\"null\"],\"format\":\"date-time\"}"
#define STATUS                                                                                                       \
	"{\"type\":\"object\",\"required\":[\"totp\",\"passkeys\",\"recovery_codes\",\"required\"],\"properties\":{" \
	"\"totp\":{\"type\":\"boolean\"}," TIME(                                                                     \
		"totp_since") ",\"passkeys\":{\"type\":\"integer\"},"                                                \
			      "\"recovery_codes\":{\"type\":\"integer\",\"description\":\"That are left\"}," TIME(   \
				      "recovery_codes_since") ","                                                    \
							      "\"required\":{\"type\":\"boolean\",\"description\":"  \
							      "\"Whether every user needs a second factor "          \
							      "(identity.mfa)\"}}}"
#define TOTP_ANSWER                                                                                                     \
	"{\"type\":\"object\",\"required\":[\"secret\",\"uri\",\"qr_svg\"],\"properties\":{\"secret\":{\"type\":"       \
	"\"string\","                                                                                                   \
	"\"description\":\"Base32, for typing\"},\"uri\":{\"type\":\"string\",\"description\":\"otpauth://totp/…\"}," \
	"\"qr_svg\":{\"type\":[\"string\",\"null\"],\"description\":\"The URI as an image\"}}}"
#define NEEDS_PROOF "Needs `password`, `code` or `assertion`: 403 `auth.proof_required` without."
#define NEEDS_RECENT                                                                               \
	"Needs `password`, `code` or `assertion`, or a sign-in of the last ten minutes: else 403 " \
	"`auth.proof_required`."
#define PATH "/api/v1/auth/"
#define ROW(verb, path, fn, id, text) \
	.method = verb, .pattern = PATH path, .handle = fn, .operation_id = id, .tag = "second factors", .summary = text

static const struct route routes[] = {
	{ROW(HTTP_GET, "mfa", status, "mfa", "One's own second factors"), .permission = "self",
	 .response_schema = STATUS},
	{ROW(HTTP_POST, "mfa/totp/begin", totp_begin, "mfa_totp_begin", "A new secret for an authenticator app"),
	 .permission = "self",
	 .description = NEEDS_RECENT " The secret counts for nothing until it is confirmed with a code.",
	 .request_type = IDENTITY_JSON, .request_schema = PROOF_BODY,
	 .request_example = "{\"password\":\"correct horse battery staple\"}", .response_schema = TOTP_ANSWER},
	{ROW(HTTP_POST, "mfa/totp/confirm", totp_confirm, "mfa_totp_confirm",
	     "The first code: from now on it is asked for at each sign-in"),
	 .permission = "self", .description = "The first second factor of a user ends his other sessions.",
	 .request_type = IDENTITY_JSON,
	 .request_schema = "{\"type\":\"object\",\"additionalProperties\":false,\"required\":[\"code\"],\"properties\":"
			   "{\"code\":{\"type\":\"string\"}}}",
	 .request_example = "{\"code\":\"492039\"}"},
	{ROW(HTTP_DELETE, "mfa/totp", totp_remove, "mfa_totp_remove", "Remove TOTP"), .permission = "self",
	 .description = NEEDS_PROOF, .request_type = IDENTITY_JSON, .request_schema = PROOF_BODY,
	 .request_example = "{\"code\":\"492039\"}"},
	{ROW(HTTP_POST, "mfa/recovery-codes", recovery, "mfa_recovery_codes",
	     "Ten new recovery codes; the ones before are void"),
	 .permission = "self",
	 .description = NEEDS_RECENT " Shown this once; each works once, in place of a second factor.",
	 .request_type = IDENTITY_JSON, .request_schema = PROOF_BODY, .request_example = "{\"code\":\"492039\"}",
	 .response_schema = "{\"type\":\"object\",\"required\":[\"codes\"],\"properties\":{\"codes\":{\"type\":"
			    "\"array\",\"items\":{\"type\":"
			    "\"string\"}}}}"},
	{ROW(HTTP_GET, "users/{user}/mfa", user_status, "user_mfa", "Second factors of a user"),
	 .permission = "users.read", .response_schema = STATUS},
	{ROW(HTTP_DELETE, "users/{user}/mfa", user_reset, "user_mfa_reset",
	     "Remove all second factors of a user who lost them; ends his sessions"),
	 .permission = "users.write"},
};

struct identity_table ms_identity_mfa_table(void)
{
	return (struct identity_table){.routes = routes, .count = MS_ARRAY_LEN(routes)};
}
