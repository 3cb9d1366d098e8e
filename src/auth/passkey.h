// SPDX-License-Identifier: Apache-2.0
// Private to auth: what the files of passkeys share.
#ifndef MS_AUTH_PASSKEY_H
#define MS_AUTH_PASSKEY_H

#include "auth/mfa.h"
#include "auth/webauthn_data.h"

// What a challenge is for; the context of its ticket, in the arena. `user_id` empty: a sign-in by whoever has a passkey.
enum passkey_use { PASSKEY_REGISTER, PASSKEY_SIGN_IN };
MS_MUST_USE enum ms_err ms_passkey_context(enum passkey_use use, struct slice user_id, struct arena *arena,
					   struct errinfo *info, struct slice *ret_context);

// What a browser sends of either kind.
struct passkey_response {
	struct slice credential_id;          // decoded
	struct slice client_data;            // decoded: JSON
	struct slice object;                 // decoded: attestation object, or authenticator data
	struct slice signature, user_handle; // of an assertion; user_handle may be empty
	const struct json_value *transports; // of a registration; NULL: none
};
// What is malformed; NULL: nothing.
const char *ms_passkey_read_response(const struct json_value *json, bool registration, struct arena *arena,
				     struct passkey_response *ret_response);

// Type, origin and challenge of the client data (ret_challenge: what is to be spent when the rest is right); the flags and the RP id of the authenticator data. *ret_wrong NULL: as it should be.
struct passkey_ceremony {
	enum passkey_use use;
	struct slice user_id;
	bool needs_verified;
};
MS_MUST_USE enum ms_err ms_passkey_check_client(struct store_tx *tx, const struct auth *auth,
						const struct passkey_ceremony *ceremony, struct slice client_data,
						struct errinfo *info, const char **ret_wrong,
						uint8_t ret_challenge[MS_SHA256_SIZE]);
// Once only those come here who hold the key: what strangers send shall write nothing.
MS_MUST_USE enum ms_err ms_passkey_spend(struct store_tx *tx, const uint8_t challenge[MS_SHA256_SIZE],
					 struct errinfo *info, const char **ret_wrong);
const char *ms_passkey_check_data(const struct auth *auth, const struct passkey_ceremony *ceremony,
				  const struct authenticator_data *data);

#endif
