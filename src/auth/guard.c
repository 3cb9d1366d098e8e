// SPDX-License-Identifier: Apache-2.0
// The guard of the HTTP server: who calls, whether he may, and what he is told when not (RFC 6750, section 3).
#include <stdio.h>

#include "auth/gate.h"

#define REALM "Bearer realm=\"mainstay\""
#define RECORD_EVERY_NS 100000000 // refusals in the audit log: ten a second,
#define RECORD_BURST 50           // after fifty at once; the others are counted
#define DETAILS_MAX 1024
#define OBJECT_SHOWN 200

// --- Credentials -------------------------------------------------------------------------------------

enum presented { PRESENTED_NOTHING, PRESENTED_BEARER, PRESENTED_KEY, PRESENTED_OTHER, PRESENTED_TWICE };

static bool is_header(const struct http_header *h, struct slice name)
{
	return h->name.n == name.n && ms_slice_eq_nocase(h->name, name);
}

static enum presented read_authorization(struct slice value, struct slice *ret_credential)
{
	size_t space = ms_slice_find(value, ' ');
	*ret_credential = ms_slice_trim(ms_slice_sub(value, space, SIZE_MAX));
	bool bearer = ms_slice_eq_nocase(ms_slice_sub(value, 0, space), MS_SLICE_LIT("Bearer"));
	return bearer && ret_credential->n > 0 ? PRESENTED_BEARER : PRESENTED_OTHER;
}

static enum presented find_credential(const struct http_request *req, struct slice *ret_credential)
{
	enum presented found = PRESENTED_NOTHING;
	for (size_t i = 0; i < req->header_count; i++) {
		const struct http_header *h = &req->headers[i];
		bool authorization = is_header(h, MS_SLICE_LIT("Authorization"));
		if (!authorization && !is_header(h, MS_SLICE_LIT("X-API-Key")))
			continue;
		if (found != PRESENTED_NOTHING)
			return PRESENTED_TWICE; // which one counts is not ours to guess
		found = authorization ? read_authorization(h->value, ret_credential) : PRESENTED_KEY;
		if (!authorization)
			*ret_credential = h->value;
	}
	return found;
}

// --- Refusals ----------------------------------------------------------------------------------------

static const char *const refusal_names[REFUSAL_COUNT] = {
	[REFUSAL_NONE] = "ok",         [REFUSAL_MISSING] = "missing", [REFUSAL_INVALID] = "invalid",
	[REFUSAL_EXPIRED] = "expired", [REFUSAL_REVOKED] = "revoked", [REFUSAL_FORBIDDEN] = "forbidden",
};

// At most RECORD_BURST at once and one each RECORD_EVERY_NS: the time at which all that were recorded would be paid for.
static bool may_record(struct auth_gate *gate)
{
	int64_t now = ms_clock_mono_ns(), until = atomic_load_explicit(&gate->recorded_until_ns, memory_order_relaxed),
		next;
	do {
		next = MS_MAX(until, now - (int64_t)RECORD_BURST * RECORD_EVERY_NS) + RECORD_EVERY_NS;
		if (next > now) {
			atomic_fetch_add_explicit(&gate->unrecorded, 1, memory_order_relaxed);
			ms_counter_add(gate->metrics.unrecorded, MS_METRICS_SHARED_SHARD, 1);
			return false;
		}
	} while (!atomic_compare_exchange_weak_explicit(&gate->recorded_until_ns, &until, next, memory_order_relaxed,
							memory_order_relaxed));
	return true;
}

bool ms_auth_may_record(struct auth *auth, uint64_t *ret_unrecorded)
{
	if (!may_record(auth->gate))
		return false;
	*ret_unrecorded = ms_auth_take_unrecorded(auth);
	return true;
}

uint64_t ms_auth_take_unrecorded(struct auth *auth)
{
	if (auth->gate == NULL)
		return 0; // nobody is asked who he is
	return atomic_exchange_explicit(&auth->gate->unrecorded, 0, memory_order_relaxed);
}

struct text {
	char p[DETAILS_MAX];
	size_t n;
};

