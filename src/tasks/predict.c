// SPDX-License-Identifier: Apache-2.0
#include "tasks/predict.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define PER_OCTAVE 4
#define MEMORY_RUNS 300.0 // the weight of a run falls by e in as many further ones
#define STEP_MAX 1e12
#define KINDS_DEFAULT 4096
#define TRUSTED_DEFAULT 20
#define GUESS_US 1000000 // of a task of which nothing is known
#define GUESS_SPREAD 10
#define SIZE_CLASSES 65
#define NAME_MAX_BYTES 128
#define CLASS_MAX_BYTES 64
#define KEY_MAX (NAME_MAX_BYTES + CLASS_MAX_BYTES + 8)

// --- Distribution ------------------------------------------------------------------------------------

static double bucket_floor(size_t i)
{
	return RUNTIME_MIN_US * exp2((double)i / PER_OCTAVE);
}

static size_t bucket_of(int64_t run_us)
{
	if (run_us <= RUNTIME_MIN_US)
		return 0;
	double i = floor(log2((double)run_us / RUNTIME_MIN_US) * PER_OCTAVE);
	return (size_t)MS_MIN(i, (double)(RUNTIME_BUCKETS - 1));
}

void ms_runtimes_add(struct runtimes *r, int64_t run_us)
{
	if (r->step <= 0)
		r->step = 1;
	r->weights[bucket_of(MS_MAX(run_us, 0))] += r->step;
	r->count++;
	r->step *= 1 + 1 / MEMORY_RUNS;
	if (r->step < STEP_MAX)
		return;
	for (size_t i = 0; i < RUNTIME_BUCKETS; i++)
		r->weights[i] /= r->step;
	r->step = 1;
}

static double sum(const struct runtimes *r)
{
	double total = 0;
	for (size_t i = 0; i < RUNTIME_BUCKETS; i++)
		total += r->weights[i];
	return total;
}

int64_t ms_runtimes_quantile(const struct runtimes *r, double q)
{
	double left = sum(r) * q;
	for (size_t i = 0; i < RUNTIME_BUCKETS; i++) {
		if (r->weights[i] > 0 && left <= r->weights[i])
			return (int64_t)(bucket_floor(i) * exp2(left / r->weights[i] / PER_OCTAVE));
		left -= r->weights[i];
	}
	return r->count > 0 ? (int64_t)bucket_floor(RUNTIME_BUCKETS) : 0; // what rounding left over
}

int64_t ms_runtimes_mean(const struct runtimes *r)
{
	double total = sum(r), mean = 0;
	for (size_t i = 0; i < RUNTIME_BUCKETS; i++)
		mean += r->weights[i] * bucket_floor(i) * exp2(0.5 / PER_OCTAVE);
	return total > 0 ? (int64_t)(mean / total) : 0;
}

// --- Kinds -------------------------------------------------------------------------------------------

struct kind {
	struct list_node node; // least recently used first
	struct runtimes runtimes;
	size_t name_n, class_n;
	unsigned size_class;
	size_t key_n;
	char key[KEY_MAX];
};

struct predictor {
	struct map kinds;
	struct list used;
	struct runtimes all; // of every task of the queue
	unsigned trusted;
};

enum ms_err ms_predictor_new(const struct predictor_options *options, struct errinfo *info,
			     struct predictor **ret_predictor)
{
	struct predictor *p = calloc(1, sizeof(*p));
	if (p == NULL)
		return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory");
	// Names come from those who may add tasks; the number of kinds is bounded, so that a fixed seed does no harm.
	ms_map_init(&p->kinds, options->kinds > 0 ? options->kinds : KINDS_DEFAULT, (struct hash_seed){0});
	ms_list_init(&p->used);
	p->trusted = options->trusted > 0 ? options->trusted : TRUSTED_DEFAULT;
	*ret_predictor = p;
	return MS_OK;
}

static void drop_oldest(struct predictor *p)
{
	struct list_node *node = ms_list_pop(&p->used);
	struct kind *kind = MS_CONTAINER_OF(node, struct kind, node);
	(void)ms_map_remove(&p->kinds, ms_slice(kind->key, kind->key_n));
	free(kind);
}

void ms_predictor_free(struct predictor *p)
{
	if (p == NULL)
		return;
	while (!ms_list_empty(&p->used))
		drop_oldest(p);
	ms_map_fini(&p->kinds);
	free(p);
}

unsigned ms_size_class(uint64_t size)
{
	return size == 0 ? 0 : 64 - (unsigned)__builtin_clzll(size);
}

// Any size: class SIZE_CLASSES.
static size_t write_key(struct slice name, struct slice worker_class, unsigned size_class, char dst[KEY_MAX])
{
	name = ms_slice_sub(name, 0, NAME_MAX_BYTES);
	worker_class = ms_slice_sub(worker_class, 0, CLASS_MAX_BYTES);
	int n = snprintf(dst, KEY_MAX, "%.*s%c%.*s%c%u", MS_SLICE_ARG(name), '\0', MS_SLICE_ARG(worker_class), '\0',
			 size_class);
	MS_ASSERT(n > 0 && n < KEY_MAX);
	return (size_t)n;
}

static struct kind *find(const struct predictor *p, struct slice name, struct slice worker_class, unsigned size_class)
{
	char key[KEY_MAX];
	size_t n = write_key(name, worker_class, size_class, key);
	return ms_map_get(&p->kinds, ms_slice(key, n));
}

