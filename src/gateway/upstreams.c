// SPDX-License-Identifier: Apache-2.0
// What an operator does with an upstream that runs: look at its health, take a target out and back by hand, and switch between two groups of targets
// after a smoke check. A switch is one new version of the configuration: it comes for all loops at once, and back the same way.
#include <stdio.h>
#include <stdlib.h>

#include "gateway/admin.h"
#include "gateway/canary_watch.h"
#include "gateway/document.h"
#include "gateway/health.h"
#include "gateway/smoke.h"
#include "gateway/versions.h"

#define SMOKE_TIMEOUT_MAX_MS 60000

// --- Health --------------------------------------------------------------------------------------------

static void get_health(struct exchange *x, void *role)
{
	struct gateway *g = role;
	struct json_writer w;
	ms_json_writer_init(&w, x->body);
	if (ms_gw_health_write(g, x->req.params[0], &w))
		ms_http_send_json(x, 200);
	else
		ms_http_fail_code(x, MS_ERR_NOT_FOUND, "there is no upstream '%.*s'", MS_SLICE_ARG(x->req.params[0]));
}

static size_t find_upstream(const struct plan *plan, struct slice name)
{
	size_t i = 0;
	while (i < plan->upstream_count && !ms_slice_eq(plan->upstreams[i].name, name) &&
	       !ms_slice_eq_cstr(name, plan->upstreams[i].id))
		i++;
	return i;
}

// {"healthy": false}: as active checks would have found. Of this process; it lasts until a check says otherwise.
static void put_target_health(struct exchange *x, void *role)
{
	struct gateway *g = role;
	const struct gw_snapshot *s = ms_gateway_snapshot(g, x->loop);
	const struct json_value *body;
	struct errinfo info;
	bool healthy, found = false;
	ms_errinfo_init(&info);
	if (ms_json_parse(x->req.body, NULL, x->arena, &info, &body) != MS_OK) {
		ms_http_fail(x, &info);
		return;
	}
	if (!ms_json_as_bool(ms_json_get(body, "healthy"), &healthy)) {
		ms_http_fail_code(x, MS_ERR_INVALID, "'healthy' must be true or false");
		return;
	}
	size_t at = s != NULL ? find_upstream(s->plan, x->req.params[0]) : 0;
	for (size_t i = 0; s != NULL && at < s->plan->upstream_count && i < s->plan->upstreams[at].target_count; i++) {
		if (!ms_slice_eq(s->plan->upstreams[at].targets[i].target, x->req.params[1]))
			continue;
		found = true;
		enum gw_health_change change = ms_balancer_set_health(s->balancers[at], i, healthy, ms_clock_mono_ns());
		ms_gateway_tell_health(g, s->balancers[at], i, change, x->loop, "an operator");
	}
	if (found)
		get_health(x, role);
	else
		ms_http_fail_code(x, MS_ERR_NOT_FOUND, "there is no such upstream, or it has no such target");
}

// --- Switch --------------------------------------------------------------------------------------------

// It lives in memory of its own: what is under way may outlive the client.
struct switching {
	struct exchange *x;
	struct gateway *g;
	struct arena arena;
	struct gateway_switch sw;
	bool smoke_wanted;
	struct smoke smoke;
	struct store_work work;
	struct auth_actor actor;
	struct mail mail;
};

static void free_switching(struct switching *s)
{
	ms_smoke_fini(&s->smoke);
	ms_buf_fini(&s->sw.edit.words);
	ms_arena_fini(&s->arena);
	free(s);
}

static void fail(struct switching *s, enum ms_err code, const char *text)
{
	ms_http_fail_code(s->x, code, "%s", text);
	free_switching(s);
}

static void write_smokes(const struct switching *s, struct json_writer *w)
{
	ms_json_key_lit(w, "smoke");
	ms_json_begin_array(w);
	for (size_t i = 0; i < s->smoke.count; i++) {
		const struct smoke_target *k = &s->smoke.targets[i];
		ms_json_begin_object(w);
		ms_json_member_text(w, "target", k->target);
		ms_json_key_lit(w, "status");
		if (k->status != 0)
			ms_json_i64(w, k->status);
		else
			ms_json_null(w);
		ms_json_key_lit(w, "ok");
		ms_json_bool(w, k->good);
		ms_json_member_text(w, "problem", ms_slice_cstr(k->problem));
		ms_json_end_object(w);
	}
	ms_json_end_array(w);
}

static void take_up(struct mail *mail)
{
	struct switching *s = MS_CONTAINER_OF(mail, struct switching, mail);
	ms_gateway_admin_look(ms_gateway_admin(s->g)); // now, not with the next notice
	free_switching(s);
}

