// SPDX-License-Identifier: Apache-2.0
// The audit log: canonical form, what is recorded of hostile text, and each kind of tampering found at the right entry.
#include <stdio.h>
#include <stdlib.h>

#include "auth/audit_test_kit.h"

// --- Canonical form ----------------------------------------------------------------------------------

static const struct audit_record golden = {
	.seq = 7,
	.time_us = 1700000000000001,
	.actor_kind = MS_SLICE_LIT("user"),
	.actor_id = MS_SLICE_LIT("u1"),
	.actor_name = MS_SLICE_LIT("\xc3\xa4nne"),
	.address = MS_SLICE_LIT("192.0.2.1"),
	.session = MS_SLICE_LIT(""),
	.request_id = MS_SLICE_LIT("r-1"),
	.event = MS_SLICE_LIT("login"),
	.target = MS_SLICE_LIT("user:u1"),
	.outcome = MS_SLICE_LIT("ok"),
	.details = MS_SLICE_LIT("{\"methods\":\"pwd\"}"),
	.prev = MS_SLICE_LIT("0123456789abcdef0123456789abcdef"),
};

static void hash_hex(const struct audit_record *r, char dst[2 * MS_AUDIT_HASH_SIZE + 1])
{
	uint8_t hash[MS_AUDIT_HASH_SIZE];
	ms_audit_hash(r, hash);
	for (size_t i = 0; i < sizeof(hash); i++)
		snprintf(dst + 2 * i, 3, "%02x", hash[i]);
}

// The same in Python, from the description in README.md: tests/system/test_audit.py.
TEST(the_canonical_form_does_not_change)
{
	char hex[2 * MS_AUDIT_HASH_SIZE + 1];
	hash_hex(&golden, hex);
	CHECK_STR(hex, "b1c6322c4f90a357265f072a369931a3a251d448e1cb3387e4ee225acfc99933");
}

TEST(every_field_is_covered_and_none_runs_into_the_next)
{
	char first[2 * MS_AUDIT_HASH_SIZE + 1], other[2 * MS_AUDIT_HASH_SIZE + 1];
	hash_hex(&golden, first);
	struct audit_record r = golden;
	struct slice *const fields[] = {&r.actor_kind, &r.actor_id,   &r.actor_name, &r.address,
					&r.session,    &r.request_id, &r.event,      &r.target,
					&r.outcome,    &r.details,    &r.prev};
	for (size_t i = 0; i < MS_ARRAY_LEN(fields); i++) {
		r = golden;
		*fields[i] = MS_SLICE_LIT("another");
		hash_hex(&r, other);
		CHECK(strcmp(first, other) != 0);
	}
	r = golden;
	r.seq++;
	hash_hex(&r, other);
	CHECK(strcmp(first, other) != 0);
	r = golden;
	r.time_us++;
	hash_hex(&r, other);
	CHECK(strcmp(first, other) != 0);
	r = golden; // the same bytes, divided otherwise
	r.actor_id = MS_SLICE_LIT("u");
	r.actor_name = MS_SLICE_LIT("1\xc3\xa4nne");
	hash_hex(&r, other);
	CHECK(strcmp(first, other) != 0);
}

// --- Text --------------------------------------------------------------------------------------------

static void check_clean(struct slice text, const char *want)
{
	struct arena arena;
	struct slice clean = MS_SLICE_EMPTY;
	ms_arena_init(&arena, 1024, 1 << 16);
	CHECK_OK(ms_audit_clean(text, 64, &arena, NULL, &clean));
	CHECK_SLICE(clean, want);
	ms_arena_fini(&arena);
}

TEST(control_characters_are_encoded)
{
	check_clean(MS_SLICE_LIT("anna"), "anna");
	check_clean(MS_SLICE_LIT(""), "");
	check_clean(MS_SLICE_LIT("a\r\nseq 1 ok"), "a\\r\\nseq 1 ok");
	check_clean(MS_SLICE_LIT("\x1b[2J"), "\\u001b[2J");
	check_clean(MS_SLICE_LIT("a\0b"), "a\\u0000b");
	check_clean(MS_SLICE_LIT("say \"hi\" \\n"), "say \"hi\" \\\\n");
	check_clean(MS_SLICE_LIT("\xff\xc3\xa4"), "\xef\xbf\xbd\xc3\xa4");
	check_clean(MS_SLICE_LIT("0123456789012345678901234567890123456789012345678901234567890123456789"),
		    "0123456789012345678901234567890123456789012345678901234567890\xe2\x80\xa6");
}

