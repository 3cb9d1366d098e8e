// SPDX-License-Identifier: Apache-2.0
// Private to the plugins. What credentials are compiled to (credential.c).
#ifndef MS_GATEWAY_PLUGINS_CREDENTIAL_H
#define MS_GATEWAY_PLUGINS_CREDENTIAL_H

#include "gateway/plugins/plugins.h"
#include "jose/jose.h"

struct gw_jwt_key {
	enum jose_alg alg;
	struct jose_key *key;         // of the secret as it stands, or of the public key
	struct jose_key *from_base64; // of the secret read as base64; NULL: it is none
};
struct gw_basic_secret {
	bool hashed; // `stored` is a hash of a password, slow to verify
	struct slice stored;
	uint8_t salt[16], digest[32]; // not hashed: HMAC-SHA256 of the password, keyed with the salt
};

#endif
