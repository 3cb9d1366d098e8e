// SPDX-License-Identifier: Apache-2.0
// Second factors on every database: tickets, TOTP, recovery codes, what a session needs. What passes over loops is tested from outside.
#include <stdio.h>

#include "auth/mfa.h"
#include "auth/vault.h"
#include "tests/lib/database.h"

#define TEST_KEY "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="

struct mfa_fixture {
	struct store *store;
	struct auth *auth;
	struct arena arena;
	struct store_migrations migrations[2];
	struct auth_user user;
	struct auth_actor by;
	struct auth_authority authority;
	struct errinfo info;
	// Of the transaction that is tried.
	struct auth_totp totp;
	struct auth_recovery recovery;
	struct auth_factors factors;
	struct slice code, token, methods, scope;
	const char *refusal;
	int64_t ago_us; // the clock of the store cannot be turned back: what it wrote can
	bool fresh;
	uint8_t hash[MS_SHA256_SIZE];
};

static enum ms_err add_user(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct mfa_fixture *m = arg;
	struct auth_user user;
	const struct auth_user_fields fields = {.username = MS_SLICE_LIT("ada"), .role = MS_SLICE_LIT("viewer")};
	MS_TRY(ms_auth_user_add(tx, m->auth, &m->authority, &fields, info, &user));
	return ms_auth_user_copy(&user, &m->arena, info, &m->user);
}

static void begin(struct mfa_fixture *m, const char *url, bool required)
{
	*m = (struct mfa_fixture){0};
	ms_errinfo_init(&m->info);
	ms_arena_init(&m->arena, 4096, (size_t)16 << 20);
	m->migrations[0] = ms_auth_migrations;
	m->migrations[1] = ms_bus_migrations;
	const struct store_options store = {
		.url = url, .migrations = m->migrations, .migration_count = 2, .migrate = true};
	if (ms_store_open(&store, &m->info, &m->store) != MS_OK)
		CHECK_STR(m->info.message, "");
	REQUIRE(m->store != NULL);
	const struct auth_options options = {.store = m->store,
					     .data_dir = ms_test_temp_dir(),
					     .issuer = "https://ml.example:8443/base",
					     .audience = "mainstay",
					     .jwt_secret = "0123456789abcdef0123456789abcdef",
					     .master_key = TEST_KEY,
					     .key_rotation_ms = 86400000,
					     .token_life_ms = 3600000,
					     .refresh_life_ms = 30ULL * 86400000,
					     .refresh_idle_ms = 7ULL * 86400000,
					     .password_threads = 1,
					     .password_depth = 16,
					     .password_memory_kib = 64,
					     .password_passes = 1,
					     .password_min_length = 15,
					     .totp_skew = 1,
					     .mfa_required = required};
	if (ms_auth_new(&options, &m->info, &m->auth) != MS_OK)
		CHECK_STR(m->info.message, "");
	REQUIRE(m->auth != NULL);
	m->by = ms_auth_actor_system();
	m->authority.by = &m->by;
	REQUIRE(ms_store_write_wait(m->store, add_user, m, &m->info) == MS_OK);
}

static void end(struct mfa_fixture *m)
{
	ms_auth_stop(m->auth);
	ms_store_stop(m->store);
	ms_auth_free(m->auth);
	ms_store_free(m->store);
	ms_arena_fini(&m->arena);
}

static enum ms_err run(struct mfa_fixture *m, store_fn *fn)
{
	ms_errinfo_init(&m->info);
	return ms_store_write_wait(m->store, fn, m, &m->info);
}

// --- Transactions --------------------------------------------------------------------------------------

static enum ms_err totp_begin(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct mfa_fixture *m = arg;
	struct auth_totp totp;
	MS_TRY(ms_auth_totp_begin(tx, m->auth, &m->user, info, &totp));
	m->totp.secret = ms_arena_copy(&m->arena, totp.secret);
	m->totp.uri = ms_arena_copy(&m->arena, totp.uri);
	return MS_OK;
}

