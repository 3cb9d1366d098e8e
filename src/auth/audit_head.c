// SPDX-License-Identifier: Apache-2.0
// Signed heads: what the chain was at a time, so that it can be kept elsewhere. A head is a compact JWS (EdDSA) over
// {"chain","seq","time","hash"}; any JOSE tool can check it.
#include <stdio.h>
#include <stdlib.h>

#include "auth/vault.h"

#define PURPOSE "audit"
#define HEAD_TEXT_MAX 4096
#define CHECK_PAGE 500
#define KEY_TEXT_MAX ((size_t)64 << 10)

// --- The key -----------------------------------------------------------------------------------------

struct key_job {
	const struct vault *vault;
	struct jose_key *made; // a new one, in case that there is none
	struct buf sealed, public_jwk;
	struct jose_key *found;
	bool needs_key;
};

static enum ms_err open_key(const struct vault *vault, const struct store_rows *rows, struct arena *arena,
			    struct errinfo *info, struct jose_key **ret_key)
{
	struct slice plain, kid = ms_store_get_text(rows, 0, 0);
	char *context = ms_arena_printf(arena, PURPOSE "-key:%.*s", MS_SLICE_ARG(kid));
	if (context == NULL)
		return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory");
	MS_TRY(ms_vault_open_sealed(vault, ms_slice_cstr(context), ms_store_get_blob(rows, 0, 1), arena, info, &plain));
	enum ms_err err = ms_jose_key_parse(plain, JOSE_ED25519, info, ret_key);
	ms_wipe((void *)(uintptr_t)plain.p, plain.n);
	return err;
}

// Runs again after a conflict: two processes that start at once end up with one key.
static enum ms_err find_or_insert_key(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct key_job *job = arg;
	struct store_rows rows;
	ms_jose_key_unref(job->found);
	job->found = NULL;
	job->needs_key = false;
	MS_TRY(ms_store_query(tx,
			      "SELECT kid, sealed FROM signing_keys WHERE purpose = '" PURPOSE "' AND state = 'active'"
			      " ORDER BY created_us DESC LIMIT 1",
			      MS_STORE_NO_PARAMS, 1, info, &rows));
	if (rows.count == 1)
		return open_key(job->vault, &rows, ms_store_arena(tx), info, &job->found);
	job->needs_key = job->made == NULL;
	if (job->needs_key)
		return MS_OK;
	int64_t now = ms_store_now_us(tx);
	MS_TRY(ms_store_run(tx,
			    "INSERT INTO signing_keys (kid, purpose, alg, state, public_jwk, sealed, created_us, "
			    "active_us, retired_us)"
			    " VALUES ($1, '" PURPOSE "', 'EdDSA', 'active', $2, $3, $4, $4, 0)",
			    MS_STORE_PARAMS(ms_store_text(ms_jose_key_id(job->made)),
					    ms_store_text(ms_buf_slice(&job->public_jwk)),
					    ms_store_blob(ms_buf_slice(&job->sealed)), ms_store_int(now)),
			    info, NULL));
	job->found = ms_jose_key_ref(job->made);
	return MS_OK;
}

static enum ms_err make_key(struct key_job *job, struct errinfo *info)
{
	struct buf plain;
	struct arena arena;
	struct slice sealed;
	MS_TRY(ms_jose_key_generate(JOSE_ED25519, info, &job->made));
	ms_buf_init(&plain, KEY_TEXT_MAX);
	ms_arena_init(&arena, 4096, (size_t)1 << 20);
	MS_IGNORE(!ms_buf_reserve(&plain, 4096)); // so that it does not grow and leave copies; failing is seen below
	ms_jose_key_write(job->made, true, &plain);
	ms_jose_key_write(job->made, false, &job->public_jwk);
	char *context = ms_arena_printf(&arena, PURPOSE "-key:%.*s", MS_SLICE_ARG(ms_jose_key_id(job->made)));
	enum ms_err err = context != NULL && ms_buf_ok(&plain) && ms_buf_ok(&job->public_jwk)
				  ? MS_OK
				  : ms_fail(info, MS_ERR_NO_MEMORY, "out of memory");
	if (err == MS_OK)
		err = ms_vault_seal(job->vault, ms_slice_cstr(context), ms_buf_slice(&plain), &arena, info, &sealed);
	if (err == MS_OK)
		ms_buf_append_slice(&job->sealed, sealed);
	if (plain.cap > 0)
		ms_wipe(plain.p, plain.cap);
	ms_buf_fini(&plain);
	ms_arena_fini(&arena);
	return err;
}

