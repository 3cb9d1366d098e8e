// SPDX-License-Identifier: Apache-2.0
// The life of signing keys, with a clock of the test's own.
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "auth/audit_test_kit.h"

#define HOUR 3600000000LL
#define DAY (24 * HOUR)
#define START (1700000000LL * 1000000)

static struct signing_policy policy(int rotate)
{
	return (struct signing_policy){.alg = "EdDSA",
				       .rotation_us = 90 * DAY,
				       .lead_us = DAY,
				       .keep_us = DAY + HOUR,
				       .rotate = (unsigned)rotate};
}

static struct signing_row row(const char *kid, const char *state, int64_t created, int64_t active, int64_t retired)
{
	return (struct signing_row){.kid = ms_slice_cstr(kid),
				    .alg = MS_SLICE_LIT("EdDSA"),
				    .state = ms_slice_cstr(state),
				    .created_us = created,
				    .active_us = active,
				    .retired_us = retired};
}

TEST(the_plan_for_each_state)
{
	struct signing_plan p;
	struct signing_policy by_age = policy(ROTATE_BY_AGE);
	// The first key signs at once: there are no tokens and no readers yet.
	ms_signing_plan(NULL, 0, &by_age, START, &p);
	CHECK(p.create && p.promote && p.promoted == SIZE_MAX && p.retired == SIZE_MAX);
	struct signing_row rows[3] = {row("a", "active", START, START, 0)};
	ms_signing_plan(rows, 1, &by_age, START + 88 * DAY, &p);
	CHECK(!p.create && !p.promote && p.expired_count == 0);
	// A day before its time the next one is published.
	ms_signing_plan(rows, 1, &by_age, START + 89 * DAY, &p);
	CHECK(p.create && !p.promote);
	CHECK_INT(p.create_active_us, START + 90 * DAY);
	// The server was off for long: the next key is published for a day all the same.
	ms_signing_plan(rows, 1, &by_age, START + 200 * DAY, &p);
	CHECK(p.create && !p.promote);
	CHECK_INT(p.create_active_us, START + 201 * DAY);
	rows[1] = row("b", "next", START + 89 * DAY, START + 90 * DAY, 0);
	ms_signing_plan(rows, 2, &by_age, START + 90 * DAY - 1, &p);
	CHECK(!p.create && !p.promote);
	ms_signing_plan(rows, 2, &by_age, START + 90 * DAY, &p);
	CHECK(!p.create && p.promote && p.promoted == 1 && p.retired == 0);
	// The old one verifies until its last token is expired.
	rows[0] = row("a", "retired", START, START, START + 90 * DAY);
	rows[1].state = MS_SLICE_LIT("active");
	ms_signing_plan(rows, 2, &by_age, START + 91 * DAY + HOUR - 1, &p);
	CHECK_INT(p.expired_count, 0);
	ms_signing_plan(rows, 2, &by_age, START + 91 * DAY + HOUR, &p);
	CHECK(p.expired_count == 1 && p.expired[0] == 0 && !p.create && !p.promote);
}

TEST(rotation_when_asked_and_another_algorithm)
{
	struct signing_plan p;
	struct signing_policy soon = policy(ROTATE_SOON), now = policy(ROTATE_NOW), by_age = policy(ROTATE_BY_AGE),
			      never = by_age;
	struct signing_row rows[2] = {row("a", "active", START, START, 0)};
	ms_signing_plan(rows, 1, &soon, START + HOUR, &p);
	CHECK(p.create && !p.promote && p.create_active_us == START + HOUR + DAY);
	ms_signing_plan(rows, 1, &now, START + HOUR, &p);
	CHECK(p.create && p.promote && p.promoted == SIZE_MAX && p.retired == 0);
	// Scheduled for later already: sooner, but not before it was published for a day.
	rows[1] = row("b", "next", START, START + 9 * DAY, 0);
	ms_signing_plan(rows, 2, &soon, START + HOUR, &p);
	CHECK(!p.create && !p.promote && p.reschedule == 1 && p.create_active_us == START + DAY);
	ms_signing_plan(rows, 2, &soon, START + 3 * DAY, &p);
	CHECK(p.reschedule == 1 && p.promote && p.promoted == 1);
	ms_signing_plan(rows, 2, &now, START + HOUR, &p);
	CHECK(!p.create && p.promote && p.promoted == 1 && p.retired == 0);
	ms_signing_plan(rows, 2, &by_age, START + HOUR, &p);
	CHECK(p.reschedule == SIZE_MAX && !p.promote);
	rows[0].alg = MS_SLICE_LIT("ES256");
	ms_signing_plan(rows, 1, &by_age, START + HOUR, &p);
	CHECK(p.create && !p.promote && p.create_active_us == START + HOUR + DAY);
	rows[0].alg = MS_SLICE_LIT("EdDSA");
	never.rotation_us = 0;
	ms_signing_plan(rows, 1, &never, START + 9999 * DAY, &p);
	CHECK(!p.create && !p.promote);
}

