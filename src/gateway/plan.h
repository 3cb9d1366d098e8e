// SPDX-License-Identifier: Apache-2.0
// Private to gateway. A plan: what a configuration says, checked and compiled; immutable, reference counted, swapped whole. Field names, defaults and
// meaning are those of Kong's declarative format (_format_version "1.1", "2.1", "3.0"); what is ours besides is marked so.
#ifndef MS_GATEWAY_PLAN_H
#define MS_GATEWAY_PLAN_H

#include <stdatomic.h>

#include "gateway/record.h"
#include "net/net.h"

#define GW_ID_SIZE 37 // UUID text

enum gw_protocol {
	GW_HTTP,
	GW_HTTPS,
	GW_GRPC,
	GW_GRPCS,
	GW_WS,
	GW_WSS,   // taken for http and https
	GW_LOCAL, // ours: the routes of this process; `path` is put in front
};
enum gw_algorithm { GW_ROUND_ROBIN, GW_LEAST_CONNECTIONS, GW_CONSISTENT_HASHING, GW_LATENCY };
enum gw_hash_on {
	GW_HASH_NONE,
	GW_HASH_CONSUMER,
	GW_HASH_IP,
	GW_HASH_HEADER,
	GW_HASH_COOKIE,
	GW_HASH_PATH,
	GW_HASH_QUERY_ARG,
	GW_HASH_URI_CAPTURE
};

struct gw_target {
	char id[GW_ID_SIZE];
	struct slice target; // "host:port"
	struct slice host;
	unsigned port;
	unsigned weight;    // 0 to 65535; 0: drained
	struct slice group; // ours: "blue", "green"; empty: in every group
	struct text_list tags;
};
struct gw_statuses {
	struct integer_list http_statuses;
};
struct gw_active_check {
	int type;                                                   // 0 http, 1 https, 2 tcp, 3 grpc, 4 grpcs
	double timeout_s, healthy_interval_s, unhealthy_interval_s; // interval 0: off
	int64_t concurrency, healthy_successes, unhealthy_tcp_failures, unhealthy_timeouts, unhealthy_http_failures;
	struct slice http_path, https_sni;
	bool https_verify_certificate;
	struct text_map headers;
	struct integer_list healthy_statuses, unhealthy_statuses;
};
struct gw_passive_check {
	int type; // as of active checks; counts alike for all
	int64_t healthy_successes, unhealthy_tcp_failures, unhealthy_timeouts, unhealthy_http_failures; // 0: off
	struct integer_list healthy_statuses, unhealthy_statuses;
};
// Ours: names and defaults as Envoy's.
struct gw_outlier {
	bool enabled;
	int64_t consecutive_5xx, max_ejection_percent;
	double interval_s, base_ejection_time_s, max_ejection_time_s;
	int64_t success_rate_minimum_hosts, success_rate_request_volume;
	double success_rate_stdev; // 1.9
};
struct gw_breaker {                                                      // ours: circuit breaker
	int64_t max_connections, max_pending, max_requests, max_retries; // 1024, 1024, 1024, 3
	double retry_budget_percent;                                     // 20
};
struct gw_upstream {
	char id[GW_ID_SIZE];
	struct slice name;
	enum gw_algorithm algorithm;
	enum gw_hash_on hash_on, hash_fallback;
	struct slice hash_on_header, hash_on_cookie, hash_on_cookie_path, hash_on_query_arg, hash_on_uri_capture;
	struct slice hash_fallback_header, hash_fallback_query_arg, hash_fallback_uri_capture;
	int64_t slots;
	struct slice host_header;
	double health_threshold; // percent of the weight that must be healthy
	struct gw_active_check active;
	struct gw_passive_check passive;
	struct gw_outlier outlier;
	struct gw_breaker breaker;
	double slow_start_s;       // ours; 0: off
	struct slice active_group; // ours: the group of targets that gets the traffic; empty: all
	struct gw_target *targets;
	size_t target_count;
	struct text_list tags;
};
struct gw_plugin_use; // plugin.h
struct gw_service {
	char id[GW_ID_SIZE];
	struct slice name;
	enum gw_protocol protocol;
	struct slice host, path; // path: put in front, empty: none
	unsigned port;
	int64_t retries, connect_timeout_ms, write_timeout_ms, read_timeout_ms;
	bool enabled, tls_verify;
	int64_t tls_verify_depth;
	struct slice ca_pem, client_cert_pem, client_key_pem;
	struct gw_upstream *upstream; // that is named as the host, or NULL
	struct text_list tags;
};
struct gw_consumer {
	char id[GW_ID_SIZE];
	struct slice username, custom_id;
	struct text_list groups; // of its acls
	struct text_list tags;
	size_t chain_row; // of the plan's chains, for consumers with plugins of their own; else SIZE_MAX
};
enum gw_credential_kind { GW_KEYAUTH, GW_JWT, GW_BASICAUTH };
struct gw_credential {
	char id[GW_ID_SIZE];
	enum gw_credential_kind kind;
	struct gw_consumer *consumer;
	struct slice key; // keyauth: the key; jwt: the value of the key claim; basicauth: the user name
	struct slice
		secret; // jwt HS*: the secret; basicauth: a stored password ($argon2id$…, or plain text in the file, hashed on loading)
	struct slice rsa_public_key;
	struct slice algorithm; // jwt: "HS256" …
	const void *compiled;   // what the plugin of this kind made of it: ms_gw_credential_compile (plugin.h); or NULL
};
struct gw_route {
	char id[GW_ID_SIZE];
	struct slice name;
	uint64_t protocols; // bits of enum gw_protocol
	struct text_list methods, hosts, paths, snis;
	struct text_map headers;
	struct integer_list sources;        // unused for HTTP
	int64_t https_redirect_status_code; // see ms_plan_protocol
	bool strip_path, preserve_host, request_buffering, response_buffering;
	int64_t regex_priority;
	int path_handling;          // 0 v0, 1 v1
	struct gw_service *service; // NULL: answered by plugins alone
	struct text_list tags;
	// The plugins that run for this route, in order of their priority, and, for consumers with plugins of their own, those for that consumer
	// (ms_plan_chain).
	const struct gw_chain *chain;
	size_t chain_class; // routes of one class have the same plugins; 0: no route
};
// Plugins for one request: most specific scope wins, each kind at most once; sorted by priority, high to low.
struct gw_chain {
	const struct gw_plugin_use *const *uses;
	size_t count;
	bool reads_body;      // one of them asks for the whole request body
	bool rewrites_answer; // one of them asks for the whole answer's body
};
struct gw_match_tree; // match.h
struct plan {
	atomic_uint refs;
	struct arena arena;
	int64_t version; // of the history; 0: from the file
	struct gw_service *services;
	size_t service_count;
	struct gw_route *routes;
	size_t route_count;
	struct gw_upstream *upstreams;
	size_t upstream_count;
	struct gw_consumer *consumers;
	size_t consumer_count;
	struct gw_credential *credentials;
	size_t credential_count;
	struct gw_plugin_use *uses;
	size_t use_count;
	struct map *credentials_by_key;          // see ms_plan_credential
	struct map *consumers_by_name;           // and by id
	const struct gw_chain **consumer_chains; // [chain_row * class_count + chain_class]
	size_t class_count;
	struct gw_match_tree *matcher;
	const struct gw_chain *global_chain; // for requests that no route matches
	const struct json_value *source;     // the normalised document, ids filled in: what diff and export show
};