static enum ms_err totp_confirm(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct mfa_fixture *m = arg;
	return ms_auth_totp_confirm(tx, m->auth, &m->by, m->user.id, m->code, info);
}

static enum ms_err totp_check(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct mfa_fixture *m = arg;
	return ms_totp_check(tx, m->auth, m->user.id, m->code, info, &m->refusal);
}

static enum ms_err totp_remove(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct mfa_fixture *m = arg;
	return ms_auth_totp_remove(tx, m->auth, &m->by, m->user.id, info);
}

static enum ms_err totp_age(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct mfa_fixture *m = arg;
	return ms_store_run(tx, "UPDATE totp SET created_us = created_us - $1",
			    MS_STORE_PARAMS(ms_store_int(m->ago_us)), info, NULL);
}

static enum ms_err factors(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct mfa_fixture *m = arg;
	return ms_auth_factors(tx, m->user.id, info, &m->factors);
}

static enum ms_err recovery_store(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct mfa_fixture *m = arg;
	return ms_auth_recovery_store(tx, m->auth, &m->by, m->user.id, &m->recovery, info);
}

static enum ms_err recovery_spend(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct mfa_fixture *m = arg;
	struct slice salt, hash = MS_SLICE_EMPTY;
	struct password_cost cost;
	bool found;
	MS_TRY(ms_recovery_salt(tx, m->user.id, info, &found, &salt, &cost));
	if (found && ms_recovery_hash(m->code, salt, &cost, ms_store_arena(tx), info, &hash) != MS_OK)
		hash = MS_SLICE_EMPTY;
	return ms_recovery_spend(tx, m->user.id, hash, info, &m->refusal);
}

static enum ms_err session(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct mfa_fixture *m = arg;
	return ms_factors_of_session(tx, m->auth, m->user.id, m->methods, m->token, info, &m->scope);
}

static enum ms_err second_step(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct mfa_fixture *m = arg;
	struct slice token;
	MS_TRY(ms_auth_second_step(tx, m->auth, &m->user, MS_SLICE_LIT("pwd"), MS_SLICE_EMPTY, info, &m->factors,
				   &token));
	m->token = token.n > 0 ? ms_arena_copy(&m->arena, token) : MS_SLICE_EMPTY;
	return MS_OK;
}

static enum ms_err spend(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct mfa_fixture *m = arg;
	return ms_ticket_spend(tx, m->hash, info, &m->fresh);
}

static enum ms_err reset(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct mfa_fixture *m = arg;
	return ms_auth_factors_reset(tx, m->auth, &m->authority, m->user.id, info, &m->factors);
}

// --- TOTP ----------------------------------------------------------------------------------------------

static const char *code_at(struct mfa_fixture *m, int64_t steps)
{
	struct slice secret;
	char *code = ms_arena_alloc(&m->arena, MS_OTP_SIZE);
	REQUIRE(code != NULL && ms_base32_decode(m->totp.secret, &m->arena, &secret));
	const struct totp totp = {.hash = CRYPTO_SHA1, .digits = 6, .period_s = 30, .secret = secret};
	ms_totp(&totp, ms_clock_wall_ns() / 1000000000 + 30 * steps, code);
	return code;
}

static void enrol(struct mfa_fixture *m)
{
	REQUIRE(run(m, totp_begin) == MS_OK);
	m->code = ms_slice_cstr(code_at(m, 0));
	REQUIRE(run(m, totp_confirm) == MS_OK);
}

