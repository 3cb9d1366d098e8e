// SPDX-License-Identifier: Apache-2.0
// Runs the plugins of a request, phase by phase.
#include "gateway/chain.h"

#include "gateway/plugins/plugins.h"

enum gw_phase { PHASE_NONE, PHASE_ACCESS, PHASE_BODY, PHASE_ANSWER, PHASE_ANSWER_BODY, PHASE_OVER };
struct gw_run {
	gw_phase_fn *done;
	const struct gw_plugin_use *use; // that runs, or ran last
	const struct gw_consumer *consumer;
	size_t next; // in r->chain
	enum gw_phase phase;
	enum gw_verdict verdict; // of a resume within the plugin's own call
	bool calling;            // the plugin is on the stack
	bool resumed;            // … and has called ms_gw_resume
	bool waiting;
	void (*then)(struct gw_request *r); // of ms_gw_collect
	struct gw_headers came; // the answer's headers before plugins changed them; only with chain->rewrites_answer
	struct slice came_body;
};

// --- Identity headers ----------------------------------------------------------------------------------

bool ms_gw_is_identity(struct slice name)
{
	static const struct slice names[] = {
		MS_SLICE_LIT("x-consumer-id"),           MS_SLICE_LIT("x-consumer-custom-id"),
		MS_SLICE_LIT("x-consumer-username"),     MS_SLICE_LIT("x-consumer-groups"),
		MS_SLICE_LIT("x-credential-identifier"), MS_SLICE_LIT("x-credential-username"),
		MS_SLICE_LIT("x-authenticated-groups"),  MS_SLICE_LIT("x-anonymous-consumer")};
	return name.n >= sizeof("x-consumer-id") - 1 && (name.p[0] == 'X' || name.p[0] == 'x') &&
	       ms_gw_header_is_of(name, names, MS_ARRAY_LEN(names));
}

static void strip_identity(struct gw_headers *h)
{
	size_t kept = 0;
	for (size_t i = 0; i < h->count; i++) {
		if (!ms_gw_is_identity(h->items[i].name))
			h->items[kept++] = h->items[i];
	}
	h->count = kept;
}

static void tell(struct gw_request *r, const char *name, struct slice value)
{
	struct slice n = ms_slice_cstr(name);
	if (value.n == 0 || !ms_gw_header_value_ok(value) || !ms_gw_header_set(&r->out.headers, n, value))
		ms_gw_header_remove(&r->out.headers, n);
}

void ms_gw_authenticate(struct gw_request *r, const struct gw_consumer *consumer,
			const struct gw_credential *credential, struct slice credential_id, bool anonymous)
{
	r->consumer = consumer;
	r->credential = anonymous ? NULL : credential;
	r->credential_id = anonymous ? MS_SLICE_EMPTY : credential_id;
	r->anonymous = anonymous;
	tell(r, "X-Consumer-ID", consumer != NULL ? ms_slice_cstr(consumer->id) : MS_SLICE_EMPTY);
	tell(r, "X-Consumer-Custom-ID", consumer != NULL ? consumer->custom_id : MS_SLICE_EMPTY);
	tell(r, "X-Consumer-Username", consumer != NULL ? consumer->username : MS_SLICE_EMPTY);
	tell(r, "X-Credential-Identifier", r->credential_id);
	tell(r, "X-Anonymous-Consumer", anonymous ? MS_SLICE_LIT("true") : MS_SLICE_EMPTY);
}

// --- Answers of the gateway itself ---------------------------------------------------------------------

void ms_gw_answer(struct gw_request *r, int status, struct slice content_type, struct slice body)
{
	r->answer.status = status;
	r->answer.headers.arena = r->arena;
	r->answer.headers.count = 0;
	r->answer.body = body.n > 0 ? ms_arena_copy(r->arena, body) : MS_SLICE_EMPTY;
	r->answer.body_changed = true;
	r->answer.source = GW_FROM_GATEWAY;
	struct slice type = content_type.n > 0 ? ms_arena_copy(r->arena, content_type) : MS_SLICE_EMPTY;
	if (type.n > 0)
		MS_IGNORE(ms_gw_header_add(&r->answer.headers, MS_SLICE_LIT("Content-Type"),
					   type)); // the answer counts more
}

