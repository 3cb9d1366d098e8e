// SPDX-License-Identifier: Apache-2.0
// What the hot path remembers: verified and refused tokens, ended sessions, keys of the environment.
#include <stdio.h>
#include <stdlib.h>

#include "auth/gate.h"
#include "tests/lib/test.h"

#define ARENA_MAX ((size_t)16 << 20)

// --- Cache -------------------------------------------------------------------------------------------

static void digest_of(uint64_t n, uint8_t digest[MS_SHA256_SIZE])
{
	ms_sha256(ms_slice(&n, sizeof(n)), digest);
}

static struct token *new_token(uint64_t n)
{
	struct token *token = calloc(1, sizeof(*token));
	REQUIRE(token != NULL);
	token->refs = 1;
	token->expires_us = (int64_t)n;
	ms_arena_init(&token->arena, 256, ARENA_MAX);
	return token;
}

TEST(cache_keeps_what_is_used)
{
	struct cache cache;
	uint8_t digest[MS_SHA256_SIZE];
	REQUIRE(ms_cache_init(&cache, 64, 16) == MS_OK);
	for (uint64_t i = 0; i < 1000; i++) {
		digest_of(i, digest);
		ms_cache_put(&cache, digest, new_token(i));
		digest_of(0, digest); // asked for all the time, so it stays
		const struct token *first = ms_cache_find(&cache, digest);
		REQUIRE(first != NULL && first->expires_us == 0);
	}
	size_t there = 0;
	for (uint64_t i = 0; i < 1000; i++) {
		digest_of(i, digest);
		const struct token *token = ms_cache_find(&cache, digest);
		CHECK(token == NULL || token->expires_us == (int64_t)i);
		there += token != NULL;
	}
	CHECK(there > 48 && there <= 64);
	digest_of(0, digest);
	ms_cache_put(&cache, digest, new_token(7)); // in place of the old one
	CHECK_INT(ms_cache_find(&cache, digest)->expires_us, 7);
	ms_cache_remove(&cache, digest);
	CHECK(ms_cache_find(&cache, digest) == NULL);
	ms_cache_fini(&cache);
}

TEST(cache_flood_of_wrong_tokens_pushes_no_good_one_out)
{
	struct cache cache;
	uint8_t digest[MS_SHA256_SIZE];
	REQUIRE(ms_cache_init(&cache, 64, 16) == MS_OK);
	for (uint64_t i = 0; i < 16; i++) {
		digest_of(i, digest);
		ms_cache_put(&cache, digest, new_token(i));
	}
	size_t before = 0, after = 0;
	for (uint64_t i = 0; i < 16; i++) {
		digest_of(i, digest);
		before += ms_cache_find(&cache, digest) != NULL;
	}
	for (uint64_t i = 1000; i < 101000; i++) {
		digest_of(i, digest);
		ms_cache_refuse(&cache, digest, 1000, 1, REFUSAL_INVALID);
		REQUIRE(ms_cache_refusal(&cache, digest, 999, 1) == REFUSAL_INVALID);
	}
	for (uint64_t i = 0; i < 16; i++) {
		digest_of(i, digest);
		after += ms_cache_find(&cache, digest) != NULL;
	}
	CHECK_INT(after, before);
	CHECK(before >= 12);
	// The answer is good for a time, for what was known then, and for this credential.
	digest_of(100999, digest);
	CHECK_INT(ms_cache_refusal(&cache, digest, 1000, 1), REFUSAL_NONE);
	CHECK_INT(ms_cache_refusal(&cache, digest, 999, 2), REFUSAL_NONE);
	CHECK_INT(ms_cache_refusal(&cache, digest, 999 - 2 * CACHE_REFUSED_US, 1), REFUSAL_NONE); // the clock went back
	digest[31] ^= 1;
	CHECK_INT(ms_cache_refusal(&cache, digest, 999, 1), REFUSAL_NONE);
	ms_cache_fini(&cache);
}

// --- Changes to sessions and users -------------------------------------------------------------------

static struct change_batch *new_batch(const char *const *ids, size_t count, int64_t seq, int64_t time_us)
{
	struct change_batch *batch = calloc(1, sizeof(*batch));
	REQUIRE(batch != NULL);
	atomic_init(&batch->refs, 1);
	ms_arena_init(&batch->arena, 256, ARENA_MAX);
	for (size_t i = 0; i < count; i++) {
		struct change *c = MS_ARENA_NEW(&batch->arena, struct change);
		*c = (struct change){
			.next = batch->first, .id = ms_slice_cstr(ids[i]), .seq = seq + (int64_t)i, .time_us = time_us};
		batch->first = c;
		batch->count++;
	}
	batch->newest_us = time_us;
	return batch;
}

static void feed(struct revoked *revoked, const char *const *ids, size_t count, int64_t seq, int64_t time_us)
{
	struct change_batch *batch = new_batch(ids, count, seq, time_us);
	ms_revoked_feed(revoked, batch);
	ms_change_batch_unref(batch);
}

