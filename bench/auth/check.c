// SPDX-License-Identifier: Apache-2.0
// What the guard costs a request: finding the credential among the headers, knowing whose it is, and asking for the permission, as the
// server asks it. No network. Prints nanoseconds per check, the best of several rounds.
#include <stdio.h>
#include <stdlib.h>

#include "auth/auth.h"

#define ROUNDS 7
#define CHECKS 200000
#define FRESH 400 // tokens that are new to the guard

struct bench {
	char dir[64], url[128];
	struct rt *rt;
	struct store *store;
	struct auth *auth;
	struct arena arena;
	char key[MS_API_KEY_SIZE];
};

static void must(enum ms_err err, const struct errinfo *info, const char *what)
{
	if (err == MS_OK)
		return;
	fprintf(stderr, "%s: %s\n", what, info->message);
	exit(1);
}

static void open_auth(struct bench *b, enum jose_alg algorithm)
{
	const struct store_migrations all[] = {ms_auth_migrations};
	struct errinfo info;
	ms_errinfo_init(&info);
	*b = (struct bench){.dir = "/tmp/mainstay-bench-XXXXXX"};
	if (mkdtemp(b->dir) == NULL)
		exit(1);
	snprintf(b->url, sizeof(b->url), "sqlite:%s/bench.db", b->dir);
	ms_arena_init(&b->arena, 16384, (size_t)1 << 20);
	must(ms_rt_new(&(struct rt_options){.loops = 1}, &info, &b->rt), &info, "loops");
	must(ms_store_open(
		     &(struct store_options){.url = b->url, .migrations = all, .migration_count = 1, .migrate = true},
		     &info, &b->store),
	     &info, "store");
	const struct auth_options options = {
		.store = b->store,
		.rt = b->rt,
		.data_dir = b->dir,
		.issuer = "http://localhost:8080",
		.audience = "mainstay",
		.jwt_secret = algorithm == JOSE_HS256 ? "0123456789abcdef0123456789abcdef" : "",
		.algorithm = algorithm,
		.master_key = "",
		.key_rotation_ms = (uint64_t)30 * 86400000,
		.token_life_ms = 86400000,
		.refresh_life_ms = 86400000,
		.refresh_idle_ms = 86400000,
		.password_threads = 1,
		.password_depth = 1,
		.password_memory_kib = 19456,
		.password_passes = 2,
		.password_min_length = 8,
		.registration_role = "viewer",
	};
	must(ms_auth_new(&options, &info, &b->auth), &info, "auth");
}

static void close_auth(struct bench *b)
{
	ms_rt_stop(b->rt);
	MS_IGNORE(ms_rt_run(b->rt, NULL));
	ms_auth_stop(b->auth);
	ms_store_stop(b->store);
	ms_rt_deliver(b->rt);
	ms_auth_free(b->auth);
	ms_rt_free(b->rt);
	ms_store_free(b->store);
	ms_arena_fini(&b->arena);
	MS_IGNORE(ms_dir_remove(b->dir, NULL));
}

// --- Credentials -------------------------------------------------------------------------------------

static enum ms_err make_key(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct bench *b = arg;
	const struct auth_actor by = ms_auth_actor_system();
	const struct auth_authority authority = {.by = &by};
	const struct slice texts[] = {MS_SLICE_LIT("models.read"), MS_SLICE_LIT("predict:wine"),
				      MS_SLICE_LIT("predict:churn-*")};
	struct auth_key key = {.name = MS_SLICE_LIT("bench")}, made;
	MS_TRY(ms_grants_parse(texts, MS_ARRAY_LEN(texts), ms_store_arena(tx), info, &key.scopes));
	return ms_auth_key_create(tx, b->auth, &authority, &key, info, &made, b->key);
}

static void sign(struct bench *b, struct buf *out)
{
	struct errinfo info;
	const struct auth_claims claims = {
		.user_id = MS_SLICE_LIT("0190f3a0-0000-7000-8000-000000000001"),
		.username = MS_SLICE_LIT("somebody"),
		.role = MS_SLICE_LIT("operator"),
		.session = MS_SLICE_LIT("0190f3a0-0000-7000-8000-000000000002"),
		.permissions = MS_SLICE_LIT("[\"models.*\",\"predict\",\"tasks.*\",\"metrics.read\",\"audit.read\"]")};
	ms_errinfo_init(&info);
	ms_buf_init(out, 1 << 16);
	must(ms_auth_token_sign(b->auth, &claims, &info, out), &info, "token");
}

