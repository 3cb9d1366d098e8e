// SPDX-License-Identifier: Apache-2.0
// The gateway: routes, balances, guards and shapes requests on their way to other people's services and to our own roles. Stands before the routes of
// the HTTP server as its front.
#ifndef MS_GATEWAY_GATEWAY_H
#define MS_GATEWAY_GATEWAY_H

#include "auth/auth.h"
#include "base/base.h"
#include "cache/cache.h"
#include "net/net.h"
#include "observe/observe.h"
#include "rt/rt.h"
#include "store/store.h"

extern const struct store_migrations ms_gateway_migrations;

struct gateway;
struct gateway_options {
	struct rt *rt;
	struct log *log;
	struct metrics *metrics;
	struct store *store; // run-time changes and their history; NULL: the file alone
	struct auth *auth;   // NULL: off
	struct cache *cache;
	struct slice
		file; // text of gateway.file (a Kong file), or of the `gateway:` section; empty: nothing configured
	const char *file_name;              // for messages
	const char *const *trusted_proxies; // addresses and networks whose X-Forwarded-* are believed; NULL-terminated
};
MS_MUST_USE enum ms_err ms_gateway_new(const struct gateway_options *options, struct errinfo *info,
				       struct gateway **ret_gateway);
const struct http_front *ms_gateway_front(struct gateway *gateway);
struct route_set ms_gateway_routes(struct gateway *gateway);          // /gateway/v1/*
struct route_set ms_gateway_upstream_routes(struct gateway *gateway); // /gateway/v1/upstreams/{name}/…: health, switch
// Reads a file again; any thread that may block. MS_ERR_CONFIG with the first problem: the plan stays. When changes were made at run time, those
// stand and the file is not looked at.
MS_MUST_USE enum ms_err ms_gateway_reload(struct gateway *gateway, struct slice text, const char *name,
					  struct errinfo *info);
void ms_gateway_stop(
	struct gateway *
		gateway); // on loop 0, loops still run: health checks, connections, timers end; accepts NULL, and again
// The loops stand still and will deliver their last mail: what the gateway's threads do for requests is done afterwards. Accepts NULL.
void ms_gateway_settle(struct gateway *gateway);
void ms_gateway_free(
	struct gateway *gateway); // the loops have ended, the server is freed, ms_rt_free comes later; accepts NULL
// Any thread: state of the upstreams in words, for the health document. False: one has no target left.
bool ms_gateway_healthy(struct gateway *gateway, char *message, size_t size);

// For the command line: checks a file; every problem is written as one line "file:line: path: message", or as a JSON
// object {"valid", "problems": [{"path", "line", "message"}]}. MS_OK, or MS_ERR_CONFIG.
MS_MUST_USE enum ms_err ms_gateway_check(struct slice text, const char *name, bool json, struct buf *out,
					 struct errinfo *info);

// --- Versions (versions.c): changes at run time, kept in the store -----------------------------------
// Each change is a version: the whole document, who made it, when, why, and what it changed in words. Sealed at rest when there is auth. Servers take
// up the newest within moments (ms_store_notify). The functions run inside a transaction of the caller and may run again.

#define MS_GATEWAY_CHANGED "gateway.changed" // channel of the store

struct plan;
struct gateway_version {
	int64_t version; // from 1
	int64_t time_us;
	struct slice by, comment, changes; // changes: lines
};
struct gateway_edit {
	struct auth *auth;           // NULL: nothing is sealed
	const struct auth_actor *by; // NULL: nobody is known
	struct slice text; // a Kong file, YAML or JSON; hidden secrets ("…") stand for those of the version before
	const char *name;  // of the file, for problems
	struct slice comment;
	int64_t expected; // the version that was looked at: another one is MS_ERR_CONFLICT; -1: any
	bool only_look;   // diff: nothing is written
	// Asked before a version is written: whether a server could put it in force. NULL: not asked.
	enum ms_err (*accepts)(void *arg, struct plan *plan, struct errinfo *info);
	void *accepts_arg;
	// What came of it.
	int64_t version; // that is in force now; the same as before when nothing changed
	bool changed;
	struct buf
		words; // one change a line; of problems: one a line, as of ms_gateway_check. The caller's: initialised, freed
};
// MS_ERR_CONFIG with the problems in edit->words; MS_ERR_CONFLICT.
MS_MUST_USE enum ms_err ms_gateway_apply(struct store_tx *tx, struct gateway_edit *edit, struct errinfo *info);
// As a new version: history never goes back. edit->text is not looked at. MS_ERR_NOT_FOUND.
MS_MUST_USE enum ms_err ms_gateway_rollback(struct store_tx *tx, int64_t version, struct gateway_edit *edit,
					    struct errinfo *info);
// Another group of an upstream's targets gets the traffic (blue and green).
struct gw_upstream;
struct gateway_switch {
	struct slice upstream, group; // group empty: all targets
	bool back;                    // to the group before, as the history tells: ms_gateway_switch_look fills `group`
	struct gateway_edit edit;
	const struct json_value *file; // stands in place of a version while there is none; NULL: that is an error
	struct arena *arena;
	// What ms_gateway_switch_look has found.
	struct slice previous;
	struct plan *plan;
	const struct gw_upstream *upstream_now;
};
// As a new version. MS_ERR_NOT_FOUND, and all of ms_gateway_apply.
MS_MUST_USE enum ms_err ms_gateway_switch(struct store_tx *tx, struct gateway_switch *sw, struct errinfo *info);
// For the command line, before it: what is there. Only the version that was looked at will be switched.
MS_MUST_USE enum ms_err ms_gateway_switch_look(struct store_tx *tx, struct gateway_switch *sw, struct errinfo *info);
// Then, if wanted: each target of the group is asked for `path` (empty: that of the active health check), from this process; blocks. One line a
// target is written to `out`. MS_ERR_CONFLICT: one of them is not well.
MS_MUST_USE enum ms_err ms_gateway_switch_check(const struct gateway_switch *sw, struct slice path, struct buf *out,
						struct errinfo *info);
void ms_gateway_switch_fini(struct gateway_switch *sw);
// The newest first, below `before` (0: all), at most `limit`; in the transaction's arena.
MS_MUST_USE enum ms_err ms_gateway_versions(struct store_tx *tx, int64_t before, size_t limit, struct errinfo *info,
					    struct gateway_version **ret_items, size_t *ret_count);
// The document of a version (0: the newest) as JSON. MS_ERR_NOT_FOUND.
MS_MUST_USE enum ms_err ms_gateway_export(struct store_tx *tx, struct auth *auth, int64_t version, bool hide_secrets,
					  struct buf *out, struct errinfo *info);
// Seals the documents anew after the master key changed; before ms_vault_drop_old. A store_fn; arg: the struct vault.
MS_MUST_USE enum ms_err ms_gateway_reseal(struct store_tx *tx, void *vault, struct errinfo *info);

#endif
