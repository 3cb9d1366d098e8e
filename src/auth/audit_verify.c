// SPDX-License-Identifier: Apache-2.0
// Reads the whole log and says where the first bad entry is, and what was done to it.
//
// An entry that does not have its hash was changed, unless it has it with another number: then it stood elsewhere, and its neighbours
// tell whether entries were swapped, put between or taken out. An entry that has its hash but was made after another one than the entry
// before it says that the one before was replaced.
#include <stdio.h>
#include <stdlib.h>

#include "auth/vault.h"

#define PAGE 1000
#define NEAR 64 // how far an entry that stands elsewhere is looked for
#define AUDIT_KEYS_MAX 64

// Little is kept of each: there may be one a minute for years.
struct kept_head {
	int64_t seq;
	struct slice text;
	size_t line;
};

struct verifier {
	const struct audit_verify_options *options;
	struct audit_report *report;
	struct arena arena; // keys and kept heads
	struct jose_key **keys;
	size_t key_count;
	struct kept_head *kept; // by seq
	size_t kept_count, kept_at;
	// The last good entry.
	int64_t seq, time_us;
	uint8_t hash[MS_AUDIT_HASH_SIZE];
	uint8_t before[MS_AUDIT_HASH_SIZE]; // the hash of the one before it
	int64_t signed_seq;                 // the last entry that a good head covers
	bool at_end;
	int64_t total;
};

const char *ms_audit_fault_name(enum audit_fault fault)
{
	static const char *const names[] = {"none",      "changed",   "replaced",  "missing",  "inserted",
					    "reordered", "truncated", "rewritten", "signature"};
	MS_ASSERT((size_t)fault < MS_ARRAY_LEN(names));
	return names[fault];
}

static void find(struct verifier *v, enum audit_fault fault, int64_t seq, const char *fmt, ...) MS_PRINTF(4, 5);
static void find(struct verifier *v, enum audit_fault fault, int64_t seq, const char *fmt, ...)
{
	va_list args;
	if (v->report->fault != AUDIT_WHOLE)
		return; // the first one counts
	v->report->fault = fault;
	v->report->seq = seq;
	va_start(args, fmt);
	vsnprintf(v->report->message, sizeof(v->report->message), fmt, args);
	va_end(args);
}

#define LL(value) ((long long)(value))

// --- Entries -----------------------------------------------------------------------------------------

static bool fits(const struct audit_record *r, int64_t seq)
{
	struct audit_record as = *r;
	uint8_t hash[MS_AUDIT_HASH_SIZE];
	as.seq = seq;
	ms_audit_hash(&as, hash);
	return ms_slice_eq(ms_slice(hash, sizeof(hash)), r->hash);
}

// The number that the entry was made with; its present one when it is just that, -1 when it was changed.
static int64_t made_as(const struct audit_record *r)
{
	if (fits(r, r->seq))
		return r->seq;
	for (int64_t d = 1; d <= NEAR; d++) {
		if (r->seq > d && fits(r, r->seq - d))
			return r->seq - d;
		if (r->seq < INT64_MAX - d && fits(r, r->seq + d))
			return r->seq + d;
	}
	return -1;
}

static bool follows(const struct verifier *v, const struct audit_record *r)
{
	return ms_slice_eq(r->prev, ms_slice(v->hash, sizeof(v->hash)));
}

// The entry stands where it was not made. `next`: the entry behind it, or NULL.
static void find_moved(struct verifier *v, const struct audit_record *r, int64_t made, const struct audit_record *next)
{
	if (made < r->seq && ms_slice_eq(r->prev, ms_slice(v->before, sizeof(v->before)))) {
		find(v, AUDIT_INSERTED, v->seq,
		     "entry %lld was inserted: the entry behind it was made as number %lld, after entry %lld",
		     LL(v->seq), LL(made), LL(v->seq - 1));
		return;
	}
	int64_t next_made = next != NULL ? made_as(next) : -1;
	if (made > r->seq && next_made - made == 1) {
		find(v, AUDIT_MISSING, r->seq,
		     "%s removed, and those behind numbered anew: what is entry %lld now was entry %lld",
		     made - r->seq == 1 ? "an entry was" : "entries were", LL(r->seq), LL(made));
		return;
	}
	find(v, AUDIT_REORDERED, r->seq, "entry %lld was entry %lld: the order was changed", LL(r->seq), LL(made));
}

