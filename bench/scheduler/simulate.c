// SPDX-License-Identifier: Apache-2.0
// Simulates a queue with several workers under each ordering policy, on the code that orders real queues: the predictor learns from the runs that end, a
// quarter of its predictions is then off by up to a factor of two. Prints the completion times of each policy, beside first in, first out.
//
// Workloads, shaped as published traces are: Poisson arrivals in bursts, run times of names times sizes, sizes heavy-tailed (bounded Pareto, α = 1.1),
// log-normal (σ = 2), or all alike; load is the share of the workers' time that the work takes.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tasks/predict.h"

#define S 1e6
#define WORKERS 8
#define NAMES 6

enum shape { SHAPE_PARETO, SHAPE_LOGNORMAL, SHAPE_ALIKE };
static const struct workload {
	const char *name;
	enum shape shape;
	double load;
	bool bursts;
} workloads[] = {{"heavy tail (Pareto 1.1), load 0.8", SHAPE_PARETO, 0.8, false},
		 {"heavy tail (Pareto 1.1), load 0.95", SHAPE_PARETO, 0.95, false},
		 {"heavy tail (Pareto 1.1), load 0.8, bursts", SHAPE_PARETO, 0.8, true},
		 {"log-normal (sigma 2), load 0.9, bursts", SHAPE_LOGNORMAL, 0.9, true},
		 {"all alike, load 0.9", SHAPE_ALIKE, 0.9, true}};
static const struct {
	const char *name;
	enum task_policy policy;
	bool oracle; // knows the run times
} policies[] = {{"fifo", POLICY_FIFO, false},
		{"priority (all equal)", POLICY_PRIORITY, false},
		{"shortest-expected", POLICY_SHORTEST_EXPECTED, false},
		{"deadline", POLICY_DEADLINE, false},
		{"(shortest, all known)", POLICY_SHORTEST_EXPECTED, true}};

struct task {
	int64_t arrival, run, order, done, started, deadline;
	uint64_t size;
	unsigned name;
	double error; // of its prediction
	size_t seq;
};

static double uniform(struct rand *rand)
{
	return 1 - ms_rand_double(rand);
}

static double normal(struct rand *rand)
{
	return sqrt(-2 * log(uniform(rand))) * cos(6.283185307179586 * ms_rand_double(rand));
}

// From 1 to 100,000.
static double draw_size(enum shape shape, struct rand *rand)
{
	const double alpha = 1.1, high = 1e5;
	if (shape == SHAPE_PARETO)
		return pow(1 - ms_rand_double(rand) * (1 - pow(high, -alpha)), -1 / alpha);
	if (shape == SHAPE_LOGNORMAL)
		return fmax(1, fmin(high, 20 * exp(2 * normal(rand))));
	return 20;
}

static void draw(const struct workload *w, struct task *tasks, size_t count, struct rand *rand)
{
	double work = 0, now = 0;
	for (size_t i = 0; i < count; i++) {
		struct task *t = &tasks[i];
		double size = draw_size(w->shape, rand);
		*t = (struct task){.seq = i, .name = (unsigned)ms_rand_below(rand, NAMES), .size = (uint64_t)size};
		// Each name has its own speed; runs of one size differ by a third.
		double run = 0.05 * S * (1 + t->name) * size * exp(0.3 * normal(rand));
		t->run = (int64_t)fmax(run, 1000);
		work += (double)t->run;
		t->error = ms_rand_below(rand, 4) == 0 ? exp2(2 * ms_rand_double(rand) - 1) : 1;
	}
	double gap = work / (double)count / w->load / WORKERS;
	for (size_t i = 0; i < count; i++) {
		bool in_burst = w->bursts && i / 500 % 2 == 1; // half of the tasks come five times as fast
		now += -log(uniform(rand)) * gap * (w->bursts ? (in_burst ? 0.2 : 1.8) : 1);
		tasks[i].arrival = (int64_t)now;
		tasks[i].deadline = tasks[i].arrival + 4 * tasks[i].run + (int64_t)(600 * S * ms_rand_double(rand));
	}
}

// --- One run -----------------------------------------------------------------------------------------

struct heap {
	struct task **items;
	size_t count;
};

static bool before(const struct task *a, const struct task *b)
{
	return a->order != b->order ? a->order < b->order : a->seq < b->seq;
}

static void push(struct heap *h, struct task *t)
{
	size_t i = h->count++;
	for (; i > 0 && before(t, h->items[(i - 1) / 2]); i = (i - 1) / 2)
		h->items[i] = h->items[(i - 1) / 2];
	h->items[i] = t;
}

static struct task *pop(struct heap *h)
{
	struct task *top = h->items[0], *last = h->items[--h->count];
	size_t i = 0;
	for (size_t child; (child = 2 * i + 1) < h->count; i = child) {
		if (child + 1 < h->count && before(h->items[child + 1], h->items[child]))
			child++;
		if (!before(h->items[child], last))
			break;
		h->items[i] = h->items[child];
	}
	h->items[i] = last;
	return top;
}

struct sim {
	struct task *tasks;
	size_t count;
	struct predictor *predictor;
	struct order_options order;
	bool oracle;
	struct heap ready;
	struct task *running[WORKERS];
	double waiting_work, most_work; // that waits, and the most that ever did
};

static struct task_kind kind_of(const struct task *t)
{
	static const char names[NAMES][8] = {"a", "b", "c", "d", "e", "f"};
	return (struct task_kind){.name = ms_slice_cstr(names[t->name]), .size = t->size};
}

