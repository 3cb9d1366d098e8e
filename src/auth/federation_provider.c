// SPDX-License-Identifier: Apache-2.0
// The outside provider: its discovery document and its keys, fetched and kept, and the life of it all.
#include <stdio.h>
#include <stdlib.h>

#include "auth/federation.h"
#include "auth/oauth.h"

#define SECOND_NS 1000000000LL
#define FRESH_NS (3600 * SECOND_NS)
#define STALE_NS (24 * 3600 * SECOND_NS) // what is older is not used even when the provider is gone
#define RETRY_NS (5 * SECOND_NS)
#define RENEW_NS (10 * SECOND_NS)
#define DOCUMENT_MAX ((size_t)256 << 10)
#define SCRATCH_MAX ((size_t)16 << 20)
#define THREADS 4
#define DEPTH 64

// --- Fetching ----------------------------------------------------------------------------------------

// "invalid_grant" of an error answer, if it is a plain word; it goes to the log.
static struct slice error_word(const struct json_value *object)
{
	struct slice word;
	if (!ms_json_as_str(ms_json_get(object, "error"), &word) || word.n == 0 || word.n > 64)
		return MS_SLICE_LIT("no reason");
	for (size_t i = 0; i < word.n; i++) {
		if (!((word.p[i] >= 'a' && word.p[i] <= 'z') || word.p[i] == '_'))
			return MS_SLICE_LIT("no plain reason");
	}
	return word;
}

static enum ms_err ask(struct federation *f, const struct wire_request *request, struct arena *arena,
		       struct errinfo *info, struct wire_answer *ret_answer)
{
	if (atomic_load(&f->stopping))
		return ms_fail(info, MS_ERR_DRAINING, "the server is ending");
	return ms_wire_fetch(f->wire, request, arena, info, ret_answer);
}

enum ms_err ms_provider_fetch(struct federation *f, const struct wire_request *request, const char *what,
			      struct arena *arena, struct errinfo *info, const struct json_value **ret_object)
{
	static const struct json_limits limits = {.max_depth = 16, .max_bytes = MS_JWKS_MAX, .reject_duplicates = true};
	struct wire_answer answer;
	struct errinfo why;
	const struct json_value *object = NULL;
	ms_errinfo_init(&why);
	enum ms_err err = ask(f, request, arena, &why, &answer);
	if (err == MS_ERR_NO_MEMORY || err == MS_ERR_DRAINING)
		return ms_fail(info, err, "%s", why.message);
	if (err != MS_OK)
		return ms_fail(info, MS_ERR_WIRE, "the provider's %s: %.400s", what, why.message);
	err = ms_json_parse(answer.body, &limits, arena, &why, &object);
	bool good = err == MS_OK && object->type == JSON_OBJECT;
	if (answer.status != 200) {
		struct slice word = good ? error_word(object) : MS_SLICE_LIT("no reason");
		return ms_fail(info, MS_ERR_WIRE, "the provider's %s answered with status %d (%.*s)", what,
			       answer.status, MS_SLICE_ARG(word));
	}
	if (!good)
		return ms_fail(info, MS_ERR_WIRE, "the provider's %s is no JSON object%s%.300s", what,
			       err != MS_OK ? ": " : "", err != MS_OK ? why.message : "");
	*ret_object = object;
	return MS_OK;
}

// Whether to fetch. False with MS_OK: use what is there; with an error: it failed a moment ago.
static enum ms_err wants_fetch(const struct provider_cache *c, bool anew, int64_t now_ns, struct errinfo *info,
			       bool *ret_wants)
{
	bool fresh = c->fetched_ns != 0 && now_ns - c->fetched_ns < FRESH_NS;
	bool failed = c->failed_ns != 0 && now_ns - c->failed_ns < RETRY_NS;
	bool renewed = c->renewed_ns != 0 && now_ns - c->renewed_ns < RENEW_NS;
	*ret_wants = !failed && (!fresh || (anew && !renewed));
	if (*ret_wants || c->fetched_ns != 0)
		return MS_OK;
	return ms_fail(info, MS_ERR_WIRE, "%s", c->failure);
}

