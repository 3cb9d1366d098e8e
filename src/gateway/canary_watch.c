// SPDX-License-Identifier: Apache-2.0
// Figures of canaries are kept by the id of the plugin and outlive plans. Loop 0 compares them and, when told to, changes the plugin's percentage to 100
// or to 0: one new version of the configuration, which an operator can take back like any other.
#include "gateway/canary_watch.h"

#include <stdio.h>
#include <stdlib.h>

#include "gateway/admin.h"
#include "gateway/canary_analysis.h"
#include "gateway/document.h"
#include "gateway/proxy.h"
#include "gateway/versions.h"

#define STATS_MAX 1000
#define TICK_MS 250
#define DOCUMENT_MAX ((size_t)256 << 20)

static const char *const modes[] = {[CANARY_OFF] = "off", [CANARY_REPORT] = "report", [CANARY_ACT] = "act"};

struct arm {
	_Atomic uint64_t requests, errors, latency[GW_LATENCY_BUCKETS];
};
struct canary_stats {
	struct canary_stats *next;
	char id[GW_ID_SIZE];
	struct arm arms[2]; // baseline, canary
	atomic_uint looks;
	int64_t looked_ns; // of loop 0
};
struct canary_watch {
	struct gateway *gateway;
	struct timer *timer;
	pthread_mutex_t lock; // of the list; entries stay until the end
	struct canary_stats *stats;
	size_t count;
	// A change that is under way, of loop 0.
	bool busy, stopped;
	struct canary_stats *changing;
	enum canary_verdict verdict;
	struct store_work work;
	struct gateway_edit edit;
	struct auth_actor actor;
	char comment[200];
};

static const struct gw_canary_rules *rules_of(const struct gw_plugin_use *use)
{
	const struct gw_canary_rules *rules = use->config;
	bool is_canary = strcmp(use->kind->name, "canary") == 0;
	return is_canary && use->enabled && rules->mode != CANARY_OFF ? rules : NULL;
}

// --- Gathering -----------------------------------------------------------------------------------------

static struct canary_stats *find(struct canary_watch *w, struct slice id, bool make)
{
	pthread_mutex_lock(&w->lock);
	struct canary_stats *s = w->stats;
	while (s != NULL && !ms_slice_eq_cstr(id, s->id))
		s = s->next;
	if (s == NULL && make && w->count < STATS_MAX && (s = calloc(1, sizeof(*s))) != NULL) {
		snprintf(s->id, sizeof(s->id), "%.*s", MS_SLICE_ARG(id));
		s->next = w->stats;
		w->stats = s;
		w->count++;
	}
	pthread_mutex_unlock(&w->lock);
	return s;
}

bool ms_canary_watch_plan(struct gw_snapshot *snapshot)
{
	const struct plan *plan = snapshot->plan;
	for (size_t i = 0; i < plan->use_count; i++) {
		if (rules_of(&plan->uses[i]) == NULL)
			continue;
		if (snapshot->canaries == NULL)
			snapshot->canaries = MS_ARENA_ARRAY(&snapshot->arena, struct canary_stats *, plan->use_count);
		if (snapshot->canaries == NULL)
			return false;
		snapshot->canaries[i] = find(snapshot->gateway->canaries, ms_slice_cstr(plan->uses[i].id), true);
	}
	return true;
}

static void add(_Atomic uint64_t *count)
{
	atomic_fetch_add_explicit(count, 1, memory_order_relaxed);
}

void ms_canary_over(const struct proxy *p, const struct http_outcome *outcome)
{
	const struct gw_request *r = &p->r;
	// A client that went before there was an answer says nothing about either.
	if (p->snapshot->canaries == NULL || r->chain == NULL || !p->calling || outcome->status == 0)
		return;
	for (size_t i = 0; i < r->chain->count; i++) {
		const struct gw_plugin_use *use = r->chain->uses[i];
		struct canary_stats *s = p->snapshot->canaries[use - r->plan->uses];
		if (s == NULL)
			continue;
		bool fell_back = r->out.host_fallback && r->out.host.n == 0;
		struct arm *arm = &s->arms[r->slots[use->slot] != NULL && !fell_back];
		int status = r->upstream_status != 0 ? r->upstream_status : r->answer.status;
		add(&arm->requests);
		if (status >= 500 || p->failed_answer)
			add(&arm->errors);
		if (r->upstream_ns > 0)
			add(&arm->latency[ms_latency_bucket(r->upstream_ns - r->sent_ns)]);
	}
}

