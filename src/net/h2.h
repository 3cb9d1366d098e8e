// SPDX-License-Identifier: Apache-2.0
// HTTP/2 as a transport: a connection with its session, and a work for each stream. Private to the server.
#ifndef MS_NET_H2_H
#define MS_NET_H2_H

#include "net/http2/http2.h"
#include "net/server.h"

struct h2_conn;

// The connection speaks HTTP/2 from now on. False: memory is out.
MS_MUST_USE bool ms_h2_conn_start(struct conn *c);
// Takes what lies in the input. False: nothing was there.
bool ms_h2_conn_feed(struct conn *c);
// Moves output to the socket as far as it takes it, tells handlers whose client has gone; may close the connection.
void ms_h2_conn_pump(struct conn *c);
// The class of timeout that holds for the connection as a whole.
enum timeout_class ms_h2_conn_timeout_class(const struct conn *c);
// Takes no new requests; those open are answered. Again: the last word.
void ms_h2_conn_drain(struct conn *c);
void ms_h2_conn_say_goodbye(struct conn *c); // idle for too long
void ms_h2_conn_mark_gone(struct conn *c);   // the connection closes: no stream has a client any more
void ms_h2_conn_end(struct conn *c);         // it has closed: tells the handlers. Not from within a call of a work
void ms_h2_conn_free(struct conn *c);        // with the works whose handlers never answered
void ms_h2_stream_expired(struct timeout *entry, enum timeout_class class);

#endif
