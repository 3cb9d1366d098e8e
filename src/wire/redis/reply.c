// SPDX-License-Identifier: Apache-2.0
// Replies as hiredis' reader finds them, in an arena: bounded, and given back at once. NULL makes the reader fail.
#include "wire/redis/internal.h"

#define ITEMS_MAX (1 << 20) // of one array

static struct redis_reply *place(const redisReadTask *task)
{
	if (task->parent == NULL)
		return MS_ARENA_NEW(task->privdata, struct redis_reply);
	const struct redis_reply *array = task->parent->obj;
	MS_ASSERT(array->kind == REDIS_ARRAY && task->idx >= 0 && (size_t)task->idx < array->count);
	return (struct redis_reply *)(uintptr_t)&array->items[task->idx]; // ours, made by create_array
}

static void *create_string(const redisReadTask *task, char *text, size_t n)
{
	struct redis_reply *reply = place(task);
	struct slice copy = ms_arena_copy(task->privdata, ms_slice(text, n));
	if (reply == NULL || copy.p == NULL)
		return NULL;
	reply->kind = task->type == REDIS_REPLY_ERROR    ? REDIS_ERROR
		      : task->type == REDIS_REPLY_STATUS ? REDIS_STATUS
							 : REDIS_STRING;
	reply->text = copy;
	return reply;
}

static void *create_array(const redisReadTask *task, int count)
{
	struct redis_reply *reply = place(task);
	if (reply == NULL || count < 0 || count > ITEMS_MAX)
		return NULL;
	reply->kind = REDIS_ARRAY;
	reply->items = MS_ARENA_ARRAY(task->privdata, struct redis_reply, (size_t)count);
	reply->count = (size_t)count;
	return reply->items != NULL ? reply : NULL;
}

static void *create_integer(const redisReadTask *task, long long value)
{
	struct redis_reply *reply = place(task);
	if (reply == NULL)
		return NULL;
	reply->kind = REDIS_INTEGER;
	reply->integer = value;
	return reply;
}

static void *create_nil(const redisReadTask *task)
{
	struct redis_reply *reply = place(task);
	if (reply != NULL)
		reply->kind = REDIS_NIL;
	return reply;
}

static void free_object(void *reply)
{
	(void)reply; // the arena's
}

const redisReplyObjectFunctions ms_redis_reply_functions = {create_string, create_array, create_integer, create_nil,
							    free_object};
