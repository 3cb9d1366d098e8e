// SPDX-License-Identifier: Apache-2.0
// What an authenticator and a browser send (Web Authentication Level 3): parsed and checked by itself, without store, clock or policy of ours.
#ifndef MS_AUTH_WEBAUTHN_DATA_H
#define MS_AUTH_WEBAUTHN_DATA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/base.h"
#include "crypto/crypto.h"

#define WEBAUTHN_CREDENTIAL_ID_MAX 1023 // bytes, as Level 3 says
#define WEBAUTHN_OBJECT_MAX ((size_t)32 << 10)

// --- COSE keys (RFC 9052, 9053, 8812) ------------------------------------------------------------------

enum cose_alg { COSE_ES256 = -7, COSE_EDDSA = -8, COSE_RS256 = -257 };

struct cose_key {
	enum cose_alg alg;
	struct crypto_key *key; // unref
};
// Exactly the parameters that the kind of key needs, in canonical CBOR; takes it off the front of `rest`. MS_ERR_INVALID, for
// an algorithm that we do not offer too.
MS_MUST_USE enum ms_err ms_cose_key_read(struct slice *rest, struct arena *arena, struct errinfo *info,
					 struct cose_key *ret_key);
// As WebAuthn encodes signatures: ECDSA in DER.
MS_MUST_USE bool ms_cose_verify(const struct cose_key *key, struct slice message, struct slice signature);

// --- Authenticator data (section 6.1) ------------------------------------------------------------------

enum authenticator_flags {
	AUTHENTICATOR_PRESENT = 1 << 0,   // UP
	AUTHENTICATOR_VERIFIED = 1 << 2,  // UV
	AUTHENTICATOR_ELIGIBLE = 1 << 3,  // BE: may be backed up
	AUTHENTICATOR_BACKED_UP = 1 << 4, // BS
	AUTHENTICATOR_ATTESTED = 1 << 6,  // AT
	AUTHENTICATOR_EXTENDED = 1 << 7,  // ED
};

struct authenticator_data {
	struct slice rp_id_hash; // 32 bytes
	unsigned flags;
	uint32_t sign_count;
	// With AUTHENTICATOR_ATTESTED:
	struct slice aaguid; // 16 bytes
	struct slice credential_id;
	struct slice public_key; // COSE, its bytes
};
// Whole, nothing behind it. The public key is only measured here.
MS_MUST_USE enum ms_err ms_authenticator_data_read(struct slice bytes, struct arena *arena, struct errinfo *info,
						   struct authenticator_data *ret_data);
// The authenticator data within an attestation object. The statement is parsed, not believed: nobody asked for one.
MS_MUST_USE enum ms_err ms_attestation_read(struct slice object, struct arena *arena, struct errinfo *info,
					    struct slice *ret_auth_data);

// --- Client data (section 5.8.1) -----------------------------------------------------------------------

struct client_data {
	struct slice type, challenge, origin; // the challenge as base64url
	bool cross_origin;
};
MS_MUST_USE enum ms_err ms_client_data_read(struct slice json, struct arena *arena, struct errinfo *info,
					    struct client_data *ret_data);

#endif
