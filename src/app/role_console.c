// SPDX-License-Identifier: Apache-2.0
// The console role: the OpenAPI document and its page.
#include "app/app.h"

static enum ms_err start(struct app *app, struct errinfo *info)
{
	(void)info;
	ms_app_add_routes(app, ms_console_docs_routes(app->console));
	return MS_OK;
}

const struct role ms_role_console = {
	.name = "console",
	.summary = "OpenAPI document and its page",
	.start = start,
};
