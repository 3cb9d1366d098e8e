// SPDX-License-Identifier: Apache-2.0
// Private to yaml. What a scalar means by the core schema of YAML 1.2.
#ifndef MS_YAML_SCALAR_H
#define MS_YAML_SCALAR_H

#include "base/base.h"
#include "json/json.h"

// `plain`: without quotes. `tag`: as libyaml says it, or NULL. Numbers become JSON's: "0x1f" is "31". MS_ERR_CONFIG with words in `problem`,
// MS_ERR_NO_MEMORY.
MS_MUST_USE enum ms_err ms_yaml_scalar(struct slice text, bool plain, const char *tag, struct arena *arena,
				       char *problem, size_t problem_size, struct json_value *ret_value);

#endif
