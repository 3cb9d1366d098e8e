// SPDX-License-Identifier: Apache-2.0
// The cache in this process. 64 shards, each with a lock that is held for some hundred nanoseconds; tables of fixed size, so that nothing is
// ever moved at once; one budget of bytes over all, and a second chance for what was used since it was last looked at.
#include <pthread.h>
#include <stdlib.h>

#include "cache/private.h"

#define SHARDS 64
#define BYTES_DEFAULT ((size_t)64 << 20)
#define BYTES_MIN ((size_t)1 << 20)
#define BYTES_PER_BUCKET 256
#define EVICT_MAX 4096     // for one operation, which is then not kept: some 0.5 ms
#define SHARDS_ASKED 4     // which of them has the most gives room
#define SECOND_CHANCES 8   // for one eviction
#define SWEEP_MS 100       // how often ended things are looked for
#define SWEEP_BUCKETS 256  // under one lock
#define SWEEP_NS 200000    // of a turn
#define MALLOC_OVERHEAD 16 // of a block, about
#define NS_PER_MS 1000000
#define CACHE_LINE 64
#define VALUE_PART 4 // of the budget: a larger value is refused

struct slot {
	enum quota_kind kind;
	uint64_t period, rate;
	struct meter_state state;
};

// One block: key, then value or slots.
struct item {
	struct item *next;      // of the bucket
	struct list_node clock; // of the shard, the next to go first
	uint64_t hash;
	int64_t ends_ns; // monotonic
	size_t size;     // of the block, as it is counted
	size_t value_n;
	uint32_t key_n;
	atomic_uint refs;             // of the table, and of loops whose caller looks at the value
	uint8_t slot_count, slot_max; // a counter has some, a value none
	bool touched;
	_Alignas(struct slot) char bytes[]; // slots, key, value
};

struct shard {
	pthread_mutex_t lock;
	struct item **buckets;
	struct list clock;
	atomic_uint count;      // of it, for those who do not have the lock
	char apart[CACHE_LINE]; // threads do not share lines
};

struct loop_state {
	struct item *held; // whose value the caller sees until the loop's next operation
	char apart[CACHE_LINE];
};

struct cache_memory {
	struct cache *cache;
	struct hash_seed seed;
	size_t limit, bucket_count; // of a shard, a power of two
	atomic_size_t used, items;
	atomic_uint hand; // the shard that gives room next
	atomic_uint_fast64_t evictions;
	struct item **buckets; // of all shards
	struct timer *timer;
	size_t sweep_at;
	unsigned loop_count;
	struct loop_state *loops;
	struct shard shards[SHARDS];
};

// --- Items -------------------------------------------------------------------------------------------

static struct slot *slots_of(struct item *item)
{
	return (struct slot *)(void *)item->bytes;
}

static struct slice key_of(struct item *item)
{
	return ms_slice(item->bytes + item->slot_max * sizeof(struct slot), item->key_n);
}

static struct slice value_of(struct item *item)
{
	struct slice key = key_of(item);
	return ms_slice(key.p + key.n, item->value_n);
}

static size_t size_of(struct slice key, struct slice value, size_t slots)
{
	size_t n = sizeof(struct item) + slots * sizeof(struct slot) + key.n + value.n + MALLOC_OVERHEAD;
	return (n + 15) & ~(size_t)15;
}

// Not counted yet: `size` is what is to be reserved.
static struct item *item_new(uint64_t hash, struct slice key, struct slice value, size_t slots)
{
	struct item *item = malloc(sizeof(*item) + slots * sizeof(struct slot) + key.n + value.n);
	if (item == NULL)
		return NULL;
	*item = (struct item){.hash = hash,
			      .size = size_of(key, value, slots),
			      .value_n = value.n,
			      .key_n = (uint32_t)key.n,
			      .slot_count = (uint8_t)slots,
			      .slot_max = (uint8_t)slots};
	atomic_init(&item->refs, 1);
	char *p = item->bytes + slots * sizeof(struct slot);
	if (key.n > 0)
		memcpy(p, key.p, key.n);
	if (value.n > 0)
		memcpy(p + key.n, value.p, value.n);
	return item;
}