static void put(struct text *t, const char *key, struct slice value)
{
	char escaped[OBJECT_SHOWN * MS_JSON_ESCAPE_MAX];
	size_t taken, n = ms_text_json_escape(value, escaped, MS_MIN(sizeof(escaped), (size_t)OBJECT_SHOWN), &taken);
	int added = snprintf(t->p + t->n, sizeof(t->p) - t->n, "%s\"%s\":\"%.*s\"", t->n > 1 ? "," : "", key, (int)n,
			     escaped);
	if (added > 0 && (size_t)added < sizeof(t->p) - t->n)
		t->n += (size_t)added;
	t->p[t->n] = '\0';
}

static struct slice route_object(const struct exchange *x, struct slice object)
{
	return object.p != NULL && x->req.route->permission != NULL ? object : MS_SLICE_LIT("");
}

static void record(struct auth_gate *gate, const struct exchange *x, enum auth_refusal refusal, const char *permission,
		   struct slice object)
{
	struct text t = {.p = "{", .n = 1};
	uint64_t unrecorded;
	if (!ms_auth_may_record(gate->auth, &unrecorded))
		return;
	put(&t, "reason", ms_slice_cstr(refusal_names[refusal]));
	put(&t, "method", ms_slice_cstr(ms_http_method_name(x->req.method)));
	put(&t, "route", ms_slice_cstr(x->req.route->pattern));
	put(&t, "permission", ms_slice_cstr(permission));
	if (object.n > 0)
		put(&t, "object", object);
	int n = snprintf(t.p + t.n, sizeof(t.p) - t.n, ",\"unrecorded\":%llu}", (unsigned long long)unrecorded);
	if (n <= 0 || (size_t)n >= sizeof(t.p) - t.n)
		return;
	const struct audit_entry entry = {.event = AUTH_DENIED,
					  .outcome = AUDIT_REFUSED,
					  .actor = ms_auth_actor_of(x),
					  .details = ms_slice(t.p, t.n + (size_t)n)};
	ms_audit_later(gate->auth, &entry);
}

static enum ms_err unauthenticated(struct exchange *x, enum auth_refusal refusal, struct errinfo *info)
{
	static const struct {
		enum ms_err code;
		struct slice header;
		const char *message;
	} answers[REFUSAL_COUNT] = {
		[REFUSAL_MISSING] =
			{MS_ERR_UNAUTHENTICATED,
			 {REALM, sizeof(REALM) - 1},
			 "this needs credentials: Authorization: Bearer with a token or an API key, or X-API-Key"},
		[REFUSAL_INVALID] = {MS_ERR_TOKEN_INVALID, {NULL, 0}, "the token or key is not valid"},
		[REFUSAL_EXPIRED] = {MS_ERR_TOKEN_EXPIRED, {NULL, 0}, "the token or key is expired"},
		[REFUSAL_REVOKED] = {MS_ERR_TOKEN_REVOKED,
				     {NULL, 0},
				     "the token was revoked: its session ended, or its user changed"},
	};
	char header[256];
	struct slice value = answers[refusal].header;
	MS_ASSERT(answers[refusal].message != NULL);
	if (value.p == NULL) {
		int n = snprintf(header, sizeof(header), REALM ", error=\"invalid_token\", error_description=\"%s\"",
				 answers[refusal].message);
		value = ms_slice(header, (size_t)n);
	}
	ms_http_set_header(x, "WWW-Authenticate", value);
	return ms_fail(info, answers[refusal].code, "%s", answers[refusal].message);
}

static enum ms_err forbidden(struct exchange *x, const char *permission, struct slice object, struct errinfo *info)
{
	char value[256];
	// A scope is said as it would have to be granted, if it can be said in a header at all.
	bool plain = object.n > 0 && object.n <= 100;
	for (size_t i = 0; plain && i < object.n; i++)
		plain = object.p[i] > 0x20 && object.p[i] < 0x7f && object.p[i] != '"' && object.p[i] != '\\';
	int n = snprintf(value, sizeof(value), REALM ", error=\"insufficient_scope\", scope=\"%s%s%.*s\"", permission,
			 plain ? ":" : "", plain ? (int)object.n : 0, plain ? object.p : "");
	ms_http_set_header(x, "WWW-Authenticate", ms_slice(value, (size_t)n));
	if (object.n > 0)
		return ms_fail(info, MS_ERR_FORBIDDEN, "this caller has no permission '%s' for '%.*s'", permission,
			       (int)MS_MIN(object.n, (size_t)OBJECT_SHOWN), object.p);
	return ms_fail(info, MS_ERR_FORBIDDEN, "this caller has no permission '%s'", permission);
}

