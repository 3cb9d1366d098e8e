// SPDX-License-Identifier: Apache-2.0
// Asks the targets that are to get the traffic, for the admin interface and, on a loop of its own, for the command line.
#include "gateway/smoke.h"

#include <stdio.h>

#include "gateway/proxy.h"

#define TARGETS_MAX 64

static void target_over(struct smoke_target *t)
{
	struct smoke *s = t->home;
	t->call = NULL;
	s->good &= t->good;
	if (--s->open == 0)
		s->done(s);
}

static void on_head(struct http_call *call, int status, const struct http_header *headers, size_t count,
		    uint64_t content_length, void *arg)
{
	struct smoke_target *t = arg;
	const struct integer_list *wanted = &t->home->statuses;
	(void)call;
	(void)headers;
	(void)count;
	(void)content_length;
	if (status < 200)
		return;
	t->status = status;
	t->good = wanted->count == 0 && status < 400;
	for (size_t i = 0; i < wanted->count; i++)
		t->good |= wanted->items[i] == status;
	if (!t->good)
		snprintf(t->problem, sizeof(t->problem), "this status was not expected");
}

static void on_data(struct http_call *call, struct slice bytes, void *arg)
{
	(void)call;
	(void)bytes;
	(void)arg;
}

static void on_end(struct http_call *call, const struct http_header *trailers, size_t count, void *arg)
{
	(void)call;
	(void)trailers;
	(void)count;
	target_over(arg);
}

static void on_failed(struct http_call *call, enum http_call_failure failure, bool sent, const struct errinfo *info,
		      void *arg)
{
	struct smoke_target *t = arg;
	(void)call;
	(void)failure;
	(void)sent;
	t->good = false;
	snprintf(t->problem, sizeof(t->problem), "%.*s", (int)sizeof(t->problem) - 1, info->message);
	target_over(t);
}

static const struct http_call_handlers handlers = {
	.head = on_head, .data = on_data, .end = on_end, .failed = on_failed};

// False: it could not be asked, which is no good sign either.
static bool ask(struct smoke_target *t, const struct gw_upstream *u, const struct gw_service *service,
		const struct gw_target *target)
{
	struct smoke *s = t->home;
	struct errinfo info;
	ms_errinfo_init(&info);
	t->target = ms_arena_copy(s->arena, target->target);
	enum ms_err err = ms_gw_origin_new(s->client, service, target->host, target->port, &info, &t->origin);
	const struct http_call_options options = {.origin = t->origin,
						  .loop = s->loop,
						  .method = MS_SLICE_LIT("GET"),
						  .target = s->path,
						  .authority = u->host_header.n > 0 ? u->host_header : target->target,
						  .connect_timeout_ms = s->timeout_ms,
						  .send_timeout_ms = s->timeout_ms,
						  .read_timeout_ms = s->timeout_ms,
						  .new_connection = true,
						  .handlers = &handlers,
						  .arg = t};
	if (err == MS_OK)
		err = ms_http_call_start(s->client, &options, &info, &t->call);
	if (err != MS_OK)
		snprintf(t->problem, sizeof(t->problem), "%.*s", (int)sizeof(t->problem) - 1, info.message);
	return err == MS_OK;
}

// The service whose host the upstream is says how its targets are spoken to.
static const struct gw_service *service_of(const struct plan *plan, const struct gw_upstream *u)
{
	for (size_t i = 0; i < plan->service_count; i++) {
		if (plan->services[i].upstream == u)
			return &plan->services[i];
	}
	return NULL;
}

enum ms_err ms_smoke_start(struct smoke *s, const struct plan *plan, const struct gw_upstream *u, struct errinfo *info)
{
	const struct gw_service *service = service_of(plan, u);
	if (service == NULL)
		return ms_fail(info, MS_ERR_CONFLICT,
			       "no service uses this upstream: there is nobody to tell how its targets are spoken to");
	s->targets = MS_ARENA_ARRAY(s->arena, struct smoke_target, TARGETS_MAX);
	if (s->targets == NULL)
		return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory");
	s->good = true;
	s->open = 1; // us, until all are asked
	for (size_t i = 0; i < u->target_count && s->count < TARGETS_MAX; i++) {
		const struct gw_target *target = &u->targets[i];
		if (target->weight == 0 || (target->group.n > 0 && !ms_slice_eq(target->group, s->group)))
			continue;
		struct smoke_target *t = &s->targets[s->count++];
		*t = (struct smoke_target){.home = s};
		if (ask(t, u, service, target))
			s->open++;
		else
			s->good = false;
	}
	if (--s->open == 0)
		s->done(s);
	return MS_OK;
}

void ms_smoke_fini(struct smoke *s)
{
	for (size_t i = 0; i < s->count; i++)
		ms_http_origin_unref(s->targets[i].origin);
	s->count = 0;
}

// --- For the command line ------------------------------------------------------------------------------

struct errand {
	struct smoke smoke;
	struct mail mail;
	struct rt *rt;
	const struct plan *plan;
	const struct gw_upstream *upstream;
	enum ms_err err;
	struct errinfo *info;
};

static void errand_done(struct smoke *s)
{
	ms_rt_stop(MS_CONTAINER_OF(s, struct errand, smoke)->rt);
}

static void begin(struct mail *mail)
{
	struct errand *e = MS_CONTAINER_OF(mail, struct errand, mail);
	e->err = ms_smoke_start(&e->smoke, e->plan, e->upstream, e->info);
	if (e->err != MS_OK)
		ms_rt_stop(e->rt);
}

static void write_findings(const struct smoke *s, struct buf *out)
{
	for (size_t i = 0; i < s->count; i++) {
		const struct smoke_target *t = &s->targets[i];
		ms_buf_printf(out, "%.*s: ", MS_SLICE_ARG(t->target));
		if (t->status != 0)
			ms_buf_printf(out, "%d%s%s\n", t->status, t->good ? "" : ", ", t->problem);
		else
			ms_buf_printf(out, "%s\n", t->problem);
	}
}

static enum ms_err run(struct errand *e, struct buf *out)
{
	struct smoke *s = &e->smoke;
	const struct http_client_options options = {.rt = e->rt};
	MS_TRY(ms_http_client_new(&options, e->info, &s->client));
	s->loop = ms_rt_loop(e->rt, 0);
	ms_loop_post(s->loop, &e->mail, begin);
	enum ms_err err = ms_rt_run(e->rt, e->info);
	err = err != MS_OK ? err : e->err;
	write_findings(s, out);
	if (err == MS_OK && !s->good)
		err = ms_fail(e->info, MS_ERR_CONFLICT, "the smoke check failed; nothing was switched");
	ms_smoke_fini(s);
	ms_http_client_free(s->client);
	return err;
}

enum ms_err ms_gateway_switch_check(const struct gateway_switch *sw, struct slice path, struct buf *out,
				    struct errinfo *info)
{
	struct errand e = {.info = info, .plan = sw->plan, .upstream = sw->upstream_now};
	e.smoke = (struct smoke){.arena = sw->arena,
				 .group = sw->group,
				 .path = path.n > 0 ? path : sw->upstream_now->active.http_path,
				 .timeout_ms = MS_SMOKE_TIMEOUT_MS,
				 .done = errand_done};
	MS_TRY(ms_rt_new(&(struct rt_options){.loops = 1}, info, &e.rt));
	enum ms_err err = run(&e, out);
	ms_rt_free(e.rt);
	return err;
}
