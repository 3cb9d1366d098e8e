// SPDX-License-Identifier: Apache-2.0
// Timers and signals of a loop: thin over libuv.
#include <stdlib.h>

#include "rt/internal.h"

struct timer {
	uv_timer_t uv;
	struct loop *loop;
	timer_fn *fn;
	void *arg;
};

static void on_timer(uv_timer_t *uv)
{
	struct timer *timer = MS_CONTAINER_OF(uv, struct timer, uv);
	timer->fn(timer, timer->arg);
}

enum ms_err ms_timer_new(struct loop *loop, timer_fn *fn, void *arg, struct timer **ret_timer)
{
	ms_loop_assert_own(loop);
	struct timer *timer = calloc(1, sizeof(*timer));
	if (timer == NULL)
		return MS_ERR_NO_MEMORY;
	timer->loop = loop;
	timer->fn = fn;
	timer->arg = arg;
	uv_timer_init(&loop->uv, &timer->uv); // only fills the struct; never fails
	*ret_timer = timer;
	return MS_OK;
}

void ms_timer_start(struct timer *timer, uint64_t after_ms, uint64_t repeat_ms)
{
	ms_loop_assert_own(timer->loop);
	if (!timer->loop->running)
		uv_update_time(&timer->loop->uv); // no turn has set it
	uv_timer_start(&timer->uv, on_timer, after_ms, repeat_ms);
}

void ms_timer_stop(struct timer *timer)
{
	ms_loop_assert_own(timer->loop);
	uv_timer_stop(&timer->uv);
}

static void on_timer_closed(uv_handle_t *handle)
{
	free(MS_CONTAINER_OF(handle, struct timer, uv));
}

void ms_timer_free(struct timer *timer)
{
	if (timer == NULL)
		return;
	ms_loop_assert_own(timer->loop);
	uv_close((uv_handle_t *)&timer->uv, on_timer_closed);
}

static void on_signal(uv_signal_t *uv, int signum)
{
	struct signal_watch *watch = MS_CONTAINER_OF(uv, struct signal_watch, uv);
	watch->fn(signum, watch->arg);
}

enum ms_err ms_signal_watch(struct loop *loop, int signum, signal_fn *fn, void *arg)
{
	ms_loop_assert_own(loop);
	if (loop->signal_count == MAX_SIGNALS)
		return MS_ERR_LIMIT;
	struct signal_watch *watch = &loop->signals[loop->signal_count];
	// The first watch of a loop makes its signal pipe, which may meet the limit of open files.
	if (uv_signal_init(&loop->uv, &watch->uv) != 0)
		return MS_ERR_LIMIT;
	loop->signal_count++; // from here on ms_rt_free closes it
	watch->fn = fn;
	watch->arg = arg;
	return uv_signal_start(&watch->uv, on_signal, signum) == 0 ? MS_OK : MS_ERR_INVALID;
}
