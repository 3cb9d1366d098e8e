// SPDX-License-Identifier: Apache-2.0
// One entry of the audit log: what is recorded of it, its canonical form and hash, its place in the chain.
#include "auth/vault.h"

#define ID_MAX 128
#define NAME_MAX_BYTES 256
#define TARGET_MAX 256
#define DETAILS_MAX 4096

// --- Text --------------------------------------------------------------------------------------------

static bool is_base62(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

static bool is_token_char(char c)
{
	return is_base62(c) || c == '-' || c == '_';
}

static size_t run_of(struct slice text, size_t at, bool (*is)(char))
{
	size_t n = 0;
	while (at + n < text.n && is(text.p[at + n]))
		n++;
	return n;
}

// Length of the credential that begins at `at`, 0 when none does: "msk_…" and its kin (a prefix of three letters and 20 digits of base62
// or more), or a JWT ("eyJ…." and what follows).
static size_t credential_at(struct slice text, size_t at)
{
	struct slice rest = ms_slice_sub(text, at, text.n);
	if (rest.n > 24 && rest.p[0] == 'm' && rest.p[1] == 's' && rest.p[3] == '_') {
		size_t n = run_of(rest, 4, is_base62);
		return n >= 20 ? 4 + n : 0;
	}
	if (!ms_slice_starts_with(rest, MS_SLICE_LIT("eyJ")))
		return 0;
	size_t n = run_of(rest, 0, is_token_char);
	if (n < 12 || n == rest.n || rest.p[n] != '.')
		return 0;
	while (n < rest.n && (rest.p[n] == '.' || is_token_char(rest.p[n])))
		n++;
	return n;
}

// In place: what replaces a credential is shorter.
static size_t redact(char *p, size_t n)
{
	struct slice text = ms_slice(p, n), word = MS_SLICE_LIT("[redacted]");
	size_t to = 0;
	for (size_t at = 0; at < n;) {
		size_t length = (at == 0 || !is_base62(p[at - 1])) ? credential_at(text, at) : 0;
		if (length == 0) {
			p[to++] = p[at++];
			continue;
		}
		memcpy(p + to, word.p, word.n);
		to += word.n;
		at += length;
	}
	return to;
}

// As in a JSON string, but that a quotation mark is nothing special: one line, no terminal's commands, and no two texts alike.
static size_t escape(struct slice text, char *dst, size_t size)
{
	static const char cut[] = "…";
	size_t at = 0, room = size - (sizeof(cut) - 1);
	while (text.n > 0) {
		size_t taken;
		struct slice part = ms_slice_sub(text, 0, ms_slice_find(text, '"'));
		at += ms_text_json_escape(part, dst + at, room - at, &taken);
		text = ms_slice_sub(text, taken, text.n);
		if (taken < part.n || (text.n > 0 && at == room)) {
			memcpy(dst + at, cut, sizeof(cut) - 1);
			return at + sizeof(cut) - 1;
		}
		if (text.n > 0) {
			dst[at++] = '"';
			text = ms_slice_sub(text, 1, text.n);
		}
	}
	return at;
}

enum ms_err ms_audit_clean(struct slice text, size_t max, struct arena *arena, struct errinfo *info,
			   struct slice *ret_clean)
{
	// Credentials first, and the cut last: none may show its beginning before the cut.
	struct slice copy = ms_arena_copy(arena, ms_slice_sub(text, 0, 4 * max));
	char *p = ms_arena_alloc(arena, max);
	if (copy.p == NULL || p == NULL)
		return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory");
	copy.n = redact((char *)(uintptr_t)copy.p, copy.n);
	*ret_clean = ms_slice(p, escape(copy, p, max));
	return MS_OK;
}

static bool is_object(struct slice json)
{
	struct json_reader r;
	struct arena arena;
	ms_arena_init(&arena, 1024, DETAILS_MAX * 4);
	ms_json_reader_init(&r, json, NULL, &arena, NULL);
	bool ok = ms_json_peek(&r) == JSON_OBJECT && ms_json_skip(&r, NULL) && ms_json_finish(&r) == MS_OK;
	ms_arena_fini(&arena);
	return ok;
}

static enum ms_err clean_details(struct slice details, struct arena *arena, struct errinfo *info,
				 struct slice *ret_clean)
{
	if (details.n > DETAILS_MAX)
		details = MS_SLICE_LIT("{\"cut\":true}");
	MS_ASSERT(details.n == 0 || is_object(details));
	struct slice copy = ms_arena_copy(arena, details);
	if (copy.p == NULL)
		return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory");
	*ret_clean = ms_slice(copy.p, redact((char *)(uintptr_t)copy.p, copy.n));
	return MS_OK;
}

// --- Canonical form ----------------------------------------------------------------------------------

static void put_u64(struct buf *out, uint64_t value)
{
	uint8_t bytes[8];
	for (size_t i = 0; i < 8; i++)
		bytes[i] = (uint8_t)(value >> (56 - 8 * i));
	ms_buf_append(out, bytes, sizeof(bytes));
}

static void put_field(struct buf *out, struct slice field)
{
	MS_ASSERT(field.n <= UINT32_MAX);
	const uint8_t size[4] = {(uint8_t)(field.n >> 24), (uint8_t)(field.n >> 16), (uint8_t)(field.n >> 8),
				 (uint8_t)field.n};
	ms_buf_append(out, size, sizeof(size));
	ms_buf_append_slice(out, field);
}

void ms_audit_hash(const struct audit_record *r, uint8_t ret_hash[MS_AUDIT_HASH_SIZE])
{
	const struct slice fields[] = {r->actor_kind, r->actor_id, r->actor_name, r->address, r->session, r->request_id,
				       r->event,      r->target,   r->outcome,    r->details, r->prev};
	struct buf out;
	size_t n = 0;
	for (size_t i = 0; i < MS_ARRAY_LEN(fields); i++)
		n += fields[i].n + 4;
	ms_buf_init(&out, n + 64);
	put_field(&out, MS_SLICE_LIT("mainstay audit 1"));
	put_u64(&out, (uint64_t)r->seq);
	put_u64(&out, (uint64_t)r->time_us);
	for (size_t i = 0; i < MS_ARRAY_LEN(fields); i++)
		put_field(&out, fields[i]);
	// Without memory the hash of nothing fits no entry.
	ms_sha256(ms_buf_ok(&out) ? ms_buf_slice(&out) : MS_SLICE_EMPTY, ret_hash);
	ms_buf_fini(&out);
}

// --- Appending ---------------------------------------------------------------------------------------

static const char *kind_of(const struct auth_actor *actor)
{
	static const char *const names[] = {"anonymous", "user", "key", "client"};
	MS_ASSERT((size_t)actor->kind < MS_ARRAY_LEN(names));
	if (actor->kind == CALLER_UNKNOWN && ms_slice_eq_cstr(actor->id, "system"))
		return "system";
	if (actor->kind == CALLER_UNKNOWN && ms_slice_eq_cstr(actor->id, "console"))
		return "console";
	return names[actor->kind];
}

static enum ms_err fill(const struct audit_entry *entry, struct arena *arena, struct errinfo *info,
			struct audit_record *r)
{
	static const char *const outcomes[] = {"ok", "refused", "failed"};
	const struct auth_actor *a = &entry->actor;
	MS_ASSERT((size_t)entry->outcome < MS_ARRAY_LEN(outcomes));
	r->actor_kind = ms_slice_cstr(kind_of(a));
	r->event = ms_slice_cstr(ms_auth_event_name(entry->event));
	r->outcome = ms_slice_cstr(outcomes[entry->outcome]);
	MS_TRY(ms_audit_clean(a->id, ID_MAX, arena, info, &r->actor_id));
	MS_TRY(ms_audit_clean(a->name, NAME_MAX_BYTES, arena, info, &r->actor_name));
	MS_TRY(ms_audit_clean(a->address, ID_MAX, arena, info, &r->address));
	MS_TRY(ms_audit_clean(a->session, ID_MAX, arena, info, &r->session));
	MS_TRY(ms_audit_clean(a->request_id, ID_MAX, arena, info, &r->request_id));
	MS_TRY(ms_audit_clean(entry->target, TARGET_MAX, arena, info, &r->target));
	return clean_details(entry->details, arena, info, &r->details);
}

// Takes the next place in the chain, and with it the lock that makes other appenders wait. `r` gets seq and prev.
static enum ms_err take_place(struct store_tx *tx, struct errinfo *info, struct audit_record *r)
{
	static const uint8_t zeros[MS_AUDIT_HASH_SIZE];
	struct store_rows rows;
	char id[MS_AUTH_ID_SIZE];
	ms_auth_id(id);
	MS_TRY(ms_store_query(
		tx,
		"INSERT INTO audit_chain (one, id, seq, hash) VALUES (1, $1, 1, $2)"
		" ON CONFLICT (one) DO UPDATE SET seq = audit_chain.seq + 1 RETURNING seq, hash",
		MS_STORE_PARAMS(ms_store_text(ms_slice_cstr(id)), ms_store_blob(ms_slice(zeros, sizeof(zeros)))), 1,
		info, &rows));
	MS_ASSERT(rows.count == 1);
	r->seq = ms_store_get_int(&rows, 0, 0);
	r->prev = ms_store_get_blob(&rows, 0, 1);
	return MS_OK;
}

static enum ms_err insert(struct store_tx *tx, const struct audit_record *r, struct errinfo *info)
{
	MS_TRY(ms_store_run(
		tx,
		"INSERT INTO audit (seq, time_us, actor_kind, actor_id, actor_name, address, session, request_id, "
		"action,"
		" target, outcome, details, prev, hash)"
		" VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)",
		MS_STORE_PARAMS(ms_store_int(r->seq), ms_store_int(r->time_us), ms_store_text(r->actor_kind),
				ms_store_text(r->actor_id), ms_store_text(r->actor_name), ms_store_text(r->address),
				ms_store_text(r->session), ms_store_text(r->request_id), ms_store_text(r->event),
				ms_store_text(r->target), ms_store_text(r->outcome), ms_store_text(r->details),
				ms_store_blob(r->prev), ms_store_blob(r->hash)),
		info, NULL));
	return ms_store_run(tx, "UPDATE audit_chain SET hash = $1 WHERE one = 1",
			    MS_STORE_PARAMS(ms_store_blob(r->hash)), info, NULL);
}

enum ms_err ms_audit_append_at(struct store_tx *tx, struct auth *auth, const struct audit_entry *entry, int64_t time_us,
			       struct errinfo *info)
{
	struct audit_record record = {.time_us = time_us};
	uint8_t hash[MS_AUDIT_HASH_SIZE];
	MS_TRY(fill(entry, ms_store_arena(tx), info, &record));
	MS_TRY(take_place(tx, info, &record));
	ms_audit_hash(&record, hash);
	record.hash = ms_slice(hash, sizeof(hash));
	MS_TRY(insert(tx, &record, info));
	if (auth == NULL)
		return MS_OK;
	ms_audit_count(auth);
	// Refused requests come in floods; the log alone keeps them.
	if (auth->options.bus == NULL || entry->event == AUTH_DENIED)
		return MS_OK;
	return ms_auth_publish(tx, entry, info);
}

enum ms_err ms_audit_append(struct store_tx *tx, struct auth *auth, const struct audit_entry *entry,
			    struct errinfo *info)
{
	return ms_audit_append_at(tx, auth, entry, ms_store_now_us(tx), info);
}

enum ms_err ms_audit_read_chain(struct store_tx *tx, struct errinfo *info, struct audit_chain *ret_chain)
{
	struct store_rows rows;
	MS_TRY(ms_store_query(tx, "SELECT id, seq, hash FROM audit_chain WHERE one = 1", MS_STORE_NO_PARAMS, 1, info,
			      &rows));
	*ret_chain = (struct audit_chain){0};
	if (rows.count == 1)
		*ret_chain = (struct audit_chain){.id = ms_store_get_text(&rows, 0, 0),
						  .seq = ms_store_get_int(&rows, 0, 1),
						  .hash = ms_store_get_blob(&rows, 0, 2)};
	return MS_OK;
}