static void item_unref(struct cache_memory *m, struct item *item)
{
	if (item == NULL || atomic_fetch_sub(&item->refs, 1) != 1)
		return;
	atomic_fetch_sub(&m->used, item->size);
	free(item);
}

static void items_unref(struct cache_memory *m, struct item *first)
{
	while (first != NULL) {
		struct item *next = first->next;
		item_unref(m, first);
		first = next;
	}
}

// --- Shards: with the lock held ----------------------------------------------------------------------

static struct shard *shard_of(struct cache_memory *m, uint64_t hash)
{
	return &m->shards[hash >> 58];
}

static struct item **find(struct cache_memory *m, struct shard *shard, uint64_t hash, struct slice key)
{
	struct item **at = &shard->buckets[hash & (m->bucket_count - 1)];
	while (*at != NULL && !((*at)->hash == hash && ms_slice_eq(key_of(*at), key)))
		at = &(*at)->next;
	return at;
}

// The table's reference is the caller's now.
static struct item *unlink_at(struct cache_memory *m, struct shard *shard, struct item **at)
{
	struct item *item = *at;
	*at = item->next;
	item->next = NULL;
	ms_list_remove(&shard->clock, &item->clock);
	atomic_fetch_sub(&shard->count, 1);
	atomic_fetch_sub(&m->items, 1);
	return item;
}

static void link_item(struct cache_memory *m, struct shard *shard, struct item *item)
{
	struct item **bucket = &shard->buckets[item->hash & (m->bucket_count - 1)];
	item->next = *bucket;
	*bucket = item;
	ms_list_append(&shard->clock, &item->clock);
	atomic_fetch_add(&shard->count, 1);
	atomic_fetch_add(&m->items, 1);
}

// --- Room --------------------------------------------------------------------------------------------

static bool evict_from(struct cache_memory *m, struct shard *shard)
{
	struct item *item = NULL;
	pthread_mutex_lock(&shard->lock);
	for (unsigned chances = 0; !ms_list_empty(&shard->clock); chances++) {
		struct item *first = MS_CONTAINER_OF(ms_list_first(&shard->clock), struct item, clock);
		if (first->touched && chances < SECOND_CHANCES) {
			first->touched = false;
			ms_list_remove(&shard->clock, &first->clock);
			ms_list_append(&shard->clock, &first->clock);
			continue;
		}
		item = unlink_at(m, shard, find(m, shard, first->hash, key_of(first)));
		break;
	}
	pthread_mutex_unlock(&shard->lock);
	if (item == NULL)
		return false;
	atomic_fetch_add(&m->evictions, 1);
	item_unref(m, item);
	return true;
}

// Shards in turn would do if each got as many as it gave; what comes by chance would empty some of them, and what is in use there would go too early.
static struct shard *fullest_of_some(struct cache_memory *m)
{
	unsigned at = atomic_fetch_add(&m->hand, SHARDS_ASKED), most = 0;
	struct shard *fullest = &m->shards[at % SHARDS];
	for (unsigned i = 0; i < SHARDS_ASKED; i++) {
		// Neighbours of now are not those of the next round.
		struct shard *shard = &m->shards[(at + i + at / SHARDS * i) % SHARDS];
		unsigned count = atomic_load_explicit(&shard->count, memory_order_relaxed);
		if (count > most) {
			most = count;
			fullest = shard;
		}
	}
	return fullest;
}

