// SPDX-License-Identifier: Apache-2.0
// Private to gateway.c, snapshot.c, proxy*.c, health.c, mirror.c: the way of a request through the plugins to an upstream and back.
#ifndef MS_GATEWAY_PROXY_H
#define MS_GATEWAY_PROXY_H

#include <pthread.h>
#include <stdatomic.h>

#include "gateway/address.h"
#include "gateway/balance.h"
#include "gateway/chain.h"
#include "gateway/gateway.h"
#include "gateway/internal.h"

// --- Snapshots (snapshot.c) ----------------------------------------------------------------------------
// A plan made ready to be used: balancers on the state that lasts, origins of all targets. Immutable but for detours; any thread.

// How requests of a service reach one upstream.
struct service_run {
	const struct gw_service *service;
	const struct gw_upstream *upstream; // the plan's, or `single`
	struct balancer *balancer;          // NULL: a local service
	struct http_origin **origins;       // of upstream->targets
	size_t origin_count;
	bool own_balancer;
	struct gw_upstream single; // of a host that is no upstream
	struct gw_target single_target;
};
struct canary_stats; // canary_watch.h
struct detour;       // to a host that a plugin named
struct gw_snapshot {
	atomic_uint refs;
	struct gateway *gateway;
	struct plan *plan;
	struct arena arena;
	struct balancer **balancers;  // of plan->upstreams
	struct service_run *services; // of plan->services
	pthread_mutex_t lock;         // of detours
	struct detour *detours;
	size_t detour_count;
	struct canary_stats **canaries; // of plan->uses; NULL: none is watched
	struct gw_service plain[2];     // http, https: for hosts that belong to no service
};
// Takes the caller's reference of the plan when it succeeds.
MS_MUST_USE enum ms_err ms_gw_snapshot_new(struct gateway *gateway, struct plan *plan, struct errinfo *info,
					   struct gw_snapshot **ret_snapshot);
struct gw_snapshot *ms_gw_snapshot_ref(struct gw_snapshot *snapshot);
void ms_gw_snapshot_unref(struct gw_snapshot *snapshot); // accepts NULL
const struct service_run *ms_gw_snapshot_service(const struct gw_snapshot *snapshot, const struct gw_service *service);
// The service by way of another upstream or host. NULL: no memory, or more than a thousand such hosts.
const struct service_run *ms_gw_snapshot_detour(struct gw_snapshot *snapshot, const struct gw_service *service,
						struct slice host, unsigned port);
// An origin for requests of the service to this target.
MS_MUST_USE enum ms_err ms_gw_origin_new(struct http_client *client, const struct gw_service *service,
					 struct slice host, unsigned port, struct errinfo *info,
					 struct http_origin **ret_origin);

// --- The gateway (gateway.c) ---------------------------------------------------------------------------

struct gw_health;
struct canary_watch;
struct gw_loop {
	struct gateway *gateway;
	struct loop *loop;
	struct gw_snapshot *snapshot; // NULL: none yet
	uint64_t version;
	struct mail mail;
	atomic_bool mailed;
	unsigned mirrors; // shadow requests under way
};
struct gateway_metrics {
	struct metric_family *tries, *health_changes, *mirrored;
	struct metric_series *retries, *breaker, *no_target, *cut;
};
struct gateway {
	struct gateway_options options;
	struct gw_services services;
	struct http_client *client;
	struct balancers *balancers;
	struct pool *pool;
	struct gateway_admin *admin;
	struct gw_health *health;
	struct canary_watch *canaries;
	struct plan *empty;   // before the first plan
	pthread_mutex_t lock; // of latest
	struct gw_snapshot *latest;
	atomic_uint_fast64_t version; // of latest
	struct gw_loop *loops;
	size_t loop_count;
	struct gw_network *trusted; // sorted
	size_t trusted_count;
	struct http_front front;
	struct gateway_metrics metrics;
	atomic_bool stopping;
};
// Of this loop, taken up if it is new; borrowed until the loop's next turn. NULL: no plan yet.
struct gw_snapshot *ms_gateway_snapshot(struct gateway *gateway, struct loop *loop);
// Any thread; a reference.
struct gw_snapshot *ms_gateway_latest(struct gateway *gateway);
void ms_gateway_tell_health(struct gateway *gateway, const struct balancer *balancer, size_t target,
			    enum gw_health_change change, struct loop *loop, const char *why);