static void count(struct auth_gate *gate, const struct exchange *x, enum gate_credential kind,
		  enum auth_refusal refusal)
{
	ms_counter_add(gate->metrics.checks[kind][refusal], ms_loop_index(x->loop), 1);
}

// --- The guard ---------------------------------------------------------------------------------------

static enum ms_err refuse(struct auth_gate *gate, struct exchange *x, enum gate_credential kind,
			  enum auth_refusal refusal, struct slice object, struct errinfo *info)
{
	const char *permission = x->req.route->permission;
	count(gate, x, kind, refusal);
	record(gate, x, refusal, permission, route_object(x, object));
	return refusal == REFUSAL_FORBIDDEN ? forbidden(x, permission, object, info)
					    : unauthenticated(x, refusal, info);
}

static enum ms_err admit(struct exchange *x, struct slice object, struct errinfo *info, void *arg)
{
	struct auth_gate *gate = arg;
	struct slice credential;
	struct gate_answer answer;
	enum presented presented = find_credential(&x->req, &credential);
	if (MS_UNLIKELY(presented == PRESENTED_TWICE)) {
		ms_http_set_header(x, "WWW-Authenticate", MS_SLICE_LIT(REALM ", error=\"invalid_request\""));
		return ms_fail(info, MS_ERR_INVALID,
			       "there are two credentials; send one Authorization or one X-API-Key header");
	}
	if (MS_UNLIKELY(presented == PRESENTED_NOTHING || presented == PRESENTED_OTHER))
		return refuse(gate, x, CREDENTIAL_NONE,
			      presented == PRESENTED_NOTHING ? REFUSAL_MISSING : REFUSAL_INVALID, object, info);
	MS_TRY(ms_gate_check(ms_gate_loop(gate, x->loop), credential, presented == PRESENTED_BEARER, x->arena, info,
			     &answer));
	if (MS_UNLIKELY(answer.refusal != REFUSAL_NONE))
		return refuse(gate, x, answer.kind, answer.refusal, object, info);
	x->caller = (struct caller){
		.kind = answer.who->kind, .id = answer.who->id, .name = answer.who->name, .guard_data = answer.who};
	if (MS_UNLIKELY(!ms_grants_allow(answer.who->grants, x->req.route->permission, object)))
		return refuse(gate, x, answer.kind, REFUSAL_FORBIDDEN, object, info);
	count(gate, x, answer.kind, REFUSAL_NONE);
	return MS_OK;
}

static bool may(const struct exchange *x, const char *permission, struct slice object, void *arg)
{
	(void)arg;
	const struct admitted *who = x->caller.guard_data;
	// Somebody asks about a certain object: none at all is not any.
	return who != NULL && ms_grants_allow(who->grants, permission, object.p != NULL ? object : MS_SLICE_LIT(""));
}

static void refused(const struct exchange *x, const char *permission, struct slice object, void *arg)
{
	struct auth_gate *gate = arg;
	const struct admitted *who = x->caller.guard_data;
	enum gate_credential kind = who == NULL               ? CREDENTIAL_NONE
				    : who->kind == CALLER_KEY ? CREDENTIAL_KEY
							      : CREDENTIAL_TOKEN;
	ms_counter_add(gate->metrics.checks[kind][REFUSAL_FORBIDDEN], MS_METRICS_SHARED_SHARD, 1);
	record(gate, x, REFUSAL_FORBIDDEN, permission, object);
}

const struct http_guard *ms_auth_guard(struct auth *auth)
{
	MS_ASSERT(auth->gate != NULL);
	return &auth->gate->guard;
}