// --- On a store --------------------------------------------------------------------------------------

static struct signing_step do_step(struct audit_fixture *f, const struct vault *vault, int64_t now_us, int rotate)
{
	struct errinfo info;
	struct signing_step step = {.store = f->store,
				    .vault = vault,
				    .policy = policy(rotate),
				    .algorithm = JOSE_ED25519,
				    .actor = ms_auth_actor_system(),
				    .now_us = now_us};
	ms_errinfo_init(&info);
	if (ms_signing_do(&step, &info) != MS_OK)
		CHECK_STR(info.message, "");
	return step;
}

#define COUNT(f, where) ms_audit_test_int((f), "SELECT COUNT(*) FROM signing_keys WHERE " where)

TEST(keys_live_and_die_on_a_store)
{
	struct audit_fixture f;
	ms_audit_test_begin(&f);
	CHECK(do_step(&f, f.vault, START, ROTATE_BY_AGE).changed);
	CHECK_INT(COUNT(&f, "state = 'active' AND length(sealed) > 0"), 1);
	CHECK(!do_step(&f, f.vault, START, ROTATE_BY_AGE).changed); // again: nothing to do
	CHECK(do_step(&f, f.vault, START + 89 * DAY, ROTATE_BY_AGE).changed);
	CHECK_INT(COUNT(&f, "state = 'next'"), 1);
	CHECK(do_step(&f, f.vault, START + 90 * DAY, ROTATE_BY_AGE).changed);
	CHECK_INT(COUNT(&f, "state = 'active'"), 1);
	CHECK_INT(COUNT(&f, "state = 'retired' AND length(sealed) = 0"), 1); // can sign no more
	CHECK(do_step(&f, f.vault, START + 92 * DAY, ROTATE_BY_AGE).changed);
	CHECK_INT(COUNT(&f, "1 = 1"), 1);
	// Recorded, and the chain holds.
	CHECK_INT(ms_audit_test_int(&f, "SELECT COUNT(*) FROM audit WHERE action = 'signing_key.rotated'"), 6);
	struct audit_report report = {0};
	CHECK_OK(ms_audit_verify(&(struct audit_verify_options){.store = f.store, .vault = f.vault}, NULL, &report));
	CHECK_INT(report.fault, AUDIT_WHOLE);
	ms_audit_test_end(&f);
}

TEST(no_private_key_is_readable_in_the_store)
{
	struct audit_fixture f;
	ms_audit_test_begin(&f);
	do_step(&f, f.vault, START, ROTATE_BY_AGE);
	CHECK_INT(COUNT(&f, "public_jwk LIKE '%\"d\"%'"), 0);
	CHECK_INT(COUNT(&f, "instr(sealed, '\"d\"') > 0 OR instr(sealed, 'OKP') > 0"), 0);
	ms_audit_test_end(&f);
}

static struct auth *auth_on(struct audit_fixture *f, const char *secret, struct errinfo *info, enum ms_err *ret_err)
{
	struct auth *auth = calloc(1, sizeof(*auth));
	REQUIRE(auth != NULL);
	auth->options = (struct auth_options){.store = f->store,
					      .data_dir = f->dir,
					      .master_key = "",
					      .jwt_secret = secret,
					      .algorithm = JOSE_ED25519,
					      .token_life_ms = 3600000,
					      .key_rotation_ms = 90ULL * 24 * 3600000};
	ms_errinfo_init(info);
	*ret_err = ms_auth_vault_new(auth, info);
	return auth;
}

