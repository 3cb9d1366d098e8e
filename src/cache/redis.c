// SPDX-License-Identifier: Apache-2.0
#include "cache/private.h"

enum ms_err ms_cache_redis_new(struct cache *cache, const struct cache_options *options, struct errinfo *info,
			       struct cache_redis **ret_redis)
{
	(void)cache, (void)options, (void)ret_redis;
	return ms_fail(info, MS_ERR_UNSUPPORTED, "Redis is not supported yet");
}
void ms_cache_redis_stop(struct cache_redis *redis)
{
	(void)redis;
}
void ms_cache_redis_free(struct cache_redis *redis)
{
	(void)redis;
}
bool ms_cache_redis_run(struct cache_redis *redis, struct loop *loop, struct cache_op *op, const struct meter *meters)
{
	(void)redis, (void)loop, (void)op, (void)meters;
	return true;
}
bool ms_cache_redis_healthy(const struct cache_redis *redis)
{
	(void)redis;
	return false;
}
