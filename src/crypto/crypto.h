// SPDX-License-Identifier: Apache-2.0
// Hashes and encodings over OpenSSL. No key ever leaves this module's callers; nothing here blocks.
#ifndef MS_CRYPTO_CRYPTO_H
#define MS_CRYPTO_CRYPTO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/base.h"

#define MS_SHA256_SIZE 32
#define MS_SHA256_HEX_SIZE 65

// FIPS 180-4.
void ms_sha256(struct slice bytes, uint8_t ret_digest[MS_SHA256_SIZE]);
// Lower-case hex and NUL.
void ms_sha256_hex(struct slice bytes, char ret_hex[MS_SHA256_HEX_SIZE]);

// RFC 4648 section 4, padding required, no white space; decoded into the arena.
MS_MUST_USE bool ms_base64_decode(struct slice text, struct arena *arena, struct slice *ret_bytes);

// Time depends on the length alone.
MS_MUST_USE bool ms_equal_constant_time(struct slice a, struct slice b);

#endif
