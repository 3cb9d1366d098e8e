// SPDX-License-Identifier: Apache-2.0
// Private to identity: a signed-in user shows again that it is he, before he changes how he signs in.
#ifndef MS_IDENTITY_PROOF_H
#define MS_IDENTITY_PROOF_H

#include "identity/private.h"

// Starts the state of a request that needs it.
struct identity_proof {
	struct identity_work w;
	struct slice user_id;
	// Of the body: one of them.
	struct slice password, code, method;
	const struct json_value *assertion;
	bool recent_is_enough; // a sign-in of the last ten minutes will do
	identity_fn *go_on;
	struct auth_attempt attempt;
	struct auth_proof proof;
};
// The caller's user id and session. API keys and programs may not change how a user signs in: 403. False: answered.
MS_MUST_USE bool ms_identity_person(struct identity_proof *s);
// Members of the body, for ms_identity_body().
#define IDENTITY_PROOF_FIELDS(s)                                                \
	{.name = "password", .kind = FIELD_TEXT, .to = &(s)->password},         \
		{.name = "code", .kind = FIELD_TEXT, .to = &(s)->code},         \
		{.name = "method", .kind = FIELD_TEXT, .to = &(s)->method},     \
	{                                                                       \
		.name = "assertion", .kind = FIELD_VALUE, .to = &(s)->assertion \
	}
// go_on(), or an answer: 403 auth.proof_required when nothing or something wrong was shown.
void ms_identity_prove(struct identity_proof *s, identity_fn *go_on);

// For OpenAPI.
#define IDENTITY_PROOF_SCHEMA                                                                                       \
	"\"password\":{\"type\":\"string\",\"description\":\"The present password, "                                \
	"or:\"},\"code\":{\"type\":\"string\"},"                                                                    \
	"\"method\":{\"type\":\"string\",\"enum\":[\"totp\",\"recovery\"],\"description\":\"Of the code; default "  \
	"totp\"},"                                                                                                  \
	"\"assertion\":{\"type\":\"object\",\"description\":\"Of a passkey, AuthenticationResponseJSON; challenge " \
	"from webauthn/challenge\"}"

#endif