static void check_entry(struct verifier *v, const struct audit_record *r, const struct audit_record *next)
{
	if (r->seq <= 0) {
		find(v, AUDIT_INSERTED, r->seq, "entry %lld was inserted: numbers begin with 1", LL(r->seq));
		return;
	}
	if (r->seq != v->seq + 1) {
		if (r->seq == v->seq + 2)
			find(v, AUDIT_MISSING, v->seq + 1, "entry %lld is missing", LL(v->seq + 1));
		else
			find(v, AUDIT_MISSING, v->seq + 1, "entries %lld to %lld are missing", LL(v->seq + 1),
			     LL(r->seq - 1));
		return;
	}
	int64_t made = made_as(r);
	if (made < 0)
		find(v, AUDIT_CHANGED, r->seq, "entry %lld was changed: it does not have its hash", LL(r->seq));
	else if (made != r->seq)
		find_moved(v, r, made, next);
	else if (!follows(v, r) && r->seq == 1)
		find(v, AUDIT_CHANGED, 1, "entry 1 was replaced: it does not begin a chain");
	else if (!follows(v, r))
		find(v, AUDIT_REPLACED, r->seq - 1, "entry %lld was replaced: entry %lld was made after another one",
		     LL(r->seq - 1), LL(r->seq));
	if (v->report->fault != AUDIT_WHOLE)
		return;
	memcpy(v->before, v->hash, sizeof(v->hash));
	memcpy(v->hash, r->hash.p, sizeof(v->hash));
	v->seq = r->seq;
	v->time_us = r->time_us;
	v->report->entries++;
}

// --- Heads -------------------------------------------------------------------------------------------

static struct jose_keys keys_of(const struct verifier *v)
{
	return (struct jose_keys){v->keys, v->key_count};
}

static const struct jose_key *key_of(const struct verifier *v, struct slice kid)
{
	for (size_t i = 0; i < v->key_count; i++) {
		if (ms_slice_eq(ms_jose_key_id(v->keys[i]), kid))
			return v->keys[i];
	}
	return NULL;
}

// A head of the entry that was just found good. `source`: "the signed head", "the kept head".
static void check_head(struct verifier *v, const struct audit_head *head, const char *source)
{
	struct arena_mark mark = ms_arena_mark(&v->arena);
	if (!ms_slice_eq(head->hash, ms_slice(v->hash, sizeof(v->hash))))
		find(v, AUDIT_REWRITTEN, v->signed_seq + 1,
		     "%s of entry %lld has another hash: the log was written anew behind entry %lld", source,
		     LL(head->seq), LL(v->signed_seq));
	else if (key_of(v, head->kid) == NULL)
		find(v, AUDIT_SIGNATURE, head->seq, "%s of entry %lld was signed with a key that is not known (%.*s)",
		     source, LL(head->seq), MS_SLICE_ARG(ms_slice_sub(head->kid, 0, 64)));
	else if (!ms_audit_head_verify(head, keys_of(v), &v->arena))
		find(v, AUDIT_SIGNATURE, head->seq, "%s of entry %lld has a wrong signature", source, LL(head->seq));
	else
		v->signed_seq = head->seq;
	ms_arena_rewind(&v->arena, mark);
}

static void head_of(const struct store_rows *rows, size_t i, struct audit_head *ret_head)
{
	*ret_head = (struct audit_head){.seq = ms_store_get_int(rows, i, 0),
					.time_us = ms_store_get_int(rows, i, 1),
					.chain = ms_store_get_text(rows, i, 2),
					.hash = ms_store_get_blob(rows, i, 3),
					.kid = ms_store_get_text(rows, i, 4),
					.signature = ms_store_get_text(rows, i, 5)};
}

static enum ms_err read_heads(struct store_tx *tx, int64_t after, int64_t until, struct errinfo *info,
			      struct store_rows *ret_rows)
{
	return ms_store_query(
		tx,
		"SELECT seq, time_us, chain, hash, kid, signature FROM audit_heads WHERE seq > $1 AND seq <= $2"
		" ORDER BY seq LIMIT $3",
		MS_STORE_PARAMS(ms_store_int(after), ms_store_int(until), ms_store_int(PAGE)), PAGE, info, ret_rows);
}

