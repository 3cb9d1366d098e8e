// SPDX-License-Identifier: Apache-2.0
// ONNX models. What loads must predict: one row alone and in a batch to the same bits.

#include "fuzz/fuzz.h"
#include "fuzz/model_fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	ms_fuzz_model(data, size, MODEL_FORMAT_ONNX);
	return 0;
}