static void reset(struct canary_stats *s)
{
	for (size_t a = 0; a < 2; a++) {
		atomic_store(&s->arms[a].requests, 0);
		atomic_store(&s->arms[a].errors, 0);
		for (size_t i = 0; i < GW_LATENCY_BUCKETS; i++)
			atomic_store(&s->arms[a].latency[i], 0);
	}
	atomic_store(&s->looks, 0);
}

bool ms_canary_reset(struct gateway *gateway, struct slice id)
{
	struct canary_stats *s = find(gateway->canaries, id, false);
	if (s != NULL)
		reset(s);
	return s != NULL;
}

static struct canary_arm picture(const struct arm *arm)
{
	struct canary_arm a = {.errors = atomic_load(&arm->errors)};
	a.requests = atomic_load(&arm->requests); // after the errors: never fewer
	for (size_t i = 0; i < GW_LATENCY_BUCKETS; i++)
		a.latency[i] = atomic_load(&arm->latency[i]);
	return a;
}

static struct canary_analysis analyse(const struct canary_stats *s, const struct gw_canary_rules *rules,
				      struct canary_arm arms[2])
{
	const struct canary_limits limits = {.minimum_requests = (uint64_t)rules->minimum_requests,
					     .significance = rules->significance,
					     .looks = (unsigned)rules->looks,
					     .error_tolerance = rules->error_tolerance,
					     .latency_tolerance = rules->latency_tolerance};
	arms[0] = picture(&s->arms[0]);
	arms[1] = picture(&s->arms[1]);
	return ms_canary_analyse(&arms[0], &arms[1], &limits);
}

// --- Acting --------------------------------------------------------------------------------------------

// A copy of the object with this member; `without` is left out.
static const struct json_value *with_member(struct arena *arena, const struct json_value *object, const char *name,
					    struct json_value value, const char *without)
{
	size_t n = 0;
	struct json_value *copy = MS_ARENA_NEW(arena, struct json_value);
	struct json_member *members = MS_ARENA_ARRAY(arena, struct json_member, object->object.count + 1);
	if (copy == NULL || members == NULL)
		return NULL;
	for (size_t i = 0; i < object->object.count; i++) {
		struct slice key = object->object.members[i].key;
		if (!ms_slice_eq_cstr(key, name) && (without == NULL || !ms_slice_eq_cstr(key, without)))
			members[n++] = object->object.members[i];
	}
	members[n++] = (struct json_member){ms_slice_cstr(name), value};
	*copy = (struct json_value){.type = JSON_OBJECT, .object = {members, n}};
	return copy;
}

static const struct json_value *changed_plugin(const struct canary_watch *w, struct arena *arena,
					       const struct json_value *document)
{
	struct slice percentage = w->verdict == CANARY_PROMOTE ? MS_SLICE_LIT("100") : MS_SLICE_LIT("0");
	const struct json_value *plugin = ms_document_find(document, "plugins", ms_slice_cstr(w->changing->id));
	const struct json_value *config = plugin != NULL ? ms_json_get(plugin, "config") : NULL;
	if (config == NULL || config->type != JSON_OBJECT)
		return NULL;
	config = with_member(arena, config, "percentage", (struct json_value){.type = JSON_NUMBER, .str = percentage},
			     "start");
	return config != NULL ? with_member(arena, plugin, "config", *config, NULL) : NULL;
}

static enum ms_err store_change(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct canary_watch *w = arg;
	int64_t version;
	const struct json_value *document = NULL;
	struct buf text;
	struct arena arena;
	struct gw_snapshot *present = ms_gateway_latest(w->gateway);
	ms_arena_init(&arena, 4096, (size_t)1 << 20);
	ms_buf_init(&text, DOCUMENT_MAX);
	enum ms_err err = ms_versions_current(tx, w->edit.auth, info, &version, &document);
	if (err == MS_OK && document == NULL)
		document = present->plan->source;
	const struct json_value *fresh = err == MS_OK ? changed_plugin(w, &arena, document) : NULL;
	if (err == MS_OK && fresh == NULL) {
		err = ms_fail(info, MS_ERR_NOT_FOUND, "the plugin has gone meanwhile");
	} else if (err == MS_OK) {
		ms_buf_clear(&w->edit.words);
		ms_document_change(document, "plugins", ms_slice_cstr(w->changing->id), fresh, &text);
		w->edit.text = ms_buf_slice(&text);
		err = ms_buf_ok(&text) ? ms_gateway_apply(tx, &w->edit, info)
				       : ms_fail(info, MS_ERR_NO_MEMORY, "out of memory");
	}
	ms_buf_fini(&text);
	ms_arena_fini(&arena);
	ms_gw_snapshot_unref(present);
	return err;
}

