// SPDX-License-Identifier: Apache-2.0
#include <stdio.h>

#include "crypto/crypto.h"

#include "tests/lib/test.h"

#define MEMORY ((size_t)1 << 20)

static const struct {
	enum crypto_key_kind kind;
	enum crypto_scheme scheme;
	enum crypto_hash hash;
} uses[] = {
	{CRYPTO_RSA, CRYPTO_RSA_PKCS1, CRYPTO_SHA256}, {CRYPTO_RSA, CRYPTO_RSA_PSS, CRYPTO_SHA512},
	{CRYPTO_P256, CRYPTO_ECDSA, CRYPTO_SHA256},    {CRYPTO_P384, CRYPTO_ECDSA, CRYPTO_SHA384},
	{CRYPTO_P521, CRYPTO_ECDSA, CRYPTO_SHA512},    {CRYPTO_ED25519, CRYPTO_EDDSA, CRYPTO_SHA512},
};

static struct crypto_key *generate(enum crypto_key_kind kind)
{
	struct crypto_key *key = NULL;
	REQUIRE(ms_crypto_key_generate(kind, 2048, &key) == MS_OK);
	return key;
}

// The same key by its numbers.
static struct crypto_key *copy(const struct crypto_key *key, bool with_private)
{
	struct arena a;
	struct crypto_key_params params;
	struct crypto_key *again = NULL;
	ms_arena_init(&a, 4096, MEMORY);
	REQUIRE(ms_crypto_key_to_params(key, with_private, &a, &params) == MS_OK);
	CHECK_OK(ms_crypto_key_from_params(ms_crypto_key_kind(key), &params, NULL, &again));
	ms_arena_fini(&a);
	REQUIRE(again != NULL);
	CHECK(ms_crypto_key_is_private(again) == with_private);
	CHECK_INT(ms_crypto_key_bits(again), ms_crypto_key_bits(key));
	return again;
}

// And by its PEM text.
static struct crypto_key *copy_pem(const struct crypto_key *key, bool with_private)
{
	struct buf pem;
	struct crypto_key *again = NULL;
	ms_buf_init(&pem, 65536);
	CHECK_OK(ms_crypto_key_to_pem(key, with_private, &pem));
	CHECK_OK(ms_crypto_key_from_pem(ms_buf_slice(&pem), NULL, &again));
	ms_buf_fini(&pem);
	REQUIRE(again != NULL);
	CHECK(ms_crypto_key_is_private(again) == with_private);
	CHECK_INT(ms_crypto_key_kind(again), ms_crypto_key_kind(key));
	return again;
}

TEST(keys_sign_and_their_copies_verify)
{
	struct slice text = MS_SLICE_LIT("text"), other = MS_SLICE_LIT("texu");
	for (size_t i = 0; i < MS_ARRAY_LEN(uses); i++) {
		struct crypto_key *key = generate(uses[i].kind);
		struct crypto_key *copies[] = {copy(key, true), copy(key, false), copy_pem(key, true),
					       copy_pem(key, false)};
		struct buf signature;
		ms_buf_init(&signature, 1024);
		CHECK_OK(ms_crypto_sign(copies[i & 2], uses[i].scheme, uses[i].hash, text, &signature));
		CHECK_INT(signature.n, ms_crypto_key_signature_size(key));
		struct slice s = ms_buf_slice(&signature);
		for (size_t k = 0; k < MS_ARRAY_LEN(copies); k++) {
			CHECK(ms_crypto_verify(copies[k], uses[i].scheme, uses[i].hash, text, s));
			CHECK(!ms_crypto_verify(copies[k], uses[i].scheme, uses[i].hash, other, s));
			ms_crypto_key_unref(copies[k]);
		}
		CHECK(!ms_crypto_verify(key, uses[i].scheme, uses[i].hash, text, ms_slice_sub(s, 0, s.n - 1)));
		for (size_t at = 0; at < s.n; at += 7) {
			signature.p[at] ^= 1;
			CHECK(!ms_crypto_verify(key, uses[i].scheme, uses[i].hash, text, s));
			signature.p[at] ^= 1;
		}
		ms_buf_append_char(&signature, '\0');
		CHECK(!ms_crypto_verify(key, uses[i].scheme, uses[i].hash, text, ms_buf_slice(&signature)));
		ms_buf_fini(&signature);
		ms_crypto_key_unref(key);
	}
}

