// SPDX-License-Identifier: Apache-2.0
// key-auth, basic-auth, jwt, acl, mainstay-auth.
#include <stdio.h>

#include "auth/auth.h"
#include "crypto/crypto.h"
#include "gateway/gateway_test_kit.h"
#include "jose/jose.h"
#include "store/store.h"
#include "tests/lib/database.h"

// --- key-auth ----------------------------------------------------------------------------------------------------------

static struct gw_consumer *with_key(struct gw_kit *kit, const char *config)
{
	kit_init(kit);
	CHECK_STR(kit_plugin(kit, "key-auth", config), NULL);
	struct gw_consumer *anna = kit_consumer(kit, "anna");
	CHECK(kit_credential(kit, GW_KEYAUTH, anna, "secret-key", "", "") == NULL);
	return anna;
}

TEST(key_auth_finds_the_consumer_by_header_or_query)
{
	struct gw_kit kit;
	struct gw_consumer *anna = with_key(&kit, "{}");
	anna->custom_id = MS_SLICE_LIT("c-1");
	kit_request(&kit, HTTP_GET, "/");
	kit_header(&kit, "ApiKey", "secret-key");
	CHECK_INT(kit_status(&kit), 0);
	CHECK(kit.r.consumer == anna);
	CHECK_STR(kit_out(&kit, "X-Consumer-ID"), "id-anna");
	CHECK_STR(kit_out(&kit, "X-Consumer-Username"), "anna");
	CHECK_STR(kit_out(&kit, "X-Consumer-Custom-ID"), "c-1");
	CHECK_STR(kit_out(&kit, "X-Credential-Identifier"), "cred-1");
	CHECK_STR(kit_out(&kit, "X-Anonymous-Consumer"), "");
	CHECK_STR(kit_out(&kit, "apikey"), "secret-key"); // hide_credentials is off
	kit_request(&kit, HTTP_GET, "/?a=1&apikey=secret%2Dkey");
	CHECK_INT(kit_status(&kit), 0);
	kit_fini(&kit);
}

TEST(key_auth_refuses_in_the_words_of_kong)
{
	struct gw_kit kit;
	with_key(&kit, "{\"realm\":\"us\"}");
	kit_request(&kit, HTTP_GET, "/");
	CHECK_INT(kit_status(&kit), 401);
	CHECK_HAS(kit_text(&kit, kit.r.answer.body), "{\"message\":\"No API key found in request\"");
	CHECK_STR(kit_answer(&kit, "WWW-Authenticate"), "Key realm=\"us\"");
	CHECK_STR(kit_answer(&kit, "Content-Type"), "application/json; charset=utf-8");
	kit_request(&kit, HTTP_GET, "/");
	kit_header(&kit, "apikey", "wrong");
	CHECK_INT(kit_status(&kit), 401);
	CHECK_HAS(kit_text(&kit, kit.r.answer.body), "{\"message\":\"Unauthorized\"");
	kit_request(&kit, HTTP_GET, "/?apikey=secret-key&apikey=secret-key");
	CHECK_INT(kit_status(&kit), 401);
	CHECK_HAS(kit_text(&kit, kit.r.answer.body), "Duplicate API key found");
	kit_fini(&kit);
}

TEST(key_auth_hides_the_key)
{
	struct gw_kit kit;
	with_key(&kit, "{\"hide_credentials\":true,\"key_in_body\":true,\"key_names\":[\"apikey\",\"k\"]}");
	kit_request(&kit, HTTP_GET, "/?a=%20b&k=secret-key&c");
	kit_header(&kit, "apikey", "secret-key");
	CHECK_INT(kit_status(&kit), 0);
	CHECK_STR(kit_out(&kit, "apikey"), "");
	CHECK_SLICE(kit.r.out.query, "a=%20b&c");
	kit_request(&kit, HTTP_POST, "/");
	kit_body(&kit, "application/x-www-form-urlencoded", "a=1&k=secret-key");
	CHECK_INT(kit_status(&kit), 0);
	CHECK(kit.r.out.body_changed && kit.r.out.body_collected);
	CHECK_SLICE(kit.r.out.body, "a=1");
	kit_request(&kit, HTTP_POST, "/");
	kit_body(&kit, "application/json; charset=utf-8", "{\"a\": [1.50], \"apikey\":\"secret-key\"}");
	CHECK_INT(kit_status(&kit), 0);
	CHECK_SLICE(kit.r.out.body, "{\"a\":[1.50]}");
	kit_request(&kit, HTTP_POST, "/");
	kit_body(&kit, "application/json", "{\"apikey\":[\"secret-key\",\"b\"]}");
	CHECK_INT(kit_status(&kit), 401);
	kit_fini(&kit);
}

