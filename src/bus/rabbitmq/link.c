// SPDX-License-Identifier: Apache-2.0
// One connection to the broker: opening, waiting for frames and wake-ups, errors in words, back-off.
#include <amqp_ssl_socket.h>
#include <amqp_tcp_socket.h>
#include <errno.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <unistd.h>

#include "bus/rabbitmq/internal.h"

#define CONNECT_SECONDS 5
#define ANSWER_SECONDS 10 // to a request; the whole handshake too
#define HEARTBEAT_SECONDS 15
#define FRAME_BYTES 131072
#define BACK_OFF_FIRST_MS 200
#define BACK_OFF_LAST_MS 30000

// --- Errors ------------------------------------------------------------------------------------------

// The server's words, made printable.
static void note(struct link *link, const char *what, struct slice why)
{
	int n = snprintf(link->error, sizeof(link->error), "%s: %.*s", what, (int)MS_MIN(why.n, (size_t)200),
			 why.n > 0 ? why.p : "");
	for (int i = 0; i < n && link->error[i] != '\0'; i++) {
		if (link->error[i] < ' ' || link->error[i] > '~')
			link->error[i] = '?';
	}
}

bool ms_link_fail(struct link *link, const char *what, int status)
{
	note(link, what, ms_slice_cstr(amqp_error_string2(status)));
	return false;
}

static bool note_close(struct link *link, const char *what, amqp_method_t method)
{
	amqp_bytes_t text = {0};
	if (method.id == AMQP_CONNECTION_CLOSE_METHOD)
		text = ((amqp_connection_close_t *)method.decoded)->reply_text;
	else if (method.id == AMQP_CHANNEL_CLOSE_METHOD)
		text = ((amqp_channel_close_t *)method.decoded)->reply_text;
	else if (method.id == AMQP_BASIC_CANCEL_METHOD)
		text = amqp_cstring_bytes("the queue was deleted");
	else
		return false;
	note(link, what, ms_slice(text.bytes, text.len));
	return true;
}

static bool reply_ok(struct link *link, const char *what, amqp_rpc_reply_t reply)
{
	switch (reply.reply_type) {
	case AMQP_RESPONSE_NORMAL:
		return true;
	case AMQP_RESPONSE_LIBRARY_EXCEPTION:
		return ms_link_fail(link, what, reply.library_error);
	case AMQP_RESPONSE_SERVER_EXCEPTION:
		if (!note_close(link, what, reply.reply))
			note(link, what, MS_SLICE_LIT("the server refused"));
		return false;
	case AMQP_RESPONSE_NONE:
		break;
	}
	note(link, what, MS_SLICE_LIT("no answer"));
	return false;
}

bool ms_link_ok(struct link *link, const char *what)
{
	return reply_ok(link, what, amqp_get_rpc_reply(link->state));
}

bool ms_link_is_end(struct link *link, const amqp_frame_t *frame)
{
	return frame->frame_type == AMQP_FRAME_METHOD &&
	       note_close(link, "closed by the server", frame->payload.method);
}

void ms_link_log(struct link *link, bool up)
{
	const struct rabbitmq *r = link->rabbit;
	if (up)
		ms_log(r->bus->log, LOG_INFO, "connected to the broker", MS_LOG_CSTR("mainstay.link", link->purpose),
		       MS_LOG_CSTR("server.address", r->server.host), MS_LOG_INT("server.port", r->server.port));
	else if (link->failures == 0 && !atomic_load(&r->stopping))
		ms_log(r->bus->log, LOG_WARN, "the broker is away; events wait",
		       MS_LOG_CSTR("mainstay.link", link->purpose), MS_LOG_CSTR("server.address", r->server.host),
		       MS_LOG_INT("server.port", r->server.port), MS_LOG_CSTR("error.message", link->error));
}

// --- Opening -----------------------------------------------------------------------------------------

static amqp_socket_t *tls_socket(struct link *link)
{
	const struct rabbitmq *r = link->rabbit;
	amqp_socket_t *sock = amqp_ssl_socket_new(link->state);
	if (sock == NULL)
		return NULL;
	amqp_ssl_socket_set_verify_peer(sock, 1);
	amqp_ssl_socket_set_verify_hostname(sock, 1);
	bool ok = amqp_ssl_socket_set_ssl_versions(sock, AMQP_TLSv1_2, AMQP_TLSvLATEST) == AMQP_STATUS_OK;
	if (r->tls_ca != NULL)
		ok = ok && amqp_ssl_socket_set_cacert(sock, r->tls_ca) == AMQP_STATUS_OK;
	else
		ok = ok && SSL_CTX_set_default_verify_paths(amqp_ssl_socket_get_context(sock)) == 1;
	return ok ? sock : NULL; // it goes with the connection
}

