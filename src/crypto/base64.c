// SPDX-License-Identifier: Apache-2.0
#include "crypto/crypto.h"

// Value of a digit of RFC 4648 table 1, or -1.
static int digit_value(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

bool ms_base64_decode(struct slice text, struct arena *arena, struct slice *ret_bytes)
{
	if (text.n % 4 != 0)
		return false;
	size_t padding = 0;
	while (padding < 2 && padding < text.n && text.p[text.n - 1 - padding] == '=')
		padding++;
	size_t n = text.n / 4 * 3 - padding;
	char *bytes = ms_arena_alloc(arena, n + 3);
	if (bytes == NULL)
		return false;
	size_t at = 0;
	for (size_t i = 0; i < text.n; i += 4) {
		uint32_t group = 0;
		for (size_t k = 0; k < 4; k++) {
			bool is_padding = i + k >= text.n - padding;
			int value = is_padding ? 0 : digit_value(text.p[i + k]);
			if (value < 0)
				return false;
			group = group << 6 | (uint32_t)value;
		}
		bytes[at++] = (char)(group >> 16);
		bytes[at++] = (char)(group >> 8);
		bytes[at++] = (char)group;
	}
	// Bits behind the last byte must be zero, so that each value has one encoding.
	for (size_t i = n; i < at; i++) {
		if (bytes[i] != 0)
			return false;
	}
	*ret_bytes = (struct slice){bytes, n};
	return true;
}
