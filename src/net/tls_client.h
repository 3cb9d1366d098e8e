// SPDX-License-Identifier: Apache-2.0
// TLS 1.2 and 1.3 on the client's side. Sessions are struct tls of net/tls.h, used by the same calls.
//
// Threads: contexts are immutable and may be shared; sessions and what resumes them belong to one loop.
#ifndef MS_NET_TLS_CLIENT_H
#define MS_NET_TLS_CLIENT_H

#include "net/tls.h"

struct tls_client_options {
	bool verify;           // the chain and the name
	unsigned verify_depth; // 0: OpenSSL's
	struct slice ca_pem;   // authorities; empty: the system's
	struct slice cert_pem; // our own, with its chain; empty: none
	struct slice key_pem;
	bool h2;    // offered by ALPN
	bool http1; // offered by ALPN
};

// The authorities of the system, read once; NULL when they cannot be read. Blocks for some milliseconds.
struct tls_authorities;
struct tls_authorities *ms_tls_system_authorities(void);
void ms_tls_authorities_free(struct tls_authorities *authorities); // accepts NULL

// `system` is used when ca_pem is empty. MS_ERR_TLS with words on what is wrong with a certificate or key.
MS_MUST_USE enum ms_err ms_tls_client_context_new(const struct tls_client_options *options,
						  struct tls_authorities *system, struct errinfo *info,
						  struct tls_context **ret_context);

// What the peer gave us to resume with, of one origin and loop: one ticket, taken by the next session.
struct tls_resume {
	void *session; // zero-initialised
};
void ms_tls_resume_clear(struct tls_resume *resume);

// `name` is asked for (SNI, unless it is an address) and must be in the certificate when the context verifies. NULL when memory is out or
// the name cannot be one. `resume` outlives the session. http1_only: HTTP/2 is not offered, whatever the context says.
struct tls *ms_tls_client_new(struct tls_context *context, struct slice name, bool http1_only,
			      struct tls_resume *resume);
bool ms_tls_resumed(const struct tls *tls);
// After a failure: what was wrong, above all with the certificate, in words. Returns MS_ERR_TLS.
enum ms_err ms_tls_client_problem(const struct tls *tls, struct slice name, struct errinfo *info);

#endif
