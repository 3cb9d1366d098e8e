// SPDX-License-Identifier: Apache-2.0
// Plans and requests for tests, with a small table of plugins that do nothing.
#ifndef MS_GATEWAY_PLAN_TEST_KIT_H
#define MS_GATEWAY_PLAN_TEST_KIT_H

#include "gateway/plan.h"
#include "gateway/plugin.h"

#define KIT_MEMORY ((size_t)512 << 20)

// A plan of this document; ends the program when there are problems.
struct plan *ms_kit_plan(const char *yaml);
// The problems of this document, one a line ("LINE PATH: MESSAGE"), or "" when there are none.
void ms_kit_problems(const char *yaml, char *dst, size_t size);

struct kit_request {
	const char *method, *host, *path, *sni; // "GET", "", "/", NULL
	bool tls;
	struct http_header headers[8];
	size_t header_count;
};
// MS_ERR_… of ms_plan_match. `arena` outlives the match.
enum ms_err ms_kit_match(const struct plan *plan, const struct kit_request *request, struct arena *arena,
			 struct gw_match *ret_match);
// The names of the chain's plugins, "a b c".
void ms_kit_chain(const struct gw_chain *chain, char *dst, size_t size);

#endif