TEST(revoked_remembers_the_newest_and_forgets_the_old)
{
	struct revoked revoked;
	ms_revoked_init(&revoked, 100);
	feed(&revoked, (const char *const[]){"a", "b", "a"}, 3, 1, 1000);
	CHECK_INT(ms_revoked_find(&revoked, MS_SLICE_LIT("a"))->seq, 3);
	feed(&revoked, (const char *const[]){"b", "c"}, 2, 4, 2000);
	CHECK_INT(ms_revoked_find(&revoked, MS_SLICE_LIT("b"))->seq, 4);
	ms_revoked_forget(&revoked, 1001); // the first batch; what the second says of b stays
	CHECK(ms_revoked_find(&revoked, MS_SLICE_LIT("a")) == NULL);
	CHECK_INT(ms_revoked_find(&revoked, MS_SLICE_LIT("b"))->seq, 4);
	CHECK(ms_revoked_find(&revoked, MS_SLICE_EMPTY) == NULL);
	CHECK_INT(revoked.floor_us, 0);
	ms_revoked_forget(&revoked, 2001);
	CHECK(ms_revoked_find(&revoked, MS_SLICE_LIT("c")) == NULL && revoked.first == NULL);
	ms_revoked_fini(&revoked);
}

TEST(revoked_voids_everything_when_it_is_full)
{
	struct revoked revoked;
	char names[40][8];
	ms_revoked_init(&revoked, 32);
	for (int i = 0; i < 40; i++) {
		const char *id = names[i];
		snprintf(names[i], sizeof(names[i]), "s%d", i);
		feed(&revoked, &id, 1, i + 1, 1000 + i);
	}
	// The 33rd did not fit: tokens of before are void altogether, so no change is lost.
	CHECK_INT(revoked.floor_us, 1033);
	CHECK(ms_revoked_find(&revoked, MS_SLICE_LIT("s5")) == NULL &&
	      ms_revoked_find(&revoked, MS_SLICE_LIT("s39")) != NULL);
	ms_revoked_fini(&revoked);
}

// --- Keys of the environment -------------------------------------------------------------------------

#define HASH_A "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08" // SHA-256 of "test"

static enum ms_err read_environment(const char *const *environment, struct arena *arena, struct errinfo *info,
				    struct environment_keys *keys)
{
	ms_errinfo_init(info);
	return ms_environment_keys(environment, arena, info, keys);
}

TEST(environment_keys_are_read)
{
	struct arena arena;
	struct errinfo info;
	struct environment_keys keys;
	ms_arena_init(&arena, 1024, ARENA_MAX);
	const char *const good[] = {"PATH=/bin", "ML_API_KEY_HASH=" HASH_A, "BATCH_JOB_API_KEY_HASH= 1" HASH_A "\n",
				    NULL};
	CHECK_INT(read_environment(good, &arena, &info, &keys), MS_ERR_CONFIG);
	CHECK_HAS(info.message, "BATCH_JOB_API_KEY_HASH: expected the SHA-256 of the key");
	const char *const scoped[] = {"ML_API_KEY_HASH=" HASH_A, "ML_API_KEY_SCOPES=predict:a, models.read",
				      "X_API_KEY_HASH=", NULL};
	CHECK_OK(read_environment(scoped, &arena, &info, &keys));
	REQUIRE(keys.count == 1);
	CHECK_SLICE(keys.keys[0].who.name, "ml");
	CHECK_SLICE(keys.keys[0].who.id, "env:ml");
	CHECK(ms_grants_allow(keys.keys[0].who.grants, "predict", MS_SLICE_LIT("a")));
	CHECK(!ms_grants_allow(keys.keys[0].who.grants, "predict", MS_SLICE_LIT("b")));
	CHECK(ms_grants_allow(keys.keys[0].who.grants, "models.read", MS_SLICE_LIT("b")));
	const char *const plain[] = {"ML_API_KEY_HASH=" HASH_A, NULL};
	CHECK_OK(read_environment(plain, &arena, &info, &keys));
	CHECK(ms_grants_allow(keys.keys[0].who.grants, "predict", MS_SLICE_LIT("b")));
	CHECK(!ms_grants_allow(keys.keys[0].who.grants, "models.read", MS_SLICE_EMPTY));
	const char *const wrong[] = {"ML_API_KEY_HASH=" HASH_A, "ML_API_KEY_SCOPES=predct", NULL};
	CHECK_INT(read_environment(wrong, &arena, &info, &keys), MS_ERR_CONFIG);
	CHECK_HAS(info.message, "ML_API_KEY_SCOPES: the grant 'predct' names no permission; did you mean 'predict'?");
	const char *const twice[] = {"ML_API_KEY_HASH=" HASH_A, "B_API_KEY_HASH=" HASH_A, NULL};
	CHECK_INT(read_environment(twice, &arena, &info, &keys), MS_ERR_CONFIG);
	CHECK_HAS(info.message, "B_API_KEY_HASH: is the hash of another caller's key too");
	const char *const nameless[] = {"_API_KEY_HASH=" HASH_A, "API_KEY_HASH=" HASH_A, NULL};
	CHECK_OK(read_environment(nameless, &arena, &info, &keys));
	CHECK_INT(keys.count, 0);
	ms_arena_fini(&arena);
}
