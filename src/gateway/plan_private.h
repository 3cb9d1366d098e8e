// SPDX-License-Identifier: Apache-2.0
// Private to the plan: how a document becomes one. Entities are gathered from wherever they stand (top level or nested), given ids, read by the tables
// of plan_fields.c, joined, and compiled.
#ifndef MS_GATEWAY_PLAN_PRIVATE_H
#define MS_GATEWAY_PLAN_PRIVATE_H

#include "gateway/plan.h"
#include "gateway/plugin.h"

enum entity_kind {
	ENTITY_SERVICE,
	ENTITY_ROUTE,
	ENTITY_UPSTREAM,
	ENTITY_TARGET,
	ENTITY_CONSUMER,
	ENTITY_KEYAUTH,
	ENTITY_JWT,
	ENTITY_BASICAUTH,
	ENTITY_ACL,
	ENTITY_PLUGIN,
	ENTITY_CERTIFICATE,
	ENTITY_CA_CERTIFICATE,
	ENTITY_KINDS,
};
// To what an entity may belong; the member of that name refers to it, or it is nested there.
enum owner_kind { OWNER_SERVICE, OWNER_ROUTE, OWNER_CONSUMER, OWNER_UPSTREAM, OWNER_KINDS };

struct entity_base {
	struct slice id;
	int64_t created_at, updated_at;
	const struct json_value *owners[OWNER_KINDS];
	const struct json_value *nested[6];
};
struct service_row {
	struct entity_base base;
	struct gw_service s;
	int64_t port;
	struct slice url;
	const struct json_value *client_certificate;
	struct text_list ca_certificates;
};
struct route_row {
	struct entity_base base;
	struct gw_route r;
};
struct upstream_row {
	struct entity_base base;
	struct gw_upstream u;
	bool use_srv_name;
};
struct target_row {
	struct entity_base base;
	struct gw_target t;
	int64_t weight;
};
struct consumer_row {
	struct entity_base base;
	struct gw_consumer c;
};
struct credential_row {
	struct entity_base base;
	struct gw_credential c;
	struct text_list tags;
};
struct acl_row {
	struct entity_base base;
	struct slice group;
	struct text_list tags;
};
struct plugin_row {
	struct entity_base base;
	struct slice name, instance_name;
	bool enabled;
	uint64_t protocols;
	struct text_list tags;
	const struct json_value *config;
	int run_on;
};
struct certificate_row {
	struct entity_base base;
	struct slice cert, key, cert_digest;
	struct text_list tags;
};

struct entity_def {
	const char *list; // name of the list: "services"
	const char *name; // the field that names it, or NULL
	const struct field *fields;
	size_t row_bytes;
	unsigned owners;            // bits of enum owner_kind that it may have
	unsigned needs;             // bits of those that it must have
	enum entity_kind nested[7]; // ENTITY_KINDS ends
};
extern const struct entity_def ms_entity_defs[ENTITY_KINDS];
extern const char *const ms_owner_names[OWNER_KINDS];
extern const enum entity_kind ms_owner_entities[OWNER_KINDS];
extern const char *const ms_gw_protocol_names[];

struct entity {
	enum entity_kind kind;
	const struct json_value *object;
	const char *path;
	struct entity *owners[OWNER_KINDS];
	struct entity *next; // of its kind, in the order of the document
	char id[GW_ID_SIZE];
	struct slice name;
	size_t index;       // of its kind
	unsigned keys;      // consumers: keys that were numbered
	void *row;          // *_row
	void *made;         // gw_*, in the plan
	const void *config; // plugins: what `config` was read into
};

struct making {
	struct plan *plan;
	struct problems *problems;
	struct entity *first[ENTITY_KINDS], **end[ENTITY_KINDS];
	size_t count[ENTITY_KINDS];
	struct map by_name[ENTITY_KINDS], by_id[ENTITY_KINDS];
	unsigned format; // 11, 21, 30
};

#define FOR_ENTITIES(m, k, e) for (struct entity *e = (m)->first[k]; e != NULL; e = e->next)

// Each adds problems and returns false when something is wrong.
// plan_gather.c
MS_MUST_USE bool ms_plan_gather(struct making *m, const struct json_value *document);
struct entity *ms_plan_find(const struct making *m, enum entity_kind kind, struct slice name_or_id);
// plan_service.c
MS_MUST_USE bool ms_plan_make_upstreams(struct making *m);
MS_MUST_USE bool ms_plan_make_services(struct making *m);
// plan_route.c
MS_MUST_USE bool ms_plan_make_routes(struct making *m);
// plan_consumer.c
MS_MUST_USE bool ms_plan_make_consumers(struct making *m);
// plan_plugin.c
MS_MUST_USE bool ms_plan_make_plugins(struct making *m);
MS_MUST_USE bool ms_plan_compile_plugins(struct making *m);
MS_MUST_USE bool ms_plan_make_chains(struct making *m);
// plan_source.c: the normalised document, before anything is compiled
MS_MUST_USE bool ms_plan_make_source(struct making *m);
// match_build.c. Without `all` only the expressions are checked.
MS_MUST_USE bool ms_match_new(struct making *m, bool all);

// An array of the plan, whose items the entities of the kind are `made`.
MS_MUST_USE void *ms_plan_array(struct making *m, enum entity_kind kind, size_t item_bytes, size_t *ret_count);
bool ms_plan_no_memory(struct making *m);
// Path of a field, for problems.
const char *ms_plan_field(struct making *m, const struct entity *e, const char *field);
const struct json_value *ms_plan_value(const struct entity *e, const char *field); // the field's, else the object

#endif
