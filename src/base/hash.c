// SPDX-License-Identifier: Apache-2.0
#include "base/hash.h"

#define ROTL(x, b) (((x) << (b)) | ((x) >> (64 - (b))))

struct sip {
	uint64_t v0, v1, v2, v3;
};

static inline void sip_round(struct sip *s)
{
	s->v0 += s->v1;
	s->v1 = ROTL(s->v1, 13) ^ s->v0;
	s->v0 = ROTL(s->v0, 32);
	s->v2 += s->v3;
	s->v3 = ROTL(s->v3, 16) ^ s->v2;
	s->v0 += s->v3;
	s->v3 = ROTL(s->v3, 21) ^ s->v0;
	s->v2 += s->v1;
	s->v1 = ROTL(s->v1, 17) ^ s->v2;
	s->v2 = ROTL(s->v2, 32);
}

uint64_t ms_hash(struct slice key, struct hash_seed seed)
{
	struct sip s = {
		seed.k0 ^ 0x736f6d6570736575ULL,
		seed.k1 ^ 0x646f72616e646f6dULL,
		seed.k0 ^ 0x6c7967656e657261ULL,
		seed.k1 ^ 0x7465646279746573ULL,
	};
	const unsigned char *p = (const unsigned char *)key.p;
	size_t left = key.n;
	for (; left >= 8; left -= 8, p += 8) {
		uint64_t word;
		memcpy(&word, p, 8);
		s.v3 ^= word;
		sip_round(&s);
		s.v0 ^= word;
	}
	uint64_t last = (uint64_t)(key.n & 0xff) << 56;
	for (size_t i = 0; i < left; i++)
		last |= (uint64_t)p[i] << (8 * i);
	s.v3 ^= last;
	sip_round(&s);
	s.v0 ^= last;
	s.v2 ^= 0xff;
	for (int i = 0; i < 3; i++)
		sip_round(&s);
	return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}
