// SPDX-License-Identifier: Apache-2.0
// Loops, mailboxes, timers, signals, pools. Nothing here waits for time to pass: each test ends by its last event.
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>
#include <uv.h>

#include "rt/rt.h"
#include "tests/lib/test.h"

static struct rt *new_rt(unsigned loops)
{
	struct rt *rt;
	REQUIRE(ms_rt_new(&(struct rt_options){.loops = loops}, NULL, &rt) == MS_OK);
	return rt;
}

static void run(struct rt *rt)
{
	struct errinfo info;
	ms_errinfo_init(&info);
	CHECK_OK(ms_rt_run(rt, &info));
	CHECK_STR(info.message, "");
}

// --- Mailbox -----------------------------------------------------------------------------------------

enum { SENDERS = 4, LETTERS = 5000, LOOPS = 2 };

struct letter {
	struct mail mail;
	unsigned sender;
	unsigned number;
	struct post_office *office;
	struct loop *to;
};

struct post_office {
	struct rt *rt;
	struct letter letters[LOOPS][SENDERS][LETTERS];
	unsigned expected[LOOPS][SENDERS]; // each row belongs to its loop
	unsigned received[LOOPS];
	atomic_uint out_of_order;
	atomic_uint full_loops;
};

static void receive(struct mail *mail)
{
	struct letter *letter = MS_CONTAINER_OF(mail, struct letter, mail);
	struct post_office *office = letter->office;
	unsigned loop = ms_loop_index(letter->to);
	if (letter->number != office->expected[loop][letter->sender]++)
		office->out_of_order++;
	if (++office->received[loop] == SENDERS * LETTERS && ++office->full_loops == LOOPS)
		ms_rt_stop(office->rt);
}

struct sender {
	struct post_office *office;
	unsigned number;
};

static void send_all(void *arg)
{
	struct sender *sender = arg;
	for (unsigned i = 0; i < LETTERS; i++) {
		for (unsigned l = 0; l < LOOPS; l++) {
			struct letter *letter = &sender->office->letters[l][sender->number][i];
			*letter = (struct letter){.sender = sender->number, .number = i, .office = sender->office};
			letter->to = ms_rt_loop(sender->office->rt, l);
			ms_loop_post(letter->to, &letter->mail, receive);
		}
	}
}

TEST(mailbox_keeps_order_and_loses_nothing)
{
	struct post_office *office = calloc(1, sizeof(*office));
	REQUIRE(office != NULL);
	office->rt = new_rt(LOOPS);
	struct sender senders[SENDERS];
	struct thread *threads[SENDERS];
	for (unsigned i = 0; i < SENDERS; i++) {
		senders[i] = (struct sender){office, i};
		REQUIRE(ms_thread_new("sender", send_all, &senders[i], NULL, &threads[i]) == MS_OK);
	}
	run(office->rt);
	for (unsigned i = 0; i < SENDERS; i++)
		ms_thread_join(threads[i]);
	CHECK_INT(office->out_of_order, 0);
	CHECK_INT(office->received[0], SENDERS * LETTERS);
	CHECK_INT(office->received[1], SENDERS * LETTERS);
	ms_rt_free(office->rt);
	free(office);
}

// A mail that posts itself again and again must neither run inside its own post nor keep timers from their turn.
struct echo {
	struct mail mail;
	struct rt *rt;
	bool inside;
	bool nested;
	bool timer_came;
	unsigned rounds;
};

static void echo(struct mail *mail)
{
	struct echo *e = MS_CONTAINER_OF(mail, struct echo, mail);
	e->nested |= e->inside;
	e->rounds++;
	e->inside = true;
	if (e->timer_came)
		ms_rt_stop(e->rt);
	else
		ms_loop_post(ms_rt_loop(e->rt, 0), mail, echo);
	e->inside = false;
}

static void note_timer(struct timer *timer, void *arg)
{
	((struct echo *)arg)->timer_came = true;
	ms_timer_free(timer);
}

