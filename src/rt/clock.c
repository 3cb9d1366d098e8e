// SPDX-License-Identifier: Apache-2.0
// The doors to the clock and to randomness.
#include <errno.h>
#include <sys/random.h>
#include <time.h>

#include "rt/internal.h"

static int64_t read_clock(clockid_t clock)
{
	struct timespec t;
	int rc = clock_gettime(clock, &t);
	MS_ASSERT(rc == 0);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

int64_t ms_clock_mono_ns(void)
{
	return read_clock(CLOCK_MONOTONIC);
}

int64_t ms_clock_wall_ns(void)
{
	return read_clock(CLOCK_REALTIME);
}

void ms_random_bytes(void *dst, size_t n)
{
	char *p = dst;
	while (n > 0) {
		ssize_t got = getrandom(p, n, 0);
		MS_ASSERT(got > 0 || errno == EINTR); // Linux 3.17 and later have it, and it waits for entropy
		if (got > 0) {
			p += got;
			n -= (size_t)got;
		}
	}
}

struct hash_seed ms_random_hash_seed(void)
{
	struct hash_seed seed;
	ms_random_bytes(&seed, sizeof(seed));
	return seed;
}
