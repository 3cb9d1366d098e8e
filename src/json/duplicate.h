// SPDX-License-Identifier: Apache-2.0
// Private: finds a key that an object holds twice.
#ifndef MS_JSON_DUPLICATE_H
#define MS_JSON_DUPLICATE_H

#include "json/json.h"

// Sets *ret_member to a member whose key an earlier member has too, or NULL. Scratch memory is taken from the
// arena and given back. At most n log n steps for n members, whatever the keys.
MS_MUST_USE enum ms_err ms_json_find_duplicate(const struct json_member *members, size_t count, struct arena *arena,
					       const struct json_member **ret_member);

#endif
