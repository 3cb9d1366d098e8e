// SPDX-License-Identifier: Apache-2.0
// Loops and their mailboxes. A mailbox is a stack that any thread pushes to with one compare-and-swap and that the
// loop takes whole with one exchange: no ABA problem, because nobody pops single entries. The loop reverses the
// chain, which gives back the order of posting.
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "rt/internal.h"

struct rt {
	unsigned count;
	bool pin;
	bool ran;
	atomic_bool stopping;
	struct loop *loops[];
};

#define MAX_CPUS 8192
union cpus {
	cpu_set_t set;
	unsigned char bytes[MAX_CPUS / 8];
};

void ms_loop_assert_own(const struct loop *loop)
{
	MS_ASSERT(!loop->running || pthread_equal(loop->thread, pthread_self()));
}

// --- Mailbox -----------------------------------------------------------------------------------------

void ms_loop_post(struct loop *loop, struct mail *mail, mail_fn *deliver)
{
	mail->deliver = deliver;
	struct mail *newest = atomic_load_explicit(&loop->inbox, memory_order_relaxed);
	do
		mail->next = newest;
	while (!atomic_compare_exchange_weak_explicit(&loop->inbox, &newest, mail, memory_order_release,
						      memory_order_relaxed));
	// From here on `mail` may be gone. Who found the box empty wakes the loop; the others know that it wakes.
	if (newest == NULL)
		uv_async_send(&loop->wake);
}

// Delivers what is there now; what is posted meanwhile waits for the next turn, so that sockets get theirs.
static bool deliver_mail(struct loop *loop)
{
	struct mail *newest = atomic_exchange_explicit(&loop->inbox, NULL, memory_order_acquire);
	struct mail *oldest = NULL;
	while (newest != NULL) {
		struct mail *next = newest->next;
		newest->next = oldest;
		oldest = newest;
		newest = next;
	}
	bool any = oldest != NULL;
	while (oldest != NULL) {
		struct mail *mail = oldest;
		oldest = mail->next; // first: deliver() may free the mail
		mail->next = NULL;
		mail->deliver(mail);
	}
	return any;
}

static void on_wake(uv_async_t *wake)
{
	struct loop *loop = MS_CONTAINER_OF(wake, struct loop, wake);
	deliver_mail(loop);
	if (atomic_load(&loop->rt->stopping))
		uv_stop(&loop->uv);
}

// --- Loop --------------------------------------------------------------------------------------------

static void on_turn(uv_prepare_t *turn)
{
	struct loop *loop = MS_CONTAINER_OF(turn, struct loop, turn);
	loop->now_ns = loop->wall_ns = 0;
}

static enum ms_err loop_new(struct rt *rt, unsigned index, struct loop **ret_loop)
{
	struct loop *loop = calloc(1, sizeof(*loop));
	if (loop == NULL)
		return MS_ERR_NO_MEMORY;
	loop->rt = rt;
	loop->index = index;
	ms_random_bytes(&loop->rand, sizeof(loop->rand));
	int rc = uv_loop_init(&loop->uv);
	if (rc == 0) {
		rc = uv_async_init(&loop->uv, &loop->wake, on_wake);
		if (rc != 0)
			uv_loop_close(&loop->uv);
	}
	if (rc != 0) {
		free(loop);
		return rc == UV_ENOMEM ? MS_ERR_NO_MEMORY : MS_ERR_LIMIT;
	}
	uv_prepare_init(&loop->uv, &loop->turn);
	uv_prepare_start(&loop->turn, on_turn);
	uv_unref((uv_handle_t *)&loop->turn);
	*ret_loop = loop;
	return MS_OK;
}

static bool is_own_handle(const struct loop *loop, const uv_handle_t *handle)
{
	const char *h = (const char *)handle, *l = (const char *)loop;
	return h >= l && h < l + sizeof(*loop);
}

static void check_closed(uv_handle_t *handle, void *arg)
{
	if (is_own_handle(arg, handle) || uv_is_closing(handle))
		return;
	fprintf(stderr, "a handle of type %s is open when its loop ends\n", uv_handle_type_name(handle->type));
	MS_UNREACHABLE();
}

static void close_own(uv_handle_t *handle, void *arg)
{
	if (is_own_handle(arg, handle))
		uv_close(handle, NULL);
}

static void loop_free(struct loop *loop)
{
	uv_walk(&loop->uv, close_own, loop);
	uv_run(&loop->uv, UV_RUN_DEFAULT);
	int rc = uv_loop_close(&loop->uv);
	MS_ASSERT(rc == 0);
	free(loop);
}

unsigned ms_loop_index(const struct loop *loop)
{
	return loop->index;
}

struct uv_loop_s *ms_loop_uv(struct loop *loop)
{
	return &loop->uv;
}

// libuv has no hook between the wait and the first callback, so the time is read when somebody first asks.
int64_t ms_loop_now_ns(struct loop *loop)
{
	if (!loop->running)
		return ms_clock_mono_ns();
	if (loop->now_ns == 0)
		loop->now_ns = ms_clock_mono_ns();
	return loop->now_ns;
}

int64_t ms_loop_wall_ns(struct loop *loop)
{
	if (!loop->running)
		return ms_clock_wall_ns();
	if (loop->wall_ns == 0)
		loop->wall_ns = ms_clock_wall_ns();
	return loop->wall_ns;
}

struct rand *ms_loop_rand(struct loop *loop)
{
	return &loop->rand;
}

// --- All loops ---------------------------------------------------------------------------------------