TEST(key_auth_lets_preflights_and_the_anonymous_through_when_told_so)
{
	struct gw_kit kit;
	with_key(&kit, "{\"run_on_preflight\":false,\"anonymous\":\"nobody\"}");
	kit_request(&kit, HTTP_GET, "/");
	CHECK_INT(kit_status(&kit), 500); // the consumer does not exist
	kit_consumer(&kit, "nobody");
	kit_request(&kit, HTTP_GET, "/");
	kit_header(&kit, "apikey", "wrong");
	CHECK_INT(kit_status(&kit), 0);
	CHECK(kit.r.anonymous && kit.r.credential == NULL);
	CHECK_STR(kit_out(&kit, "X-Anonymous-Consumer"), "true");
	CHECK_STR(kit_out(&kit, "X-Consumer-Username"), "nobody");
	CHECK_STR(kit_out(&kit, "X-Credential-Identifier"), "");
	kit_request(&kit, HTTP_OPTIONS, "/");
	CHECK_INT(kit_status(&kit), 0);
	CHECK(kit.r.consumer == NULL);
	kit_fini(&kit);
}

TEST(of_two_authentications_with_anonymous_one_suffices)
{
	struct gw_kit kit;
	kit_init(&kit);
	CHECK(kit_plugin(&kit, "key-auth", "{\"anonymous\":\"nobody\"}") == NULL);
	CHECK(kit_plugin(&kit, "basic-auth", "{\"anonymous\":\"nobody\"}") == NULL);
	struct gw_consumer *anna = kit_consumer(&kit, "anna");
	kit_consumer(&kit, "nobody");
	CHECK(kit_credential(&kit, GW_KEYAUTH, anna, "secret-key", "", "") == NULL);
	CHECK(kit_credential(&kit, GW_BASICAUTH, anna, "anna", "pw", "") == NULL);
	kit_request(&kit, HTTP_GET, "/");
	kit_header(&kit, "apikey", "secret-key");
	CHECK_INT(kit_status(&kit), 0);
	CHECK(kit.r.consumer == anna && !kit.r.anonymous);
	kit_request(&kit, HTTP_GET, "/");
	kit_header(&kit, "Authorization", "Basic YW5uYTpwdw==");
	CHECK_INT(kit_status(&kit), 0);
	CHECK(kit.r.consumer == anna && !kit.r.anonymous);
	CHECK_STR(kit_out(&kit, "X-Anonymous-Consumer"), "");
	kit_fini(&kit);
}

TEST(key_auth_checks_its_settings)
{
	struct gw_kit kit;
	kit_init(&kit);
	CHECK_HAS(kit_plugin(&kit, "key-auth", "{\"key_in_header\":false,\"key_in_query\":false}"),
		  "at least one of these must be true");
	CHECK_HAS(kit_plugin(&kit, "key-auth", "{\"key_names\":[\"a b\"]}"), "no name of a header");
	CHECK_HAS(kit_plugin(&kit, "key-auth", "{\"key_names\":[]}"), "at least one name");
	kit_fini(&kit);
}

// --- basic-auth --------------------------------------------------------------------------------------------------------

static int basic(struct gw_kit *kit, const char *user_and_password)
{
	struct buf text;
	ms_buf_init(&text, 1024);
	ms_buf_append_cstr(&text, "Basic ");
	ms_base64_append(&text, ms_slice_cstr(user_and_password));
	ms_buf_append_char(&text, '\0');
	kit_request(kit, HTTP_GET, "/");
	kit_header(kit, "Authorization", ms_arena_cstr(&kit->arena, ms_slice(text.p, text.n - 1)));
	ms_buf_fini(&text);
	return kit_status(kit);
}

