// SPDX-License-Identifier: Apache-2.0
// Picking a target: smooth weighted round robin (as nginx does it), least connections, weighted rendezvous hashing (Thaler and Ravishankar;
// weights by Schindelhauer and Schomaker), power of two choices on a peak-sensitive latency average (as Finagle and linkerd do it).
#include <sched.h>
#include <stdlib.h>

#include "gateway/balance_private.h"

#define UPSTREAMS_MAX 100000
#define TARGETS_MAX 100000
#define SPINS 200

struct balancers {
	pthread_mutex_t lock; // plans come and go seldom; never taken for a request
	struct map upstreams;
};

// --- State -------------------------------------------------------------------------------------------

struct balancers *ms_balancers_new(void)
{
	struct balancers *b = calloc(1, sizeof(*b));
	if (b == NULL)
		return NULL;
	pthread_mutex_init(&b->lock, NULL);
	ms_map_init(&b->upstreams, UPSTREAMS_MAX, (struct hash_seed){0});
	return b;
}

void ms_balancers_free(struct balancers *b)
{
	if (b == NULL)
		return;
	MS_ASSERT(b->upstreams.count == 0);
	ms_map_fini(&b->upstreams);
	pthread_mutex_destroy(&b->lock);
	free(b);
}

uint64_t ms_gw_hash(struct slice value)
{
	return ms_hash(value, (struct hash_seed){0x6d61696e73746179, 0x72656e64657a766f});
}

static struct peer *peer_take(struct shared *s, struct slice name, int64_t since_ns)
{
	struct peer *p = ms_map_get(&s->peers, name);
	if (p != NULL) {
		p->refs++;
		return p;
	}
	p = calloc(1, sizeof(*p) + name.n);
	if (p == NULL)
		return NULL;
	memcpy(p->text, name.p, name.n);
	p->name = ms_slice(p->text, name.n);
	p->refs = 1;
	p->hash = ms_gw_hash(name);
	atomic_init(&p->serving_since_ns, since_ns);
	atomic_init(&p->ejected_until_ns, INT64_MIN);
	if (!ms_map_put(&s->peers, p->name, p, NULL)) {
		free(p);
		return NULL;
	}
	return p;
}

static void peer_drop(struct shared *s, struct peer *p)
{
	if (p == NULL || --p->refs > 0)
		return;
	ms_map_remove(&s->peers, p->name);
	free(p);
}

static struct shared *shared_take(struct balancers *home, struct slice name)
{
	struct shared *s = ms_map_get(&home->upstreams, name);
	if (s != NULL) {
		s->refs++;
		return s;
	}
	s = calloc(1, sizeof(*s) + name.n);
	if (s == NULL)
		return NULL;
	memcpy(s->text, name.p, name.n);
	s->name = ms_slice(s->text, name.n);
	s->refs = 1;
	s->home = home;
	atomic_flag_clear(&s->lock);
	ms_map_init(&s->peers, TARGETS_MAX, (struct hash_seed){0});
	if (!ms_map_put(&home->upstreams, s->name, s, NULL)) {
		free(s);
		return NULL;
	}
	return s;
}

static void shared_drop(struct shared *s)
{
	if (s == NULL || --s->refs > 0)
		return;
	ms_map_remove(&s->home->upstreams, s->name);
	ms_map_fini(&s->peers);
	free(s);
}

static void drop_all(struct balancer *b)
{
	for (size_t i = 0; i < b->count; i++)
		peer_drop(b->shared, b->peers[i]);
	shared_drop(b->shared);
}

