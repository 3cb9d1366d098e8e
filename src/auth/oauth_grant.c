// SPDX-License-Identifier: Apache-2.0
// What the token endpoint decides.
#include "auth/grants.h"
#include "auth/oauth.h"

static enum ms_err no_memory(struct errinfo *info)
{
	return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory");
}

// What a client asks for itself: within its own scope, and grants alone (OpenID Connect's words are about people).
static enum ms_err scope_of_client(const struct oauth_client *client, struct slice asked, struct arena *arena,
				   struct errinfo *info, struct oauth_refusal *refusal, struct slice *ret_scope,
				   const struct grants **ret_grants)
{
	struct errinfo why;
	bool within = false;
	ms_errinfo_init(&why);
	enum ms_err err = ms_oauth_scope_read(asked.p != NULL ? asked : client->scope, arena, &why, ret_scope);
	if (err == MS_ERR_NO_MEMORY)
		return no_memory(info);
	if (err == MS_OK)
		MS_TRY(ms_oauth_scope_within(*ret_scope, client->scope, arena, info, &within));
	if (within) {
		MS_TRY(ms_oauth_scope_grants(*ret_scope, arena, info, ret_grants));
		MS_TRY(ms_oauth_scope_plain(*ret_scope, arena, info, ret_scope));
	}
	if (!within || ms_grants_count(*ret_grants) == 0)
		ms_oauth_refuse(refusal, "invalid_scope",
				"the scope is malformed, empty or beyond what this client may ask for");
	return MS_OK;
}

static enum ms_err grant_client(struct store_tx *tx, struct auth *auth, const struct oauth_client *client,
				const struct oauth_asked *asked, struct arena *arena, struct errinfo *info,
				struct oauth_refusal *refusal, struct oauth_issue *ret_issue)
{
	const struct grants *grants = MS_GRANTS_NONE;
	struct slice scope;
	struct buf out;
	MS_TRY(scope_of_client(client, asked->scope, arena, info, refusal, &scope, &grants));
	if (refusal->error != NULL)
		return MS_OK;
	ms_buf_init(&out, MS_JWS_MAX);
	ms_grants_write(grants, &out);
	struct slice permissions = ms_buf_ok(&out) ? ms_arena_copy(arena, ms_buf_slice(&out)) : MS_SLICE_EMPTY;
	ms_buf_fini(&out);
	struct oauth_issue issue = {.claims = {.client_id = client->id,
					       .username = client->name,
					       .session = client->epoch,
					       .permissions = permissions,
					       .scope = scope},
				    .scope = scope,
				    .expires_in_s = (int64_t)(auth->options.token_life_ms / 1000)};
	bool kept = permissions.p != NULL && ms_oauth_keep(arena, &issue.claims.client_id) &&
		    ms_oauth_keep(arena, &issue.claims.username) && ms_oauth_keep(arena, &issue.claims.session);
	// Issued when the client was looked at: a new secret in between voids it.
	issue.claims.issued_s = ms_store_now_us(tx) / 1000000;
	*ret_issue = issue;
	return kept ? MS_OK : no_memory(info);
}

enum ms_err ms_oauth_grant(struct store_tx *tx, struct auth *auth, const struct auth_actor *by,
			   const struct oauth_asked *asked, struct arena *arena, struct errinfo *info,
			   struct oauth_refusal *refusal, bool *ret_settles, struct oauth_issue *ret_issue)
{
	struct oauth_client client;
	*ret_settles = false;
	refusal->error = NULL;
	MS_TRY(ms_oauth_client_check(tx, auth, &asked->client, info, refusal, &client));
	if (refusal->error != NULL)
		return MS_OK;
	if ((client.grant_types & asked->type) == 0) {
		ms_oauth_refuse(refusal, "unauthorized_client", "this client may not use the grant type %s",
				ms_oauth_grant_name(asked->type));
		return MS_OK;
	}
	switch (asked->type) {
	case OAUTH_CODE:
		return ms_oauth_grant_code(tx, auth, by, &client, asked, arena, info, refusal, ret_settles, ret_issue);
	case OAUTH_REFRESH:
		return ms_oauth_grant_refresh(tx, auth, by, &client, asked, arena, info, refusal, ret_settles,
					      ret_issue);
	case OAUTH_DEVICE:
		return ms_oauth_grant_device(tx, auth, by, &client, asked, arena, info, refusal, ret_issue);
	case OAUTH_CLIENT:
		return grant_client(tx, auth, &client, asked, arena, info, refusal, ret_issue);
	}
	MS_ASSERT(false);
	return MS_ERR_INTERNAL;
}
