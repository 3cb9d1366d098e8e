// SPDX-License-Identifier: Apache-2.0
// basic-auth: user name and password (RFC 7617). Hashed passwords are verified on the pool; what was right is remembered for a minute, by a keyed
// digest, so that the next requests of the same client cost no second hash.
#include <stdlib.h>

#include "crypto/crypto.h"
#include "gateway/plugins/credential.h"

#define REMEMBERED 1024 // a power of two
#define REMEMBER_NS INT64_C(60000000000)
#define CREDENTIALS_MAX 4096

struct config {
	struct slice anonymous, realm;
	bool hide_credentials;
	struct slice challenge; // compiled
};
static const struct field fields[] = {
	GW_STRING(config, anonymous, NULL, "Consumer (name or id) of requests without valid credentials"),
	GW_BOOL(config, hide_credentials, "false", "Take the header out before the request is sent on"),
	GW_STRING(config, realm, "\"service\"", "Realm of WWW-Authenticate"),
	{0},
};

// --- What was right a moment ago -----------------------------------------------------------------------------

struct memory {
	struct gw_kept kept;
	uint8_t key[32];
	struct {
		uint8_t digest[32];
		int64_t until_ns; // 0: free
	} slots[REMEMBERED];
};

static void free_memory(struct gw_kept *kept)
{
	struct memory *m = MS_CONTAINER_OF(kept, struct memory, kept);
	ms_wipe(m, sizeof(*m));
	free(m);
}

static struct gw_kept *make_memory(struct gw_request *r, const void *config)
{
	(void)r;
	(void)config;
	struct memory *m = calloc(1, sizeof(*m));
	if (m == NULL)
		return NULL;
	m->kept.free = free_memory;
	ms_random_bytes(m->key, sizeof(m->key));
	return &m->kept;
}

static struct memory *memory_of(struct gw_request *r)
{
	struct gw_kept *kept = ms_gw_keep(r, MS_SLICE_LIT("basic-auth"), make_memory, NULL);
	return kept != NULL ? MS_CONTAINER_OF(kept, struct memory, kept) : NULL;
}

// Of the stored hash and the password, so that a changed password is not remembered.
static bool digest(struct gw_request *r, const struct memory *m, struct slice stored, struct slice password,
		   uint8_t ret_digest[MS_DIGEST_MAX])
{
	char *text = ms_arena_alloc(r->arena, stored.n + 1 + password.n);
	if (text == NULL)
		return false;
	memcpy(text, stored.p, stored.n);
	text[stored.n] = '\0';
	if (password.n > 0)
		memcpy(text + stored.n + 1, password.p, password.n);
	ms_hmac(CRYPTO_SHA256, ms_slice(m->key, sizeof(m->key)), ms_slice(text, stored.n + 1 + password.n), ret_digest);
	ms_wipe(text, stored.n + 1 + password.n);
	return true;
}

static size_t slot_of(const uint8_t *d)
{
	return (d[0] | (size_t)d[1] << 8) & (REMEMBERED - 1);
}

static bool remembered(struct gw_request *r, struct slice stored, struct slice password)
{
	const struct memory *m = memory_of(r);
	uint8_t d[MS_DIGEST_MAX];
	if (m == NULL || !digest(r, m, stored, password, d))
		return false;
	size_t slot = slot_of(d);
	return m->slots[slot].until_ns > ms_loop_now_ns(r->x->loop) &&
	       ms_equal_constant_time(ms_slice(m->slots[slot].digest, 32), ms_slice(d, 32));
}

static void remember(struct gw_request *r, struct slice stored, struct slice password)
{
	struct memory *m = memory_of(r);
	uint8_t d[MS_DIGEST_MAX];
	if (m == NULL || !digest(r, m, stored, password, d))
		return;
	size_t slot = slot_of(d);
	memcpy(m->slots[slot].digest, d, 32);
	m->slots[slot].until_ns = ms_loop_now_ns(r->x->loop) + REMEMBER_NS;
}

// --- Credentials ---------------------------------------------------------------------------------------------

static bool read_header(struct gw_request *r, const char *name, struct slice *ret_user, struct slice *ret_password)
{
	struct slice value = ms_slice_trim(ms_gw_request_header(r, name)), text;
	if (value.n < 7 || value.n > CREDENTIALS_MAX || value.p[5] != ' ' ||
	    !ms_slice_eq_nocase(ms_slice_sub(value, 0, 5), MS_SLICE_LIT("Basic")) ||
	    !ms_base64_decode(ms_slice_trim(ms_slice_sub(value, 6, value.n)), r->arena, &text))
		return false;
	size_t colon = ms_slice_find(text, ':');
	if (colon == text.n)
		return false;
	*ret_user = ms_slice_sub(text, 0, colon);
	*ret_password = ms_slice_sub(text, colon + 1, text.n);
	return true;
}

