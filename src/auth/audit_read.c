// SPDX-License-Identifier: Apache-2.0
// Reading the audit log: lists, one entry as JSON, the newest head.
#include "auth/vault.h"

#define RECORD_COLUMNS                                                                                            \
	"seq, time_us, actor_kind, actor_id, actor_name, address, session, request_id, action, target, outcome, " \
	"details, "                                                                                               \
	"prev, hash"
#define LIST_WHERE                                                                                     \
	" FROM audit WHERE ($1 = '' OR actor_id = $1 OR actor_name = $1) AND ($2 = '' OR action = $2)" \
	" AND ($3 = '' OR target = $3) AND ($4 = '' OR outcome = $4) AND +time_us >= $5 AND +time_us < $6"

void ms_audit_record_of(const struct store_rows *rows, size_t i, struct audit_record *ret_record)
{
	*ret_record = (struct audit_record){
		.seq = ms_store_get_int(rows, i, 0),
		.time_us = ms_store_get_int(rows, i, 1),
		.actor_kind = ms_store_get_text(rows, i, 2),
		.actor_id = ms_store_get_text(rows, i, 3),
		.actor_name = ms_store_get_text(rows, i, 4),
		.address = ms_store_get_text(rows, i, 5),
		.session = ms_store_get_text(rows, i, 6),
		.request_id = ms_store_get_text(rows, i, 7),
		.event = ms_store_get_text(rows, i, 8),
		.target = ms_store_get_text(rows, i, 9),
		.outcome = ms_store_get_text(rows, i, 10),
		.details = ms_store_get_text(rows, i, 11),
		.prev = ms_store_get_blob(rows, i, 12),
		.hash = ms_store_get_blob(rows, i, 13),
	};
}

enum ms_err ms_audit_page(struct store_tx *tx, int64_t after, size_t max, struct errinfo *info,
			  struct store_rows *ret_rows)
{
	return ms_store_query(tx, "SELECT " RECORD_COLUMNS " FROM audit WHERE seq > $1 ORDER BY seq LIMIT $2",
			      MS_STORE_PARAMS(ms_store_int(after), ms_store_int((int64_t)max)), max, info, ret_rows);
}

// What people type as the log shows it is what the log holds; control characters would be encoded there too.
static enum ms_err clean(struct store_tx *tx, struct slice text, struct errinfo *info, struct slice *ret_text)
{
	if (text.n == 0) {
		*ret_text = MS_SLICE_LIT("");
		return MS_OK;
	}
	return ms_audit_clean(text, 256, ms_store_arena(tx), info, ret_text);
}

enum ms_err ms_audit_list(struct store_tx *tx, const struct audit_filter *filter, size_t max, struct errinfo *info,
			  struct audit_record **ret_records, size_t *ret_count)
{
	struct slice actor, event, target, outcome;
	struct store_rows rows;
	MS_ASSERT(max > 0 && max <= MS_AUDIT_LIST_MAX);
	MS_TRY(clean(tx, filter->actor, info, &actor));
	MS_TRY(clean(tx, filter->event, info, &event));
	MS_TRY(clean(tx, filter->target, info, &target));
	MS_TRY(clean(tx, filter->outcome, info, &outcome));
	int64_t until = filter->until_us > 0 ? filter->until_us : INT64_MAX;
	int64_t cursor = filter->cursor;
	if (cursor == 0)
		cursor = filter->oldest_first ? INT64_MIN : INT64_MAX;
	const struct store_value params[] = {
		ms_store_text(actor),          ms_store_text(event), ms_store_text(target), ms_store_text(outcome),
		ms_store_int(filter->from_us), ms_store_int(until),  ms_store_int(cursor),  ms_store_int((int64_t)max)};
	MS_TRY(ms_store_query(tx,
			      filter->oldest_first
				      ? "SELECT " RECORD_COLUMNS LIST_WHERE " AND seq > $7 ORDER BY seq LIMIT $8"
				      : "SELECT " RECORD_COLUMNS LIST_WHERE " AND seq < $7 ORDER BY seq DESC LIMIT $8",
			      params, MS_ARRAY_LEN(params), max, info, &rows));
	struct audit_record *records = MS_ARENA_ARRAY(ms_store_arena(tx), struct audit_record, rows.count + 1);
	if (records == NULL)
		return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory");
	for (size_t i = 0; i < rows.count; i++)
		ms_audit_record_of(&rows, i, &records[i]);
	*ret_records = records;
	*ret_count = rows.count;
	return MS_OK;
}

