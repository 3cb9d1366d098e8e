// SPDX-License-Identifier: Apache-2.0
// GET /api/v1/auth/audit: the audit log and its newest signed head.
#include <stdio.h>

#include "identity/private.h"

struct audit_list {
	struct identity_work w;
	struct audit_filter filter;
	size_t limit;
	struct buf *body; // of the exchange: nobody else writes to it meanwhile
	struct json_writer json;
};

static enum ms_err list_tx(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct audit_list *l = arg;
	struct audit_record *records;
	size_t count;
	char cursor[24];
	// One more than asked for tells whether there are more.
	MS_TRY(ms_audit_list(tx, &l->filter, MS_MIN(l->limit + 1, (size_t)MS_AUDIT_LIST_MAX), info, &records, &count));
	bool more = count > l->limit || count == MS_AUDIT_LIST_MAX;
	size_t shown = MS_MIN(count, l->limit);
	struct json_writer *w = &l->json;
	ms_buf_clear(l->body); // this may run again
	ms_json_writer_init(w, l->body);
	ms_json_begin_object(w);
	ms_json_key_lit(w, "items");
	ms_json_begin_array(w);
	for (size_t i = 0; i < shown; i++)
		ms_audit_write(w, &records[i]);
	ms_json_end_array(w);
	ms_json_key_lit(w, "next_cursor");
	int n = more && shown > 0 ? snprintf(cursor, sizeof(cursor), "%lld", (long long)records[shown - 1].seq) : 0;
	if (n > 0)
		ms_json_str(w, ms_slice(cursor, (size_t)n));
	else
		ms_json_null(w);
	ms_json_end_object(w);
	return ms_buf_ok(l->body) ? MS_OK : ms_fail(info, MS_ERR_NO_MEMORY, "out of memory");
}

static void send_body(struct identity_work *w)
{
	ms_http_send_json(w->x, 200);
}

static bool read_time(struct exchange *x, const char *name, int64_t *ret_us)
{
	struct slice text;
	int64_t ns;
	if (!ms_http_query(x, name, &text))
		return true;
	if (!ms_text_parse_time(text, &ns)) {
		ms_http_fail_code(x, MS_ERR_INVALID, "%s must be a time such as 2026-11-20T08:30:00Z, or a date", name);
		return false;
	}
	*ret_us = ns / 1000;
	return true;
}

static bool read_filter(struct exchange *x, struct audit_list *l)
{
	struct slice cursor;
	const struct {
		const char *name;
		struct slice *to;
	} texts[] = {{"actor", &l->filter.actor},
		     {"event", &l->filter.event},
		     {"target", &l->filter.target},
		     {"outcome", &l->filter.outcome}};
	if (!ms_identity_page(x, &l->limit, &cursor) || !read_time(x, "from", &l->filter.from_us) ||
	    !read_time(x, "until", &l->filter.until_us))
		return false;
	for (size_t i = 0; i < MS_ARRAY_LEN(texts); i++) {
		if (ms_http_query(x, texts[i].name, texts[i].to) && texts[i].to->n > 256) {
			ms_http_fail_code(x, MS_ERR_INVALID, "%s is longer than anything in the log", texts[i].name);
			return false;
		}
	}
	if (cursor.n > 0 && (!ms_slice_to_i64(cursor, &l->filter.cursor) || l->filter.cursor < 1)) {
		ms_http_fail_code(x, MS_ERR_INVALID, "cursor must be next_cursor of the answer before");
		return false;
	}
	return true;
}

static void list(struct exchange *x, void *role)
{
	struct audit_list *l = MS_IDENTITY_BEGIN(x, role, struct audit_list);
	if (l == NULL || !read_filter(x, l))
		return;
	l->body = x->body;
	ms_identity_read(&l->w, list_tx, send_body);
}

// --- The head ----------------------------------------------------------------------------------------

static enum ms_err head_tx(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct identity_work *w = arg;
	struct slice head;
	MS_TRY(ms_audit_head(tx, info, &head));
	if (head.n == 0)
		return ms_fail(info, MS_ERR_NOT_FOUND,
			       "no head was signed yet; the first is, within a minute of the first entry");
	ms_buf_clear(w->x->body);
	ms_buf_append_slice(w->x->body, head);
	return ms_buf_ok(w->x->body) ? MS_OK : ms_fail(info, MS_ERR_NO_MEMORY, "out of memory");
}

static void head(struct exchange *x, void *role)
{
	struct identity_work *w = MS_IDENTITY_BEGIN(x, role, struct identity_work);
	if (w != NULL)
		ms_identity_read(w, head_tx, send_body);
}

// --- Routes ------------------------------------------------------------------------------------------

static const struct route_param list_params[] = {
	{"limit", "integer", "Most entries in the answer, 1 to 1000 (default 100)", false},
	{"cursor", "string", "next_cursor of the answer before", false},
	{"actor", "string", "Id or name of who did it", false},
	{"event", "string", "Name of the event, such as login", false},
	{"target", "string", "What it was done to, such as user:ID or model:NAME", false},
	{"outcome", "string", "ok, refused or failed", false},
	{"from", "string", "The first moment, RFC 3339", false},
	{"until", "string", "The moment behind the last one", false},
	{0},
};
_Static_assert(MS_ARRAY_LEN(list_params) - 1 <= MS_HTTP_MAX_PARAMS, "query parameters of a route");

static const struct route routes[] = {
	{.method = HTTP_GET,
	 .pattern = "/api/v1/auth/audit",
	 .handle = list,
	 .permission = "audit.read",
	 .operation_id = "listAudit",
	 .tag = "identity",
	 .summary = "The audit log, newest first",
	 .description = "Each entry holds the hash of the one before it and its own, over all its fields: `mainstay "
			"audit verify` checks them.",
	 .query = list_params,
	 .response_schema = IDENTITY_OBJECT},
	{.method = HTTP_GET,
	 .pattern = "/api/v1/auth/audit/head",
	 .handle = head,
	 .permission = "audit.read",
	 .operation_id = "getAuditHead",
	 .tag = "identity",
	 .summary = "The newest signed head of the audit log",
	 .description = "Kept elsewhere, it shows later that the log was cut off or written anew: `mainstay audit "
			"verify --head FILE`.",
	 .response_schema = IDENTITY_OBJECT},
};

struct identity_table ms_identity_audit_table(void)
{
	return (struct identity_table){routes, MS_ARRAY_LEN(routes)};
}
