// SPDX-License-Identifier: Apache-2.0
// The gateway role's part in reading the settings again.
#ifndef MS_APP_GATEWAY_H
#define MS_APP_GATEWAY_H

#include "base/base.h"

struct app;
// Reads the gateway's file again; blocks. A file that is wrong changes nothing. Without a gateway or a file nothing.
MS_MUST_USE enum ms_err ms_app_reload_gateway(struct app *app, const char *path, struct errinfo *info);

#endif