static void stored(struct store_work *work)
{
	struct switching *s = MS_CONTAINER_OF(work, struct switching, work);
	struct json_writer w;
	if (work->err != MS_OK) {
		ms_http_fail(s->x, &work->info);
		free_switching(s);
		return;
	}
	ms_json_writer_init(&w, s->x->body);
	ms_json_begin_object(&w);
	ms_json_member_text(&w, "upstream", s->sw.upstream);
	ms_json_member_text(&w, "group", s->sw.group);
	ms_json_member_text(&w, "previous", s->sw.previous);
	ms_json_key_lit(&w, "version");
	ms_json_i64(&w, s->sw.edit.version);
	ms_json_key_lit(&w, "changed");
	ms_json_bool(&w, s->sw.edit.changed);
	write_smokes(s, &w);
	ms_json_end_object(&w);
	ms_http_send_json(s->x, 200);
	ms_loop_post(ms_rt_loop(s->g->options.rt, 0), &s->mail, take_up);
}

static enum ms_err store_switch(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct switching *s = arg;
	struct gw_snapshot *present = ms_gateway_latest(s->g); // before there is a version: the file
	s->sw.file = present != NULL ? present->plan->source : NULL;
	enum ms_err err = ms_gateway_switch(tx, &s->sw, info);
	s->sw.file = NULL;
	ms_gw_snapshot_unref(present);
	return err;
}

static void apply(struct switching *s)
{
	enum ms_err err = ms_store_write(s->g->options.store, &s->work, s->x->loop, store_switch, s, stored);
	if (err != MS_OK)
		fail(s, err, "The store takes no more work now.");
}

static void smokes_done(struct smoke *smoke)
{
	struct switching *s = MS_CONTAINER_OF(smoke, struct switching, smoke);
	struct json_writer w;
	if (smoke->good) {
		apply(s);
		return;
	}
	ms_json_writer_init(&w, s->x->body);
	ms_json_begin_object(&w);
	ms_json_key_lit(&w, "error");
	ms_json_cstr(&w, "the smoke check failed; nothing was switched");
	ms_json_key_lit(&w, "code");
	ms_json_cstr(&w, "gateway.smoke_failed");
	ms_json_key_lit(&w, "request_id");
	ms_json_str(&w, s->x->req.id);
	write_smokes(s, &w);
	ms_json_end_object(&w);
	ms_http_send_json(s->x, 409);
	free_switching(s);
}

static void start_smoke(struct switching *s, const struct gw_snapshot *snapshot, const struct gw_upstream *u)
{
	struct errinfo info;
	ms_errinfo_init(&info);
	s->smoke.client = s->g->client;
	s->smoke.loop = s->x->loop;
	s->smoke.arena = &s->arena;
	s->smoke.group = s->sw.group;
	s->smoke.done = smokes_done;
	if (ms_smoke_start(&s->smoke, snapshot->plan, u, &info) == MS_OK)
		return;
	ms_http_fail(s->x, &info);
	free_switching(s);
}

// False: answered.
static bool read_smoke(struct switching *s, const struct json_value *smoke)
{
	int64_t timeout_ms = MS_SMOKE_TIMEOUT_MS, status;
	if (smoke == NULL || smoke->type == JSON_NULL)
		return true;
	const struct json_value *timeout = ms_json_get(smoke, "timeout_ms"), *list = ms_json_get(smoke, "statuses");
	struct slice path;
	bool good = ms_json_as_str(ms_json_get(smoke, "path"), &path) && path.n > 0 && path.p[0] == '/';
	good = good && (timeout == NULL || (ms_json_as_i64(timeout, &timeout_ms) && timeout_ms >= 1 &&
					    timeout_ms <= SMOKE_TIMEOUT_MAX_MS));
	good = good && (list == NULL || (list->type == JSON_ARRAY && list->array.count <= 100));
	if (good && list != NULL) {
		s->smoke.statuses.items = MS_ARENA_ARRAY(&s->arena, int64_t, list->array.count);
		for (size_t i = 0; s->smoke.statuses.items != NULL && i < list->array.count && good; i++) {
			good = ms_json_as_i64(&list->array.items[i], &status);
			s->smoke.statuses.items[s->smoke.statuses.count++] = status;
		}
	}
	if (!good) {
		fail(s, MS_ERR_INVALID,
		     "'smoke' takes a path that begins with '/', statuses (integers) and timeout_ms (1 to 60000)");
		return false;
	}
	s->smoke.path = ms_arena_copy(&s->arena, path);
	s->smoke.timeout_ms = (unsigned)timeout_ms;
	s->smoke_wanted = true;
	return true;
}