static void change_done(struct store_work *work)
{
	struct canary_watch *w = MS_CONTAINER_OF(work, struct canary_watch, work);
	w->busy = false;
	ms_buf_fini(&w->edit.words);
	if (work->err != MS_OK) {
		ms_log(w->gateway->options.log, LOG_ERROR, "a canary's verdict could not be carried out",
		       MS_LOG_CSTR("mainstay.gateway.plugin", w->changing->id),
		       MS_LOG_CSTR("error.message", work->info.message));
		return;
	}
	reset(w->changing);
	if (!w->stopped)
		ms_gateway_admin_look(ms_gateway_admin(w->gateway));
}

static void act(struct canary_watch *w, struct canary_stats *s, const struct canary_analysis *a)
{
	struct store *store = w->gateway->options.store;
	ms_log(w->gateway->options.log, a->verdict == CANARY_PROMOTE ? LOG_INFO : LOG_WARN,
	       a->verdict == CANARY_PROMOTE ? "a canary is promoted" : "a canary is rolled back",
	       MS_LOG_CSTR("mainstay.gateway.plugin", s->id), MS_LOG_CSTR("event.reason", a->reason),
	       MS_LOG_FLOAT("mainstay.canary.error_rate", a->error_rate[1]),
	       MS_LOG_FLOAT("mainstay.canary.baseline_error_rate", a->error_rate[0]),
	       MS_LOG_FLOAT("mainstay.canary.error_p", a->error_p), MS_LOG_FLOAT("mainstay.canary.slower", a->slower),
	       MS_LOG_FLOAT("mainstay.canary.latency_p", a->latency_p));
	if (store == NULL) {
		ms_log(w->gateway->options.log, LOG_ERROR, "a canary's verdict needs a store to be carried out",
		       MS_LOG_CSTR("mainstay.gateway.plugin", s->id));
		return;
	}
	w->changing = s;
	w->verdict = a->verdict;
	snprintf(w->comment, sizeof(w->comment), "canary: %s (%s)", ms_canary_verdict_name(a->verdict), a->reason);
	w->actor = ms_auth_actor_system();
	w->edit = (struct gateway_edit){.auth = w->gateway->options.auth,
					.by = &w->actor,
					.name = "canary",
					.comment = ms_slice_cstr(w->comment),
					.expected = -1,
					.accepts = ms_gateway_accepts,
					.accepts_arg = w->gateway};
	ms_buf_init(&w->edit.words, (size_t)1 << 20);
	w->busy = ms_store_write(store, &w->work, ms_rt_loop(w->gateway->options.rt, 0), store_change, w,
				 change_done) == MS_OK;
	if (!w->busy)
		ms_buf_fini(&w->edit.words); // at the next look, then
}

static void tick(struct timer *timer, void *arg)
{
	struct canary_watch *w = arg;
	struct loop *loop = ms_rt_loop(w->gateway->options.rt, 0);
	struct gw_snapshot *s = ms_gateway_snapshot(w->gateway, loop);
	int64_t now_ns = ms_loop_now_ns(loop);
	struct canary_arm arms[2];
	(void)timer;
	for (size_t i = 0; s != NULL && s->canaries != NULL && i < s->plan->use_count && !w->busy; i++) {
		struct canary_stats *stats = s->canaries[i];
		const struct gw_canary_rules *rules = stats != NULL ? rules_of(&s->plan->uses[i]) : NULL;
		if (rules == NULL || rules->mode != CANARY_ACT)
			continue;
		if (stats->looked_ns == 0)
			stats->looked_ns = now_ns;
		if (now_ns - stats->looked_ns < (int64_t)(rules->interval * 1e9) ||
		    atomic_load(&stats->looks) >= (uint64_t)rules->looks || atomic_load(&stats->arms[1].requests) == 0)
			continue;
		stats->looked_ns = now_ns;
		atomic_fetch_add(&stats->looks, 1);
		const struct canary_analysis a = analyse(stats, rules, arms);
		if (a.verdict != CANARY_HOLD)
			act(w, stats, &a);
	}
}

