// SPDX-License-Identifier: Apache-2.0
// The audit log and the signing keys on every database, and with appenders that meet each other.
#include <pthread.h>
#include <stdatomic.h>

#include "auth/audit_test_kit.h"

#define THREADS 8
#define ROUNDS 25

static enum ms_err append_one(struct store_tx *tx, void *arg, struct errinfo *info)
{
	(void)arg;
	const struct audit_entry entry = {.event = AUTH_LOGIN,
					  .actor = {.kind = CALLER_USER, .id = MS_SLICE_LIT("u\xc3\xa4")}};
	return ms_audit_append(tx, NULL, &entry, info);
}

static void *append_many(void *arg)
{
	struct audit_store_fixture *f = arg;
	for (size_t i = 0; i < ROUNDS; i++)
		CHECK_OK(ms_store_write_wait(f->store, append_one, NULL, NULL));
	return NULL;
}

static struct audit_report verify(struct audit_store_fixture *f)
{
	struct audit_report report = {.seq = -1};
	CHECK_OK(ms_audit_verify(&(struct audit_verify_options){.store = f->store}, NULL, &report));
	return report;
}

// One appender at a time: no place is taken twice, none is left out.
AUDIT_STORE_TEST(appenders_stand_in_line)
{
	pthread_t threads[THREADS];
	for (size_t i = 0; i < THREADS; i++)
		REQUIRE(pthread_create(&threads[i], NULL, append_many, f) == 0);
	for (size_t i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	struct audit_report report = verify(f);
	CHECK_STR(report.message, "");
	CHECK_INT(report.entries, THREADS * ROUNDS);
}

static enum ms_err append_and_fail(struct store_tx *tx, void *arg, struct errinfo *info)
{
	MS_TRY(append_one(tx, arg, info));
	return ms_fail(info, MS_ERR_INVALID, "the change failed");
}

AUDIT_STORE_TEST(an_entry_goes_with_its_transaction)
{
	CHECK_OK(ms_store_write_wait(f->store, append_one, NULL, NULL));
	CHECK_INT(ms_store_write_wait(f->store, append_and_fail, NULL, NULL), MS_ERR_INVALID);
	CHECK_OK(ms_store_write_wait(f->store, append_one, NULL, NULL));
	struct audit_report report = verify(f);
	CHECK_INT(report.fault, AUDIT_WHOLE);
	CHECK_INT(report.entries, 2);
}

static enum ms_err filter(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct audit_record *records;
	const struct audit_filter by_actor = {
		.actor = MS_SLICE_LIT("u\xc3\xa4"), .from_us = 1, .outcome = MS_SLICE_LIT("ok")};
	return ms_audit_list(tx, &by_actor, 10, info, &records, arg);
}

AUDIT_STORE_TEST(heads_lists_and_keys_work)
{
	struct vault *vault = NULL;
	struct jose_key *key = NULL;
	struct signing_step step = {.store = f->store};
	int64_t seq = 0;
	size_t count = 0;
	REQUIRE(ms_vault_open(&(struct vault_options){.data_dir = ms_test_temp_dir(), .master_key = "", .create = true},
			      NULL, &vault) == MS_OK);
	CHECK_OK(ms_store_write_wait(f->store, append_one, NULL, NULL));
	REQUIRE(ms_audit_key(f->store, vault, NULL, &key) == MS_OK);
	struct auth auth = {.options = {.store = f->store, .data_dir = ms_test_temp_dir()}};
	CHECK_OK(ms_audit_sign_head(&auth, key, NULL, &seq));
	CHECK_INT(seq, 1);
	CHECK_OK(ms_store_read_wait(f->store, filter, &count, NULL));
	CHECK_INT(count, 1);
	for (int i = 0; i < 2; i++) {
		step = (struct signing_step){
			.store = f->store,
			.vault = vault,
			.policy = {.alg = "ES256", .rotation_us = 0, .lead_us = 1, .keep_us = 1, .rotate = ROTATE_NOW},
			.algorithm = JOSE_ES256,
			.actor = ms_auth_actor_system()};
		CHECK_OK(ms_signing_do(&step, NULL));
		CHECK(step.changed);
	}
	struct vault_rekey rekey = {.add = true};
	CHECK_OK(ms_vault_rekey(vault, f->store, &rekey, NULL));
	CHECK_INT(rekey.resealed, 2); // the audit log's and the one that signs tokens
	struct audit_report report = verify(f);
	CHECK_STR(report.message, "");
	CHECK_INT(report.heads, 1);
	ms_jose_key_unref(key);
	ms_vault_free(vault);
}

// --- Entries that do not wait ----------------------------------------------------------------------------

struct later {
	struct auth *auth;
	struct audit_store_fixture *f;
	struct timer *timer;
	unsigned looks;
	int64_t want;
};

static enum ms_err count_entries(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct store_rows rows;
	MS_TRY(ms_store_query(tx, "SELECT COUNT(*) FROM audit WHERE action = 'denied'", MS_STORE_NO_PARAMS, 1, info,
			      &rows));
	*(int64_t *)arg = ms_store_get_int(&rows, 0, 0);
	return MS_OK;
}

static void look(struct timer *timer, void *arg)
{
	struct later *l = arg;
	int64_t count = 0;
	(void)timer;
	CHECK_OK(ms_store_read_wait(l->f->store, count_entries, &count, NULL));
	if (count == l->want || ++l->looks == 200)
		ms_rt_stop(l->f->rt);
}

static void *refuse_many(void *arg)
{
	const struct audit_entry entry = {
		.event = AUTH_DENIED, .outcome = AUDIT_REFUSED, .actor = {.name = MS_SLICE_LIT("x")}};
	for (size_t i = 0; i < 1000; i++)
		ms_audit_later(arg, &entry);
	return NULL;
}

static void make_auth(struct audit_store_fixture *f, struct auth *auth)
{
	*auth = (struct auth){.options = {.store = f->store,
					  .rt = f->rt,
					  .data_dir = ms_test_temp_dir(),
					  .master_key = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
					  .jwt_secret = "01234567890123456789012345678901"}};
	struct errinfo info;
	ms_errinfo_init(&info);
	if (ms_auth_vault_new(auth, &info) != MS_OK)
		CHECK_STR(info.message, "");
	REQUIRE(auth->vault != NULL && auth->vault->keeper != NULL);
}

AUDIT_STORE_TEST(refusals_are_written_soon_and_the_rest_at_the_stop)
{
	pthread_t threads[4];
	struct auth auth;
	make_auth(f, &auth);
	for (size_t i = 0; i < MS_ARRAY_LEN(threads); i++)
		REQUIRE(pthread_create(&threads[i], NULL, refuse_many, &auth) == 0);
	struct later l = {.auth = &auth, .f = f, .want = 4000};
	REQUIRE(ms_timer_new(ms_rt_loop(f->rt, 0), look, &l, &l.timer) == MS_OK);
	ms_timer_start(l.timer, 50, 50);
	CHECK_OK(ms_rt_run(f->rt, NULL));
	ms_timer_free(l.timer);
	for (size_t i = 0; i < MS_ARRAY_LEN(threads); i++)
		pthread_join(threads[i], NULL);
	refuse_many(&auth); // the loops have ended
	ms_auth_vault_stop(&auth);
	int64_t count = 0;
	CHECK_OK(ms_store_read_wait(f->store, count_entries, &count, NULL));
	CHECK_INT(count, 5000);
	struct audit_report report = verify(f);
	CHECK_STR(report.message, "");
	CHECK_INT(report.entries, 5002); // started, stopped
	CHECK(report.heads >= 1);
	ms_rt_deliver(f->rt);
	ms_auth_vault_free(&auth);
}

AUDIT_STORE_TEST(a_flood_is_bounded_and_what_was_dropped_is_counted)
{
	struct auth auth;
	make_auth(f, &auth);
	const struct audit_entry refused = {.event = AUTH_DENIED, .outcome = AUDIT_REFUSED};
	const struct audit_entry change = {.event = AUTH_MODEL_CHANGED, .target = MS_SLICE_LIT("model:m")};
	CHECK(!ms_audit_is_behind(&auth));
	for (size_t i = 0; i < AUDIT_QUEUE_MAX + 500; i++)
		ms_audit_later(&auth, &refused);
	CHECK(ms_audit_is_behind(&auth));
	CHECK_INT(ms_audit_dropped(&auth), 501); // server.started waits too
	ms_audit_later(&auth, &change);
	ms_auth_vault_stop(&auth);
	struct audit_report report = verify(f);
	CHECK_STR(report.message, "");
	// All that waited, the change, server.stopped, and the count.
	CHECK_INT(report.entries, AUDIT_QUEUE_MAX + 3);
	int64_t count = 0;
	CHECK_OK(ms_store_read_wait(f->store, count_entries, &count, NULL));
	CHECK_INT(count, AUDIT_QUEUE_MAX - 1);
	CHECK_INT(ms_audit_dropped(&auth), 0);
	CHECK(!ms_audit_is_behind(&auth));
	ms_rt_deliver(f->rt);
	ms_auth_vault_free(&auth);
}
