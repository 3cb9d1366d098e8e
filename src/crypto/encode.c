// SPDX-License-Identifier: Apache-2.0
// RFC 4648. Decoders refuse every text but the one that stands for the value.
#include "crypto/crypto.h"
#include "crypto/internal.h"

#define LETTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
static const char alphabet64[] = LETTERS "+/";
static const char alphabet64url[] = LETTERS "-_";

// Values of the digits of RFC 4648 tables 1 and 2; what is none has the high bit set. Digits 62 and 63 are those of all variants
// together: decode64_to says which count.
#define NONE4 128, 128, 128, 128
#define NONE16 NONE4, NONE4, NONE4, NONE4
static const uint8_t values64[256] = {
	NONE16, NONE16, 128,    128,    128,    128,    128,    128,    128,    128,    128, 128, 128, 62,  128, 62,
	62,     63,     52,     53,     54,     55,     56,     57,     58,     59,     60,  61,  128, 128, 128, 128,
	128,    128,    128,    0,      1,      2,      3,      4,      5,      6,      7,   8,   9,   10,  11,  12,
	13,     14,     15,     16,     17,     18,     19,     20,     21,     22,     23,  24,  25,  128, 128, 128,
	128,    63,     128,    26,     27,     28,     29,     30,     31,     32,     33,  34,  35,  36,  37,  38,
	39,     40,     41,     42,     43,     44,     45,     46,     47,     48,     49,  50,  51,  128, 128, 128,
	128,    128,    NONE16, NONE16, NONE16, NONE16, NONE16, NONE16, NONE16, NONE16,
};

// Whether there is a digit that only another variant has.
static bool has_foreign(struct slice text, char plus, char slash)
{
	static const char all[] = {'+', '-', '.', '/', '_'};
	for (size_t i = 0; i < sizeof(all) && text.n > 0; i++) {
		if (all[i] != plus && all[i] != slash && memchr(text.p, all[i], text.n) != NULL)
			return true;
	}
	return false;
}

// Without padding. Bits behind the last byte must be zero, so that each value has one text. Keys pass here as well: no branch and no
// early end depends on a digit's value, only on whether it is one.
static bool decode64_to(struct slice text, char plus, char slash, uint8_t *dst, size_t *ret_n)
{
	if (text.n % 4 == 1)
		return false;
	const uint8_t *p = (const uint8_t *)text.p;
	size_t at = 0, i = 0;
	unsigned bad = 0;
	for (; text.n - i >= 4; i += 4) {
		unsigned a = values64[p[i]], b = values64[p[i + 1]], c = values64[p[i + 2]], d = values64[p[i + 3]];
		bad |= a | b | c | d;
		dst[at++] = (uint8_t)(a << 2 | b >> 4);
		dst[at++] = (uint8_t)(b << 4 | c >> 2);
		dst[at++] = (uint8_t)(c << 6 | d);
	}
	if (text.n - i >= 2) {
		unsigned a = values64[p[i]], b = values64[p[i + 1]], c = text.n - i == 3 ? values64[p[i + 2]] : 0;
		bad |= a | b | c;
		dst[at++] = (uint8_t)(a << 2 | b >> 4);
		if (text.n - i == 3)
			dst[at++] = (uint8_t)(b << 4 | c >> 2);
		unsigned rest = text.n - i == 3 ? c & 3 : b & 15;
		bad |= rest != 0 ? 128 : 0;
	}
	if ((bad & 128) != 0 || has_foreign(text, plus, slash))
		return false;
	*ret_n = at;
	return true;
}

static bool decode64(struct slice text, char plus, char slash, struct arena *arena, struct slice *ret_bytes)
{
	size_t n;
	uint8_t *bytes = ms_arena_alloc(arena, MS_BASE64_DECODED_MAX(text.n));
	if (bytes == NULL || !decode64_to(text, plus, slash, bytes, &n))
		return false;
	*ret_bytes = ms_slice(bytes, n);
	return true;
}

bool ms_base64url_decode_to(struct slice text, uint8_t *dst, size_t *ret_n)
{
	return decode64_to(text, '-', '_', dst, ret_n);
}

bool ms_base64_decode(struct slice text, struct arena *arena, struct slice *ret_bytes)
{
	if (text.n % 4 != 0)
		return false;
	size_t padding = 0;
	while (padding < 2 && padding < text.n && text.p[text.n - 1 - padding] == '=')
		padding++;
	return decode64(ms_slice_sub(text, 0, text.n - padding), '+', '/', arena, ret_bytes);
}

bool ms_base64url_decode(struct slice text, struct arena *arena, struct slice *ret_bytes)
{
	return decode64(text, '-', '_', arena, ret_bytes);
}

bool ms_base64_decode_bare(struct slice text, char plus, struct arena *arena, struct slice *ret_bytes)
{
	return decode64(text, plus, '/', arena, ret_bytes);
}