// Counts `size` bytes as used, and makes room for them. No lock is held. False: too much would have to go at once.
static bool reserve(struct cache_memory *m, size_t size)
{
	unsigned empty = 0;
	atomic_fetch_add(&m->used, size);
	for (unsigned n = 0; atomic_load(&m->used) > m->limit; n++) {
		if (n == EVICT_MAX || empty == SHARDS) {
			atomic_fetch_sub(&m->used, size);
			return false;
		}
		empty = evict_from(m, fullest_of_some(m)) ? 0 : empty + 1;
	}
	return true;
}

// --- Values ------------------------------------------------------------------------------------------

static struct loop_state *state_of(struct cache_memory *m, struct loop *loop)
{
	return &m->loops[ms_loop_index(loop)];
}

static void hold(struct cache_memory *m, struct loop *loop, struct item *item, struct cache_op *op)
{
	op->found = true;
	op->value = value_of(item);
	state_of(m, loop)->held = item;
}

// What is there and has not ended, with a reference for the caller; NULL: nothing. A counter is no value: MS_ERR_CACHE.
static struct item *get(struct cache_memory *m, struct shard *shard, uint64_t hash, struct cache_op *op, int64_t now_ns)
{
	struct item *ended = NULL, *item = NULL;
	pthread_mutex_lock(&shard->lock);
	struct item **at = find(m, shard, hash, op->key);
	if (*at != NULL && (*at)->ends_ns <= now_ns) {
		ended = unlink_at(m, shard, at);
	} else if (*at != NULL && (*at)->slot_max > 0) {
		op->err = MS_ERR_CACHE;
	} else if (*at != NULL) {
		item = *at;
		item->touched = true;
		atomic_fetch_add(&item->refs, 1);
	}
	pthread_mutex_unlock(&shard->lock);
	item_unref(m, ended);
	return item;
}

static int64_t end_of(int64_t now_ns, uint64_t ttl_ms)
{
	return now_ns + (int64_t)MS_MIN(ttl_ms, CACHE_TTL_MAX_MS / 2) * NS_PER_MS;
}

// SET replaces; ADD takes what is there in place of it.
static void put(struct cache_memory *m, struct loop *loop, struct shard *shard, uint64_t hash, struct cache_op *op)
{
	int64_t now_ns = ms_loop_now_ns(loop);
	if (size_of(op->key, op->value, 0) > m->limit / VALUE_PART) {
		op->err = MS_ERR_LIMIT;
		return;
	}
	struct item *fresh = item_new(hash, op->key, op->value, 0), *old = NULL, *there = NULL;
	if (fresh == NULL) {
		op->err = MS_ERR_NO_MEMORY;
		return;
	}
	if (!reserve(m, fresh->size)) {
		free(fresh); // as if it had gone at once
		atomic_fetch_add(&m->evictions, 1);
		return;
	}
	fresh->ends_ns = end_of(now_ns, op->ttl_ms);
	pthread_mutex_lock(&shard->lock);
	struct item **at = find(m, shard, hash, op->key);
	if (op->verb == CACHE_ADD && *at != NULL && (*at)->ends_ns > now_ns) {
		there = *at; // somebody was faster since the caller looked
		if (there->slot_max > 0)
			op->err = MS_ERR_CACHE;
		else
			atomic_fetch_add(&there->refs, 1);
	} else {
		old = *at != NULL ? unlink_at(m, shard, at) : NULL;
		link_item(m, shard, fresh);
		fresh = NULL;
	}
	pthread_mutex_unlock(&shard->lock);
	item_unref(m, old);
	item_unref(m, fresh);
	if (there != NULL && op->err == MS_OK)
		hold(m, loop, there, op);
}

static void add(struct cache_memory *m, struct loop *loop, struct shard *shard, uint64_t hash, struct cache_op *op)
{
	struct item *item = get(m, shard, hash, op, ms_loop_now_ns(loop));
	if (item != NULL)
		hold(m, loop, item, op);
	else if (op->err == MS_OK)
		put(m, loop, shard, hash, op);
}

