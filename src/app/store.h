// SPDX-License-Identifier: Apache-2.0
// The database of this installation: where it is, what it must hold, and opening it. The server and the commands use the same.
#ifndef MS_APP_STORE_H
#define MS_APP_STORE_H

#include "config/config.h"
#include "observe/observe.h"
#include "store/store.h"

enum app_store_use {
	APP_STORE_SERVE, // migrates as store.migrate says
	APP_STORE_LOOK,  // for migrate status and up: opens whatever is there
};

// A module needs the database, or the settings name one.
bool ms_app_wants_store(const struct settings *settings);
// One file cannot serve several replicas; what is asked of the connections is possible. MS_ERR_CONFIG.
MS_MUST_USE enum ms_err ms_app_check_store(const struct settings *settings, struct errinfo *info);
// log and metrics may be NULL. Blocks.
MS_MUST_USE enum ms_err ms_app_open_store(const struct settings *settings, enum app_store_use use, struct log *log,
					  struct metrics *metrics, struct errinfo *info, struct store **ret_store);
// Makes the folder of the embedded database, where the settings name no other place for it.
MS_MUST_USE enum ms_err ms_app_prepare_store(const struct settings *settings, struct errinfo *info);
// Its address by the settings, in the arena. It may hold a password: never shown.
MS_MUST_USE enum ms_err ms_app_store_url(const struct settings *settings, struct arena *arena, struct errinfo *info,
					 const char **ret_url);
// Where it is, for people: neither user nor password.
MS_MUST_USE enum ms_err ms_app_store_place(const struct settings *settings, struct errinfo *info,
					   char ret_place[MS_STORE_PLACE_SIZE]);

#endif
