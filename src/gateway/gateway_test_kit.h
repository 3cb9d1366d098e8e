// SPDX-License-Identifier: Apache-2.0
// For tests of plugins: a request without sockets, a plan without a file.
#ifndef MS_GATEWAY_GATEWAY_TEST_KIT_H
#define MS_GATEWAY_GATEWAY_TEST_KIT_H

#include "cache/cache.h"
#include "gateway/chain.h"
#include "tests/lib/test.h"

#define KIT_USES 8
#define KIT_NOW_NS (INT64_C(1800000000) * 1000000000) // 2027-01-15T08:00:00Z
struct gw_kit {
	struct rt *rt;
	struct loop *loop;
	struct gw_services services;
	struct pool *pool;
	struct plan plan;
	struct gw_plugin_use uses[KIT_USES];
	const struct gw_plugin_use *order[KIT_USES];
	struct gw_chain chain;
	const struct gw_chain *consumer_chain; // for the first consumer; NULL: the same
	struct gw_route route;
	struct gw_service service;
	struct gw_consumer consumers[4];
	struct gw_credential credentials[4];
	struct problems problems;
	struct arena arena; // of the request
	struct exchange x;
	struct gw_request r;
	struct slice body; // what the client sends
	bool done;
	enum gw_verdict verdict;
};
void kit_init(struct gw_kit *kit);
void kit_fini(struct gw_kit *kit);
// Adds a plugin with this configuration (JSON), of a priority after those before it. NULL, or what is wrong with it; then it was not added.
const char *kit_plugin(struct gw_kit *kit, const char *name, const char *config);
struct gw_consumer *kit_consumer(struct gw_kit *kit, const char *name); // id "id-NAME"
// NULL or what is wrong. secret of JWT with public keys: the PEM.
const char *kit_credential(struct gw_kit *kit, enum gw_credential_kind kind, struct gw_consumer *consumer,
			   const char *key, const char *secret, const char *algorithm);
// A new request; what was before is gone. target "/a?b=c".
void kit_request(struct gw_kit *kit, enum http_method method, const char *target);
void kit_header(struct gw_kit *kit, const char *name, const char *value);
void kit_body(struct gw_kit *kit, const char *content_type, const char *text);
// Runs the phase until it is over.
enum gw_verdict kit_access(struct gw_kit *kit);
enum gw_verdict kit_run_body(struct gw_kit *kit);
void kit_upstream(struct gw_kit *kit, int status, const char *content_type,
		  const char *body);                                               // then ms_chain_answer, answer_body
void kit_upstream_header(struct gw_kit *kit, const char *name, const char *value); // before kit_upstream
void kit_over(struct gw_kit *kit);
// "" when there is none.
const char *kit_out(struct gw_kit *kit, const char *name);    // header for the upstream
const char *kit_answer(struct gw_kit *kit, const char *name); // header for the client
const char *kit_text(struct gw_kit *kit, struct slice s);
// One request: access, then the answer phase when it was answered.
int kit_status(struct gw_kit *kit); // 0: it goes to the upstream

// What the fake of the HTTP client was given, and how it answers.
struct kit_call {
	char body[4096], target[128], authorization[128];
	unsigned count;
	bool fail; // the next calls
	int status;
};
extern struct kit_call kit_calls;
void kit_calls_run(struct gw_kit *kit); // lets timers run until nothing happens for a while

#endif
