// SPDX-License-Identifier: Apache-2.0
// Hashes, encodings, signatures, sealed secrets, passwords and codes, over OpenSSL, libsodium, libargon2 and libcrypt.
// Random bytes come in as parameters (ms_random_bytes of rt), so that everything that can be is a pure function; only key
// generation and signatures draw from OpenSSL's own generator, which the kernel seeds. Any thread; what takes long says so.
#ifndef MS_CRYPTO_CRYPTO_H
#define MS_CRYPTO_CRYPTO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/base.h"

// --- Hashes (FIPS 180-4, RFC 2104, RFC 5869) -----------------------------------------------------------

enum crypto_hash { CRYPTO_SHA1, CRYPTO_SHA256, CRYPTO_SHA384, CRYPTO_SHA512 };
#define MS_DIGEST_MAX 64
size_t ms_digest_size(enum crypto_hash hash); // 20, 32, 48, 64

void ms_digest(enum crypto_hash hash, struct slice bytes, uint8_t ret_digest[MS_DIGEST_MAX]);
void ms_hmac(enum crypto_hash hash, struct slice key, struct slice message, uint8_t ret_mac[MS_DIGEST_MAX]);
// The HMAC must be exactly `mac`; constant time.
MS_MUST_USE bool ms_hmac_verify(enum crypto_hash hash, struct slice key, struct slice message, struct slice mac);
// A key that is used often, made ready once: a third of the time for short messages. Immutable, one owner, any thread. NULL: no memory.
struct crypto_hmac;
MS_MUST_USE struct crypto_hmac *ms_hmac_new(enum crypto_hash hash, struct slice key);
void ms_hmac_free(struct crypto_hmac *hmac); // wipes; accepts NULL
// False when memory is out.
MS_MUST_USE bool ms_hmac_with(const struct crypto_hmac *hmac, struct slice message, uint8_t ret_mac[MS_DIGEST_MAX]);
#define MS_HKDF_INFO_MAX 256
// Extract and expand; `n` is at most 255 digests, `info` at most MS_HKDF_INFO_MAX (assertion).
void ms_hkdf(enum crypto_hash hash, struct slice secret, struct slice salt, struct slice info, uint8_t *ret_key,
	     size_t n);
// RFC 8018. `rounds` and `n` are at least 1; the caller bounds them. Slow: not on a loop.
void ms_pbkdf2(enum crypto_hash hash, struct slice password, struct slice salt, uint32_t rounds, uint8_t *ret_key,
	       size_t n);

#define MS_SHA256_SIZE 32
#define MS_SHA256_HEX_SIZE 65

void ms_sha256(struct slice bytes, uint8_t ret_digest[MS_SHA256_SIZE]);
// Lower-case hex and NUL.
void ms_sha256_hex(struct slice bytes, char ret_hex[MS_SHA256_HEX_SIZE]);

// SHA-256 again and again by one thread: several times faster than ms_sha256 for short texts, because nothing is looked up or
// allocated each time.
struct hasher;
MS_MUST_USE enum ms_err ms_hasher_new(struct hasher **ret_hasher); // MS_ERR_NO_MEMORY
void ms_hasher_free(struct hasher *hasher);                        // accepts NULL
void ms_hasher_sha256(struct hasher *hasher, struct slice bytes, uint8_t ret_digest[MS_SHA256_SIZE]);
// The same of bytes that come in pieces: begin, add any number of times, end.
void ms_hasher_begin(struct hasher *hasher);
void ms_hasher_add(struct hasher *hasher, struct slice bytes);
void ms_hasher_end(struct hasher *hasher, uint8_t ret_digest[MS_SHA256_SIZE]);

// The CRC of Ethernet, gzip and PNG. Finds slips, stops nobody.
uint32_t ms_crc32(struct slice bytes);

// Time depends on the lengths alone.
MS_MUST_USE bool ms_equal_constant_time(struct slice a, struct slice b);
// Overwrites with zeros, and the compiler may not leave it out.
void ms_wipe(void *bytes, size_t n);

// --- Encodings (RFC 4648) ------------------------------------------------------------------------------
// Decoding takes the one canonical text of each value: no white space, zero bits behind the last byte. It goes into the arena;
// false for any other text, and when the arena is at its end.

