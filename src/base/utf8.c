// SPDX-License-Identifier: Apache-2.0
#include "base/utf8.h"

#include "base/assert.h"

// Length of the valid sequence at p (at most n bytes), or 0.
static size_t sequence_length(const unsigned char *p, size_t n)
{
	unsigned char lead = p[0];
	size_t len = lead < 0x80 ? 1 : lead < 0xc2 ? 0 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : lead < 0xf5 ? 4 : 0;
	if (len == 0 || len > n)
		return 0;
	for (size_t i = 1; i < len; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	}
	bool bad = (lead == 0xe0 && p[1] < 0xa0) ||  // overlong
		   (lead == 0xed && p[1] >= 0xa0) || // surrogate
		   (lead == 0xf0 && p[1] < 0x90) ||  // overlong
		   (lead == 0xf4 && p[1] >= 0x90);   // above U+10FFFF
	return bad ? 0 : len;
}

size_t ms_utf8_valid_prefix(struct slice s)
{
	const unsigned char *p = (const unsigned char *)s.p;
	size_t i = 0;
	while (i < s.n) {
		uint64_t word;
		if (s.n - i >= 8 && (memcpy(&word, p + i, 8), (word & 0x8080808080808080ULL) == 0)) {
			i += 8;
			continue;
		}
		size_t len = sequence_length(p + i, s.n - i);
		if (len == 0)
			return i;
		i += len;
	}
	return s.n;
}

size_t ms_utf8_encode(uint32_t c, char dst[4])
{
	MS_ASSERT(c <= 0x10ffff && !(c >= 0xd800 && c <= 0xdfff));
	if (c < 0x80) {
		dst[0] = (char)c;
		return 1;
	}
	if (c < 0x800) {
		dst[0] = (char)(0xc0 | c >> 6);
		dst[1] = (char)(0x80 | (c & 0x3f));
		return 2;
	}
	if (c < 0x10000) {
		dst[0] = (char)(0xe0 | c >> 12);
		dst[1] = (char)(0x80 | (c >> 6 & 0x3f));
		dst[2] = (char)(0x80 | (c & 0x3f));
		return 3;
	}
	dst[0] = (char)(0xf0 | c >> 18);
	dst[1] = (char)(0x80 | (c >> 12 & 0x3f));
	dst[2] = (char)(0x80 | (c >> 6 & 0x3f));
	dst[3] = (char)(0x80 | (c & 0x3f));
	return 4;
}
