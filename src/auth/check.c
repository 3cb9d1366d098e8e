// SPDX-License-Identifier: Apache-2.0
// Who sends a credential: by the snapshot of keys, the cache of tokens, or once by the signature.
#include "auth/gate.h"

#include <stdlib.h>

#define TOKEN_ARENA_FIRST 1024
#define TOKEN_ARENA_MAX ((size_t)4 << 20)
#define SIGNED_WITHIN_S 60  // from reading a user's permissions to the token that names them
#define USE_STEP_US 1000000 // a key's last use is noted once a second at most

static enum ms_err no_memory(struct errinfo *info)
{
	return ms_fail(info, MS_ERR_NO_MEMORY, "the server is out of memory for this request");
}

// --- API keys ----------------------------------------------------------------------------------------

static enum ms_err take_key(struct gate_loop *gl, const struct live_key *key, int64_t now_us, struct arena *arena,
			    struct errinfo *info, struct gate_answer *answer)
{
	answer->kind = CREDENTIAL_KEY;
	answer->refusal = REFUSAL_EXPIRED;
	if (now_us >= key->expires_us)
		return MS_OK;
	if (!ms_arena_defer(arena, ms_view_unref, gl->view))
		return no_memory(info);
	gl->view->refs++;
	answer->refusal = REFUSAL_NONE;
	answer->who = &key->who;
	if (key->use != NULL && now_us - atomic_load_explicit(&key->use->used_us, memory_order_relaxed) >= USE_STEP_US)
		atomic_store_explicit(&key->use->used_us, now_us, memory_order_relaxed);
	return MS_OK;
}

// --- What a token is worth now -----------------------------------------------------------------------

struct standing {
	bool revoked;
	const struct change *change; // of the user, or NULL
	const struct live_role *role;
};

static struct standing standing_of(const struct gate_loop *gl, const struct token *token)
{
	struct standing s = {.change = ms_revoked_find(&gl->revoked, token->who.id)};
	s.revoked =
		token->issued_us < gl->revoked.floor_us || ms_revoked_find(&gl->revoked, token->who.session) != NULL;
	if (s.change != NULL)
		s.revoked = s.revoked || !s.change->is_user || !s.change->active ||
			    token->issued_us < s.change->valid_after_us;
	s.role = ms_auth_snapshot_role(gl->view->snapshot,
				       s.change != NULL && s.change->is_user ? s.change->role : token->role);
	return s;
}

static int64_t seq_of(const struct standing *s)
{
	return s->change != NULL ? s->change->seq : 0;
}

static int64_t role_us_of(const struct standing *s)
{
	return s->role != NULL ? s->role->changed_us : -1;
}

static enum ms_err find_grants(const struct standing *s, struct token *token, struct errinfo *info)
{
	struct arena *arena = &token->arena;
	const struct grants *of_role = s->role != NULL ? s->role->grants : MS_GRANTS_NONE, *g;
	if (s->change != NULL)
		MS_TRY(ms_grants_union(of_role, s->change->own, arena, info, &g));
	else if (token->role.n > 0 && (s->role == NULL || s->role->changed_us >= token->role_read_us))
		// He has no grants of his own, or there would be a change of his: see add_users_of_role.
		MS_TRY(ms_grants_union(of_role, MS_GRANTS_NONE, arena, info, &g));
	else
		g = token->issued;
	if (token->who.kind == CALLER_USER)
		MS_TRY(ms_grants_add_own(g, token->who.user, arena, info, &g));
	if (token->scope != NULL)
		MS_TRY(ms_grants_intersect(g, token->scope, arena, info, &g));
	token->who.grants = g;
	return MS_OK;
}

static bool copy(struct arena *arena, struct slice *s)
{
	*s = ms_arena_copy(arena, *s);
	return s->p != NULL;
}

// A token of its own memory after the pattern of another, which may be of the stack and borrowed.
static enum ms_err make_token(const struct gate_loop *gl, const struct token *pattern, const struct standing *s,
			      struct errinfo *info, struct token **ret_token)
{
	struct token *token = calloc(1, sizeof(*token));
	if (token == NULL)
		return no_memory(info);
	*token = *pattern;
	struct arena *arena = &token->arena;
	ms_arena_init(arena, TOKEN_ARENA_FIRST, TOKEN_ARENA_MAX);
	token->refs = 1;
	token->generation = gl->generation;
	token->change_seq = seq_of(s);
	token->role_us = role_us_of(s);
	bool copied = copy(arena, &token->who.id) && copy(arena, &token->who.name) && copy(arena, &token->who.user) &&
		      copy(arena, &token->who.session) && copy(arena, &token->role);
	token->who.role = s->role != NULL ? ms_arena_copy(arena, s->role->name) : MS_SLICE_LIT("");
	copied = copied && token->who.role.p != NULL;
	enum ms_err err = copied ? MS_OK : no_memory(info);
	if (err == MS_OK)
		err = ms_grants_union(pattern->issued, MS_GRANTS_NONE, arena, info, &token->issued);
	if (err == MS_OK && pattern->scope != NULL)
		err = ms_grants_union(pattern->scope, MS_GRANTS_NONE, arena, info, &token->scope);
	if (err == MS_OK)
		err = find_grants(s, token, info);
	if (err == MS_OK)
		*ret_token = token;
	else
		ms_token_unref(token);
	return err;
}