enum ms_err ms_balancer_new(struct balancers *home, const struct gw_upstream *upstream, int64_t now_ns,
			    struct errinfo *info, struct balancer **ret_balancer)
{
	struct balancer *b = calloc(1, sizeof(*b) + upstream->target_count * sizeof(b->peers[0]));
	bool whole = b != NULL;
	if (b == NULL)
		return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory for upstream '%.*s'",
			       MS_SLICE_ARG(upstream->name));
	b->upstream = upstream;
	pthread_mutex_lock(&home->lock);
	b->shared = shared_take(home, upstream->name);
	// Targets that come to an upstream that works already start slowly; those of a new upstream all start as they are.
	int64_t since_ns = b->shared != NULL && b->shared->peers.count > 0 ? now_ns : INT64_MIN;
	for (size_t i = 0; b->shared != NULL && whole && i < upstream->target_count; i++) {
		b->peers[i] = peer_take(b->shared, upstream->targets[i].target, since_ns);
		b->count++;
		whole = b->peers[i] != NULL;
	}
	if (b->shared == NULL || !whole) {
		if (b->shared != NULL)
			drop_all(b);
		pthread_mutex_unlock(&home->lock);
		free(b);
		return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory for upstream '%.*s'",
			       MS_SLICE_ARG(upstream->name));
	}
	pthread_mutex_unlock(&home->lock);
	*ret_balancer = b;
	return MS_OK;
}

void ms_balancer_free(struct balancer *b)
{
	if (b == NULL)
		return;
	struct balancers *home = b->shared->home;
	pthread_mutex_lock(&home->lock);
	drop_all(b);
	pthread_mutex_unlock(&home->lock);
	free(b);
}

const struct gw_upstream *ms_balancer_upstream(const struct balancer *b)
{
	return b->upstream;
}

// --- Weights -----------------------------------------------------------------------------------------

int64_t ms_peer_weight(const struct balancer *b, size_t target, int64_t now_ns)
{
	const struct gw_upstream *u = b->upstream;
	int64_t weight = (int64_t)u->targets[target].weight * 256;
	int64_t since_ns = atomic_load_explicit(&b->peers[target]->serving_since_ns, memory_order_relaxed);
	if (u->slow_start_s <= 0 || since_ns == INT64_MIN)
		return weight;
	double part = (double)(now_ns - since_ns) / (u->slow_start_s * 1e9);
	if (part >= 1)
		return weight;
	part = part < SLOW_START_LEAST ? SLOW_START_LEAST : part;
	weight = (int64_t)((double)weight * part);
	return weight > 0 ? weight : 1;
}

double ms_balancer_healthy_percent(const struct balancer *b, int64_t now_ns)
{
	uint64_t all = 0, well = 0;
	for (size_t i = 0; i < b->count; i++) {
		const struct gw_target *t = &b->upstream->targets[i];
		if (!ms_target_serves(b->upstream, t))
			continue;
		all += t->weight;
		well += ms_peer_well(b->peers[i], now_ns) ? t->weight : 0;
	}
	return all > 0 ? 100.0 * (double)well / (double)all : 0;
}

// --- Picks -------------------------------------------------------------------------------------------

static void lock(struct shared *s)
{
	unsigned spins = 0;
	while (atomic_flag_test_and_set_explicit(&s->lock, memory_order_acquire)) {
		// The holder looks at a few numbers; only when it lost its core does this take long.
		if (++spins % SPINS == 0)
			sched_yield();
	}
}

static void unlock(struct shared *s)
{
	atomic_flag_clear_explicit(&s->lock, memory_order_release);
}

// Who may be picked: bits of targets that are well. With `again`, those that failed for this request too.
struct choice {
	const struct balancer *b;
	const struct gw_pick_input *in;
	bool again;
};

static bool has_tried(const struct gw_pick_input *in, size_t i)
{
	return in->tried != NULL && (in->tried[i / 64] >> (i % 64) & 1) != 0;
}

static bool may_pick(const struct choice *c, size_t i)
{
	const struct gw_upstream *u = c->b->upstream;
	const struct peer *p = c->b->peers[i];
	return ms_target_serves(u, &u->targets[i]) && ms_peer_well(p, c->in->now_ns) &&
	       (c->again || !has_tried(c->in, i)) &&
	       (u->breaker.max_connections <= 0 ||
		atomic_load_explicit(&p->active, memory_order_relaxed) < (uint64_t)u->breaker.max_connections);
}

