// SPDX-License-Identifier: Apache-2.0
// The domain of outside sign-ins: what a browser carries, and whose account it is, on every database.
#include <stdio.h>

#include "auth/federation.h"
#include "tests/lib/database.h"
#include "tests/lib/test.h"

#define ISSUER MS_SLICE_LIT("https://id.example")

struct world {
	struct store *store;
	struct auth *auth;
	struct arena arena;
	struct errinfo info;
	struct auth_actor by;
	struct auth_authority authority;
	struct federation_person person;
	struct federation_attempt attempt;
	struct slice name, user_id, subject, identity_id;
	bool keep_last;
	size_t count;
};

static void begin(struct world *w, const char *url)
{
	*w = (struct world){0};
	ms_errinfo_init(&w->info);
	ms_arena_init(&w->arena, 4096, 1 << 22);
	const struct store_migrations migrations[] = {ms_auth_migrations, ms_bus_migrations};
	const struct store_options store = {
		.url = url, .migrations = migrations, .migration_count = 2, .migrate = true};
	REQUIRE(ms_store_open(&store, &w->info, &w->store) == MS_OK);
	const struct auth_options options = {.store = w->store,
					     .data_dir = ms_test_temp_dir(),
					     .issuer = "https://own.example",
					     .audience = "mainstay",
					     .master_key = "",
					     .jwt_secret = "0123456789abcdef0123456789abcdef",
					     .token_life_ms = 3600000,
					     .refresh_life_ms = 3600000,
					     .refresh_idle_ms = 3600000,
					     .password_threads = 1,
					     .password_depth = 1,
					     .password_memory_kib = 64,
					     .password_passes = 1};
	REQUIRE(ms_auth_new(&options, &w->info, &w->auth) == MS_OK);
	w->by = ms_auth_actor_system();
	w->authority = (struct auth_authority){.by = &w->by};
}

static void end(struct world *w)
{
	ms_auth_stop(w->auth);
	ms_store_stop(w->store);
	ms_auth_free(w->auth);
	ms_store_free(w->store);
	ms_arena_fini(&w->arena);
}

// --- What the browser carries ------------------------------------------------------------------------

static enum ms_err open_at(struct world *w, struct slice cookie, const char *state, int64_t now_us)
{
	ms_errinfo_init(&w->info);
	return ms_federation_open(w->auth, cookie, ms_slice_cstr(state), now_us, &w->arena, &w->info, &w->attempt);
}

static enum ms_err spend(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct world *w = arg;
	return ms_federation_spend(tx, &w->attempt, info);
}

TEST_ON_DATABASES(what_a_browser_carries_is_its_own_young_and_counts_once)
{
	struct world w;
	struct slice cookie;
	const struct federation_attempt attempt = {.request = MS_SLICE_LIT("a=\"1\"&b"),
						   .nonce = MS_SLICE_LIT("n"),
						   .verifier = MS_SLICE_LIT("v"),
						   .link_user = MS_SLICE_LIT("u")};
	int64_t now = 1700000000000000, life = (int64_t)MS_FEDERATION_LIFE_S * 1000000;
	begin(&w, url);
	REQUIRE(ms_federation_seal(w.auth, &attempt, MS_SLICE_LIT("s"), now, &w.arena, &w.info, &cookie) == MS_OK);
	CHECK_OK(open_at(&w, cookie, "s", now + life - 1));
	CHECK_SLICE(w.attempt.request, "a=\"1\"&b");
	CHECK_SLICE(w.attempt.nonce, "n");
	CHECK_SLICE(w.attempt.verifier, "v");
	CHECK_SLICE(w.attempt.link_user, "u");
	CHECK_INT(w.attempt.user_code.n, 0);
	CHECK_INT(open_at(&w, cookie, "s", now + life), MS_ERR_TOKEN_EXPIRED);
	CHECK_INT(open_at(&w, cookie, "s", now - life), MS_ERR_TOKEN_EXPIRED);
	CHECK_INT(open_at(&w, cookie, "t", now), MS_ERR_TOKEN_INVALID);
	CHECK_INT(open_at(&w, cookie, "", now), MS_ERR_TOKEN_INVALID);
	CHECK_INT(open_at(&w, MS_SLICE_EMPTY, "s", now), MS_ERR_TOKEN_INVALID);
	CHECK_INT(open_at(&w, ms_slice_sub(cookie, 0, cookie.n - 4), "s", now), MS_ERR_TOKEN_INVALID);
	CHECK_OK(open_at(&w, cookie, "s", now));
	CHECK_OK(ms_store_write_wait(w.store, spend, &w, &w.info));
	CHECK_INT(ms_store_write_wait(w.store, spend, &w, &w.info), MS_ERR_TOKEN_INVALID);
	end(&w);
}

// --- Whose account -----------------------------------------------------------------------------------

static enum ms_err sign_in(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct world *w = arg;
	struct auth_user user;
	MS_TRY(ms_federation_sign_in(tx, w->auth, &w->by, &w->person, info, &user));
	MS_TRY(ms_auth_user_copy(&user, &w->arena, info, &user));
	w->user_id = user.id;
	w->name = user.username;
	return MS_OK;
}

