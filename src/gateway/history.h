// SPDX-License-Identifier: Apache-2.0
// Private to gateway. The versions in the store; what of it other modules use is in gateway.h.
#ifndef MS_GATEWAY_HISTORY_H
#define MS_GATEWAY_HISTORY_H

#include "gateway/gateway.h"
#include "gateway/plan.h"

// A version and its document (plain JSON), in the transaction's arena. `version` 0: the newest. MS_ERR_NOT_FOUND.
MS_MUST_USE enum ms_err ms_history_load(struct store_tx *tx, struct auth *auth, int64_t version, struct errinfo *info,
					struct gateway_version *ret_version, struct slice *ret_document);
// 0: none.
MS_MUST_USE enum ms_err ms_history_newest(struct store_tx *tx, struct errinfo *info, int64_t *ret_version);
// Writes plan->source as the version behind `before`, tells the watchers and the audit log; sets plan->version.
MS_MUST_USE enum ms_err ms_history_add(struct store_tx *tx, const struct gateway_edit *edit, int64_t before,
				       struct plan *plan, struct errinfo *info);

#endif