// --- Tokens ------------------------------------------------------------------------------------------

// The keys that verify may have changed: what was verified with others is verified again.
static void follow_verify_keys(struct gate_loop *gl)
{
	struct jose_keys keys = ms_auth_verify_keys(gl->gate->auth, gl->loop);
	bool same = keys.count == gl->verify_count && keys.count <= VERIFY_KEYS_MAX;
	for (size_t i = 0; same && i < keys.count; i++)
		same = keys.keys[i] == gl->verify[i];
	if (MS_LIKELY(same))
		return;
	for (size_t i = 0; i < gl->verify_count; i++)
		ms_jose_key_unref(gl->verify[i]);
	gl->verify_count = MS_MIN(keys.count, (size_t)VERIFY_KEYS_MAX);
	for (size_t i = 0; i < gl->verify_count; i++)
		gl->verify[i] = ms_jose_key_ref(keys.keys[i]);
	ms_cache_clear(&gl->cache);
}

static int hex_digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

// When a UUIDv7 was made (RFC 9562, section 5.7), to the end of its millisecond; else the beginning of the second.
static int64_t issued_us(struct slice id, int64_t issued_s)
{
	int64_t ms = 0;
	bool good = id.n == MS_AUTH_ID_SIZE - 1 && id.p[8] == '-' && id.p[14] == '7';
	for (size_t i = 0; good && i < 13; i++) {
		if (i == 8)
			continue;
		int digit = hex_digit(id.p[i]);
		good = digit >= 0;
		ms = ms * 16 + digit;
	}
	return good && ms / 1000 >= issued_s - 1 && ms / 1000 <= issued_s + 1 ? ms * 1000 + 999 : issued_s * 1000000;
}

// Words of a scope; those that are no grants of ours (openid, profile) grant nothing.
static enum ms_err read_scope(struct slice text, struct arena *arena, struct errinfo *info,
			      const struct grants **ret_grants)
{
	struct slice word;
	const struct grants *all = MS_GRANTS_NONE, *one;
	while (ms_slice_next(&text, ' ', &word)) {
		struct errinfo ignored;
		ms_errinfo_init(&ignored);
		enum ms_err err = word.n > 0 ? ms_grants_parse(&word, 1, arena, &ignored, &one) : MS_ERR_INVALID;
		if (err == MS_ERR_NO_MEMORY)
			return no_memory(info);
		if (err == MS_OK)
			MS_TRY(ms_grants_union(all, one, arena, info, &all));
	}
	*ret_grants = all;
	return MS_OK;
}

static enum ms_err read_claims(const struct auth_claims *claims, struct arena *arena, struct errinfo *info,
			       struct token *ret_pattern)
{
	bool program = claims->user_id.n == 0; // its subject is the client
	struct slice id = program ? claims->client_id : claims->user_id;
	struct token t = {
		.who = {.kind = program ? CALLER_CLIENT : CALLER_USER,
			.id = id,
			.name = claims->username.n > 0 ? claims->username : id,
			.user = program ? MS_SLICE_LIT("") : claims->user_id,
			.session = claims->session.p != NULL ? claims->session : MS_SLICE_LIT(""),
			.for_client = !program && claims->client_id.n > 0,
			.issued_s = claims->issued_s,
			.expires_s = claims->expires_s},
		.issued_us = issued_us(claims->id, claims->issued_s),
		.role_read_us = (claims->issued_s - SIGNED_WITHIN_S) * 1000000,
		.expires_us = claims->expires_s > INT64_MAX / 1000000 ? INT64_MAX : claims->expires_s * 1000000,
		.role = claims->role.p != NULL ? claims->role : MS_SLICE_LIT(""),
		.issued = MS_GRANTS_NONE,
	};
	if (claims->permissions.n > 0)
		MS_TRY(ms_grants_read_stored(claims->permissions, arena, info, &t.issued));
	if (claims->scope.n > 0)
		MS_TRY(read_scope(claims->scope, arena, info, &t.scope));
	*ret_pattern = t;
	return MS_OK;
}