static void take_away(struct cache_memory *m, struct loop *loop, struct shard *shard, uint64_t hash,
		      struct cache_op *op)
{
	struct item *item = NULL;
	pthread_mutex_lock(&shard->lock);
	struct item **at = find(m, shard, hash, op->key);
	if (*at != NULL) {
		item = unlink_at(m, shard, at);
		op->found = item->ends_ns > ms_loop_now_ns(loop);
	}
	pthread_mutex_unlock(&shard->lock);
	item_unref(m, item);
}

// --- Counters ----------------------------------------------------------------------------------------

static bool same_shape(const struct slot *slot, const struct meter *meter)
{
	return slot->kind == meter->kind && slot->period == meter->period && slot->rate == meter->rate;
}

static void read_states(struct item *item, const struct meter *meters, size_t count, struct meter_state *states)
{
	const struct slot *slots = slots_of(item);
	for (size_t i = 0; i < count; i++) {
		if (i < item->slot_count && same_shape(&slots[i], &meters[i])) {
			states[i] = slots[i].state;
			continue;
		}
		for (size_t k = 0; k < item->slot_count; k++) {
			if (same_shape(&slots[k], &meters[i]))
				states[i] = slots[k].state;
		}
	}
}

static void write_states(struct item *item, const struct meter *meters, size_t count, const struct meter_state *states)
{
	struct slot *slots = slots_of(item);
	for (size_t i = 0; i < count; i++)
		slots[i] = (struct slot){meters[i].kind, meters[i].period, meters[i].rate, states[i]};
	item->slot_count = (uint8_t)count;
}

static int64_t wall_ms(const struct cache_memory *m, struct loop *loop)
{
	int64_t fixed = atomic_load_explicit(&m->cache->test_now_ms, memory_order_relaxed);
	return fixed != 0 ? fixed : ms_loop_wall_ns(loop) / NS_PER_MS;
}

// With the lock held. `ret_old` is to be released after it; true: an item was made, and room for it has to be found.
static bool count_in(struct cache_memory *m, struct shard *shard, uint64_t hash, struct cache_op *op,
		     const struct meter *meters, struct loop *loop, struct item **ret_old)
{
	struct meter_state states[MS_CACHE_QUOTAS_MAX] = {{0}};
	uint64_t keep_ms;
	int64_t now_ns = ms_loop_now_ns(loop);
	struct item **at = find(m, shard, hash, op->key), *item = *at;
	bool is_value = item != NULL && item->slot_max == 0;
	if (is_value && item->ends_ns > now_ns) {
		op->err = MS_ERR_CACHE;
		return false;
	}
	if (item != NULL && !is_value)
		read_states(item, meters, op->quota_count, states);
	op->admitted =
		ms_meters_take(meters, states, op->quota_count, op->cost, wall_ms(m, loop), op->results, &keep_ms);
	if (item != NULL)
		item->touched = true;
	if (!op->admitted || op->cost == 0)
		return false;
	bool made = item == NULL || item->slot_max < op->quota_count;
	if (made) {
		if ((item = item_new(hash, op->key, MS_SLICE_EMPTY, op->quota_count)) == NULL) {
			op->err = MS_ERR_NO_MEMORY;
			return false;
		}
		*ret_old = *at != NULL ? unlink_at(m, shard, at) : NULL;
		link_item(m, shard, item);
		atomic_fetch_add(&m->used, item->size);
	}
	write_states(item, meters, op->quota_count, states);
	// The wall clock counts, and the two clocks do not run equally fast: an eighth longer.
	keep_ms = MS_MIN(keep_ms, CACHE_TTL_MAX_MS / 4);
	item->ends_ns = end_of(now_ns, keep_ms + keep_ms / 8 + 1000);
	return made;
}

static void take(struct cache_memory *m, struct loop *loop, struct shard *shard, uint64_t hash, struct cache_op *op,
		 const struct meter *meters)
{
	struct item *old = NULL;
	pthread_mutex_lock(&shard->lock);
	bool made = count_in(m, shard, hash, op, meters, loop, &old);
	pthread_mutex_unlock(&shard->lock);
	item_unref(m, old);
	// The new counter is at the end of its shard's clock: others go before it.
	if (made && !reserve(m, 0))
		ms_log(m->cache->log, LOG_DEBUG, "the cache has no room for its counters");
}