TEST(mail_that_posts_itself_starves_nobody)
{
	struct echo e = {.rt = new_rt(1)};
	struct loop *loop = ms_rt_loop(e.rt, 0);
	struct timer *timer;
	REQUIRE(ms_timer_new(loop, note_timer, &e, &timer) == MS_OK);
	ms_timer_start(timer, 5, 0);
	ms_loop_post(loop, &e.mail, echo);
	run(e.rt);
	CHECK(e.timer_came);
	CHECK(!e.nested);
	CHECK(e.rounds > 1);
	ms_rt_free(e.rt);
}

// What waits when the loops have stopped is delivered by ms_rt_free, also what that delivery posts, to any loop.
struct late {
	struct mail mail;
	struct rt *rt;
	struct timer *timer;
	unsigned hops;
	pthread_t thread;
};

static void never(struct timer *timer, void *arg)
{
	(void)timer, (void)arg;
	CHECK(false);
}

static void hop(struct mail *mail)
{
	struct late *late = MS_CONTAINER_OF(mail, struct late, mail);
	late->thread = pthread_self();
	if (++late->hops == 3)
		ms_timer_free(late->timer);
	else
		ms_loop_post(ms_rt_loop(late->rt, late->hops % 2), mail, hop);
}

TEST(free_delivers_what_waits)
{
	struct late late = {.rt = new_rt(2)};
	REQUIRE(ms_timer_new(ms_rt_loop(late.rt, 1), never, NULL, &late.timer) == MS_OK);
	ms_timer_start(late.timer, 3600000, 0);
	ms_loop_post(ms_rt_loop(late.rt, 0), &late.mail, hop);
	ms_rt_free(late.rt);
	CHECK_INT(late.hops, 3);
	CHECK(pthread_equal(late.thread, pthread_self()));
}

// --- Loops -------------------------------------------------------------------------------------------

TEST(rt_stopped_before_running_returns_at_once)
{
	struct rt *rt = new_rt(3);
	CHECK_INT(ms_rt_loop_count(rt), 3);
	CHECK_INT(ms_loop_index(ms_rt_loop(rt, 2)), 2);
	ms_rt_stop(rt);
	run(rt);
	ms_rt_free(rt);
	ms_rt_free(NULL);
}

TEST(rt_takes_one_loop_per_core)
{
	struct rt *rt = new_rt(0);
	CHECK_INT(ms_rt_loop_count(rt), ms_process_cores());
	ms_rt_free(rt);
}

TEST(rt_refuses_too_many_loops)
{
	struct rt *rt = NULL;
	struct errinfo info;
	ms_errinfo_init(&info);
	CHECK_INT(ms_rt_new(&(struct rt_options){.loops = 257}, &info, &rt), MS_ERR_INVALID);
	CHECK_HAS(info.message, "257");
	CHECK(rt == NULL);
}

static void make_and_free(void)
{
	struct rt *rt = NULL;
	enum ms_err err = ms_rt_new(&(struct rt_options){.loops = 2}, NULL, &rt);
	CHECK((err == MS_OK) == !ms_test_allocation_failed());
	if (err != MS_OK)
		CHECK_INT(err, MS_ERR_NO_MEMORY);
	ms_rt_free(rt);
}

TEST(rt_survives_failing_allocations)
{
	ms_test_torture(make_and_free);
}

struct clock_check {
	struct mail mail;
	struct loop *loop;
	struct rt *rt;
	int64_t mono[2];
	int64_t wall[2];
	unsigned turn;
};

static void read_clocks(struct mail *mail)
{
	struct clock_check *c = MS_CONTAINER_OF(mail, struct clock_check, mail);
	c->mono[c->turn] = ms_loop_now_ns(c->loop);
	c->wall[c->turn] = ms_loop_wall_ns(c->loop);
	int64_t start = ms_clock_mono_ns();
	while (ms_clock_mono_ns() < start + 1000)
		; // the clock must move, so that an uncached read would show
	CHECK_INT(ms_loop_now_ns(c->loop), c->mono[c->turn]);
	CHECK_INT(ms_loop_wall_ns(c->loop), c->wall[c->turn]);
	if (++c->turn == 2)
		ms_rt_stop(c->rt);
	else
		ms_loop_post(c->loop, mail, read_clocks);
}

