// SPDX-License-Identifier: Apache-2.0
// What the tests of the server share: a real server on loopback with test routes, run by a thread of its own,
// and clients that speak bytes. Waits are for events, bounded by a time after which the test has failed.
#ifndef MS_NET_SERVER_TEST_KIT_H
#define MS_NET_SERVER_TEST_KIT_H

#include <pthread.h>
#include <stdatomic.h>

#include "net/net.h"
#include "tests/lib/test.h"

#define PATIENCE_MS 20000 // nothing in these tests takes that long

struct kit_options {
	unsigned loops; // 0 = 1
	const struct http_limits *limits;
	const char *address; // NULL: "127.0.0.1:0"
	const struct http_tls_options *tls;
	int access_log; // of http_server_options
	bool quiet;     // no log
	const char *server_header;
	const struct http_guard
		*guard; // of the permission "use", whose object is /items/{id} or what /object?name= says
	const struct http_front *front;
	const struct route *routes; // further ones, with the role below
	size_t route_count;
	void *role;
};

struct kit {
	struct rt *rt;
	struct http_server *server;
	struct metrics *metrics;
	struct log *log;
	int log_fd; // a file with what was logged
	struct route_set sets[2];
	struct http_listen listen;
	struct http_server_options options;
	pthread_t thread;
	unsigned port;
	// Requests to /later wait here until a test answers them.
	atomic_uint waiting;
	atomic_uint handled;       // calls of any handler
	struct exchange *held[64]; // of loop 0
	unsigned held_count;
	atomic_uint streams_gone;
	atomic_ullong streamed; // bytes that /stream wrote
};

void kit_start(struct kit *kit, const struct kit_options *options); // NULL: all defaults
// The same in steps; between these two, ms_http_server_start().
void kit_make(struct kit *kit, const struct kit_options *options);
void kit_run(struct kit *kit);
void kit_stop(struct kit *kit);
// Calls fn on loop 0 and waits until it has returned.
void kit_on_loop(struct kit *kit, void (*fn)(struct kit *kit, void *arg), void *arg);
// Answers everything that waits at /later; with a body of `n` bytes.
void kit_answer(struct kit *kit, size_t n);
// Ends the loops from a drain's callback.
void kit_drain(struct kit *kit, unsigned grace_ms, atomic_uint *done);
// Waits until the condition holds; false after PATIENCE_MS.
#define KIT_WAIT(condition)                                                      \
	({                                                                       \
		int64_t kit_end_ = ms_clock_mono_ns() + PATIENCE_MS * 1000000LL; \
		while (!(condition) && ms_clock_mono_ns() < kit_end_)            \
			kit_yield();                                             \
		(condition);                                                     \
	})
void kit_yield(void);
// The value of a series in the metrics page, such as "active_connections", or -1.
double kit_metric(struct kit *kit, const char *series);
// What was logged so far; freed after the test by kit_stop.
bool kit_logged(struct kit *kit, const char *part);

// --- Client ------------------------------------------------------------------------------------------

struct client {
	int fd;
	struct buf in; // received and not yet consumed
	bool eof;
	bool reset;
};

void client_connect(struct client *c, unsigned port);
void client_connect_unix(struct client *c, const char *path);
void client_close(struct client *c);
void client_reset(struct client *c);  // closes with RST
void client_finish(struct client *c); // shuts the write side
bool client_send(struct client *c, const void *p, size_t n);
bool client_send_text(struct client *c, const char *text);
// Reads something; false at the end of the stream, a reset, or after PATIENCE_MS.
bool client_read(struct client *c);
// Reads until the server has closed. True when it ended in order (no reset).
bool client_read_to_end(struct client *c);
void client_consume(struct client *c, size_t n);

struct answer {
	int status;
	struct slice head; // with status line
	struct slice body; // de-chunked
	size_t bytes;      // of all
};
// Reads one answer (to a request that was not HEAD). The slices point into c->in: the test consumes
// answer.bytes when it is done with them.
bool client_answer(struct client *c, struct answer *ret_answer);
// Reads a head without body (HEAD, 204, 100).
bool client_head(struct client *c, struct answer *ret_answer);
struct slice answer_header(const struct answer *a, const char *name);
// Sends and reads the answer; 0 when there was none.
int client_ask(struct client *c, const char *request, struct answer *ret_answer);
// One request on a connection of its own; the status, or 0.
int kit_ask(struct kit *kit, const char *request, char *body, size_t body_size);

#define GET(path) "GET " path " HTTP/1.1\r\nHost: test\r\n\r\n"

#endif
