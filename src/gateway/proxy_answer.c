// SPDX-License-Identifier: Apache-2.0
// Back to the client: the upstream's answer as it comes, or one of our own. Nothing that the upstream did not finish is ever finished by us.
#include "gateway/mirror.h"
#include "gateway/proxy.h"

#define EXTRA_HEADERS 16 // room for those that plugins add

bool ms_proxy_copy_headers(struct arena *arena, const struct http_header *from, size_t count,
			   struct http_header **ret_copy)
{
	size_t bytes = 0;
	for (size_t i = 0; i < count; i++)
		bytes += from[i].name.n + from[i].value.n;
	struct http_header *to = MS_ARENA_ARRAY(arena, struct http_header, count + EXTRA_HEADERS);
	char *text = ms_arena_alloc(arena, bytes);
	if (to == NULL || text == NULL)
		return false;
	for (size_t i = 0; i < count; i++) {
		const struct slice parts[] = {from[i].name, from[i].value};
		struct slice copies[2];
		for (size_t k = 0; k < 2; k++) {
			if (parts[k].n > 0)
				memcpy(text, parts[k].p, parts[k].n);
			copies[k] = ms_slice(text, parts[k].n);
			text += parts[k].n;
		}
		to[i] = (struct http_header){.name = copies[0], .value = copies[1]};
	}
	*ret_copy = to;
	return true;
}

// --- Ours --------------------------------------------------------------------------------------------

// Of an answer to HEAD the length is what the upstream said; the cache does not keep it.
static uint64_t length_of(const struct proxy *p)
{
	const struct gw_request *r = &p->r;
	if (r->x->req.method != HTTP_HEAD && r->answer.body.n == 0 && p->answer_trailer_count > 0)
		return UINT64_MAX; // a known length of nothing would end the answer before its trailers
	if (r->x->req.method != HTTP_HEAD)
		return r->answer.body.n;
	return p->gathering ? p->answer_length : r->answer.source == GW_FROM_CACHE ? UINT64_MAX : r->answer.body.n;
}

// The exchange is over afterwards.
static void send_whole(struct proxy *p)
{
	struct gw_request *r = &p->r;
	struct slice body = r->answer.body;
	const struct http_answer answer = {.status = r->answer.status,
					   .headers = r->answer.headers.items,
					   .header_count = r->answer.headers.count,
					   .content_length = length_of(p),
					   .no_server_headers = r->answer.source == GW_FROM_UPSTREAM};
	p->head_sent = true;
	ms_http_answer_start(r->x, &answer, NULL, NULL);
	if (body.n > 0)
		(void)ms_http_stream_write(r->x, body);
	ms_http_stream_end_with(r->x, p->answer_trailers, p->answer_trailer_count);
}

static void after_answer_body(struct gw_request *r, enum gw_verdict verdict)
{
	struct proxy *p = ms_proxy_of(r);
	(void)verdict; // the answer stands in r->answer either way
	p->in_chain = false;
	send_whole(p);
}

void ms_proxy_send(struct proxy *p)
{
	struct gw_request *r = &p->r;
	if (!p->answer_phase) {
		p->answer_phase = true;
		ms_chain_answer(r);
		if (r->answer.wants_body) {
			p->in_chain = true;
			ms_chain_answer_body(r, after_answer_body);
			return;
		}
	}
	send_whole(p);
}

void ms_proxy_fail(struct proxy *p, int status, const char *code, const char *message)
{
	ms_gw_fail(&p->r, status, code, message);
	ms_proxy_send(p);
}

// --- The upstream's ----------------------------------------------------------------------------------

static void drained(struct exchange *x, void *arg)
{
	struct proxy *p = arg;
	(void)x;
	if (p->call_paused && p->call != NULL) {
		p->call_paused = false;
		ms_http_call_resume(p->call);
	}
}

static void start_answer(struct proxy *p)
{
	struct gw_request *r = &p->r;
	const struct http_answer answer = {.status = r->answer.status,
					   .headers = r->answer.headers.items,
					   .header_count = r->answer.headers.count,
					   .content_length = p->answer_length,
					   .no_server_headers = true};
	p->head_sent = true;
	ms_http_answer_start(r->x, &answer, drained, p);
}

static bool latency_header(struct gw_request *r, const char *name, int64_t ns)
{
	uint64_t ms = (uint64_t)(MS_MAX(ns, (int64_t)0) / 1000000);
	char *text = ms_arena_alloc(r->arena, 20); // digits of the largest number
	size_t at = 20;
	if (text == NULL)
		return false;
	do {
		text[--at] = (char)('0' + ms % 10);
		ms /= 10;
	} while (ms > 0);
	return ms_gw_header_set(&r->answer.headers, ms_slice_cstr(name), ms_slice(text + at, 20 - at));
}

static bool take_head(struct proxy *p, int status, const struct http_header *headers, size_t count)
{
	struct gw_request *r = &p->r;
	struct http_header *copy;
	if (!ms_proxy_copy_headers(r->arena, headers, count, &copy))
		return false;
	r->answer.status = status;
	r->answer.source = GW_FROM_UPSTREAM;
	r->answer.headers =
		(struct gw_headers){.arena = r->arena, .items = copy, .count = count, .room = count + EXTRA_HEADERS};
	return latency_header(r, "X-Mainstay-Upstream-Latency", r->upstream_ns - r->sent_ns) &&
	       latency_header(r, "X-Mainstay-Proxy-Latency", r->sent_ns - r->start_ns);
}