static struct switching *switching_new(struct exchange *x, struct gateway *g)
{
	struct switching *s = calloc(1, sizeof(*s));
	if (s == NULL) {
		ms_http_fail_code(x, MS_ERR_NO_MEMORY, "out of memory");
		return NULL;
	}
	s->x = x;
	s->g = g;
	ms_arena_init(&s->arena, 4096, (size_t)16 << 20);
	ms_buf_init(&s->sw.edit.words, (size_t)1 << 20);
	s->actor = ms_auth_actor_of(x);
	s->sw.edit.auth = g->options.auth;
	s->sw.edit.by = &s->actor;
	s->sw.edit.accepts = ms_gateway_accepts;
	s->sw.edit.accepts_arg = g;
	s->sw.edit.name = "switch";
	s->sw.edit.expected = -1;
	return s;
}

static void post_switch(struct exchange *x, void *role)
{
	struct gateway *g = role;
	const struct gw_snapshot *present = ms_gateway_snapshot(g, x->loop);
	const struct json_value *body;
	struct errinfo info;
	struct slice group;
	ms_errinfo_init(&info);
	struct switching *s = switching_new(x, g);
	if (s == NULL)
		return;
	if (ms_json_parse(x->req.body, NULL, &s->arena, &info, &body) != MS_OK) {
		ms_http_fail(x, &info);
		free_switching(s);
		return;
	}
	size_t at = present != NULL ? find_upstream(present->plan, x->req.params[0]) : 0;
	const struct gw_upstream *u =
		present != NULL && at < present->plan->upstream_count ? &present->plan->upstreams[at] : NULL;
	if (g->options.store == NULL) {
		fail(s, MS_ERR_UNSUPPORTED,
		     "The gateway runs without a store, from its file alone: change active_group in the file.");
	} else if (u == NULL) {
		fail(s, MS_ERR_NOT_FOUND, "there is no such upstream");
	} else if (!ms_json_as_str(ms_json_get(body, "group"), &group) || !ms_versions_has_group(u, group)) {
		fail(s, MS_ERR_INVALID, "'group' must be the group of a target of this upstream whose weight is not 0");
	} else if (read_smoke(s, ms_json_get(body, "smoke"))) {
		s->sw.group = ms_arena_copy(&s->arena, group);
		s->sw.previous = ms_arena_copy(&s->arena, u->active_group);
		s->sw.upstream = ms_arena_copy(&s->arena, u->name);
		s->sw.edit.comment = ms_slice_cstr(ms_arena_printf(&s->arena, "switch of %.*s to %.*s",
								   MS_SLICE_ARG(u->name), MS_SLICE_ARG(group)));
		if (s->smoke_wanted)
			start_smoke(s, present, u);
		else
			apply(s);
	}
}

// --- Canaries ------------------------------------------------------------------------------------------

static void list_canaries(struct exchange *x, void *role)
{
	struct json_writer w;
	ms_json_writer_init(&w, x->body);
	ms_json_begin_object(&w);
	ms_json_key_lit(&w, "items");
	ms_json_begin_array(&w);
	ms_canary_write(role, &w);
	ms_json_end_array(&w);
	ms_json_key_lit(&w, "next_cursor");
	ms_json_null(&w);
	ms_json_end_object(&w);
	ms_http_send_json(x, 200);
}

static void reset_canary(struct exchange *x, void *role)
{
	if (ms_canary_reset(role, x->req.params[0]))
		ms_http_send(x, 204, NULL);
	else
		ms_http_fail_code(x, MS_ERR_NOT_FOUND, "there are no figures of such a plugin");
}

#define HEALTH_ANSWER                                                                                          \
	"{\"type\":\"object\",\"properties\":{\"id\":{\"type\":\"string\"},\"name\":{\"type\":\"string\"},\"h" \
	"ealth\":{\"type\":\"string\"},\"healthy_percent\":{\"type\":\"number\"},\"active_group\":{\"type\":[" \
	"\"string\",\"null\"]},\"active_requests\":{\"type\":\"integer\"},\"pending_requests\":{\"type\":\"in" \
	"teger\"},\"retries\":{\"type\":\"integer\"},\"targets\":{\"type\":\"array\",\"items\":{\"type\":\"ob" \
	"ject\",\"properties\":{\"id\":{\"type\":\"string\"},\"target\":{\"type\":\"string\"},\"group\":{\"ty" \
	"pe\":[\"string\",\"null\"]},\"health\":{\"type\":\"string\"},\"weight\":{\"type\":\"integer\"},\"eff" \
	"ective_weight\":{\"type\":\"integer\"},\"active_requests\":{\"type\":\"integer\"},\"requests\":{\"ty" \
	"pe\":\"integer\"},\"failures\":{\"type\":\"integer\"},\"latency_ms\":{\"type\":[\"number\",\"null\"]" \
	"},\"ejections\":{\"type\":\"integer\"},\"ejected_for_ms\":{\"type\":\"integer\"}}}}}}"

