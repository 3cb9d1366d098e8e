// SPDX-License-Identifier: Apache-2.0
// What a head means, once its lines were cut: the target, the host, the framing of the body.
#ifndef MS_NET_HTTP1_HEAD_H
#define MS_NET_HTTP1_HEAD_H

#include "net/http1/http1.h"

// Fails with the offset of the byte at fault.
#define FAIL_AT(info, at, code, ...) (set_offset((info), (at)), ms_fail((info), (code), __VA_ARGS__))
static inline void set_offset(struct errinfo *info, size_t offset)
{
	if (info != NULL)
		info->offset = (int64_t)offset;
}

// Index of the known header of that name, or HTTP1_KNOWN_COUNT.
enum http1_known ms_http1_known_header(struct slice name);

// Sets path, query, asterisk, absolute_form and (for an absolute-form target) host from head->target.
MS_MUST_USE enum ms_err ms_http1_read_target(struct http1_head *head, const char *base, struct errinfo *info);

// Checks Host, Content-Length, Transfer-Encoding, Connection and Expect, and sets what follows from them.
MS_MUST_USE enum ms_err ms_http1_read_framing(struct http1_head *head, const char *base, struct errinfo *info);

// The first line is whole, header lines start at p->at.
void ms_http1_start_headers(struct http1_parser *p);
// Reads header lines of the first `n` bytes; *ret_done once the empty line was seen, which p->at is behind.
MS_MUST_USE enum ms_err ms_http1_cut_headers(struct http1_parser *p, size_t n, struct errinfo *info, bool *ret_done);

// Parts of the framing that requests and answers share. Transfer-Encoding, when there is one, must be exactly one 'chunked' without
// Content-Length; Content-Length one number. Both set head->body.
MS_MUST_USE enum ms_err ms_http1_read_length(struct http1_head *head, const char *base, struct errinfo *info);
// Sets head->keep_alive.
MS_MUST_USE enum ms_err ms_http1_read_connection(struct http1_head *head, const char *base, struct errinfo *info);

#endif