TEST(basic_auth_takes_plain_and_hashed_passwords)
{
	static const uint8_t salt[MS_PASSWORD_SALT_SIZE] = "0123456789abcdef";
	static const struct password_cost cheap = {.memory_kib = 64, .time = 1, .lanes = 1};
	struct gw_kit kit;
	struct buf stored;
	kit_init(&kit);
	ms_buf_init(&stored, 1024);
	REQUIRE(ms_password_hash(MS_SLICE_LIT("correct horse"), &cheap, salt, NULL, &stored) == MS_OK);
	ms_buf_append_char(&stored, '\0');
	CHECK(kit_plugin(&kit, "basic-auth", "{\"hide_credentials\":true}") == NULL);
	struct gw_consumer *anna = kit_consumer(&kit, "anna"), *ben = kit_consumer(&kit, "ben");
	CHECK(kit_credential(&kit, GW_BASICAUTH, anna, "anna", stored.p, "") == NULL);
	CHECK(kit_credential(&kit, GW_BASICAUTH, ben, "ben", "p:w", "") == NULL);
	CHECK_INT(basic(&kit, "anna:correct horse"), 0);
	CHECK(kit.r.consumer == anna);
	CHECK_STR(kit_out(&kit, "X-Credential-Identifier"), "anna");
	CHECK_STR(kit_out(&kit, "Authorization"), "");
	uint64_t jobs = ms_pool_stats(kit.pool != NULL ? kit.pool : kit.services.pool).completed;
	CHECK_INT(jobs, 1);
	CHECK_INT(basic(&kit, "anna:correct horse"), 0); // remembered: no second hash
	CHECK_INT(ms_pool_stats(kit.services.pool).completed, jobs);
	CHECK_INT(basic(&kit, "anna:wrong horse"), 401);
	CHECK_INT(ms_pool_stats(kit.services.pool).completed, jobs + 1);
	CHECK_INT(basic(&kit, "ben:p:w"), 0);
	CHECK(kit.r.consumer == ben);
	CHECK_INT(basic(&kit, "ben:p"), 401);
	CHECK_INT(basic(&kit, "ben:p:w2"), 401);
	CHECK_INT(basic(&kit, "carl:p:w"), 401);
	CHECK_INT(basic(&kit, "no colon"), 401);
	CHECK_STR(kit_answer(&kit, "WWW-Authenticate"), "Basic realm=\"service\"");
	CHECK_HAS(kit_text(&kit, kit.r.answer.body), "{\"message\":\"Unauthorized\"");
	ms_buf_fini(&stored);
	kit_fini(&kit);
}

TEST(basic_auth_reads_one_form_of_the_header)
{
	static const char *const bad[] = {
		"Basic", "Basic ", "Basic %%%", "Bearer YW5uYTpwdw==", "YW5uYTpwdw==", "BasicYW5uYTpwdw=="};
	struct gw_kit kit;
	kit_init(&kit);
	CHECK(kit_plugin(&kit, "basic-auth", "{}") == NULL);
	CHECK(kit_credential(&kit, GW_BASICAUTH, kit_consumer(&kit, "anna"), "anna", "pw", "") == NULL);
	for (size_t i = 0; i < MS_ARRAY_LEN(bad); i++) {
		kit_request(&kit, HTTP_GET, "/");
		kit_header(&kit, "Authorization", bad[i]);
		CHECK_INT(kit_status(&kit), 401);
	}
	kit_request(&kit, HTTP_GET, "/");
	kit_header(&kit, "Proxy-Authorization", "basic YW5uYTpwdw==");
	CHECK_INT(kit_status(&kit), 0);
	CHECK_HAS(kit_credential(&kit, GW_BASICAUTH, NULL, "a:b", "pw", ""), "without a colon");
	CHECK_HAS(kit_credential(&kit, GW_BASICAUTH, NULL, "a", "", ""), "password");
	CHECK(kit_credential(&kit, GW_BASICAUTH, NULL, "a", "$argon2id$v=19$broken", "") != NULL);
	kit_fini(&kit);
}

