// SPDX-License-Identifier: Apache-2.0
#include "model/catboost_hash.h"

#include <string.h>

static const uint64_t K0 = 0xc3a5c85c97cb3127;
static const uint64_t K1 = 0xb492b66fbe98f273;
static const uint64_t K2 = 0x9ae16a3b2f90404f;
static const uint64_t K3 = 0xc949d7c7509e6557;

struct pair {
	uint64_t first;
	uint64_t second;
};

// Little-endian, whatever the machine.
static uint64_t load64(const char *p)
{
	uint64_t v;
	memcpy(&v, p, sizeof(v));
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
	v = __builtin_bswap64(v);
#endif
	return v;
}

static uint64_t load32(const char *p)
{
	uint32_t v;
	memcpy(&v, p, sizeof(v));
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
	v = __builtin_bswap32(v);
#endif
	return v;
}

// 0 < bits < 64.
static uint64_t rotate_right(uint64_t v, unsigned bits)
{
	return v >> bits | v << (64 - bits);
}

static uint64_t fold(uint64_t v)
{
	return v ^ v >> 47;
}

static uint64_t combine(uint64_t a, uint64_t b)
{
	static const uint64_t factor = 0x9ddfea08eb382d69;
	uint64_t x = fold((a ^ b) * factor);
	return fold((b ^ x) * factor) * factor;
}

static uint64_t hash_upto_16(const char *s, size_t n)
{
	if (n > 8) {
		uint64_t head = load64(s);
		uint64_t tail = load64(s + n - 8);
		return combine(head, rotate_right(tail + n, (unsigned)n)) ^ tail;
	}
	if (n >= 4)
		return combine(n + (load32(s) << 3), load32(s + n - 4));
	if (n == 0)
		return K2;
	uint32_t low = (uint32_t)(unsigned char)s[0] + ((uint32_t)(unsigned char)s[n / 2] << 8);
	uint32_t high = (uint32_t)n + ((uint32_t)(unsigned char)s[n - 1] << 2);
	return fold((low * K2) ^ (high * K3)) * K2;
}

static uint64_t hash_upto_32(const char *s, size_t n)
{
	uint64_t a = load64(s) * K1;
	uint64_t b = load64(s + 8);
	uint64_t c = load64(s + n - 8) * K2;
	uint64_t d = load64(s + n - 16) * K0;
	return combine(rotate_right(a - b, 43) + rotate_right(c, 30) + d, a + rotate_right(b ^ K3, 20) - c + n);
}

// Mixes the 32 bytes at `s` into (a, b).
static struct pair mix_32(const char *s, uint64_t a, uint64_t b)
{
	uint64_t last = load64(s + 24);
	a += load64(s);
	b = rotate_right(a + b + last, 21);
	uint64_t before = a;
	a += load64(s + 8) + load64(s + 16);
	return (struct pair){a + last, before + b + rotate_right(a, 44)};
}

// One half of a text of 33 to 64 bytes.
static struct pair half_of_64(uint64_t a, uint64_t z, uint64_t w1, uint64_t w2)
{
	uint64_t b = rotate_right(a + z, 52);
	uint64_t c = rotate_right(a, 37);
	a += w1;
	c += rotate_right(a, 7);
	a += w2;
	return (struct pair){a + z, b + c + rotate_right(a, 31)};
}

static uint64_t hash_upto_64(const char *s, size_t n)
{
	uint64_t a = load64(s) + (n + load64(s + n - 16)) * K0;
	struct pair v = half_of_64(a, load64(s + 24), load64(s + 8), load64(s + 16));
	a = load64(s + 16) + load64(s + n - 32);
	struct pair w = half_of_64(a, load64(s + n - 8), load64(s + n - 24), load64(s + n - 16));
	uint64_t r = fold((v.first + w.second) * K2 + (w.first + v.second) * K0);
	return fold(r * K0 + v.second) * K2;
}

static uint64_t hash_long(const char *s, size_t n)
{
	// The end first; then blocks of 64 bytes from the start, which overlap it.
	uint64_t y = load64(s + n - 16) ^ K1;
	uint64_t z = load64(s + n - 56) ^ K0;
	struct pair v = mix_32(s + n - 64, n, y);
	struct pair w = mix_32(s + n - 32, n * K1, K0);
	z += fold(v.second) * K1;
	uint64_t x = rotate_right(z + load64(s), 39) * K1;
	y = rotate_right(y, 33) * K1;
	for (const char *end = s + ((n - 1) & ~(size_t)63); s < end; s += 64) {
		x = rotate_right(x + y + v.first + load64(s + 16), 37) * K1;
		y = rotate_right(y + v.second + load64(s + 48), 42) * K1;
		x ^= w.second;
		y ^= v.first;
		z = rotate_right(z ^ w.first, 33);
		v = mix_32(s, v.second * K1, x + w.first);
		w = mix_32(s + 32, z + w.second, y);
		uint64_t old_x = x;
		x = z;
		z = old_x;
	}
	return combine(combine(v.first, w.first) + fold(y) * K1 + z, combine(v.second, w.second) + x);
}

uint64_t ms_city_hash64(struct slice text)
{
	if (text.n <= 16)
		return hash_upto_16(text.p, text.n);
	if (text.n <= 32)
		return hash_upto_32(text.p, text.n);
	if (text.n <= 64)
		return hash_upto_64(text.p, text.n);
	return hash_long(text.p, text.n);
}
