// SPDX-License-Identifier: Apache-2.0
// HTTP/1.1 on the wire (RFC 9110, RFC 9112), without sockets: request heads, the chunked coding, response heads read and written.
//
// The parsers take bytes in pieces of any size; the result does not depend on how the bytes were cut. They
// are strict: whatever two implementations could read differently is refused, and every failure means that
// the connection must be closed after the answer, because the place where the next request starts is unknown.
// Nothing is copied: slices point into the caller's bytes.
#ifndef MS_NET_HTTP1_HTTP1_H
#define MS_NET_HTTP1_HTTP1_H

#include "base/base.h"
#include "net/http1/message.h"

// --- Request heads -----------------------------------------------------------------------------------

struct http1_limits {
	size_t uri_bytes;      // of the request target; beyond: MS_ERR_HTTP_URI_TOO_LONG (414)
	size_t header_bytes;   // of all header lines with their line ends; beyond: MS_ERR_HTTP_HEADERS_TOO_LARGE (431)
	unsigned header_count; // 1 to 65535; beyond: 431
};

// Headers that the parser recognises while it reads them, so that nobody searches for them again.
enum http1_known {
	HTTP1_HOST,
	HTTP1_CONNECTION,
	HTTP1_CONTENT_LENGTH,
	HTTP1_TRANSFER_ENCODING,
	HTTP1_EXPECT,
	HTTP1_CONTENT_TYPE,
	HTTP1_CONTENT_ENCODING,
	HTTP1_ACCEPT,
	HTTP1_ACCEPT_ENCODING,
	HTTP1_AUTHORIZATION,
	HTTP1_TRACEPARENT,
	HTTP1_TRACESTATE,
	HTTP1_X_REQUEST_ID,
	HTTP1_KNOWN_COUNT
};

enum http1_body {
	HTTP1_BODY_NONE,   // neither Content-Length nor Transfer-Encoding, or Content-Length: 0
	HTTP1_BODY_LENGTH, // exactly content_length > 0 bytes follow
	HTTP1_BODY_CHUNKED // the chunked coding follows
};

// A request head that was accepted whole. All slices point into the bytes handed to ms_http1_parse() last
// (see ms_http1_move), except a path of "/" that stands for the empty path of an absolute-form target.
struct http1_head {
	enum http_method method;
	unsigned minor;              // of HTTP/1.x: 0 or 1
	bool asterisk;               // OPTIONS *: path is "*"
	bool absolute_form;          // the target was a whole URI; host is that of the URI
	bool keep_alive;             // the connection may serve another request (RFC 9112 section 9.3)
	bool expect_continue;        // the client waits for "100 Continue" before it sends its body
	bool upgrade;                // HTTP/1.1, and the Connection header has the option "upgrade"
	enum http1_body body;        // how the body is framed
	uint64_t content_length;     // bytes; 0 unless body is HTTP1_BODY_LENGTH; at most INT64_MAX
	struct slice target;         // as received
	struct slice path;           // still percent-encoded, starts with '/'; or "*"
	struct slice query;          // without '?'; p == NULL when the target has none
	struct slice host;           // host with port as received; empty only for HTTP/1.0 without Host
	struct http_header *headers; // in the arena
	size_t header_count;
	struct slice known[HTTP1_KNOWN_COUNT]; // the value of the first such header; p == NULL when absent
	uint32_t repeated;                     // bit 1 << enum http1_known: further headers of that name follow
};

// One request being read. Embed it; nothing to free (headers are in the arena).
struct http1_parser {
	struct http1_head head; // complete once ms_http1_parse() said so
	struct http1_limits limits;
	struct arena *arena;
	const char *base;     // first byte as of the last call
	size_t at;            // next byte to look at
	size_t mark;          // start of the token being read
	size_t name_end;      // of the header being read
	size_t value_start;   // of the header being read
	size_t headers_start; // first byte after the request line
	size_t header_cap;    // room in head.headers
	unsigned state;
};

// The arena gets the table of headers (at most header_count * sizeof(struct http_header), doubled while it
// grows) and must live as long as the head is used.
void ms_http1_parser_init(struct http1_parser *p, const struct http1_limits *limits, struct arena *arena);

// `bytes` is everything received from the request's first byte on: what earlier calls saw, unchanged (though
// it may have moved in memory), and more behind it. On success *ret_head_bytes is the length of the head,
// the body follows there; 0 when more bytes are needed. One CRLF before the request line is skipped and
// counted. After a failure the parser must not be used again. `info` carries the message and the offset of
// the byte at fault. Errors: MS_ERR_HTTP_SYNTAX, _FRAMING, _HOST, _VERSION, _URI_TOO_LONG,
// _HEADERS_TOO_LARGE, _METHOD_UNKNOWN, _EXPECTATION, MS_ERR_NO_MEMORY.
MS_MUST_USE enum ms_err ms_http1_parse(struct http1_parser *p, struct slice bytes, struct errinfo *info,
				       size_t *ret_head_bytes);

// True once the first byte of a request line (not of a leading CRLF) was seen: from then on the header
// timeout counts, and a closed connection is a cut request and not an idle one.
bool ms_http1_started(const struct http1_parser *p);