enum ms_err ms_audit_key(struct store *store, const struct vault *vault, struct errinfo *info,
			 struct jose_key **ret_key)
{
	struct key_job job = {.vault = vault};
	ms_buf_init(&job.sealed, KEY_TEXT_MAX);
	ms_buf_init(&job.public_jwk, KEY_TEXT_MAX);
	enum ms_err err = ms_store_write_wait(store, find_or_insert_key, &job, info);
	if (err == MS_OK && job.needs_key) {
		err = make_key(&job, info);
		if (err == MS_OK)
			err = ms_store_write_wait(store, find_or_insert_key, &job, info);
	}
	if (err == MS_OK)
		*ret_key = ms_jose_key_ref(job.found);
	ms_jose_key_unref(job.found);
	ms_jose_key_unref(job.made);
	ms_buf_fini(&job.sealed);
	ms_buf_fini(&job.public_jwk);
	return err;
}

// --- Text --------------------------------------------------------------------------------------------

static void write_time(struct json_writer *w, int64_t time_us)
{
	char text[MS_RFC3339_SIZE];
	size_t n = ms_text_rfc3339(time_us * 1000, text);
	ms_json_str(w, ms_slice(text, n));
}

static void write_hash(struct json_writer *w, struct slice hash)
{
	struct buf hex;
	ms_buf_init(&hex, 2 * MS_AUDIT_HASH_SIZE + 1);
	ms_hex_append(&hex, ms_slice_sub(hash, 0, MS_AUDIT_HASH_SIZE));
	ms_json_str(w, ms_buf_slice(&hex));
	ms_buf_fini(&hex);
}

// What is signed.
static void write_payload(const struct audit_head *head, struct buf *out)
{
	struct json_writer w;
	ms_json_writer_init(&w, out);
	ms_json_begin_object(&w);
	ms_json_key_lit(&w, "chain");
	ms_json_str(&w, head->chain);
	ms_json_key_lit(&w, "seq");
	ms_json_i64(&w, head->seq);
	ms_json_key_lit(&w, "time_us");
	ms_json_i64(&w, head->time_us);
	ms_json_key_lit(&w, "hash");
	write_hash(&w, head->hash);
	ms_json_end_object(&w);
}

void ms_audit_head_write(const struct audit_head *head, struct buf *out)
{
	struct json_writer w;
	ms_json_writer_init(&w, out);
	ms_json_begin_object(&w);
	ms_json_key_lit(&w, "seq");
	ms_json_i64(&w, head->seq);
	ms_json_key_lit(&w, "time");
	write_time(&w, head->time_us);
	ms_json_key_lit(&w, "time_us");
	ms_json_i64(&w, head->time_us);
	ms_json_key_lit(&w, "chain");
	ms_json_str(&w, head->chain);
	ms_json_key_lit(&w, "hash");
	write_hash(&w, head->hash);
	ms_json_key_lit(&w, "kid");
	ms_json_str(&w, head->kid);
	ms_json_key_lit(&w, "signature");
	ms_json_str(&w, head->signature);
	ms_json_end_object(&w);
}