// doc/http-grpc-status-mapping.md of gRPC, the other way round: what a client would make of the status.
static unsigned grpc_status(int status)
{
	switch (status) {
	case 400:
	case 413:
	case 431:
		return 13; // INTERNAL
	case 401:
		return 16; // UNAUTHENTICATED
	case 403:
		return 7; // PERMISSION_DENIED
	case 404:
		return 12; // UNIMPLEMENTED
	case 429:
	case 502:
	case 503:
	case 504:
		return 14; // UNAVAILABLE
	default:
		return 2; // UNKNOWN
	}
}

static void fail_grpc(struct gw_request *r, int status, const char *message)
{
	char text[8];
	struct buf escaped;
	ms_gw_answer(r, 200, MS_SLICE_LIT("application/grpc"), MS_SLICE_EMPTY);
	ms_buf_init(&escaped, 4096);
	// Percent-encoding of grpc-message: what is not printable ASCII, and '%'.
	for (const char *c = message; *c != '\0'; c++) {
		if (*c < ' ' || *c > '~' || *c == '%')
			ms_buf_printf(&escaped, "%%%02X", (unsigned)(unsigned char)*c);
		else
			ms_buf_append_char(&escaped, *c);
	}
	unsigned code = grpc_status(status);
	size_t n = 0;
	if (code >= 10)
		text[n++] = '1';
	text[n++] = (char)('0' + code % 10);
	MS_IGNORE(
		ms_gw_header_add(&r->answer.headers, MS_SLICE_LIT("grpc-status"),
				 ms_arena_copy(r->arena, ms_slice(text, n)))); // without memory the answer goes without
	MS_IGNORE(ms_gw_header_add(&r->answer.headers, MS_SLICE_LIT("grpc-message"),
				   ms_arena_copy(r->arena, ms_buf_slice(&escaped)))); // the same
	ms_buf_fini(&escaped);
}

void ms_gw_fail_with(struct gw_request *r, int status, const char *code, const char *message,
		     const struct gw_detail *details, size_t detail_count)
{
	struct buf text;
	struct json_writer w;
	if (message == NULL) // of text in the request's arena, which is full
		message = "out of memory";
	if (ms_gw_is_grpc(r) && r->x->req.version >= 20) {
		fail_grpc(r, status, message);
		return;
	}
	ms_buf_init(&text, 16384);
	ms_json_writer_init(&w, &text);
	ms_json_begin_object(&w);
	ms_json_key_lit(&w, "message");
	ms_json_cstr(&w, message);
	for (size_t i = 0; i < detail_count; i++) {
		ms_json_key_lit(&w, details[i].name);
		ms_json_cstr(&w, details[i].text);
	}
	ms_json_key_lit(&w, "error");
	ms_json_cstr(&w, message);
	ms_json_key_lit(&w, "code");
	ms_json_cstr(&w, code);
	ms_json_key_lit(&w, "request_id");
	ms_json_str(&w, r->x->req.id);
	ms_json_end_object(&w);
	ms_gw_answer(r, status, MS_SLICE_LIT("application/json; charset=utf-8"), ms_buf_slice(&text));
	ms_buf_fini(&text);
}

void ms_gw_fail(struct gw_request *r, int status, const char *code, const char *message)
{
	ms_gw_fail_with(r, status, code, message, NULL, 0);
}

// --- Phases --------------------------------------------------------------------------------------------

static void run_on(struct gw_request *r);

const struct gw_plugin_use *ms_gw_use(const struct gw_request *r)
{
	return r->run->use;
}