// --- jwt -----------------------------------------------------------------------------------------------------------------

#define SECRET "0123456789abcdef0123456789abcdef"
#define NOW "1800000000"

static const char *token(struct gw_kit *kit, enum jose_alg alg, const char *secret, const char *claims)
{
	struct jose_key *key;
	struct buf out;
	ms_buf_init(&out, 8192);
	REQUIRE(ms_jose_key_hmac(alg, ms_slice_cstr(secret), MS_SLICE_LIT("some-kid"), NULL, &key) == MS_OK);
	REQUIRE(ms_jws_sign(key, MS_SLICE_LIT("JWT"), ms_slice_cstr(claims), NULL, &out) == MS_OK);
	ms_jose_key_unref(key);
	const char *text = ms_arena_cstr(&kit->plan.arena, ms_buf_slice(&out));
	ms_buf_fini(&out);
	return text;
}

static int bearer(struct gw_kit *kit, const char *text)
{
	kit_request(kit, HTTP_GET, "/");
	kit_header(kit, "Authorization", ms_arena_printf(&kit->arena, "Bearer %s", text));
	return kit_status(kit);
}

static bool says(struct gw_kit *kit, const char *text)
{
	return CHECK_HAS(kit_text(kit, kit->r.answer.body), text);
}

static void with_jwt(struct gw_kit *kit, const char *config)
{
	kit_init(kit);
	CHECK_STR(kit_plugin(kit, "jwt", config), NULL);
	CHECK(kit_credential(kit, GW_JWT, kit_consumer(kit, "anna"), "issuer-a", SECRET, "HS256") == NULL);
}

TEST(jwt_lets_in_who_signed_with_his_key)
{
	struct gw_kit kit;
	with_jwt(&kit, "{}");
	const char *good = token(&kit, JOSE_HS256, SECRET, "{\"iss\":\"issuer-a\",\"exp\":1}");
	CHECK_INT(bearer(&kit, good), 0); // exp is not looked at unless told to
	CHECK_STR(kit_out(&kit, "X-Consumer-Username"), "anna");
	CHECK_STR(kit_out(&kit, "X-Credential-Identifier"), "issuer-a");
	kit_request(&kit, HTTP_GET, ms_arena_printf(&kit.plan.arena, "/?jwt=%s", good));
	CHECK_INT(kit_status(&kit), 0);
	CHECK_INT(bearer(&kit, token(&kit, JOSE_HS256, "another-secret-of-thirty-two-byte", "{\"iss\":\"issuer-a\"}")),
		  401);
	says(&kit, "{\"message\":\"Invalid signature\"");
	CHECK_STR(kit_answer(&kit, "WWW-Authenticate"), "Bearer error=\"invalid_token\"");
	CHECK_INT(bearer(&kit, token(&kit, JOSE_HS512, SECRET SECRET, "{\"iss\":\"issuer-a\"}")), 401);
	says(&kit, "{\"message\":\"Invalid algorithm\"");
	CHECK_INT(bearer(&kit, token(&kit, JOSE_HS256, SECRET, "{\"iss\":\"issuer-b\"}")), 401);
	says(&kit, "No credentials found for given 'iss'");
	CHECK_INT(bearer(&kit, token(&kit, JOSE_HS256, SECRET, "{\"sub\":\"x\"}")), 401);
	says(&kit, "No mandatory 'iss' in claims");
	CHECK_INT(bearer(&kit, token(&kit, JOSE_HS256, SECRET, "{\"iss\":\"\"}")), 401);
	says(&kit, "Invalid 'iss' in claims");
	CHECK_INT(bearer(&kit, "a.b"), 401);
	says(&kit, "{\"message\":\"Bad token; ");
	kit_request(&kit, HTTP_GET, "/");
	CHECK_INT(kit_status(&kit), 401);
	says(&kit, "{\"message\":\"Unauthorized\"");
	CHECK_STR(kit_answer(&kit, "WWW-Authenticate"), "Bearer");
	kit_fini(&kit);
}