enum ms_err ms_audit_head_parse(struct slice line, struct arena *arena, struct errinfo *info,
				struct audit_head *ret_head)
{
	static const struct json_limits limits = {
		.max_depth = 4, .max_bytes = HEAD_TEXT_MAX, .reject_duplicates = true};
	const struct json_value *v;
	struct audit_head head;
	struct slice hex;
	MS_TRY(ms_json_parse(line, &limits, arena, info, &v));
	bool ok = ms_json_as_i64(ms_json_get(v, "seq"), &head.seq) && head.seq > 0 &&
		  ms_json_as_i64(ms_json_get(v, "time_us"), &head.time_us) &&
		  ms_json_as_str(ms_json_get(v, "chain"), &head.chain) &&
		  ms_json_as_str(ms_json_get(v, "hash"), &hex) && ms_json_as_str(ms_json_get(v, "kid"), &head.kid) &&
		  ms_json_as_str(ms_json_get(v, "signature"), &head.signature) &&
		  ms_hex_decode(hex, arena, &head.hash) && head.hash.n == MS_AUDIT_HASH_SIZE;
	if (!ok)
		return ms_fail(info, MS_ERR_INVALID, "is not a head of the audit log");
	*ret_head = head;
	return MS_OK;
}

bool ms_audit_head_verify(const struct audit_head *head, struct jose_keys keys, struct arena *arena)
{
	struct jws jws;
	struct errinfo ignored;
	struct buf payload;
	ms_errinfo_init(&ignored);
	if (ms_jws_verify(head->signature, keys, arena, &ignored, &jws) != MS_OK ||
	    !ms_slice_eq_cstr(jws.typ, AUDIT_HEAD_TYPE))
		return false;
	ms_buf_init(&payload, HEAD_TEXT_MAX);
	write_payload(head, &payload);
	bool same = ms_buf_ok(&payload) && ms_slice_eq(ms_buf_slice(&payload), jws.payload);
	ms_buf_fini(&payload);
	return same;
}

// --- Signing -----------------------------------------------------------------------------------------

struct sign_job {
	const struct jose_key *key;
	int64_t seq; // answer; 0: nothing new
	struct buf line, payload, signature;
	char hash[2 * MS_AUDIT_HASH_SIZE + 1];
};

static enum ms_err last_head(struct store_tx *tx, struct errinfo *info, int64_t *ret_seq)
{
	struct store_rows rows;
	MS_TRY(ms_store_query(tx, "SELECT seq FROM audit_heads ORDER BY seq DESC LIMIT 1", MS_STORE_NO_PARAMS, 1, info,
			      &rows));
	*ret_seq = rows.count > 0 ? ms_store_get_int(&rows, 0, 0) : 0;
	return MS_OK;
}

// What is signed must follow from what was signed before, so that a change behind our back is not covered up by our own signature.
static enum ms_err check_since(struct store_tx *tx, int64_t signed_seq, const struct audit_chain *chain,
			       struct errinfo *info)
{
	uint8_t hash[MS_AUDIT_HASH_SIZE] = {0}, computed[MS_AUDIT_HASH_SIZE];
	struct store_rows rows;
	struct audit_record r;
	int64_t seq = signed_seq;
	MS_TRY(ms_store_query(tx, "SELECT hash FROM audit_heads WHERE seq = $1",
			      MS_STORE_PARAMS(ms_store_int(signed_seq)), 1, info, &rows));
	bool good = rows.count == 0 || ms_store_get_blob(&rows, 0, 0).n == sizeof(hash);
	if (rows.count == 1 && good)
		memcpy(hash, ms_store_get_blob(&rows, 0, 0).p, sizeof(hash));
	while (good && seq < chain->seq) {
		MS_TRY(ms_audit_page(tx, seq, CHECK_PAGE, info, &rows));
		good = rows.count > 0;
		for (size_t i = 0; good && i < rows.count; i++) {
			ms_audit_record_of(&rows, i, &r);
			ms_audit_hash(&r, computed);
			good = r.seq == ++seq && ms_slice_eq(r.prev, ms_slice(hash, sizeof(hash))) &&
			       ms_slice_eq(r.hash, ms_slice(computed, sizeof(computed)));
			memcpy(hash, computed, sizeof(hash));
		}
	}
	if (good && seq == chain->seq && ms_slice_eq(chain->hash, ms_slice(hash, sizeof(hash))))
		return MS_OK;
	return ms_fail(
		info, MS_ERR_INTERNAL,
		"entry %lld or one near it was changed: mainstay audit verify says which; nothing is signed until then",
		(long long)seq);
}

