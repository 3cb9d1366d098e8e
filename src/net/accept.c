// SPDX-License-Identifier: Apache-2.0
// Accepting: each loop takes the connections of its own listening sockets. A Unix socket cannot be shared
// between loops, so loop 0 accepts for all and hands the connections over in turn.
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "net/server.h"

#define ACCEPTS_PER_TURN 64 // so that open connections get their turn too
#define PAUSE_MS 100        // before accepting again when the system is out of descriptors or memory

static void on_readable(uv_poll_t *poll, int status, int events);

static void listener_resume(struct timer *timer, void *arg)
{
	(void)timer;
	struct listener *l = arg;
	if (l->fd >= 0)
		uv_poll_start(&l->poll, UV_READABLE, on_readable);
}

enum ms_err ms_listener_init(struct listener *l, struct net_loop *nl, struct listen_point *point, int fd)
{
	l->nl = nl;
	l->point = point;
	l->fd = fd;
	return ms_timer_new(nl->loop, listener_resume, l, &l->pause);
}

void ms_listener_start(struct listener *l)
{
	if (l->fd < 0)
		return;
	int rc = uv_poll_init(l->nl->uv, &l->poll, l->fd);
	if (rc == 0) {
		l->has_poll = true;
		l->nl->open_handles++;
		rc = uv_poll_start(&l->poll, UV_READABLE, on_readable);
	}
	if (rc != 0)
		ms_server_warn(l->nl->server, "cannot accept connections", l->point->text, uv_strerror(rc));
}

static void close_socket(struct listener *l)
{
	if (l->fd < 0)
		return;
	if (ms_listen_is_unix(l->point))
		ms_listen_unlink(l->point);
	close(l->fd);
	l->fd = -1;
}

static void on_poll_closed(uv_handle_t *handle)
{
	struct listener *l = MS_CONTAINER_OF(handle, struct listener, poll);
	l->has_poll = false;
	l->nl->open_handles--;
	close_socket(l);
}

void ms_listener_close(struct listener *l)
{
	ms_timer_stop(l->pause);
	if (l->has_poll && !uv_is_closing((uv_handle_t *)&l->poll)) {
		uv_poll_stop(&l->poll);
		uv_close((uv_handle_t *)&l->poll, on_poll_closed);
	} else if (!l->has_poll) {
		close_socket(l); // was never started
	}
}

void ms_listener_fini(struct listener *l)
{
	ms_timer_free(l->pause);
	l->pause = NULL;
	close_socket(l);
	ms_tls_context_unref(l->tls);
	ms_tls_context_unref(atomic_exchange(&l->next_tls, NULL));
	l->tls = NULL;
}

// --- Handing over ------------------------------------------------------------------------------------

struct handover {
	struct mail mail;
	struct listener *to;
	int fd;
};

static void take_over(struct mail *mail)
{
	struct handover *h = MS_CONTAINER_OF(mail, struct handover, mail);
	ms_conn_open(h->to->nl, h->fd, h->to, NULL);
	free(h);
}

// The loop that takes the next connection. While draining it stays here, because the others may be done.
static struct net_loop *next_loop(struct listener *l)
{
	struct http_server *server = l->nl->server;
	if (!ms_listen_is_unix(l->point) || l->nl->stopping)
		return l->nl;
	server->next_loop = (server->next_loop + 1) % server->loop_count;
	return &server->loops[server->next_loop];
}

static void hand_out(struct listener *l, int fd, const struct sockaddr *peer)
{
	struct net_loop *to = next_loop(l);
	struct handover *h = to != l->nl ? malloc(sizeof(*h)) : NULL;
	if (h == NULL) {
		ms_conn_open(l->nl, fd, l, peer);
		return;
	}
	h->fd = fd;
	h->to = &to->listeners[l - l->nl->listeners];
	ms_loop_post(to->loop, &h->mail, take_over);
}

// --- Accepting ---------------------------------------------------------------------------------------

static void take_new_tls(struct listener *l)
{
	if (atomic_load_explicit(&l->next_tls, memory_order_relaxed) == NULL)
		return;
	struct tls_context *fresh = atomic_exchange(&l->next_tls, NULL);
	if (fresh == NULL)
		return;
	ms_tls_context_unref(l->tls);
	l->tls = fresh;
}

struct tls_context *ms_listener_tls(struct listener *l)
{
	take_new_tls(l);
	return l->tls;
}

static void pause_accepting(struct listener *l, int error)
{
	ms_server_warn(l->nl->server, "cannot accept a connection, trying again soon", l->point->text, strerror(error));
	uv_poll_stop(&l->poll);
	ms_timer_start(l->pause, PAUSE_MS, 0);
}

// Errors of accept(2) that concern the one connection, which is gone.
static bool lost_one(int error)
{
	static const int errors[] = {ECONNABORTED, EINTR,        EPROTO,     ENETDOWN,    ENOPROTOOPT, EHOSTDOWN,
				     ENONET,       EHOSTUNREACH, EOPNOTSUPP, ENETUNREACH, EPERM,       ETIMEDOUT};
	for (size_t i = 0; i < MS_ARRAY_LEN(errors); i++) {
		if (errors[i] == error)
			return true;
	}
	return false;
}

// False when nothing waits, or the system cannot give us more now.
static bool accept_one(struct listener *l)
{
	union {
		struct sockaddr any;
		struct sockaddr_storage storage;
	} peer;
	socklen_t peer_bytes = sizeof(peer);
	int fd = accept4(l->fd, &peer.any, &peer_bytes, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd < 0) {
		if (lost_one(errno))
			return true;
		if (errno != EAGAIN)
			pause_accepting(l, errno);
		return false;
	}
	struct http_server *server = l->nl->server;
	unsigned open = atomic_fetch_add_explicit(&server->connections, 1, memory_order_relaxed);
	if (open < server->options.limits.connections)
		hand_out(l, fd, &peer.any);
	else
		ms_conn_reject(l->nl, fd, l, &peer.any);
	return true;
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
	(void)status, (void)events; // an error shows itself when accepting
	struct listener *l = MS_CONTAINER_OF(poll, struct listener, poll);
	for (int i = 0; i < ACCEPTS_PER_TURN && accept_one(l); i++)
		;
}

void ms_listener_accept_all(struct listener *l)
{
	while (l->has_poll && !uv_is_closing((uv_handle_t *)&l->poll) && accept_one(l))
		;
}
