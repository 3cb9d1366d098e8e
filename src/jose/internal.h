// SPDX-License-Identifier: Apache-2.0
// What the files of this module share.
#ifndef MS_JOSE_INTERNAL_H
#define MS_JOSE_INTERNAL_H

#include "jose/jose.h"

enum jose_family { FAMILY_OCT, FAMILY_RSA, FAMILY_EC, FAMILY_OKP };

struct jose_alg_row {
	const char *name;
	enum jose_family family;
	enum crypto_key_kind kind; // not for HMAC
	enum crypto_scheme scheme; // not for HMAC
	enum crypto_hash hash;
};
const struct jose_alg_row *ms_jose_alg_row(enum jose_alg alg);

struct jose_key {
	_Atomic uint32_t refs;
	enum jose_alg alg;
	bool can_sign, can_verify;
	struct crypto_key *key;   // NULL for HMAC
	struct crypto_hmac *hmac; // NULL for the others
	struct slice secret, kid; // both in the same allocation as this
};

// --- JWK members (jwk.c) ---

// Which operations a key may be for.
enum jwk_use { JWK_SIGN = 1, JWK_VERIFY = 2, JWK_DECRYPT = 4 };
struct jwk {
	const struct json_value *all;
	struct slice kty, alg, kid; // p == NULL when absent
	unsigned use;               // what `use` and `key_ops` allow, of enum jwk_use
};
#define MS_JWK_MAX ((size_t)64 << 10)
#define MS_JWK_MEMORY ((size_t)512 << 10) // of an arena for the parsing of one
// A tree of values without duplicate members, of `bytes` at most.
MS_MUST_USE enum ms_err ms_jose_json(struct slice text, size_t bytes, struct arena *arena, struct errinfo *info,
				     const struct json_value **ret_value);
MS_MUST_USE enum ms_err ms_jwk_read(const struct json_value *value, struct errinfo *info, struct jwk *ret_jwk);
// The numbers of an EC, OKP or RSA key and its kind; `crv` says which curve.
MS_MUST_USE enum ms_err ms_jwk_asymmetric(const struct jwk *jwk, struct arena *arena, struct errinfo *info,
					  struct crypto_key **ret_key);
MS_MUST_USE enum ms_err ms_jwk_secret(const struct jwk *jwk, struct arena *arena, struct errinfo *info,
				      struct slice *ret_secret);
// The public members and those of the private key, after whatever the caller wrote.
void ms_jwk_write(struct json_writer *w, const struct crypto_key *key, const struct crypto_key_params *params);
// RFC 7638 with SHA-256, base64url.
#define MS_THUMBPRINT_SIZE 43
MS_MUST_USE enum ms_err ms_jwk_thumbprint(const struct crypto_key *key, struct slice secret,
					  char ret_print[MS_THUMBPRINT_SIZE]);

// MS_ERR_INVALID when it is not canonical, MS_ERR_NO_MEMORY.
MS_MUST_USE enum ms_err ms_jose_base64url(struct slice text, struct arena *arena, struct slice *ret_bytes);

// --- Compact serialisation (compact.c) ---

// The parts between the dots: exactly `count`, none checked.
MS_MUST_USE bool ms_compact_split(struct slice compact, struct slice *ret_parts, size_t count);
struct jose_header {
	const struct json_value *all;
	struct slice text, alg, kid, typ; // p == NULL when absent; alg is there
};
MS_MUST_USE enum ms_err ms_jose_header(struct slice part, struct arena *arena, struct errinfo *info,
				       struct jose_header *ret_header);

// --- JWE ---

struct jwe_enc_row {
	const char *name;
	size_t key_size;
	bool gcm;
};
// NULL when it is none.
const struct jwe_enc_row *ms_jwe_enc_find(struct slice name);

enum jwe_way { WAY_DIRECT, WAY_WRAP, WAY_GCM, WAY_OAEP, WAY_AGREE, WAY_AGREE_WRAP };
struct jwe_alg_row {
	const char *name;
	enum jwe_way way;
	size_t key_size;       // of the AES key that unwraps; 0 when there is none
	enum crypto_hash hash; // OAEP
};
const struct jwe_alg_row *ms_jwe_alg_row(enum jwe_alg alg);

struct jwe_key {
	enum jwe_alg alg;
	const struct jwe_enc_row *enc; // the only one that the key is for, or NULL
	struct crypto_key *key;        // NULL for secrets
	struct slice secret, kid;      // in the same allocation; no kid: n == 0
};

#endif
