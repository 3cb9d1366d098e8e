// SPDX-License-Identifier: Apache-2.0
// What is recorded is told, too: each entry of the audit log as an event of the bus.
#include <stdio.h>

#include "auth/internal.h"

static void member(struct json_writer *w, const char *name, struct slice value)
{
	if (value.n == 0)
		return;
	ms_json_key_lit(w, name);
	ms_json_str(w, value);
}

static void write_event(const struct audit_entry *entry, int64_t time_us, struct buf *out)
{
	static const char *const outcomes[] = {
		[AUDIT_OK] = "ok", [AUDIT_REFUSED] = "refused", [AUDIT_FAILED] = "failed"};
	static const char *const kinds[] = {
		[CALLER_UNKNOWN] = "unknown", [CALLER_USER] = "user", [CALLER_KEY] = "key", [CALLER_CLIENT] = "client"};
	char time[MS_RFC3339_SIZE];
	struct json_writer w;
	ms_json_writer_init(&w, out);
	ms_json_begin_object(&w);
	ms_json_key_lit(&w, "event");
	ms_json_cstr(&w, ms_auth_event_name(entry->event));
	ms_json_key_lit(&w, "time");
	ms_json_str(&w, ms_slice(time, ms_text_rfc3339(time_us * 1000, time)));
	ms_json_key_lit(&w, "outcome");
	ms_json_cstr(&w, outcomes[entry->outcome]);
	ms_json_key_lit(&w, "actor");
	ms_json_begin_object(&w);
	ms_json_key_lit(&w, "kind");
	ms_json_cstr(&w, kinds[entry->actor.kind]);
	member(&w, "id", entry->actor.id);
	// What a stranger typed is no name, and may be a password.
	if (entry->actor.kind != CALLER_UNKNOWN)
		member(&w, "name", entry->actor.name);
	member(&w, "address", entry->actor.address);
	ms_json_end_object(&w);
	member(&w, "target", entry->target);
	member(&w, "request_id", entry->actor.request_id);
	if (entry->details.n > 0) {
		ms_json_key_lit(&w, "details");
		ms_json_raw(&w, entry->details);
	}
	ms_json_end_object(&w);
}

enum ms_err ms_auth_publish(struct store_tx *tx, const struct audit_entry *entry, struct errinfo *info)
{
	char topic[MS_BUS_TOPIC_MAX];
	struct buf payload;
	int n = snprintf(topic, sizeof(topic), "auth.%s", ms_auth_event_name(entry->event));
	MS_ASSERT(n > 0 && (size_t)n < sizeof(topic));
	ms_buf_init(&payload, MS_BUS_PAYLOAD_MAX);
	write_event(entry, ms_store_now_us(tx), &payload);
	const struct bus_event event = {.topic = ms_slice(topic, (size_t)n), .payload = ms_buf_slice(&payload)};
	enum ms_err err = ms_buf_ok(&payload) ? ms_bus_publish(tx, &event, info)
					      : ms_fail(info, MS_ERR_LIMIT, "the event is too large");
	ms_buf_fini(&payload);
	return err;
}