// Whether the plugin is for what this request speaks.
static bool applies(const struct gw_request *r, const struct gw_plugin_use *use)
{
	bool tls = r->tls;
	uint64_t spoken = UINT64_C(1) << (tls ? GW_HTTPS : GW_HTTP);
	if (ms_gw_is_grpc(r))
		spoken |= UINT64_C(1) << (tls ? GW_GRPCS : GW_GRPC);
	if (r->x->req.protocol.n > 0)
		spoken |= UINT64_C(1) << (tls ? GW_WSS : GW_WS);
	return use->protocols == 0 || (use->protocols & spoken) != 0;
}

static void **state_of(struct gw_request *r, const struct gw_plugin_use *use)
{
	MS_ASSERT(use->slot < GW_SLOTS_MAX);
	return &r->slots[use->slot];
}

static enum gw_verdict call(struct gw_request *r, const struct gw_plugin_use *use)
{
	const struct gw_plugin_kind *kind = use->kind;
	void **state = state_of(r, use);
	if (r->run->phase == PHASE_ACCESS)
		return kind->access != NULL ? kind->access(r, use->config, state) : GW_NEXT;
	if (r->run->phase == PHASE_BODY) {
		bool wants = kind->body != NULL && kind->wants_body != NULL && kind->wants_body(use->config);
		return wants ? kind->body(r, use->config, state) : GW_NEXT;
	}
	bool wants =
		kind->answer_body != NULL && kind->wants_answer_body != NULL && kind->wants_answer_body(use->config);
	return wants ? kind->answer_body(r, use->config, state) : GW_NEXT;
}

// Somebody is known now: from here on his plugins run, behind the place where the old chain was.
static void follow_consumer(struct gw_request *r)
{
	struct gw_run *run = r->run;
	if (run->phase != PHASE_ACCESS || r->consumer == run->consumer)
		return;
	run->consumer = r->consumer;
	const struct gw_chain *chain = ms_plan_chain(r->plan, r->route, r->consumer);
	if (chain == NULL || chain == r->chain)
		return;
	r->chain = chain;
	run->next = 0;
	while (run->next < chain->count && chain->uses[run->next]->kind->priority >= run->use->kind->priority)
		run->next++;
}

static void end(struct gw_request *r, enum gw_verdict verdict)
{
	r->run->phase = PHASE_NONE;
	r->run->done(r, verdict);
}

// After a plugin has said what it says; false: the phase is over, or waits.
static bool go_on(struct gw_request *r, enum gw_verdict verdict)
{
	MS_ASSERT(verdict != GW_WAIT);
	if (verdict == GW_ANSWERED) {
		end(r, GW_ANSWERED);
		return false;
	}
	follow_consumer(r);
	return true;
}

static void run_on(struct gw_request *r)
{
	struct gw_run *run = r->run;
	while (run->next < r->chain->count) {
		run->use = r->chain->uses[run->next++];
		if (!applies(r, run->use))
			continue;
		run->calling = true;
		run->resumed = false;
		enum gw_verdict verdict = call(r, run->use);
		run->calling = false;
		if (verdict == GW_WAIT && run->resumed)
			verdict = run->verdict;
		if (verdict == GW_WAIT) {
			run->waiting = true;
			return;
		}
		if (!go_on(r, verdict))
			return;
	}
	end(r, GW_NEXT);
}

void ms_gw_resume(struct gw_request *r, enum gw_verdict verdict)
{
	struct gw_run *run = r->run;
	if (run->calling) {
		MS_ASSERT(!run->resumed && verdict != GW_WAIT);
		run->resumed = true;
		run->verdict = verdict;
		return;
	}
	MS_ASSERT(run->waiting);
	run->waiting = false;
	if (go_on(r, verdict))
		run_on(r);
}

static void start(struct gw_request *r, enum gw_phase phase, gw_phase_fn *done)
{
	struct gw_run *run = r->run;
	MS_ASSERT(run->phase == PHASE_NONE && !run->waiting);
	run->phase = phase;
	run->done = done;
	run->next = 0;
	run_on(r);
}

