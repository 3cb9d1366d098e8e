// SPDX-License-Identifier: Apache-2.0
// Passkeys: registration, challenges, list. The answers to challenges are login.c's and proof.c's.
#include "identity/proof.h"

#define OPTIONS_MAX ((size_t)64 << 10)
#define DEFAULT_NAME "Passkey"

struct passkey_work {
	struct identity_proof p;
	struct slice name, id, mfa_token;
	const struct json_value *credential;
	struct slice options; // JSON
	struct auth_passkey *passkeys;
	size_t count;
};

static struct passkey_work *state_of(struct identity_work *w)
{
	return MS_CONTAINER_OF(w, struct passkey_work, p.w);
}

// --- Challenges --------------------------------------------------------------------------------------

static enum ms_err keep_options(struct passkey_work *s, enum ms_err err, struct buf *out, struct errinfo *info)
{
	if (err == MS_OK) {
		s->options = ms_arena_copy(s->p.w.x->arena, ms_buf_slice(out));
		if (s->options.p == NULL)
			err = ms_fail(info, MS_ERR_NO_MEMORY, "out of memory for this request");
	}
	ms_buf_fini(out);
	return err;
}

static enum ms_err offer(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct passkey_work *s = arg;
	struct auth_user user;
	struct buf out;
	MS_TRY(ms_auth_user_get(tx, s->p.user_id, info, &user));
	ms_buf_init(&out, OPTIONS_MAX);
	return keep_options(s, ms_auth_passkey_offer(tx, s->p.w.identity->auth, &user, info, &out), &out, info);
}

static enum ms_err ask(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct passkey_work *s = arg;
	struct buf out;
	ms_buf_init(&out, OPTIONS_MAX);
	return keep_options(s, ms_auth_passkey_ask(tx, s->p.w.identity->auth, s->p.user_id, info, &out), &out, info);
}

static void send_options(struct identity_work *work)
{
	struct json_writer w;
	ms_json_writer_init(&w, work->x->body);
	ms_json_begin_object(&w);
	ms_json_key_lit(&w, "publicKey");
	ms_json_raw(&w, state_of(work)->options);
	ms_json_end_object(&w);
	ms_http_send_json(work->x, 200);
}

static void register_proved(struct identity_work *w)
{
	ms_identity_read(w, offer, send_options);
}

static void register_begin(struct exchange *x, void *role)
{
	struct passkey_work *s = MS_IDENTITY_BEGIN(x, role, struct passkey_work);
	if (s == NULL || !ms_identity_person(&s->p))
		return;
	const struct identity_field fields[] = {IDENTITY_PROOF_FIELDS(&s->p)};
	s->p.recent_is_enough = true;
	if (ms_identity_body(x, fields, MS_ARRAY_LEN(fields)))
		ms_identity_prove(&s->p, register_proved);
}

static void login_begin(struct exchange *x, void *role)
{
	struct passkey_work *s = MS_IDENTITY_BEGIN(x, role, struct passkey_work);
	if (s == NULL)
		return;
	struct identity_work *w = &s->p.w;
	const struct identity_field fields[] = {{.name = "mfa_token", .kind = FIELD_TEXT, .to = &s->mfa_token}};
	if (!ms_identity_body(x, fields, MS_ARRAY_LEN(fields)))
		return;
	if (s->mfa_token.n > 0)
		w->err = ms_auth_second_user(w->identity->auth, s->mfa_token, x->arena, &w->info, &s->p.user_id);
	if (w->err != MS_OK)
		ms_identity_fail(w);
	else
		ms_identity_read(w, ask, send_options);
}

static void challenge(struct exchange *x, void *role)
{
	struct passkey_work *s = MS_IDENTITY_BEGIN(x, role, struct passkey_work);
	if (s != NULL && ms_identity_person(&s->p))
		ms_identity_read(&s->p.w, ask, send_options);
}

// --- Passkeys ----------------------------------------------------------------------------------------

static enum ms_err keep_passkeys(struct passkey_work *s, const struct auth_passkey *found, size_t count,
				 struct errinfo *info)
{
	struct auth_passkey *passkeys = MS_ARENA_ARRAY(s->p.w.x->arena, struct auth_passkey, count);
	bool ok = passkeys != NULL;
	for (size_t i = 0; ok && i < count; i++) {
		struct auth_passkey *one = &passkeys[i];
		*one = found[i];
		ok = ms_identity_keep(&s->p.w, &one->id) && ms_identity_keep(&s->p.w, &one->name) &&
		     ms_identity_keep(&s->p.w, &one->credential_id) && ms_identity_keep(&s->p.w, &one->transports) &&
		     ms_identity_keep(&s->p.w, &one->aaguid);
	}
	s->passkeys = passkeys;
	s->count = count;
	return ok ? MS_OK : ms_fail(info, MS_ERR_NO_MEMORY, "out of memory for this request");
}

