// SPDX-License-Identifier: Apache-2.0
// Header lists: what comes is gathered within limits and checked as a message, what goes is cleaned of what HTTP/2 does not have.
// nghttp2 has checked each field by itself (characters, order and repetition of pseudo-headers, connection-specific names) before
// it is handed over here.
#include <stdlib.h>

#include "net/http2/session.h"

#define FIELD_OVERHEAD 32 // RFC 9113 section 6.5.2

// --- Coming ------------------------------------------------------------------------------------------

void ms_h2_block_init(struct block *block, const struct h2_limits *limits)
{
	*block = (struct block){0};
	ms_buf_init(&block->bytes, limits->header_bytes + 1);
	ms_buf_init(&block->cookie, limits->header_bytes + 1);
}

void ms_h2_block_fini(struct block *block)
{
	ms_buf_fini(&block->bytes);
	ms_buf_fini(&block->cookie);
	free(block->refs);
	free(block->headers);
}

void ms_h2_block_start(struct block *block)
{
	ms_buf_clear(&block->bytes);
	ms_buf_clear(&block->cookie);
	block->count = block->list_count = block->list_bytes = 0;
	block->seen = 0;
	block->too_large = block->has_cookie = false;
}

static enum pseudo pseudo_of(struct slice name)
{
	static const struct slice names[PSEUDO_COUNT] = {
		[PSEUDO_METHOD] = {":method", 7},        [PSEUDO_SCHEME] = {":scheme", 7},
		[PSEUDO_AUTHORITY] = {":authority", 10}, [PSEUDO_PATH] = {":path", 5},
		[PSEUDO_PROTOCOL] = {":protocol", 9},    [PSEUDO_STATUS] = {":status", 7},
	};
	enum pseudo p = 0;
	while (p < PSEUDO_COUNT && !ms_slice_eq(name, names[p]))
		p++;
	return p;
}

static bool make_tables(struct block *block, const struct h2_limits *limits)
{
	if (block->refs == NULL)
		block->refs = calloc(limits->header_count, sizeof(*block->refs));
	if (block->headers == NULL)
		block->headers = calloc((size_t)limits->header_count + 1, sizeof(*block->headers));
	return block->refs != NULL && block->headers != NULL;
}

static bool keep(struct block *block, struct slice name, struct slice value, struct field_ref *ret_ref)
{
	if (!ms_buf_reserve(&block->bytes, 1)) // so that an empty value has a place
		return false;
	*ret_ref = (struct field_ref){(uint32_t)block->bytes.n, (uint32_t)name.n, (uint32_t)value.n};
	ms_buf_append_slice(&block->bytes, name);
	ms_buf_append_slice(&block->bytes, value);
	return ms_buf_ok(&block->bytes);
}

// A client may send the pairs of Cookie as fields of their own, for better compression (section 8.2.3).
static bool keep_cookie(struct block *block, struct slice value)
{
	if (block->has_cookie)
		ms_buf_append(&block->cookie, "; ", 2);
	ms_buf_append_slice(&block->cookie, value);
	block->has_cookie = true;
	return ms_buf_ok(&block->cookie);
}

enum ms_err ms_h2_block_add(struct block *block, const struct h2_limits *limits, struct slice name, struct slice value)
{
	block->list_count++;
	block->list_bytes += name.n + value.n + FIELD_OVERHEAD;
	bool bomb = block->list_bytes / BOMB_FACTOR > limits->header_bytes;
	if (bomb || block->list_count / BOMB_FACTOR > (size_t)limits->header_count + PSEUDO_COUNT)
		return MS_ERR_BUSY;
	if (!make_tables(block, limits))
		return MS_ERR_NO_MEMORY;
	enum pseudo p = name.n > 0 && name.p[0] == ':' ? pseudo_of(name) : PSEUDO_COUNT;
	if (block->list_bytes > limits->header_bytes || (p == PSEUDO_COUNT && block->count >= limits->header_count))
		block->too_large = true;
	if (block->too_large)
		return MS_OK;
	if (p < PSEUDO_COUNT) {
		block->seen |= 1u << p;
		return keep(block, MS_SLICE_EMPTY, value, &block->pseudo[p]) ? MS_OK : MS_ERR_NO_MEMORY;
	}
	if (ms_slice_eq_cstr(name, "cookie"))
		return keep_cookie(block, value) ? MS_OK : MS_ERR_NO_MEMORY;
	return keep(block, name, value, &block->refs[block->count++]) ? MS_OK : MS_ERR_NO_MEMORY;
}

static struct slice pseudo_value(const struct block *block, enum pseudo p)
{
	if ((block->seen >> p & 1) == 0)
		return MS_SLICE_EMPTY;
	return ms_slice(block->bytes.p + block->pseudo[p].at, block->pseudo[p].value_n);
}