static enum gw_verdict refuse(struct gw_request *r, const struct config *c)
{
	enum gw_unknown unknown = ms_gw_unknown_caller(r, c->anonymous);
	if (unknown == GW_UNKNOWN_PASS)
		return GW_NEXT;
	if (unknown == GW_UNKNOWN_REFUSE)
		ms_gw_refuse(r, "gateway.unauthorized", "Unauthorized", c->challenge);
	return GW_ANSWERED;
}

static enum gw_verdict let_in(struct gw_request *r, const struct config *c, const struct gw_credential *credential)
{
	if (c->hide_credentials) {
		ms_gw_header_remove(&r->out.headers, MS_SLICE_LIT("Authorization"));
		ms_gw_header_remove(&r->out.headers, MS_SLICE_LIT("Proxy-Authorization"));
	}
	ms_gw_authenticate(r, credential->consumer, credential, credential->key, false);
	return GW_NEXT;
}

// --- Slow verification -----------------------------------------------------------------------------------------

struct check {
	struct job job;
	struct gw_request *r;
	const struct config *config;
	const struct gw_credential *credential;
	struct slice stored, password;
	bool match;
};

static void verify(struct job *job)
{
	struct check *check = MS_CONTAINER_OF(job, struct check, job);
	struct password_answer answer = {0};
	check->match =
		ms_password_verify(check->stored, check->password, &MS_PASSWORD_COST_DEFAULT, NULL, &answer) == MS_OK &&
		answer.match;
}

static void verified(struct job *job)
{
	struct check *check = MS_CONTAINER_OF(job, struct check, job);
	struct gw_request *r = check->r;
	if (check->match)
		remember(r, check->stored, check->password);
	ms_gw_resume(r, check->match ? let_in(r, check->config, check->credential) : refuse(r, check->config));
}

static enum gw_verdict verify_later(struct gw_request *r, const struct config *c,
				    const struct gw_credential *credential, struct slice stored, struct slice password)
{
	struct check *check = MS_ARENA_NEW(r->arena, struct check);
	enum ms_err err = MS_ERR_NO_MEMORY;
	if (check != NULL && r->services->pool != NULL) { // NULL: the process ends
		*check = (struct check){
			.r = r, .config = c, .credential = credential, .stored = stored, .password = password};
		err = ms_pool_submit(r->services->pool, &check->job, r->x->loop, verify, verified);
	}
	if (err == MS_OK)
		return GW_WAIT;
	ms_gw_fail(r, 503, ms_err_name(MS_ERR_BUSY), "Too many passwords are being verified");
	return GW_ANSWERED;
}

static bool digest_matches(const struct gw_basic_secret *s, struct slice password)
{
	return ms_hmac_verify(CRYPTO_SHA256, ms_slice(s->salt, sizeof(s->salt)), password,
			      ms_slice(s->digest, sizeof(s->digest)));
}

static enum gw_verdict access(struct gw_request *r, const void *config, void **state)
{
	const struct config *c = config;
	struct slice user, password;
	(void)state;
	if (ms_gw_already_in(r, c->anonymous))
		return GW_NEXT;
	if (!read_header(r, "Proxy-Authorization", &user, &password) &&
	    !read_header(r, "Authorization", &user, &password))
		return refuse(r, c);
	const struct gw_credential *credential = ms_plan_credential(r->plan, GW_BASICAUTH, user);
	if (credential == NULL || credential->consumer == NULL || credential->compiled == NULL)
		return refuse(r, c);
	const struct gw_basic_secret *s = credential->compiled;
	if (!s->hashed)
		return digest_matches(s, password) ? let_in(r, c, credential) : refuse(r, c);
	if (remembered(r, s->stored, password))
		return let_in(r, c, credential);
	return verify_later(r, c, credential, s->stored, password);
}

static bool compile(struct plan *plan, void *config, const char *path, struct problems *problems)
{
	struct config *c = config;
	if (!ms_gw_header_value_ok(c->realm) || ms_slice_find(c->realm, '"') < c->realm.n) {
		ms_problem_add(problems, path, NULL, "realm: text without quotes and control characters");
		return false;
	}
	const char *text = ms_arena_printf(&plan->arena, "Basic realm=\"%.*s\"", MS_SLICE_ARG(c->realm));
	c->challenge = ms_slice_cstr(text);
	return text != NULL;
}

const struct gw_plugin_kind ms_plugin_basic_auth = {
	.name = "basic-auth",
	.priority = 1100,
	.fields = fields,
	.config_bytes = sizeof(struct config),
	.help = "User names and passwords of consumers",
	.compile = compile,
	.access = access,
};
