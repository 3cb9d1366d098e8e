// SPDX-License-Identifier: Apache-2.0
// Delays between attempts to sign in, for an account, an address, and the two together. Failures count from the moment they are
// decided; past the free ones each attempt is taken as failed when it begins, so that many at once gain nothing.
//
// Who signed in from an address before is judged by his own failures from there alone: strangers who guess at his account, and
// neighbours behind his address, do not delay him. Everyone else waits for the account's delay and for the address's.
//
// One table of a fixed size, a lock held for some 100 ns. Entries that matter least give way: the expired, then those with the fewest
// failures, then the oldest. A name is a 64-bit seeded hash: two that collide share a delay.
#include <pthread.h>
#include <stdlib.h>

#include "auth/internal.h"

#define SECOND_NS 1000000000LL
#define FREE_ACCOUNT 5  // failures before the first delay
#define FREE_ADDRESS 20 // behind one address there may be many people
#define FIRST_DELAY_NS SECOND_NS
#define MAX_DELAY_NS (900 * SECOND_NS)
#define FORGET_NS (24 * 3600 * SECOND_NS)
#define REMEMBER_NS (30 * 24 * 3600 * SECOND_NS)
#define WAYS 8

struct entry {
	uint64_t key;      // 0: free
	int64_t next_ns;   // no attempt before
	int64_t failed_ns; // the newest failure
	int64_t passed_ns; // of pairs: the newest success, 0: none
	uint32_t failures;
};

struct throttle {
	pthread_mutex_t lock;
	struct hash_seed seed;
	struct entry *entries;
	size_t sets; // a power of two
};

enum ms_err ms_throttle_new(size_t entries, struct errinfo *info, struct throttle **ret_throttle)
{
	struct throttle *t = calloc(1, sizeof(*t));
	size_t sets = 1;
	while (sets * WAYS < entries)
		sets *= 2;
	if (t != NULL)
		t->entries = calloc(sets * WAYS, sizeof(t->entries[0]));
	if (t == NULL || t->entries == NULL) {
		free(t);
		return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory");
	}
	t->sets = sets;
	t->seed = ms_random_hash_seed();
	pthread_mutex_init(&t->lock, NULL);
	*ret_throttle = t;
	return MS_OK;
}

void ms_throttle_free(struct throttle *t)
{
	if (t == NULL)
		return;
	pthread_mutex_destroy(&t->lock);
	free(t->entries);
	free(t);
}

// --- Names -------------------------------------------------------------------------------------------