static void arrive(struct sim *s, struct task *t)
{
	struct prediction p;
	struct task_kind kind = kind_of(t);
	ms_predict(s->predictor, &kind, &p);
	if (s->oracle)
		p = (struct prediction){.p50_us = t->run, .p95_us = t->run, .mean_us = t->run};
	else
		p.p50_us = (int64_t)((double)p.p50_us * t->error);
	t->order = ms_task_order(
		&s->order, &(struct order_input){.ready_us = t->arrival, .deadline_us = t->deadline, .expected = p});
	push(&s->ready, t);
	s->waiting_work += (double)t->run;
	s->most_work = fmax(s->most_work, s->waiting_work);
}

static void start_some(struct sim *s, int64_t now)
{
	for (size_t w = 0; w < WORKERS && s->ready.count > 0; w++) {
		if (s->running[w] != NULL)
			continue;
		s->running[w] = pop(&s->ready);
		s->running[w]->started = now;
		s->running[w]->done = now + s->running[w]->run;
		s->waiting_work -= (double)s->running[w]->run;
	}
}

static void finish(struct sim *s, size_t worker)
{
	struct task *t = s->running[worker];
	struct task_kind kind = kind_of(t);
	s->running[worker] = NULL;
	if (!ms_predictor_learn(s->predictor, &kind, t->run))
		abort();
}

static void simulate(struct sim *s)
{
	size_t next = 0, ended = 0;
	while (ended < s->count) {
		int64_t now = next < s->count ? s->tasks[next].arrival : INT64_MAX;
		size_t worker = WORKERS;
		for (size_t w = 0; w < WORKERS; w++) {
			if (s->running[w] != NULL && s->running[w]->done <= now) {
				now = s->running[w]->done;
				worker = w;
			}
		}
		if (worker < WORKERS) {
			finish(s, worker);
			ended++;
		} else {
			arrive(s, &s->tasks[next++]);
		}
		start_some(s, now);
	}
}

// --- Figures -----------------------------------------------------------------------------------------

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return x < y ? -1 : x > y;
}

struct figures {
	double mean, median, p95, longest_wait, longest_run, late;
};

static struct figures figures_of(const struct sim *s, double *times)
{
	struct figures f = {0};
	for (size_t i = 0; i < s->count; i++) {
		const struct task *t = &s->tasks[i];
		times[i] = (double)(t->done - t->arrival) / S;
		f.mean += times[i] / (double)s->count;
		f.longest_wait = fmax(f.longest_wait, (double)(t->started - t->arrival) / S);
		f.longest_run = fmax(f.longest_run, (double)t->run / S);
		f.late += t->done > t->deadline ? 100.0 / (double)s->count : 0;
	}
	qsort(times, s->count, sizeof(*times), by_value);
	f.median = times[s->count / 2];
	f.p95 = times[s->count * 95 / 100];
	return f;
}

static void *need(void *p)
{
	if (p == NULL) {
		fprintf(stderr, "out of memory\n");
		exit(1);
	}
	return p;
}

int main(int argc, char **argv)
{
	size_t count = argc > 1 ? strtoul(argv[1], NULL, 10) : 200000;
	uint64_t seed = argc > 2 ? strtoul(argv[2], NULL, 10) : 1;
	struct task *tasks = need(calloc(count, sizeof(*tasks)));
	double *times = need(calloc(count, sizeof(*times)));
	struct sim s = {.tasks = tasks, .count = count, .ready.items = need(calloc(count, sizeof(struct task *)))};
	bool reached = true;
	const double patience = 3600;
	printf("%zu tasks, %d workers, seed %llu; patience %.0f s. Times in seconds; in brackets: how many times "
	       "better than fifo.\n",
	       count, WORKERS, (unsigned long long)seed, patience);
	for (size_t w = 0; w < MS_ARRAY_LEN(workloads); w++) {
		struct figures fifo = {0};
		printf("\n%-42s %16s %18s %10s %14s %14s %8s\n", workloads[w].name, "mean", "p95", "median",
		       "longest wait", "its bound", "late %");
		for (size_t p = 0; p < MS_ARRAY_LEN(policies); p++) {
			struct rand rand = {.state = seed};
			struct errinfo info;
			draw(&workloads[w], tasks, count, &rand);
			s.order = (struct order_options){.policy = policies[p].policy,
							 .patience_us = (int64_t)(patience * S)};
			s.oracle = policies[p].oracle;
			s.waiting_work = s.most_work = 0;
			if (ms_predictor_new(&(struct predictor_options){0}, &info, &s.predictor) != MS_OK)
				return 1;
			simulate(&s);
			ms_predictor_free(s.predictor);
			struct figures f = figures_of(&s, times);
			if (p == 0)
				fifo = f;
			// Once the patience is over nobody comes in front any more: what waits then goes first at most, behind what runs.
			double bound = patience + s.most_work / S / WORKERS + f.longest_run;
			printf("  %-40s %8.1f [%4.1f] %10.1f [%4.1f] %10.1f %14.0f", policies[p].name, f.mean,
			       fifo.mean / f.mean, f.p95, fifo.p95 / f.p95, f.median, f.longest_wait);
			if (policies[p].policy == POLICY_SHORTEST_EXPECTED)
				printf(" %14.0f", bound);
			else
				printf(" %14s", "-");
			printf(" %8.1f\n", f.late);
			if (policies[p].policy == POLICY_SHORTEST_EXPECTED && !policies[p].oracle &&
			    workloads[w].shape == SHAPE_PARETO)
				reached &= fifo.mean / f.mean >= 3 && f.longest_wait <= bound;
		}
	}
	printf("\nTarget: shortest-expected on heavy tails at least 3 times better on the mean than fifo, no wait "
	       "beyond its bound: %s\n",
	       reached ? "reached" : "MISSED");
	free(s.ready.items);
	free(times);
	free(tasks);
	return 0;
}
