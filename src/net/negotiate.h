// SPDX-License-Identifier: Apache-2.0
// Content negotiation (RFC 9110 section 12) and content codings of requests. Headers are read as lists: all
// lines of a name together. Nothing is allocated.
#ifndef MS_NET_NEGOTIATE_H
#define MS_NET_NEGOTIATE_H

#include "net/compress.h"
#include "net/http1/message.h"

// What the client accepts for the body of the answer.
struct coding_choice {
	enum content_coding coding; // the best coding to apply; CODING_IDENTITY: send as it is
	bool identity_ok;           // a body sent as it is would be acceptable
};
// By q-values; zstd before gzip before identity on equal ones, "*" stands for what is not named. Without
// Accept-Encoding: identity. coding == CODING_IDENTITY && !identity_ok: nothing fits (406).
struct coding_choice ms_negotiate_coding(const struct http_header *headers, size_t count);

// Content-Encoding of the request: none, "identity", one of gzip (also "x-gzip") and zstd. Anything else, or
// more than one coding, is MS_ERR_HTTP_ENCODING (415) with a message that names what is supported; answer
// with "Accept-Encoding: " MS_CODINGS_SUPPORTED.
MS_MUST_USE enum ms_err ms_request_coding(const struct http_header *headers, size_t count, struct errinfo *info,
					  enum content_coding *ret_coding);

// Index of the offer (media types as we would send them, best first) that Accept prefers; SIZE_MAX when none
// is acceptable. Without Accept: 0. A range without parameters matches any; "charset=utf-8" always matches.
size_t ms_negotiate_type(const struct http_header *headers, size_t count, const char *const *offers,
			 size_t offer_count);

// Whether a Content-Type value is that media type ("application/json"), parameters aside, without case.
bool ms_media_type_is(struct slice value, const char *type);
// Whether bodies of that Content-Type shrink: text, JSON, XML, JavaScript, SVG, WebAssembly.
bool ms_media_type_compresses(struct slice value);

#endif