// The kept heads of the entry that was just found good.
static enum ms_err check_kept(struct verifier *v, const struct audit_chain *chain, struct errinfo *info)
{
	for (; v->kept_at < v->kept_count && v->kept[v->kept_at].seq <= v->seq; v->kept_at++) {
		const struct kept_head *k = &v->kept[v->kept_at];
		struct arena_mark mark = ms_arena_mark(&v->arena);
		struct audit_head head;
		MS_TRY(ms_audit_head_parse(k->text, &v->arena, info, &head));
		v->report->kept++;
		if (!ms_slice_eq(head.chain, chain->id))
			find(v, AUDIT_REWRITTEN, 1,
			     "the kept head of entry %lld (line %zu) belongs to another log: this one was begun anew",
			     LL(k->seq), k->line);
		check_head(v, &head, "the kept head");
		ms_arena_rewind(&v->arena, mark);
	}
	return MS_OK;
}

// --- The walk ----------------------------------------------------------------------------------------

static enum ms_err check_rows(struct verifier *v, const struct store_rows *rows, const struct store_rows *heads,
			      const struct audit_chain *chain, struct errinfo *info)
{
	struct audit_record record, next;
	struct audit_head head;
	size_t h = 0;
	for (size_t i = 0; i < MS_MIN(rows->count, (size_t)PAGE) && v->report->fault == AUDIT_WHOLE; i++) {
		bool has_next = i + 1 < rows->count;
		ms_audit_record_of(rows, i, &record);
		if (has_next)
			ms_audit_record_of(rows, i + 1, &next);
		check_entry(v, &record, has_next ? &next : NULL);
		if (v->report->fault != AUDIT_WHOLE)
			break;
		for (; h < heads->count && ms_store_get_int(heads, h, 0) <= record.seq; h++) {
			head_of(heads, h, &head);
			v->report->heads++;
			check_head(v, &head, "the signed head");
		}
		MS_TRY(check_kept(v, chain, info));
	}
	return MS_OK;
}

// Behind the last entry: what else was there once?
static enum ms_err check_end(struct verifier *v, struct store_tx *tx, const struct audit_chain *chain,
			     struct errinfo *info)
{
	struct store_rows heads;
	v->at_end = true;
	if (v->kept_at < v->kept_count)
		find(v, AUDIT_TRUNCATED, v->seq + 1,
		     "the log ends with entry %lld, but the kept head in line %zu is of entry %lld", LL(v->seq),
		     v->kept[v->kept_count - 1].line, LL(v->kept[v->kept_count - 1].seq));
	MS_TRY(read_heads(tx, v->seq, INT64_MAX, info, &heads));
	if (heads.count > 0)
		find(v, AUDIT_TRUNCATED, v->seq + 1,
		     "the log ends with entry %lld, but a head of entry %lld was signed", LL(v->seq),
		     LL(ms_store_get_int(&heads, heads.count - 1, 0)));
	if (chain->seq > v->seq)
		find(v, AUDIT_TRUNCATED, v->seq + 1, "the log ends with entry %lld, but had %lld", LL(v->seq),
		     LL(chain->seq));
	else if (chain->seq < v->seq)
		find(v, AUDIT_INSERTED, chain->seq + 1, "entry %lld was added behind the end of the log",
		     LL(chain->seq + 1));
	else if (v->seq > 0 && !ms_slice_eq(chain->hash, ms_slice(v->hash, sizeof(v->hash))))
		find(v, AUDIT_REPLACED, v->seq, "entry %lld, the last, was replaced: the log ended with another one",
		     LL(v->seq));
	return MS_OK;
}

// Runs again after a conflict, from where the last whole page ended.
static enum ms_err check_page(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct verifier *v = arg;
	struct store_rows rows, heads;
	struct audit_chain chain;
	struct audit_record last;
	MS_TRY(ms_audit_read_chain(tx, info, &chain));
	v->total = chain.seq;
	MS_TRY(ms_audit_page(tx, v->seq > 0 ? v->seq : INT64_MIN, PAGE + 1, info, &rows)); // one more, to look ahead
	if (rows.count == 0)
		return check_end(v, tx, &chain, info);
	ms_audit_record_of(&rows, MS_MIN(rows.count, (size_t)PAGE) - 1, &last);
	MS_TRY(read_heads(tx, v->seq, last.seq, info, &heads));
	return check_rows(v, &rows, &heads, &chain, info);
}