TEST(credentials_are_replaced)
{
	check_clean(MS_SLICE_LIT("msk_4Zx0Qw1Er2Ty3Ui4Op5As6Df7Gh8Jk9L"), "[redacted]");
	check_clean(MS_SLICE_LIT("key msr_4Zx0Qw1Er2Ty3Ui4Op5As6Df7Gh8Jk9L."), "key [redacted].");
	check_clean(MS_SLICE_LIT("Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl x"), "Bearer [redacted] x");
	check_clean(MS_SLICE_LIT("eyJhbGciOiJIUzI1NiJ9 alone"), "eyJhbGciOiJIUzI1NiJ9 alone");
	check_clean(MS_SLICE_LIT("msk_short"), "msk_short");
	check_clean(MS_SLICE_LIT("items_4Zx0Qw1Er2Ty3Ui4Op5As6Df7Gh8Jk9L"), "items_4Zx0Qw1Er2Ty3Ui4Op5As6Df7Gh8Jk9L");
}

static enum ms_err append_hostile(struct store_tx *tx, void *arg, struct errinfo *info)
{
	(void)arg;
	const struct audit_entry entry = {.event = AUTH_LOGIN,
					  .outcome = AUDIT_REFUSED,
					  .actor = {.name = MS_SLICE_LIT("eve\n\x1b]0;x\x07")},
					  .details =
						  MS_SLICE_LIT("{\"agent\":\"msk_4Zx0Qw1Er2Ty3Ui4Op5As6Df7Gh8Jk9L\"}")};
	return ms_audit_append(tx, NULL, &entry, info);
}

static enum ms_err check_hostile(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct audit_record *records;
	size_t count;
	struct buf out;
	struct json_writer w;
	const struct audit_filter filter = {.event = MS_SLICE_LIT("login"), .outcome = MS_SLICE_LIT("refused")};
	(void)arg;
	MS_TRY(ms_audit_list(tx, &filter, 10, info, &records, &count));
	REQUIRE(count == 1);
	CHECK_SLICE(records[0].actor_kind, "anonymous");
	CHECK_SLICE(records[0].actor_name, "eve\\n\\u001b]0;x\\u0007");
	CHECK_SLICE(records[0].details, "{\"agent\":\"[redacted]\"}");
	ms_buf_init(&out, 4096);
	ms_json_writer_init(&w, &out);
	ms_audit_write(&w, &records[0]);
	ms_buf_append_char(&out, '\0');
	CHECK_HAS(out.p, "\"name\":\"eve\\\\n\\\\u001b]0;x\\\\u0007\"");
	CHECK_HAS(out.p, "\"details\":{\"agent\":\"[redacted]\"},\"prev\":\"00000000");
	ms_buf_fini(&out);
	return MS_OK;
}

TEST(hostile_text_stays_text)
{
	struct audit_fixture f;
	ms_audit_test_begin(&f);
	CHECK_OK(ms_store_write_wait(f.store, append_hostile, NULL, NULL));
	CHECK_OK(ms_store_read_wait(f.store, check_hostile, NULL, NULL));
	ms_audit_test_end(&f);
}

// --- Lists -------------------------------------------------------------------------------------------

struct list_job {
	struct audit_filter filter;
	size_t max, count;
	int64_t first, last;
};

static enum ms_err list(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct list_job *job = arg;
	struct audit_record *records;
	MS_TRY(ms_audit_list(tx, &job->filter, job->max, info, &records, &job->count));
	job->first = job->count > 0 ? records[0].seq : 0;
	job->last = job->count > 0 ? records[job->count - 1].seq : 0;
	return MS_OK;
}

static void check_list(struct audit_fixture *f, struct audit_filter filter, size_t max, size_t count, int64_t first,
		       int64_t last)
{
	struct list_job job = {.filter = filter, .max = max};
	CHECK_OK(ms_store_read_wait(f->store, list, &job, NULL));
	CHECK_INT(job.count, count);
	CHECK_INT(job.first, first);
	CHECK_INT(job.last, last);
}