TEST(time_is_read_once_per_turn)
{
	struct clock_check c = {.rt = new_rt(1)};
	c.loop = ms_rt_loop(c.rt, 0);
	int64_t before = ms_loop_now_ns(c.loop), wall_before = ms_loop_wall_ns(c.loop);
	ms_loop_post(c.loop, &c.mail, read_clocks);
	run(c.rt);
	CHECK(before <= c.mono[0] && c.mono[0] < c.mono[1] && c.mono[1] <= ms_clock_mono_ns());
	CHECK(c.wall[0] != c.wall[1]);
	CHECK(wall_before > INT64_C(1700000000) * 1000000000); // November 2023
	ms_rt_free(c.rt);
}

TEST(loops_have_generators_of_their_own)
{
	struct rt *rt = new_rt(2);
	CHECK(ms_rand_u64(ms_loop_rand(ms_rt_loop(rt, 0))) != ms_rand_u64(ms_loop_rand(ms_rt_loop(rt, 1))));
	ms_rt_free(rt);
	struct hash_seed a = ms_random_hash_seed(), b = ms_random_hash_seed();
	CHECK(a.k0 != b.k0 && a.k1 != b.k1 && a.k0 != a.k1);
}

static int allowed_cores(void)
{
	cpu_set_t set;
	REQUIRE(sched_getaffinity(0, sizeof(set), &set) == 0);
	return CPU_COUNT(&set);
}

struct pin_check {
	struct mail mail;
	struct rt *rt;
	int cores;
	atomic_uint *left;
};

static void look_at_cores(struct mail *mail)
{
	struct pin_check *p = MS_CONTAINER_OF(mail, struct pin_check, mail);
	p->cores = allowed_cores();
	if (--*p->left == 0)
		ms_rt_stop(p->rt);
}

TEST(pinned_loops_have_one_core_each)
{
	int before = allowed_cores();
	atomic_uint left = 2;
	struct pin_check p[2];
	struct rt *rt;
	REQUIRE(ms_rt_new(&(struct rt_options){.loops = 2, .pin = true}, NULL, &rt) == MS_OK);
	for (unsigned i = 0; i < 2; i++) {
		p[i] = (struct pin_check){.rt = rt, .left = &left};
		ms_loop_post(ms_rt_loop(rt, i), &p[i].mail, look_at_cores);
	}
	run(rt);
	CHECK_INT(p[0].cores, 1);
	CHECK_INT(p[1].cores, 1);
	CHECK_INT(allowed_cores(), before);
	ms_rt_free(rt);
}

// --- Timers ------------------------------------------------------------------------------------------

struct clockwork {
	struct rt *rt;
	struct timer *timers[4];
	char fired[32];
	size_t count;
};

static void strike(struct clockwork *c, char what)
{
	if (c->count < sizeof(c->fired) - 1)
		c->fired[c->count++] = what;
}

static void on_first(struct timer *timer, void *arg)
{
	struct clockwork *c = arg;
	(void)timer;
	strike(c, 'a');
	ms_timer_free(c->timers[1]); // would fire next
	ms_timer_stop(c->timers[2]);
}

static void on_freed(struct timer *timer, void *arg)
{
	(void)timer;
	strike(arg, 'x');
}

static void on_repeat(struct timer *timer, void *arg)
{
	struct clockwork *c = arg;
	strike(c, 'r');
	if (c->count == 4) {
		ms_timer_free(timer); // inside its own callback
		ms_timer_free(c->timers[2]);
		ms_timer_free(c->timers[0]);
		ms_rt_stop(c->rt);
	}
}

TEST(timers_fire_in_order_repeat_stop_and_go)
{
	struct clockwork c = {.rt = new_rt(1)};
	struct loop *loop = ms_rt_loop(c.rt, 0);
	timer_fn *fns[] = {on_first, on_freed, on_freed, on_repeat};
	for (size_t i = 0; i < 4; i++)
		REQUIRE(ms_timer_new(loop, fns[i], &c, &c.timers[i]) == MS_OK);
	int64_t start = ms_clock_mono_ns();
	ms_timer_start(c.timers[3], 6, 2);
	ms_timer_start(c.timers[2], 4, 4);
	ms_timer_start(c.timers[1], 3, 0);
	ms_timer_start(c.timers[0], 3000000, 0);
	ms_timer_start(c.timers[0], 2, 0); // restarts
	run(c.rt);
	CHECK_STR(c.fired, "arrr");
	CHECK(ms_clock_mono_ns() - start >= 9 * 1000000); // 6 + 2 + 2, less the rounding to milliseconds
	ms_rt_free(c.rt);
}

