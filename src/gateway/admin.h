// SPDX-License-Identifier: Apache-2.0
// Private to gateway: admin.c and its table of routes (admin_routes.c).
#ifndef MS_GATEWAY_ADMIN_H
#define MS_GATEWAY_ADMIN_H

#include <pthread.h>

#include "gateway/internal.h"

struct loading_state {
	struct gateway_admin *admin;
	struct gw_snapshot *snapshot; // NULL: nothing newer
};
struct gateway_admin {
	struct gateway *gateway;
	pthread_mutex_t lock;
	struct plan *file; // version 0; under the lock
	int64_t version;   // in force; under the lock
	// Reading again after a notice; on loop 0.
	struct store_work work;
	struct loading_state loading;
	bool busy, again, stopped;
	struct arena arena; // of the table of routes and its schemas
};
// Of one request.
struct admin_work {
	struct store_work work;
	struct exchange *x;
	struct gateway_admin *admin;
	struct arena arena; // of a run of the transaction
	struct problems problems;
	struct plan *plan;
	struct gw_snapshot *snapshot; // of what was written, to be put in force
	struct plan *file;            // what stands in place of a version before there is one
	struct gateway_edit edit;
	struct auth_actor actor;
	int64_t number; // version, or cursor
	size_t limit;
	const char *kind; // "services"
	struct slice name;
	const struct json_value *entity;
	int status;
	void (*answer)(struct admin_work *w);
};

void ms_gateway_admin_look(struct gateway_admin *admin);
http_handler_fn ms_gateway_get_config, ms_gateway_put_config, ms_gateway_check_config, ms_gateway_diff_config,
	ms_gateway_get_history, ms_gateway_get_version, ms_gateway_post_rollback, ms_gateway_get_schema,
	ms_gateway_list_entities, ms_gateway_get_entity, ms_gateway_put_entity, ms_gateway_delete_entity;

#endif
