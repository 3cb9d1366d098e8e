// SPDX-License-Identifier: Apache-2.0
// mainstay-auth (ours): the users, API keys and tokens of this installation let into other people's services.
#include "auth/auth.h"
#include "gateway/plugins/plugins.h"

struct config {
	struct slice permission, object, anonymous;
	bool hide_credentials, run_on_preflight;
	struct slice permission_text; // compiled, NUL-terminated
};
static const struct field fields[] = {
	GW_STRING(config, permission, NULL,
		  "Permission that the caller must hold, such as predict; none: anyone known"),
	GW_STRING(config, object, NULL, "Object of the permission; none: any"),
	GW_BOOL(config, hide_credentials, "true", "Take the credentials out before the request is sent on"),
	GW_STRING(config, anonymous, NULL, "Consumer (name or id) of requests without valid credentials"),
	GW_BOOL(config, run_on_preflight, "true", "Ask OPTIONS requests, too"),
	{0},
};
#define CHALLENGE MS_SLICE_LIT("Bearer realm=\"mainstay\"")
#define CHALLENGE_TOKEN MS_SLICE_LIT("Bearer realm=\"mainstay\", error=\"invalid_token\"")

enum found { FOUND_NONE, FOUND_CREDENTIAL, FOUND_SEVERAL };

static enum found find(const struct gw_request *r, struct slice *ret_credential)
{
	enum found found = FOUND_NONE;
	for (size_t i = 0; i < r->out.headers.count; i++) {
		const struct http_header *h = &r->out.headers.items[i];
		bool authorization = ms_slice_eq_nocase(h->name, MS_SLICE_LIT("Authorization"));
		if (!authorization && !ms_slice_eq_nocase(h->name, MS_SLICE_LIT("X-API-Key")))
			continue;
		if (found != FOUND_NONE)
			return FOUND_SEVERAL;
		size_t space = ms_slice_find(h->value, ' ');
		if (authorization && !ms_slice_eq_nocase(ms_slice_sub(h->value, 0, space), MS_SLICE_LIT("Bearer")))
			continue;
		*ret_credential = authorization ? ms_slice_trim(ms_slice_sub(h->value, space, h->value.n)) : h->value;
		found = FOUND_CREDENTIAL;
	}
	return found;
}

static enum gw_verdict refuse(struct gw_request *r, const struct config *c, const char *code, const char *message,
			      struct slice challenge)
{
	enum gw_unknown unknown = ms_gw_unknown_caller(r, c->anonymous);
	if (unknown == GW_UNKNOWN_PASS)
		return GW_NEXT;
	if (unknown == GW_UNKNOWN_REFUSE)
		ms_gw_refuse(r, code, message, challenge);
	return GW_ANSWERED;
}

// The role of a token is its caller's group, for acl and canary.
static bool know(struct gw_request *r, const struct auth_worth *worth)
{
	struct slice *group = MS_ARENA_NEW(r->arena, struct slice);
	if (group == NULL)
		return false;
	*group = worth->role;
	if (worth->role.n > 0)
		r->groups = (struct text_list){group, 1};
	ms_gw_authenticate(r, NULL, NULL, worth->id, false);
	struct slice user = worth->user_id.n > 0 ? worth->user_id : worth->id;
	if (!ms_gw_header_set(&r->out.headers, MS_SLICE_LIT("X-Consumer-ID"), user))
		return false;
	return worth->name.n == 0 || !ms_gw_header_value_ok(worth->name) ||
	       ms_gw_header_set(&r->out.headers, MS_SLICE_LIT("X-Consumer-Username"), worth->name);
}

static enum gw_verdict access(struct gw_request *r, const void *config, void **state)
{
	const struct config *c = config;
	struct slice credential = MS_SLICE_EMPTY;
	struct auth_worth worth;
	struct errinfo info;
	(void)state;
	ms_errinfo_init(&info);
	if ((!c->run_on_preflight && ms_gw_is_method(r, "OPTIONS")) || ms_gw_already_in(r, c->anonymous))
		return GW_NEXT;
	enum found found = find(r, &credential);
	if (found == FOUND_SEVERAL)
		return refuse(r, c, ms_err_name(MS_ERR_UNAUTHENTICATED), "Several credentials were sent", CHALLENGE);
	if (found == FOUND_NONE || r->services->auth == NULL)
		return refuse(r, c, ms_err_name(MS_ERR_UNAUTHENTICATED), "Unauthorized", CHALLENGE);
	enum ms_err err = ms_auth_validate(r->services->auth, r->x->loop, credential, r->arena, &info, &worth);
	if (err != MS_OK && ms_err_http_status(err) == 401)
		return refuse(r, c, ms_err_name(err), "Unauthorized", CHALLENGE_TOKEN);
	if (err != MS_OK) {
		ms_gw_fail(r, 503, ms_err_name(err), "The credentials cannot be verified now");
		return GW_ANSWERED;
	}
	if (c->permission.n > 0 && !ms_grants_allow(worth.grants, c->permission_text.p, c->object)) {
		ms_gw_fail(r, 403, ms_err_name(MS_ERR_FORBIDDEN), "You cannot consume this service");
		return GW_ANSWERED;
	}
	if (!know(r, &worth)) {
		ms_gw_fail(r, 503, ms_err_name(MS_ERR_NO_MEMORY), "The server is out of memory");
		return GW_ANSWERED;
	}
	if (c->hide_credentials) {
		ms_gw_header_remove(&r->out.headers, MS_SLICE_LIT("Authorization"));
		ms_gw_header_remove(&r->out.headers, MS_SLICE_LIT("X-API-Key"));
	}
	return GW_NEXT;
}

static void tell_unknown(struct problems *problems, const char *path, struct slice name,
			 const struct auth_permission *permissions, size_t count)
{
	struct slice *names = MS_ARENA_ARRAY(problems->arena, struct slice, count);
	for (size_t i = 0; names != NULL && i < count; i++)
		names[i] = ms_slice_cstr(permissions[i].name);
	size_t nearest = names != NULL ? ms_text_nearest(name, names, count) : SIZE_MAX;
	ms_problem_add(problems, path, NULL, "permission: there is no \"%.*s\"; %s%s", MS_SLICE_ARG(name),
		       nearest != SIZE_MAX ? "did you mean " : "`mainstay role list` shows them",
		       nearest != SIZE_MAX ? permissions[nearest].name : "");
}

static bool compile(struct plan *plan, void *config, const char *path, struct problems *problems)
{
	struct config *c = config;
	size_t count = 0;
	const struct auth_permission *permissions = ms_auth_permissions(&count);
	if (c->permission.n == 0)
		return true;
	c->permission_text = ms_arena_copy(&plan->arena, c->permission);
	for (size_t i = 0; i < count; i++) {
		if (ms_slice_eq_cstr(c->permission, permissions[i].name))
			return c->permission_text.p != NULL;
	}
	tell_unknown(problems, path, c->permission, permissions, count);
	return false;
}

const struct gw_plugin_kind ms_plugin_mainstay_auth = {
	.name = "mainstay-auth",
	.priority = 1420,
	.fields = fields,
	.config_bytes = sizeof(struct config),
	.help = "Users, API keys and tokens of this installation (ours)",
	.compile = compile,
	.access = access,
};