// --- Looking -------------------------------------------------------------------------------------------

static void write_arm(struct json_writer *w, const char *name, const struct canary_arm *arm, double error_rate)
{
	ms_json_key_lit(w, name);
	ms_json_begin_object(w);
	ms_json_key_lit(w, "requests");
	ms_json_u64(w, arm->requests);
	ms_json_key_lit(w, "errors");
	ms_json_u64(w, arm->errors);
	ms_json_key_lit(w, "error_rate");
	ms_json_f64(w, error_rate);
	ms_json_end_object(w);
}

static void write_one(const struct gw_plugin_use *use, const struct canary_stats *s, struct json_writer *w)
{
	const struct gw_canary_rules *rules = rules_of(use);
	struct canary_arm arms[2];
	const struct canary_analysis a = analyse(s, rules, arms);
	ms_json_begin_object(w);
	ms_json_member_text(w, "plugin", ms_slice_cstr(use->id));
	ms_json_member_text(w, "service", use->service != NULL ? use->service->name : MS_SLICE_EMPTY);
	ms_json_member_text(w, "route", use->route != NULL ? use->route->name : MS_SLICE_EMPTY);
	ms_json_member_text(w, "mode", ms_slice_cstr(modes[rules->mode]));
	write_arm(w, "baseline", &arms[0], a.error_rate[0]);
	write_arm(w, "canary", &arms[1], a.error_rate[1]);
	ms_json_member_text(w, "error_test", a.error_exact ? MS_SLICE_LIT("fisher") : MS_SLICE_LIT("z"));
	ms_json_key_lit(w, "error_p");
	ms_json_f64(w, a.error_p);
	ms_json_key_lit(w, "latency_p");
	ms_json_f64(w, a.latency_p);
	ms_json_key_lit(w, "slower");
	ms_json_f64(w, a.slower);
	ms_json_key_lit(w, "looks");
	ms_json_u64(w, atomic_load(&s->looks));
	ms_json_member_text(w, "verdict", ms_slice_cstr(ms_canary_verdict_name(a.verdict)));
	ms_json_member_text(w, "reason", ms_slice_cstr(a.reason));
	ms_json_end_object(w);
}

void ms_canary_write(struct gateway *gateway, struct json_writer *w)
{
	struct gw_snapshot *s = ms_gateway_latest(gateway);
	for (size_t i = 0; s != NULL && s->canaries != NULL && i < s->plan->use_count; i++) {
		if (s->canaries[i] != NULL)
			write_one(&s->plan->uses[i], s->canaries[i], w);
	}
	ms_gw_snapshot_unref(s);
}

// --- Life ----------------------------------------------------------------------------------------------

enum ms_err ms_canary_watch_new(struct gateway *gateway, struct errinfo *info, struct canary_watch **ret_watch)
{
	struct canary_watch *w = calloc(1, sizeof(*w));
	if (w == NULL)
		return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory for canaries");
	w->gateway = gateway;
	pthread_mutex_init(&w->lock, NULL);
	if (ms_timer_new(ms_rt_loop(gateway->options.rt, 0), tick, w, &w->timer) != MS_OK) {
		ms_canary_watch_free(w);
		return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory for canaries");
	}
	ms_timer_start(w->timer, TICK_MS, TICK_MS);
	*ret_watch = w;
	return MS_OK;
}

void ms_canary_watch_stop(struct canary_watch *w)
{
	if (w == NULL)
		return;
	w->stopped = true;
	ms_timer_free(w->timer);
	w->timer = NULL;
}

void ms_canary_watch_free(struct canary_watch *w)
{
	if (w == NULL)
		return;
	ms_timer_free(w->timer);
	for (struct canary_stats *s = w->stats, *next; s != NULL; s = next) {
		next = s->next;
		free(s);
	}
	if (w->busy)
		ms_buf_fini(&w->edit.words);
	pthread_mutex_destroy(&w->lock);
	free(w);
}
