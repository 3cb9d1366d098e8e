// SPDX-License-Identifier: Apache-2.0
// JSON Web Keys, Signatures, Tokens and Encryption (RFC 7515 to 7519, 7638, 8037), as RFC 8725 wants them used: bytes in, values out,
// compact serialisation alone. An algorithm belongs to a key, never to a message.
#ifndef MS_JOSE_JOSE_H
#define MS_JOSE_JOSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/base.h"
#include "crypto/crypto.h"
#include "json/json.h"

enum jose_alg {
	JOSE_HS256,
	JOSE_HS384,
	JOSE_HS512,
	JOSE_RS256,
	JOSE_RS384,
	JOSE_RS512,
	JOSE_PS256,
	JOSE_PS384,
	JOSE_PS512,
	JOSE_ES256,
	JOSE_ES384,
	JOSE_ES512,
	JOSE_ED25519, // "EdDSA" (RFC 8037) and "Ed25519" (RFC 9864) are both read
	JOSE_ALG_COUNT
};
const char *ms_jose_alg_name(enum jose_alg alg);                              // as `alg` says it: "ES256"; "EdDSA"
MS_MUST_USE bool ms_jose_alg_find(struct slice name, enum jose_alg *ret_alg); // exact case

// --- Keys --------------------------------------------------------------------------------------------

#define MS_JOSE_KID_MAX 256 // bytes
#define MS_JWKS_MAX ((size_t)1 << 20)

// Immutable, reference counted, any thread. Bound to one algorithm. kid: given, or the RFC 7638 thumbprint.
struct jose_key;
struct jose_key *ms_jose_key_ref(struct jose_key *key);
void ms_jose_key_unref(struct jose_key *key); // wipes; accepts NULL
enum jose_alg ms_jose_key_alg(const struct jose_key *key);
struct slice ms_jose_key_id(const struct jose_key *key);
bool ms_jose_key_is_private(
	const struct jose_key *key); // can sign: has the private part, or is a secret, and `key_ops` allows it

// Secret of at least the hash's length (RFC 7518, 3.2); MS_ERR_INVALID otherwise. kid may be empty: then the thumbprint.
MS_MUST_USE enum ms_err ms_jose_key_hmac(enum jose_alg alg, struct slice secret, struct slice kid, struct errinfo *info,
					 struct jose_key **ret_key);
// A new private key of RS256 (2048 bits), ES256 or Ed25519 (also the other sizes). Slow for RSA: not on a loop.
MS_MUST_USE enum ms_err ms_jose_key_generate(enum jose_alg alg, struct errinfo *info, struct jose_key **ret_key);
// One JWK. `alg` of the document must fit the key; absent, `fallback` says (JOSE_ALG_COUNT: refused). Checks curve points, sizes (RSA 2048 to
// 8192 bits, odd exponent ≥ 65537), `use` (sig or absent), `key_ops`, duplicate members, canonical base64url. Private parts are taken when there.
MS_MUST_USE enum ms_err ms_jose_key_parse(struct slice jwk, enum jose_alg fallback, struct errinfo *info,
					  struct jose_key **ret_key);
// PEM (SubjectPublicKeyInfo or PKCS #8), for keys that operators mount.
MS_MUST_USE enum ms_err ms_jose_key_parse_pem(struct slice pem, enum jose_alg alg, struct slice kid,
					      struct errinfo *info, struct jose_key **ret_key);
// The JWK with alg, use, kid. `with_private` false: what may be published; symmetric keys refuse (assertion).
void ms_jose_key_write(const struct jose_key *key, bool with_private, struct buf *out);

struct jose_keys { // a set, borrowed
	struct jose_key *const *keys;
	size_t count;
};
// {"keys":[…]}: keys of kinds or uses that are not ours, and those that do not pass the checks above, are passed over, as RFC 7517
// section 5 wants. Without `alg`: what the curve says; RS256 for RSA. Refused as a whole: more than `max` (MS_ERR_LIMIT), two keys of the same
// kid and alg, secrets among public keys. The array is in the arena; unref each.
MS_MUST_USE enum ms_err ms_jose_keys_parse(struct slice jwks, size_t max, struct arena *arena, struct errinfo *info,
					   struct jose_keys *ret_keys);

// --- Signatures --------------------------------------------------------------------------------------

struct jws {
	struct slice header;        // JSON text, decoded
	struct slice payload;       // decoded
	struct slice typ;           // "" when absent
	const struct jose_key *key; // that verified it
};
#define MS_JWS_MAX ((size_t)64 << 10)

