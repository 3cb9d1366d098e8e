// SPDX-License-Identifier: Apache-2.0
// TLS 1.2 and 1.3 on the server side, over memory: ciphertext in, ciphertext out, no socket. The home of OpenSSL in net.
//
// Threads: a context may be shared by all threads and is immutable after it was made; a session belongs to
// its connection's loop. Nothing blocks except ms_tls_context_new(), which reads two files.
#ifndef MS_NET_TLS_H
#define MS_NET_TLS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/base.h"
#include "net/net.h"

struct tls_context; // certificate, key and settings; reference counted
struct tls;         // one connection

// Reads and checks certificate chain and key. MS_ERR_TLS when they cannot be used (the message names the
// file and what would be right), or the error of ms_file_read().
// With `h2` HTTP/2 is offered too (ALPN).
MS_MUST_USE enum ms_err ms_tls_context_new(const struct http_tls_options *options, bool h2, struct errinfo *info,
					   struct tls_context **ret_context);
struct tls_context *ms_tls_context_ref(struct tls_context *context);
void ms_tls_context_unref(struct tls_context *context); // accepts NULL

// NULL when memory is out. Keeps a reference to the context.
struct tls *ms_tls_new(struct tls_context *context);
void ms_tls_free(struct tls *tls); // accepts NULL

// What a peer may make us hold undecrypted; the caller stops reading the socket meanwhile.
#define MS_TLS_FEED_MAX ((size_t)64 << 10)

enum tls_status {
	TLS_OK,     // bytes were read or written
	TLS_MORE,   // needs more ciphertext from the peer first
	TLS_CLOSED, // the peer ended its side in good order
	TLS_FAILED, // the connection is of no use any more; send the pending output (an alert) and close
};

// Takes ciphertext from the socket. False when memory is out.
MS_MUST_USE bool ms_tls_feed(struct tls *tls, struct slice ciphertext);
// Performs the handshake as far as the input allows, then gives decrypted bytes.
MS_MUST_USE enum tls_status ms_tls_read(struct tls *tls, char *dst, size_t room, size_t *ret_n);
// Encrypts all of `plain`; the result waits as output.
MS_MUST_USE enum tls_status ms_tls_write(struct tls *tls, struct slice plain);
// Says good-bye (close_notify); the result waits as output.
void ms_tls_close(struct tls *tls);
bool ms_tls_established(const struct tls *tls);
bool ms_tls_chose_h2(const struct tls *tls);            // by ALPN; once established
struct slice ms_tls_server_name(const struct tls *tls); // that the client asked for (SNI), or empty; the session's

// Ciphertext that waits for the socket; valid until the next call on this session.
struct slice ms_tls_output(const struct tls *tls);
void ms_tls_output_done(struct tls *tls); // all of it was taken

#endif
