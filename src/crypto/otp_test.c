// SPDX-License-Identifier: Apache-2.0
#include "crypto/crypto.h"

#include "tests/lib/test.h"

#define SECRET20 "12345678901234567890"

TEST(hotp_matches_rfc_4226_appendix_d)
{
	static const char *const want[] = {"755224", "287082", "359152", "969429", "338314",
					   "254676", "287922", "162583", "399871", "520489"};
	for (size_t i = 0; i < MS_ARRAY_LEN(want); i++) {
		char code[MS_OTP_SIZE];
		ms_hotp(CRYPTO_SHA1, MS_SLICE_LIT(SECRET20), i, 6, code);
		CHECK_STR(code, want[i]);
	}
}

TEST(totp_matches_rfc_6238_appendix_b)
{
	static const struct slice secrets[] = {
		[CRYPTO_SHA1] = {SECRET20, 20},
		[CRYPTO_SHA256] = {SECRET20 "123456789012", 32},
		[CRYPTO_SHA512] = {SECRET20 SECRET20 SECRET20 "1234", 64},
	};
	static const struct {
		int64_t now_s;
		const char *want[3];
	} rows[] = {
		{59, {"94287082", "46119246", "90693936"}},         {1111111109, {"07081804", "68084774", "25091201"}},
		{1111111111, {"14050471", "67062674", "99943326"}}, {1234567890, {"89005924", "91819424", "93441116"}},
		{2000000000, {"69279037", "90698825", "38618901"}}, {20000000000, {"65353130", "77737706", "47863826"}},
	};
	static const enum crypto_hash hashes[] = {CRYPTO_SHA1, CRYPTO_SHA256, CRYPTO_SHA512};
	for (size_t i = 0; i < MS_ARRAY_LEN(rows); i++) {
		for (size_t k = 0; k < MS_ARRAY_LEN(hashes); k++) {
			struct totp totp = {hashes[k], 8, 30, secrets[hashes[k]]};
			char code[MS_OTP_SIZE];
			ms_totp(&totp, rows[i].now_s, code);
			CHECK_STR(code, rows[i].want[k]);
		}
	}
}

TEST(totp_counts_once_and_within_its_skew)
{
	struct totp totp = {CRYPTO_SHA1, 6, 30, MS_SLICE_LIT(SECRET20)};
	int64_t now = 30 * 1000 + 10, step = 0;
	for (int64_t away = -3; away <= 3; away++) {
		char code[MS_OTP_SIZE];
		ms_totp(&totp, now + 30 * away, code);
		bool ok = ms_totp_verify(&totp, now, 1, -1, ms_slice_cstr(code), &step);
		CHECK(ok == (away >= -1 && away <= 1));
		if (ok)
			CHECK_INT(step, 1000 + away);
		CHECK(ms_totp_verify(&totp, now, 0, -1, ms_slice_cstr(code), &step) == (away == 0));
		// Used, or older than one that was used.
		CHECK(ms_totp_verify(&totp, now, 1, 1000, ms_slice_cstr(code), &step) == (away == 1));
	}
	char code[MS_OTP_SIZE];
	ms_totp(&totp, now, code);
	CHECK(!ms_totp_verify(&totp, now, 1, -1, MS_SLICE_EMPTY, &step));
	CHECK(!ms_totp_verify(&totp, now, 1, -1, ms_slice(code, 5), &step));
	CHECK(!ms_totp_verify(&totp, now, 1, -1, ms_slice(code, 7), &step));
	ms_totp(&totp, 0, code); // there are no steps before the first
	CHECK(ms_totp_verify(&totp, 0, 2, -1, ms_slice_cstr(code), &step) && step == 0);
}