// After an attempt; an older state serves while the provider is away.
static enum ms_err fetched(struct federation *f, struct provider_cache *c, enum ms_err err, int64_t now_ns,
			   const struct errinfo *why, struct errinfo *info)
{
	if (err == MS_OK) {
		c->fetched_ns = now_ns;
		c->failed_ns = 0;
		return MS_OK;
	}
	c->failed_ns = ms_clock_mono_ns();
	snprintf(c->failure, sizeof(c->failure), "%.255s", why->message);
	ms_log(f->log, LOG_WARN, "the outside provider cannot be asked", MS_LOG_CSTR("error.message", why->message));
	if (c->fetched_ns != 0 && now_ns - c->fetched_ns < STALE_NS)
		return MS_OK;
	return ms_fail(info, err, "%s", why->message);
}

// --- Discovery ---------------------------------------------------------------------------------------

static enum ms_err take_address(struct federation *f, const struct json_value *document, const char *name, bool needed,
				struct errinfo *info, struct slice *ret_url)
{
	struct errinfo why;
	const struct json_value *value = ms_json_get(document, name);
	*ret_url = MS_SLICE_EMPTY;
	if (value == NULL && !needed)
		return MS_OK;
	ms_errinfo_init(&why);
	if (!ms_json_as_str(value, ret_url))
		return ms_fail(info, MS_ERR_WIRE, "the provider's discovery document has no %s", name);
	if (ms_wire_check_url(f->wire, *ret_url, &why) != MS_OK)
		return ms_fail(info, MS_ERR_WIRE, "the provider's %s: %.200s", name, why.message);
	return MS_OK;
}

static bool lists(const struct json_value *list, const char *word)
{
	struct slice text;
	for (size_t i = 0; list != NULL && list->type == JSON_ARRAY && i < list->array.count; i++) {
		if (ms_json_as_str(&list->array.items[i], &text) && ms_slice_eq_cstr(text, word))
			return true;
	}
	return false;
}

static enum ms_err copy_metadata(const struct provider_metadata *from, struct arena *arena, struct errinfo *info,
				 struct provider_metadata *ret_metadata)
{
	struct provider_metadata m = *from;
	struct slice *texts[] = {&m.authorization, &m.token, &m.jwks, &m.userinfo};
	for (size_t i = 0; i < MS_ARRAY_LEN(texts); i++) {
		if (!ms_oauth_keep(arena, texts[i]))
			return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory");
	}
	*ret_metadata = m;
	return MS_OK;
}

static enum ms_err read_metadata(struct federation *f, const struct json_value *document, struct errinfo *info,
				 struct provider_metadata *ret_metadata)
{
	struct provider_metadata m = {0};
	struct slice issuer;
	// Exactly (OpenID Connect Discovery 1.0, 4.3): else the document of one provider could speak for another.
	if (!ms_json_as_str(ms_json_get(document, "issuer"), &issuer) || !ms_slice_eq_cstr(issuer, f->options.issuer))
		return ms_fail(info, MS_ERR_WIRE,
			       "the provider's discovery document is of another issuer than identity.provider.issuer");
	MS_TRY(take_address(f, document, "authorization_endpoint", true, info, &m.authorization));
	MS_TRY(take_address(f, document, "token_endpoint", true, info, &m.token));
	MS_TRY(take_address(f, document, "jwks_uri", true, info, &m.jwks));
	MS_TRY(take_address(f, document, "userinfo_endpoint", false, info, &m.userinfo));
	const struct json_value *names = ms_json_get(document, "authorization_response_iss_parameter_supported");
	const struct json_value *methods = ms_json_get(document, "token_endpoint_auth_methods_supported");
	m.names_itself = names != NULL && names->type == JSON_TRUE;
	m.secret_in_form = lists(methods, "client_secret_post") && !lists(methods, "client_secret_basic");
	ms_arena_reset(&f->metadata_arena);
	return copy_metadata(&m, &f->metadata_arena, info, ret_metadata);
}

static enum ms_err fetch_metadata(struct federation *f, struct errinfo *info)
{
	struct arena scratch;
	const struct json_value *document;
	struct slice issuer = ms_slice_cstr(f->options.issuer);
	ms_arena_init(&scratch, 4096, SCRATCH_MAX);
	if (ms_slice_ends_with(issuer, MS_SLICE_LIT("/")))
		issuer.n--;
	const char *url = ms_arena_printf(&scratch, "%.*s/.well-known/openid-configuration", MS_SLICE_ARG(issuer));
	const struct wire_request request = {
		.url = ms_slice_cstr(url), .accept = MS_SLICE_LIT("application/json"), .max_bytes = DOCUMENT_MAX};
	enum ms_err err = url != NULL ? ms_provider_fetch(f, &request, "discovery document", &scratch, info, &document)
				      : ms_fail(info, MS_ERR_NO_MEMORY, "out of memory");
	if (err == MS_OK)
		err = read_metadata(f, document, info, &f->metadata);
	ms_arena_fini(&scratch);
	return err;
}

