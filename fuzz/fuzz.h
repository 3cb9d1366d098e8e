// SPDX-License-Identifier: Apache-2.0
// What every fuzz target defines; libFuzzer or run_corpus.c calls it.
#ifndef MS_FUZZ_FUZZ_H
#define MS_FUZZ_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