TEST(lists_filter_and_go_on_from_a_cursor)
{
	struct audit_fixture f;
	ms_audit_test_begin(&f);
	ms_audit_test_append(&f, 10);
	check_list(&f, (struct audit_filter){0}, 4, 4, 10, 7);
	check_list(&f, (struct audit_filter){.cursor = 7}, 4, 4, 6, 3);
	check_list(&f, (struct audit_filter){.cursor = 3}, 4, 2, 2, 1);
	check_list(&f, (struct audit_filter){.oldest_first = true, .cursor = 3}, 4, 4, 4, 7);
	check_list(&f, (struct audit_filter){.actor = MS_SLICE_LIT("user 3")}, 10, 1, 4, 4);
	check_list(&f, (struct audit_filter){.actor = MS_SLICE_LIT("u1")}, 10, 10, 10, 1);
	check_list(&f, (struct audit_filter){.actor = MS_SLICE_LIT("u2")}, 10, 0, 0, 0);
	check_list(&f, (struct audit_filter){.event = MS_SLICE_LIT("logout")}, 10, 0, 0, 0);
	check_list(&f, (struct audit_filter){.target = MS_SLICE_LIT("user:u1")}, 10, 10, 10, 1);
	check_list(&f, (struct audit_filter){.until_us = 1}, 10, 0, 0, 0);
	check_list(&f, (struct audit_filter){.from_us = 1}, 10, 10, 10, 1);
	ms_audit_test_end(&f);
}

// --- Tampering ---------------------------------------------------------------------------------------

static struct audit_report verify(struct audit_fixture *f, struct slice kept)
{
	struct errinfo info;
	struct audit_report report = {.seq = -1};
	ms_errinfo_init(&info);
	const struct audit_verify_options options = {.store = f->store, .vault = f->vault, .kept = kept};
	if (ms_audit_verify(&options, &info, &report) != MS_OK)
		CHECK_STR(info.message, "");
	return report;
}

static void check_fault(struct audit_fixture *f, enum audit_fault fault, int64_t seq)
{
	struct audit_report report = verify(f, MS_SLICE_EMPTY);
	CHECK_STR(ms_audit_fault_name(report.fault), ms_audit_fault_name(fault));
	CHECK_INT(report.seq, seq);
	CHECK((report.message[0] != '\0') == (fault != AUDIT_WHOLE));
}

// Entries, a change by SQL, and what must be found.
static void tamper(size_t entries, const char *const *sql, enum audit_fault fault, int64_t seq)
{
	struct audit_fixture f;
	ms_audit_test_begin(&f);
	ms_audit_test_append(&f, entries);
	check_fault(&f, AUDIT_WHOLE, 0);
	for (; *sql != NULL; sql++)
		ms_audit_test_sql(&f, *sql);
	check_fault(&f, fault, seq);
	ms_audit_test_end(&f);
}
#define SQL(...) ((const char *const[]){__VA_ARGS__, NULL})

TEST(an_empty_log_is_whole)
{
	struct audit_fixture f;
	ms_audit_test_begin(&f);
	check_fault(&f, AUDIT_WHOLE, 0);
	ms_audit_test_end(&f);
}

TEST(a_changed_entry_is_found)
{
	static const char *const changes[] = {
		"UPDATE audit SET time_us = time_us + 1 WHERE seq = 5",
		"UPDATE audit SET actor_kind = 'system' WHERE seq = 5",
		"UPDATE audit SET actor_id = 'u2' WHERE seq = 5",
		"UPDATE audit SET actor_name = 'other' WHERE seq = 5",
		"UPDATE audit SET address = '' WHERE seq = 5",
		"UPDATE audit SET session = 's' WHERE seq = 5",
		"UPDATE audit SET request_id = 'r' WHERE seq = 5",
		"UPDATE audit SET action = 'logout' WHERE seq = 5",
		"UPDATE audit SET target = 'user:u2' WHERE seq = 5",
		"UPDATE audit SET outcome = 'refused' WHERE seq = 5",
		"UPDATE audit SET details = '{}' WHERE seq = 5",
		"UPDATE audit SET prev = (SELECT hash FROM audit WHERE seq = 3) WHERE seq = 5",
		"UPDATE audit SET hash = (SELECT hash FROM audit WHERE seq = 3) WHERE seq = 5",
	};
	for (size_t i = 0; i < MS_ARRAY_LEN(changes); i++)
		tamper(8, SQL(changes[i]), AUDIT_CHANGED, 5);
	tamper(8, SQL("UPDATE audit SET details = '{}' WHERE seq = 1"), AUDIT_CHANGED, 1);
	tamper(8, SQL("UPDATE audit SET details = '{}' WHERE seq = 8"), AUDIT_CHANGED, 8);
}