static enum ms_err sign_chain(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct sign_job *job = arg;
	struct audit_chain chain;
	int64_t signed_seq;
	job->seq = 0;
	ms_buf_clear(&job->line);
	ms_buf_clear(&job->payload);
	ms_buf_clear(&job->signature);
	MS_TRY(ms_audit_read_chain(tx, info, &chain));
	MS_TRY(last_head(tx, info, &signed_seq));
	if (chain.seq <= signed_seq)
		return MS_OK;
	MS_TRY(check_since(tx, signed_seq, &chain, info));
	struct audit_head head = {.chain = chain.id,
				  .seq = chain.seq,
				  .time_us = ms_store_now_us(tx),
				  .hash = chain.hash,
				  .kid = ms_jose_key_id(job->key)};
	write_payload(&head, &job->payload);
	MS_TRY(ms_jws_sign(job->key, MS_SLICE_LIT(AUDIT_HEAD_TYPE), ms_buf_slice(&job->payload), info,
			   &job->signature));
	head.signature = ms_buf_slice(&job->signature);
	ms_audit_head_write(&head, &job->line);
	ms_buf_append_char(&job->line, '\n');
	if (!ms_buf_ok(&job->line) || !ms_buf_ok(&job->payload))
		return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory");
	for (size_t i = 0; i < MS_AUDIT_HASH_SIZE; i++)
		snprintf(job->hash + 2 * i, 3, "%02x", (uint8_t)head.hash.p[i]);
	job->seq = head.seq;
	return ms_store_run(
		tx,
		"INSERT INTO audit_heads (seq, time_us, chain, hash, kid, signature) VALUES ($1, $2, $3, $4, $5, $6)"
		" ON CONFLICT (seq) DO NOTHING",
		MS_STORE_PARAMS(ms_store_int(head.seq), ms_store_int(head.time_us), ms_store_text(head.chain),
				ms_store_blob(head.hash), ms_store_text(head.kid), ms_store_text(head.signature)),
		info, NULL);
}

// The line in the log is the copy elsewhere, where logs are collected; the file is what a backup takes.
static void tell(struct auth *auth, const struct sign_job *job)
{
	struct errinfo info;
	char path[4096];
	ms_errinfo_init(&info);
	int n = snprintf(path, sizeof(path), "%s/" AUDIT_HEADS_FILE, auth->options.data_dir);
	if (n < 0 || (size_t)n >= sizeof(path) || ms_file_append(path, ms_buf_slice(&job->line), 0600, &info) != MS_OK)
		ms_log(auth->options.log, LOG_WARN, "a head of the audit log could not be written to its file",
		       MS_LOG_CSTR("error.message", info.message));
	ms_log(auth->options.log, LOG_INFO, "head of the audit log", MS_LOG_INT("mainstay.audit.seq", job->seq),
	       MS_LOG_CSTR("mainstay.audit.hash", job->hash),
	       MS_LOG_STR("mainstay.audit.head", ms_buf_slice(&job->signature)));
}

enum ms_err ms_audit_sign_head(struct auth *auth, const struct jose_key *key, struct errinfo *info, int64_t *ret_seq)
{
	struct sign_job job = {.key = key};
	ms_buf_init(&job.line, HEAD_TEXT_MAX);
	ms_buf_init(&job.payload, HEAD_TEXT_MAX);
	ms_buf_init(&job.signature, HEAD_TEXT_MAX);
	enum ms_err err = ms_store_write_wait(auth->options.store, sign_chain, &job, info);
	if (err == MS_OK && job.seq > 0)
		tell(auth, &job);
	if (err == MS_OK)
		*ret_seq = job.seq;
	ms_buf_fini(&job.line);
	ms_buf_fini(&job.payload);
	ms_buf_fini(&job.signature);
	return err;
}
