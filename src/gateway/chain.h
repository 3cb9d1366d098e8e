// SPDX-License-Identifier: Apache-2.0
// Private to gateway. Runs a request's plugins through their phases (chain.c), and what plugins keep from one request to the next (runtime.c).
//
// The proxy calls, each once and in this order, on the request's loop:
//	ms_chain_access       the head of the request is there, out.* is filled
//	ms_chain_body         if r->chain->reads_body (look after access: it may be another chain by then): out.body is whole
//	ms_chain_answer       answer.{status,headers,source} are filled, from wherever
//	ms_chain_answer_body  if answer.wants_body: answer.body is whole
//	ms_chain_over         from the front's `over`; the request's arena still lives
// answer.wants_body may be set for answers of plugins and of the cache as well. Upstreams' answers have answer.source set before ms_chain_answer.
// After GW_ANSWERED of access, body or answer_body the answer stands in r->answer and the proxy goes on with ms_chain_answer (not again after
// answer_body) and sends it. No phase is run again for retries of the upstream.
#ifndef MS_GATEWAY_CHAIN_H
#define MS_GATEWAY_CHAIN_H

#include "gateway/plugin.h"

// GW_NEXT or GW_ANSWERED. Called on the loop, once, possibly from within the call that started the phase.
typedef void gw_phase_fn(struct gw_request *r, enum gw_verdict verdict);

// Whether only the gateway says this: who the caller is.
bool ms_gw_is_identity(struct slice name);
// First strips the headers that only the gateway sets (identity, X-Forwarded-* are the proxy's business) from r->out.headers. When a plugin finds out who calls, the chain
// goes on as ms_plan_chain says for that consumer. The client may be gone at the end: ms_http_gone().
void ms_chain_access(struct gw_request *r, gw_phase_fn *done);
void ms_chain_body(struct gw_request *r, gw_phase_fn *done);
// Adds answer_extra to answer.headers, then runs the plugins. A plugin that wants the body of this very answer sets answer.wants_body and, when it
// can do without a large one, leaves answer.max_body as the others set it: the proxy gathers at most that much; beyond, it sends what it
// has, streams the rest, and does not call ms_chain_answer_body.
void ms_chain_answer(struct gw_request *r);
void ms_chain_answer_body(struct gw_request *r, gw_phase_fn *done);
void ms_chain_over(struct gw_request *r, const struct http_outcome *outcome);

// --- Runtime -----------------------------------------------------------------------------------------
// What outlives requests and plans: queues of http-log, own connections to Redis, passwords that were verified a moment ago, series of metrics.
// services->runtime points to it; services outlives it.
MS_MUST_USE enum ms_err ms_gw_runtime_new(const struct gw_services *services, struct gw_runtime **ret_runtime);
void ms_gw_runtime_stop(struct gw_runtime *runtime); // on loop 0, loops still run; accepts NULL
void ms_gw_runtime_free(struct gw_runtime *runtime); // the loops have ended; accepts NULL

// --- Purging proxy-cache -------------------------------------------------------------------------------
// Of this plugin (its id), or of all when `plugin_id` is empty. Later: `done` on `loop`.
typedef void gw_purged_fn(enum ms_err err, void *arg);
void ms_gw_cache_purge(const struct gw_services *services, struct loop *loop, struct slice plugin_id,
		       gw_purged_fn *done, void *arg);

#endif
