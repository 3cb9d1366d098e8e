// SPDX-License-Identifier: Apache-2.0
// From the name of an origin to a connected socket: addresses of both families, kept for a while, tried one after the other within the
// time that a call gives.
#include "net/client_internal.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#define NS_PER_MS INT64_C(1000000)
// For one of several addresses when the call sets no limit itself, and at the least.
#define ATTEMPT_MS_MAX 10000u
#define ATTEMPT_MS_MIN 100u

static void next_address(struct upstream *conn);

// --- Names -------------------------------------------------------------------------------------------

static void keep_addresses(struct client_pool *pool, const struct addrinfo *found)
{
	pool->address_count = 0;
	for (const struct addrinfo *a = found; a != NULL && pool->address_count < CLIENT_ADDRESSES; a = a->ai_next) {
		union client_address *to = &pool->addresses[pool->address_count];
		if (a->ai_family != AF_INET && a->ai_family != AF_INET6)
			continue;
		*to = (union client_address){0};
		memcpy(to, a->ai_addr, MS_MIN((size_t)a->ai_addrlen, sizeof(*to)));
		pool->address_count++;
	}
}

static void fail_resolving(struct upstream *conn, int error)
{
	struct errinfo info;
	ms_errinfo_init(&info);
	(void)ms_fail(&info, MS_ERR_ADDRESS, "the name of the upstream '%s' has no address: %s",
		      conn->pool->origin->host, uv_strerror(error));
	ms_upstream_fail(conn, CALL_NO_CONNECTION, &info);
}

static void have_addresses(struct upstream *conn)
{
	struct client_pool *pool = conn->pool;
	conn->address_count = pool->address_count;
	memcpy(conn->addresses, pool->addresses, sizeof(conn->addresses));
	next_address(conn);
}

static void on_resolved(uv_getaddrinfo_t *req, int status, struct addrinfo *found)
{
	struct client_pool *pool = MS_CONTAINER_OF(req, struct client_pool, resolution);
	struct client_loop *cl = pool->cl;
	cl->open_handles--;
	pool->resolving = false;
	if (status == 0)
		keep_addresses(pool, found);
	uv_freeaddrinfo(found);
	if (status == 0 && pool->address_count == 0)
		status = UV_EAI_NONAME;
	if (status == 0)
		pool->believed_until_ns =
			ms_loop_now_ns(cl->loop) + (int64_t)cl->client->options.resolve_ttl_ms * NS_PER_MS;
	// Those that wait now: handlers may start further calls.
	for (size_t n = pool->waiters.count; n > 0 && !ms_list_empty(&pool->waiters); n--) {
		struct upstream *conn = MS_CONTAINER_OF(pool->waiters.head.next, struct upstream, pool_node);
		ms_list_remove(&pool->waiters, &conn->pool_node);
		if (status == 0)
			have_addresses(conn);
		else
			fail_resolving(conn, status);
	}
	ms_pool_unuse(pool);
}

