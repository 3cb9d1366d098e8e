// SPDX-License-Identifier: Apache-2.0
// Private to gateway. What a plugin is, and the request that it works on. One file per plugin under plugins/, one row each in plugins/table.c.
//
// Phases: access (head of the request is there) → body (only if it asks: the whole body is there) → [upstream] → answer (head of the answer) →
// answer_body (only if it asks: whole body) → over (log). Each runs the chain by priority, high to low.
#ifndef MS_GATEWAY_PLUGIN_H
#define MS_GATEWAY_PLUGIN_H

#include "gateway/plan.h"

struct auth;
struct cache;
struct gateway;
struct http_client;
struct gw_request;
struct gw_runtime; // chain.h

// What plugins may use; of the gateway.
struct gw_services {
	struct rt *rt;
	struct log *log;
	struct metrics *metrics;
	struct cache *cache;        // the process's
	struct http_client *client; // http-log, mirror
	struct auth *auth;          // NULL: off
	struct pool *pool;          // for what blocks: argon2 of basic-auth
	struct gw_runtime *runtime; // what plugins keep: ms_gw_runtime_new()
};

enum gw_verdict {
	GW_NEXT,     // go on with the chain
	GW_ANSWERED, // gw_answer…() was called: the rest of the phase is skipped, answer and over phases follow
	GW_WAIT,     // ms_gw_resume() will be called later, on the loop
};
struct gw_plugin_kind {
	const char *name; // "rate-limiting"
	int priority;
	const struct field *fields; // of its config
	size_t config_bytes;        // of the struct that `fields` describe
	bool per_consumer;          // may be scoped to a consumer
	const char *help;
	// Beyond the fields: what spans several, what is compiled (expressions, schemas). Memory in plan's arena; anything else is freed by release.
	bool (*compile)(struct plan *plan, void *config, const char *path, struct problems *problems);
	void (*release)(void *config);
	bool (*wants_body)(const void *config);
	bool (*wants_answer_body)(const void *config);
	enum gw_verdict (*access)(struct gw_request *r, const void *config,
				  void **state); // state: this plugin's slot for this request, NULL first
	enum gw_verdict (*body)(struct gw_request *r, const void *config, void **state);
	void (*answer)(struct gw_request *r, const void *config, void **state);
	enum gw_verdict (*answer_body)(struct gw_request *r, const void *config, void **state);
	void (*over)(struct gw_request *r, const void *config, void **state, const struct http_outcome *outcome);
};
// A configured plugin.
struct gw_plugin_use {
	char id[GW_ID_SIZE];
	const struct gw_plugin_kind *kind;
	const struct gw_service *service; // scopes; NULL: every
	const struct gw_route *route;
	const struct gw_consumer *consumer;
	struct slice instance_name;
	bool enabled;
	uint64_t protocols;
	void *config;
	size_t slot; // of the state in a request, by kind
	struct text_list tags;
};
const struct gw_plugin_kind *ms_plugin_kind(struct slice name); // NULL: unknown
const struct gw_plugin_kind *ms_plugin_kind_at(
	size_t index); // NULL past the end; by priority, high to low; no two have the same
// Checks a credential and makes ready what its plugin needs of it (keys, digests), in credential->compiled; given back with plan's arena. `path`,
// `where`: of the credential, for problems. Passwords in plain text are digested, and the caller wipes them from the plan. False: problems.
MS_MUST_USE bool ms_gw_credential_compile(struct plan *plan, struct gw_credential *credential, const char *path,
					  const struct json_value *where, struct problems *problems);

// Headers that can be changed, in the request's arena. Names keep their case; compared without.
struct gw_headers {
	struct arena *arena;
	struct http_header *items;
	size_t count, room;
};
// Whether it is one of these (in lower case). '_' is taken for '-': some servers show both alike to their programs, so that X_Real_IP would pass for
// X-Real-IP.
bool ms_gw_header_is_of(struct slice name, const struct slice *names, size_t count);
struct slice ms_gw_header(const struct gw_headers *h, struct slice name); // the first; p NULL: none
bool ms_gw_header_remove(struct gw_headers *h, struct slice name);        // all of that name; true: there was one
// Copies nothing: the slices live as long as the request. False: no memory, or more than 200 headers.
MS_MUST_USE bool ms_gw_header_add(struct gw_headers *h, struct slice name, struct slice value);
MS_MUST_USE bool ms_gw_header_set(struct gw_headers *h, struct slice name,
				  struct slice value); // in place of all of that name