// --- Sweeping and clearing ---------------------------------------------------------------------------

// Unlinks what has ended, and with `prefix` what begins with it, of `SWEEP_BUCKETS` buckets from *at on, which goes on.
static void sweep_some(struct cache_memory *m, size_t *at, const struct slice *prefix, int64_t now_ns)
{
	struct shard *shard = &m->shards[*at / m->bucket_count];
	size_t from = *at % m->bucket_count, to = MS_MIN(from + SWEEP_BUCKETS, m->bucket_count);
	struct item *gone = NULL;
	pthread_mutex_lock(&shard->lock);
	for (size_t i = from; i < to; i++) {
		for (struct item **p = &shard->buckets[i]; *p != NULL;) {
			bool goes = (*p)->ends_ns <= now_ns ||
				    (prefix != NULL && ms_slice_starts_with(key_of(*p), *prefix));
			if (!goes) {
				p = &(*p)->next;
				continue;
			}
			struct item *item = unlink_at(m, shard, p);
			item->next = gone;
			gone = item;
		}
	}
	pthread_mutex_unlock(&shard->lock);
	items_unref(m, gone);
	*at += to - from;
}

// Goes on from *at for some time; true when all was seen.
static bool sweep_turn(struct cache_memory *m, size_t *at, const struct slice *prefix)
{
	int64_t begun_ns = ms_clock_mono_ns(), now_ns = begun_ns;
	while (*at < SHARDS * m->bucket_count && now_ns - begun_ns < SWEEP_NS) {
		sweep_some(m, at, prefix, now_ns);
		now_ns = ms_clock_mono_ns();
	}
	return *at >= SHARDS * m->bucket_count;
}

static void on_sweep(struct timer *timer, void *arg)
{
	struct cache_memory *m = arg;
	(void)timer;
	if (atomic_load(&m->items) > 0 && sweep_turn(m, &m->sweep_at, NULL))
		m->sweep_at = 0;
}

// A CLEAR that is under way, a piece every turn of its loop.
struct clear_job {
	struct mail mail;
	struct cache_memory *memory;
	struct loop *loop;
	struct cache_op *op;
	size_t at;
	size_t prefix_n;
	char prefix[MS_CACHE_KEY_MAX];
};

static void on_clear(struct mail *mail)
{
	struct clear_job *job = MS_CONTAINER_OF(mail, struct clear_job, mail);
	struct cache_memory *m = job->memory;
	const struct slice prefix = ms_slice(job->prefix, job->prefix_n);
	bool stopped = atomic_load(&m->cache->stopped);
	if (!stopped && !sweep_turn(m, &job->at, &prefix)) {
		ms_loop_post(job->loop, &job->mail, on_clear);
		return;
	}
	struct cache_op *op = job->op;
	op->err = stopped ? MS_ERR_CANCELLED : MS_OK;
	ms_cache_count(m->cache, job->loop, op, 0);
	free(job);
	op->done(op);
}

static bool clear(struct cache_memory *m, struct loop *loop, struct cache_op *op)
{
	struct clear_job *job = malloc(sizeof(*job));
	if (job == NULL) {
		op->err = MS_ERR_NO_MEMORY;
		return true;
	}
	*job = (struct clear_job){.memory = m, .loop = loop, .op = op, .prefix_n = op->key.n};
	if (op->key.n > 0)
		memcpy(job->prefix, op->key.p, op->key.n);
	ms_loop_post(loop, &job->mail, on_clear);
	return false;
}

// --- The driver --------------------------------------------------------------------------------------

