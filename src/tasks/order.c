// SPDX-License-Identifier: Apache-2.0
// In which order tasks run, and when a task's turn is likely to come.
#include <math.h>
#include <stdlib.h>

#include "tasks/predict.h"

#define STRETCH_DEFAULT 30.0
#define PATIENCE_DEFAULT_US (3600 * INT64_C(1000000))
#define PRIORITY_STEP (INT64_C(1) << 42) // milliseconds of 139 years
#define DEADLINE_FAR_US (30 * 86400 * INT64_C(1000000))
#define SLOT_US (8 * INT64_C(1000000))
#define BLOCK_SLOTS 256
#define BLOCKS_MAX 16384
#define P95_SIGMAS 1.645

// --- Order -------------------------------------------------------------------------------------------

static int64_t add(int64_t a, int64_t b)
{
	int64_t sum;
	return MS_ADD_OVERFLOWS(a, b, &sum) ? (b > 0 ? INT64_MAX : INT64_MIN) : sum;
}

int64_t ms_task_order(const struct order_options *options, const struct order_input *in)
{
	double stretch = options->stretch > 0 ? options->stretch : STRETCH_DEFAULT;
	int64_t patience = options->patience_us > 0 ? options->patience_us : PATIENCE_DEFAULT_US;
	switch (options->policy) {
	case POLICY_FIFO:
		return in->ready_us;
	case POLICY_PRIORITY:
		return in->priority * PRIORITY_STEP + in->ready_us / 1000;
	case POLICY_SHORTEST_EXPECTED:
		return add(in->ready_us, (int64_t)fmin((double)in->expected.p50_us * stretch, (double)patience));
	case POLICY_DEADLINE:
		if (in->deadline_us == 0)
			return add(in->ready_us, patience);
		return MS_MIN(add(in->deadline_us, -in->expected.p95_us), add(in->ready_us, DEADLINE_FAR_US));
	}
	MS_ASSERT(false);
	return in->ready_us;
}

// --- Turn --------------------------------------------------------------------------------------------

struct backlog_block {
	int64_t number;
	double mean, variance; // of all its slots, seconds
	double means[BLOCK_SLOTS], variances[BLOCK_SLOTS];
};

void ms_backlog_init(struct backlog *b)
{
	*b = (struct backlog){0};
}

void ms_backlog_fini(struct backlog *b)
{
	for (size_t i = 0; i < b->count; i++)
		free(b->blocks[i]);
	free(b->blocks);
	*b = (struct backlog){0};
}

static int64_t slot_of(int64_t order)
{
	return MS_MAX(order, 0) / SLOT_US;
}

// Index of the first block at or behind that number.
static size_t block_at(const struct backlog *b, int64_t number)
{
	size_t low = 0, high = b->count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (b->blocks[middle]->number < number)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static struct backlog_block *make_block(struct backlog *b, size_t at, int64_t number)
{
	if (b->count == b->room) {
		size_t room = b->room > 0 ? b->room * 2 : 16;
		struct backlog_block **grown =
			room <= BLOCKS_MAX ? realloc(b->blocks, room * sizeof(struct backlog_block *)) : NULL;
		if (grown == NULL)
			return NULL;
		b->blocks = grown;
		b->room = room;
	}
	struct backlog_block *block = calloc(1, sizeof(*block));
	if (block == NULL)
		return NULL;
	block->number = number;
	memmove(b->blocks + at + 1, b->blocks + at, (b->count - at) * sizeof(struct backlog_block *));
	b->blocks[at] = block;
	b->count++;
	return block;
}

// The spread of a kind, from the distance between median and p95 as if it were normal.
static double sigma(const struct prediction *p)
{
	return (double)MS_MAX(p->p95_us - p->p50_us, 0) / 1e6 / P95_SIGMAS;
}

static void change(struct backlog_block *block, int64_t slot, const struct prediction *p, double sign)
{
	double mean = sign * (double)p->mean_us / 1e6, variance = sign * sigma(p) * sigma(p);
	block->means[slot % BLOCK_SLOTS] += mean;
	block->variances[slot % BLOCK_SLOTS] += variance;
	block->mean += mean;
	block->variance += variance;
}

bool ms_backlog_add(struct backlog *b, int64_t order, const struct prediction *p)
{
	int64_t slot = slot_of(order), number = slot / BLOCK_SLOTS;
	size_t at = block_at(b, number);
	struct backlog_block *block =
		at < b->count && b->blocks[at]->number == number ? b->blocks[at] : make_block(b, at, number);
	if (block == NULL)
		return false;
	change(block, slot, p, 1);
	b->tasks++;
	return true;
}

void ms_backlog_remove(struct backlog *b, int64_t order, const struct prediction *p)
{
	int64_t slot = slot_of(order), number = slot / BLOCK_SLOTS;
	size_t at = block_at(b, number);
	MS_ASSERT(b->tasks > 0 && at < b->count && b->blocks[at]->number == number);
	change(b->blocks[at], slot, p, -1);
	if (--b->tasks == 0) // with it goes what rounding left behind
		ms_backlog_fini(b);
}

// Work in front of an order: that of earlier blocks and slots, and half of its own slot's.
static void ahead(const struct backlog *b, int64_t order, double *ret_mean, double *ret_variance)
{
	int64_t slot = slot_of(order), number = slot / BLOCK_SLOTS;
	double mean = 0, variance = 0;
	size_t i = 0;
	for (; i < b->count && b->blocks[i]->number < number; i++) {
		mean += b->blocks[i]->mean;
		variance += b->blocks[i]->variance;
	}
	if (i < b->count && b->blocks[i]->number == number) {
		const struct backlog_block *block = b->blocks[i];
		for (int64_t k = 0; k <= slot % BLOCK_SLOTS; k++) {
			double share = k < slot % BLOCK_SLOTS ? 1 : 0.5;
			mean += share * block->means[k];
			variance += share * block->variances[k];
		}
	}
	*ret_mean = fmax(mean, 0);
	*ret_variance = fmax(variance, 0);
}

void ms_backlog_turn(const struct backlog *b, int64_t order, const struct prediction *p, double running_s,
		     unsigned workers, struct turn *ret)
{
	double mean, variance, n = workers > 0 ? workers : 1;
	ahead(b, order, &mean, &variance);
	double start = (mean + running_s) / n, spread = P95_SIGMAS * sqrt(variance) / n;
	ret->start_p50_us = (int64_t)(start * 1e6);
	ret->start_p95_us = (int64_t)((start + spread) * 1e6);
	ret->finish_p50_us = ret->start_p50_us + p->p50_us;
	// The two spreads are independent: their squares add up.
	double own = (double)MS_MAX(p->p95_us - p->p50_us, 0) / 1e6;
	ret->finish_p95_us = (int64_t)((start + (double)p->p50_us / 1e6 + sqrt(spread * spread + own * own)) * 1e6);
}