TEST(jwt_none_and_unsigned_tokens_are_refused)
{
	struct gw_kit kit;
	with_jwt(&kit, "{}");
	// {"alg":"none"} . {"iss":"issuer-a"} .
	CHECK_INT(bearer(&kit, "eyJhbGciOiJub25lIn0.eyJpc3MiOiJpc3N1ZXItYSJ9."), 401);
	CHECK(kit.r.consumer == NULL);
	kit_fini(&kit);
}

TEST(jwt_several_tokens_are_refused)
{
	struct gw_kit kit;
	with_jwt(&kit, "{\"cookie_names\":[\"session\"]}");
	const char *a = token(&kit, JOSE_HS256, SECRET, "{\"iss\":\"issuer-a\"}"),
		   *b = token(&kit, JOSE_HS256, SECRET, "{\"iss\":\"issuer-a\",\"n\":1}");
	kit_request(&kit, HTTP_GET, "/");
	kit_header(&kit, "Cookie", ms_arena_printf(&kit.plan.arena, "x=1; session=%s; y=2", a));
	CHECK_INT(kit_status(&kit), 0);
	kit_request(&kit, HTTP_GET, ms_arena_printf(&kit.plan.arena, "/?jwt=%s", a));
	kit_header(&kit, "Authorization", ms_arena_printf(&kit.plan.arena, "bearer %s", a));
	CHECK_INT(kit_status(&kit), 0); // the same one twice is one
	kit_request(&kit, HTTP_GET, ms_arena_printf(&kit.plan.arena, "/?jwt=%s", b));
	kit_header(&kit, "Authorization", ms_arena_printf(&kit.plan.arena, "bearer %s", a));
	CHECK_INT(kit_status(&kit), 401);
	says(&kit, "Multiple tokens provided");
	kit_fini(&kit);
}

TEST(jwt_checks_the_claims_that_it_is_told_to)
{
	struct gw_kit kit;
	with_jwt(&kit, "{\"claims_to_verify\":[\"exp\",\"nbf\"],\"maximum_expiration\":3600,\"realm\":\"r\"}");
	CHECK_INT(bearer(&kit,
			 token(&kit, JOSE_HS256, SECRET, "{\"iss\":\"issuer-a\",\"exp\":1800000060,\"nbf\":" NOW "}")),
		  0);
	CHECK_INT(bearer(&kit, token(&kit, JOSE_HS256, SECRET, "{\"iss\":\"issuer-a\",\"exp\":" NOW ",\"nbf\":0}")),
		  401);
	says(&kit, "\"exp\":\"token expired\"");
	CHECK_STR(kit_answer(&kit, "WWW-Authenticate"), "Bearer realm=\"r\", error=\"invalid_token\"");
	CHECK_INT(bearer(&kit,
			 token(&kit, JOSE_HS256, SECRET, "{\"iss\":\"issuer-a\",\"exp\":\"soon\",\"nbf\":1800000001}")),
		  401);
	says(&kit, "\"exp\":\"must be a number\"");
	says(&kit, "\"nbf\":\"token not valid yet\"");
	CHECK_INT(bearer(&kit, token(&kit, JOSE_HS256, SECRET, "{\"iss\":\"issuer-a\",\"exp\":1800003601,\"nbf\":0}")),
		  401);
	says(&kit, "\"exp\":\"exceeds maximum allowed expiration\"");
	CHECK_INT(bearer(&kit, token(&kit, JOSE_HS256, SECRET, "{\"iss\":\"issuer-a\",\"nbf\":0}")), 401);
	kit_fini(&kit);
}