static void write_bytes(struct json_writer *w, const char *name, struct slice bytes, bool hex)
{
	struct buf text;
	ms_buf_init(&text, 4096);
	if (hex)
		ms_hex_append(&text, bytes);
	else
		ms_base64url_append(&text, bytes);
	ms_json_key_lit(w, name);
	ms_json_str(w, ms_buf_slice(&text));
	ms_buf_fini(&text);
}

static void write_passkey(struct json_writer *w, const struct auth_passkey *passkey)
{
	ms_json_begin_object(w);
	ms_json_key_lit(w, "id");
	ms_json_str(w, passkey->id);
	ms_json_key_lit(w, "name");
	ms_json_str(w, passkey->name);
	write_bytes(w, "credential_id", passkey->credential_id, false);
	write_bytes(w, "aaguid", passkey->aaguid, true);
	ms_json_key_lit(w, "transports");
	ms_json_raw(w, passkey->transports);
	ms_json_key_lit(w, "user_verified");
	ms_json_bool(w, passkey->verified);
	ms_json_key_lit(w, "backed_up");
	ms_json_bool(w, passkey->backed_up);
	ms_json_member_time(w, "created_at", passkey->created_us);
	ms_json_member_time(w, "used_at", passkey->used_us);
	ms_json_end_object(w);
}

static void send_passkey(struct identity_work *work)
{
	struct passkey_work *s = state_of(work);
	struct json_writer w;
	ms_json_writer_init(&w, work->x->body);
	write_passkey(&w, &s->passkeys[0]);
	ms_http_send_json(work->x, s->credential != NULL ? 201 : 200);
}

static void send_passkeys(struct identity_work *work)
{
	struct passkey_work *s = state_of(work);
	struct json_writer w;
	ms_json_writer_init(&w, work->x->body);
	ms_json_begin_object(&w);
	ms_json_key_lit(&w, "credentials");
	ms_json_begin_array(&w);
	for (size_t i = 0; i < s->count; i++)
		write_passkey(&w, &s->passkeys[i]);
	ms_json_end_array(&w);
	ms_json_end_object(&w);
	ms_http_send_json(work->x, 200);
}

static enum ms_err add(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct passkey_work *s = arg;
	struct auth_passkey passkey;
	MS_TRY(ms_auth_passkey_add(tx, s->p.w.identity->auth, &s->p.w.actor, s->p.user_id, s->credential, s->name, info,
				   &passkey));
	return keep_passkeys(s, &passkey, 1, info);
}

static void register_finish(struct exchange *x, void *role)
{
	struct passkey_work *s = MS_IDENTITY_BEGIN(x, role, struct passkey_work);
	if (s == NULL || !ms_identity_person(&s->p))
		return;
	const struct identity_field fields[] = {
		{.name = "credential", .kind = FIELD_VALUE, .required = true, .to = &s->credential},
		{.name = "name", .kind = FIELD_TEXT, .to = &s->name},
	};
	if (!ms_identity_body(x, fields, MS_ARRAY_LEN(fields)))
		return;
	if (s->name.n == 0)
		s->name = MS_SLICE_LIT(DEFAULT_NAME);
	ms_identity_write(&s->p.w, add, send_passkey, true);
}

static enum ms_err list(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct passkey_work *s = arg;
	struct auth_passkey *found;
	size_t count;
	MS_TRY(ms_auth_passkey_list(tx, s->p.user_id, info, &found, &count));
	return keep_passkeys(s, found, count, info);
}

static void credentials(struct exchange *x, void *role)
{
	struct passkey_work *s = MS_IDENTITY_BEGIN(x, role, struct passkey_work);
	if (s != NULL && ms_identity_own(x, &s->p.user_id))
		ms_identity_read(&s->p.w, list, send_passkeys);
}

static enum ms_err rename_one(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct passkey_work *s = arg;
	struct auth_passkey passkey;
	MS_TRY(ms_auth_passkey_rename(tx, s->p.user_id, s->id, s->name, info, &passkey));
	return keep_passkeys(s, &passkey, 1, info);
}

static void credential_rename(struct exchange *x, void *role)
{
	struct passkey_work *s = MS_IDENTITY_BEGIN(x, role, struct passkey_work);
	if (s == NULL || !ms_identity_person(&s->p))
		return;
	const struct identity_field fields[] = {{.name = "name", .kind = FIELD_TEXT, .required = true, .to = &s->name}};
	s->id = x->req.params[0];
	if (ms_identity_body(x, fields, MS_ARRAY_LEN(fields)))
		ms_identity_write(&s->p.w, rename_one, send_passkey, false);
}

static enum ms_err remove_one(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct passkey_work *s = arg;
	return ms_auth_passkey_remove(tx, s->p.w.identity->auth, &s->p.w.actor, s->p.user_id, s->id, info);
}

static void remove_proved(struct identity_work *w)
{
	ms_identity_write(w, remove_one, ms_identity_send_nothing, false);
}