TEST(a_removed_entry_is_found)
{
	tamper(8, SQL("DELETE FROM audit WHERE seq = 1"), AUDIT_MISSING, 1);
	tamper(8, SQL("DELETE FROM audit WHERE seq = 5"), AUDIT_MISSING, 5);
	tamper(8, SQL("DELETE FROM audit WHERE seq IN (4, 5, 6)"), AUDIT_MISSING, 4);
	tamper(8, SQL("DELETE FROM audit"), AUDIT_TRUNCATED, 1);
	tamper(8, SQL("DELETE FROM audit WHERE seq > 6"), AUDIT_TRUNCATED, 7);
}

TEST(a_removed_entry_is_found_although_the_others_were_numbered_anew)
{
	tamper(8,
	       SQL("DELETE FROM audit WHERE seq = 5", "UPDATE audit SET seq = seq + 93 WHERE seq > 5",
		   "UPDATE audit SET seq = seq - 94 WHERE seq > 90", "UPDATE audit_chain SET seq = 7"),
	       AUDIT_MISSING, 5);
}

TEST(a_changed_order_is_found)
{
	tamper(8,
	       SQL("UPDATE audit SET seq = 99 WHERE seq = 5", "UPDATE audit SET seq = 5 WHERE seq = 6",
		   "UPDATE audit SET seq = 6 WHERE seq = 99"),
	       AUDIT_REORDERED, 5);
	tamper(8,
	       SQL("UPDATE audit SET seq = 99 WHERE seq = 2", "UPDATE audit SET seq = 2 WHERE seq = 7",
		   "UPDATE audit SET seq = 7 WHERE seq = 99"),
	       AUDIT_REORDERED, 2);
}

// The whole chain as one who can write to the store would make it: an entry with a hash that fits.
struct forgery {
	int64_t seq;
	bool insert; // before the present entry of that number; else it is replaced
	bool rehash; // and all behind it
};

static enum ms_err put_entry(struct store_tx *tx, const struct audit_record *r, struct errinfo *info)
{
	return ms_store_run(tx,
			    "INSERT INTO audit (seq, time_us, actor_kind, actor_id, actor_name, address, session, "
			    "request_id, action,"
			    " target, outcome, details, prev, hash)"
			    " VALUES ($1, 1, 'user', 'u1', 'forged', '', '', '', 'login', '', 'ok', '', $2, $3)",
			    MS_STORE_PARAMS(ms_store_int(r->seq), ms_store_blob(r->prev), ms_store_blob(r->hash)), info,
			    NULL);
}

static enum ms_err chain_anew(struct store_tx *tx, int64_t from, const uint8_t *prev, struct errinfo *info)
{
	struct store_rows rows;
	struct audit_record r;
	uint8_t hash[MS_AUDIT_HASH_SIZE];
	memcpy(hash, prev, sizeof(hash));
	MS_TRY(ms_audit_page(tx, from, 100, info, &rows));
	for (size_t i = 0; i < rows.count; i++) {
		uint8_t before[MS_AUDIT_HASH_SIZE];
		memcpy(before, hash, sizeof(hash));
		ms_audit_record_of(&rows, i, &r);
		r.prev = ms_slice(before, sizeof(before));
		ms_audit_hash(&r, hash);
		MS_TRY(ms_store_run(tx, "UPDATE audit SET prev = $1, hash = $2 WHERE seq = $3",
				    MS_STORE_PARAMS(ms_store_blob(r.prev), ms_store_blob(ms_slice(hash, sizeof(hash))),
						    ms_store_int(r.seq)),
				    info, NULL));
	}
	return ms_store_run(tx, "UPDATE audit_chain SET hash = (SELECT hash FROM audit ORDER BY seq DESC LIMIT 1)",
			    MS_STORE_NO_PARAMS, info, NULL);
}

