// SPDX-License-Identifier: Apache-2.0
#include "crypto/crypto.h"

void ms_hotp(enum crypto_hash hash, struct slice secret, uint64_t counter, unsigned digits, char ret_code[MS_OTP_SIZE])
{
	MS_ASSERT(digits >= 6 && digits <= 8);
	uint8_t message[8];
	for (size_t i = sizeof(message); i-- > 0; counter >>= 8)
		message[i] = (uint8_t)counter;
	uint8_t mac[MS_DIGEST_MAX];
	ms_hmac(hash, secret, ms_slice(message, sizeof(message)), mac);
	const uint8_t *at = mac + (mac[ms_digest_size(hash) - 1] & 15);
	uint32_t value = ((uint32_t)at[0] & 127) << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
	for (unsigned i = digits; i-- > 0; value /= 10)
		ret_code[i] = (char)('0' + value % 10);
	ret_code[digits] = '\0';
}

static int64_t step_at(const struct totp *totp, int64_t now_s)
{
	MS_ASSERT(now_s >= 0 && totp->period_s > 0);
	return now_s / totp->period_s;
}

void ms_totp(const struct totp *totp, int64_t now_s, char ret_code[MS_OTP_SIZE])
{
	ms_hotp(totp->hash, totp->secret, (uint64_t)step_at(totp, now_s), totp->digits, ret_code);
}

bool ms_totp_verify(const struct totp *totp, int64_t now_s, unsigned skew, int64_t last_step, struct slice code,
		    int64_t *ret_step)
{
	MS_ASSERT(skew <= MS_TOTP_MAX_SKEW);
	int64_t now = step_at(totp, now_s), first = now - (int64_t)skew;
	first = MS_MAX(first, MS_MAX(last_step + 1, 0));
	bool found = false;
	for (int64_t step = now + (int64_t)skew; step >= first; step--) {
		char want[MS_OTP_SIZE];
		ms_hotp(totp->hash, totp->secret, (uint64_t)step, totp->digits, want);
		if (ms_equal_constant_time(ms_slice_cstr(want), code)) {
			*ret_step = step; // the earliest, should two steps have the same code
			found = true;
		}
	}
	return found;
}