static void credential_remove(struct exchange *x, void *role)
{
	struct passkey_work *s = MS_IDENTITY_BEGIN(x, role, struct passkey_work);
	if (s == NULL || !ms_identity_person(&s->p))
		return;
	const struct identity_field fields[] = {IDENTITY_PROOF_FIELDS(&s->p)};
	s->id = x->req.params[0];
	if (ms_identity_body(x, fields, MS_ARRAY_LEN(fields)))
		ms_identity_prove(&s->p, remove_proved);
}

// --- Routes ------------------------------------------------------------------------------------------

#define CLOSED "{\"type\":\"object\",\"additionalProperties\":false,"
#define PROOF_BODY CLOSED "\"properties\":{" IDENTITY_PROOF_SCHEMA "}}"
#define TEXT(name) "\"" name "\":{\"type\":\"string\"}"
#define OPTIONS \
	"{\"type\":\"object\",\"required\":[\"publicKey\"],\"properties\":{\"publicKey\":{\"type\":\"object\"}}}"
#define TIME(name) "\"" name "\":{\"type\":[\"string\",\"null\"],\"format\":\"date-time\"}"
#define PASSKEY                                                                                                      \
	"{\"type\":\"object\",\"required\":[\"id\",\"name\"],\"properties\":{" TEXT("id") "," TEXT("name") "," TEXT( \
		"credential_id") "," TEXT("aaguid") ",\"transports\":{\"type\":\"array\",\"items\":{\"type\":"       \
						    "\"string\"}},\"user_verified\":{\"type\":\"boolean\"},"         \
						    "\"backed_up\":{\"type\":\"boolean\"}," TIME(                    \
							    "created_at") "," TIME("used_at") "}}"
#define NEEDS_PROOF "Needs `password`, `code` or `assertion`: 403 `auth.proof_required` without."
#define PATH "/api/v1/auth/webauthn/"
#define ROW(verb, path, fn, id, text) \
	.method = verb, .pattern = PATH path, .handle = fn, .operation_id = id, .tag = "passkeys", .summary = text

static const struct route routes[] = {
	{ROW(HTTP_POST, "register/begin", register_begin, "webauthn_register_begin",
	     "Options for navigator.credentials.create()"),
	 .permission = "self",
	 .description = "Needs `password`, `code` or `assertion`, or a sign-in of the last ten minutes: else 403 "
			"`auth.proof_required`.",
	 .request_type = IDENTITY_JSON, .request_schema = PROOF_BODY,
	 .request_example = "{\"password\":\"correct horse battery staple\"}", .response_schema = OPTIONS},
	{ROW(HTTP_POST, "register/finish", register_finish, "webauthn_register_finish",
	     "Register the passkey that was made"),
	 .permission = "self",
	 .description = "`credential` is RegistrationResponseJSON, what PublicKeyCredential.toJSON() gives.",
	 .request_type = IDENTITY_JSON,
	 .request_schema = CLOSED
	 "\"required\":[\"credential\"],\"properties\":{\"credential\":{\"type\":\"object\"}," TEXT("name") "}}",
	 .response_schema = PASSKEY},
	{ROW(HTTP_POST, "login/begin", login_begin, "webauthn_login_begin", "Options for navigator.credentials.get()"),
	 .flags = ROUTE_PUBLIC,
	 .description = "Without `mfa_token`: for a sign-in by passkey alone, which names its user and must verify "
			"him. With it: for the second step "
			"of a sign-in; the assertion goes to `login/mfa`.",
	 .request_type = IDENTITY_JSON, .request_schema = CLOSED "\"properties\":{" TEXT("mfa_token") "}}",
	 .response_schema = OPTIONS},
	{ROW(HTTP_POST, "challenge", challenge, "webauthn_challenge",
	     "Options for showing one of one's own passkeys again"),
	 .permission = "self", .description = "For the `assertion` of requests that want to know again who asks.",
	 .response_schema = OPTIONS},
	{ROW(HTTP_GET, "credentials", credentials, "webauthn_credentials", "One's own passkeys"), .permission = "self",
	 .response_schema = "{\"type\":\"object\",\"required\":[\"credentials\"],\"properties\":{\"credentials\":{"
			    "\"type\":\"array\",\"items\":" PASSKEY "}}}"},
	{ROW(HTTP_PATCH, "credentials/{credential}", credential_rename, "webauthn_credential_rename",
	     "Rename a passkey"),
	 .permission = "self", .request_type = IDENTITY_JSON,
	 .request_schema = CLOSED "\"required\":[\"name\"],\"properties\":{" TEXT("name") "}}",
	 .request_example = "{\"name\":\"Laptop\"}", .response_schema = PASSKEY},
	{ROW(HTTP_DELETE, "credentials/{credential}", credential_remove, "webauthn_credential_remove",
	     "Remove a passkey"),
	 .permission = "self", .description = NEEDS_PROOF, .request_type = IDENTITY_JSON, .request_schema = PROOF_BODY,
	 .request_example = "{\"password\":\"correct horse battery staple\"}"},
};

struct identity_table ms_identity_webauthn_table(void)
{
	return (struct identity_table){.routes = routes, .count = MS_ARRAY_LEN(routes)};
}