enum ms_err ms_provider_metadata(struct federation *f, struct arena *arena, struct errinfo *info,
				 struct provider_metadata *ret_metadata)
{
	struct provider_cache *c = &f->metadata_state;
	struct errinfo why;
	bool wants;
	ms_errinfo_init(&why);
	pthread_mutex_lock(&c->lock);
	int64_t now_ns = ms_clock_mono_ns();
	enum ms_err err = wants_fetch(c, false, now_ns, info, &wants);
	if (err == MS_OK && wants)
		err = fetched(f, c, fetch_metadata(f, &why), now_ns, &why, info);
	if (err == MS_OK)
		err = copy_metadata(&f->metadata, arena, info, ret_metadata);
	pthread_mutex_unlock(&c->lock);
	return err;
}

// --- Keys --------------------------------------------------------------------------------------------

static void drop_keys(struct federation *f)
{
	for (size_t i = 0; i < f->key_count; i++)
		ms_jose_key_unref(f->keys[i]);
	f->key_count = 0;
}

static enum ms_err fetch_keys(struct federation *f, struct errinfo *info)
{
	struct arena scratch;
	struct provider_metadata metadata;
	struct wire_answer answer;
	struct jose_keys keys = {0};
	struct errinfo why;
	ms_errinfo_init(&why);
	ms_arena_init(&scratch, 4096, SCRATCH_MAX);
	enum ms_err err = ms_provider_metadata(f, &scratch, &why, &metadata);
	if (err == MS_OK) {
		const struct wire_request request = {
			.url = metadata.jwks, .accept = MS_SLICE_LIT("application/json"), .max_bytes = MS_JWKS_MAX};
		err = ask(f, &request, &scratch, &why, &answer);
	}
	if (err == MS_OK && answer.status != 200)
		err = ms_fail(&why, MS_ERR_WIRE, "status %d", answer.status);
	if (err == MS_OK)
		err = ms_jose_keys_parse(answer.body, FEDERATION_PROVIDER_KEYS, &scratch, &why, &keys);
	if (err == MS_OK) {
		drop_keys(f);
		for (size_t i = 0; i < keys.count; i++)
			f->keys[f->key_count++] = keys.keys[i]; // ours from now on
	} else {
		err = ms_fail(info, MS_ERR_WIRE, "the provider's keys: %.300s", why.message);
	}
	ms_arena_fini(&scratch);
	return err;
}

enum ms_err ms_provider_keys(struct federation *f, bool anew, struct arena *arena, struct errinfo *info,
			     struct jose_keys *ret_keys)
{
	struct provider_cache *c = &f->keys_state;
	struct errinfo why;
	bool wants;
	ms_errinfo_init(&why);
	pthread_mutex_lock(&c->lock);
	int64_t now_ns = ms_clock_mono_ns();
	enum ms_err err = wants_fetch(c, anew, now_ns, info, &wants);
	if (err == MS_OK && wants) {
		if (anew)
			c->renewed_ns = now_ns;
		err = fetched(f, c, fetch_keys(f, &why), now_ns, &why, info);
	}
	struct jose_key **copy = err == MS_OK ? MS_ARENA_ARRAY(arena, struct jose_key *, f->key_count + 1) : NULL;
	if (err == MS_OK && copy == NULL)
		err = ms_fail(info, MS_ERR_NO_MEMORY, "out of memory");
	for (size_t i = 0; err == MS_OK && i < f->key_count; i++)
		copy[i] = ms_jose_key_ref(f->keys[i]);
	if (err == MS_OK)
		*ret_keys = (struct jose_keys){.keys = copy, .count = f->key_count};
	pthread_mutex_unlock(&c->lock);
	return err;
}

void ms_provider_keys_done(struct jose_keys keys)
{
	for (size_t i = 0; i < keys.count; i++)
		ms_jose_key_unref(keys.keys[i]);
}

// --- Life --------------------------------------------------------------------------------------------

