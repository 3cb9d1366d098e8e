// SPDX-License-Identifier: Apache-2.0
// What every process answers besides its roles: health, readiness, metrics, the OpenAPI document and its page.
#ifndef MS_CONSOLE_CONSOLE_H
#define MS_CONSOLE_CONSOLE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/base.h"
#include "net/net.h"
#include "observe/observe.h"
#include "json/json.h"

enum health { HEALTH_OK, HEALTH_DEGRADED, HEALTH_UNHEALTHY };
struct health_report {
	enum health health;
	char message[160]; // in words, for a person
};
// One dependency of the process. `fn` runs on a loop thread and must not block.
struct health_check {
	const char *name; // "models"
	void (*fn)(void *arg, const struct loop *loop, struct health_report *ret_report);
	void *arg;
};

struct console;
struct console_options {
	struct log *log;
	struct metrics *metrics;
	int64_t start_unix_ns;
	uint64_t memory_limit;       // bytes; 0: none
	bool (*is_ready)(void *arg); // started, loaded, not draining; any thread
	void *is_ready_arg;
	const struct health_check *checks; // besides memory
	const size_t *check_count;         // roles add checks after the console was made
};
MS_MUST_USE enum ms_err ms_console_new(const struct console_options *options, struct errinfo *info,
				       struct console **ret_console);
// Any thread.
void ms_console_set_memory_limit(struct console *console, uint64_t bytes);
void ms_console_free(struct console *console); // accepts NULL
// Health and metrics, which every process answers.
struct route_set ms_console_routes(struct console *console);
// The OpenAPI document and its page: the console role.
struct route_set ms_console_docs_routes(struct console *console);
// The server whose routes the OpenAPI document describes; before it starts.
MS_MUST_USE enum ms_err ms_console_attach(struct console *console, const struct http_server *server,
					  struct errinfo *info);

#endif
