// SPDX-License-Identifier: Apache-2.0
// What the two sides of TLS share. Private to tls.c and tls_client.c, the home of OpenSSL in net.
#ifndef MS_NET_TLS_INTERNAL_H
#define MS_NET_TLS_INTERNAL_H

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include "net/tls.h"

struct tls {
	SSL *ssl;
	BIO *in;                   // ciphertext from the peer; owned by ssl
	BIO *out;                  // ciphertext for the peer; owned by ssl
	unsigned long reason;      // OpenSSL's code of what went wrong; 0: nothing yet
	struct tls_resume *resume; // of a client's session; NULL: none is kept
	char names[120];           // for a client: of a certificate that is for other names
};

// SSL_CTX counts its references itself; the struct tags only keep OpenSSL out of the other files.
static inline SSL_CTX *ctx_of(struct tls_context *context)
{
	return (SSL_CTX *)(void *)context;
}

extern const char MS_TLS12_CIPHERS[];

// OpenSSL's words for a failure, without its internal codes.
const char *ms_tls_reason(unsigned long code);
// Never asks at a terminal: a key with a passphrase cannot be used by a service. `asked` is a bool.
int ms_tls_refuse_passphrase(char *dst, int size, int writing, void *asked);
// A session whose side is not chosen yet; NULL when memory is out.
struct tls *ms_tls_make(SSL_CTX *ctx);

#endif
