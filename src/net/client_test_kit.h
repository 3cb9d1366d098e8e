// SPDX-License-Identifier: Apache-2.0
// What the tests of the upstream client share: a client on loops of its own, records of what its handlers were told, and peers that send
// exact bytes by a script.
#ifndef MS_NET_CLIENT_TEST_KIT_H
#define MS_NET_CLIENT_TEST_KIT_H

#include <pthread.h>
#include <stdatomic.h>

#include "net/net.h"
#include "net/server_test_kit.h"

// --- Peers -------------------------------------------------------------------------------------------

enum step_kind {
	STEP_END,
	STEP_ACCEPT, // the next connection
	STEP_READ,   // until the bytes received on this connection end in `text`
	STEP_SEND,   // `text`
	STEP_PIECES, // `text` byte by byte
	STEP_BIG,    // `n` bytes of the pattern a to z
	STEP_PAUSE,  // `n` milliseconds
	STEP_CLOSE,  // the connection
	STEP_RESET,  // the same with RST
	STEP_FINISH, // shuts the write side
	STEP_DRAIN,  // reads until the client has closed
	STEP_WAIT,   // until the test says go on
};
struct step {
	enum step_kind kind;
	const char *text;
	size_t n; // for STEP_SEND 0: strlen
};

struct peer {
	const struct step *steps;
	int listen_fd;
	unsigned port;
	pthread_t thread;
	struct buf got;       // all that was received, of all connections
	atomic_uint accepted; // connections
	atomic_uint step;     // that is being done
	atomic_uint go;       // how often STEP_WAIT may pass
	atomic_bool failed;   // a step could not be done
	atomic_bool over;
};
void peer_start(struct peer *peer, const struct step *steps);
void peer_stop(struct peer *peer); // waits until the script is done

// --- Calls -------------------------------------------------------------------------------------------

struct record {
	struct http_call *call;
	struct caller_kit *kit;
	int statuses[8];
	unsigned heads;
	uint64_t content_length;
	struct buf headers; // "name: value\n" of the last head
	struct buf data;
	struct buf trailers;
	bool ended, failed_too;
	enum http_call_failure failure;
	bool sent;
	enum ms_err code;
	char message[MS_ERRINFO_MESSAGE_SIZE];
	char address[80];
	int64_t connect_ns;
	atomic_bool done;   // the last word was said
	atomic_uint pieces; // of data
	atomic_size_t bytes;
	atomic_uint drains;
	atomic_bool peer_ended;
	atomic_uint head_seen;
	// What to do at which point.
	unsigned pause_after; // pieces; 0: never
	bool cancel_in_head, cancel_in_data;
	bool again_at_end; // starts the same call again, into `next`
	struct record *next;
	const struct http_call_options *options;
};

struct caller_kit {
	struct rt *rt;
	struct http_client *client;
	struct metrics *metrics;
	pthread_t thread;
};
void caller_start(struct caller_kit *kit, const struct http_client_options *options); // NULL: defaults
void caller_stop(struct caller_kit *kit);
// Calls fn on loop 0 and waits until it has returned.
void caller_on_loop(struct caller_kit *kit, void (*fn)(void *arg), void *arg);
double caller_metric(struct caller_kit *kit, const char *series);

// An origin of 127.0.0.1 and that port.
struct http_origin *caller_origin(struct caller_kit *kit, unsigned port);
// GET / with short timeouts; change what is needed.
struct http_call_options caller_options(struct http_origin *origin);
// Starts the call on the loop; the options live until it is over.
void caller_begin(struct caller_kit *kit, struct record *r, const struct http_call_options *options);
void caller_write(struct record *r, const char *bytes, size_t n, bool end);
bool caller_wait(struct record *r); // until it is over; false after PATIENCE_MS
void caller_forget(struct record *r);
// All at once: begins, sends the body (NULL: none), waits.
void caller_call(struct caller_kit *kit, struct record *r, const struct http_call_options *options, const char *body);

#endif
