// SPDX-License-Identifier: Apache-2.0
// The number that CatBoost makes of a category: CityHash64 of its text, cut to 32 bits. The hash is version 1.0 of
// CityHash (later ones differ), as catboost util/digest/city.cpp has it. Private to the model module.
#ifndef MS_MODEL_CATBOOST_HASH_H
#define MS_MODEL_CATBOOST_HASH_H

#include <stdint.h>

#include "base/base.h"

uint64_t ms_city_hash64(struct slice text);

// Models store the 32 bits as a signed number.
static inline int32_t ms_catboost_category_hash(struct slice text)
{
	return (int32_t)(uint32_t)ms_city_hash64(text);
}

#endif