static struct kind *find_or_make(struct predictor *p, struct slice name, struct slice worker_class, unsigned size_class)
{
	struct kind *kind = find(p, name, worker_class, size_class);
	if (kind != NULL) {
		ms_list_remove(&p->used, &kind->node);
		ms_list_append(&p->used, &kind->node);
		return kind;
	}
	if (p->kinds.count >= p->kinds.max)
		drop_oldest(p);
	kind = calloc(1, sizeof(*kind));
	if (kind == NULL)
		return NULL;
	kind->key_n = write_key(name, worker_class, size_class, kind->key);
	kind->name_n = MS_MIN(name.n, (size_t)NAME_MAX_BYTES);
	kind->class_n = MS_MIN(worker_class.n, (size_t)CLASS_MAX_BYTES);
	kind->size_class = size_class;
	if (!ms_map_put(&p->kinds, ms_slice(kind->key, kind->key_n), kind, NULL)) {
		free(kind);
		return NULL;
	}
	ms_list_append(&p->used, &kind->node);
	return kind;
}

bool ms_predictor_learn(struct predictor *p, const struct task_kind *kind, int64_t run_us)
{
	unsigned size = ms_size_class(kind->size);
	const struct {
		struct slice worker_class;
		unsigned size_class;
	} levels[] = {{kind->worker_class, size}, {MS_SLICE_LIT(""), size}, {MS_SLICE_LIT(""), SIZE_CLASSES}};
	bool ok = true;
	ms_runtimes_add(&p->all, run_us);
	for (size_t i = kind->worker_class.n > 0 ? 0 : 1; i < MS_ARRAY_LEN(levels); i++) {
		struct kind *found = find_or_make(p, kind->name, levels[i].worker_class, levels[i].size_class);
		ok &= found != NULL;
		if (found != NULL)
			ms_runtimes_add(&found->runtimes, run_us);
	}
	return ok;
}

bool ms_predictor_next(const struct predictor *p, size_t *cursor, struct kind_row *ret_row)
{
	struct slice key;
	void *value;
	if (!ms_map_next(&p->kinds, cursor, &key, &value))
		return false;
	const struct kind *kind = value;
	*ret_row = (struct kind_row){.name = ms_slice(kind->key, kind->name_n),
				     .worker_class = ms_slice(kind->key + kind->name_n + 1, kind->class_n),
				     .size_class = kind->size_class,
				     .runtimes = &kind->runtimes};
	return true;
}

bool ms_predictor_put(struct predictor *p, const struct kind_row *row)
{
	struct kind *kind =
		find_or_make(p, row->name, row->worker_class, MS_MIN(row->size_class, (unsigned)SIZE_CLASSES));
	if (kind == NULL)
		return false;
	kind->runtimes = *row->runtimes;
	if (row->size_class < SIZE_CLASSES || row->worker_class.n > 0)
		return true;
	for (size_t i = 0; i < RUNTIME_BUCKETS; i++) // a name's runs of any size are part of the whole
		p->all.weights[i] += row->runtimes->weights[i];
	p->all.count += row->runtimes->count;
	p->all.step = MS_MAX(p->all.step, row->runtimes->step);
	return true;
}

// --- Predicting --------------------------------------------------------------------------------------

static void take(const struct runtimes *r, double scale, struct prediction *ret)
{
	*ret = (struct prediction){.p50_us = (int64_t)((double)ms_runtimes_quantile(r, 0.5) * scale),
				   .p95_us = (int64_t)((double)ms_runtimes_quantile(r, 0.95) * scale),
				   .mean_us = (int64_t)((double)ms_runtimes_mean(r) * scale),
				   .runs = r->count};
}

// The known class of the name that is nearest in size; run time grows with the size, as it does for most work.
static bool by_neighbour(const struct predictor *p, const struct task_kind *kind, uint64_t least,
			 struct prediction *ret)
{
	unsigned size = ms_size_class(kind->size);
	for (unsigned distance = 1; size > 0 && distance < SIZE_CLASSES; distance++) {
		for (int side = -1; side <= 1; side += 2) {
			int64_t class = (int64_t)size + side * (int64_t)distance;
			const struct kind *found = class >= 1 && class < SIZE_CLASSES
							   ? find(p, kind->name, MS_SLICE_LIT(""), (unsigned)class)
							   : NULL;
			if (found != NULL && found->runtimes.count >= least) {
				take(&found->runtimes, exp2(-(double)side * distance), ret);
				return true;
			}
		}
	}
	return false;
}

static bool predict_from(const struct predictor *p, const struct task_kind *kind, uint64_t least,
			 struct prediction *ret)
{
	unsigned size = ms_size_class(kind->size);
	const struct kind *found = kind->worker_class.n > 0 ? find(p, kind->name, kind->worker_class, size) : NULL;
	if (found == NULL || found->runtimes.count < least)
		found = find(p, kind->name, MS_SLICE_LIT(""), size);
	if (found == NULL || found->runtimes.count < least) {
		if (by_neighbour(p, kind, least, ret))
			return true;
		found = find(p, kind->name, MS_SLICE_LIT(""), SIZE_CLASSES);
	}
	if (found == NULL || found->runtimes.count < least)
		return false;
	take(&found->runtimes, 1, ret);
	return true;
}

void ms_predict(const struct predictor *p, const struct task_kind *kind, struct prediction *ret)
{
	if (predict_from(p, kind, p->trusted, ret) || predict_from(p, kind, 1, ret))
		return;
	if (p->all.count > 0)
		take(&p->all, 1, ret);
	else
		*ret = (struct prediction){
			.p50_us = GUESS_US, .p95_us = GUESS_US * GUESS_SPREAD, .mean_us = GUESS_US * 2};
	ret->runs = 0;
}