#define HEALTH_BODY \
	"{\"type\":\"object\",\"required\":[\"healthy\"],\"properties\":{\"healthy\":{\"type\":\"boolean\"}}}"

#define SWITCH_BODY                                                                                            \
	"{\"type\":\"object\",\"required\":[\"group\"],\"properties\":{\"group\":{\"type\":\"string\"},\"smok" \
	"e\":{\"type\":\"object\",\"required\":[\"path\"],\"properties\":{\"path\":{\"type\":\"string\"},\"st" \
	"atuses\":{\"type\":\"array\",\"items\":{\"type\":\"integer\"}},\"timeout_ms\":{\"type\":\"integer\"," \
	"\"minimum\":1,\"maximum\":60000}}}}}"

#define SWITCH_ANSWER                                                                                          \
	"{\"type\":\"object\",\"properties\":{\"upstream\":{\"type\":\"string\"},\"group\":{\"type\":\"string" \
	"\"},\"previous\":{\"type\":[\"string\",\"null\"]},\"version\":{\"type\":\"integer\"},\"changed\":{\"" \
	"type\":\"boolean\"},\"smoke\":{\"type\":\"array\",\"items\":{\"type\":\"object\",\"properties\":{\"t" \
	"arget\":{\"type\":\"string\"},\"status\":{\"type\":[\"integer\",\"null\"]},\"ok\":{\"type\":\"boolea" \
	"n\"},\"problem\":{\"type\":[\"string\",\"null\"]}}}}}}"

#define CANARIES_ANSWER                                                                                        \
	"{\"type\":\"object\",\"properties\":{\"items\":{\"type\":\"array\",\"items\":{\"type\":\"object\"}}," \
	"\"next_cursor\":{\"type\":\"null\"}}}"

static const struct route routes[] = {
	{.method = HTTP_GET,
	 .pattern = "/gateway/v1/canaries",
	 .handle = list_canaries,
	 .permission = "gateway.read",
	 .operation_id = "gateway_canaries",
	 .tag = "gateway",
	 .summary = "Figures and verdicts of the canaries that are watched, as this process sees them",
	 .response_schema = CANARIES_ANSWER},
	{.method = HTTP_DELETE,
	 .pattern = "/gateway/v1/canaries/{plugin}",
	 .handle = reset_canary,
	 .permission = "gateway.write",
	 .operation_id = "gateway_canary_reset",
	 .tag = "gateway",
	 .summary = "The figures of a canary begin anew"},
	{.method = HTTP_GET,
	 .pattern = "/gateway/v1/upstreams/{name}/health",
	 .handle = get_health,
	 .permission = "gateway.read",
	 .operation_id = "gateway_upstream_health",
	 .tag = "gateway",
	 .summary = "Health and load of an upstream and its targets, as this process sees them",
	 .response_schema = HEALTH_ANSWER},
	{.method = HTTP_PUT,
	 .pattern = "/gateway/v1/upstreams/{name}/targets/{target}/health",
	 .handle = put_target_health,
	 .permission = "gateway.write",
	 .operation_id = "gateway_target_health",
	 .tag = "gateway",
	 .summary = "Takes a target of this process out, or back, until a check says otherwise",
	 .request_type = "application/json",
	 .request_schema = HEALTH_BODY,
	 .request_example = "{\"healthy\":false}",
	 .response_schema = HEALTH_ANSWER},
	{.method = HTTP_POST,
	 .pattern = "/gateway/v1/upstreams/{name}/switch",
	 .handle = post_switch,
	 .permission = "gateway.write",
	 .operation_id = "gateway_switch",
	 .tag = "gateway",
	 .summary = "Sends the traffic of an upstream to another group of its targets",
	 .description = "With `smoke`, each target of the new group is asked first; one that fails stops the switch "
			"(409). The answer names the previous "
			"group: switching to that one, without `smoke`, is the way back.",
	 .request_type = "application/json",
	 .request_schema = SWITCH_BODY,
	 .response_schema = SWITCH_ANSWER,
	 .request_example = "{\"group\":\"green\",\"smoke\":{\"path\":\"/health\",\"statuses\":[200]}}"},
};

struct route_set ms_gateway_upstream_routes(struct gateway *gateway)
{
	return (struct route_set){.routes = routes, .count = MS_ARRAY_LEN(routes), .role = gateway};
}