void ms_h2_block_headers(struct block *block, const struct http_header **ret_headers, size_t *ret_count)
{
	size_t n = 0;
	*ret_headers = block->headers;
	*ret_count = 0;
	if (block->too_large)
		return;
	for (; n < block->count; n++) {
		const struct field_ref *ref = &block->refs[n];
		const char *p = block->bytes.p + ref->at;
		block->headers[n] =
			(struct http_header){ms_slice(p, ref->name_n), ms_slice(p + ref->name_n, ref->value_n)};
	}
	if (block->has_cookie)
		block->headers[n++] = (struct http_header){MS_SLICE_LIT("cookie"), ms_buf_slice(&block->cookie)};
	*ret_count = n;
}

// Host says the same as :authority, once, or stands for it.
static bool read_host(struct h2_head *head)
{
	struct slice host = MS_SLICE_EMPTY;
	for (size_t i = 0; i < head->header_count; i++) {
		if (!ms_slice_eq_cstr(head->headers[i].name, "host"))
			continue;
		if (host.p != NULL)
			return false;
		host = head->headers[i].value;
	}
	if (host.p == NULL)
		return true;
	if (head->authority.p == NULL)
		head->authority = host;
	return ms_slice_eq_nocase(host, head->authority);
}

static bool read_length(struct h2_head *head)
{
	head->content_length = UINT64_MAX;
	for (size_t i = 0; i < head->header_count; i++) {
		if (ms_slice_eq_cstr(head->headers[i].name, "content-length"))
			return ms_slice_to_u64(head->headers[i].value, &head->content_length);
	}
	return true;
}

bool ms_h2_block_request(struct block *block, struct h2_head *ret_head)
{
	struct h2_head head = {
		.method = pseudo_value(block, PSEUDO_METHOD),
		.scheme = pseudo_value(block, PSEUDO_SCHEME),
		.authority = pseudo_value(block, PSEUDO_AUTHORITY),
		.path = pseudo_value(block, PSEUDO_PATH),
		.protocol = pseudo_value(block, PSEUDO_PROTOCOL),
		.too_large = block->too_large,
	};
	ms_h2_block_headers(block, &head.headers, &head.header_count);
	bool whole = !head.too_large;
	bool connect = ms_slice_eq_cstr(head.method, "CONNECT");
	if (!read_host(&head) || !read_length(&head))
		return false;
	// An empty :authority is no authority; a plain CONNECT has neither scheme nor path.
	if (whole && (head.authority.n == 0 || (head.protocol.p != NULL && (!connect || head.protocol.n == 0))))
		return false;
	if (whole && connect && head.protocol.p == NULL && (head.scheme.p != NULL || head.path.p != NULL))
		return false;
	*ret_head = head;
	return true;
}

bool ms_h2_block_response(struct block *block, struct h2_head *ret_head)
{
	struct h2_head head = {0};
	uint64_t status;
	if (block->too_large || !ms_slice_to_u64(pseudo_value(block, PSEUDO_STATUS), &status) || status < 100 ||
	    status > 599 || status == 101)
		return false;
	head.status = (int)status;
	ms_h2_block_headers(block, &head.headers, &head.header_count);
	if (!read_length(&head))
		return false;
	*ret_head = head;
	return true;
}

bool ms_h2_head_copy(const struct h2_head *head, struct arena *arena, struct h2_head *ret_copy)
{
	struct h2_head copy = *head;
	struct slice *parts[] = {&copy.method, &copy.scheme, &copy.authority, &copy.path, &copy.protocol};
	struct http_header *headers = ms_arena_calloc(arena, head->header_count, sizeof(*headers));
	bool ok = headers != NULL;
	for (size_t i = 0; ok && i < MS_ARRAY_LEN(parts); i++) {
		if (parts[i]->p == NULL)
			continue;
		*parts[i] = ms_arena_copy(arena, *parts[i]);
		ok = parts[i]->p != NULL;
	}
	for (size_t i = 0; ok && i < head->header_count; i++) {
		headers[i].name = ms_arena_copy(arena, head->headers[i].name);
		headers[i].value = ms_arena_copy(arena, head->headers[i].value);
		ok = headers[i].name.p != NULL && headers[i].value.p != NULL;
	}
	if (!ok)
		return false;
	copy.headers = headers;
	*ret_copy = copy;
	return true;
}

// --- Going -------------------------------------------------------------------------------------------