// Verifies a compact JWS: three canonical base64url parts; the header an object without duplicate members; alg exactly that of the key that
// `kid` names (without kid: the only key of the set with that alg); jwk, jku, x5u, x5c are never looked at; any `crit` is refused; `none` is refused;
// ECDSA signatures have exactly their size. Constant-time for HMAC. One error for all that is wrong with a signature:
// MS_ERR_TOKEN_INVALID, with a message for logs that names no secret.
MS_MUST_USE enum ms_err ms_jws_verify(struct slice compact, struct jose_keys keys, struct arena *arena,
				      struct errinfo *info, struct jws *ret_jws);
// The same for a caller who knows the key by other means than `kid`, which is not looked at; the algorithm is the key's all the same.
MS_MUST_USE enum ms_err ms_jws_verify_by(struct slice compact, const struct jose_key *key, struct arena *arena,
					 struct errinfo *info, struct jws *ret_jws);
// Header and payload, NOT verified, to find out whose key to verify with; key is NULL.
MS_MUST_USE enum ms_err ms_jws_look(struct slice compact, struct arena *arena, struct errinfo *info,
				    struct jws *ret_jws);
// typ "" leaves it out. Appends to `out`.
MS_MUST_USE enum ms_err ms_jws_sign(const struct jose_key *key, struct slice typ, struct slice payload,
				    struct errinfo *info, struct buf *out);

// --- Tokens ------------------------------------------------------------------------------------------

// What a token must be; empty slices are not checked (issuer and audience should never be empty outside tests).
struct jwt_policy {
	struct slice issuer;   // equal
	struct slice audience; // equal to `aud`, or one of its array
	struct slice
		typ; // "at+jwt": exactly, "application/" in front and case ignored (RFC 7515 4.1.9); empty: anything but other explicit types
	int64_t now_s;     // Unix seconds
	int64_t skew_s;    // at most 60
	bool needs_expiry; // exp must be there
	bool needs_subject;
};
struct jwt_claims {
	const struct json_value *all;              // the payload, an object
	struct slice issuer, subject, id;          // iss sub jti; p == NULL when absent
	int64_t issued_s, not_before_s, expires_s; // INT64_MIN when absent; fractions are cut off
};
// The strings of the claims live in the arena. Verifies and checks: MS_ERR_TOKEN_INVALID, MS_ERR_TOKEN_EXPIRED (exp passed), MS_ERR_TOKEN_EARLY (nbf or iat in the future).
MS_MUST_USE enum ms_err ms_jwt_verify(struct slice compact, struct jose_keys keys, const struct jwt_policy *policy,
				      struct arena *arena, struct errinfo *info, struct jwt_claims *ret_claims);

// --- Encryption (reading) ------------------------------------------------------------------------------
// Compact JWE for an OpenID client whose provider encrypts identity tokens. RSA1_5, PBES2 and `zip` are never taken. The content
// encryption may be any of A128GCM, A192GCM, A256GCM, A128CBC-HS256, A192CBC-HS384, A256CBC-HS512.

enum jwe_alg {
	JWE_DIR,
	JWE_A128KW,
	JWE_A192KW,
	JWE_A256KW,
	JWE_A128GCMKW,
	JWE_A192GCMKW,
	JWE_A256GCMKW,
	JWE_RSA_OAEP,
	JWE_RSA_OAEP_256,
	JWE_ECDH_ES,
	JWE_ECDH_ES_A128KW,
	JWE_ECDH_ES_A192KW,
	JWE_ECDH_ES_A256KW,
	JWE_ALG_COUNT
};
const char *ms_jwe_alg_name(enum jwe_alg alg);
MS_MUST_USE bool ms_jwe_alg_find(struct slice name, enum jwe_alg *ret_alg);

// Immutable, one owner, any thread. Bound to one algorithm.
struct jwe_key;
void ms_jwe_key_free(struct jwe_key *key); // wipes; accepts NULL
// A private JWK or a secret; `alg`, `use` (enc or absent) and `key_ops` as for signatures. A secret whose `alg` is a content encryption
// (as RFC 7520, 5.6 has it) is for `dir` with that one.
MS_MUST_USE enum ms_err ms_jwe_key_parse(struct slice jwk, enum jwe_alg fallback, struct errinfo *info,
					 struct jwe_key **ret_key);

struct jwe {
	struct slice header;    // JSON text, decoded
	struct slice plaintext; // usually a JWS
};
#define MS_JWE_MAX ((size_t)344 << 10) // a plaintext of some 250 KiB

// The key is chosen as in ms_jws_verify: by kid and alg, without kid the only one with that alg. One error for all that is wrong with the
// encryption: MS_ERR_TOKEN_INVALID with one message. The plaintext is in the arena.
MS_MUST_USE enum ms_err ms_jwe_open(struct slice compact, const struct jwe_key *const *keys, size_t count,
				    struct arena *arena, struct errinfo *info, struct jwe *ret_jwe);

#endif