static int hex_of(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

// The first 64 bits of an IPv6 address as net writes it, with or without "::".
static uint64_t network_of(struct slice text)
{
	uint16_t words[8] = {0};
	size_t count = 0, gap = SIZE_MAX, i = 0;
	while (i < text.n && count < 8) {
		if (text.p[i] == ':') {
			if (i + 1 < text.n && text.p[i + 1] == ':')
				gap = count;
			i++;
			continue;
		}
		unsigned value = 0;
		for (; i < text.n && hex_of(text.p[i]) >= 0; i++)
			value = value << 4 | (unsigned)hex_of(text.p[i]);
		words[count++] = (uint16_t)value;
		if (i < text.n && text.p[i] != ':')
			break; // a zone
	}
	uint16_t full[8] = {0};
	size_t head = MS_MIN(gap, count), tail = count - head;
	memcpy(full, words, head * sizeof(words[0]));
	memcpy(full + 8 - tail, words + head, tail * sizeof(words[0]));
	uint64_t high = 0;
	for (size_t w = 0; w < 4; w++)
		high = high << 16 | full[w];
	return high;
}

// One customer of a provider has a whole IPv6 network of 64 bits: it counts as one address.
static struct slice address_name(struct slice address, char dst[32])
{
	size_t dots = ms_slice_find(address, '.');
	if (dots < address.n) { // IPv4, or IPv4 in an IPv6 address
		while (dots > 0 && address.p[dots - 1] != ':')
			dots--;
		return ms_slice_sub(address, dots, SIZE_MAX);
	}
	if (ms_slice_find(address, ':') == address.n)
		return address; // "unix"
	uint64_t network = network_of(address);
	memcpy(dst, "net6", 4);
	memcpy(dst + 4, &network, sizeof(network));
	return ms_slice(dst, 4 + sizeof(network));
}

static uint64_t key_of(const struct throttle *t, char kind, struct slice a, struct slice b)
{
	const uint64_t parts[3] = {(uint64_t)kind, ms_hash(a, t->seed), ms_hash(b, t->seed)};
	uint64_t key = ms_hash(ms_slice(parts, sizeof(parts)), t->seed);
	return key != 0 ? key : 1;
}

struct throttle_keys ms_throttle_keys(const struct throttle *t, struct slice account, struct slice address)
{
	char network[32];
	struct slice name = address_name(address, network);
	return (struct throttle_keys){.account = key_of(t, 'u', account, MS_SLICE_EMPTY),
				      .address = key_of(t, 'a', name, MS_SLICE_EMPTY),
				      .pair = key_of(t, 'p', account, name)};
}

// --- Entries -----------------------------------------------------------------------------------------

static bool is_expired(const struct entry *e, int64_t now_ns)
{
	bool failed = e->failures > 0 && now_ns - e->failed_ns < FORGET_NS;
	bool passed = e->passed_ns != 0 && now_ns - e->passed_ns < REMEMBER_NS;
	return !failed && !passed;
}

static struct entry *find(struct throttle *t, uint64_t key, int64_t now_ns)
{
	struct entry *set = &t->entries[(key & (t->sets - 1)) * WAYS];
	for (size_t i = 0; i < WAYS; i++) {
		if (set[i].key != key)
			continue;
		if (is_expired(&set[i], now_ns)) {
			set[i] = (struct entry){0};
			return NULL;
		}
		if (set[i].failures > 0 && now_ns - set[i].failed_ns >= FORGET_NS)
			set[i].failures = 0;
		return &set[i];
	}
	return NULL;
}

// Whether `a` matters less than `b`.
static bool is_less(const struct entry *a, const struct entry *b)
{
	if (a->failures != b->failures)
		return a->failures < b->failures;
	return MS_MAX(a->failed_ns, a->passed_ns) < MS_MAX(b->failed_ns, b->passed_ns);
}

static struct entry *find_or_make(struct throttle *t, uint64_t key, int64_t now_ns)
{
	struct entry *set = &t->entries[(key & (t->sets - 1)) * WAYS];
	struct entry *e = find(t, key, now_ns), *least = &set[0];
	if (e != NULL)
		return e;
	for (size_t i = 0; i < WAYS; i++) {
		if (set[i].key == 0 || is_expired(&set[i], now_ns)) {
			least = &set[i];
			break;
		}
		if (is_less(&set[i], least))
			least = &set[i];
	}
	*least = (struct entry){.key = key};
	return least;
}

static int64_t delay_of(uint32_t failures, uint32_t free_ones)
{
	if (failures < free_ones)
		return 0;
	uint32_t doublings = MS_MIN(failures - free_ones, 20U);
	return MS_MIN(FIRST_DELAY_NS << doublings, MAX_DELAY_NS);
}

// --- Attempts ----------------------------------------------------------------------------------------

// The names that this attempt is judged by.
struct judges {
	uint64_t keys[2];
	uint32_t free_ones[2];
	size_t count;
};

static struct judges judges_of(struct throttle *t, const struct throttle_keys *keys, int64_t now_ns)
{
	struct entry *pair = find(t, keys->pair, now_ns);
	if (pair != NULL && pair->passed_ns != 0 && now_ns - pair->passed_ns < REMEMBER_NS)
		return (struct judges){.keys = {keys->pair}, .free_ones = {FREE_ACCOUNT}, .count = 1};
	return (struct judges){
		.keys = {keys->account, keys->address}, .free_ones = {FREE_ACCOUNT, FREE_ADDRESS}, .count = 2};
}

static int64_t wait_of(struct throttle *t, const struct judges *judges, int64_t now_ns)
{
	int64_t wait = 0;
	for (size_t i = 0; i < judges->count; i++) {
		const struct entry *e = find(t, judges->keys[i], now_ns);
		if (e != NULL && e->next_ns > now_ns)
			wait = MS_MAX(wait, e->next_ns - now_ns);
	}
	return wait;
}

int64_t ms_throttle_look(struct throttle *t, const struct throttle_keys *keys, int64_t now_ns)
{
	pthread_mutex_lock(&t->lock);
	struct judges judges = judges_of(t, keys, now_ns);
	int64_t wait = wait_of(t, &judges, now_ns);
	pthread_mutex_unlock(&t->lock);
	return wait;
}

int64_t ms_throttle_enter(struct throttle *t, const struct throttle_keys *keys, int64_t now_ns)
{
	pthread_mutex_lock(&t->lock);
	struct judges judges = judges_of(t, keys, now_ns);
	int64_t wait = wait_of(t, &judges, now_ns);
	for (size_t i = 0; wait == 0 && i < judges.count; i++) {
		struct entry *e = find(t, judges.keys[i], now_ns);
		if (e != NULL && e->failures >= judges.free_ones[i])
			e->next_ns = now_ns + delay_of(e->failures + 1, judges.free_ones[i]);
	}
	pthread_mutex_unlock(&t->lock);
	return wait;
}

int64_t ms_throttle_leave(struct throttle *t, const struct throttle_keys *keys, enum throttle_outcome outcome,
			  int64_t now_ns)
{
	int64_t delay = 0;
	pthread_mutex_lock(&t->lock);
	struct judges judges = judges_of(t, keys, now_ns);
	if (outcome == THROTTLE_FAILED) {
		for (size_t i = 0; i < judges.count; i++) {
			struct entry *e = find_or_make(t, judges.keys[i], now_ns);
			e->failures += e->failures < UINT32_MAX;
			e->failed_ns = now_ns;
			int64_t own = delay_of(e->failures, judges.free_ones[i]);
			e->next_ns = MS_MAX(e->next_ns, now_ns + own);
			delay = MS_MAX(delay, own);
		}
	} else {
		// What was taken in advance is given back. The account's and the address's failures stay: a success of the owner says nothing
		// about the strangers.
		for (size_t i = 0; i < judges.count; i++) {
			struct entry *e = find(t, judges.keys[i], now_ns);
			if (e != NULL)
				e->next_ns = MS_MIN(e->next_ns, now_ns);
		}
		if (outcome == THROTTLE_PASSED) {
			struct entry *pair = find_or_make(t, keys->pair, now_ns);
			pair->passed_ns = now_ns != 0 ? now_ns : 1;
			pair->failures = 0;
			pair->next_ns = 0;
		}
	}
	pthread_mutex_unlock(&t->lock);
	return delay;
}

void ms_throttle_remember(struct throttle *t, const struct throttle_keys *keys, int64_t now_ns)
{
	pthread_mutex_lock(&t->lock);
	find_or_make(t, keys->pair, now_ns)->passed_ns = now_ns != 0 ? now_ns : 1;
	pthread_mutex_unlock(&t->lock);
}
