// SPDX-License-Identifier: Apache-2.0
// Percent-decoding of paths and queries (RFC 3986, and the form rules of the WHATWG URL standard for '+').
#ifndef MS_NET_URL_H
#define MS_NET_URL_H

#include "base/base.h"

// The path of a request, decoded into the arena; without escapes it is `raw` itself and nothing is
// allocated. Refused with MS_ERR_HTTP_SYNTAX: a '%' without two hex digits; a byte below 0x20, DEL or a
// backslash, plain or encoded; text that is not UTF-8; a segment "." or "..", plain or encoded, an encoded
// slash counting as a slash. Other error: MS_ERR_NO_MEMORY.
MS_MUST_USE enum ms_err ms_url_decode_path(struct arena *arena, struct slice raw, struct errinfo *info,
					   struct slice *ret_path);

enum url_decode {
	URL_DECODE_TEXT, // '+' stays
	URL_DECODE_FORM, // '+' is a space: values of queries
};
// Decodes one piece (a segment, a query value). False for a bad escape, a NUL, text that is not UTF-8, or
// when the arena is full. Without escapes *ret_text is `raw` itself.
MS_MUST_USE bool ms_url_decode(struct arena *arena, struct slice raw, enum url_decode mode, struct slice *ret_text);

// Takes the next "name=value" of a raw query off the front of *query, still encoded; a name without '=' has
// an empty value, empty pairs are skipped. False at the end. *query with p == NULL is at the end.
bool ms_url_query_next(struct slice *query, struct slice *ret_name, struct slice *ret_value);

enum url_query { URL_QUERY_FOUND, URL_QUERY_ABSENT, URL_QUERY_BAD };
// The first parameter of that (decoded) name, its value decoded. BAD: the name or value of a pair up to it
// does not decode, or the arena is full. *ret_value is written for FOUND only.
enum url_query ms_url_query_get(struct arena *arena, struct slice query, struct slice name, struct slice *ret_value);

#endif