TEST(ecdsa_halves_lie_within_the_order)
{
	struct crypto_key *key = generate(CRYPTO_P256);
	static const uint8_t order[32] = {0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff,
					  0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6, 0xfa, 0xad, 0xa7, 0x17,
					  0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51};
	uint8_t values[4][32] = {{0}, {0}, {0}, {0}};
	values[1][31] = 1;
	memcpy(values[2], order, 32);
	memset(values[3], 0xff, 32);
	for (size_t r = 0; r < 4; r++) {
		for (size_t s = 0; s < 4; s++) {
			uint8_t signature[64];
			memcpy(signature, values[r], 32);
			memcpy(signature + 32, values[s], 32);
			CHECK(!ms_crypto_verify(key, CRYPTO_ECDSA, CRYPTO_SHA256, MS_SLICE_LIT("x"),
						ms_slice(signature, 64)));
		}
	}
	ms_crypto_key_unref(key);
}

// RFC 8032, 7.1, test 2.
TEST(ed25519_matches_rfc_8032)
{
	static const char *const hex[] = {
		"4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
		"3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
		"92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2e"
		"aeb4302a"
		"eeb00d291612bb0c00",
	};
	struct arena a;
	struct slice bytes[3];
	ms_arena_init(&a, 4096, MEMORY);
	for (size_t i = 0; i < 3; i++)
		REQUIRE(ms_hex_decode(ms_slice_cstr(hex[i]), &a, &bytes[i]));
	struct crypto_key_params params = {.d = bytes[0], .x = bytes[1]};
	struct crypto_key *key = NULL;
	struct buf signature;
	ms_buf_init(&signature, 64);
	REQUIRE(ms_crypto_key_from_params(CRYPTO_ED25519, &params, NULL, &key) == MS_OK);
	CHECK_OK(ms_crypto_sign(key, CRYPTO_EDDSA, CRYPTO_SHA512, MS_SLICE_LIT("\x72"), &signature));
	CHECK(ms_slice_eq(ms_buf_slice(&signature), bytes[2]));
	ms_crypto_key_unref(key);
	ms_buf_fini(&signature);
	ms_arena_fini(&a);
}

static void check_refused(enum crypto_key_kind kind, const struct crypto_key_params *params, const char *why)
{
	struct crypto_key *key = NULL;
	struct errinfo info;
	ms_errinfo_init(&info);
	CHECK_INT(ms_crypto_key_from_params(kind, params, &info, &key), MS_ERR_INVALID);
	CHECK_HAS(info.message, why);
	CHECK(key == NULL);
	ms_crypto_key_unref(key);
}

TEST(rsa_keys_that_are_weak_or_wrong_are_refused)
{
	struct arena a;
	struct crypto_key *key = generate(CRYPTO_RSA), *other = generate(CRYPTO_RSA);
	struct crypto_key_params p, q;
	ms_arena_init(&a, 4096, MEMORY);
	REQUIRE(ms_crypto_key_to_params(key, true, &a, &p) == MS_OK);
	REQUIRE(ms_crypto_key_to_params(other, true, &a, &q) == MS_OK);
	struct crypto_key_params bad = p;
	bad.n = ms_slice_sub(p.n, 0, 128);
	check_refused(CRYPTO_RSA, &bad, "at least 2048 bits");
	bad = p;
	bad.e = MS_SLICE_LIT("\x03");
	check_refused(CRYPTO_RSA, &bad, "public exponent");
	bad.e = ms_slice("\x01\x00\x02", 3);
	check_refused(CRYPTO_RSA, &bad, "public exponent");
	bad.e = MS_SLICE_EMPTY;
	check_refused(CRYPTO_RSA, &bad, "public exponent");
	bad.e = MS_SLICE_LIT("\x11\x11\x11\x11\x11\x11\x11\x11\x11");
	check_refused(CRYPTO_RSA, &bad, "public exponent");
	bad = p;
	static const char large[MS_RSA_MAX_BITS / 8 + 1] = {1};
	bad.n = ms_slice(large, sizeof(large));
	check_refused(CRYPTO_RSA, &bad, "at most 8192 bits");
	bad = p;
	bad.qi = MS_SLICE_EMPTY;
	check_refused(CRYPTO_RSA, &bad, "d, p, q, dp, dq and qi");
	bad = p;
	bad.d = q.d;
	check_refused(CRYPTO_RSA, &bad, "do not belong together");
	bad = p;
	bad.n = q.n;
	check_refused(CRYPTO_RSA, &bad, "do not belong together");
	ms_arena_fini(&a);
	ms_crypto_key_unref(key);
	ms_crypto_key_unref(other);
}