MS_MUST_USE bool ms_base64_decode(struct slice text, struct arena *arena, struct slice *ret_bytes); // section 4, padded
MS_MUST_USE bool ms_base64url_decode(struct slice text, struct arena *arena,
				     struct slice *ret_bytes); // section 5, unpadded
// The same into memory of MS_BASE64_DECODED_MAX(text.n) bytes, for those who tell bad text from missing memory.
#define MS_BASE64_DECODED_MAX(n) ((n) / 4 * 3 + 2)
MS_MUST_USE bool ms_base64url_decode_to(struct slice text, uint8_t *dst, size_t *ret_n);
MS_MUST_USE bool ms_hex_decode(struct slice text, struct arena *arena, struct slice *ret_bytes); // either case
// Section 6, for TOTP secrets that people type: either case; padding may be there, whole, or not at all.
MS_MUST_USE bool ms_base32_decode(struct slice text, struct arena *arena, struct slice *ret_bytes);

void ms_base64_append(struct buf *out, struct slice bytes);
void ms_base64url_append(struct buf *out, struct slice bytes);
void ms_hex_append(struct buf *out, struct slice bytes);    // lower case
void ms_base32_append(struct buf *out, struct slice bytes); // upper case, unpadded

// --- Asymmetric keys -----------------------------------------------------------------------------------

enum crypto_key_kind { CRYPTO_RSA, CRYPTO_P256, CRYPTO_P384, CRYPTO_P521, CRYPTO_ED25519, CRYPTO_X25519 };
#define MS_RSA_MIN_BITS 2048
#define MS_RSA_MAX_BITS 8192

// Immutable, reference counted, any thread.
struct crypto_key;
struct crypto_key *ms_crypto_key_ref(struct crypto_key *key);
void ms_crypto_key_unref(struct crypto_key *key); // wipes; accepts NULL
enum crypto_key_kind ms_crypto_key_kind(const struct crypto_key *key);
bool ms_crypto_key_is_private(const struct crypto_key *key);
size_t ms_crypto_key_bits(const struct crypto_key *key);           // 2048 to 8192 of RSA; 256, 384, 521; 256
size_t ms_crypto_key_signature_size(const struct crypto_key *key); // of its signatures, exactly; 0 for X25519

// Unsigned numbers, big-endian. EC coordinates and private numbers have the curve's size exactly. Empty: not there.
struct crypto_key_params {
	struct slice n, e, p, q, dp, dq, qi; // RSA; the private key has d and all of these
	struct slice x, y;                   // EC: the point; Ed25519 and X25519: x alone
	struct slice d;                      // of any kind: private
};
// MS_ERR_INVALID says what is wrong: a size, an exponent (odd, at least 65537, at most 64 bits), a modulus of the ROCA family (CVE-2017-15361),
// a point off its curve, a private number that does not belong to the public one.
MS_MUST_USE enum ms_err ms_crypto_key_from_params(enum crypto_key_kind kind, const struct crypto_key_params *params,
						  struct errinfo *info, struct crypto_key **ret_key);
// The numbers, in the arena; with_private needs a private key (assertion), and the caller wipes.
MS_MUST_USE enum ms_err ms_crypto_key_to_params(const struct crypto_key *key, bool with_private, struct arena *arena,
						struct crypto_key_params *ret_params);
// One SubjectPublicKeyInfo or unencrypted PKCS #8, at most 64 KiB; checked as above. RSA-PSS keys (with parameters inside) are refused.
MS_MUST_USE enum ms_err ms_crypto_key_from_pem(struct slice pem, struct errinfo *info, struct crypto_key **ret_key);
MS_MUST_USE enum ms_err ms_crypto_key_to_pem(const struct crypto_key *key, bool with_private, struct buf *out);
// `bits` counts for RSA alone: 2048 to 8192 in whole bytes (assertion). Slow for RSA: not on a loop.
MS_MUST_USE enum ms_err ms_crypto_key_generate(enum crypto_key_kind kind, unsigned bits, struct crypto_key **ret_key);

enum crypto_scheme {
	CRYPTO_RSA_PKCS1, // RSASSA-PKCS1-v1_5
	CRYPTO_RSA_PSS,   // MGF1 of the same hash, salt as long as the digest
	CRYPTO_ECDSA,     // r || s, each of the curve's size
	CRYPTO_EDDSA,     // Ed25519; `hash` is not looked at
};
// The scheme must fit the key's kind (assertion), the key be private for signing. Appends the signature.
MS_MUST_USE enum ms_err ms_crypto_sign(const struct crypto_key *key, enum crypto_scheme scheme, enum crypto_hash hash,
				       struct slice message, struct buf *out);
