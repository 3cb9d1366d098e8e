// SPDX-License-Identifier: Apache-2.0
// What the tests of this module share: keys of the RFCs, and tokens made by hand.
#ifndef MS_JOSE_TEST_KIT_H
#define MS_JOSE_TEST_KIT_H

#include "jose/jose.h"

// RFC 7515, A.1 and A.3; RFC 8037, A.1; RFC 7638, 3.1.
#define KEY_HS256                                                                                  \
	"{\"kty\":\"oct\",\"alg\":\"HS256\",\"k\":\"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-" \
	"1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow\"}"
#define EC_X "\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\""
#define EC_Y "\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\""
#define EC_D "\"d\":\"jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI\""
#define KEY_ES256 "{\"kty\":\"EC\",\"alg\":\"ES256\",\"crv\":\"P-256\"," EC_X "," EC_Y "," EC_D "}"
#define KEY_ED25519                                                                                   \
	"{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"d\":\"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A\"," \
	"\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}"
#define RSA_N                                                                                                          \
	"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3" \
	"oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdA" \
	"ZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-" \
	"kEgU8awapJzKnqDKgw"
#define KEY_RSA_FOR(alg) "{\"kty\":\"RSA\",\"n\":\"" RSA_N "\",\"e\":\"AQAB\",\"alg\":\"" alg "\"}"
#define KEY_RSA KEY_RSA_FOR("RS256")

struct jose_key *test_key(const char *jwk, enum jose_alg fallback); // ends the program when it is none
// header.payload.signature of texts as they are, signed by the key as if the header named its algorithm. In the arena, with NUL.
const char *test_token(const struct jose_key *key, const char *header, const char *payload, struct arena *arena);

#endif
