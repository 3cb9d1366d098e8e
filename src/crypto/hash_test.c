// SPDX-License-Identifier: Apache-2.0
#include "crypto/crypto.h"

#include "tests/lib/test.h"

static void check_hex(const void *bytes, size_t n, const char *want)
{
	struct buf hex;
	ms_buf_init(&hex, 4096);
	ms_hex_append(&hex, ms_slice(bytes, n));
	CHECK_SLICE(ms_buf_slice(&hex), want);
	ms_buf_fini(&hex);
}

TEST(sha256_matches_fips_180_4_examples)
{
	char hex[MS_SHA256_HEX_SIZE];
	ms_sha256_hex(MS_SLICE_LIT("abc"), hex);
	CHECK_STR(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	ms_sha256_hex(MS_SLICE_EMPTY, hex);
	CHECK_STR(hex, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

TEST(digests_match_fips_180_4_examples)
{
	static const char *const want[] = {
		[CRYPTO_SHA1] = "a9993e364706816aba3e25717850c26c9cd0d89d",
		[CRYPTO_SHA256] = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
		[CRYPTO_SHA384] = "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed"
				  "8086072ba1e7cc2358baeca134c825a7",
		[CRYPTO_SHA512] = "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
				  "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
	};
	for (size_t i = 0; i < MS_ARRAY_LEN(want); i++) {
		uint8_t digest[MS_DIGEST_MAX];
		ms_digest((enum crypto_hash)i, MS_SLICE_LIT("abc"), digest);
		check_hex(digest, ms_digest_size((enum crypto_hash)i), want[i]);
	}
}

TEST(hmac_matches_rfc_4231_case_2)
{
	uint8_t mac[MS_DIGEST_MAX];
	struct slice key = MS_SLICE_LIT("Jefe"), text = MS_SLICE_LIT("what do ya want for nothing?");
	ms_hmac(CRYPTO_SHA256, key, text, mac);
	check_hex(mac, 32, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
	CHECK(ms_hmac_verify(CRYPTO_SHA256, key, text, ms_slice(mac, 32)));
	CHECK(!ms_hmac_verify(CRYPTO_SHA256, key, text, ms_slice(mac, 31)));
	mac[31] ^= 1;
	CHECK(!ms_hmac_verify(CRYPTO_SHA256, key, text, ms_slice(mac, 32)));
	ms_hmac(CRYPTO_SHA512, key, text, mac);
	check_hex(mac, 64,
		  "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea2505549758bf75c05a994a6d034f65f8f0e6fd"
		  "caeab1a34d4a6b4b636e070a38bce737");
}

TEST(hmac_made_ready_is_the_same)
{
	char key[300], text[300];
	memset(key, 'k', sizeof(key));
	memset(text, 't', sizeof(text));
	for (unsigned hash = CRYPTO_SHA1; hash <= CRYPTO_SHA512; hash++) {
		for (size_t n = 0; n < sizeof(key); n += 13) {
			uint8_t want[MS_DIGEST_MAX], got[MS_DIGEST_MAX];
			struct crypto_hmac *hmac = ms_hmac_new(hash, ms_slice(key, n));
			REQUIRE(hmac != NULL);
			ms_hmac(hash, ms_slice(key, n), ms_slice(text, 299 - n), want);
			CHECK(ms_hmac_with(hmac, ms_slice(text, 299 - n), got) &&
			      memcmp(want, got, ms_digest_size(hash)) == 0);
			CHECK(ms_hmac_with(hmac, ms_slice(text, 299 - n), got) &&
			      memcmp(want, got, ms_digest_size(hash)) == 0);
			ms_hmac_free(hmac);
		}
	}
}

TEST(hkdf_matches_rfc_5869_cases_1_and_3)
{
	uint8_t secret[22], salt[13], info[10], key[42];
	memset(secret, 0x0b, sizeof(secret));
	for (size_t i = 0; i < sizeof(salt); i++)
		salt[i] = (uint8_t)i;
	for (size_t i = 0; i < sizeof(info); i++)
		info[i] = (uint8_t)(0xf0 + i);
	ms_hkdf(CRYPTO_SHA256, ms_slice(secret, 22), ms_slice(salt, 13), ms_slice(info, 10), key, sizeof(key));
	check_hex(key, sizeof(key),
		  "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865");
	ms_hkdf(CRYPTO_SHA256, ms_slice(secret, 22), MS_SLICE_EMPTY, MS_SLICE_EMPTY, key, sizeof(key));
	check_hex(key, sizeof(key),
		  "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8");
}

TEST(pbkdf2_matches_rfc_7914_section_11)
{
	uint8_t key[64];
	ms_pbkdf2(CRYPTO_SHA256, MS_SLICE_LIT("passwd"), MS_SLICE_LIT("salt"), 1, key, sizeof(key));
	check_hex(key, sizeof(key),
		  "55ac046e56e3089fec1691c22544b605f94185216dde0465e68b9d57c20dacbc"
		  "49ca9cccf179b645991664b39d77ef317c71b845b1e30bd509112041d3a19783");
}

TEST(constant_time_compare_compares)
{
	CHECK(ms_equal_constant_time(MS_SLICE_LIT("abc"), MS_SLICE_LIT("abc")));
	CHECK(!ms_equal_constant_time(MS_SLICE_LIT("abc"), MS_SLICE_LIT("abd")));
	CHECK(!ms_equal_constant_time(MS_SLICE_LIT("abc"), MS_SLICE_LIT("ab")));
}

TEST(wiping_leaves_zeros)
{
	char secret[] = "secret";
	ms_wipe(secret, sizeof(secret));
	for (size_t i = 0; i < sizeof(secret); i++)
		CHECK_INT(secret[i], 0);
	ms_wipe(NULL, 0);
}

TEST(crc32_of_the_check_string)
{
	CHECK_INT(ms_crc32(MS_SLICE_LIT("123456789")), 0xcbf43926);
	CHECK_INT(ms_crc32(MS_SLICE_EMPTY), 0);
}

TEST(hasher_says_what_sha256_says)
{
	uint8_t want[MS_SHA256_SIZE], got[MS_SHA256_SIZE];
	char text[300];
	struct hasher *hasher;
	REQUIRE(ms_hasher_new(&hasher) == MS_OK);
	for (size_t n = 0; n < sizeof(text); n++) {
		text[n] = (char)(n * 7);
		ms_sha256(ms_slice(text, n), want);
		ms_hasher_sha256(hasher, ms_slice(text, n), got);
		REQUIRE(memcmp(want, got, sizeof(want)) == 0);
	}
	ms_hasher_free(hasher);
	ms_hasher_free(NULL);
}