// --- JSON --------------------------------------------------------------------------------------------

static void write_member(struct json_writer *w, const char *key, struct slice text)
{
	ms_json_key_lit(w, key);
	if (text.n > 0)
		ms_json_str(w, text);
	else
		ms_json_null(w);
}

static void write_hex(struct json_writer *w, const char *key, struct slice bytes)
{
	struct buf hex;
	ms_buf_init(&hex, 256);
	ms_hex_append(&hex, ms_slice_sub(bytes, 0, 64));
	ms_json_key_lit(w, key);
	ms_json_str(w, ms_buf_slice(&hex));
	ms_buf_fini(&hex);
}

// Somebody may have changed what the store holds: what is no JSON is shown as text.
static void write_details(struct json_writer *w, struct slice details)
{
	struct json_reader r;
	struct arena arena;
	ms_arena_init(&arena, 1024, (size_t)1 << 20);
	ms_json_reader_init(&r, details, NULL, &arena, NULL);
	ms_json_key_lit(w, "details");
	if (details.n == 0)
		ms_json_null(w);
	else if (ms_json_skip(&r, NULL) && ms_json_finish(&r) == MS_OK)
		ms_json_raw(w, details);
	else
		ms_json_str(w, details);
	ms_arena_fini(&arena);
}

void ms_audit_write(struct json_writer *w, const struct audit_record *r)
{
	char time[MS_RFC3339_SIZE];
	bool plausible = r->time_us > 0 && r->time_us < INT64_MAX / 1000;
	size_t n = ms_text_rfc3339(plausible ? r->time_us * 1000 : 0, time);
	ms_json_begin_object(w);
	ms_json_key_lit(w, "seq");
	ms_json_i64(w, r->seq);
	ms_json_key_lit(w, "time");
	ms_json_str(w, ms_slice(time, n));
	ms_json_key_lit(w, "time_us");
	ms_json_i64(w, r->time_us);
	ms_json_key_lit(w, "actor");
	ms_json_begin_object(w);
	write_member(w, "kind", r->actor_kind);
	write_member(w, "id", r->actor_id);
	write_member(w, "name", r->actor_name);
	write_member(w, "address", r->address);
	write_member(w, "session", r->session);
	ms_json_end_object(w);
	write_member(w, "event", r->event);
	write_member(w, "target", r->target);
	write_member(w, "outcome", r->outcome);
	write_member(w, "request_id", r->request_id);
	write_details(w, r->details);
	write_hex(w, "prev", r->prev);
	write_hex(w, "hash", r->hash);
	ms_json_end_object(w);
}

enum ms_err ms_audit_head(struct store_tx *tx, struct errinfo *info, struct slice *ret_json)
{
	struct store_rows rows;
	struct buf out;
	MS_TRY(ms_store_query(
		tx, "SELECT seq, time_us, chain, hash, kid, signature FROM audit_heads ORDER BY seq DESC LIMIT 1",
		MS_STORE_NO_PARAMS, 1, info, &rows));
	*ret_json = MS_SLICE_EMPTY;
	if (rows.count == 0)
		return MS_OK;
	const struct audit_head head = {.seq = ms_store_get_int(&rows, 0, 0),
					.time_us = ms_store_get_int(&rows, 0, 1),
					.chain = ms_store_get_text(&rows, 0, 2),
					.hash = ms_store_get_blob(&rows, 0, 3),
					.kid = ms_store_get_text(&rows, 0, 4),
					.signature = ms_store_get_text(&rows, 0, 5)};
	ms_buf_init(&out, 8192);
	ms_audit_head_write(&head, &out);
	struct slice copy = ms_buf_ok(&out) ? ms_arena_copy(ms_store_arena(tx), ms_buf_slice(&out)) : MS_SLICE_EMPTY;
	ms_buf_fini(&out);
	if (copy.p == NULL)
		return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory");
	*ret_json = copy;
	return MS_OK;
}