static enum ms_err verify(struct gate_loop *gl, struct slice credential, struct arena *arena, struct errinfo *info,
			  enum auth_refusal *ret_refusal, struct token **ret_token)
{
	struct auth_claims claims;
	struct errinfo why;
	struct token pattern;
	ms_errinfo_init(&why);
	enum ms_err err = ms_auth_token_read(gl->gate->auth, gl->loop, credential, arena, &why, &claims);
	if (err == MS_ERR_NO_MEMORY)
		return no_memory(info);
	*ret_refusal = err == MS_ERR_TOKEN_EXPIRED ? REFUSAL_EXPIRED : REFUSAL_INVALID;
	if (err != MS_OK)
		return MS_OK;
	MS_TRY(read_claims(&claims, arena, info, &pattern));
	struct standing s = standing_of(gl, &pattern);
	*ret_refusal = s.revoked ? REFUSAL_REVOKED : REFUSAL_NONE;
	return s.revoked ? MS_OK : make_token(gl, &pattern, &s, info, ret_token);
}

// A token of the cache, looked at anew after something changed.
static enum ms_err look_again(struct gate_loop *gl, const uint8_t *digest, struct errinfo *info,
			      enum auth_refusal *ret_refusal, struct token **token)
{
	struct standing s = standing_of(gl, *token);
	*ret_refusal = s.revoked ? REFUSAL_REVOKED : REFUSAL_NONE;
	if (s.revoked)
		return MS_OK;
	if ((*token)->change_seq == seq_of(&s) && (*token)->role_us == role_us_of(&s)) {
		(*token)->generation = gl->generation;
		return MS_OK;
	}
	struct token *fresh;
	MS_TRY(make_token(gl, *token, &s, info, &fresh));
	ms_cache_put(&gl->cache, digest, fresh);
	*token = fresh;
	return MS_OK;
}

static void refuse(struct gate_loop *gl, const uint8_t *digest, int64_t now_us, enum auth_refusal refusal)
{
	ms_cache_remove(&gl->cache, digest);
	ms_cache_refuse(&gl->cache, digest, now_us + CACHE_REFUSED_US, gl->generation, refusal);
}

static enum ms_err admit_token(struct token *token, struct arena *arena, struct errinfo *info,
			       struct gate_answer *answer)
{
	if (!ms_arena_defer(arena, ms_token_release, token))
		return no_memory(info);
	token->refs++;
	answer->refusal = REFUSAL_NONE;
	answer->who = &token->who;
	return MS_OK;
}

static enum ms_err check_token(struct gate_loop *gl, struct slice credential, const uint8_t *digest, int64_t now_us,
			       struct arena *arena, struct errinfo *info, struct gate_answer *answer)
{
	const struct gate_metrics *metrics = &gl->gate->metrics;
	uint32_t shard = ms_loop_index(gl->loop);
	follow_verify_keys(gl);
	struct token *token = ms_cache_find(&gl->cache, digest);
	answer->kind = CREDENTIAL_TOKEN;
	answer->refusal = REFUSAL_NONE;
	if (token != NULL) {
		ms_counter_add(metrics->hit, shard, 1);
		if (now_us >= token->expires_us)
			answer->refusal = REFUSAL_EXPIRED;
		else if (MS_UNLIKELY(token->generation != gl->generation))
			MS_TRY(look_again(gl, digest, info, &answer->refusal, &token));
	} else if ((answer->refusal = ms_cache_refusal(&gl->cache, digest, now_us, gl->generation)) != REFUSAL_NONE) {
		ms_counter_add(metrics->refused, shard, 1);
		return MS_OK;
	} else {
		ms_counter_add(metrics->miss, shard, 1);
		struct arena_mark mark = ms_arena_mark(arena);
		enum ms_err err = verify(gl, credential, arena, info, &answer->refusal, &token);
		ms_arena_rewind(arena, mark);
		MS_TRY(err);
		if (answer->refusal == REFUSAL_NONE)
			ms_cache_put(&gl->cache, digest, token);
		if (answer->refusal == REFUSAL_NONE && now_us >= token->expires_us)
			answer->refusal = REFUSAL_EXPIRED;
	}
	if (answer->refusal != REFUSAL_NONE) {
		refuse(gl, digest, now_us, answer->refusal);
		return MS_OK;
	}
	return admit_token(token, arena, info, answer);
}

static bool looks_like_token(struct slice s)
{
	size_t dots = 0;
	for (size_t i = 0; i < s.n; i++)
		dots += s.p[i] == '.';
	return dots == 2;
}

enum ms_err ms_gate_check(struct gate_loop *gl, struct slice credential, bool may_be_token, struct arena *arena,
			  struct errinfo *info, struct gate_answer *ret_answer)
{
	uint8_t digest[MS_SHA256_SIZE];
	int64_t now_us = ms_gate_now_us(gl);
	*ret_answer = (struct gate_answer){.kind = CREDENTIAL_KEY, .refusal = REFUSAL_INVALID};
	ms_hasher_sha256(gl->hasher, credential, digest);
	const struct live_key *key = ms_auth_snapshot_key(gl->view->snapshot, digest);
	if (key != NULL)
		return take_key(gl, key, now_us, arena, info, ret_answer);
	if (may_be_token && looks_like_token(credential))
		return check_token(gl, credential, digest, now_us, arena, info, ret_answer);
	return MS_OK;
}