// --- Signals -----------------------------------------------------------------------------------------

struct bell {
	struct rt *rt;
	atomic_uint rings;
	atomic_int signum;
	sigset_t mask; // of loop 1's thread
	struct mail mail;
};

static void on_bell(int signum, void *arg)
{
	struct bell *bell = arg;
	bell->signum = signum;
	if (++bell->rings == 2)
		ms_rt_stop(bell->rt);
}

static void ring(struct mail *mail)
{
	struct bell *bell = MS_CONTAINER_OF(mail, struct bell, mail);
	pthread_sigmask(SIG_SETMASK, NULL, &bell->mask);
	kill(getpid(), SIGUSR1);
}

TEST(signal_reaches_every_loop_that_watches)
{
	struct bell bell = {.rt = new_rt(2)};
	CHECK_OK(ms_signal_watch(ms_rt_loop(bell.rt, 0), SIGUSR1, on_bell, &bell));
	CHECK_OK(ms_signal_watch(ms_rt_loop(bell.rt, 1), SIGUSR1, on_bell, &bell));
	ms_loop_post(ms_rt_loop(bell.rt, 1), &bell.mail, ring);
	run(bell.rt);
	CHECK_INT(bell.rings, 2);
	CHECK_INT(bell.signum, SIGUSR1);
	CHECK(sigismember(&bell.mask, SIGUSR1) == 1 && sigismember(&bell.mask, SIGTERM) == 1);
	CHECK(sigismember(&bell.mask, SIGSEGV) == 0);
	ms_rt_free(bell.rt);
}

TEST(signal_watches_are_bounded)
{
	struct rt *rt = new_rt(1);
	struct loop *loop = ms_rt_loop(rt, 0);
	CHECK_INT(ms_signal_watch(loop, SIGKILL, on_bell, NULL), MS_ERR_INVALID);
	for (int i = 1; i < 8; i++)
		CHECK_OK(ms_signal_watch(loop, SIGUSR2, on_bell, NULL));
	CHECK_INT(ms_signal_watch(loop, SIGUSR2, on_bell, NULL), MS_ERR_LIMIT);
	ms_rt_free(rt);
}

// --- Pools -------------------------------------------------------------------------------------------

static struct pool *new_pool(unsigned threads, unsigned depth)
{
	struct pool *pool;
	struct pool_options options = {.name = "test", .threads = threads, .depth = depth};
	REQUIRE(ms_pool_new(&options, NULL, &pool) == MS_OK);
	return pool;
}

// Work that waits until the gate opens.
struct gate {
	pthread_mutex_t lock;
	pthread_cond_t change;
	bool open;
	unsigned inside;
	unsigned done;
	char order[16];
};

struct gated {
	struct job job;
	struct gate *gate;
	char name;
};

static void pass_gate(struct job *job)
{
	struct gated *g = MS_CONTAINER_OF(job, struct gated, job);
	pthread_mutex_lock(&g->gate->lock);
	g->gate->inside++;
	pthread_cond_broadcast(&g->gate->change);
	while (!g->gate->open)
		pthread_cond_wait(&g->gate->change, &g->gate->lock);
	pthread_mutex_unlock(&g->gate->lock);
}

static void note_done(struct job *job)
{
	struct gated *g = MS_CONTAINER_OF(job, struct gated, job);
	pthread_mutex_lock(&g->gate->lock);
	g->gate->order[g->gate->done++] = g->name;
	pthread_mutex_unlock(&g->gate->lock);
}

static void open_gate(struct gate *gate)
{
	pthread_mutex_lock(&gate->lock);
	gate->open = true;
	pthread_cond_broadcast(&gate->change);
	pthread_mutex_unlock(&gate->lock);
}

static void await_inside(struct gate *gate, unsigned count)
{
	pthread_mutex_lock(&gate->lock);
	while (gate->inside < count)
		pthread_cond_wait(&gate->change, &gate->lock);
	pthread_mutex_unlock(&gate->lock);
}