TEST(curve_keys_that_are_wrong_are_refused)
{
	static const enum crypto_key_kind kinds[] = {CRYPTO_P256, CRYPTO_P384, CRYPTO_P521};
	for (size_t i = 0; i < MS_ARRAY_LEN(kinds); i++) {
		struct arena a;
		struct crypto_key *key = generate(kinds[i]), *other = generate(kinds[i]);
		struct crypto_key_params p, q;
		ms_arena_init(&a, 4096, MEMORY);
		REQUIRE(ms_crypto_key_to_params(key, true, &a, &p) == MS_OK);
		REQUIRE(ms_crypto_key_to_params(other, true, &a, &q) == MS_OK);
		struct crypto_key_params bad = p;
		bad.y = q.y;
		check_refused(kinds[i], &bad, "do not belong together");
		bad.d = MS_SLICE_EMPTY;
		check_refused(kinds[i], &bad, "do not belong together"); // not on the curve
		bad = p;
		bad.d = q.d;
		check_refused(kinds[i], &bad, "do not belong together");
		bad = p;
		bad.x = ms_slice_sub(p.x, 1, p.x.n);
		check_refused(kinds[i], &bad, "bytes each");
		ms_arena_fini(&a);
		ms_crypto_key_unref(key);
		ms_crypto_key_unref(other);
	}
	struct crypto_key_params none = {0};
	check_refused(CRYPTO_P256, &none, "bytes each");
	check_refused(CRYPTO_ED25519, &none, "bytes each");
	static const char zeros[32];
	none.d = none.x = ms_slice(zeros, 32);
	check_refused(CRYPTO_ED25519, &none, "do not belong together");
}

// RFC 8410, 10.1 and 10.3.
#define ED_PUBLIC                                                                                                    \
	"-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC " \
	"KEY-----\n"
#define ED_PRIVATE                                                                                        \
	"-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n" \
	"-----END PRIVATE KEY-----\n"

TEST(pem_examples_of_rfc_8410_are_one_pair)
{
	struct crypto_key *private_key = NULL, *public_key = NULL;
	struct buf signature;
	ms_buf_init(&signature, 64);
	REQUIRE(ms_crypto_key_from_pem(MS_SLICE_LIT(ED_PRIVATE), NULL, &private_key) == MS_OK);
	REQUIRE(ms_crypto_key_from_pem(MS_SLICE_LIT(ED_PUBLIC), NULL, &public_key) == MS_OK);
	CHECK_OK(ms_crypto_sign(private_key, CRYPTO_EDDSA, CRYPTO_SHA512, MS_SLICE_EMPTY, &signature));
	CHECK(ms_crypto_verify(public_key, CRYPTO_EDDSA, CRYPTO_SHA512, MS_SLICE_EMPTY, ms_buf_slice(&signature)));
	ms_crypto_key_unref(private_key);
	ms_crypto_key_unref(public_key);
	ms_buf_fini(&signature);
}

TEST(pem_of_other_things_is_refused)
{
	static const char *const texts[] = {
		"",
		"-----BEGIN PUBLIC KEY-----",
		"-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----\n",
		"-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZg==\n-----END "
		"PUBLIC KEY-----\n",
		// A byte behind the key.
		"-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuEA\n-----END "
		"PUBLIC KEY-----\n",
		// P-256 spelled out in numbers.
		"-----BEGIN PUBLIC KEY-----\n"
		"MIIBSzCCAQMGByqGSM49AgEwgfcCAQEwLAYHKoZIzj0BAQIhAP////8AAAABAAAA\n"
		"AAAAAAAAAAAA////////////////MFsEIP////8AAAABAAAAAAAAAAAAAAAA////\n"
		"///////////8BCBaxjXYqjqT57PrvVV2mIa8ZR0GsMxTsPY7zjw+J9JgSwMVAMSd\n"
		"NgiG5wSTamZ44ROdJreBn36QBEEEaxfR8uEsQkf4vOblY6RA8ncDfYEt6zOg9KE5\n"
		"RdiYwpZP40Li/hp/m47n60p8D54WK84zV2sxXs7LtkBoN79R9QIhAP////8AAAAA\n"
		"//////////+85vqtpxeehPO5ysL8YyVRAgEBA0IABBdEM2Dadql4TwOtWKgLpILK\n"
		"6TH5bjSo/I9z7kSBXCu/5fBawSm+iD9MRXCYg0oLcmHlnQaKStj9GjWAQnfXvtM=\n"
		"-----END PUBLIC KEY-----\n",
		// The public key under the name of a private one, and of a certificate.
		"-----BEGIN PRIVATE KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END "
		"PRIVATE KEY-----\n",
		"-----BEGIN CERTIFICATE-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END "
		"CERTIFICATE-----\n",
		// secp256k1.
		"-----BEGIN PUBLIC "
		"KEY-----\nMFYwEAYHKoZIzj0CAQYFK4EEAAoDQgAEeb5mfvncu6xVoGKVzocLBwKb/NstzijZWfKBWxb4F5hIOtp3JqPE"
		"ZV2k+/wOEQio/Re0SKaFVBmcR9CP+xDUuA==\n-----END PUBLIC KEY-----\n",
	};
	for (size_t i = 0; i < MS_ARRAY_LEN(texts); i++) {
		struct crypto_key *key = NULL;
		if (!CHECK_INT(ms_crypto_key_from_pem(ms_slice_cstr(texts[i]), NULL, &key), MS_ERR_INVALID))
			printf("# %s\n", texts[i]);
		ms_crypto_key_unref(key);
	}
}