TEST(jwt_reads_secrets_as_base64_and_short_ones_and_keys_by_kid)
{
	struct gw_kit kit;
	kit_init(&kit);
	CHECK(kit_plugin(&kit, "jwt", "{\"secret_is_base64\":true,\"key_claim_name\":\"kid\"}") == NULL);
	struct gw_consumer *anna = kit_consumer(&kit, "anna");
	// base64 of SECRET
	CHECK(kit_credential(&kit, GW_JWT, anna, "some-kid", "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=", "HS256") ==
	      NULL);
	CHECK_INT(bearer(&kit, token(&kit, JOSE_HS256, SECRET, "{}")), 0);
	kit_fini(&kit);
	with_jwt(&kit, "{}");
	CHECK(kit_credential(&kit, GW_JWT, &kit.consumers[0], "short", "secret", "HS256") == NULL);
	// HS256 with the key "secret", by another implementation: {"alg":"HS256","typ":"JWT"}.{"iss":"short"}
	char padded[33] = "secret";
	struct jose_key *key;
	struct buf out;
	ms_buf_init(&out, 8192);
	REQUIRE(ms_jose_key_hmac(JOSE_HS256, ms_slice(padded, 32), MS_SLICE_LIT("x"), NULL, &key) == MS_OK);
	REQUIRE(ms_jws_sign(key, MS_SLICE_LIT("JWT"), MS_SLICE_LIT("{\"iss\":\"short\"}"), NULL, &out) == MS_OK);
	CHECK_INT(bearer(&kit, ms_arena_cstr(&kit.plan.arena, ms_buf_slice(&out))), 0);
	uint8_t mac[MS_DIGEST_MAX];
	struct slice signed_part = ms_buf_slice(&out);
	while (signed_part.p[signed_part.n - 1] != '.')
		signed_part.n--;
	signed_part.n--;
	ms_hmac(CRYPTO_SHA256, MS_SLICE_LIT("secret"), signed_part, mac); // the key as it is
	struct buf signature;
	ms_buf_init(&signature, 128);
	ms_base64url_append(&signature, ms_slice(mac, 32));
	CHECK(ms_slice_ends_with(ms_buf_slice(&out), ms_buf_slice(&signature)));
	ms_buf_fini(&signature);
	ms_buf_fini(&out);
	ms_jose_key_unref(key);
	kit_fini(&kit);
}

TEST(jwt_takes_public_keys_of_each_kind)
{
	static const struct {
		enum crypto_key_kind kind;
		enum jose_alg alg;
		const char *name;
	} cases[] = {{CRYPTO_RSA, JOSE_RS256, "RS256"},
		     {CRYPTO_RSA, JOSE_PS384, "PS384"},
		     {CRYPTO_P256, JOSE_ES256, "ES256"},
		     {CRYPTO_P521, JOSE_ES512, "ES512"},
		     {CRYPTO_ED25519, JOSE_ED25519, "EdDSA"}};
	for (size_t i = 0; i < MS_ARRAY_LEN(cases); i++) {
		struct gw_kit kit;
		struct crypto_key *crypto;
		struct jose_key *key;
		struct buf public, private, out;
		kit_init(&kit);
		ms_buf_init(&public, 8192);
		ms_buf_init(&private, 8192);
		ms_buf_init(&out, 8192);
		REQUIRE(ms_crypto_key_generate(cases[i].kind, 2048, &crypto) == MS_OK);
		REQUIRE(ms_crypto_key_to_pem(crypto, false, &public) == MS_OK &&
			ms_crypto_key_to_pem(crypto, true, &private) == MS_OK);
		REQUIRE(ms_jose_key_parse_pem(ms_buf_slice(&private), cases[i].alg, MS_SLICE_LIT("k"), NULL, &key) ==
			MS_OK);
		REQUIRE(ms_jws_sign(key, MS_SLICE_LIT("JWT"), MS_SLICE_LIT("{\"iss\":\"issuer-a\"}"), NULL, &out) ==
			MS_OK);
		const char *pem = ms_arena_cstr(&kit.plan.arena, ms_buf_slice(&public)),
			   *text = ms_arena_cstr(&kit.plan.arena, ms_buf_slice(&out));
		CHECK(kit_plugin(&kit, "jwt", "{}") == NULL);
		struct gw_consumer *anna = kit_consumer(&kit, "anna");
		CHECK_STR(kit_credential(&kit, GW_JWT, anna, "issuer-a", pem, cases[i].name), NULL);
		CHECK_INT(bearer(&kit, text), 0);
		// The public key as a secret of HS256: the oldest trick.
		if (strlen(pem) <= 1024)
			CHECK_INT(bearer(&kit, token(&kit, JOSE_HS256, pem, "{\"iss\":\"issuer-a\"}")), 401);
		ms_jose_key_unref(key);
		ms_crypto_key_unref(crypto);
		ms_buf_fini(&public);
		ms_buf_fini(&private);
		ms_buf_fini(&out);
		kit_fini(&kit);
	}
}

