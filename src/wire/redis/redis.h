// SPDX-License-Identifier: Apache-2.0
// A Redis server (7 and later) for the loops of this process: one connection a loop, kept and made again by itself, commands pipelined. Part of
// the public header wire/wire.h.
//
// Nothing here blocks. What a loop sends in one turn goes out together at its end. A command is sent once: when the connection is lost on the way,
// it fails, and whether the server has done it is unknown.
#ifndef MS_WIRE_REDIS_REDIS_H
#define MS_WIRE_REDIS_REDIS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/base.h"
#include "observe/observe.h"
#include "rt/rt.h"

#define MS_REDIS_SCRIPTS_MAX 8

struct redis;
struct redis_options {
	// redis://[[user]:password@]host[:port][/database] or unix://[[user]:password@]/path[?db=database]; user, password and path with %XX where
	// needed. rediss:// is refused: the library of this build has no TLS.
	const char *url;
	const char *name;           // what the server calls our connections; "mainstay" when NULL
	const char *const *scripts; // Lua; the server is given them with each connection. Static text
	size_t script_count;
	unsigned timeout_ms;  // of a command, and of making a connection; 0: 1000
	unsigned max_waiting; // commands under way, of a loop; 0: 10000
	size_t max_sending;   // bytes of them that are not sent, of a loop; 0: 64 MiB
	size_t max_reply;     // bytes of a reply in memory; 0: 32 MiB
	struct rt *rt;
	struct log *log;
};

// The address is one: MS_ERR_CONFIG says what is wrong, without a password.
MS_MUST_USE enum ms_err ms_redis_check_url(const char *url, struct errinfo *info);
// Does nothing yet. MS_ERR_CONFIG, MS_ERR_NO_MEMORY.
MS_MUST_USE enum ms_err ms_redis_new(const struct redis_options *options, struct errinfo *info,
				     struct redis **ret_redis);
void ms_redis_start(
	struct redis *redis); // all loops connect as soon as they run; without it a loop does so with its first command
// On loop 0 while the loops run, or after they have ended and before ms_rt_free(). What is under way ends with MS_ERR_CANCELLED, on its loop.
void ms_redis_stop(struct redis *redis);
void ms_redis_free(struct redis *redis); // after ms_rt_free(); accepts NULL
// Any thread: all loops are connected, and the server did not refuse to work (memory, read only, loading …) in the last five seconds.
bool ms_redis_healthy(const struct redis *redis);
const char *ms_redis_place(const struct redis *redis); // "host:port" or the path of the socket, for people

enum redis_kind { REDIS_NIL, REDIS_STRING, REDIS_STATUS, REDIS_ERROR, REDIS_INTEGER, REDIS_ARRAY };
struct redis_reply {
	enum redis_kind kind;
	int64_t integer;
	struct slice text;               // STRING, STATUS, ERROR
	const struct redis_reply *items; // ARRAY
	size_t count;
};

struct redis_command;
// Once, on the loop, never inside the call that sends. MS_OK: the reply, which may be an error; it is gone afterwards. Else NULL and MS_ERR_WIRE (no
// connection, none in time) or MS_ERR_CANCELLED. The command may be used again.
typedef void redis_done_fn(struct redis_command *command, enum ms_err err, const struct redis_reply *reply);
// Inside the caller's object, which stays until `done`.
struct redis_command {
	redis_done_fn *done;
	void *arg;
	// The client's own.
	struct {
		struct list_node node;
		int64_t until_ns;
		struct slice tail;
		size_t tail_parts;
		size_t script;
		bool is_script, again;
	} own;
};

// The parts are copied. MS_ERR_WIRE: the server is known to be away; MS_ERR_BUSY: too much is under way; MS_ERR_CANCELLED after the stop;
// MS_ERR_NO_MEMORY: `done` will not be called.
MS_MUST_USE enum ms_err ms_redis_send(struct redis *redis, struct loop *loop, struct redis_command *command,
				      const struct slice *parts, size_t count);
// Runs a script (an index of the options) by its digest, and gives the server its text where it does not know it. `tail`, made by ms_redis_append_part,
// holds the number of keys, the keys and the arguments, `parts` in all; it stays the caller's and unchanged until `done`.
MS_MUST_USE enum ms_err ms_redis_eval(struct redis *redis, struct loop *loop, struct redis_command *command,
				      size_t script, struct slice tail, size_t parts);
void ms_redis_append_part(struct buf *tail, struct slice part);
void ms_redis_append_number(struct buf *tail, uint64_t number);

#endif