static enum ms_err forge(struct store_tx *tx, void *arg, struct errinfo *info)
{
	const struct forgery *forgery = arg;
	struct store_rows rows;
	struct audit_record before, fake = {.seq = forgery->seq,
					    .time_us = 1,
					    .actor_kind = MS_SLICE_LIT("user"),
					    .actor_id = MS_SLICE_LIT("u1"),
					    .actor_name = MS_SLICE_LIT("forged"),
					    .event = MS_SLICE_LIT("login"),
					    .outcome = MS_SLICE_LIT("ok")};
	uint8_t hash[MS_AUDIT_HASH_SIZE];
	MS_TRY(ms_audit_page(tx, forgery->seq - 2, 1, info, &rows));
	ms_audit_record_of(&rows, 0, &before);
	if (forgery->insert) {
		MS_TRY(ms_store_run(tx, "UPDATE audit SET seq = seq + 1000 WHERE seq >= $1",
				    MS_STORE_PARAMS(ms_store_int(fake.seq)), info, NULL));
		MS_TRY(ms_store_run(tx, "UPDATE audit SET seq = seq - 999 WHERE seq >= 1000", MS_STORE_NO_PARAMS, info,
				    NULL));
		MS_TRY(ms_store_run(tx, "UPDATE audit_chain SET seq = seq + 1", MS_STORE_NO_PARAMS, info, NULL));
	} else
		MS_TRY(ms_store_run(tx, "DELETE FROM audit WHERE seq = $1", MS_STORE_PARAMS(ms_store_int(fake.seq)),
				    info, NULL));
	fake.prev = before.hash;
	ms_audit_hash(&fake, hash);
	fake.hash = ms_slice(hash, sizeof(hash));
	MS_TRY(put_entry(tx, &fake, info));
	return forgery->rehash ? chain_anew(tx, fake.seq, hash, info) : MS_OK;
}

static void check_forgery(struct forgery forgery, bool signed_before, enum audit_fault fault, int64_t seq)
{
	struct audit_fixture f;
	struct errinfo info;
	int64_t head = 0;
	ms_errinfo_init(&info);
	ms_audit_test_begin(&f);
	struct auth auth = {.options = {.store = f.store, .data_dir = f.dir}};
	struct jose_key *key = NULL;
	REQUIRE(ms_audit_key(f.store, f.vault, &info, &key) == MS_OK);
	ms_audit_test_append(&f, 3);
	CHECK_OK(ms_audit_sign_head(&auth, key, &info, &head)); // covers the first three
	ms_audit_test_append(&f, 5);
	if (signed_before)
		CHECK_OK(ms_audit_sign_head(&auth, key, &info, &head));
	CHECK_OK(ms_store_write_wait(f.store, forge, &forgery, &info));
	check_fault(&f, fault, seq);
	ms_jose_key_unref(key);
	ms_audit_test_end(&f);
}

TEST(a_forged_entry_is_found)
{
	check_forgery((struct forgery){.seq = 5, .insert = true}, false, AUDIT_INSERTED, 5);
	check_forgery((struct forgery){.seq = 5}, false, AUDIT_REPLACED, 5);
	check_forgery((struct forgery){.seq = 8}, false, AUDIT_REPLACED, 8);
	// Everything behind was chained anew: the signed head knows better. What it covers begins behind the head before.
	check_forgery((struct forgery){.seq = 5, .rehash = true}, true, AUDIT_REWRITTEN, 4);
	check_forgery((struct forgery){.seq = 5, .insert = true, .rehash = true}, true, AUDIT_REWRITTEN, 4);
}

TEST(an_added_end_is_found)
{
	tamper(8, SQL("UPDATE audit_chain SET seq = 7, hash = (SELECT hash FROM audit WHERE seq = 7)"), AUDIT_INSERTED,
	       8);
	tamper(8,
	       SQL("INSERT INTO audit SELECT 0, time_us, actor_kind, actor_id, actor_name, address, session, "
		   "request_id, action, target,"
		   " outcome, details, prev, hash FROM audit WHERE seq = 1"),
	       AUDIT_INSERTED, 0);
}

// --- Heads -------------------------------------------------------------------------------------------

struct heads_fixture {
	struct audit_fixture f;
	struct auth auth;
	struct jose_key *key;
	char path[300];
};

static void heads_begin(struct heads_fixture *h)
{
	ms_audit_test_begin(&h->f);
	h->auth = (struct auth){.options = {.store = h->f.store, .data_dir = h->f.dir}};
	REQUIRE(ms_audit_key(h->f.store, h->f.vault, NULL, &h->key) == MS_OK);
	snprintf(h->path, sizeof(h->path), "%s/" AUDIT_HEADS_FILE, h->f.dir);
}