MS_MUST_USE bool ms_crypto_verify(const struct crypto_key *key, enum crypto_scheme scheme, enum crypto_hash hash,
				  struct slice message, struct slice signature);

#define MS_AGREED_MAX 66
// Diffie-Hellman between two keys of one EC kind or X25519. False for a low-order point.
MS_MUST_USE bool ms_crypto_agree(const struct crypto_key *own, const struct crypto_key *peer,
				 uint8_t ret_secret[MS_AGREED_MAX], size_t *ret_n);
// RSAES-OAEP with MGF1 of the same hash, no label. One answer for all that is wrong.
MS_MUST_USE enum ms_err ms_crypto_oaep_open(const struct crypto_key *key, enum crypto_hash hash,
					    struct slice ciphertext, struct arena *arena, struct slice *ret_plaintext);

// --- Sealed secrets ------------------------------------------------------------------------------------
// XChaCha20-Poly1305 for data at rest: version byte, nonce, ciphertext, tag. `context` is bound to it and not stored: what the secret
// belongs to, so that one cannot be moved to the place of another.

#define MS_BOX_KEY_SIZE 32
#define MS_BOX_NONCE_SIZE 24
#define MS_BOX_OVERHEAD (1 + MS_BOX_NONCE_SIZE + 16)
// A fresh random nonce for each call. Appends; on failure of the buffer nothing is appended and it says so.
void ms_box_seal(const uint8_t key[MS_BOX_KEY_SIZE], const uint8_t nonce[MS_BOX_NONCE_SIZE], struct slice context,
		 struct slice secret, struct buf *out);
// MS_ERR_INVALID for another key, context or version, and for what was changed.
MS_MUST_USE enum ms_err ms_box_open(const uint8_t key[MS_BOX_KEY_SIZE], struct slice context, struct slice box,
				    struct arena *arena, struct slice *ret_secret);

// AES as JWE has it, for reading what others encrypted. Key sizes are the caller's (assertion); MS_ERR_INVALID when it does not verify.
// GCM: key 16, 24 or 32 bytes, nonce 12, tag 16.
MS_MUST_USE enum ms_err ms_aes_gcm_open(struct slice key, struct slice nonce, struct slice context,
					struct slice ciphertext, struct slice tag, struct arena *arena,
					struct slice *ret_plaintext);
// RFC 7518, 5.2: key 32, 48 or 64 bytes (MAC key first), iv 16, tag half the key. The tag is checked before anything is decrypted.
MS_MUST_USE enum ms_err ms_aes_cbc_hmac_open(struct slice key, struct slice iv, struct slice context,
					     struct slice ciphertext, struct slice tag, struct arena *arena,
					     struct slice *ret_plaintext);
// RFC 3394 with its default initial value; `wrapped` of 24 to 72 bytes gives 8 bytes less.
MS_MUST_USE enum ms_err ms_aes_unwrap(struct slice key, struct slice wrapped, struct arena *arena,
				      struct slice *ret_key);

// --- Passwords -----------------------------------------------------------------------------------------
// New hashes are Argon2id (RFC 9106) as PHC strings "$argon2id$v=19$m=19456,t=2,p=1$salt$tag". Verified besides, so that users can come from
// elsewhere: Argon2i and Argon2id of any lanes; bcrypt $2a$ $2b$ $2y$; "$pbkdf2-sha256$rounds$salt$tag" (passlib, also sha512),
// "pbkdf2_sha256$rounds$salt$tag" (Django, also sha512). All of these are slow and take memory on purpose: on a pool that bounds how many
// run at once, never on a loop.

