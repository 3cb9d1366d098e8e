// SPDX-License-Identifier: Apache-2.0
// Regular expressions of configurations, over PCRE2, with a limit of steps so that no subject can hold up a loop.
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "gateway/plugins/plugins.h"

#define PATTERN_MAX 1024
#define MATCH_LIMIT 20000
#define DEPTH_LIMIT 2000

struct gw_pattern {
	pcre2_code *code;
	pcre2_match_context *context;
};

static void release(void *object)
{
	struct gw_pattern *pattern = object;
	pcre2_match_context_free(pattern->context);
	pcre2_code_free(pattern->code);
}

const struct gw_pattern *ms_gw_pattern_compile(struct plan *plan, struct slice text, const char *path,
					       struct problems *problems)
{
	int error = 0;
	PCRE2_SIZE offset = 0;
	PCRE2_UCHAR why[200] = "it is too long";
	struct gw_pattern *pattern = MS_ARENA_NEW(&plan->arena, struct gw_pattern);
	if (pattern == NULL) {
		ms_problem_add(problems, path, NULL, "there is no memory for the pattern");
		return NULL;
	}
	if (text.n <= PATTERN_MAX)
		pattern->code = pcre2_compile((PCRE2_SPTR)text.p, text.n,
					      PCRE2_ANCHORED | PCRE2_ENDANCHORED | PCRE2_NEVER_BACKSLASH_C, &error,
					      &offset, NULL);
	if (pattern->code == NULL) {
		if (error != 0)
			pcre2_get_error_message(error, why, sizeof(why));
		ms_problem_add(problems, path, NULL, "\"%.*s\" is no regular expression (PCRE2): %s, at %zu",
			       MS_SLICE_ARG(text), (const char *)why, (size_t)offset);
		return NULL;
	}
	pattern->context = pcre2_match_context_create(NULL);
	if (pattern->context == NULL || !ms_arena_defer(&plan->arena, release, pattern)) {
		release(pattern);
		ms_problem_add(problems, path, NULL, "there is no memory for the pattern");
		return NULL;
	}
	pcre2_set_match_limit(pattern->context, MATCH_LIMIT);
	pcre2_set_depth_limit(pattern->context, DEPTH_LIMIT);
	MS_IGNORE(pcre2_jit_compile(pattern->code, PCRE2_JIT_COMPLETE) !=
		  0); // without it the interpreter does the work
	return pattern;
}

bool ms_gw_pattern_matches_all(const struct gw_pattern *pattern, struct slice text)
{
	pcre2_match_data *data = pcre2_match_data_create(1, NULL);
	if (data == NULL)
		return false;
	int n = pcre2_match(pattern->code, (PCRE2_SPTR)(text.n > 0 ? text.p : ""), text.n, 0, 0, data,
			    pattern->context);
	pcre2_match_data_free(data);
	return n >= 0;
}