static void auth_end(struct auth *auth)
{
	ms_auth_vault_stop(auth);
	ms_auth_vault_free(auth);
	free(auth);
}

static void check_token(struct auth *signer, struct auth *verifier, bool ok)
{
	struct buf token;
	struct arena arena;
	struct jws jws;
	struct jose_key *key = ms_auth_signing_key(signer);
	ms_buf_init(&token, 4096);
	ms_arena_init(&arena, 4096, 1 << 20);
	CHECK_OK(ms_jws_sign(key, MS_SLICE_LIT("at+jwt"), MS_SLICE_LIT("{}"), NULL, &token));
	enum ms_err err = ms_jws_verify(ms_buf_slice(&token), ms_auth_verify_keys(verifier, NULL), &arena, NULL, &jws);
	CHECK_INT(err, ok ? MS_OK : MS_ERR_TOKEN_INVALID);
	ms_jose_key_unref(key);
	ms_buf_fini(&token);
	ms_arena_fini(&arena);
}

TEST(two_processes_on_one_store_agree)
{
	struct audit_fixture f;
	struct errinfo info;
	enum ms_err err;
	ms_audit_test_begin(&f);
	struct auth *a = auth_on(&f, "", &info, &err), *b = auth_on(&f, "", &info, &err);
	CHECK_OK(err);
	check_token(a, b, true);
	check_token(b, a, true);
	CHECK_INT(COUNT(&f, "purpose = 'token'"), 1);
	// After a rotation the old key's tokens still verify, the new one's too.
	struct signing_rotate rotate = {.store = f.store,
					.vault = f.vault,
					.algorithm = JOSE_ES256,
					.token_life_ms = 3600000,
					.now = true,
					.actor = ms_auth_actor_console(MS_SLICE_LIT("root"))};
	CHECK_OK(ms_signing_rotate(&rotate, &info));
	struct auth *c = auth_on(&f, "", &info, &err);
	CHECK_OK(err);
	check_token(a, c, true);
	check_token(c, c, true);
	check_token(c, a, false); // has not read it yet
	struct jose_key *key = ms_auth_signing_key(c);
	CHECK_INT(ms_jose_key_alg(key), JOSE_ES256);
	CHECK_SLICE(ms_jose_key_id(key), rotate.kid);
	ms_jose_key_unref(key);
	struct buf jwks;
	ms_buf_init(&jwks, 1 << 16);
	ms_auth_write_jwks(c, NULL, &jwks);
	ms_buf_append_char(&jwks, '\0');
	CHECK_HAS(jwks.p, "\"crv\":\"Ed25519\"");
	CHECK_HAS(jwks.p, "\"crv\":\"P-256\"");
	CHECK(strstr(jwks.p, "\"d\"") == NULL);
	ms_buf_fini(&jwks);
	auth_end(a);
	auth_end(b);
	auth_end(c);
	ms_audit_test_end(&f);
}

// --- Keys that cannot be read when they change ---------------------------------------------------------

static void *run_loops(void *arg)
{
	CHECK_OK(ms_rt_run(arg, NULL));
	return NULL;
}

struct tick {
	struct mail mail;
	struct auth *auth;
};

static void tick(struct mail *mail)
{
	ms_signing_tick(MS_CONTAINER_OF(mail, struct tick, mail)->auth);
}

static enum ms_err run_sql(struct store_tx *tx, void *arg, struct errinfo *info)
{
	return ms_store_run(tx, arg, MS_STORE_NO_PARAMS, info, NULL);
}

static bool signs_with(struct auth *auth, const char *kid)
{
	struct jose_key *key = ms_auth_signing_key(auth);
	bool same = ms_slice_eq_cstr(ms_jose_key_id(key), kid);
	ms_jose_key_unref(key);
	return same;
}

