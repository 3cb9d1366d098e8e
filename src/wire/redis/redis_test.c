// SPDX-License-Identifier: Apache-2.0
// Addresses, and replies as bytes. What a server does is tested with src/cache, against a real one.
#include <stdio.h>

#include "tests/lib/test.h"
#include "wire/redis/internal.h"

TEST(redis_urls_are_read)
{
	static const struct {
		const char *url, *host, *path, *user, *password;
		unsigned port, db;
	} cases[] = {
		{"redis://localhost", "localhost", "", "", "", 6379, 0},
		{"redis://localhost/", "localhost", "", "", "", 6379, 0},
		{"redis://cache.example:7000/3", "cache.example", "", "", "", 7000, 3},
		{"redis://[::1]:7000/3", "::1", "", "", "", 7000, 3},
		{"redis://[fe80::1]", "fe80::1", "", "", "", 6379, 0},
		{"redis://:secret@h", "h", "", "", "secret", 6379, 0},
		{"redis://me:s%40c%3ar%2Fe%25t@h:1/0", "h", "", "me", "s@c:r/e%t", 1, 0},
		{"redis://me:a@b@h", "h", "", "me", "a@b", 6379, 0},
		{"redis://me:a:b@h", "h", "", "me", "a:b", 6379, 0},
		{"unix:///run/redis.sock", "", "/run/redis.sock", "", "", 6379, 0},
		{"unix:///run/a%20b@c.sock?db=7", "", "/run/a b@c.sock", "", "", 6379, 7},
		{"unix://me:pw@/run/redis.sock", "", "/run/redis.sock", "me", "pw", 6379, 0},
	};
	for (size_t i = 0; i < MS_ARRAY_LEN(cases); i++) {
		struct redis_address a;
		struct errinfo info = {.message = ""};
		CHECK_OK(ms_redis_parse_url(cases[i].url, &info, &a));
		CHECK_STR(info.message, "");
		CHECK_STR(a.host, cases[i].host);
		CHECK_STR(a.path, cases[i].path);
		CHECK_STR(a.user, cases[i].user);
		CHECK_STR(a.password, cases[i].password);
		CHECK_INT(a.is_unix, cases[i].path[0] != '\0');
		CHECK(a.port == cases[i].port && a.db == cases[i].db);
	}
}

TEST(redis_urls_that_are_none_are_told_without_their_secrets)
{
	static const struct {
		const char *url, *says;
	} cases[] = {
		{"", "must begin with redis://"},
		{"localhost:6379", "must begin with redis://"},
		{"http://:hush@h", "must begin with redis://"},
		{"rediss://:hush@h", "no TLS"},
		{"redis://", "names no host"},
		{"redis:///0", "names no host"},
		{"redis://:hush@", "names no host"},
		{"redis://hush@h", "user:password"},
		{"redis://me:@h", "empty"},
		{"redis://me:hush%4@h", "password is too long or not escaped"},
		{"redis://me:hush%00x@h", "password is too long or not escaped"},
		{"redis://m%zz:hush@h", "user is too long or not escaped"},
		{"redis://:hush@h:port", "port must be"},
		{"redis://:hush@h:0", "port must be"},
		{"redis://:hush@h:65536", "port must be"},
		{"redis://:hush@h:", "port must be"},
		{"redis://:hush@h/zero", "database must be"},
		{"redis://:hush@h/-1", "database must be"},
		{"redis://:hush@h?db=1", "no options"},
		{"redis://:hush@h/1#x", "no options"},
		{"redis://:hush@::1", "in brackets"},
		{"redis://:hush@[::1", "ends with ']'"},
		{"redis://:hush@[::1]x", "port must be"},
		{"redis://:hush@a b", "not a name"},
		{"redis://:hush@h\n", "not a name"},
		{"unix://run/x", "whole path"},
		{"unix:///x?y=hush", "only ?db="},
		{"unix:///x?db=hush", "database must be"},
	};
	for (size_t i = 0; i < MS_ARRAY_LEN(cases); i++) {
		struct errinfo info = {.message = ""};
		if (!CHECK_INT(ms_redis_check_url(cases[i].url, &info), MS_ERR_CONFIG))
			printf("# %s\n", cases[i].url);
		CHECK_HAS(info.message, cases[i].says);
		CHECK(strstr(info.message, "hush") == NULL);
	}
	char url[4000];
	snprintf(url, sizeof(url), "redis://:%03000d@h", 0);
	CHECK_INT(ms_redis_check_url(url, NULL), MS_ERR_CONFIG);
	snprintf(url, sizeof(url), "unix:///%0107d", 0);
	CHECK_INT(ms_redis_check_url(url, NULL), MS_ERR_CONFIG);
	snprintf(url, sizeof(url), "redis://%0256d", 0);
	CHECK_INT(ms_redis_check_url(url, NULL), MS_ERR_CONFIG);
}

