// SPDX-License-Identifier: Apache-2.0
// What the files of this module share.
#ifndef MS_CRYPTO_INTERNAL_H
#define MS_CRYPTO_INTERNAL_H

#include <openssl/evp.h>

#include "crypto/crypto.h"

struct crypto_key {
	_Atomic uint32_t refs;
	enum crypto_key_kind kind;
	bool is_private;
	size_t bits;
	EVP_PKEY *pkey;
};

const EVP_MD *ms_crypto_md(enum crypto_hash hash);

// Chooses the fastest code for this processor, once; without it libsodium takes its slowest.
void ms_crypto_sodium(void);

// Bytes of a coordinate, of a private number, of one half of a signature; 0 for RSA.
size_t ms_crypto_field_size(enum crypto_key_kind kind);

// Never NULL, which some of OpenSSL's functions read as "not given".
static inline const void *ms_bytes(struct slice s)
{
	return s.n > 0 ? s.p : "";
}

// The alphabet of RFC 4648 section 4 without padding, as PHC strings have it; passlib writes '.' for '+'.
MS_MUST_USE bool ms_base64_decode_bare(struct slice text, char plus, struct arena *arena, struct slice *ret_bytes);
void ms_base64_append_bare(struct buf *out, struct slice bytes);

// Stored hashes of other programs (password_other.c).
enum password_kind { PASSWORD_ARGON2I, PASSWORD_ARGON2ID, PASSWORD_BCRYPT, PASSWORD_PBKDF2 };
struct stored_password {
	enum password_kind kind;
	struct password_cost cost; // Argon2
	uint32_t rounds;           // PBKDF2, or bcrypt's cost
	enum crypto_hash hash;     // PBKDF2
	struct slice salt, tag;    // decoded; not for bcrypt
};
#define MS_PASSWORD_PARSE_MEMORY 2048
// In the arena, which needs MS_PASSWORD_PARSE_MEMORY at most.
MS_MUST_USE enum ms_err ms_password_parse(struct slice stored, struct arena *arena, struct errinfo *info,
					  struct stored_password *ret_parsed);
MS_MUST_USE enum ms_err ms_password_bcrypt(struct slice stored, struct slice password, bool *ret_match);

#endif