const struct grants *ms_auth_grants_of(const struct exchange *x)
{
	const struct admitted *who = x->caller.guard_data;
	return who != NULL ? who->grants : MS_GRANTS_NONE;
}

struct slice ms_auth_user_of(const struct exchange *x)
{
	const struct admitted *who = x->caller.guard_data;
	return who != NULL ? who->user : MS_SLICE_LIT("");
}

bool ms_auth_is_for_client(const struct exchange *x)
{
	const struct admitted *who = x->caller.guard_data;
	return who != NULL && who->for_client;
}

struct auth_actor ms_auth_actor_of(const struct exchange *x)
{
	const struct admitted *who = x->caller.guard_data;
	struct auth_actor actor = {.kind = x->caller.kind, .address = x->req.peer, .request_id = x->req.id};
	if (who != NULL) {
		actor.id = who->id;
		actor.name = who->name;
		actor.session = who->session;
	}
	return actor;
}

// --- Metrics -----------------------------------------------------------------------------------------

static const char *const check_labels[] = {"credential", "outcome"};
static const char *const cache_labels[] = {"result"};

static bool make_checks(struct auth_gate *gate, struct metrics *metrics)
{
	static const char *const kinds[CREDENTIAL_COUNT] = {"none", "key", "token"};
	struct metric_family *family = ms_metrics_family(
		metrics,
		&(struct metric_options){
			.name = "auth_checks_total",
			.help = "Requests to routes that are not public, by what they showed and what came of it",
			.type = METRIC_COUNTER,
			.labels = check_labels,
			.label_count = MS_ARRAY_LEN(check_labels)});
	for (int kind = 0; family != NULL && kind < CREDENTIAL_COUNT; kind++) {
		for (int refusal = 0; refusal < REFUSAL_COUNT; refusal++) {
			const struct slice values[] = {ms_slice_cstr(kinds[kind]),
						       ms_slice_cstr(refusal_names[refusal])};
			if (kind == CREDENTIAL_NONE && refusal != REFUSAL_MISSING && refusal != REFUSAL_INVALID)
				continue;
			if (kind != CREDENTIAL_NONE && refusal == REFUSAL_MISSING)
				continue;
			gate->metrics.checks[kind][refusal] = ms_metrics_series(family, values);
		}
	}
	return family != NULL;
}

static bool make_others(struct auth_gate *gate, struct metrics *metrics)
{
	struct metric_family *cache = ms_metrics_family(
		metrics,
		&(struct metric_options){
			.name = "auth_cache_total",
			.help = "Tokens looked for among those that were verified (hit, miss) or refused before",
			.type = METRIC_COUNTER,
			.labels = cache_labels,
			.label_count = MS_ARRAY_LEN(cache_labels)});
	struct metric_family *unrecorded = ms_metrics_family(
		metrics,
		&(struct metric_options){.name = "auth_refusals_unrecorded_total",
					 .help = "Refusals that the audit log counts but does not show one by one",
					 .type = METRIC_COUNTER});
	if (cache == NULL || unrecorded == NULL)
		return false;
	const struct slice hit = MS_SLICE_LIT("hit"), miss = MS_SLICE_LIT("miss"),
			   refused_before = MS_SLICE_LIT("refused");
	gate->metrics.hit = ms_metrics_series(cache, &hit);
	gate->metrics.miss = ms_metrics_series(cache, &miss);
	gate->metrics.refused = ms_metrics_series(cache, &refused_before);
	gate->metrics.unrecorded = ms_metrics_series(unrecorded, NULL);
	return true;
}

enum ms_err ms_guard_init(struct auth_gate *gate, struct errinfo *info)
{
	struct metrics *metrics = gate->auth->options.metrics;
	gate->guard = (struct http_guard){.admit = admit, .may = may, .refused = refused, .arg = gate};
	atomic_init(&gate->recorded_until_ns, INT64_MIN / 2);
	if (metrics != NULL && (!make_checks(gate, metrics) || !make_others(gate, metrics)))
		return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory for the guard's metrics");
	return MS_OK;
}
