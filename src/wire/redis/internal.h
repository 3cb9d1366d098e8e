// SPDX-License-Identifier: Apache-2.0
// What the files of wire/redis share. Nobody else includes this.
#ifndef MS_WIRE_REDIS_INTERNAL_H
#define MS_WIRE_REDIS_INTERNAL_H

#include <hiredis/hiredis.h>
#include <stdatomic.h>
#include <uv.h>

#include "wire/redis/redis.h"

#define REDIS_NAME_MAX 256 // of hosts, users
#define REDIS_PASSWORD_MAX 1024
#define REDIS_PATH_MAX 108 // of a socket, with its NUL
#define REDIS_READ_SIZE 65536
#define REDIS_SHA_SIZE 40
#define REDIS_REASON_SIZE 200
#define NS_PER_MS 1000000

struct redis_address {
	bool is_unix;
	char host[REDIS_NAME_MAX];
	char path[REDIS_PATH_MAX];
	char user[REDIS_NAME_MAX];
	char password[REDIS_PASSWORD_MAX];
	unsigned port, db;
};
// url.c
MS_MUST_USE enum ms_err ms_redis_parse_url(const char *url, struct errinfo *info, struct redis_address *ret_address);

// Why a server that answers does not do what it is asked to.
enum redis_trouble {
	TROUBLE_MEMORY,
	TROUBLE_READ_ONLY,
	TROUBLE_LOADING,
	TROUBLE_DISK,
	TROUBLE_FORBIDDEN,
	TROUBLE_BUSY,
	TROUBLE_CLUSTER,
	TROUBLE_OTHER,
	TROUBLES
};

struct redis {
	struct redis_address address;
	struct redis_options options;
	char place[REDIS_NAME_MAX + 16];
	atomic_uint ready;          // loops that are connected
	atomic_bool told_away;      // the log knows that the server is away
	atomic_bool told_ready;     // and once, that it is there
	_Atomic int64_t refused_ns; // when it last refused to work
	_Atomic int64_t told_ns[TROUBLES];
	unsigned loop_count;
	struct redis_loop *loops;
};

enum redis_state {
	REDIS_NEW,        // not started
	REDIS_CONNECTING, // commands wait for the connection
	REDIS_READY,
	REDIS_AWAY, // commands fail at once; attempts go on
	REDIS_STOPPED,
};

struct redis_loop {
	struct redis *redis;
	struct loop *loop;
	struct mail start_mail, stop_mail;
	enum redis_state state;
	struct redis_link *link;   // the connection, or the attempt to make one; NULL: none now
	struct list commands;      // under way, in the order of their replies
	struct buf out;            // commands that are not sent
	uv_prepare_t flush;        // at the end of a turn
	struct timer *timer;       // the next of all that is due
	int64_t armed_ns;          // when it comes; INT64_MAX: never
	int64_t retry_ns;          // the next attempt; 0: none is due
	int64_t ready_ns, seen_ns; // when the connection became ready; when a reply came last
	int64_t read_only_ns;      // when a connection was given up because the server only reads
	unsigned attempts;         // in vain, in a row
	struct redis_command ping;
	bool pinging;
	bool late; // something is overdue, and what has arrived is read first
	bool sha_known[MS_REDIS_SCRIPTS_MAX];
	char sha[MS_REDIS_SCRIPTS_MAX][REDIS_SHA_SIZE];
};

// One connection, from the look-up of the name on. It outlives its loop's interest in it until libuv has let go.
struct redis_link {
	struct redis_loop *rl; // NULL: given up
	unsigned holds;        // of libuv
	union {
		uv_handle_t handle;
		uv_stream_t stream;
		uv_tcp_t tcp;
		uv_pipe_t pipe;
	} uv;
	uv_getaddrinfo_t lookup;
	uv_connect_t connect;
	uv_write_t write;
	bool looking_up, writing;
	struct buf sending; // what libuv writes
	int64_t until_ns;   // of connecting and greeting; 0: ready
	size_t greetings;   // replies of the greeting that have come
	size_t greeting_count, first_script;
	redisReader *reader;
	struct arena replies;
	char input[REDIS_READ_SIZE];
};

// link.c
MS_MUST_USE enum ms_err ms_redis_link_open(struct redis_loop *rl); // MS_ERR_NO_MEMORY; everything else comes later
void ms_redis_link_close(struct redis_link *link);
void ms_redis_link_flush(struct redis_link *link); // sends what is in rl->out

// reply.c
extern const redisReplyObjectFunctions ms_redis_reply_functions; // privdata: the arena of the link

// client.c
void ms_redis_loop_ready(struct redis_loop *rl);
void ms_redis_loop_reply(struct redis_loop *rl, const struct redis_reply *reply);
// The connection is of no use any more: everything under way fails, and another is made. `hangs`: the server takes no part any more.
void ms_redis_loop_lost(struct redis_loop *rl, bool hangs, const char *fmt, ...) MS_PRINTF(3, 4);
void ms_redis_append_command(struct buf *out, const struct slice *parts, size_t count);

#endif