// `document` as ms_yaml_parse gave it: a Kong file, or the `gateway:` section of mainstay.yaml (the same without _format_version); it is copied, lines and
// all. NULL with problems, or without one when memory is out.
struct plan *ms_plan_new(const struct json_value *document, struct problems *problems);
struct plan *ms_plan_ref(struct plan *plan);
void ms_plan_unref(struct plan *plan);
// NULL when there is none. Constant-time compare is the plugin's business where the key is a secret (keys are found by their SHA-256).
const struct gw_credential *ms_plan_credential(const struct plan *plan, enum gw_credential_kind kind, struct slice key);
const struct gw_consumer *ms_plan_consumer(const struct plan *plan, struct slice id_or_name);
// The plugins of a request once its consumer is known (NULL: nobody): route->chain, unless the consumer has plugins of its own.
const struct gw_chain *ms_plan_chain(const struct plan *plan, const struct gw_route *route,
				     const struct gw_consumer *consumer);

// --- Matching (match.c): Kong's traditional_compatible order --------------------------------------

struct gw_match {
	const struct gw_route *route;
	struct slice path;                         // normalised: percent-decoded as far as safe, dot segments removed
	struct slice matched;                      // what of it the route's path matched: taken away by strip_path
	struct slice captures[MS_HTTP_MAX_PARAMS]; // of a regular expression, with names
	struct slice capture_names[MS_HTTP_MAX_PARAMS];
	size_t capture_count;
};
// MS_ERR_HTTP_NO_ROUTE; MS_ERR_HTTP_SYNTAX for a path that is no path. Nothing is allocated when the path has no escapes. Costs the same with one route
// and a thousand: exact hosts by hash, prefixes by a radix tree, regular expressions (linear time, PCRE2 with a match limit, JIT) last.
// Protocols are not looked at, as Kong does: a route for https alone is found for a plain request too, see ms_plan_protocol.
MS_MUST_USE enum ms_err ms_plan_match(const struct plan *plan, const struct exchange *x, struct errinfo *info,
				      struct gw_match *ret_match);
// Whether the route takes this request's protocol: 0, or the status of the answer: 426 for HTTP/2 to a plain gRPC request, or
// https_redirect_status_code for a plain request to a route that is for https alone (426: Upgrade; else Location with https).
int ms_plan_protocol(const struct gw_route *route, bool tls, unsigned http_version);
// The path that the upstream gets: strip_path, path_handling and service_path (empty: none) applied. In the arena, or a part of match->path. p NULL: no
// memory.
struct slice ms_plan_upstream_path(const struct gw_match *match, struct slice service_path, struct arena *arena);
// A path in the form that routes are matched in, which is a valid path of a URI: unreserved characters decoded, all else that is no path character
// encoded, dot segments and empty segments gone, encoded slashes kept. False: no path (bad escapes, NUL, or dot segments that hide behind encoded
// slashes or semicolons and that another server might follow). Without a need to change, *ret_path is `path`. Memory out: p NULL.
MS_MUST_USE bool ms_path_normalize(struct slice path, struct arena *arena, struct slice *ret_path);

#endif