// Each turn every target gains its weight; the one that has most is picked and pays all of them. So in each run of
// "sum of weights" picks everybody has exactly his share, spread evenly. `least`: only those with the fewest requests per weight take part.
static size_t pick_by_turn(const struct choice *c, bool least)
{
	const struct balancer *b = c->b;
	size_t best = SIZE_MAX;
	int64_t total = 0;
	double fewest = INFINITY;
	for (size_t i = 0; least && i < b->count; i++) {
		if (may_pick(c, i))
			fewest = fmin(fewest, (double)atomic_load_explicit(&b->peers[i]->active, memory_order_relaxed) /
						      (double)ms_peer_weight(b, i, c->in->now_ns));
	}
	lock(b->shared);
	for (size_t i = 0; i < b->count; i++) {
		if (!may_pick(c, i))
			continue;
		int64_t weight = ms_peer_weight(b, i, c->in->now_ns);
		if (least &&
		    (double)atomic_load_explicit(&b->peers[i]->active, memory_order_relaxed) / (double)weight > fewest)
			continue;
		total += weight;
		b->peers[i]->turn += weight;
		if (best == SIZE_MAX || b->peers[i]->turn > b->peers[best]->turn)
			best = i;
	}
	if (best != SIZE_MAX)
		b->peers[best]->turn -= total;
	unlock(b->shared);
	return best;
}

static uint64_t mix(uint64_t z)
{
	struct rand r = {z};
	return ms_rand_u64(&r);
}

// Weighted rendezvous: each target draws a number from key and name; the best draw wins. A target that goes leaves all keys but its own
// where they are, one that comes takes only its share.
static size_t pick_by_hash(const struct choice *c)
{
	const struct balancer *b = c->b;
	size_t best = SIZE_MAX;
	double best_score = 0;
	for (size_t i = 0; i < b->count; i++) {
		if (!may_pick(c, i))
			continue;
		double draw = ((double)(mix(c->in->hash ^ b->peers[i]->hash) >> 11) + 0.5) * 0x1p-53;
		double score = -log(draw) / (double)b->upstream->targets[i].weight;
		if (best == SIZE_MAX || score < best_score) {
			best = i;
			best_score = score;
		}
	}
	return best;
}

double ms_peer_latency(const struct peer *p, int64_t now_ns)
{
	uint64_t bits = atomic_load_explicit(&p->latency, memory_order_relaxed);
	double latency;
	memcpy(&latency, &bits, sizeof(latency));
	if (latency <= 0)
		return 0;
	int64_t age_ns = now_ns - atomic_load_explicit(&p->latency_ns, memory_order_relaxed);
	return age_ns <= 0 ? latency : latency * exp(-(double)age_ns / (double)LATENCY_DECAY_NS);
}

static double cost(const struct choice *c, size_t i)
{
	const struct peer *p = c->b->peers[i];
	double load = (double)atomic_load_explicit(&p->active, memory_order_relaxed) + 1;
	// A target that nobody knows yet is tried once; while that is under way its load decides.
	double latency = ms_peer_latency(p, c->in->now_ns);
	return (latency > 0 ? latency : 1e-6) * load / (double)ms_peer_weight(c->b, i, c->in->now_ns);
}

static size_t nth(const struct choice *c, size_t n)
{
	for (size_t i = 0; i < c->b->count; i++) {
		if (may_pick(c, i) && n-- == 0)
			return i;
	}
	return SIZE_MAX; // another loop has just changed something
}

static size_t pick_by_latency(const struct choice *c)
{
	size_t count = 0;
	for (size_t i = 0; i < c->b->count; i++)
		count += may_pick(c, i);
	if (count <= 1)
		return nth(c, 0);
	struct rand r = {c->in->random};
	size_t first = (size_t)ms_rand_below(&r, count), second = (size_t)ms_rand_below(&r, count - 1);
	second += second >= first;
	first = nth(c, first);
	second = nth(c, second);
	if (first == SIZE_MAX || second == SIZE_MAX)
		return first == SIZE_MAX ? second : first;
	return cost(c, second) < cost(c, first) ? second : first;
}