TEST_ON_DATABASES(a_secret_counts_from_its_confirmation)
{
	struct mfa_fixture m;
	(void)postgres;
	begin(&m, url, false);
	m.code = MS_SLICE_LIT("000000");
	CHECK_INT(run(&m, totp_confirm), MS_ERR_NOT_FOUND);
	CHECK_OK(run(&m, totp_begin));
	CHECK_SLICE(m.totp.uri, ms_arena_printf(&m.arena, "otpauth://totp/ml.example:ada?secret=%.*s&issuer=ml.example",
						MS_SLICE_ARG(m.totp.secret)));
	CHECK_OK(run(&m, factors));
	CHECK(!m.factors.totp);
	m.code = ms_slice_cstr(code_at(&m, 0));
	CHECK_OK(run(&m, totp_check));
	CHECK_STR(m.refusal, "no TOTP");
	m.ago_us = 3601LL * 1000000;
	CHECK_OK(run(&m, totp_age));
	CHECK_INT(run(&m, totp_confirm), MS_ERR_NOT_FOUND); // begun too long ago
	struct slice first = m.totp.secret;
	enrol(&m);
	CHECK(!ms_slice_eq(first, m.totp.secret));
	CHECK_OK(run(&m, factors));
	CHECK(m.factors.totp && m.factors.totp_since_us > 0);
	CHECK_INT(run(&m, totp_begin), MS_ERR_CONFLICT);
	CHECK_INT(run(&m, totp_confirm), MS_ERR_CONFLICT);
	end(&m);
}

TEST_ON_DATABASES(a_code_counts_once)
{
	struct mfa_fixture m;
	(void)postgres;
	begin(&m, url, false);
	enrol(&m);
	CHECK_OK(run(&m, totp_check)); // the one that confirmed
	CHECK_STR(m.refusal, "wrong code");
	const char *next = code_at(&m, 1);
	m.code = ms_slice_cstr(ms_arena_printf(&m.arena, "%.3s %s", next, next + 3));
	CHECK_OK(run(&m, totp_check));
	CHECK(m.refusal == NULL);
	CHECK_OK(run(&m, totp_check));
	CHECK_STR(m.refusal, "wrong code");
	end(&m);
}

static enum ms_err read_sealed(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct mfa_fixture *m = arg;
	struct store_rows rows;
	MS_TRY(ms_store_query(tx, "SELECT sealed FROM totp", MS_STORE_NO_PARAMS, 1, info, &rows));
	m->code = ms_arena_copy(&m->arena, ms_store_get_blob(&rows, 0, 0));
	return MS_OK;
}

// A new master key in front of the old one: the secret is sealed anew with the rest, and the old key is needed no more.
TEST_ON_DATABASES(a_secret_is_sealed_anew)
{
	static const char new_key[] = "ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=";
	struct mfa_fixture m;
	struct vault *both, *late;
	struct vault_rekey rekey = {0};
	struct slice secret, opened, context;
	(void)postgres;
	begin(&m, url, false);
	enrol(&m);
	const char *keys = ms_arena_printf(&m.arena, "%s,%s", new_key, TEST_KEY);
	REQUIRE(ms_vault_open(&(struct vault_options){.data_dir = "", .master_key = keys}, &m.info, &both) == MS_OK);
	REQUIRE(ms_vault_open(&(struct vault_options){.data_dir = "", .master_key = new_key}, &m.info, &late) == MS_OK);
	CHECK_OK(ms_vault_rekey(both, m.store, &rekey, &m.info));
	CHECK(rekey.resealed > 0);
	CHECK_OK(run(&m, read_sealed));
	context = ms_slice_cstr(ms_arena_printf(&m.arena, "totp:%.*s", MS_SLICE_ARG(m.user.id)));
	CHECK_OK(ms_vault_open_sealed(late, context, m.code, &m.arena, &m.info, &opened));
	CHECK(ms_base32_decode(m.totp.secret, &m.arena, &secret) && ms_slice_eq(secret, opened));
	ms_vault_free(both);
	ms_vault_free(late);
	end(&m);
}

// --- Recovery codes ------------------------------------------------------------------------------------

