// SPDX-License-Identifier: Apache-2.0
// The bus of this process, made from the settings.
#ifndef MS_APP_BUS_H
#define MS_APP_BUS_H

#include "app/app.h"

// Opens app->bus on app->store, which is there, and adds its health check. Roles subscribe afterwards.
MS_MUST_USE enum ms_err ms_app_open_bus(struct app *app, struct errinfo *info);
// What is set fits together. MS_ERR_CONFIG.
MS_MUST_USE enum ms_err ms_app_check_bus(const struct settings *settings, struct errinfo *info);

#endif