struct password_cost {
	uint32_t memory_kib; // 8 to MS_PASSWORD_MAX_MEMORY_KIB
	uint32_t time;       // 1 to MS_PASSWORD_MAX_TIME
	uint32_t lanes;      // 1 to 16, memory at least 8 KiB each; computed one after the other
};
extern const struct password_cost MS_PASSWORD_COST_DEFAULT; // 19456, 2, 1
#define MS_PASSWORD_SALT_SIZE 16
#define MS_PASSWORD_TAG_SIZE 32
// Stored hashes that ask for more are refused: a hash that was imported must not stop the server.
#define MS_PASSWORD_MAX_MEMORY_KIB ((uint32_t)256 << 10)
#define MS_PASSWORD_MAX_TIME 10
#define MS_PASSWORD_MAX_LANES 16
#define MS_PASSWORD_MAX_BCRYPT_COST 15
#define MS_PASSWORD_MAX_PBKDF2_ROUNDS 4000000
#define MS_PASSWORD_MAX_LENGTH \
	1024                       // bytes of a password; longer ones match nothing, and hashing them is MS_ERR_INVALID
#define MS_PASSWORD_STORED_MAX 512 // bytes of a stored hash

MS_MUST_USE bool ms_password_cost_ok(const struct password_cost *cost);
// Appends the PHC string. MS_ERR_NO_MEMORY when the memory is not there.
MS_MUST_USE enum ms_err ms_password_hash(struct slice password, const struct password_cost *cost,
					 const uint8_t salt[MS_PASSWORD_SALT_SIZE], struct errinfo *info,
					 struct buf *out);
// Whether a stored hash is one that can be verified and asks for no more than the limits; computes nothing. For imports.
MS_MUST_USE enum ms_err ms_password_check_stored(struct slice stored, struct errinfo *info);
struct password_answer {
	bool match;
	bool needs_rehash; // it is no Argon2id of exactly the wanted cost, salt and tag size; means something only when it matches
};
// A failure says that the stored hash cannot be used (as ms_password_check_stored), or MS_ERR_NO_MEMORY. A password that the kind cannot
// take (bcrypt: over 72 bytes, or with a NUL) does not match; none is ever cut.
MS_MUST_USE enum ms_err ms_password_verify(struct slice stored, struct slice password,
					   const struct password_cost *wanted, struct errinfo *info,
					   struct password_answer *ret_answer);
// For users that do not exist: takes as long as verifying a hash of that cost.
MS_MUST_USE enum ms_err ms_password_verify_nobody(struct slice password, const struct password_cost *cost,
						  struct errinfo *info);

// --- One-time codes (RFC 4226, RFC 6238) ---------------------------------------------------------------

struct totp {
	enum crypto_hash hash; // SHA1 is what all apps know
	unsigned digits;       // 6 or 8
	unsigned period_s;     // 30
	struct slice secret;   // 20 bytes or more
};
#define MS_OTP_SIZE 9
#define MS_TOTP_MAX_SKEW 10 // steps (assertion)
// `digits` decimal digits and NUL. digits is 6 to 8 (assertion).
void ms_hotp(enum crypto_hash hash, struct slice secret, uint64_t counter, unsigned digits, char ret_code[MS_OTP_SIZE]);
void ms_totp(const struct totp *totp, int64_t now_s, char ret_code[MS_OTP_SIZE]);
// Looks at the steps from `skew` before now to `skew` after it, and only at those behind `last_step` (-1: none was used): each code counts
// once. *ret_step is to be stored as the next last_step. Constant time but for the number of steps.
MS_MUST_USE bool ms_totp_verify(const struct totp *totp, int64_t now_s, unsigned skew, int64_t last_step,
				struct slice code, int64_t *ret_step);

// --- API keys ------------------------------------------------------------------------------------------
// prefix "_" 27 digits of base62 (160 random bits) and 6 of the CRC-32 of all before them: "msk_…". The checksum tells slips and scanners'
// false finds from keys without a look-up; store ms_sha256 of the whole.

#define MS_API_KEY_RANDOM_SIZE 20
#define MS_API_KEY_PREFIX_MAX 16
#define MS_API_KEY_SIZE (MS_API_KEY_PREFIX_MAX + 1 + 27 + 6 + 1)
// The prefix is 1 to 16 of a-z 0-9 _, beginning with a letter, not ending with _ (assertion). With NUL; returns the length.
size_t ms_api_key_make(struct slice prefix, const uint8_t random[MS_API_KEY_RANDOM_SIZE],
		       char ret_key[MS_API_KEY_SIZE]);
// False when the form or the checksum is wrong. The prefix points into `text`.
MS_MUST_USE bool ms_api_key_parse(struct slice text, struct slice *ret_prefix);

#endif