#define GW_SLOTS_MAX 40 // kinds of plugins
struct gw_request {
	struct exchange *x;
	struct gateway *gateway;
	const struct gw_services *services;
	struct arena *arena; // x->arena
	struct plan *plan;   // held for the whole request
	struct gw_match match;
	const struct gw_route *route;     // NULL: none matched (global plugins run all the same, then 404)
	const struct gw_service *service; // may be NULL
	const struct gw_chain *chain;
	struct slice client_ip; // x->req.peer, or what trusted proxies say
	bool tls;               // the client speaks TLS, here or with a trusted proxy
	// Who calls, as authentication plugins found out. Whoever is set here travels in X-Consumer-* and X-Credential-Identifier; the same
	// headers from outside were stripped before the first plugin ran.
	const struct gw_consumer *consumer;
	const struct gw_credential *credential;
	struct slice credential_id; // text for X-Credential-Identifier, limit_by credential
	struct text_list groups;    // authenticated groups
	bool anonymous;
	// What will be sent on; plugins change it.
	struct {
		struct slice method, path, query; // path percent-encoded, strip_path and service.path applied
		struct slice authority;           // Host: preserve_host, upstream.host_header, or the target's
		struct gw_headers headers;
		struct slice body; // with reads_body: the whole body; p NULL: none
		bool body_changed;
		struct slice host; // canary: another upstream or host instead of the service's; empty: the service's
		unsigned port;     // of it; 0: the service's
		// canary: when `host` is an upstream without a healthy target, the request goes the usual way: with host cleared and this path.
		bool host_fallback;
		struct slice fallback_path;
		uint64_t
			max_body; // request-size-limiting: more than this is cut, also while streaming, with 413; UINT64_MAX: no limit
		bool body_collected;            // out.body was read in the access phase already (ms_gw_collect)
		const struct gw_mirror *mirror; // a copy of the request goes there; NULL: none
	} out;
	// The answer, from the answer phase on.
	struct {
		int status;
		struct gw_headers headers;
		struct slice body; // with wants_body: the whole
		bool body_changed;
		bool wants_body;   // set in the answer phase by plugins that want the whole body of this answer
		uint64_t max_body; // then: the largest body that is gathered for them; 0: the proxy's own limit
		enum { GW_FROM_NOWHERE, GW_FROM_UPSTREAM, GW_FROM_GATEWAY, GW_FROM_CACHE, GW_FROM_LOCAL } source;
	} answer;
	// Headers that earlier phases want in the answer, whoever gives it (cors, rate limits); added before the answer phase.
	struct gw_headers answer_extra;
	int upstream_status;                    // of the answer as it came; 0: none came
	int64_t start_ns, sent_ns, upstream_ns; // monotonic: taken; sent to the upstream; head of its answer
	int64_t wall_ns;     // Unix time of the request; 0: ms_chain_access takes that of the loop's turn
	struct slice target; // "10.0.0.7:8080" that answered
	unsigned tries;
	void *slots[GW_SLOTS_MAX];
	struct gw_run *run; // chain.c's own
};
// Where mirror sends a copy (mirror's config; the proxy sends). The answer is dropped, or compared.
struct gw_mirror {
	double percent;
	struct slice service; // name of a service of the plan, or empty: then host
	struct slice host;    // upstream's name or host
	int64_t port;
	int protocol; // 0 http, 1 https
	int64_t timeout_ms;
	int64_t max_body;                  // requests with larger bodies are not mirrored
	bool compare_status, compare_body; // count agreement in metrics; of the body: SHA-256
};

// Ends the request in a phase that returns GW_ANSWERED: fills r->answer. Headers: those of answer_extra and those that are added to
// answer.headers afterwards.
void ms_gw_answer(struct gw_request *r, int status, struct slice content_type, struct slice body); // copied
// {"message":…,"error":…,"code":…,"request_id":…}: Kong's field and ours. For gRPC requests: trailers-only with the grpc-status that fits.
void ms_gw_fail(struct gw_request *r, int status, const char *code, const char *message);
// Collects the body into out.body, without its Content-Encoding, then calls `then` on the loop. In the access phase, for who must see the body before
// others go on (key_in_body): the plugin returns GW_WAIT, `then` ends with ms_gw_resume(). Before the body phase: for the proxy. A body that
// cannot be read has been answered, and `then` is not called.
void ms_gw_collect(struct gw_request *r, void (*then)(struct gw_request *r));
// What authentication found out: sets consumer, credential, credential_id and the X-Consumer-*, X-Credential-Identifier headers of out. `anonymous`:
// X-Anonymous-Consumer, and no credential. consumer NULL with a credential_id: somebody without a consumer (mainstay-auth).
void ms_gw_authenticate(struct gw_request *r, const struct gw_consumer *consumer,
			const struct gw_credential *credential, struct slice credential_id, bool anonymous);
// After GW_WAIT, with what the phase would have returned (not GW_WAIT).
void ms_gw_resume(struct gw_request *r, enum gw_verdict verdict);

#endif