// The bytes moved to `new_base` (a buffer that grew while the body arrived): corrects all slices. Only needed
// between the end of the head and the use of its slices; ms_http1_parse() sees a move by itself.
void ms_http1_move(struct http1_parser *p, const char *new_base);

// Whether it can stand as a Host header or authority: a name or address, with an optional port.
MS_MUST_USE bool ms_http1_host_ok(struct slice host);

// Whether the header concerns this connection only and must not be passed on by a proxy: the names of RFC
// 9110 section 7.6.1 and those listed in Connection.
bool ms_http1_is_hop_by_hop(const struct http1_head *head, struct slice name);

// --- Chunked coding ----------------------------------------------------------------------------------

// Reads one chunked body. Chunk extensions and trailers are checked and limited; extensions are dropped.
struct chunked {
	struct buf *trailers; // gets the lines of the trailers, "name: value\r\n"; NULL: dropped. Set it after init
	uint64_t left;        // of the present chunk
	uint64_t total;       // data bytes announced so far
	uint64_t max_total;   // beyond: MS_ERR_HTTP_BODY_TOO_LARGE
	uint64_t overhead;    // bytes of extensions and trailers so far
	uint64_t offset;      // input bytes consumed, for messages
	unsigned state;
	unsigned digits;
	unsigned line; // bytes of the present line of extension or trailer
};

void ms_chunked_init(struct chunked *c, uint64_t max_total);

// Takes bytes off the front of *input and gives back one run of body bytes, a part of *input. Call again
// until *ret_done, or until *ret_data is empty: then all input was used and more is needed. When done, the
// bytes left in *input belong to the next request. Errors: MS_ERR_HTTP_FRAMING (bad coding),
// MS_ERR_HTTP_BODY_TOO_LARGE (more than max_total, told as soon as a chunk announces it),
// MS_ERR_HTTP_HEADERS_TOO_LARGE (extensions or trailers without end).
MS_MUST_USE enum ms_err ms_chunked_next(struct chunked *c, struct slice *input, struct errinfo *info,
					struct slice *ret_data, bool *ret_done);

// The fields of trailer lines that were collected by a chunked body which is done, without those that must not stand in trailers
// (framing, routing, hop-by-hop). Slices point into `lines`. False when the arena is full.
MS_MUST_USE bool ms_http1_trailers(struct slice lines, struct arena *arena, struct http_header **ret_headers,
				   size_t *ret_count);

// --- Answers of other servers ------------------------------------------------------------------------

enum http1_answer_body {
	HTTP1_ANSWER_NONE,       // nothing follows the head: 1xx, 204, 304, to HEAD, or Content-Length: 0
	HTTP1_ANSWER_LENGTH,     // exactly head.content_length > 0 bytes
	HTTP1_ANSWER_CHUNKED,    // the chunked coding
	HTTP1_ANSWER_UNTIL_CLOSE // up to the end of the connection
};

// An answer's head being read, by the rules of request heads: whatever two readers could take differently is refused.
struct http1_answer {
	struct http1_parser lines; // .head: headers, known, repeated, minor, keep_alive
	int status;                // 100 to 599
	bool to_head;              // the request was HEAD
	enum http1_answer_body body;
	uint64_t content_length; // as told, also where no body follows; UINT64_MAX: not told
	bool keep_alive;         // another request may follow on the connection once the body is complete
};

void ms_http1_answer_init(struct http1_answer *a, const struct http1_limits *limits, bool to_head, struct arena *arena);
// As ms_http1_parse().
MS_MUST_USE enum ms_err ms_http1_answer_parse(struct http1_answer *a, struct slice bytes, struct errinfo *info,
					      size_t *ret_head_bytes);

// --- Response heads ----------------------------------------------------------------------------------
// Writers append to a buf and are checked at the end with ms_buf_ok().

// "Not Found"; "Unknown" for a status that nobody registered.
const char *ms_http1_reason(int status);
// "HTTP/1.1 404 Not Found\r\n". Status 100 to 599. We answer as HTTP/1.1 to HTTP/1.0 too (RFC 9110 section 2.5).
void ms_http1_write_status(struct buf *out, int status);
// "name: value\r\n". CR, LF or NUL in the value is a bug of ours (assertion), as is a name that is no token.
void ms_http1_write_header(struct buf *out, const char *name, struct slice value);
void ms_http1_write_header_u64(struct buf *out, const char *name, uint64_t value);
// "\r\n"
void ms_http1_write_end(struct buf *out);

// The Date header of the present second; one per loop, zero-initialised.
struct http1_date {
	int64_t second;
	char line[40]; // "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
	size_t n;      // 0: nothing yet
};
void ms_http1_write_date(struct buf *out, struct http1_date *cache, int64_t wall_ns);

// A chunk of n > 0 bytes: head, the caller's bytes, tail; and the end of the body.
void ms_http1_write_chunk_head(struct buf *out, size_t n); // "1a2b\r\n"
#define MS_HTTP1_CHUNK_TAIL MS_SLICE_LIT("\r\n")
#define MS_HTTP1_CHUNK_END MS_SLICE_LIT("0\r\n\r\n")
#define MS_HTTP1_CONTINUE MS_SLICE_LIT("HTTP/1.1 100 Continue\r\n\r\n")

#endif