TEST_ON_DATABASES(a_recovery_code_counts_once)
{
	struct mfa_fixture m;
	(void)postgres;
	begin(&m, url, false);
	CHECK_OK(ms_auth_recovery_make(m.auth, &m.arena, &m.info, &m.recovery));
	CHECK_INT(run(&m, recovery_store), MS_ERR_CONFLICT); // nothing to stand in for
	enrol(&m);
	CHECK_OK(run(&m, recovery_store));
	m.code = ms_slice_cstr(m.recovery.codes[3]);
	CHECK_OK(run(&m, recovery_spend));
	CHECK(m.refusal == NULL);
	CHECK_OK(run(&m, recovery_spend));
	CHECK_STR(m.refusal, "wrong recovery code");
	CHECK_OK(run(&m, factors));
	CHECK_INT(m.factors.recovery_codes, MS_AUTH_RECOVERY_CODES - 1);
	const char *const wrong[] = {"", "-", "abcde", "abcde-abcdu", "abcde-abcde-a", "\xc3\xa4"};
	for (size_t i = 0; i < MS_ARRAY_LEN(wrong); i++) {
		m.code = ms_slice_cstr(wrong[i]);
		CHECK_OK(run(&m, recovery_spend));
		CHECK(m.refusal != NULL);
	}
	// With the last factor they go.
	CHECK_OK(run(&m, totp_remove));
	m.code = ms_slice_cstr(m.recovery.codes[4]);
	CHECK_OK(run(&m, recovery_spend));
	CHECK(m.refusal != NULL);
	end(&m);
}

// --- Sessions, tickets ---------------------------------------------------------------------------------

TEST_ON_DATABASES(a_session_needs_what_its_user_has)
{
	struct mfa_fixture m;
	(void)postgres;
	begin(&m, url, false);
	m.methods = MS_SLICE_LIT("pwd");
	CHECK_OK(run(&m, session));
	CHECK_INT(m.scope.n, 0);
	CHECK_OK(run(&m, second_step));
	CHECK_INT(m.token.n, 0);
	enrol(&m);
	CHECK_INT(run(&m, session), MS_ERR_AUTH_MFA_REQUIRED);
	m.methods = MS_SLICE_LIT("pwd mfax xmfa");
	CHECK_INT(run(&m, session), MS_ERR_AUTH_MFA_REQUIRED);
	m.methods = MS_SLICE_LIT("pwd otp mfa");
	CHECK_OK(run(&m, session));
	CHECK_OK(run(&m, reset));
	CHECK(m.factors.totp);
	m.methods = MS_SLICE_LIT("pwd");
	CHECK_OK(run(&m, session));
	end(&m);
}

TEST_ON_DATABASES(where_it_is_required_a_session_without_is_small)
{
	struct mfa_fixture m;
	(void)postgres;
	begin(&m, url, true);
	m.methods = MS_SLICE_LIT("pwd");
	CHECK_OK(run(&m, session));
	CHECK_SLICE(m.scope, "self");
	m.token = MS_SLICE_LIT("a client");
	CHECK_INT(run(&m, session), MS_ERR_AUTH_MFA_REQUIRED);
	enrol(&m);
	m.methods = MS_SLICE_LIT("pwd otp mfa");
	CHECK_OK(run(&m, session));
	CHECK_INT(m.scope.n, 0);
	CHECK_INT(run(&m, totp_remove), MS_ERR_CONFLICT);
	end(&m);
}