static void heads_end(struct heads_fixture *h)
{
	ms_jose_key_unref(h->key);
	ms_audit_test_end(&h->f);
}

static int64_t sign(struct heads_fixture *h)
{
	int64_t seq = -1;
	CHECK_OK(ms_audit_sign_head(&h->auth, h->key, NULL, &seq));
	return seq;
}

static void check_kept(struct heads_fixture *h, struct slice kept, enum audit_fault fault, int64_t seq)
{
	struct audit_report report = verify(&h->f, kept);
	CHECK_STR(ms_audit_fault_name(report.fault), ms_audit_fault_name(fault));
	CHECK_INT(report.seq, seq);
}

TEST(heads_are_signed_once_and_verify)
{
	struct heads_fixture h;
	heads_begin(&h);
	CHECK_INT(sign(&h), 0); // nothing yet
	ms_audit_test_append(&h.f, 3);
	CHECK_INT(sign(&h), 3);
	CHECK_INT(sign(&h), 0); // nothing new
	ms_audit_test_append(&h.f, 2);
	CHECK_INT(sign(&h), 5);
	struct audit_report report = verify(&h.f, MS_SLICE_EMPTY);
	CHECK_INT(report.fault, AUDIT_WHOLE);
	CHECK_INT(report.entries, 5);
	CHECK_INT(report.heads, 2);
	CHECK(report.keys_trusted);
	heads_end(&h);
}

TEST(a_log_that_was_cut_off_is_found_by_a_kept_head)
{
	struct heads_fixture h;
	struct slice kept;
	heads_begin(&h);
	ms_audit_test_append(&h.f, 5);
	sign(&h);
	ms_audit_test_append(&h.f, 5);
	sign(&h);
	REQUIRE(ms_file_read(h.path, 1 << 20, NULL, &kept) == MS_OK);
	check_kept(&h, kept, AUDIT_WHOLE, 0);
	CHECK_INT(verify(&h.f, kept).kept, 2);
	// All that the store knows of the end is taken back with it.
	ms_audit_test_sql(&h.f, "DELETE FROM audit WHERE seq > 7");
	check_kept(&h, MS_SLICE_EMPTY, AUDIT_TRUNCATED, 8);
	ms_audit_test_sql(&h.f, "UPDATE audit_chain SET seq = 7, hash = (SELECT hash FROM audit WHERE seq = 7)");
	check_kept(&h, MS_SLICE_EMPTY, AUDIT_TRUNCATED, 8); // the head of 10 is still there
	ms_audit_test_sql(&h.f, "DELETE FROM audit_heads WHERE seq > 7");
	check_kept(&h, MS_SLICE_EMPTY, AUDIT_WHOLE, 0); // nothing in the store tells
	check_kept(&h, kept, AUDIT_TRUNCATED, 8);
	// And so are others put in its place.
	ms_audit_test_append(&h.f, 9);
	sign(&h);
	check_kept(&h, MS_SLICE_EMPTY, AUDIT_WHOLE, 0);
	check_kept(&h, kept, AUDIT_REWRITTEN, 6);
	free((void *)(uintptr_t)kept.p);
	heads_end(&h);
}

TEST(a_log_that_was_begun_anew_is_found_by_a_kept_head)
{
	struct heads_fixture h;
	struct slice kept;
	heads_begin(&h);
	ms_audit_test_append(&h.f, 5);
	sign(&h);
	REQUIRE(ms_file_read(h.path, 1 << 20, NULL, &kept) == MS_OK);
	ms_audit_test_sql(&h.f, "DELETE FROM audit");
	ms_audit_test_sql(&h.f, "DELETE FROM audit_heads");
	ms_audit_test_sql(&h.f, "DELETE FROM audit_chain");
	ms_audit_test_append(&h.f, 5);
	check_kept(&h, MS_SLICE_EMPTY, AUDIT_WHOLE, 0);
	check_kept(&h, kept, AUDIT_REWRITTEN, 1);
	free((void *)(uintptr_t)kept.p);
	heads_end(&h);
}

