// SPDX-License-Identifier: Apache-2.0
// The auth role: sign-in, users, keys, roles, the audit log over HTTP. Who calls is checked whichever roles run.
#include "app/app.h"

static enum ms_err start(struct app *app, struct errinfo *info)
{
	const struct settings *s = app->settings;
	if (app->state.auth == NULL)
		return MS_OK; // auth: off
	const struct identity_options options = {.auth = app->state.auth,
						 .store = app->state.store,
						 .registration = s->identity_registration,
						 .registration_role = s->identity_registration_role,
						 .mfa_required = s->identity_mfa == 1};
	MS_TRY(ms_identity_new(&options, info, &app->identity));
	for (size_t i = 0; ms_identity_routes(app->identity, i).routes != NULL; i++)
		ms_app_add_routes(app, ms_identity_routes(app->identity, i));
	return MS_OK;
}

static void release(struct app *app)
{
	ms_identity_free(app->identity);
}

const struct role ms_role_auth = {
	.name = "auth",
	.summary = "sign-in, users, API keys, audit log",
	.start = start,
	.release = release,
};