TEST_ON_DATABASES(tickets)
{
	struct mfa_fixture m;
	struct slice text, context = MS_SLICE_LIT("a use");
	struct ticket ticket;
	const int64_t now = 1700000000000000, life = MS_AUTH_MFA_TOKEN_LIFE_US;
	(void)postgres;
	begin(&m, url, false);
	CHECK_OK(ms_ticket_make(m.auth, context, MS_SLICE_LIT("payload"), now, &m.arena, &m.info, &text));
	CHECK_OK(ms_ticket_open(m.auth, context, text, now + life - 1, &m.arena, &m.info, &ticket));
	CHECK_SLICE(ticket.payload, "payload");
	CHECK_INT(ticket.issued_us, now);
	CHECK_INT(ms_ticket_open(m.auth, context, text, now + life, &m.arena, &m.info, &ticket), MS_ERR_TOKEN_EXPIRED);
	CHECK_INT(ms_ticket_open(m.auth, context, text, now - life - 1, &m.arena, &m.info, &ticket),
		  MS_ERR_TOKEN_EXPIRED);
	CHECK_INT(ms_ticket_open(m.auth, MS_SLICE_LIT("another"), text, now, &m.arena, &m.info, &ticket),
		  MS_ERR_TOKEN_INVALID);
	for (size_t i = 0; i < text.n; i++) {
		char *bent = ms_arena_cstr(&m.arena, text);
		REQUIRE(bent != NULL);
		bent[i] = bent[i] == 'A' ? 'B' : 'A';
		CHECK_INT(ms_ticket_open(m.auth, context, ms_slice(bent, text.n), now, &m.arena, &m.info, &ticket),
			  MS_ERR_TOKEN_INVALID);
		CHECK_INT(ms_ticket_open(m.auth, context, ms_slice(bent, i), now, &m.arena, &m.info, &ticket),
			  MS_ERR_TOKEN_INVALID);
	}
	memcpy(m.hash, ticket.hash, sizeof(m.hash));
	CHECK_OK(run(&m, spend));
	CHECK(m.fresh);
	CHECK_OK(run(&m, spend));
	CHECK(!m.fresh);
	// The token of a sign-in is one: of this user, and no challenge.
	enrol(&m);
	CHECK_OK(run(&m, second_step));
	struct slice id;
	CHECK_OK(ms_auth_second_user(m.auth, m.token, &m.arena, &m.info, &id));
	CHECK(ms_slice_eq(id, m.user.id) && m.token.n <= MS_AUTH_MFA_TOKEN_MAX);
	CHECK_INT(ms_auth_second_user(m.auth, text, &m.arena, &m.info, &id), MS_ERR_TOKEN_INVALID);
	end(&m);
}

// --- Whose passkeys are ours ---------------------------------------------------------------------------

static enum ms_err try_domain(const char *issuer, const char *rp_id, const char *origin, char *ret_rp_id,
			      char *ret_origin)
{
	struct auth auth = {.options = {.issuer = issuer,
					.webauthn_rp_id = rp_id,
					.webauthn_origins = &origin,
					.webauthn_origin_count = origin != NULL}};
	ms_arena_init(&auth.arena, 1024, 1 << 16);
	enum ms_err err = ms_auth_mfa_new(&auth, NULL);
	if (err == MS_OK) {
		CHECK(ms_slice_to_cstr(auth.mfa->rp_id, ret_rp_id, 100) &&
		      ms_slice_to_cstr(auth.mfa->origins[0], ret_origin, 100));
		CHECK_INT(auth.mfa->origin_count, 1);
	}
	ms_arena_fini(&auth.arena);
	return err;
}

TEST(domain_and_origin_of_passkeys)
{
	char rp_id[100], origin[100];
	CHECK_OK(try_domain("http://localhost:8080", "", NULL, rp_id, origin));
	CHECK_STR(rp_id, "localhost");
	CHECK_STR(origin, "http://localhost:8080");
	CHECK_OK(try_domain("https://id.ml.example/base/", "ml.example", NULL, rp_id, origin));
	CHECK_STR(rp_id, "ml.example");
	CHECK_STR(origin, "https://id.ml.example");
	CHECK_OK(try_domain("https://id.ml.example", "ml.example", "https://app.ml.example:8443", rp_id, origin));
	CHECK_STR(origin, "https://app.ml.example:8443");
	CHECK_INT(try_domain("https://id.example", "ml.example", NULL, rp_id, origin), MS_ERR_CONFIG);
	CHECK_INT(try_domain("https://id.ml.example", "", "https://ml.example", rp_id, origin), MS_ERR_CONFIG);
	CHECK_INT(try_domain("https://ml.example", "", "https://evilml.example", rp_id, origin), MS_ERR_CONFIG);
	CHECK_INT(try_domain("https://ml.example", "", "https://ml.example/", rp_id, origin), MS_ERR_CONFIG);
	CHECK_INT(try_domain("https://ml.example", "", "ml.example", rp_id, origin), MS_ERR_CONFIG);
	CHECK_INT(try_domain("https://ml.example", "", "https://ml.example.evil", rp_id, origin), MS_ERR_CONFIG);
	CHECK_OK(try_domain("a name", "ml.example", "https://ml.example", rp_id, origin));
}