static void resolve(struct upstream *conn)
{
	struct client_pool *pool = conn->pool;
	struct client_loop *cl = conn->cl;
	if (!pool->resolving) {
		char port[8];
		struct addrinfo hints = {
			.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
		snprintf(port, sizeof(port), "%u", pool->origin->port);
		int rc = uv_getaddrinfo(cl->uv, &pool->resolution, on_resolved, pool->origin->host, port, &hints);
		if (rc != 0) {
			fail_resolving(conn, rc);
			return;
		}
		pool->resolving = true;
		cl->open_handles++;
		ms_pool_use(pool);
	}
	ms_list_append(&pool->waiters, &conn->pool_node);
}

void ms_pool_cancel_resolution(struct client_pool *pool)
{
	if (pool->resolving)
		(void)uv_cancel((uv_req_t *)&pool->resolution); // when it has begun it comes to its own end
}

// --- Addresses ---------------------------------------------------------------------------------------

static void write_address(const union client_address *a, char *dst, size_t size)
{
	char text[INET6_ADDRSTRLEN] = "?";
	bool v6 = a->any.sa_family == AF_INET6;
	if (v6)
		uv_ip6_name(&a->v6, text, sizeof(text));
	else
		uv_ip4_name(&a->v4, text, sizeof(text));
	snprintf(dst, size, "%s%s%s:%u", v6 ? "[" : "", text, v6 ? "]" : "",
		 (unsigned)ntohs(v6 ? a->v6.sin6_port : a->v4.sin_port));
}

static void note_problem(struct upstream *conn, enum ms_err code, const char *why)
{
	char address[72];
	write_address(&conn->addresses[conn->address_at - 1], address, sizeof(address));
	if (conn->problem == NULL)
		conn->problem = malloc(sizeof(*conn->problem));
	if (conn->problem == NULL)
		return;
	ms_errinfo_init(conn->problem);
	(void)ms_fail(conn->problem, code, "no connection to the upstream %s: %s", address, why);
}

// No address is left, or no time.
static void give_up(struct upstream *conn)
{
	struct errinfo info;
	if (conn->problem != NULL) {
		info = *conn->problem;
	} else {
		ms_errinfo_init(&info);
		(void)ms_fail(&info, MS_ERR_HTTP_TIMEOUT, "no connection to the upstream '%s' in time",
			      conn->pool->origin->host);
	}
	ms_upstream_fail(conn, CALL_NO_CONNECTION, &info);
}

static void attempt_failed(struct upstream *conn, enum ms_err code, const char *why)
{
	note_problem(conn, code, why);
	conn->phase = UPSTREAM_NEXT;
	uv_close(&conn->uv.handle, ms_upstream_closed);
}

void ms_upstream_attempt_over(struct upstream *conn)
{
	MS_ASSERT(conn->phase == UPSTREAM_NEXT);
	next_address(conn);
}

static unsigned ms_left(const struct upstream *conn)
{
	if (conn->connect_until_ns == INT64_MAX)
		return UINT_MAX;
	int64_t left_ns = conn->connect_until_ns - ms_loop_now_ns(conn->cl->loop);
	return left_ns > 0 ? (unsigned)MS_MIN(left_ns / NS_PER_MS + 1, INT64_C(86400000)) : 0;
}

// `ms` UINT_MAX: none.
static void set_deadline(struct upstream *conn, unsigned ms)
{
	conn->wait = WAIT_CONNECT;
	ms_deadline_set(&conn->cl->deadlines, &conn->deadline, ms == UINT_MAX ? 0 : MS_MAX(ms, 1u));
}

static void on_connected(uv_connect_t *req, int status)
{
	struct upstream *conn = MS_CONTAINER_OF(req, struct upstream, connect_req);
	if (conn->phase != UPSTREAM_CONNECTING)
		return; // closed, or given up
	if (status < 0) {
		attempt_failed(conn, MS_ERR_ADDRESS, uv_strerror(status));
		return;
	}
	write_address(&conn->addresses[conn->address_at - 1], conn->address, sizeof(conn->address));
	conn->address_n = strlen(conn->address);
	if (conn->call != NULL)
		ms_call_set_address(conn->call, conn);
	free(conn->problem);
	conn->problem = NULL;
	set_deadline(conn, ms_left(conn));
	ms_upstream_opened(conn);
}

// The time that is left is shared among the addresses that are left, so that one that is silent does not take it all.
static void set_attempt_deadline(struct upstream *conn)
{
	unsigned left = ms_left(conn), others = conn->address_count - conn->address_at;
	unsigned ms = others > 0 ? MS_MIN(MS_MAX(left / (others + 1), ATTEMPT_MS_MIN), ATTEMPT_MS_MAX) : left;
	set_deadline(conn, MS_MIN(ms, left));
}

static void next_address(struct upstream *conn)
{
	struct client_loop *cl = conn->cl;
	if (conn->address_at == conn->address_count || ms_left(conn) == 0) {
		give_up(conn);
		return;
	}
	const union client_address *address = &conn->addresses[conn->address_at++];
	int rc = uv_tcp_init(cl->uv, &conn->uv.tcp);
	MS_ASSERT(rc == 0); // makes no socket yet
	conn->handle_open = true;
	cl->open_handles++;
	rc = uv_tcp_connect(&conn->connect_req, &conn->uv.tcp, &address->any, on_connected);
	if (rc != 0) {
		attempt_failed(conn, MS_ERR_ADDRESS, uv_strerror(rc));
		return;
	}
	conn->phase = UPSTREAM_CONNECTING;
	set_attempt_deadline(conn);
}

void ms_upstream_connect_late(struct upstream *conn)
{
	if (conn->phase == UPSTREAM_CONNECTING && ms_left(conn) > 0) {
		attempt_failed(conn, MS_ERR_HTTP_TIMEOUT, "no answer in its share of the time");
		return;
	}
	if (conn->phase == UPSTREAM_CONNECTING)
		note_problem(conn, MS_ERR_HTTP_TIMEOUT, "no answer in time");
	give_up(conn);
}

void ms_upstream_connect(struct upstream *conn, unsigned connect_ms)
{
	struct client_pool *pool = conn->pool;
	struct http_origin *origin = pool->origin;
	int64_t now = ms_loop_now_ns(conn->cl->loop);
	conn->phase = UPSTREAM_RESOLVING;
	conn->connect_until_ns = connect_ms > 0 ? now + (int64_t)connect_ms * NS_PER_MS : INT64_MAX;
	if (origin->is_address) {
		conn->addresses[0] = origin->address;
		conn->address_count = 1;
		next_address(conn);
	} else if (pool->address_count > 0 && pool->believed_until_ns > now) {
		have_addresses(conn);
	} else {
		conn->wait = WAIT_CONNECT;
		ms_deadline_set(&conn->cl->deadlines, &conn->deadline, connect_ms);
		resolve(conn);
	}
}
