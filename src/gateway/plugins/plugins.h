// SPDX-License-Identifier: Apache-2.0
// Private to the plugins: what they share.
#ifndef MS_GATEWAY_PLUGINS_PLUGINS_H
#define MS_GATEWAY_PLUGINS_PLUGINS_H

#include "gateway/chain.h"
#include "rt/rt.h"

// --- Rows of table.c -----------------------------------------------------------------------------------

extern const struct gw_plugin_kind ms_plugin_correlation_id, ms_plugin_cors, ms_plugin_jwt, ms_plugin_key_auth,
	ms_plugin_basic_auth, ms_plugin_mainstay_auth, ms_plugin_ip_restriction, ms_plugin_request_size_limiting,
	ms_plugin_acl, ms_plugin_rate_limiting, ms_plugin_request_transformer, ms_plugin_response_transformer,
	ms_plugin_proxy_cache, ms_plugin_canary, ms_plugin_mirror, ms_plugin_prometheus, ms_plugin_http_log,
	ms_plugin_request_termination, ms_plugin_request_validator, ms_plugin_waf;

// Rows of config tables: the member has the name of the field.
#define GW_FIELD(s, member, k, ...)                                                             \
	{                                                                                       \
		.name = #member, .kind = (k), .offset = offsetof(struct s, member), __VA_ARGS__ \
	}
#define GW_BOOL(s, member, value, text) GW_FIELD(s, member, FIELD_BOOL, .fallback = (value), .help = (text))
#define GW_STRING(s, member, value, text) GW_FIELD(s, member, FIELD_STRING, .fallback = (value), .help = (text))
#define GW_STRINGS(s, member, value, text) GW_FIELD(s, member, FIELD_STRINGS, .fallback = (value), .help = (text))
#define GW_INTEGER(s, member, value, low, high, text) \
	GW_FIELD(s, member, FIELD_INTEGER, .fallback = (value), .min = (low), .max = (high), .help = (text))
#define GW_NUMBER(s, member, value, low, high, text) \
	GW_FIELD(s, member, FIELD_NUMBER, .fallback = (value), .min = (low), .max = (high), .help = (text))
#define GW_CHOICE(s, member, value, list, text) \
	GW_FIELD(s, member, FIELD_CHOICE, .fallback = (value), .choices = (list), .help = (text))
#define GW_RECORD(s, member, table, text) GW_FIELD(s, member, FIELD_RECORD, .fields = (table), .help = (text))
#define GW_PORT_MAX 65535

// --- Requests (common.c) -------------------------------------------------------------------------------

// The configured plugin that runs now. Valid within its callbacks alone.
const struct gw_plugin_use *ms_gw_use(const struct gw_request *r); // chain.c
// The answer as it came, before plugins changed it; for chains with rewrites_answer, from the answer phase on (the body: answer_body).
const struct gw_headers *ms_gw_came_headers(const struct gw_request *r);
struct slice ms_gw_came_body(const struct gw_request *r);
// Text in the arena; p NULL when memory is out.
struct slice ms_gw_text(struct gw_request *r, const char *fmt, ...) MS_PRINTF(2, 3);
struct slice ms_gw_copy(struct gw_request *r, struct slice s);
// A header that the client sent or an earlier plugin set; p NULL: none.
struct slice ms_gw_request_header(const struct gw_request *r, const char *name);
// In answer_extra: travels with whatever answer. Memory that is out drops it.
void ms_gw_extra_set(struct gw_request *r, struct slice name, struct slice value);
void ms_gw_extra_add(struct gw_request *r, struct slice name, struct slice value);
bool ms_gw_is_method(const struct gw_request *r, const char *method);
bool ms_gw_is_grpc(const struct gw_request *r);
// "a, b" from a list.
struct slice ms_gw_join(struct gw_request *r, const struct text_list *list, const char *between);

// --- Text (text.c) ----------------------------------------------------------------------------------------

// "application/json; charset=utf-8" has the media type "application/json".
bool ms_gw_media_type(struct slice content_type, const char *type);
bool ms_gw_is_json(struct slice content_type); // application/json, …+json
bool ms_gw_text_list_has(const struct text_list *list, struct slice text);
bool ms_gw_text_list_has_nocase(const struct text_list *list, struct slice text);
// Whether a header's value holds no byte that would end it: CR, LF, NUL and other controls.
bool ms_gw_header_value_ok(struct slice value);
bool ms_gw_header_name_ok(struct slice name); // a token of RFC 9110
#define GW_UUID_SIZE 37
void ms_gw_uuid4(struct rand *rand, char ret_text[GW_UUID_SIZE]);
// Appends what is not unreserved (RFC 3986), percent-encoded; '/' stays when `path`.
void ms_gw_percent_append(struct buf *out, struct slice text, bool path);

// --- Refusals (chain.c, common.c) -------------------------------------------------------------------------

// As ms_gw_fail, with WWW-Authenticate, and the details {name: text} of Kong's jwt besides.
struct gw_detail {
	const char *name, *text;
};
void ms_gw_fail_with(struct gw_request *r, int status, const char *code, const char *message,
		     const struct gw_detail *details, size_t detail_count);
void ms_gw_refuse(struct gw_request *r, const char *code, const char *message, struct slice www_authenticate); // 401

// --- Authentication (common.c) -------------------------------------------------------------------------

