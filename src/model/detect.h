// SPDX-License-Identifier: Apache-2.0
// Which format a model file has, by its content.
#ifndef MS_MODEL_DETECT_H
#define MS_MODEL_DETECT_H

#include "base/base.h"
#include "model/model.h"

// MS_ERR_MODEL_FORMAT with a message that says what was seen when it is none that we know; well-known
// foreign formats (pickle, ONNX, CatBoost binary, old XGBoost binary) are named.
MS_MUST_USE enum ms_err ms_model_detect(struct slice bytes, struct errinfo *info, enum model_format *ret_format);

#endif