TEST(keys_that_could_not_be_read_are_read_later)
{
	struct audit_fixture f;
	struct errinfo info;
	struct rt *rt;
	pthread_t thread;
	char damage[] = "UPDATE signing_keys SET alg = 'x' WHERE purpose = 'token'";
	char mend[] = "UPDATE signing_keys SET alg = 'EdDSA' WHERE alg = 'x'";
	ms_errinfo_init(&info);
	ms_audit_test_begin(&f);
	REQUIRE(ms_rt_new(&(struct rt_options){.loops = 1}, &info, &rt) == MS_OK);
	struct auth *auth = calloc(1, sizeof(*auth));
	REQUIRE(auth != NULL);
	auth->options = (struct auth_options){.store = f.store,
					      .rt = rt,
					      .data_dir = f.dir,
					      .master_key = "",
					      .jwt_secret = "",
					      .algorithm = JOSE_ED25519,
					      .token_life_ms = 3600000,
					      .key_rotation_ms = 90ULL * 24 * 3600000};
	CHECK_OK(ms_auth_vault_new(auth, &info));
	REQUIRE(pthread_create(&thread, NULL, run_loops, rt) == 0);
	CHECK_OK(ms_store_write_wait(f.store, run_sql, damage, NULL));
	struct signing_rotate rotate = {.store = f.store,
					.vault = f.vault,
					.algorithm = JOSE_ED25519,
					.token_life_ms = 3600000,
					.now = true,
					.actor = ms_auth_actor_console(MS_SLICE_LIT("root"))};
	CHECK_OK(ms_signing_rotate(&rotate, &info));
	usleep(300000); // the notice came, and the keys could not be read
	CHECK(!signs_with(auth, rotate.kid));
	CHECK_OK(ms_store_write_wait(f.store, run_sql, mend, NULL));
	struct tick now = {.auth = auth};
	ms_loop_post(ms_rt_loop(rt, 0), &now.mail, tick);
	for (int i = 0; i < 500 && !signs_with(auth, rotate.kid); i++)
		usleep(10000);
	CHECK(signs_with(auth, rotate.kid));
	ms_rt_stop(rt);
	pthread_join(thread, NULL);
	ms_auth_vault_stop(auth);
	ms_store_stop(f.store);
	ms_rt_deliver(rt);
	ms_auth_vault_free(auth);
	free(auth);
	ms_rt_free(rt);
	ms_audit_test_end(&f);
}

TEST(a_shared_secret_signs_and_is_published_nowhere)
{
	struct audit_fixture f;
	struct errinfo info;
	enum ms_err err;
	struct buf jwks;
	ms_audit_test_begin(&f);
	struct auth *weak = auth_on(&f, "0123456789012345678901234567890", &info, &err);
	CHECK_INT(err, MS_ERR_CONFIG);
	CHECK_HAS(info.message, "JWT_SECRET has 31 bytes");
	CHECK(strstr(info.message, "0123456789") == NULL);
	struct auth *a = auth_on(&f, "01234567890123456789012345678901", &info, &err);
	CHECK_OK(err);
	struct auth *other = auth_on(&f, "11234567890123456789012345678901", &info, &err);
	check_token(a, a, true);
	check_token(other, a, false);
	CHECK_INT(COUNT(&f, "purpose = 'token'"), 0);
	ms_buf_init(&jwks, 4096);
	ms_auth_write_jwks(a, NULL, &jwks);
	CHECK_SLICE(ms_buf_slice(&jwks), "{\"keys\":[]}");
	ms_buf_fini(&jwks);
	auth_end(weak);
	auth_end(a);
	auth_end(other);
	ms_audit_test_end(&f);
}

TEST(a_lost_master_key_stops_the_start)
{
	struct audit_fixture f;
	struct errinfo info;
	enum ms_err err;
	char path[300];
	ms_audit_test_begin(&f);
	do_step(&f, f.vault, START, ROTATE_BY_AGE);
	snprintf(path, sizeof(path), "%s/" MS_VAULT_FILE, f.dir);
	CHECK_OK(ms_file_remove(path, NULL));
	struct auth *auth = auth_on(&f, "", &info, &err);
	CHECK_INT(err, MS_ERR_FILE_MISSING);
	CHECK_HAS(info.message, "Bring back the file master.key");
	auth_end(auth);
	CHECK_INT(ms_file_stat(path, NULL, &(struct file_stat){0}), MS_ERR_FILE_MISSING); // none was made
	ms_audit_test_end(&f);
}
