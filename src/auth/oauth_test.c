// SPDX-License-Identifier: Apache-2.0
// The OAuth provider's domain: scopes and addresses alone, and whole grants on every database.
#include "auth/oauth.h"
#include "tests/lib/database.h"
#include "tests/lib/test.h"

// The same tests on both databases.
#define STORE_TEST(test_name)                         \
	static void suite_##test_name(bool postgres); \
	TEST(test_name##_sqlite)                      \
	{                                             \
		suite_##test_name(false);             \
	}                                             \
	TEST(test_name##_postgres)                    \
	{                                             \
		suite_##test_name(true);              \
	}                                             \
	static void suite_##test_name(bool postgres)

#define SECRET "0123456789abcdef0123456789abcdef"
#define VERIFIER "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk" // RFC 7636, appendix B
#define CHALLENGE "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"

// --- Scopes ------------------------------------------------------------------------------------------

static struct slice read_scope(struct arena *arena, const char *text)
{
	struct slice scope = MS_SLICE_LIT("refused");
	struct errinfo info;
	ms_errinfo_init(&info);
	return ms_oauth_scope_read(ms_slice_cstr(text), arena, &info, &scope) == MS_OK ? scope
										       : MS_SLICE_LIT("refused");
}

static bool within(struct arena *arena, const char *inner, const char *outer)
{
	bool answer = false;
	CHECK_OK(ms_oauth_scope_within(ms_slice_cstr(inner), ms_slice_cstr(outer), arena, NULL, &answer));
	return answer;
}

TEST(scopes_are_words_and_grants)
{
	struct arena arena;
	ms_arena_init(&arena, 4096, 1 << 20);
	CHECK_SLICE(read_scope(&arena, ""), "");
	CHECK_SLICE(read_scope(&arena, "  openid   predict:a openid "), "openid predict:a");
	CHECK_SLICE(read_scope(&arena, "openid nonsense"), "refused");
	CHECK_SLICE(read_scope(&arena, "openid\tprofile"), "refused");
	CHECK_SLICE(read_scope(&arena, "predict:\"a\""), "refused");
	CHECK_SLICE(read_scope(&arena, "OPENID"), "refused");
	CHECK(ms_oauth_scope_has(MS_SLICE_LIT("openid email"), "email") &&
	      !ms_oauth_scope_has(MS_SLICE_LIT("openid email"), "mail"));
	CHECK(within(&arena, "openid predict:a", "openid predict"));
	CHECK(within(&arena, "", "openid"));
	CHECK(!within(&arena, "openid predict", "openid predict:a"));
	CHECK(!within(&arena, "openid", "profile *"));
	CHECK(within(&arena, "models.read", "models.*"));
	ms_arena_fini(&arena);
}

TEST(scopes_are_narrowed_to_what_somebody_may)
{
	struct arena arena;
	const struct grants *limit;
	const struct slice may[] = {MS_SLICE_LIT("predict:a*"), MS_SLICE_LIT("models.read")};
	struct slice scope;
	ms_arena_init(&arena, 4096, 1 << 20);
	REQUIRE(ms_grants_parse(may, 2, &arena, NULL, &limit) == MS_OK);
	REQUIRE(ms_oauth_scope_narrow(MS_SLICE_LIT("openid predict users.read predict:b models.read"), limit, &arena,
				      NULL, &scope) == MS_OK);
	CHECK_SLICE(scope, "openid predict models.read");
	REQUIRE(ms_oauth_scope_narrow(MS_SLICE_LIT("users.read"), limit, &arena, NULL, &scope) == MS_OK);
	CHECK_SLICE(scope, "");
	REQUIRE(ms_oauth_scope_plain(MS_SLICE_LIT("openid predict email"), &arena, NULL, &scope) == MS_OK);
	CHECK_SLICE(scope, "predict");
	ms_arena_fini(&arena);
}

// --- Addresses and codes -----------------------------------------------------------------------------

static bool fits(const char *registered, const char *uri)
{
	const struct oauth_client client = {.redirect_uris = ms_slice_cstr(registered)};
	return ms_oauth_redirect_ok(&client, ms_slice_cstr(uri));
}

TEST(addresses_are_compared_byte_by_byte)
{
	CHECK(fits("https://a.example/cb", "https://a.example/cb"));
	CHECK(fits("https://b.example/\nhttps://a.example/cb\n", "https://a.example/cb"));
	CHECK(!fits("https://a.example/cb", "https://a.example/cb/"));
	CHECK(!fits("https://a.example/cb", "https://a.example/c"));
	CHECK(!fits("https://a.example/cb", ""));
	CHECK(!fits("", ""));
	CHECK(!fits("https://b.example/\nhttps://a.example/cb", "https://b.example/\nhttps://a.example/cb"));
	CHECK(!fits("https://a.example:1/cb", "https://a.example:2/cb"));
}

TEST(the_port_of_a_loopback_address_is_free)
{
	CHECK(fits("http://127.0.0.1/cb", "http://127.0.0.1:8123/cb"));
	CHECK(fits("http://127.0.0.1:1/cb", "http://127.0.0.1/cb"));
	CHECK(fits("http://[::1]/cb?x=1", "http://[::1]:65535/cb?x=1"));
	CHECK(!fits("http://127.0.0.1/cb", "http://127.0.0.1:8123/cb2"));
	CHECK(!fits("http://127.0.0.1/cb", "http://127.0.0.1:123456/cb"));
	CHECK(!fits("http://127.0.0.1/cb", "http://127.0.0.1:8a/cb"));
	CHECK(!fits("http://127.0.0.1/cb", "http://127.0.0.1:1@evil.example/cb"));
	CHECK(!fits("http://127.0.0.1/cb", "http://127.0.0.1.evil.example/cb"));
	CHECK(!fits("http://127.0.0.1/cb", "http://[::1]/cb"));
	CHECK(!fits("http://localhost/cb", "http://localhost:8123/cb"));
	CHECK(!fits("https://127.0.0.1/cb", "https://127.0.0.1:8123/cb"));
}

TEST(user_codes_forgive_how_they_are_typed)
{
	char code[MS_OAUTH_USER_CODE_SIZE];
	CHECK(ms_oauth_user_code_read(MS_SLICE_LIT("bcdf-ghjk"), code));
	CHECK_STR(code, "BCDF-GHJK");
	CHECK(ms_oauth_user_code_read(MS_SLICE_LIT(" BC DFGH-J K"), code));
	CHECK_STR(code, "BCDF-GHJK");
	CHECK(!ms_oauth_user_code_read(MS_SLICE_LIT("BCDF-GHJ"), code));
	CHECK(!ms_oauth_user_code_read(MS_SLICE_LIT("BCDF-GHJKL"), code));
	CHECK(!ms_oauth_user_code_read(MS_SLICE_LIT("BCDF-GHJA"), code));
	CHECK(!ms_oauth_user_code_read(MS_SLICE_LIT("BCDF\0GHJK"), code));
	CHECK(!ms_oauth_user_code_read(MS_SLICE_LIT(""), code));
}

// --- Grants on a store -------------------------------------------------------------------------------

struct world {
	struct store *store;
	struct auth *auth;
	struct arena arena;
	struct errinfo info;
	struct auth_actor by;
	struct auth_authority authority;
	struct auth_user user;
	struct oauth_client client;
	char secret[MS_API_KEY_SIZE], cookie[MS_API_KEY_SIZE];
	struct oauth_login login;
	// of one grant
	struct oauth_asked asked;
	struct oauth_refusal refusal;
	struct oauth_issue issue;
	bool settles, flag;
	char code[MS_API_KEY_SIZE], user_code[MS_OAUTH_USER_CODE_SIZE];
	struct oauth_refresh refresh;
	const char *sql;
	int64_t number;
};

static void read(struct world *w, store_fn *fn)
{
	if (ms_store_read_wait(w->store, fn, w, &w->info) != MS_OK)
		CHECK_STR(w->info.message, "");
}

static void write(struct world *w, store_fn *fn)
{
	if (ms_store_write_wait(w->store, fn, w, &w->info) != MS_OK)
		CHECK_STR(w->info.message, "");
}

static enum ms_err query_number(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct world *w = arg;
	struct store_rows rows;
	MS_TRY(ms_store_query(tx, w->sql, MS_STORE_NO_PARAMS, 1, info, &rows));
	w->number = ms_store_get_int(&rows, 0, 0);
	return MS_OK;
}

static int64_t number(struct world *w, const char *sql)
{
	w->sql = sql;
	read(w, query_number);
	return w->number;
}

static enum ms_err run_sql(struct store_tx *tx, void *arg, struct errinfo *info)
{
	const struct world *w = arg;
	return ms_store_run(tx, w->sql, MS_STORE_NO_PARAMS, info, NULL);
}

static void sql(struct world *w, const char *text)
{
	w->sql = text;
	write(w, run_sql);
}

static enum ms_err make_people(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct world *w = arg;
	struct oauth_client client;
	const struct auth_user_fields user = {.username = MS_SLICE_LIT("ada"), .role = MS_SLICE_LIT("data-scientist")};
	const struct oauth_client fields = {.name = MS_SLICE_LIT("Web"),
					    .confidential = true,
					    .grant_types = OAUTH_CODE | OAUTH_REFRESH | OAUTH_CLIENT | OAUTH_DEVICE,
					    .redirect_uris = MS_SLICE_LIT("https://a.example/cb"),
					    .scope = MS_SLICE_LIT("openid offline_access predict models.read")};
	MS_TRY(ms_auth_user_add(tx, w->auth, &w->authority, &user, info, &w->user));
	MS_TRY(ms_auth_user_copy(&w->user, &w->arena, info, &w->user));
	MS_TRY(ms_oauth_client_add(tx, w->auth, &w->authority, &fields, info, &client, w->secret));
	return ms_oauth_client_copy(&client, &w->arena, info, &w->client);
}

static enum ms_err sign_in(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct world *w = arg;
	struct oauth_login before;
	const struct auth_session session = {.methods = MS_SLICE_LIT("pwd")};
	MS_TRY(ms_oauth_login_find(tx, ms_slice_cstr(w->cookie), info, &before));
	return ms_oauth_login_begin(tx, w->auth, &w->by, &w->user, MS_SLICE_EMPTY, &session, &before, info, w->cookie);
}

static enum ms_err find_login(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct world *w = arg;
	MS_TRY(ms_oauth_login_find(tx, ms_slice_cstr(w->cookie), info, &w->login));
	return ms_oauth_login_copy(&w->login, &w->arena, info, &w->login);
}

static void begin(struct world *w, bool postgres)
{
	*w = (struct world){0};
	ms_errinfo_init(&w->info);
	ms_arena_init(&w->arena, 4096, (size_t)16 << 20);
	const struct store_migrations migrations[] = {ms_auth_migrations, ms_bus_migrations};
	const struct store_options store = {
		.url = ms_test_database(postgres), .migrations = migrations, .migration_count = 2, .migrate = true};
	REQUIRE(ms_store_open(&store, &w->info, &w->store) == MS_OK);
	const struct auth_options options = {.store = w->store,
					     .data_dir = ms_test_temp_dir(),
					     .issuer = "https://id.example",
					     .audience = "mainstay",
					     .jwt_secret = SECRET,
					     .master_key = "",
					     .token_life_ms = 3600000,
					     .refresh_life_ms = 30ULL * 86400000,
					     .refresh_idle_ms = 7ULL * 86400000,
					     .password_threads = 1,
					     .password_depth = 16,
					     .password_memory_kib = 64,
					     .password_passes = 1,
					     .password_min_length = 15};
	if (ms_auth_new(&options, &w->info, &w->auth) != MS_OK)
		CHECK_STR(w->info.message, "");
	REQUIRE(w->auth != NULL);
	w->by = ms_auth_actor_system();
	w->authority.by = &w->by;
	write(w, make_people);
	write(w, sign_in);
	read(w, find_login);
	REQUIRE(w->login.found);
	w->asked.client = (struct oauth_credentials){.id = w->client.id, .secret = ms_slice_cstr(w->secret)};
}

static void end(struct world *w)
{
	ms_auth_stop(w->auth);
	ms_store_stop(w->store);
	ms_auth_free(w->auth);
	ms_store_free(w->store);
	ms_arena_fini(&w->arena);
}

static enum ms_err make_code(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct world *w = arg;
	const struct oauth_code code = {.client = &w->client,
					.login = &w->login,
					.redirect_uri = MS_SLICE_LIT("https://a.example/cb"),
					.scope = MS_SLICE_LIT("openid offline_access predict"),
					.nonce = MS_SLICE_LIT("n"),
					.challenge = MS_SLICE_LIT(CHALLENGE),
					.consented = true};
	return ms_oauth_code_make(tx, w->auth, &w->by, &code, info, w->code);
}

static enum ms_err grant(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct world *w = arg;
	return ms_oauth_grant(tx, w->auth, &w->by, &w->asked, &w->arena, info, &w->refusal, &w->settles, &w->issue);
}

// The error, or "" when it was given.
static const char *ask(struct world *w, enum oauth_grant_type type)
{
	w->asked.type = type;
	write(w, grant);
	return w->refusal.error != NULL ? w->refusal.error : "";
}

static const char *redeem(struct world *w)
{
	w->asked.code = ms_slice_cstr(w->code);
	w->asked.verifier = MS_SLICE_LIT(VERIFIER);
	return ask(w, OAUTH_CODE);
}

STORE_TEST(a_code_is_given_refreshed_and_ended)
{
	struct world w;
	begin(&w, postgres);
	write(&w, make_code);
	CHECK_STR(redeem(&w), "");
	CHECK_SLICE(w.issue.scope, "openid offline_access predict");
	CHECK_SLICE(w.issue.claims.permissions, "[\"predict\"]");
	CHECK_SLICE(w.issue.nonce, "n");
	CHECK_SLICE(w.issue.methods, "pwd");
	CHECK_SLICE(w.issue.claims.user_id, ms_arena_cstr(&w.arena, w.user.id));
	struct slice first = w.issue.refresh;
	CHECK(first.n > 0);
	w.asked.refresh = first;
	CHECK_STR(ask(&w, OAUTH_REFRESH), "");
	CHECK(!ms_slice_eq(w.issue.refresh, first) && w.issue.nonce.n == 0);
	CHECK_STR(ask(&w, OAUTH_REFRESH), "invalid_grant"); // grace is 0 here
	CHECK(w.settles);
	CHECK_INT(number(&w, "SELECT COUNT(*) FROM sessions WHERE client_id <> '' AND revoked_us = 0"), 0);
	end(&w);
}

STORE_TEST(a_code_that_comes_again_ends_what_it_gave)
{
	struct world w;
	begin(&w, postgres);
	write(&w, make_code);
	CHECK_STR(redeem(&w), "");
	CHECK(!w.settles);
	CHECK_STR(redeem(&w), "invalid_grant");
	CHECK(w.settles);
	CHECK_INT(number(&w, "SELECT COUNT(*) FROM sessions WHERE client_id <> '' AND revoked_us = 0"), 0);
	w.asked.refresh = w.issue.refresh;
	CHECK_STR(ask(&w, OAUTH_REFRESH), "invalid_grant");
	CHECK_INT(number(&w, "SELECT COUNT(*) FROM audit WHERE action = 'code.reused'"), 1);
	end(&w);
}

STORE_TEST(a_code_is_bound_to_client_verifier_address_and_time)
{
	struct world w;
	begin(&w, postgres);
	write(&w, make_code);
	w.asked.redirect_uri = MS_SLICE_LIT("https://a.example/other");
	CHECK_STR(redeem(&w), "invalid_grant");
	w.asked.redirect_uri = MS_SLICE_EMPTY;
	w.asked.code = ms_slice_cstr(w.code);
	w.asked.verifier = MS_SLICE_LIT("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXK");
	CHECK_STR(ask(&w, OAUTH_CODE), "invalid_grant");
	w.asked.verifier = MS_SLICE_EMPTY;
	CHECK_STR(ask(&w, OAUTH_CODE), "invalid_request");
	w.asked.client.secret = MS_SLICE_LIT("mss_0000000000000000000000000000000000");
	CHECK_STR(redeem(&w), "invalid_client");
	w.asked.client.secret = MS_SLICE_EMPTY;
	CHECK_STR(redeem(&w), "invalid_client");
	w.asked.client.secret = ms_slice_cstr(w.secret);
	sql(&w, "UPDATE oauth_codes SET expires_us = 1");
	CHECK_STR(redeem(&w), "invalid_grant");
	CHECK_INT(number(&w, "SELECT COUNT(*) FROM sessions WHERE client_id <> ''"), 0);
	sql(&w, "UPDATE oauth_codes SET expires_us = 9000000000000000");
	CHECK_STR(redeem(&w), "");
	end(&w);
}

static enum ms_err begin_device(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct world *w = arg;
	w->refusal.error = NULL;
	return ms_oauth_device_begin(tx, &w->client, MS_SLICE_LIT("openid predict"), info, &w->refusal, w->code,
				     w->user_code);
}

static enum ms_err allow_device(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct world *w = arg;
	return ms_oauth_device_decide(tx, w->auth, &w->by, ms_slice_cstr(w->user_code), &w->login, true,
				      MS_SLICE_LIT("openid predict"), info, &w->flag);
}

STORE_TEST(a_device_waits_slows_down_and_is_signed_in)
{
	struct world w;
	begin(&w, postgres);
	write(&w, begin_device);
	w.asked.device_code = ms_slice_cstr(w.code);
	CHECK_STR(ask(&w, OAUTH_DEVICE), "authorization_pending");
	CHECK_STR(ask(&w, OAUTH_DEVICE), "slow_down");
	CHECK_INT(number(&w, "SELECT interval_s FROM oauth_devices"), 10);
	write(&w, allow_device);
	CHECK(w.flag);
	write(&w, allow_device);
	CHECK(!w.flag);
	CHECK_STR(ask(&w, OAUTH_DEVICE), "");
	CHECK_SLICE(w.issue.scope, "openid predict");
	CHECK_INT(w.issue.refresh.n, 0); // offline_access was not asked for
	CHECK_STR(ask(&w, OAUTH_DEVICE), "invalid_grant");
	write(&w, begin_device);
	sql(&w, "UPDATE oauth_devices SET expires_us = 1");
	w.asked.device_code = ms_slice_cstr(w.code);
	CHECK_STR(ask(&w, OAUTH_DEVICE), "expired_token");
	end(&w);
}

static enum ms_err sign_out(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct world *w = arg;
	return ms_oauth_login_end(tx, w->auth, &w->by, &w->login, info);
}

STORE_TEST(a_new_sign_in_replaces_the_one_before_and_keeps_its_clients)
{
	struct world w;
	char old[MS_API_KEY_SIZE], fresh[MS_API_KEY_SIZE];
	begin(&w, postgres);
	write(&w, begin_device);
	write(&w, allow_device);
	w.asked.device_code = ms_slice_cstr(w.code);
	CHECK_STR(ask(&w, OAUTH_DEVICE), "");
	memcpy(old, w.cookie, sizeof(old));
	write(&w, sign_in);
	memcpy(fresh, w.cookie, sizeof(fresh));
	memcpy(w.cookie, old, sizeof(old));
	read(&w, find_login);
	CHECK(!w.login.found);
	memcpy(w.cookie, fresh, sizeof(fresh));
	read(&w, find_login);
	REQUIRE(w.login.found);
	CHECK_INT(number(&w, "SELECT COUNT(*) FROM sessions WHERE client_id <> '' AND revoked_us = 0"), 1);
	write(&w, make_code);
	CHECK_STR(redeem(&w), "");
	// Who has offline_access stays, who has not goes.
	write(&w, sign_out);
	CHECK_INT(number(&w, "SELECT COUNT(*) FROM sessions WHERE client_id <> '' AND revoked_us = 0"), 1);
	read(&w, find_login);
	CHECK(!w.login.found);
	w.asked.refresh = w.issue.refresh;
	CHECK_STR(ask(&w, OAUTH_REFRESH), "");
	end(&w);
}

static enum ms_err withdraw(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct world *w = arg;
	return ms_oauth_consent_withdraw(tx, w->auth, &w->by, w->user.id, w->client.id, info);
}

static enum ms_err rotate(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct world *w = arg;
	struct oauth_client made;
	MS_TRY(ms_oauth_client_rotate(tx, w->auth, &w->authority, w->client.id, info, &made, w->secret));
	w->flag = !ms_slice_eq(made.epoch, w->client.epoch);
	return MS_OK;
}

static enum ms_err remove_client(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct world *w = arg;
	return ms_oauth_client_remove(tx, w->auth, &w->authority, w->client.id, info);
}

STORE_TEST(consent_secrets_and_clients_end)
{
	struct world w;
	char old[MS_API_KEY_SIZE];
	begin(&w, postgres);
	write(&w, make_code);
	CHECK_STR(redeem(&w), "");
	write(&w, withdraw);
	CHECK_INT(number(&w, "SELECT COUNT(*) FROM sessions WHERE client_id <> '' AND revoked_us = 0"), 0);
	CHECK_INT(number(&w, "SELECT COUNT(*) FROM oauth_consents"), 0);
	CHECK_STR(ask(&w, OAUTH_CLIENT), "");
	CHECK_SLICE(w.issue.scope, "predict models.read");
	CHECK_SLICE(w.issue.claims.session, ms_arena_cstr(&w.arena, w.client.epoch));
	CHECK_INT(w.issue.claims.user_id.n, 0);
	memcpy(old, w.secret, sizeof(old));
	write(&w, rotate);
	CHECK(w.flag);
	w.asked.client.secret = ms_slice_cstr(old);
	CHECK_STR(ask(&w, OAUTH_CLIENT), "invalid_client");
	w.asked.client.secret = ms_slice_cstr(w.secret);
	CHECK_STR(ask(&w, OAUTH_CLIENT), "");
	write(&w, remove_client);
	CHECK_STR(ask(&w, OAUTH_CLIENT), "invalid_client");
	end(&w);
}

static enum ms_err sweep(struct store_tx *tx, void *arg, struct errinfo *info)
{
	(void)arg;
	return ms_oauth_sweep(tx, INT64_MAX / 2, 1000, info);
}

STORE_TEST(what_expired_is_swept_away)
{
	struct world w;
	begin(&w, postgres);
	write(&w, make_code);
	write(&w, begin_device);
	sql(&w, "INSERT INTO oauth_assertions (client_id, jti, expires_us) SELECT id, 'j', 1 FROM oauth_clients");
	write(&w, sweep);
	CHECK_INT(number(&w, "SELECT (SELECT COUNT(*) FROM oauth_codes) + (SELECT COUNT(*) FROM oauth_logins) + "
			     "(SELECT COUNT(*) FROM oauth_devices) + "
			     "(SELECT COUNT(*) FROM oauth_assertions)"),
		  0);
	end(&w);
}

STORE_TEST(tokens_are_signed)
{
	struct world w;
	struct buf access, id_token;
	struct oauth_id_token read_back;
	begin(&w, postgres);
	write(&w, make_code);
	CHECK_STR(redeem(&w), "");
	ms_buf_init(&access, MS_JWS_MAX);
	ms_buf_init(&id_token, MS_JWS_MAX);
	CHECK_OK(ms_oauth_sign(w.auth, &w.issue, &w.info, &access, &id_token));
	CHECK(ms_oauth_id_token_read(w.auth, NULL, ms_buf_slice(&id_token), &w.arena, &read_back));
	CHECK(ms_slice_eq(read_back.client_id, w.client.id) && ms_slice_eq(read_back.user_id, w.user.id));
	CHECK(!ms_oauth_id_token_read(w.auth, NULL, ms_buf_slice(&access), &w.arena, &read_back));
	CHECK_INT(ms_oauth_id_token_alg(w.auth), JOSE_ED25519);
	ms_buf_fini(&access);
	ms_buf_fini(&id_token);
	end(&w);
}
