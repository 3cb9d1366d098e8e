// SPDX-License-Identifier: Apache-2.0
// Private to http-log.
#ifndef MS_GATEWAY_PLUGINS_HTTP_LOG_H
#define MS_GATEWAY_PLUGINS_HTTP_LOG_H

#include "gateway/plugins/plugins.h"

struct gw_log_queue_config {
	int64_t max_batch_size, max_entries, max_bytes, concurrency_limit;
	double max_coalescing_delay, max_retry_time, initial_retry_delay, max_retry_delay;
};
struct gw_log_config {
	struct slice http_endpoint, method_text;
	int method, content_type;
	int64_t timeout, keepalive, retry_count, queue_size;
	double flush_timeout;
	struct text_map headers, custom_fields_by_lua;
	struct gw_log_queue_config queue;
	// compiled
	bool tls;
	struct slice host, target, authority, authorization;
	unsigned port;
	struct slice name; // of the queue: "http-log:" and a digest of what it sends and where to
};

// Appends one JSON object.
void ms_http_log_entry(struct gw_request *r, const struct http_outcome *outcome, struct buf *out);

// The queue of this loop; NULL: none can be had. Own loop's thread.
struct gw_log_queue;
struct gw_log_queue *ms_http_log_queue(struct gw_request *r, const struct gw_log_config *config);
// Takes the entry's memory (malloc). Full: the entry is dropped and counted.
void ms_http_log_put(struct gw_log_queue *queue, struct slice entry);

#endif