#define GATE                                                                          \
	{                                                                             \
		.lock = PTHREAD_MUTEX_INITIALIZER, .change = PTHREAD_COND_INITIALIZER \
	}

TEST(pool_refuses_beyond_its_depth)
{
	struct gate gate = GATE;
	struct pool *pool = new_pool(2, 3);
	struct gated jobs[6];
	for (size_t i = 0; i < 6; i++) {
		jobs[i] = (struct gated){.gate = &gate, .name = (char)('0' + i)};
		enum ms_err err = ms_pool_submit(pool, &jobs[i].job, NULL, pass_gate, note_done);
		CHECK_INT(err, i < 5 ? MS_OK : MS_ERR_BUSY);
	}
	await_inside(&gate, 2);
	struct pool_stats stats = ms_pool_stats(pool);
	CHECK_INT(stats.running, 2);
	CHECK_INT(stats.waiting, 3);
	CHECK_INT(stats.rejected, 1);
	CHECK_INT(stats.completed, 0);
	open_gate(&gate);
	ms_pool_free(pool); // runs what is queued
	CHECK_INT(gate.done, 5);
}

struct shared_sum {
	atomic_uint times[1000];
	atomic_uint threads;
	atomic_bool met; // a second thread came
};

static void add_part(void *context, size_t part)
{
	struct shared_sum *sum = context;
	atomic_fetch_add(&sum->times[part], 1);
	if (part == 0 && atomic_load(&sum->threads) > 1)
		while (!atomic_load(&sum->met)) // until another thread has another part
			sched_yield();
	if (part == 1)
		atomic_store(&sum->met, true);
}

// Each part once, whatever the pool does: no thread idle, one part, many, and parts that need two threads.
TEST(pool_share_calls_each_part_once)
{
	static struct shared_sum sum;
	struct pool *pool = new_pool(3, 10);
	for (unsigned round = 0; round < 200; round++)
		for (size_t count = 0; count < 40; count += 1 + count / 3) {
			memset(&sum, 0, sizeof(sum));
			atomic_store(&sum.threads, round == 0 && count == 2 ? 2 : 1); // the pool is idle yet
			ms_pool_share(pool, count, add_part, &sum);
			for (size_t i = 0; i < MS_ARRAY_LEN(sum.times); i++)
				REQUIRE(atomic_load(&sum.times[i]) == (i < count));
		}
	ms_pool_free(pool); // helpers that came too late end here
}

TEST(pool_runs_in_the_order_of_submission)
{
	struct gate gate = GATE;
	struct pool *pool = new_pool(1, 10);
	struct gated jobs[8];
	for (size_t i = 0; i < 8; i++) {
		jobs[i] = (struct gated){.gate = &gate, .name = (char)('a' + i)};
		CHECK_OK(ms_pool_submit(pool, &jobs[i].job, NULL, pass_gate, note_done));
	}
	open_gate(&gate);
	ms_pool_free(pool);
	CHECK_STR(gate.order, "abcdefgh");
}

struct trip {
	struct job job;
	struct rt *rt;
	struct pool *pool;
	pthread_t worked;
	pthread_t came_home;
	unsigned rounds;
	struct pool_stats stats;
};

static void travel(struct job *job)
{
	MS_CONTAINER_OF(job, struct trip, job)->worked = pthread_self();
}

static void arrive(struct job *job)
{
	struct trip *trip = MS_CONTAINER_OF(job, struct trip, job);
	trip->came_home = pthread_self();
	if (++trip->rounds < 3) {
		CHECK_OK(ms_pool_submit(trip->pool, job, job->home, travel, arrive)); // the same object again
		return;
	}
	trip->stats = ms_pool_stats(trip->pool);
	ms_rt_stop(trip->rt);
}

TEST(job_comes_home_to_its_loop)
{
	struct trip trip = {.rt = new_rt(1), .pool = new_pool(2, 1)};
	CHECK_OK(ms_pool_submit(trip.pool, &trip.job, ms_rt_loop(trip.rt, 0), travel, arrive));
	run(trip.rt);
	ms_pool_free(trip.pool);
	ms_rt_free(trip.rt);
	CHECK_INT(trip.rounds, 3);
	CHECK(pthread_equal(trip.came_home, pthread_self()));
	CHECK(!pthread_equal(trip.worked, pthread_self()));
	CHECK_INT(trip.stats.completed, 3);
	CHECK_INT(trip.stats.running, 0);
	CHECK(trip.stats.waited_ns > 0);
}