static void append64(struct buf *out, struct slice bytes, const char *alphabet)
{
	if (!ms_buf_reserve(out, bytes.n / 3 * 4 + 4))
		return;
	char *at = out->p + out->n;
	const uint8_t *p = (const uint8_t *)bytes.p;
	size_t i = 0;
	for (; bytes.n - i >= 3; i += 3) {
		uint32_t group = (uint32_t)p[i] << 16 | (uint32_t)p[i + 1] << 8 | p[i + 2];
		*at++ = alphabet[group >> 18];
		*at++ = alphabet[group >> 12 & 63];
		*at++ = alphabet[group >> 6 & 63];
		*at++ = alphabet[group & 63];
	}
	if (bytes.n - i == 1) {
		*at++ = alphabet[p[i] >> 2];
		*at++ = alphabet[p[i] << 4 & 63];
	} else if (bytes.n - i == 2) {
		*at++ = alphabet[p[i] >> 2];
		*at++ = alphabet[(p[i] << 4 | p[i + 1] >> 4) & 63];
		*at++ = alphabet[p[i + 1] << 2 & 63];
	}
	out->n = (size_t)(at - out->p);
}

void ms_base64_append(struct buf *out, struct slice bytes)
{
	append64(out, bytes, alphabet64);
	if (bytes.n % 3 != 0)
		ms_buf_append(out, "==", 3 - bytes.n % 3);
}

void ms_base64url_append(struct buf *out, struct slice bytes)
{
	append64(out, bytes, alphabet64url);
}

void ms_base64_append_bare(struct buf *out, struct slice bytes)
{
	append64(out, bytes, alphabet64);
}

// --- hex ---

static int digit16(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

bool ms_hex_decode(struct slice text, struct arena *arena, struct slice *ret_bytes)
{
	if (text.n % 2 != 0)
		return false;
	char *bytes = ms_arena_alloc(arena, text.n / 2);
	if (bytes == NULL)
		return false;
	for (size_t i = 0; i < text.n; i += 2) {
		int high = digit16(text.p[i]), low = digit16(text.p[i + 1]);
		if (high < 0 || low < 0)
			return false;
		bytes[i / 2] = (char)(high << 4 | low);
	}
	*ret_bytes = (struct slice){bytes, text.n / 2};
	return true;
}

void ms_hex_append(struct buf *out, struct slice bytes)
{
	static const char digits[] = "0123456789abcdef";
	for (size_t i = 0; i < bytes.n; i++) {
		uint8_t b = (uint8_t)bytes.p[i];
		ms_buf_append(out, (char[]){digits[b >> 4], digits[b & 15]}, 2);
	}
}

// --- base32 ---

static int digit32(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a';
	return c >= '2' && c <= '7' ? c - '2' + 26 : -1;
}

bool ms_base32_decode(struct slice text, struct arena *arena, struct slice *ret_bytes)
{
	size_t n = text.n;
	while (n > 0 && text.p[n - 1] == '=')
		n--;
	// Whole groups of eight when padded; 1, 3 and 6 digits of a group hold no whole number of bytes.
	if (n != text.n && (text.n % 8 != 0 || text.n - n > 6))
		return false;
	if (n % 8 == 1 || n % 8 == 3 || n % 8 == 6)
		return false;
	char *bytes = ms_arena_alloc(arena, n * 5 / 8);
	if (bytes == NULL)
		return false;
	size_t at = 0;
	uint32_t bits = 0;
	unsigned count = 0;
	for (size_t i = 0; i < n; i++) {
		int value = digit32(text.p[i]);
		if (value < 0)
			return false;
		bits = bits << 5 | (uint32_t)value;
		count += 5;
		if (count >= 8) {
			count -= 8;
			bytes[at++] = (char)(bits >> count);
		}
	}
	if ((bits & ((1U << count) - 1)) != 0)
		return false;
	*ret_bytes = (struct slice){bytes, at};
	return true;
}

void ms_base32_append(struct buf *out, struct slice bytes)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
	uint32_t bits = 0;
	unsigned count = 0;
	for (size_t i = 0; i < bytes.n; i++) {
		bits = bits << 8 | (uint8_t)bytes.p[i];
		for (count += 8; count >= 5; count -= 5)
			ms_buf_append_char(out, digits[bits >> (count - 5) & 31]);
	}
	if (count > 0)
		ms_buf_append_char(out, digits[bits << (5 - count) & 31]);
}

// --- CRC-32 ---

uint32_t ms_crc32(struct slice bytes)
{
	// The remainders of the sixteen values of four bits, polynomial 0xedb88320: short texts only, no need for speed.
	static const uint32_t table[16] = {
		0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4, 0x4db26158, 0x5005713c,
		0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c, 0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c,
	};
	uint32_t crc = ~0U;
	for (size_t i = 0; i < bytes.n; i++) {
		crc ^= (uint8_t)bytes.p[i];
		crc = crc >> 4 ^ table[crc & 15];
		crc = crc >> 4 ^ table[crc & 15];
	}
	return ~crc;
}
