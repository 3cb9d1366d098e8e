// SPDX-License-Identifier: Apache-2.0
// Private to matching. Routes become rules in the order in which Kong tries them; a rule's rank is its place. What could match a request is found by its
// host (hash) and path (a radix tree of prefixes; a tree of segments that narrows the regular expressions down), and the smallest rank among it wins.
#ifndef MS_GATEWAY_MATCH_PRIVATE_H
#define MS_GATEWAY_MATCH_PRIVATE_H

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "gateway/plan_private.h"

#define MATCH_LOOPS_MAX 257 // loops of a process, and one for tests without a loop
#define MATCH_LIMIT 100000  // steps of one expression
#define SEGMENTS_MAX 24

struct gw_regex {
	pcre2_code *code;
	struct slice names[MS_HTTP_MAX_PARAMS]; // of groups 1…; empty: none
	size_t groups;
};
struct header_value {
	struct slice text;
	const struct gw_regex *regex; // NULL: the text
};
struct header_rule {
	struct slice name;
	struct header_value *values;
	size_t count;
};
struct rule {
	uint32_t rank;
	const struct gw_route *route;
	unsigned methods; // bits of enum http_method; with any_method not looked at
	bool any_method;
	const struct header_rule *headers;
	size_t header_count;
};
struct item {
	const struct rule *rule;
	const struct gw_regex *regex; // of the path, or NULL
	size_t prefix;                // length of the path's prefix
	unsigned port;                // of the host; 0: any
};
struct items { // by rank
	struct item *at;
	size_t n, room;
};
struct radix {
	struct slice label;
	struct items items;
	struct radix **children;
	size_t child_count;
	uint8_t child_of[256]; // by first byte, from 1; 0: none
};
struct segment {
	struct items end, tail; // the path ends here; anything may follow
	struct segment *any;    // a segment that is not looked at
	struct map *literals;   // segment → struct segment, or NULL
};
struct bucket {
	struct items no_path;
	struct radix radix;
	struct segment segments;
};
struct gw_match_tree {
	struct map exact, before, after; // hosts; what follows "*": ".example.com"; what precedes it: "example."
	struct bucket any;
	pcre2_match_context *context;
	struct gw_regex **regexes;
	size_t regex_count, regex_room;
	pcre2_match_data *scratch[MATCH_LOOPS_MAX]; // each used by its own loop alone
	uint32_t scratch_pairs;
};

// What an expression asks of the segments of a path, as far as it can be told; match_regex.c.
struct skeleton {
	struct slice segments[SEGMENTS_MAX]; // p NULL: any
	size_t count;
	enum { SKELETON_TAIL, SKELETON_END, SKELETON_END_OR_SLASH } end;
};
// `regex` without '~'. False: no memory.
MS_MUST_USE bool ms_regex_skeleton(struct slice regex, struct arena *arena, struct skeleton *ret_skeleton);

#endif