// --- Requests (proxy*.c) -------------------------------------------------------------------------------

#define PROXY_HIGH_WATER ((size_t)256 << 10) // waits for the client: the upstream is not read until it is less
#define PROXY_REPLAY_MAX ((size_t)192 << 10) // of a body is kept so that it can be sent once more
#define PROXY_GATHER_MAX ((size_t)8 << 20)   // of an answer, for plugins that want it whole and name no limit

struct body_piece {
	struct body_piece *next;
	struct slice bytes;
};
struct mirror_call;
struct proxy {
	struct gw_request r;
	struct gw_snapshot *snapshot; // a reference
	const struct service_run *run;
	struct gw_lease lease;
	struct http_call *call;
	struct timer *pause; // before a retry
	struct mirror_call *mirror;
	uint64_t *tried;
	uint64_t hash;
	bool has_hash;
	bool in_chain;                     // a phase of the plugins is under way
	bool wants_tunnel, fresh, calling; // fresh: the next try takes a connection of its own
	unsigned retries;
	int failed_status; // of the last try that failed; 0: none did
	const char *failed_code, *failed_message;
	// The request's body, on its way.
	struct body_piece *pieces, **last_piece; // what was sent, for another try
	size_t kept;
	bool body_read, body_paused, body_ended, not_replayable;
	const struct http_header *trailers;
	size_t trailer_count;
	// The answer.
	bool answer_phase, head_seen, failed_answer, head_sent, tunnel, out_ended, gathering, call_paused;
	uint64_t answer_length;
	struct buf gathered;
	const struct http_header *answer_trailers;
	size_t answer_trailer_count;
};
static inline struct proxy *ms_proxy_of(struct gw_request *r)
{
	return MS_CONTAINER_OF(r, struct proxy, r);
}

enum front_verdict ms_proxy_take(struct exchange *x, void *gateway);
void ms_proxy_local_answer(struct exchange *x, struct http_local_answer *answer, void *gateway);
void ms_proxy_over(struct exchange *x, const struct http_outcome *outcome, void *gateway);

// proxy_headers.c: what is said about the client. False: no memory.
MS_MUST_USE bool ms_proxy_head(struct proxy *p);    // out.* and client_ip, from the exchange and the match
MS_MUST_USE bool ms_proxy_forward(struct proxy *p); // X-Forwarded-* and the like, after the plugins
// Whether a client may say this behind its body: not in place of us, nor of a proxy that is trusted.
bool ms_proxy_trailer_ok(struct slice name);
// The value that consistent hashing is done by.
bool ms_proxy_hash(const struct proxy *p, uint64_t *ret_hash);

// proxy_call.c: to the upstream.
void ms_proxy_call(struct proxy *p);
MS_MUST_USE bool ms_proxy_target(const struct gw_request *r,
				 struct slice *ret_target); // path and query; false: no memory
bool ms_proxy_has_body(const struct gw_request *r);         // whether the upstream gets one, if only an empty one
void ms_proxy_drop_call(struct proxy *p);                   // nobody is interested any more

// proxy_answer.c: what comes back.
void ms_proxy_fail(struct proxy *p, int status, const char *code, const char *message); // ours instead of an answer
void ms_proxy_send(struct proxy *p); // r->answer stands: answer phase, then to the client
void ms_proxy_answer_head(struct proxy *p, int status, const struct http_header *headers, size_t count,
			  uint64_t length);
void ms_proxy_answer_data(struct proxy *p, struct slice bytes);
void ms_proxy_answer_end(struct proxy *p, const struct http_header *trailers, size_t count);
void ms_proxy_answer_broken(struct proxy *p); // the upstream's answer will not become whole
void ms_proxy_peer_ended(struct proxy *p);    // of a tunnel
void ms_proxy_interim(struct proxy *p, int status, const struct http_header *headers, size_t count);
void ms_proxy_tunnel(struct proxy *p, const struct http_header *headers, size_t count,
		     const struct http_body_reader *reader);
void ms_proxy_gone(struct exchange *x, void *arg);
MS_MUST_USE bool ms_proxy_copy_headers(struct arena *arena, const struct http_header *from, size_t count,
				       struct http_header **ret_copy);

#endif
