// SPDX-License-Identifier: Apache-2.0
// One connection: name, connect, greeting (AUTH, SELECT, the scripts), then bytes both ways. hiredis reads the protocol; the socket is libuv's.
#include <stdio.h>
#include <stdlib.h>

#include "wire/redis/internal.h"

#define SENDING_KEEP ((size_t)1 << 20) // a larger buffer is given back once it is empty

// --- Letting go --------------------------------------------------------------------------------------

static void release(struct redis_link *link)
{
	if (--link->holds > 0)
		return;
	redisReaderFree(link->reader);
	ms_arena_fini(&link->replies);
	ms_buf_fini(&link->sending);
	free(link);
}

static void on_closed(uv_handle_t *handle)
{
	release(handle->data);
}

// The last hold may be the caller's: nobody touches the link after it has let go.
void ms_redis_link_close(struct redis_link *link)
{
	link->rl = NULL;
	if (link->looking_up)
		uv_cancel((uv_req_t *)&link->lookup); // fails when it runs already: then its answer is waited for
	if (link->uv.handle.type != UV_UNKNOWN_HANDLE && !uv_is_closing(&link->uv.handle))
		uv_close(&link->uv.handle, on_closed); // its hold
	release(link);                                 // that of the loop
}

static void lost(struct redis_link *link, const char *what, int status)
{
	if (link->rl != NULL)
		ms_redis_loop_lost(link->rl, false, "%s: %s", what, uv_strerror(status));
}

// --- Writing -----------------------------------------------------------------------------------------

static void write_on(struct redis_link *link);

static void on_written(uv_write_t *write, int status)
{
	struct redis_link *link = write->data;
	link->writing = false;
	if (link->sending.cap > SENDING_KEEP)
		ms_buf_fini(&link->sending);
	else
		ms_buf_clear(&link->sending);
	if (link->rl == NULL)
		return;
	if (status != 0)
		lost(link, "cannot send", status);
	else if (link->until_ns == 0)
		ms_redis_link_flush(link);
}

static void write_on(struct redis_link *link)
{
	uv_buf_t bytes = uv_buf_init(link->sending.p, (unsigned)link->sending.n);
	link->write.data = link;
	int status = uv_write(&link->write, &link->uv.stream, &bytes, 1, on_written);
	link->writing = status == 0;
	if (status != 0)
		lost(link, "cannot send", status);
}

void ms_redis_link_flush(struct redis_link *link)
{
	struct buf *out = &link->rl->out;
	if (link->writing || out->n == 0)
		return;
	uv_buf_t bytes = uv_buf_init(out->p, (unsigned)out->n);
	int sent = uv_try_write(&link->uv.stream, &bytes, 1);
	if (sent == (int)out->n) {
		size_t max = out->max;
		if (out->cap > SENDING_KEEP) {
			ms_buf_fini(out);
			ms_buf_init(out, max);
		}
		ms_buf_clear(out);
		return;
	}
	if (sent < 0 && sent != UV_EAGAIN) {
		lost(link, "cannot send", sent);
		return;
	}
	if (sent > 0)
		ms_buf_consume(out, (size_t)sent);
	// libuv goes on with these; what comes meanwhile goes into the other one.
	struct buf full = *out;
	*out = link->sending;
	out->max = full.max;
	link->sending = full;
	write_on(link);
}

// --- Reading -----------------------------------------------------------------------------------------

// False: the connection is given up.
static bool greeting_reply(struct redis_link *link, const struct redis_reply *reply)
{
	struct redis_loop *rl = link->rl;
	size_t index = link->greetings++;
	if (index >= link->first_script) {
		size_t script = index - link->first_script;
		bool known = reply->kind == REDIS_STRING && reply->text.n == REDIS_SHA_SIZE;
		rl->sha_known[script] = known; // refused: then by its text
		if (known)
			memcpy(rl->sha[script], reply->text.p, REDIS_SHA_SIZE);
	} else if (reply->kind == REDIS_ERROR) {
		ms_redis_loop_lost(rl, true, "it refuses us: %.*s", MS_SLICE_ARG(ms_slice_sub(reply->text, 0, 120)));
		return false;
	}
	if (link->greetings < link->greeting_count)
		return true;
	link->until_ns = 0;
	ms_redis_loop_ready(rl);
	return link->rl != NULL;
}

static bool next_reply(struct redis_link *link)
{
	void *object = NULL;
	if (redisReaderGetReply(link->reader, &object) != REDIS_OK) {
		ms_redis_loop_lost(link->rl, true, "what it answers cannot be used: %.100s", link->reader->errstr);
		return false;
	}
	if (object == NULL)
		return false;
	if (link->until_ns != 0)
		return greeting_reply(link, object);
	ms_redis_loop_reply(link->rl, object);
	return link->rl != NULL;
}

// Of one whole reply hiredis keeps the bytes until it is there.
static bool is_too_much(const struct redis_link *link)
{
	return link->reader->len - link->reader->pos > link->rl->redis->options.max_reply;
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
	struct redis_link *link = stream->data;
	(void)buf;
	if (n == 0 || link->rl == NULL)
		return;
	if (n < 0) {
		lost(link, "the connection broke", (int)n);
		return;
	}
	link->holds++; // whatever happens in the callbacks
	if (redisReaderFeed(link->reader, link->input, (size_t)n) != REDIS_OK)
		ms_redis_loop_lost(link->rl, false, "out of memory for its answer");
	while (link->rl != NULL && next_reply(link))
		ms_arena_reset(&link->replies);
	if (link->rl != NULL && is_too_much(link))
		ms_redis_loop_lost(link->rl, true, "it sends an answer that is too large");
	release(link);
}

