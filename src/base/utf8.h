// SPDX-License-Identifier: Apache-2.0
// UTF-8 by RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF.
#ifndef MS_BASE_UTF8_H
#define MS_BASE_UTF8_H

#include "base/slice.h"

// Index of the first byte that starts no valid sequence, or s.n when all is valid.
size_t ms_utf8_valid_prefix(struct slice s);

// Writes the code point (a valid scalar value) as 1 to 4 bytes and returns how many.
size_t ms_utf8_encode(uint32_t code_point, char dst[4]);

#endif
