// SPDX-License-Identifier: Apache-2.0
// Private to gateway. The steps of a change that admin.c does one by one.
#ifndef MS_GATEWAY_VERSIONS_H
#define MS_GATEWAY_VERSIONS_H

#include "gateway/gateway.h"
#include "gateway/plan.h"

// A plan of the text, with hidden secrets taken from `old` (may be NULL). `problems` (made here, in the arena) has all of them when this fails.
MS_MUST_USE enum ms_err ms_versions_plan(struct slice text, const struct json_value *old, struct arena *arena,
					 struct problems *problems, struct errinfo *info, struct plan **ret_plan);
// The newest version and its document, in the transaction's arena; 0 and NULL: none.
MS_MUST_USE enum ms_err ms_versions_current(struct store_tx *tx, struct auth *auth, struct errinfo *info,
					    int64_t *ret_version, const struct json_value **ret_document);
// Says in edit->words what the plan changes, and writes it as a version unless it changes nothing.
MS_MUST_USE enum ms_err ms_versions_add(struct store_tx *tx, struct gateway_edit *edit, int64_t before,
					const struct json_value *old, struct plan *plan, struct errinfo *info);
// Whether a switch to the group would send traffic anywhere; the empty one is all targets.
bool ms_versions_has_group(const struct gw_upstream *upstream, struct slice group);

#endif