// What is common to key-auth, basic-auth and jwt when nobody was found: GW_NEXT when another plugin let the caller in or `anonymous` names a
// consumer; else the failure is for the plugin to send: GW_ANSWERED only for an anonymous consumer that does not exist.
enum gw_unknown { GW_UNKNOWN_REFUSE, GW_UNKNOWN_PASS, GW_UNKNOWN_ANSWERED };
enum gw_unknown ms_gw_unknown_caller(struct gw_request *r, struct slice anonymous);
// True: somebody was let in by an earlier plugin and this one has `anonymous`: nothing to do (any one of several suffices).
bool ms_gw_already_in(const struct gw_request *r, struct slice anonymous);

// --- Arguments: queries and forms (args.c) ---------------------------------------------------------------

#define GW_ARGS_MAX 1000
struct gw_arg {
	struct slice name, value; // decoded
	struct slice raw;         // "name=value" as it came; p NULL: made anew
	bool bare;                // a name without '='
};
struct gw_args {
	struct gw_request *r;
	struct gw_arg *items;
	size_t count, room;
};
// False: more than GW_ARGS_MAX, or no memory. What does not decode is kept as it is and has no name.
MS_MUST_USE bool ms_gw_args_read(struct gw_request *r, struct slice raw, struct gw_args *ret_args);
MS_MUST_USE bool ms_gw_args_write(const struct gw_args *args, struct slice *ret_raw);
const struct gw_arg *ms_gw_args_get(const struct gw_args *args, struct slice name, size_t *ret_count); // the first
bool ms_gw_args_remove(struct gw_args *args, struct slice name);
MS_MUST_USE bool ms_gw_args_add(struct gw_args *args, struct slice name, struct slice value);
MS_MUST_USE bool ms_gw_args_set(struct gw_args *args, struct slice name,
				struct slice value); // in place of all of that name

// --- Objects of JSON that are changed (members.c) --------------------------------------------------------

struct gw_members; // an object whose members can be changed; of the arena
MS_MUST_USE bool ms_gw_members_read(struct gw_request *r, const struct json_value *object,
				    struct gw_members **ret_members);
MS_MUST_USE bool ms_gw_members_parse(struct gw_request *r, struct slice text,
				     struct gw_members **ret_members); // false: no object
// Names with dots lead into nested objects when `nested`.
bool ms_gw_members_has(struct gw_members *m, struct slice name, bool nested);
bool ms_gw_members_remove(struct gw_members *m, struct slice name, bool nested);
MS_MUST_USE bool ms_gw_members_rename(struct gw_members *m, struct slice from, struct slice to, bool nested);
MS_MUST_USE bool ms_gw_members_set(struct gw_members *m, struct slice name, bool nested,
				   const struct json_value *value);
MS_MUST_USE bool ms_gw_members_append(struct gw_members *m, struct slice name, bool nested,
				      const struct json_value *value);
MS_MUST_USE bool ms_gw_members_write(const struct gw_members *m, struct slice *ret_text);

// --- Templates of the transformers (template.c) ----------------------------------------------------------

struct gw_template; // compiled, in plan's arena
// NULL: a problem was added.
const struct gw_template *ms_gw_template_compile(struct plan *plan, struct slice text, const char *path,
						 struct problems *problems);
// `escape`: values are percent-encoded, for paths. False: no memory.
MS_MUST_USE bool ms_gw_template_fill(struct gw_request *r, const struct gw_template *t, bool escape,
				     struct slice *ret_text);

// --- Patterns (pattern.c) ----------------------------------------------------------------------------------

struct gw_pattern; // PCRE2, with a limit of steps; freed with plan's arena
const struct gw_pattern *ms_gw_pattern_compile(struct plan *plan, struct slice text, const char *path,
					       struct problems *problems);
bool ms_gw_pattern_matches_all(const struct gw_pattern *pattern, struct slice text); // the whole of it

// --- Runtime (runtime.c) ---------------------------------------------------------------------------------

// Something that a plugin keeps on each loop under a name. Own loop's thread only.
struct gw_kept {
	void (*stop)(struct gw_kept *kept); // on the loop, while it runs; may be NULL
	void (*free)(struct gw_kept *kept); // the loops have ended
};
typedef struct gw_kept *gw_kept_fn(struct gw_request *r, const void *config);
// What is kept under `name` on this request's loop, made by `make` when it is not there. NULL: no memory, too many (GW_KEPT_MAX), stopping.
#define GW_KEPT_MAX 1024
struct gw_kept *ms_gw_keep(struct gw_request *r, struct slice name, gw_kept_fn *make, const void *config);
// Whether something may be logged that could be said of every request: once a second for each `name`.
bool ms_gw_may_log(struct gw_request *r, struct slice name);

// `redis` of a plugin's configuration, with Kong's names.
struct gw_redis {
	struct slice host, username, password, server_name;
	int64_t port, timeout, database;
	bool ssl, ssl_verify;
	struct slice url; // made of them; empty: none is named, the process's cache
};
extern const struct field ms_gw_redis_fields[];
// Fills `url`; false with problems.
bool ms_gw_redis_compile(struct plan *plan, struct gw_redis *redis, const char *path, struct problems *problems);
// The cache that `redis` names: its own, or the process's. NULL: not to be had.
struct cache *ms_gw_redis_cache(struct gw_request *r, const struct gw_redis *redis);
// In the memory of this process, also when the process has a Redis. NULL: none.
struct cache *ms_gw_memory_cache(struct gw_request *r);
// An own Redis of a plugin's configuration, shared by all loops; NULL when it cannot be had (told in the log).
struct cache *ms_gw_own_cache(struct gw_request *r, struct slice url, unsigned timeout_ms);

#endif