TEST(redis_urls_cut_anywhere_do_no_harm)
{
	static const char whole[] = "redis://me:s%40c%3ar%2Fe%25t@[::1]:6379/0?x#unix:///a?db=1";
	char url[sizeof(whole)];
	struct redis_address a;
	for (size_t round = 0; round < ms_test_rounds(20000); round++) {
		struct rand *rand = ms_test_rand();
		memcpy(url, whole, sizeof(whole));
		url[ms_rand_below(rand, sizeof(whole))] = '\0';
		for (unsigned i = 0; i < 3; i++) {
			size_t at = 8 + ms_rand_below(rand, sizeof(whole) - 8);
			if (at < strlen(url))
				url[at] = whole[ms_rand_below(rand, sizeof(whole) - 1)];
		}
		if (ms_redis_parse_url(url, NULL, &a) == MS_OK)
			CHECK(a.is_unix ? a.path[0] == '/' : a.host[0] != '\0' && a.port > 0);
	}
}

// --- Replies -----------------------------------------------------------------------------------------

#define REPLY_MAX 20000

static size_t count_items(const struct redis_reply *reply, unsigned depth)
{
	size_t count = 1;
	CHECK(depth < 10);
	if (reply->kind == REDIS_STRING || reply->kind == REDIS_STATUS || reply->kind == REDIS_ERROR)
		for (size_t i = 0; i < reply->text.n; i++)
			count += reply->text.p[i] == 'x'; // every byte may be read
	for (size_t i = 0; reply->kind == REDIS_ARRAY && i < reply->count; i++)
		count += count_items(&reply->items[i], depth + 1);
	return count;
}

// Fed in pieces; returns how many whole replies were found before the end or an error.
static size_t read_replies(struct slice bytes, struct rand *rand, bool *ret_failed)
{
	struct arena arena;
	size_t found = 0, at = 0;
	redisReader *reader =
		redisReaderCreateWithFunctions((redisReplyObjectFunctions *)(uintptr_t)&ms_redis_reply_functions);
	REQUIRE(reader != NULL);
	ms_arena_init(&arena, 256, REPLY_MAX);
	reader->privdata = &arena;
	*ret_failed = false;
	while (at < bytes.n && !*ret_failed) {
		size_t piece = 1 + ms_rand_below(rand, 40), n = MS_MIN(piece, bytes.n - at);
		void *object = NULL;
		*ret_failed = redisReaderFeed(reader, bytes.p + at, n) != REDIS_OK;
		at += n;
		while (!*ret_failed) {
			*ret_failed = redisReaderGetReply(reader, &object) != REDIS_OK;
			if (*ret_failed || object == NULL)
				break;
			CHECK(count_items(object, 0) > 0);
			found++;
			ms_arena_reset(&arena);
		}
	}
	redisReaderFree(reader);
	ms_arena_fini(&arena);
	return found;
}

static const char REPLIES[] =
	"+OK\r\n:-5\r\n$5\r\nhello\r\n$-1\r\n*3\r\n:1\r\n$2\r\nab\r\n*2\r\n+a\r\n-ERR no\r\n*0\r\n*-1\r\n-OOM x\r\n";

TEST(redis_replies_are_read_in_any_pieces)
{
	bool failed;
	for (size_t round = 0; round < 200; round++) {
		CHECK_INT(read_replies(ms_slice_cstr(REPLIES), ms_test_rand(), &failed), 8);
		CHECK(!failed);
	}
	CHECK_INT(read_replies(MS_SLICE_LIT("*1048577\r\n"), ms_test_rand(), &failed), 0);
	CHECK(failed);
	CHECK_INT(read_replies(MS_SLICE_LIT("*1000\r\n"), ms_test_rand(), &failed), 0); // beyond the arena
	CHECK(failed);
}

TEST(redis_replies_that_are_none_do_no_harm)
{
	static const char alphabet[] = "+-:$*\r\n0123456789ax";
	char bytes[sizeof(REPLIES)];
	size_t failures = 0, rounds = ms_test_rounds(50000);
	struct rand *rand = ms_test_rand();
	for (size_t round = 0; round < rounds; round++) {
		bool failed;
		memcpy(bytes, REPLIES, sizeof(bytes));
		for (size_t i = 1 + ms_rand_below(rand, 6); i > 0; i--)
			bytes[ms_rand_below(rand, sizeof(bytes) - 1)] =
				alphabet[ms_rand_below(rand, sizeof(alphabet) - 1)];
		(void)read_replies(ms_slice(bytes, 1 + ms_rand_below(rand, sizeof(bytes) - 1)), rand, &failed);
		failures += failed;
	}
	CHECK(failures > rounds / 10 && failures < rounds);
}