static void give_input(uv_handle_t *handle, size_t suggested, uv_buf_t *ret_buf)
{
	struct redis_link *link = handle->data;
	(void)suggested;
	*ret_buf = uv_buf_init(link->input, sizeof(link->input));
}

// --- Greeting ----------------------------------------------------------------------------------------

static void greet_with(struct redis_link *link, const char *first, const char *second, const char *third)
{
	struct slice parts[3] = {ms_slice_cstr(first), ms_slice_cstr(second), ms_slice_cstr(third)};
	ms_redis_append_command(&link->sending, parts, third != NULL ? 3 : second != NULL ? 2 : 1);
	link->greeting_count++;
}

static void greet(struct redis_link *link)
{
	const struct redis *redis = link->rl->redis;
	const struct redis_address *a = &redis->address;
	char db[16];
	if (a->password[0] != '\0')
		greet_with(link, "AUTH", a->user[0] != '\0' ? a->user : a->password,
			   a->user[0] != '\0' ? a->password : NULL);
	snprintf(db, sizeof(db), "%u", a->db);
	if (a->db > 0)
		greet_with(link, "SELECT", db, NULL);
	greet_with(link, "PING", NULL, NULL);
	link->first_script = link->greeting_count;
	for (size_t i = 0; i < redis->options.script_count; i++)
		greet_with(link, "SCRIPT", "LOAD", redis->options.scripts[i]);
	if (!ms_buf_ok(&link->sending))
		ms_redis_loop_lost(link->rl, false, "out of memory");
	else
		write_on(link);
}

static void on_connected(uv_connect_t *connect, int status)
{
	struct redis_link *link = connect->data;
	if (link->rl == NULL)
		return;
	if (status == 0)
		status = uv_read_start(&link->uv.stream, give_input, on_read);
	if (status != 0)
		lost(link, "cannot connect", status);
	else
		greet(link);
}

// --- Connecting --------------------------------------------------------------------------------------

static void connect_tcp(struct redis_link *link, const struct sockaddr *address)
{
	link->connect.data = link;
	int status = uv_tcp_init(ms_loop_uv(link->rl->loop), &link->uv.tcp);
	if (status == 0) {
		link->uv.handle.data = link;
		link->holds++;
		uv_tcp_nodelay(&link->uv.tcp, 1);
		status = uv_tcp_connect(&link->connect, &link->uv.tcp, address, on_connected);
	}
	if (status != 0)
		lost(link, "cannot connect", status);
}

static void connect_unix(struct redis_link *link)
{
	link->connect.data = link;
	int status = uv_pipe_init(ms_loop_uv(link->rl->loop), &link->uv.pipe, 0);
	if (status != 0) {
		lost(link, "cannot connect", status);
		return;
	}
	link->uv.handle.data = link;
	link->holds++;
	uv_pipe_connect(&link->connect, &link->uv.pipe, link->rl->redis->address.path, on_connected);
}

static void on_found(uv_getaddrinfo_t *lookup, int status, struct addrinfo *found)
{
	struct redis_link *link = lookup->data;
	size_t count = 0;
	link->looking_up = false;
	for (const struct addrinfo *a = found; a != NULL; a = a->ai_next)
		count++;
	if (link->rl != NULL && (status != 0 || count == 0)) {
		lost(link, "its name is not found", status != 0 ? status : UV_EAI_NODATA);
	} else if (link->rl != NULL) {
		const struct addrinfo *a = found; // each attempt takes the next one
		for (size_t i = link->rl->attempts % count; i > 0; i--)
			a = a->ai_next;
		connect_tcp(link, a->ai_addr);
	}
	uv_freeaddrinfo(found);
	release(link);
}

static void look_up(struct redis_link *link)
{
	const struct redis_address *a = &link->rl->redis->address;
	const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
	char port[8];
	if (uv_ip4_addr(a->host, (int)a->port, &v4) == 0) {
		connect_tcp(link, (const struct sockaddr *)&v4);
		return;
	}
	if (uv_ip6_addr(a->host, (int)a->port, &v6) == 0) {
		connect_tcp(link, (const struct sockaddr *)&v6);
		return;
	}
	snprintf(port, sizeof(port), "%u", a->port);
	link->lookup.data = link;
	int status = uv_getaddrinfo(ms_loop_uv(link->rl->loop), &link->lookup, on_found, a->host, port, &hints);
	if (status != 0) {
		lost(link, "its name is not found", status);
		return;
	}
	link->looking_up = true;
	link->holds++;
}

enum ms_err ms_redis_link_open(struct redis_loop *rl)
{
	struct redis_link *link = calloc(1, sizeof(*link));
	redisReader *reader =
		redisReaderCreateWithFunctions((redisReplyObjectFunctions *)(uintptr_t)&ms_redis_reply_functions);
	if (link == NULL || reader == NULL) {
		if (reader != NULL)
			redisReaderFree(reader);
		free(link);
		return MS_ERR_NO_MEMORY;
	}
	link->rl = rl;
	link->holds = 1;
	link->reader = reader;
	link->until_ns = ms_clock_mono_ns() + (int64_t)rl->redis->options.timeout_ms * NS_PER_MS;
	reader->privdata = &link->replies;
	ms_arena_init(&link->replies, 4096, rl->redis->options.max_reply + 4096);
	ms_buf_init(&link->sending, rl->redis->options.max_sending);
	rl->link = link;
	if (rl->redis->address.is_unix)
		connect_unix(link);
	else
		look_up(link);
	return MS_OK;
}