TEST(jobs_of_a_stopped_loop_come_home_at_its_end)
{
	struct gate gate = GATE;
	struct rt *rt = new_rt(1);
	struct pool *pool = new_pool(1, 4);
	struct gated jobs[4];
	for (size_t i = 0; i < 4; i++) {
		jobs[i] = (struct gated){.gate = &gate, .name = (char)('a' + i)};
		CHECK_OK(ms_pool_submit(pool, &jobs[i].job, ms_rt_loop(rt, 0), pass_gate, note_done));
	}
	open_gate(&gate);
	ms_pool_free(pool);
	CHECK_INT(gate.done, 0);
	ms_rt_free(rt);
	CHECK_STR(gate.order, "abcd");
}

// The pool is ended while a job runs: what was queued runs, what comes then is refused.
struct closing {
	struct job job, queued, probe;
	struct pool *pool;
	pthread_barrier_t started;
	enum ms_err refusal;
	bool queued_ran;
};

static void note_queued(struct job *job)
{
	MS_CONTAINER_OF(job, struct closing, queued)->queued_ran = true;
}

static void do_nothing(struct job *job)
{
	(void)job;
}

static void submit_until_the_end(struct job *job)
{
	struct closing *c = MS_CONTAINER_OF(job, struct closing, job);
	CHECK_OK(ms_pool_submit(c->pool, &c->queued, NULL, note_queued, do_nothing));
	pthread_barrier_wait(&c->started);
	do // busy until ms_pool_free has been called
		c->refusal = ms_pool_submit(c->pool, &c->probe, NULL, do_nothing, do_nothing);
	while (c->refusal == MS_ERR_BUSY);
}

TEST(pool_that_ends_refuses)
{
	struct closing c = {.pool = new_pool(1, 1)};
	pthread_barrier_init(&c.started, NULL, 2);
	CHECK_OK(ms_pool_submit(c.pool, &c.job, NULL, submit_until_the_end, do_nothing));
	pthread_barrier_wait(&c.started);
	ms_pool_free(c.pool);
	CHECK_INT(c.refusal, MS_ERR_DRAINING);
	CHECK(c.queued_ran);
	pthread_barrier_destroy(&c.started);
	ms_pool_free(NULL);
}

TEST(pool_options_are_checked)
{
	struct pool *pool = NULL;
	struct errinfo info;
	ms_errinfo_init(&info);
	CHECK_INT(ms_pool_new(&(struct pool_options){"p", 0, 1}, &info, &pool), MS_ERR_INVALID);
	CHECK_HAS(info.message, "'p'");
	CHECK_INT(ms_pool_new(&(struct pool_options){"p", 257, 1}, &info, &pool), MS_ERR_INVALID);
	CHECK_INT(ms_pool_new(&(struct pool_options){"p", 1, 0}, &info, &pool), MS_ERR_INVALID);
	CHECK_INT(ms_pool_new(&(struct pool_options){"p", 1, 1000001}, &info, &pool), MS_ERR_INVALID);
	CHECK(pool == NULL);
}

static void open_from_thread(void *arg)
{
	open_gate(arg);
}

static void make_pool_and_thread(void)
{
	struct pool *pool = NULL;
	enum ms_err err = ms_pool_new(&(struct pool_options){"p", 2, 1}, NULL, &pool);
	CHECK(err == MS_OK || (err == MS_ERR_NO_MEMORY && ms_test_allocation_failed()));
	ms_pool_free(pool);
	struct gate gate = GATE;
	struct thread *thread = NULL;
	err = ms_thread_new("t", open_from_thread, &gate, NULL, &thread);
	CHECK(err == MS_OK || (err == MS_ERR_NO_MEMORY && ms_test_allocation_failed()));
	ms_thread_join(thread);
	CHECK(gate.open == (err == MS_OK));
}

TEST(pool_and_thread_survive_failing_allocations)
{
	ms_test_torture(make_pool_and_thread);
}