TEST(two_sides_agree)
{
	static const enum crypto_key_kind kinds[] = {CRYPTO_P256, CRYPTO_P384, CRYPTO_P521, CRYPTO_X25519};
	static const size_t sizes[] = {32, 48, 66, 32};
	for (size_t i = 0; i < MS_ARRAY_LEN(kinds); i++) {
		struct crypto_key *a = generate(kinds[i]), *b = generate(kinds[i]);
		struct crypto_key *public_a = copy(a, false), *public_b = copy_pem(b, false);
		uint8_t one[MS_AGREED_MAX], two[MS_AGREED_MAX];
		size_t n = 0, m = 0;
		CHECK(ms_crypto_agree(a, public_b, one, &n) && ms_crypto_agree(b, public_a, two, &m));
		CHECK_INT(n, sizes[i]);
		CHECK(ms_slice_eq(ms_slice(one, n), ms_slice(two, m)));
		ms_crypto_key_unref(a);
		ms_crypto_key_unref(b);
		ms_crypto_key_unref(public_a);
		ms_crypto_key_unref(public_b);
	}
	// A point of low order gives nothing.
	struct crypto_key *own = generate(CRYPTO_X25519), *peer = NULL;
	static const char zeros[32];
	struct crypto_key_params params = {.x = {zeros, 32}};
	uint8_t secret[MS_AGREED_MAX];
	size_t n;
	if (ms_crypto_key_from_params(CRYPTO_X25519, &params, NULL, &peer) == MS_OK)
		CHECK(!ms_crypto_agree(own, peer, secret, &n));
	ms_crypto_key_unref(own);
	ms_crypto_key_unref(peer);
}

static void use_a_key(void)
{
	struct crypto_key *key = NULL, *again = NULL;
	struct buf out;
	struct arena a;
	struct crypto_key_params params;
	ms_buf_init(&out, 4096);
	ms_arena_init(&a, 64, MEMORY);
	enum ms_err err = ms_crypto_key_generate(CRYPTO_P256, 0, &key);
	if (err == MS_OK)
		err = ms_crypto_key_to_params(key, true, &a, &params);
	if (err == MS_OK)
		err = ms_crypto_key_from_params(CRYPTO_P256, &params, NULL, &again);
	if (err == MS_OK)
		err = ms_crypto_sign(again, CRYPTO_ECDSA, CRYPTO_SHA256, MS_SLICE_LIT("x"), &out);
	if (err == MS_OK)
		CHECK(ms_crypto_verify(key, CRYPTO_ECDSA, CRYPTO_SHA256, MS_SLICE_LIT("x"), ms_buf_slice(&out)));
	ms_crypto_key_unref(again);
	again = NULL;
	ms_buf_clear(&out);
	if (err == MS_OK)
		err = ms_crypto_key_to_pem(key, true, &out);
	if (err == MS_OK)
		err = ms_crypto_key_from_pem(ms_buf_slice(&out), NULL, &again);
	CHECK(err == MS_OK || ms_test_allocation_failed());
	ms_crypto_key_unref(again);
	ms_crypto_key_unref(key);
	ms_buf_fini(&out);
	ms_arena_fini(&a);
}

TEST(keys_survive_failing_allocations)
{
	ms_test_torture(use_a_key);
}
