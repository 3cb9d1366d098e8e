// SPDX-License-Identifier: Apache-2.0
// Clients of services outside. Redis, for loops, is in wire/redis/redis.h, which is part of this header.
//
// HTTP over libcurl: one request, one answer, whole. Blocks: pool threads and the command line only.
//
// A client is for addresses that an operator chose, and for those that such an address names in its answers (an OpenID provider names its
// endpoints): https, its certificate checked; http when the operator allows it, to this machine or to any. Redirects are not followed. No
// proxy is taken from the environment. Whatever a name resolves to, addresses that are no one's service are not connected to (link-local ones,
// where clouds keep their metadata; multicast; unspecified), and this machine's own only when allowed.
#ifndef MS_WIRE_WIRE_H
#define MS_WIRE_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/base.h"
#include "wire/redis/redis.h"

#define MS_WIRE_URL_MAX 2000

// The strings outlive the client.
struct wire_options {
	const char *user_agent;
	const char *ca_file; // PEM; "": the system's authorities
	const char *proxy;   // "http://proxy.example:3128"; "": none. Then it is the proxy that resolves and connects.
	uint64_t timeout_ms; // of a whole request; a third of it to connect
	bool allow_loopback; // http and https to this machine
	bool allow_plain;    // http to any machine
};

struct wire_client; // immutable, any thread
// MS_ERR_INTERNAL when libcurl cannot be used here, MS_ERR_NO_MEMORY. Before other threads run: libcurl sets itself up once.
MS_MUST_USE enum ms_err ms_wire_new(const struct wire_options *options, struct errinfo *info,
				    struct wire_client **ret_client);
void ms_wire_free(struct wire_client *client); // accepts NULL

// Whether a request may go there, as far as the text tells: scheme, host, no user, no fragment, no odd bytes. MS_ERR_INVALID says what is wrong.
MS_MUST_USE enum ms_err ms_wire_check_url(const struct wire_client *client, struct slice url, struct errinfo *info);

struct wire_request {
	struct slice url;
	struct slice accept;        // or empty
	struct slice form;          // application/x-www-form-urlencoded: a POST; p NULL: a GET
	struct slice authorization; // value of the header, or empty
	struct slice host;          // value of the header, or empty: that of the URL
	size_t max_bytes;           // of the answer's body
};
struct wire_answer {
	int status;
	struct slice content_type; // "application/json; charset=utf-8"; may be empty
	struct slice body;
};
// The answer is in the arena. Any status is an answer. MS_ERR_INVALID: the URL. MS_ERR_WIRE: no connection, no answer in time, a bad certificate,
// and so on, in words that name the host and hold nothing of what was sent. MS_ERR_LIMIT: the body is too large.
MS_MUST_USE enum ms_err ms_wire_fetch(const struct wire_client *client, const struct wire_request *request,
				      struct arena *arena, struct errinfo *info, struct wire_answer *ret_answer);

#endif