static bool log_in(struct link *link)
{
	const struct amqp_connection_info *server = &link->rabbit->server;
	char name[BUS_HOLDER_MAX + 32];
	snprintf(name, sizeof(name), "mainstay %s %s", link->purpose, link->rabbit->bus->holder);
	amqp_table_entry_t entry = {.key = amqp_cstring_bytes("connection_name"),
				    .value = {.kind = AMQP_FIELD_KIND_UTF8, .value.bytes = amqp_cstring_bytes(name)}};
	const amqp_table_t properties = {.num_entries = 1, .entries = &entry};
	if (!reply_ok(link, "login",
		      amqp_login_with_properties(link->state, server->vhost, 0, FRAME_BYTES, HEARTBEAT_SECONDS,
						 &properties, AMQP_SASL_METHOD_PLAIN, server->user, server->password)))
		return false;
	amqp_channel_open(link->state, 1);
	return ms_link_ok(link, "opening a channel");
}

static bool open_parts(struct link *link)
{
	const struct amqp_connection_info *server = &link->rabbit->server;
	struct timeval connect = {.tv_sec = CONNECT_SECONDS};
	const struct timeval answer = {.tv_sec = ANSWER_SECONDS};
	link->state = amqp_new_connection();
	if (link->state == NULL)
		return ms_link_fail(link, "connecting", AMQP_STATUS_NO_MEMORY);
	if (amqp_set_handshake_timeout(link->state, &answer) != AMQP_STATUS_OK ||
	    amqp_set_rpc_timeout(link->state, &answer) != AMQP_STATUS_OK)
		return ms_link_fail(link, "connecting", AMQP_STATUS_NO_MEMORY);
	amqp_socket_t *sock = server->ssl ? tls_socket(link) : amqp_tcp_socket_new(link->state);
	if (sock == NULL)
		return ms_link_fail(link, server->ssl ? "TLS set-up" : "connecting", AMQP_STATUS_SSL_ERROR);
	int status = amqp_socket_open_noblock(sock, server->host, server->port, &connect);
	return status == AMQP_STATUS_OK ? log_in(link) : ms_link_fail(link, "connecting", status);
}

bool ms_link_open(struct link *link)
{
	if (open_parts(link))
		return true;
	ms_link_close(link);
	return false;
}

void ms_link_close(struct link *link)
{
	// Not amqp_connection_close(): that waits for a server which may be gone. Unanswered deliveries come again either way.
	if (link->state != NULL)
		amqp_destroy_connection(link->state);
	link->state = NULL;
}

// --- Waiting -----------------------------------------------------------------------------------------

void ms_link_wake(struct link *link)
{
	const uint64_t one = 1;
	while (write(link->wake, &one, sizeof(one)) < 0 && errno == EINTR)
		continue;
}

// True when woken.
static bool poll_both(struct link *link, int fd, int timeout_ms)
{
	struct pollfd fds[] = {{.fd = link->wake, .events = POLLIN}, {.fd = fd, .events = POLLIN}};
	uint64_t count;
	if (poll(fds, fd >= 0 ? 2 : 1, timeout_ms) <= 0 || fds[0].revents == 0)
		return false;
	return read(link->wake, &count, sizeof(count)) > 0;
}

enum link_event ms_link_wait(struct link *link, int timeout_ms, amqp_frame_t *ret_frame)
{
	struct timeval none = {0};
	amqp_maybe_release_buffers(link->state);
	if (!amqp_frames_enqueued(link->state) && !amqp_data_in_buffer(link->state))
		poll_both(link, amqp_get_sockfd(link->state), MS_MIN(timeout_ms, HEARTBEAT_SECONDS * 1000 / 3));
	// Sends our heartbeat when it is time, and notices when the server's stay away.
	int status = amqp_simple_wait_frame_noblock(link->state, ret_frame, &none);
	if (status == AMQP_STATUS_OK)
		return LINK_FRAME;
	if (status == AMQP_STATUS_TIMEOUT)
		return LINK_QUIET;
	ms_link_fail(link, "waiting", status);
	return LINK_BROKEN;
}

void ms_link_back_off(struct link *link, link_woken_fn *woken)
{
	uint64_t ms = MS_MIN((uint64_t)BACK_OFF_FIRST_MS << MS_MIN(link->failures, 10U), (uint64_t)BACK_OFF_LAST_MS);
	int64_t end_ns = ms_clock_mono_ns() + (int64_t)(ms / 2 + ms_rand_below(&link->jitter, ms)) * 1000000;
	link->failures++;
	int64_t left_ns = end_ns - ms_clock_mono_ns();
	while (left_ns > 0 && !atomic_load(&link->rabbit->stopping)) {
		if (poll_both(link, -1, (int)(left_ns / 1000000) + 1))
			woken(link->rabbit);
		left_ns = end_ns - ms_clock_mono_ns();
	}
}