enum ms_err ms_rt_new(const struct rt_options *options, struct errinfo *info, struct rt **ret_rt)
{
	unsigned count = options->loops > 0 ? options->loops : MS_MIN(ms_process_cores(), (unsigned)MAX_LOOPS);
	if (count > MAX_LOOPS)
		return ms_fail(info, MS_ERR_INVALID, "%u event loops were asked for; at most %d are possible", count,
			       MAX_LOOPS);
	struct rt *rt = calloc(1, sizeof(*rt) + count * sizeof(rt->loops[0]));
	if (rt == NULL)
		return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory while making the event loops");
	rt->pin = options->pin;
	signal(SIGPIPE, SIG_IGN);
	for (; rt->count < count; rt->count++) {
		enum ms_err err = loop_new(rt, rt->count, &rt->loops[rt->count]);
		if (err == MS_OK)
			continue;
		unsigned made = rt->count;
		ms_rt_free(rt);
		return ms_fail(info, err, "cannot make event loop %u of %u: %s", made + 1, count,
			       err == MS_ERR_NO_MEMORY ? "out of memory" : "the limit of open files is reached");
	}
	*ret_rt = rt;
	return MS_OK;
}

// Delivering mail may close handles, and closing them may post mail: until neither is left.
void ms_rt_deliver(struct rt *rt)
{
	bool any;
	do {
		any = false;
		for (unsigned i = 0; i < rt->count; i++)
			any |= deliver_mail(rt->loops[i]);
	} while (any);
}

static void settle(struct rt *rt)
{
	bool any;
	do {
		any = false;
		ms_rt_deliver(rt);
		for (unsigned i = 0; i < rt->count; i++) {
			uv_walk(&rt->loops[i]->uv, check_closed, rt->loops[i]);
			uv_run(&rt->loops[i]->uv, UV_RUN_DEFAULT);
			any |= atomic_load(&rt->loops[i]->inbox) != NULL;
		}
	} while (any);
}

void ms_rt_free(struct rt *rt)
{
	if (rt == NULL)
		return;
	atomic_store(&rt->stopping, false);
	for (unsigned i = 0; i < rt->count; i++) {
		struct loop *loop = rt->loops[i];
		MS_ASSERT(!loop->running);
		uv_unref((uv_handle_t *)&loop->wake);
		for (unsigned k = 0; k < loop->signal_count; k++)
			uv_unref((uv_handle_t *)&loop->signals[k].uv);
	}
	settle(rt);
	for (unsigned i = 0; i < rt->count; i++)
		loop_free(rt->loops[i]);
	free(rt);
}

unsigned ms_rt_loop_count(const struct rt *rt)
{
	return rt->count;
}

struct loop *ms_rt_loop(struct rt *rt, unsigned index)
{
	MS_ASSERT(index < rt->count);
	return rt->loops[index];
}

// Binds the calling thread to the index-th of the cores that it may use, counted round. Binding is a wish: where the
// system refuses, the loop runs unbound. `ret_before` gets the mask to restore.
static bool pin_thread(unsigned index, union cpus *ret_before)
{
	if (sched_getaffinity(0, sizeof(*ret_before), &ret_before->set) != 0)
		return false;
	unsigned allowed = (unsigned)CPU_COUNT_S(sizeof(*ret_before), &ret_before->set);
	if (allowed == 0)
		return false;
	unsigned nth = index % allowed;
	for (size_t cpu = 0; cpu < MAX_CPUS; cpu++) {
		if (!CPU_ISSET_S(cpu, sizeof(*ret_before), &ret_before->set) || nth-- > 0)
			continue;
		union cpus one = {.bytes = {0}};
		CPU_SET_S(cpu, sizeof(one), &one.set);
		return sched_setaffinity(0, sizeof(one), &one.set) == 0;
	}
	return false;
}

static void loop_run(struct loop *loop)
{
	loop->thread = pthread_self();
	loop->running = true;
	while (!atomic_load(&loop->rt->stopping))
		uv_run(&loop->uv, UV_RUN_DEFAULT);
	loop->running = false;
}

static void *loop_thread(void *arg)
{
	struct loop *loop = arg;
	char name[16];
	snprintf(name, sizeof(name), "loop-%u", loop->index);
	pthread_setname_np(pthread_self(), name);
	union cpus before;
	if (loop->rt->pin)
		(void)pin_thread(loop->index, &before);
	loop_run(loop);
	return NULL;
}

enum ms_err ms_rt_run(struct rt *rt, struct errinfo *info)
{
	MS_ASSERT(!rt->ran);
	rt->ran = true;
	pthread_t threads[MAX_LOOPS];
	unsigned started = 1; // loop 0 is this thread
	int error = 0;
	while (started < rt->count && error == 0) {
		error = ms_thread_create(&threads[started], loop_thread, rt->loops[started]);
		started += error == 0;
	}
	if (error != 0)
		ms_rt_stop(rt);
	union cpus before;
	bool pinned = rt->pin && error == 0 && pin_thread(0, &before);
	loop_run(rt->loops[0]);
	if (pinned)
		sched_setaffinity(0, sizeof(before), &before.set);
	for (unsigned i = 1; i < started; i++)
		pthread_join(threads[i], NULL);
	return error == 0 ? MS_OK : ms_fail_errno(info, "start the thread of an event loop", NULL, error);
}

void ms_rt_stop(struct rt *rt)
{
	atomic_store(&rt->stopping, true);
	for (unsigned i = 0; i < rt->count; i++)
		uv_async_send(&rt->loops[i]->wake);
}