bool ms_h2_fields_copy(const struct http_header *headers, size_t count, struct fields *ret_fields)
{
	size_t bytes = count * sizeof(*headers);
	for (size_t i = 0; i < count; i++)
		bytes += headers[i].name.n + headers[i].value.n;
	*ret_fields = (struct fields){0};
	if (count == 0)
		return true;
	struct http_header *copy = malloc(bytes);
	if (copy == NULL)
		return false;
	char *p = (char *)(copy + count);
	for (size_t i = 0; i < count; i++) {
		memcpy(p, headers[i].name.p, headers[i].name.n);
		copy[i].name = ms_slice(p, headers[i].name.n);
		p += headers[i].name.n;
		if (headers[i].value.n > 0)
			memcpy(p, headers[i].value.p, headers[i].value.n);
		copy[i].value = ms_slice(p, headers[i].value.n);
		p += headers[i].value.n;
	}
	*ret_fields = (struct fields){copy, count};
	return true;
}

void ms_h2_fields_free(struct fields *fields)
{
	free(fields->headers);
	*fields = (struct fields){0};
}

static bool name_in(struct slice name, const char *const *names, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (ms_slice_eq_nocase(name, ms_slice_cstr(names[i])))
			return true;
	}
	return false;
}

static bool is_dropped(const struct http_header *h)
{
	static const char *const names[] = {"connection",       "host",           "keep-alive",
					    "upgrade",          "http2-settings", "proxy-connection",
					    "transfer-encoding"};
	if (h->name.n == 0 || h->name.p[0] == ':' || name_in(h->name, names, MS_ARRAY_LEN(names)))
		return true;
	return ms_slice_eq_nocase(h->name, MS_SLICE_LIT("te")) &&
	       !ms_slice_eq_nocase(h->value, MS_SLICE_LIT("trailers"));
}

// Secrets do not go into the compression table, where guesses could be compared with them (RFC 7541 section 7.1.3).
static bool is_secret(struct slice name)
{
	static const char *const names[] = {"authorization",       "cookie",    "set-cookie",
					    "proxy-authorization", "x-api-key", "apikey"};
	return name_in(name, names, MS_ARRAY_LEN(names));
}

static void check_value(struct slice value)
{
	for (size_t i = 0; i < value.n; i++)
		MS_ASSERT(value.p[i] != '\r' && value.p[i] != '\n' && value.p[i] != '\0');
}

static void put_nv(nghttp2_nv *nv, struct slice name, struct slice value, bool secret)
{
	check_value(value);
	*nv = (nghttp2_nv){
		.name = (uint8_t *)(uintptr_t)name.p,
		.namelen = name.n,
		.value = (uint8_t *)(uintptr_t)(value.n > 0 ? value.p : ""),
		.valuelen = value.n,
		.flags = secret ? NGHTTP2_NV_FLAG_NO_INDEX : NGHTTP2_NV_FLAG_NONE,
	};
}

static bool grow_nv(struct h2_session *s, size_t count)
{
	if (count <= s->nv_cap)
		return true;
	nghttp2_nv *grown = realloc(s->nv, count * sizeof(*grown));
	if (grown == NULL)
		return false;
	s->nv = grown;
	s->nv_cap = count;
	return true;
}

bool ms_h2_message_nv(struct h2_session *s, const struct h2_message *message, size_t *ret_count)
{
	static const char digits[] = "0123456789";
	const struct {
		struct slice name, value;
	} pseudo[] = {
		{MS_SLICE_LIT(":method"), message->method}, {MS_SLICE_LIT(":protocol"), message->protocol},
		{MS_SLICE_LIT(":scheme"), message->scheme}, {MS_SLICE_LIT(":authority"), message->authority},
		{MS_SLICE_LIT(":path"), message->path},
	};
	size_t n = 0;
	if (!grow_nv(s, message->header_count + MS_ARRAY_LEN(pseudo) + 1))
		return false;
	for (size_t i = 0; i < MS_ARRAY_LEN(pseudo); i++) {
		if (pseudo[i].value.n > 0)
			put_nv(&s->nv[n++], pseudo[i].name, pseudo[i].value, false);
	}
	if (message->status != 0) {
		MS_ASSERT(message->status >= 100 && message->status <= 999 && message->status != 101);
		s->status[0] = digits[message->status / 100];
		s->status[1] = digits[message->status / 10 % 10];
		s->status[2] = digits[message->status % 10];
		put_nv(&s->nv[n++], MS_SLICE_LIT(":status"), ms_slice(s->status, sizeof(s->status)), false);
	}
	for (size_t i = 0; i < message->header_count; i++) {
		const struct http_header *h = &message->headers[i];
		if (!is_dropped(h))
			put_nv(&s->nv[n++], h->name, h->value, is_secret(h->name));
	}
	*ret_count = n;
	return true;
}
