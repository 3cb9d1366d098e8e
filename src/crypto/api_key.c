// SPDX-License-Identifier: Apache-2.0
#include "crypto/crypto.h"

#define BODY_DIGITS 27 // 62^27 > 2^160
#define CHECK_DIGITS 6 // 62^6 > 2^32

static const char digits62[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

static bool prefix_ok(struct slice prefix)
{
	bool ok = prefix.n >= 1 && prefix.n <= MS_API_KEY_PREFIX_MAX && prefix.p[0] >= 'a' && prefix.p[0] <= 'z' &&
		  prefix.p[prefix.n - 1] != '_';
	for (size_t i = 0; ok && i < prefix.n; i++) {
		char c = prefix.p[i];
		ok = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
	}
	return ok;
}

static void write_check(struct slice text, char dst[CHECK_DIGITS])
{
	uint32_t crc = ms_crc32(text);
	for (size_t i = CHECK_DIGITS; i-- > 0; crc /= 62)
		dst[i] = digits62[crc % 62];
}

size_t ms_api_key_make(struct slice prefix, const uint8_t random[MS_API_KEY_RANDOM_SIZE], char ret_key[MS_API_KEY_SIZE])
{
	MS_ASSERT(prefix_ok(prefix));
	uint8_t number[MS_API_KEY_RANDOM_SIZE]; // big-endian, divided by 62 digit by digit
	memcpy(number, random, sizeof(number));
	memcpy(ret_key, prefix.p, prefix.n);
	ret_key[prefix.n] = '_';
	char *body = ret_key + prefix.n + 1;
	for (size_t i = BODY_DIGITS; i-- > 0;) {
		unsigned rest = 0;
		for (size_t k = 0; k < sizeof(number); k++) {
			unsigned value = rest << 8 | number[k];
			number[k] = (uint8_t)(value / 62);
			rest = value % 62;
		}
		body[i] = digits62[rest];
	}
	size_t n = prefix.n + 1 + BODY_DIGITS;
	write_check(ms_slice(ret_key, n), ret_key + n);
	n += CHECK_DIGITS;
	ret_key[n] = '\0';
	return n;
}

bool ms_api_key_parse(struct slice text, struct slice *ret_prefix)
{
	if (text.n < 2 + BODY_DIGITS + CHECK_DIGITS)
		return false;
	struct slice prefix = ms_slice_sub(text, 0, text.n - BODY_DIGITS - CHECK_DIGITS - 1);
	if (!prefix_ok(prefix) || text.p[prefix.n] != '_')
		return false;
	for (size_t i = prefix.n + 1; i < text.n; i++) {
		if (text.p[i] == '\0' || strchr(digits62, text.p[i]) == NULL)
			return false;
	}
	char check[CHECK_DIGITS];
	struct slice checked = ms_slice_sub(text, 0, text.n - CHECK_DIGITS);
	write_check(checked, check);
	if (!ms_slice_eq(ms_slice(check, CHECK_DIGITS), ms_slice_sub(text, checked.n, CHECK_DIGITS)))
		return false;
	*ret_prefix = prefix;
	return true;
}