TEST(a_wrong_signature_is_found)
{
	struct heads_fixture h;
	heads_begin(&h);
	ms_audit_test_append(&h.f, 3);
	sign(&h);
	ms_audit_test_append(&h.f, 3);
	sign(&h);
	// The signature of another head.
	ms_audit_test_sql(
		&h.f,
		"UPDATE audit_heads SET signature = (SELECT signature FROM audit_heads WHERE seq = 3) WHERE seq = 6");
	check_kept(&h, MS_SLICE_EMPTY, AUDIT_SIGNATURE, 6);
	ms_audit_test_sql(&h.f, "UPDATE audit_heads SET signature = 'x' WHERE seq = 3");
	check_kept(&h, MS_SLICE_EMPTY, AUDIT_SIGNATURE, 3);
	heads_end(&h);
}

// Our own signature must not cover up what somebody did behind our back.
TEST(what_was_changed_is_not_signed)
{
	static const char *const changes[] = {
		"UPDATE audit SET details = '{}' WHERE seq = 5",
		"DELETE FROM audit WHERE seq = 5",
		"DELETE FROM audit WHERE seq = 6",
		"UPDATE audit_chain SET seq = 5",
		"UPDATE audit_heads SET hash = zeroblob(32)",
		"UPDATE audit_heads SET hash = zeroblob(3)",
	};
	for (size_t i = 0; i < MS_ARRAY_LEN(changes); i++) {
		struct heads_fixture h;
		struct errinfo info;
		int64_t seq;
		ms_errinfo_init(&info);
		heads_begin(&h);
		ms_audit_test_append(&h.f, 3);
		sign(&h);
		ms_audit_test_append(&h.f, 3);
		ms_audit_test_sql(&h.f, changes[i]);
		CHECK_INT(ms_audit_sign_head(&h.auth, h.key, &info, &seq), MS_ERR_INTERNAL);
		CHECK_HAS(info.message, "mainstay audit verify");
		heads_end(&h);
	}
}

// Who can write to the store, but has not the master key, makes a key of his own.
TEST(a_planted_key_is_not_believed)
{
	struct heads_fixture h;
	struct audit_fixture other;
	heads_begin(&h);
	ms_audit_test_append(&h.f, 3);
	ms_audit_test_sql(&h.f, "DELETE FROM signing_keys");
	ms_audit_test_begin(&other); // another vault
	struct jose_key *planted = NULL;
	REQUIRE(ms_audit_key(h.f.store, other.vault, NULL, &planted) == MS_OK);
	int64_t seq;
	CHECK_OK(ms_audit_sign_head(&h.auth, planted, NULL, &seq));
	check_kept(&h, MS_SLICE_EMPTY, AUDIT_SIGNATURE, 3);
	// Without the master key it cannot be told from a true one.
	struct audit_report report = {0};
	CHECK_OK(ms_audit_verify(&(struct audit_verify_options){.store = h.f.store}, NULL, &report));
	CHECK_INT(report.fault, AUDIT_WHOLE);
	CHECK(!report.keys_trusted);
	ms_jose_key_unref(planted);
	ms_audit_test_end(&other);
	heads_end(&h);
}

TEST(long_logs_are_walked_page_by_page)
{
	struct heads_fixture h;
	heads_begin(&h);
	ms_audit_test_append(&h.f, 1000);
	sign(&h);
	ms_audit_test_append(&h.f, 1500);
	CHECK_INT(verify(&h.f, MS_SLICE_EMPTY).entries, 2500);
	// At the border of a page too.
	ms_audit_test_sql(&h.f, "UPDATE audit SET seq = 99999 WHERE seq = 2000");
	ms_audit_test_sql(&h.f, "UPDATE audit SET seq = 2000 WHERE seq = 2001");
	ms_audit_test_sql(&h.f, "UPDATE audit SET seq = 2001 WHERE seq = 99999");
	check_kept(&h, MS_SLICE_EMPTY, AUDIT_REORDERED, 2000);
	heads_end(&h);
}

TEST(a_file_that_holds_no_heads_is_refused)
{
	struct audit_fixture f;
	struct errinfo info;
	struct audit_report report;
	ms_errinfo_init(&info);
	ms_audit_test_begin(&f);
	const struct audit_verify_options options = {
		.store = f.store, .vault = f.vault, .kept = MS_SLICE_LIT("\n{\"seq\":1}\n")};
	CHECK_INT(ms_audit_verify(&options, &info, &report), MS_ERR_INVALID);
	CHECK_HAS(info.message, "line 2");
	ms_audit_test_end(&f);
}
