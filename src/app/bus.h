// SPDX-License-Identifier: Apache-2.0
// The bus of this process, made from the settings.
#ifndef MS_APP_BUS_H
#define MS_APP_BUS_H

#include "bus/bus.h"
#include "config/config.h"

// rt, log and metrics as in struct bus_options. Blocks.
MS_MUST_USE enum ms_err ms_app_open_bus(const struct settings *settings, struct store *store, struct rt *rt, struct log *log,
					struct metrics *metrics, struct errinfo *info, struct bus **ret_bus);
// What is set fits together. MS_ERR_CONFIG.
MS_MUST_USE enum ms_err ms_app_check_bus(const struct settings *settings, struct errinfo *info);

#endif