// --- The check ---------------------------------------------------------------------------------------

static const struct route route = {.method = HTTP_POST, .pattern = "/api/v1/predict", .permission = "predict"};

// The headers of a common client.
static void check(struct bench *b, const char *header, struct slice value)
{
	const struct http_guard *guard = ms_auth_guard(b->auth);
	const struct http_header headers[] = {
		{MS_SLICE_LIT("Host"), MS_SLICE_LIT("localhost:8080")},
		{MS_SLICE_LIT("User-Agent"), MS_SLICE_LIT("python-requests/2.31.0")},
		{MS_SLICE_LIT("Accept-Encoding"), MS_SLICE_LIT("gzip, deflate")},
		{MS_SLICE_LIT("Accept"), MS_SLICE_LIT("*/*")},
		{MS_SLICE_LIT("Connection"), MS_SLICE_LIT("keep-alive")},
		{MS_SLICE_LIT("Content-Type"), MS_SLICE_LIT("application/json")},
		{MS_SLICE_LIT("Content-Length"), MS_SLICE_LIT("180")},
		{ms_slice_cstr(header), value},
	};
	struct exchange x = {.req = {.headers = headers,
				     .header_count = MS_ARRAY_LEN(headers),
				     .route = &route,
				     .peer = MS_SLICE_LIT("::1")},
			     .arena = &b->arena,
			     .loop = ms_rt_loop(b->rt, 0)};
	struct errinfo info;
	ms_errinfo_init(&info);
	must(guard->admit(&x, MS_SLICE_EMPTY, &info, guard->arg), &info, "the guard refuses");
	if (!guard->may(&x, "predict", MS_SLICE_LIT("wine"), guard->arg))
		exit(1);
	ms_arena_reset(&b->arena);
}

static double time_checks(struct bench *b, const char *header, struct slice value)
{
	double best = 1e18;
	for (int round = 0; round < ROUNDS; round++) {
		int64_t start = ms_clock_mono_ns();
		for (int i = 0; i < CHECKS; i++)
			check(b, header, value);
		double ns = (double)(ms_clock_mono_ns() - start) / CHECKS;
		best = MS_MIN(best, ns);
	}
	return best;
}

static void bearer(const struct buf *token, struct buf *out)
{
	ms_buf_init(out, 1 << 16);
	ms_buf_append_cstr(out, "Bearer ");
	ms_buf_append_slice(out, ms_buf_slice(token));
}

static double time_fresh(struct bench *b)
{
	int64_t total = 0;
	for (int i = 0; i < FRESH; i++) {
		struct buf token, value;
		sign(b, &token);
		bearer(&token, &value);
		int64_t start = ms_clock_mono_ns();
		check(b, "Authorization", ms_buf_slice(&value));
		total += ms_clock_mono_ns() - start;
		ms_buf_fini(&token);
		ms_buf_fini(&value);
	}
	return (double)total / FRESH;
}

static void bench_tokens(enum jose_alg algorithm)
{
	struct bench b;
	struct buf token, value;
	open_auth(&b, algorithm);
	double fresh = time_fresh(&b);
	sign(&b, &token);
	bearer(&token, &value);
	double known = time_checks(&b, "Authorization", ms_buf_slice(&value));
	printf("token %-6s %4zu bytes   known %6.0f ns   the first time %8.0f ns\n", ms_jose_alg_name(algorithm),
	       token.n, known, fresh);
	ms_buf_fini(&token);
	ms_buf_fini(&value);
	close_auth(&b);
}

int main(void)
{
	static const enum jose_alg algorithms[] = {JOSE_HS256, JOSE_ED25519, JOSE_ES256, JOSE_RS256};
	struct bench b;
	struct errinfo info;
	ms_errinfo_init(&info);
	open_auth(&b, JOSE_HS256);
	must(ms_store_write_wait(b.store, make_key, &b, &info), &info, "key");
	must(ms_auth_take_environment(b.auth, (const char *const[]){NULL}, &info), &info, "keys");
	printf("API key      %4zu bytes   known %6.0f ns\n", strlen(b.key),
	       time_checks(&b, "X-API-Key", ms_slice_cstr(b.key)));
	close_auth(&b);
	for (size_t i = 0; i < MS_ARRAY_LEN(algorithms); i++)
		bench_tokens(algorithms[i]);
	return 0;
}