void ms_chain_access(struct gw_request *r, gw_phase_fn *done)
{
	MS_ASSERT(r->run == NULL);
	strip_identity(&r->out.headers);
	r->answer_extra.arena = r->answer.headers.arena = r->arena;
	r->out.max_body = UINT64_MAX;
	if (r->wall_ns == 0)
		r->wall_ns = ms_loop_wall_ns(r->x->loop);
	r->run = MS_ARENA_NEW(r->arena, struct gw_run);
	if (r->run == NULL) {
		ms_gw_fail(r, 503, ms_err_name(MS_ERR_NO_MEMORY), "The server is out of memory");
		done(r, GW_ANSWERED);
		return;
	}
	start(r, PHASE_ACCESS, done);
}

void ms_chain_body(struct gw_request *r, gw_phase_fn *done)
{
	start(r, PHASE_BODY, done);
}

// What several may say is added, the rest replaces what the upstream said.
static void add_extra(struct gw_request *r)
{
	for (size_t i = 0; i < r->answer_extra.count; i++) {
		const struct http_header *h = &r->answer_extra.items[i];
		bool several = ms_slice_eq_nocase(h->name, MS_SLICE_LIT("Vary")) ||
			       ms_slice_eq_nocase(h->name, MS_SLICE_LIT("Set-Cookie"));
		// A head that is full goes as it is.
		MS_IGNORE(several ? ms_gw_header_add(&r->answer.headers, h->name, h->value)
				  : ms_gw_header_set(&r->answer.headers, h->name, h->value));
	}
}

static void keep_headers(struct gw_request *r)
{
	struct gw_headers *came = &r->run->came;
	*came = (struct gw_headers){.arena = r->arena};
	came->items = MS_ARENA_ARRAY(r->arena, struct http_header, r->answer.headers.count);
	if (came->items == NULL || r->answer.headers.count == 0)
		return;
	came->count = came->room = r->answer.headers.count;
	memcpy(came->items, r->answer.headers.items, came->count * sizeof(*came->items));
}

const struct gw_headers *ms_gw_came_headers(const struct gw_request *r)
{
	return &r->run->came;
}

struct slice ms_gw_came_body(const struct gw_request *r)
{
	return r->run->came_body;
}

void ms_chain_answer(struct gw_request *r)
{
	if (r->run == NULL) // no memory for it
		return;
	r->run->phase = PHASE_ANSWER;
	if (r->chain->rewrites_answer)
		keep_headers(r);
	add_extra(r);
	for (size_t i = 0; i < r->chain->count; i++) {
		const struct gw_plugin_use *use = r->run->use = r->chain->uses[i];
		if (use->kind->answer != NULL && applies(r, use))
			use->kind->answer(r, use->config, state_of(r, use));
	}
	r->run->phase = PHASE_NONE;
}

void ms_chain_answer_body(struct gw_request *r, gw_phase_fn *done)
{
	r->run->came_body = r->answer.body;
	start(r, PHASE_ANSWER_BODY, done);
}

void ms_chain_over(struct gw_request *r, const struct http_outcome *outcome)
{
	if (r->run == NULL || r->run->phase == PHASE_OVER)
		return;
	r->run->phase = PHASE_OVER;
	for (size_t i = 0; i < r->chain->count; i++) {
		const struct gw_plugin_use *use = r->run->use = r->chain->uses[i];
		if (use->kind->over != NULL && applies(r, use))
			use->kind->over(r, use->config, state_of(r, use), outcome);
	}
}

// --- The body before its phase ----------------------------------------------------------------------------

static void collected(struct exchange *x, void *arg)
{
	struct gw_request *r = arg;
	r->out.body = x->req.body;
	r->out.body_collected = true;
	ms_gw_header_remove(&r->out.headers, MS_SLICE_LIT("Content-Encoding")); // it was undone
	r->run->then(r);
}

void ms_gw_collect(struct gw_request *r, void (*then)(struct gw_request *r))
{
	r->run->then = then;
	if (r->out.body_collected || !r->x->req.has_body) {
		then(r);
		return;
	}
	size_t max =
		r->out.max_body < SIZE_MAX ? (size_t)MS_MAX(r->out.max_body, (uint64_t)1) : 0; // 0: the server's limit
	ms_http_body_collect(r->x, max, collected, NULL, r);
}