static void no_memory(struct proxy *p)
{
	ms_proxy_drop_call(p);
	ms_proxy_fail(p, 503, "server.out_of_memory", "out of memory");
}

void ms_proxy_answer_head(struct proxy *p, int status, const struct http_header *headers, size_t count, uint64_t length)
{
	struct gw_request *r = &p->r;
	if (!take_head(p, status, headers, count)) {
		no_memory(p);
		return;
	}
	ms_mirror_status(p, status);
	p->answer_length = length;
	p->answer_phase = true;
	ms_chain_answer(r);
	uint64_t max = r->answer.max_body > 0 ? r->answer.max_body : PROXY_GATHER_MAX;
	// A length that is too large already: the plugins do without.
	if (r->answer.wants_body && (length == UINT64_MAX || length <= max || r->x->req.method == HTTP_HEAD)) {
		p->gathering = true;
		p->gathered.max = (size_t)MS_MIN(max, (uint64_t)SIZE_MAX);
		return;
	}
	start_answer(p);
}

static void pass_on(struct proxy *p, struct slice bytes)
{
	if (ms_http_stream_write(p->r.x, bytes) >= PROXY_HIGH_WATER && !p->call_paused && p->call != NULL) {
		p->call_paused = true;
		ms_http_call_pause(p->call);
	}
}

void ms_proxy_answer_data(struct proxy *p, struct slice bytes)
{
	ms_mirror_answer(p, bytes);
	if (!p->gathering) {
		pass_on(p, bytes);
		return;
	}
	if (bytes.n <= p->gathered.max - p->gathered.n) {
		ms_buf_append_slice(&p->gathered, bytes);
		if (ms_buf_ok(&p->gathered))
			return;
	}
	// More than the plugins want: on as it comes.
	p->gathering = false;
	start_answer(p);
	if (p->gathered.n > 0)
		pass_on(p, ms_buf_slice(&p->gathered));
	pass_on(p, bytes);
	ms_buf_fini(&p->gathered);
	ms_buf_init(&p->gathered, PROXY_GATHER_MAX);
}

void ms_proxy_answer_end(struct proxy *p, const struct http_header *trailers, size_t count)
{
	struct gw_request *r = &p->r;
	struct http_header *copy = NULL;
	if (!p->gathering) {
		if (!p->out_ended)
			ms_http_stream_end_with(r->x, trailers, count);
		return;
	}
	r->answer.body = ms_buf_slice(&p->gathered);
	if (ms_proxy_copy_headers(r->arena, trailers, count, &copy)) {
		p->answer_trailers = copy;
		p->answer_trailer_count = count;
	}
	p->in_chain = true;
	ms_chain_answer_body(r, after_answer_body);
}

void ms_proxy_answer_broken(struct proxy *p)
{
	struct gw_request *r = &p->r;
	p->failed_answer = true;
	ms_counter_add(r->gateway->metrics.cut, ms_loop_index(r->x->loop), 1);
	if (p->head_sent || p->tunnel) {
		ms_http_stream_cut(r->x);
		return;
	}
	// It was being gathered: the client has seen nothing. The plugins have had their say about the head that is now void.
	p->gathering = false;
	r->answer.headers.count = 0;
	r->answer.wants_body = false;
	ms_proxy_fail(p, p->failed_status, p->failed_code, p->failed_message);
}

void ms_proxy_interim(struct proxy *p, int status, const struct http_header *headers, size_t count)
{
	// 100 is between us and the upstream: the client had its own from us, or asked for none.
	if (status == 100 || p->r.x->req.version == 10)
		return;
	const struct http_answer answer = {.status = status,
					   .headers = headers,
					   .header_count = count,
					   .content_length = UINT64_MAX,
					   .no_server_headers = true};
	ms_http_answer_start(p->r.x, &answer, NULL, NULL);
}

// --- Tunnels and the end -----------------------------------------------------------------------------

void ms_proxy_tunnel(struct proxy *p, const struct http_header *headers, size_t count,
		     const struct http_body_reader *reader)
{
	struct gw_request *r = &p->r;
	if (!take_head(p, 101, headers, count)) {
		no_memory(p);
		return;
	}
	p->answer_phase = true;
	ms_chain_answer(r);
	p->tunnel = p->head_sent = p->body_read = true;
	ms_http_tunnel_start(r->x, r->answer.headers.items, r->answer.headers.count, reader, drained, p);
}

void ms_proxy_peer_ended(struct proxy *p)
{
	p->out_ended = true;
	ms_http_stream_end(p->r.x);
}

void ms_proxy_gone(struct exchange *x, void *arg)
{
	struct proxy *p = arg;
	ms_proxy_drop_call(p);
	if (p->in_chain)
		return; // the phase's end finds out
	if (p->tunnel && p->out_ended)
		return; // the upstream's side had ended; the client's ends with this
	if (p->head_sent)
		ms_http_stream_cut(x);
	else if (p->calling)
		ms_http_fail_code(x, MS_ERR_CANCELLED, "the client has gone");
}