// --- What the signatures are checked with --------------------------------------------------------------

static enum ms_err take_key(struct verifier *v, const struct store_rows *rows, size_t i, struct arena *arena,
			    struct errinfo *info)
{
	struct slice kid = ms_store_get_text(rows, i, 0), text = ms_store_get_text(rows, i, 1);
	struct jose_key *key;
	if (v->options->vault != NULL) {
		char *context = ms_arena_printf(arena, "audit-key:%.*s", MS_SLICE_ARG(kid));
		if (context == NULL)
			return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory");
		enum ms_err err = ms_vault_open_sealed(v->options->vault, ms_slice_cstr(context),
						       ms_store_get_blob(rows, i, 2), arena, info, &text);
		if (err == MS_ERR_INVALID)
			return MS_OK; // a key that somebody put there; what it signed is found
		MS_TRY(err);
	}
	if (ms_jose_key_parse(text, JOSE_ED25519, info, &key) == MS_OK)
		v->keys[v->key_count++] = key;
	return MS_OK;
}

static enum ms_err read_keys(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct verifier *v = arg;
	struct store_rows rows;
	while (v->key_count > 0)
		ms_jose_key_unref(v->keys[--v->key_count]);
	MS_TRY(ms_store_query(
		tx, "SELECT kid, public_jwk, sealed FROM signing_keys WHERE purpose = 'audit' ORDER BY created_us",
		MS_STORE_NO_PARAMS, AUDIT_KEYS_MAX, info, &rows));
	for (size_t i = 0; i < rows.count; i++)
		MS_TRY(take_key(v, &rows, i, ms_store_arena(tx), info));
	return MS_OK;
}

static int by_seq(const void *a, const void *b)
{
	const struct kept_head *x = a, *y = b;
	return x->seq < y->seq ? -1 : x->seq > y->seq;
}

static enum ms_err read_kept(struct verifier *v, struct errinfo *info)
{
	struct slice rest = v->options->kept, line;
	size_t max = 0, number = 0;
	for (size_t i = 0; i < rest.n; i++)
		max += rest.p[i] == '\n' ? 1 : 0;
	v->kept = MS_ARENA_ARRAY(&v->arena, struct kept_head, max + 1);
	if (v->kept == NULL)
		return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory");
	while (rest.n > 0 && ms_slice_next(&rest, '\n', &line)) {
		struct errinfo own;
		struct audit_head head;
		number++;
		line = ms_slice_trim(line);
		if (line.n == 0)
			continue;
		ms_errinfo_init(&own);
		struct arena_mark mark = ms_arena_mark(&v->arena);
		if (ms_audit_head_parse(line, &v->arena, &own, &head) != MS_OK)
			return ms_fail(info, MS_ERR_INVALID, "kept heads, line %zu: %s", number, own.message);
		ms_arena_rewind(&v->arena, mark);
		v->kept[v->kept_count++] = (struct kept_head){head.seq, line, number};
	}
	qsort(v->kept, v->kept_count, sizeof(*v->kept), by_seq);
	return MS_OK;
}

static enum ms_err walk(struct verifier *v, struct errinfo *info)
{
	MS_TRY(read_kept(v, info));
	v->keys = MS_ARENA_ARRAY(&v->arena, struct jose_key *, AUDIT_KEYS_MAX);
	if (v->keys == NULL)
		return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory");
	MS_TRY(ms_store_read_wait(v->options->store, read_keys, v, info));
	while (!v->at_end && v->report->fault == AUDIT_WHOLE) {
		MS_TRY(ms_store_read_wait(v->options->store, check_page, v, info));
		if (v->options->progress != NULL)
			v->options->progress(v->seq, v->total, v->options->arg);
	}
	return MS_OK;
}

enum ms_err ms_audit_verify(const struct audit_verify_options *options, struct errinfo *info,
			    struct audit_report *ret_report)
{
	struct audit_report report = {.keys_trusted = options->vault != NULL};
	struct verifier v = {.options = options, .report = &report};
	ms_arena_init(&v.arena, 4096, (size_t)256 << 20);
	enum ms_err err = walk(&v, info);
	for (size_t i = 0; i < v.key_count; i++)
		ms_jose_key_unref(v.keys[i]);
	ms_arena_fini(&v.arena);
	if (err == MS_OK)
		*ret_report = report;
	return err;
}