static size_t pick_one(const struct choice *c)
{
	if (c->b->count == 1)
		return may_pick(c, 0) ? 0 : SIZE_MAX;
	switch (c->b->upstream->algorithm) {
	case GW_CONSISTENT_HASHING:
		return c->in->has_hash ? pick_by_hash(c) : pick_by_turn(c, false);
	case GW_LEAST_CONNECTIONS: {
		size_t target = pick_by_turn(c, true);
		// None: those with the fewest have just got more from another loop.
		return target != SIZE_MAX ? target : pick_by_turn(c, false);
	}
	case GW_LATENCY:
		return pick_by_latency(c);
	case GW_ROUND_ROBIN:
		break;
	}
	return pick_by_turn(c, false);
}

// A place among at most `max`; false when all are taken. max 0: no limit.
static bool enter(atomic_uint *count, int64_t max)
{
	unsigned before = atomic_fetch_add_explicit(count, 1, memory_order_relaxed);
	if (max <= 0 || before < (uint64_t)max)
		return true;
	atomic_fetch_sub_explicit(count, 1, memory_order_relaxed);
	return false;
}

static void leave(atomic_uint *count)
{
	unsigned before = atomic_fetch_sub_explicit(count, 1, memory_order_relaxed);
	MS_ASSERT(before > 0);
}

// How many retries may be under way at once: a share of all requests, so that retries cannot be what keeps a sick upstream down.
static int64_t retries_allowed(const struct balancer *b)
{
	const struct gw_breaker *k = &b->upstream->breaker;
	double budget = k->retry_budget_percent / 100.0 *
			(double)atomic_load_explicit(&b->shared->active, memory_order_relaxed);
	int64_t floor = k->max_retries > 0 ? k->max_retries : RETRY_FLOOR;
	return budget > (double)floor ? (int64_t)budget : floor;
}

static enum gw_pick_outcome admit(struct balancer *b, bool retry)
{
	const struct gw_breaker *k = &b->upstream->breaker;
	struct shared *s = b->shared;
	if (!enter(&s->active, k->max_requests))
		return GW_PICK_FULL;
	if (!enter(&s->pending, k->max_pending)) {
		leave(&s->active);
		return GW_PICK_FULL;
	}
	if (retry && !enter(&s->retries, retries_allowed(b))) {
		leave(&s->pending);
		leave(&s->active);
		return GW_PICK_BUDGET;
	}
	return GW_PICK_OK;
}

// Why there is none: a breaker, or health.
static enum gw_pick_outcome why_none(const struct balancer *b, int64_t now_ns)
{
	for (size_t i = 0; i < b->count; i++) {
		if (ms_target_serves(b->upstream, &b->upstream->targets[i]) && ms_peer_well(b->peers[i], now_ns))
			return GW_PICK_FULL;
	}
	return GW_PICK_NONE;
}

enum gw_pick_outcome ms_balancer_pick(struct balancer *b, const struct gw_pick_input *input, struct gw_lease *ret_lease)
{
	struct choice choice = {.b = b, .in = input};
	double threshold = b->upstream->health_threshold;
	if (threshold > 0 && ms_balancer_healthy_percent(b, input->now_ns) < threshold)
		return GW_PICK_NONE;
	enum gw_pick_outcome outcome = admit(b, input->retry);
	if (outcome != GW_PICK_OK)
		return outcome;
	size_t target = pick_one(&choice);
	if (target == SIZE_MAX && input->tried != NULL) {
		choice.again = true; // the healthy ones were all tried: once more is better than not at all
		target = pick_one(&choice);
	}
	struct gw_lease lease = {
		.balancer = b, .target = target, .start_ns = input->now_ns, .pending = true, .retry = input->retry};
	if (target == SIZE_MAX) {
		leave(&b->shared->pending);
		leave(&b->shared->active);
		if (input->retry)
			leave(&b->shared->retries);
		return why_none(b, input->now_ns);
	}
	atomic_fetch_add_explicit(&b->peers[target]->active, 1, memory_order_relaxed);
	*ret_lease = lease;
	return GW_PICK_OK;
}

void ms_lease_end(struct gw_lease *lease)
{
	struct balancer *b = lease->balancer;
	if (b == NULL)
		return;
	if (lease->pending)
		leave(&b->shared->pending);
	if (lease->retry)
		leave(&b->shared->retries);
	leave(&b->peers[lease->target]->active);
	leave(&b->shared->active);
	lease->balancer = NULL;
}