TEST(jwt_credentials_are_checked_when_a_plan_is_made)
{
	struct gw_kit kit;
	kit_init(&kit);
	CHECK_HAS(kit_credential(&kit, GW_JWT, NULL, "a", "x", "none"), "algorithm");
	CHECK(kit_credential(&kit, GW_JWT, NULL, "a", "no pem", "RS256") != NULL);
	CHECK_HAS(kit_credential(&kit, GW_JWT, NULL, "a", "", "RS256"), "rsa_public_key: required for RS256");
	CHECK_HAS(kit_credential(&kit, GW_JWT, NULL, "a", "", "HS256"), "empty");
	CHECK_HAS(kit_plugin(&kit, "jwt", "{\"claims_to_verify\":[\"iat\"]}"), "iat");
	kit_fini(&kit);
}

// --- acl -----------------------------------------------------------------------------------------------------------------

static int as_member(struct gw_kit *kit, const char *config, struct slice *groups, size_t count)
{
	kit_init(kit);
	CHECK_STR(kit_plugin(kit, "key-auth", "{}"), NULL);
	CHECK_STR(kit_plugin(kit, "acl", config), NULL);
	struct gw_consumer *anna = kit_consumer(kit, "anna");
	anna->groups = (struct text_list){groups, count};
	CHECK(kit_credential(kit, GW_KEYAUTH, anna, "secret-key", "", "") == NULL);
	kit_request(kit, HTTP_GET, "/");
	kit_header(kit, "apikey", "secret-key");
	kit_header(kit, "X-Consumer-Groups", "admins"); // is not believed
	return kit_status(kit);
}

TEST(acl_asks_for_groups)
{
	struct slice groups[] = {MS_SLICE_LIT("readers"), MS_SLICE_LIT("writers")};
	struct gw_kit kit;
	CHECK_INT(as_member(&kit, "{\"allow\":[\"writers\"]}", groups, 2), 0);
	CHECK_STR(kit_out(&kit, "X-Consumer-Groups"), "readers, writers");
	kit_fini(&kit);
	CHECK_INT(as_member(&kit, "{\"allow\":[\"writers\"],\"hide_groups_header\":true}", groups, 2), 0);
	CHECK_STR(kit_out(&kit, "X-Consumer-Groups"), "");
	kit_fini(&kit);
	CHECK_INT(as_member(&kit, "{\"whitelist\":[\"admins\"]}", groups, 2), 403);
	says(&kit, "{\"message\":\"You cannot consume this service\"");
	kit_fini(&kit);
	CHECK_INT(as_member(&kit, "{\"deny\":[\"readers\"]}", groups, 2), 403);
	kit_fini(&kit);
	CHECK_INT(as_member(&kit, "{\"deny\":[\"admins\"]}", groups, 0), 0);
	kit_fini(&kit);
	CHECK_INT(as_member(&kit, "{\"allow\":[\"admins\"]}", groups, 0), 403);
	kit_fini(&kit);
	kit_init(&kit);
	CHECK_HAS(kit_plugin(&kit, "acl", "{}"), "exactly one");
	CHECK_HAS(kit_plugin(&kit, "acl", "{\"allow\":[\"a\"],\"deny\":[\"b\"]}"), "exactly one");
	CHECK(kit_plugin(&kit, "acl", "{\"allow\":[\"a\"]}") == NULL);
	kit_request(&kit, HTTP_GET, "/");
	CHECK_INT(kit_status(&kit), 401);
	kit_fini(&kit);
}

// --- mainstay-auth -----------------------------------------------------------------------------------------------------

