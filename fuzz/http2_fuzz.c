// SPDX-License-Identifier: Apache-2.0
#include "fuzz/fuzz.h"
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	(void)data, (void)size;
	return 0;
}