bool ms_cache_memory_run(struct cache_memory *m, struct loop *loop, struct cache_op *op, const struct meter *meters)
{
	uint64_t hash = ms_hash(op->key, m->seed);
	struct shard *shard = shard_of(m, hash);
	struct loop_state *state = state_of(m, loop);
	struct item *item, *before = state->held;
	state->held = NULL;
	switch (op->verb) {
	case CACHE_GET:
		if ((item = get(m, shard, hash, op, ms_loop_now_ns(loop))) != NULL)
			hold(m, loop, item, op);
		break;
	case CACHE_SET:
		put(m, loop, shard, hash, op);
		break;
	case CACHE_ADD:
		add(m, loop, shard, hash, op);
		break;
	case CACHE_REMOVE:
		take_away(m, loop, shard, hash, op);
		break;
	case CACHE_TAKE:
		take(m, loop, shard, hash, op, meters);
		break;
	case CACHE_CLEAR:
		item_unref(m, before);
		return clear(m, loop, op);
	}
	item_unref(m, before); // only now: it may have been what was to be set
	return true;
}

struct cache_memory_figures ms_cache_memory_figures(struct cache_memory *m)
{
	return (struct cache_memory_figures){atomic_load(&m->used), atomic_load(&m->items), atomic_load(&m->evictions)};
}

static size_t buckets_for(size_t limit)
{
	size_t count = 16;
	while (count < limit / SHARDS / BYTES_PER_BUCKET)
		count *= 2;
	return count;
}

enum ms_err ms_cache_memory_new(struct cache *cache, const struct cache_options *options, struct errinfo *info,
				struct cache_memory **ret_memory)
{
	size_t limit = options->memory_bytes > 0 ? options->memory_bytes : BYTES_DEFAULT;
	struct cache_memory *m = malloc(sizeof(*m));
	if (m == NULL)
		return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory for the cache");
	*m = (struct cache_memory){.cache = cache,
				   .seed = ms_random_hash_seed(),
				   .limit = MS_MAX(limit, BYTES_MIN),
				   .loop_count = ms_rt_loop_count(options->rt)};
	m->bucket_count = buckets_for(m->limit);
	m->buckets = calloc(SHARDS * m->bucket_count, sizeof(*m->buckets));
	m->loops = calloc(m->loop_count, sizeof(*m->loops));
	for (size_t i = 0; i < SHARDS; i++) {
		struct shard *shard = &m->shards[i];
		shard->buckets = m->buckets != NULL ? m->buckets + i * m->bucket_count : NULL;
		ms_list_init(&shard->clock);
		pthread_mutex_init(&shard->lock, NULL); // cannot fail without attributes
	}
	atomic_store(&m->used, SHARDS * m->bucket_count * sizeof(*m->buckets));
	if (m->buckets == NULL || m->loops == NULL ||
	    ms_timer_new(ms_rt_loop(options->rt, 0), on_sweep, m, &m->timer) != MS_OK) {
		ms_cache_memory_free(m);
		return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory for the cache");
	}
	ms_timer_start(m->timer, SWEEP_MS, SWEEP_MS);
	*ret_memory = m;
	return MS_OK;
}

void ms_cache_memory_stop(struct cache_memory *m)
{
	ms_timer_free(m->timer);
	m->timer = NULL;
}

void ms_cache_memory_free(struct cache_memory *m)
{
	if (m == NULL)
		return;
	MS_ASSERT(m->timer == NULL); // ms_cache_stop was called
	for (size_t i = 0; i < SHARDS; i++) {
		struct shard *shard = &m->shards[i];
		for (struct list_node *node; (node = ms_list_pop(&shard->clock)) != NULL;)
			item_unref(m, MS_CONTAINER_OF(node, struct item, clock));
		pthread_mutex_destroy(&shard->lock);
	}
	for (unsigned i = 0; m->loops != NULL && i < m->loop_count; i++)
		item_unref(m, m->loops[i].held);
	free(m->loops);
	free(m->buckets);
	free(m);
}
