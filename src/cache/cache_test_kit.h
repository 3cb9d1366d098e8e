// SPDX-License-Identifier: Apache-2.0
// What the tests of cache share: a cache on one or more loops, operations that are waited for, and a Redis server of one's own.
#ifndef MS_CACHE_TEST_KIT_H
#define MS_CACHE_TEST_KIT_H

#include <sys/types.h>

#include "cache/private.h"
#include "tests/lib/test.h"

// A redis-server in a folder of its own, as an unprivileged user; it ends with the test program at the latest.
struct redis_server {
	pid_t pid; // 0: does not run
	unsigned port;
	char dir[64];
	char args[24][32]; // further ones of the command line
	size_t arg_count;
};
// With its arguments; waits until it answers, unless it is told to load for long.
void ms_redis_test_start(struct redis_server *server);
void ms_redis_test_kill(struct redis_server *server, int signum); // SIGKILL and SIGTERM are waited for
void ms_redis_test_end(struct redis_server *server);              // and its folder goes
// An inline command on a connection of its own; the raw reply, until the next call.
const char *ms_redis_test_say(const struct redis_server *server, const char *command);

struct fixture {
	bool redis;
	struct redis_server *server;
	char url[1200];
	struct rt *rt;
	struct loop *loop; // the first
	struct cache *cache;
};
// The server is started when `redis` and it does not run; the database is emptied. Members of the options are optional.
void ms_cache_test_begin(struct fixture *f, bool redis, unsigned loops, const struct cache_options *options);
void ms_cache_test_end(struct fixture *f);
// Runs the first loop until the operation is done, 10 s at most.
void ms_cache_test_do(struct fixture *f, struct cache_op *op);
void ms_cache_test_start(struct fixture *f, struct cache_op *op); // not waited for: op->arg is not NULL when it is done
void ms_cache_test_wait(struct fixture *f, const struct cache_op *op);
void ms_cache_test_turn(struct fixture *f, unsigned ms); // runs the loop for some time
// Tests of the Redis driver alone use this one; it is stopped at the end of the program.
struct redis_server *ms_cache_test_server(void);

struct cache_op ms_cache_test_get(struct fixture *f, const char *key);
void ms_cache_test_set(struct fixture *f, const char *key, const char *value, uint64_t ttl_ms);
struct cache_op ms_cache_test_take(struct fixture *f, const char *key, const struct cache_quota *quotas, size_t count,
				   uint64_t cost);

#define CACHE_TEST(test_name)                             \
	static void suite_##test_name(struct fixture *f); \
	TEST(test_name##_memory)                          \
	{                                                 \
		struct fixture f;                         \
		ms_cache_test_begin(&f, false, 1, NULL);  \
		suite_##test_name(&f);                    \
		ms_cache_test_end(&f);                    \
	}                                                 \
	TEST(test_name##_redis)                           \
	{                                                 \
		struct fixture f;                         \
		ms_cache_test_begin(&f, true, 1, NULL);   \
		suite_##test_name(&f);                    \
		ms_cache_test_end(&f);                    \
	}                                                 \
	static void suite_##test_name(struct fixture *f)

#endif