static enum ms_err as(struct world *w, const char *subject, const char *name, const char *role)
{
	ms_errinfo_init(&w->info);
	w->person = (struct federation_person){.issuer = ISSUER,
					       .subject = ms_slice_cstr(subject),
					       .username = ms_slice_cstr(name),
					       .role = ms_slice_cstr(role)};
	return ms_store_write_wait(w->store, sign_in, w, &w->info);
}

static enum ms_err unlink_it(struct store_tx *tx, void *arg, struct errinfo *info)
{
	const struct world *w = arg;
	return ms_auth_identity_unlink(tx, w->auth, &w->authority, w->user_id, w->identity_id, w->keep_last, info);
}

static enum ms_err link_it(struct store_tx *tx, void *arg, struct errinfo *info)
{
	const struct world *w = arg;
	struct auth_identity identity;
	return ms_auth_identity_link(tx, w->auth, &w->authority, w->user_id, ISSUER, w->subject, info, &identity);
}

static enum ms_err list_them(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct world *w = arg;
	struct auth_identity *all;
	MS_TRY(ms_auth_identity_list(tx, w->user_id, info, &all, &w->count));
	w->identity_id = w->count > 0 ? ms_arena_copy(&w->arena, all[0].id) : MS_SLICE_EMPTY;
	return MS_OK;
}

TEST_ON_DATABASES(names_of_new_users_are_plain_and_their_own)
{
	static const struct {
		const char *theirs, *ours;
	} cases[] = {
		{"grace", "grace"},  {"grace", "grace-2"}, {"GRACE", "GRACE-3"}, {"ada@corp.example", "ada"},
		{"", "user"},        {"@corp", "user-2"},  {"._-x", "x"},        {"J\xc3\xbcrgen M", "J-rgen-M"},
		{"a\"b;c", "a-b-c"},
	};
	struct world w;
	char subject[8];
	begin(&w, url);
	for (size_t i = 0; i < MS_ARRAY_LEN(cases); i++) {
		snprintf(subject, sizeof(subject), "s%zu", i);
		CHECK_OK(as(&w, subject, cases[i].theirs, "viewer"));
		CHECK_SLICE(w.name, cases[i].ours);
	}
	end(&w);
}

TEST_ON_DATABASES(issuer_and_subject_are_one_person)
{
	struct world w;
	begin(&w, url);
	CHECK_INT(as(&w, "one", "ada", ""), MS_ERR_AUTH_USER_UNKNOWN);
	CHECK_OK(as(&w, "one", "ada", "viewer"));
	struct slice first = w.user_id;
	CHECK_OK(as(&w, "one", "bob", ""));
	CHECK_SLICE(w.name, "ada");
	CHECK_OK(as(&w, "ONE", "ada", "viewer"));
	CHECK(!ms_slice_eq(w.user_id, first));
	w.person.issuer = MS_SLICE_LIT("https://id.example/");
	w.person.subject = MS_SLICE_LIT("one");
	CHECK_OK(ms_store_write_wait(w.store, sign_in, &w, &w.info));
	CHECK(!ms_slice_eq(w.user_id, first));
	end(&w);
}

TEST_ON_DATABASES(links_come_and_go_but_not_the_last_way_in)
{
	struct world w;
	begin(&w, url);
	CHECK_OK(as(&w, "one", "ada", "viewer"));
	w.subject = MS_SLICE_LIT("one");
	CHECK_INT(ms_store_write_wait(w.store, link_it, &w, &w.info), MS_ERR_CONFLICT);
	CHECK_OK(ms_store_read_wait(w.store, list_them, &w, &w.info));
	CHECK_INT(w.count, 1);
	w.keep_last = true;
	CHECK_INT(ms_store_write_wait(w.store, unlink_it, &w, &w.info), MS_ERR_CONFLICT);
	w.subject = MS_SLICE_LIT("two");
	CHECK_OK(ms_store_write_wait(w.store, link_it, &w, &w.info));
	CHECK_OK(ms_store_write_wait(w.store, unlink_it, &w, &w.info));
	CHECK_INT(ms_store_write_wait(w.store, unlink_it, &w, &w.info), MS_ERR_NOT_FOUND);
	CHECK_OK(as(&w, "two", "", ""));
	CHECK_SLICE(w.name, "ada");
	CHECK_INT(as(&w, "one", "", ""), MS_ERR_AUTH_USER_UNKNOWN);
	CHECK_OK(ms_store_read_wait(w.store, list_them, &w, &w.info));
	w.keep_last = false;
	CHECK_OK(ms_store_write_wait(w.store, unlink_it, &w, &w.info));
	w.subject = MS_SLICE_LIT("bad\nsubject");
	CHECK_INT(ms_store_write_wait(w.store, link_it, &w, &w.info), MS_ERR_INVALID);
	for (size_t i = 0; i < MS_FEDERATION_IDENTITIES_MAX; i++) {
		char subject[16];
		snprintf(subject, sizeof(subject), "n%zu", i);
		w.subject = ms_slice_cstr(subject);
		CHECK_OK(ms_store_write_wait(w.store, link_it, &w, &w.info));
	}
	w.subject = MS_SLICE_LIT("one too many");
	CHECK_INT(ms_store_write_wait(w.store, link_it, &w, &w.info), MS_ERR_LIMIT);
	end(&w);
}
