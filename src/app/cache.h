// SPDX-License-Identifier: Apache-2.0
// The cache of this process, made from the settings.
#ifndef MS_APP_CACHE_H
#define MS_APP_CACHE_H

#include "app/app.h"

// Opens app->cache unless it is open, with its health check and metrics. For the roles that need one, when they start; it is stopped when the loops
// have ended and freed after the roles.
MS_MUST_USE enum ms_err ms_app_open_cache(struct app *app, struct errinfo *info);
// What is set fits together. MS_ERR_CONFIG.
MS_MUST_USE enum ms_err ms_app_check_cache(const struct settings *settings, struct errinfo *info);

#endif