TEST(mainstay_auth_refuses_who_shows_nothing)
{
	struct gw_kit kit;
	kit_init(&kit);
	CHECK_HAS(kit_plugin(&kit, "mainstay-auth", "{\"permission\":\"fly\"}"), "there is no \"fly\"");
	CHECK(kit_plugin(&kit, "mainstay-auth", "{\"permission\":\"models.write\"}") == NULL);
	kit_request(&kit, HTTP_GET, "/");
	CHECK_INT(kit_status(&kit), 401);
	CHECK_STR(kit_answer(&kit, "WWW-Authenticate"), "Bearer realm=\"mainstay\"");
	says(&kit, "\"code\":\"auth.required\"");
	kit_request(&kit, HTTP_GET, "/");
	kit_header(&kit, "Authorization", "Bearer x");
	kit_header(&kit, "X-API-Key", "y");
	CHECK_INT(kit_status(&kit), 401);
	says(&kit, "Several credentials");
	kit_fini(&kit);
}

#define HASH_OF_TEST "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08" // SHA-256 of "test"

static struct auth *open_auth(struct gw_kit *kit, struct store **ret_store)
{
	static const char *const environment[] = {"ML_API_KEY_HASH=" HASH_OF_TEST, NULL};
	const struct store_migrations all[] = {ms_auth_migrations};
	const struct store_options store = {.url = ms_test_database(false),
					    .migrations = all,
					    .migration_count = 1,
					    .migrate = true,
					    .poll_ms = 20};
	struct auth *auth;
	struct errinfo info;
	ms_errinfo_init(&info);
	REQUIRE(ms_store_open(&store, &info, ret_store) == MS_OK);
	const struct auth_options options = {.store = *ret_store,
					     .rt = kit->rt,
					     .data_dir = ms_test_temp_dir(),
					     .issuer = "http://test",
					     .audience = "mainstay",
					     .jwt_secret = SECRET,
					     .master_key = "",
					     .token_life_ms = 3600000,
					     .refresh_life_ms = 3600000,
					     .refresh_idle_ms = 3600000,
					     .password_threads = 1,
					     .password_depth = 10,
					     .password_memory_kib = 64,
					     .password_passes = 1,
					     .password_min_length = 8,
					     .registration_role = "viewer"};
	REQUIRE(ms_auth_new(&options, &info, &auth) == MS_OK);
	CHECK_OK(ms_auth_take_environment(auth, environment, &info));
	return auth;
}

TEST(mainstay_auth_lets_in_keys_of_this_installation)
{
	struct gw_kit kit;
	struct store *store;
	kit_init(&kit);
	CHECK_STR(kit_plugin(&kit, "mainstay-auth", "{\"permission\":\"predict\"}"), NULL);
	kit.services.auth = open_auth(&kit, &store);
	kit_calls_run(&kit); // what it published comes to the loop
	kit_request(&kit, HTTP_GET, "/");
	kit_header(&kit, "X-API-Key", "test");
	kit_header(&kit, "X-Consumer-ID", "admin");
	CHECK_INT(kit_status(&kit), 0);
	CHECK_STR(kit_out(&kit, "X-API-Key"), ""); // not for others
	CHECK(kit.r.credential_id.n > 0);
	CHECK_STR(kit_out(&kit, "X-Credential-Identifier"), kit_text(&kit, kit.r.credential_id));
	CHECK(strcmp(kit_out(&kit, "X-Consumer-ID"), "admin") != 0 && kit_out(&kit, "X-Consumer-ID")[0] != '\0');
	kit_request(&kit, HTTP_GET, "/");
	kit_header(&kit, "X-API-Key", "wrong");
	CHECK_INT(kit_status(&kit), 401);
	CHECK_STR(kit_answer(&kit, "WWW-Authenticate"), "Bearer realm=\"mainstay\", error=\"invalid_token\"");
	ms_auth_stop(kit.services.auth);
	ms_store_stop(store);
	kit_calls_run(&kit);
	ms_rt_deliver(kit.rt);
	ms_auth_free(kit.services.auth);
	kit_fini(&kit);
	ms_store_free(store);
}