static enum ms_err take_texts(struct federation *f, struct auth *auth, struct errinfo *info)
{
	const struct auth_provider_options *o = &f->options;
	struct arena *arena = &auth->arena;
	struct buf scope;
	ms_buf_init(&scope, 4096);
	ms_buf_append_cstr(&scope, MS_OAUTH_OPENID);
	for (size_t i = 0; i < o->scope_count; i++) {
		if (strcmp(o->scopes[i], MS_OAUTH_OPENID) != 0)
			ms_buf_printf(&scope, " %s", o->scopes[i]);
	}
	f->scope = ms_buf_ok(&scope) ? ms_arena_copy(arena, ms_buf_slice(&scope)) : MS_SLICE_EMPTY;
	ms_buf_fini(&scope);
	f->redirect_uri = ms_oauth_endpoint(auth, "/oauth/external/" MS_FEDERATION_ID "/callback", arena);
	struct slice host = ms_slice_cstr(o->issuer);
	host = ms_slice_sub(host, ms_slice_starts_with(host, MS_SLICE_LIT("https://")) ? 8 : 7, SIZE_MAX);
	f->name = o->name[0] != '\0' ? o->name : ms_arena_cstr(arena, ms_slice_sub(host, 0, ms_slice_find(host, '/')));
	return f->scope.p != NULL && f->redirect_uri.p != NULL && f->name != NULL
		       ? MS_OK
		       : ms_fail(info, MS_ERR_NO_MEMORY, "out of memory");
}

static enum ms_err take_key(struct federation *f, struct errinfo *info)
{
	struct errinfo why;
	if (f->options.decryption_key[0] == '\0')
		return MS_OK;
	ms_errinfo_init(&why);
	if (ms_jwe_key_parse(ms_slice_cstr(f->options.decryption_key), JWE_ALG_COUNT, &why, &f->decryption_key) ==
	    MS_OK)
		return MS_OK;
	return ms_fail(info, MS_ERR_CONFIG, "identity.provider.decryption_key: %.300s", why.message);
}

enum ms_err ms_auth_federation_new(struct auth *auth, struct errinfo *info)
{
	const struct auth_provider_options *o = &auth->options.provider;
	if (o->issuer == NULL || o->issuer[0] == '\0' || auth->options.rt == NULL)
		return MS_OK;
	struct federation *f = calloc(1, sizeof(*f));
	if (f == NULL)
		return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory");
	auth->federation = f;
	f->options = *o;
	f->log = auth->options.log;
	pthread_mutex_init(&f->metadata_state.lock, NULL);
	pthread_mutex_init(&f->keys_state.lock, NULL);
	ms_arena_init(&f->metadata_arena, 1024, (size_t)1 << 16);
	const struct wire_options wire = {.user_agent = "mainstay/" MAINSTAY_VERSION,
					  .ca_file = o->ca_file,
					  .proxy = o->proxy,
					  .timeout_ms = o->timeout_ms,
					  .allow_loopback = o->loopback};
	MS_TRY(ms_wire_new(&wire, info, &f->wire));
	if (ms_wire_check_url(f->wire, ms_slice_cstr(o->issuer), info) != MS_OK)
		return ms_fail(info, MS_ERR_CONFIG,
			       "identity.provider.issuer: is no https:// address without user and fragment");
	MS_TRY(take_texts(f, auth, info));
	MS_TRY(take_key(f, info));
	return ms_pool_new(&(struct pool_options){.name = "outside", .threads = THREADS, .depth = DEPTH}, info,
			   &f->pool);
}

void ms_auth_federation_stop(struct auth *auth)
{
	struct federation *f = auth->federation;
	if (f == NULL)
		return;
	atomic_store(&f->stopping, true);
	ms_pool_free(f->pool);
	f->pool = NULL;
}

void ms_auth_federation_free(struct auth *auth)
{
	struct federation *f = auth->federation;
	if (f == NULL)
		return;
	drop_keys(f);
	ms_jwe_key_free(f->decryption_key);
	ms_wire_free(f->wire);
	ms_arena_fini(&f->metadata_arena);
	pthread_mutex_destroy(&f->metadata_state.lock);
	pthread_mutex_destroy(&f->keys_state.lock);
	free(f);
	auth->federation = NULL;
}

const char *ms_federation_name(const struct auth *auth)
{
	return auth->federation != NULL ? auth->federation->name : NULL;
}

const char *ms_federation_issuer(const struct auth *auth)
{
	return auth->federation != NULL ? auth->federation->options.issuer : NULL;
}

struct pool *ms_federation_pool(struct auth *auth)
{
	return auth->federation != NULL ? auth->federation->pool : NULL;
}
