// SPDX-License-Identifier: Apache-2.0
// Private to auth: what else its files ask of grants.
#ifndef MS_AUTH_GRANTS_H
#define MS_AUTH_GRANTS_H

#include "auth/auth.h"
#include "json/json.h"

// Of the store. What this program does not know (a later one wrote it) grants nothing: no failure but that of memory.
MS_MUST_USE enum ms_err ms_grants_read_stored(struct slice json_array, struct arena *arena, struct errinfo *info,
					      const struct grants **ret_grants);
size_t ms_grants_count(const struct grants *grants);

#endif
