// SPDX-License-Identifier: Apache-2.0
// Private to gateway. Kong's schema language, in which request-validator's body_schema is written unless "version" says otherwise.
#ifndef MS_GATEWAY_INSPECT_KONG_SCHEMA_H
#define MS_GATEWAY_INSPECT_KONG_SCHEMA_H

#include "base/base.h"
#include "json/json.h"

// Appends a JSON Schema of draft 7 that means the same. MS_ERR_INVALID: what is not understood, by name.
MS_MUST_USE enum ms_err ms_kong_schema_translate(const struct json_value *source, struct buf *out,
						 struct errinfo *info);

#endif
