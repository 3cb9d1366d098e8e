// SPDX-License-Identifier: Apache-2.0
// A connection and nothing more. Names of several addresses: the first that answers will do.
#include "net/probe.h"

#include <stdio.h>
#include <stdlib.h>
#include <uv.h>

struct net_probe {
	struct loop *loop;
	net_probe_fn *done; // NULL: cancelled, or told already
	void *arg;
	uv_getaddrinfo_t resolve;
	uv_tcp_t tcp;
	uv_timer_t timer;
	uv_connect_t connect;
	struct addrinfo *addresses, *next;
	unsigned handles; // open ones, and the question to the resolver
	bool closing, tcp_open;
};

static void try_next(struct net_probe *p);

static void release(struct net_probe *p)
{
	if (--p->handles > 0)
		return;
	uv_freeaddrinfo(p->addresses);
	free(p);
}

static void timer_closed(uv_handle_t *handle)
{
	release(handle->data);
}

static void tcp_closed(uv_handle_t *handle)
{
	struct net_probe *p = handle->data;
	p->tcp_open = false;
	if (!p->closing)
		try_next(p);
	release(p);
}

static void close_all(struct net_probe *p)
{
	if (p->closing)
		return;
	p->closing = true;
	uv_close((uv_handle_t *)&p->timer, timer_closed);
	if (p->tcp_open && !uv_is_closing((uv_handle_t *)&p->tcp))
		uv_close((uv_handle_t *)&p->tcp, tcp_closed);
	(void)uv_cancel((uv_req_t *)&p->resolve); // one that is done or runs cannot be, which is fine
}

static void finish(struct net_probe *p, enum ms_err err, const char *words)
{
	net_probe_fn *done = p->done;
	struct errinfo info;
	p->done = NULL;
	close_all(p);
	if (done == NULL)
		return;
	ms_errinfo_init(&info);
	if (err != MS_OK)
		(void)ms_fail(&info, err, "%s", words);
	done(err, &info, p->arg);
}

static void connected(uv_connect_t *connect, int status)
{
	struct net_probe *p = connect->data;
	if (p->closing)
		return;
	if (status == 0) {
		finish(p, MS_OK, NULL);
		return;
	}
	if (p->next == NULL) {
		char words[128];
		snprintf(words, sizeof(words), "cannot connect: %s", uv_strerror(status));
		finish(p, MS_ERR_IO, words);
		return;
	}
	uv_close((uv_handle_t *)&p->tcp, tcp_closed);
}

static void try_next(struct net_probe *p)
{
	const struct addrinfo *a = p->next;
	p->next = a->ai_next;
	int status = uv_tcp_init(ms_loop_uv(p->loop), &p->tcp);
	if (status != 0) {
		finish(p, MS_ERR_IO, uv_strerror(status));
		return;
	}
	p->tcp.data = p->connect.data = p;
	p->tcp_open = true;
	p->handles++;
	status = uv_tcp_connect(&p->connect, &p->tcp, a->ai_addr, connected);
	if (status != 0)
		finish(p, MS_ERR_IO, uv_strerror(status));
}

static void resolved(uv_getaddrinfo_t *resolve, int status, struct addrinfo *addresses)
{
	struct net_probe *p = resolve->data;
	p->addresses = p->next = addresses;
	if (!p->closing) {
		if (status != 0 || addresses == NULL)
			finish(p, MS_ERR_IO, "the name is not known");
		else
			try_next(p);
	}
	release(p);
}

static void too_late(uv_timer_t *timer)
{
	finish(timer->data, MS_ERR_HTTP_TIMEOUT, "no connection in time");
}

enum ms_err ms_net_probe_start(struct loop *loop, struct slice host, unsigned port, unsigned timeout_ms,
			       net_probe_fn *done, void *arg, struct errinfo *info, struct net_probe **ret_probe)
{
	const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_protocol = IPPROTO_TCP};
	char name[256], service[16];
	if (!ms_slice_to_cstr(host, name, sizeof(name)))
		return ms_fail(info, MS_ERR_INVALID, "this is no name of a host");
	snprintf(service, sizeof(service), "%u", port);
	struct net_probe *p = calloc(1, sizeof(*p));
	if (p == NULL)
		return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory");
	p->loop = loop;
	p->done = done;
	p->arg = arg;
	p->resolve.data = p->timer.data = p;
	if (uv_timer_init(ms_loop_uv(loop), &p->timer) != 0 ||
	    uv_getaddrinfo(ms_loop_uv(loop), &p->resolve, resolved, name, service, &hints) != 0) {
		// A timer that was never started needs no turn of the loop to be gone, but libuv keeps a list of handles.
		p->handles = 1;
		p->done = NULL;
		p->closing = true;
		uv_close((uv_handle_t *)&p->timer, timer_closed);
		return ms_fail(info, MS_ERR_NO_MEMORY, "the name cannot be looked up now");
	}
	p->handles = 2;
	uv_timer_start(&p->timer, too_late, timeout_ms, 0);
	*ret_probe = p;
	return MS_OK;
}

void ms_net_probe_cancel(struct net_probe *p)
{
	if (p == NULL)
		return;
	p->done = NULL;
	close_all(p);
}
