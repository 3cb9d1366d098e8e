// SPDX-License-Identifier: Apache-2.0
// What everybody may read at fixed places: the public keys that verify our tokens.
#include "identity/private.h"

// Kept for half an hour: a next key is published a day before it signs.
static void jwks(struct exchange *x, void *role)
{
	const struct identity *identity = role;
	ms_auth_write_jwks(identity->auth, x->loop, x->body);
	if (!ms_buf_ok(x->body)) {
		ms_buf_clear(x->body);
		ms_http_fail_code(x, MS_ERR_NO_MEMORY, "out of memory");
		return;
	}
	ms_http_set_header(x, "Cache-Control", MS_SLICE_LIT("public, max-age=1800"));
	ms_http_send(x, 200, "application/jwk-set+json");
}

static const struct route routes[] = {
	{.method = HTTP_GET,
	 .pattern = "/.well-known/jwks.json",
	 .handle = jwks,
	 .flags = ROUTE_PUBLIC,
	 .operation_id = "getJwks",
	 .tag = "identity",
	 .summary = "The public keys that verify tokens (RFC 7517)",
	 .description = "Empty when tokens are signed with the shared secret JWT_SECRET.",
	 .response_type = "application/jwk-set+json",
	 .response_schema = IDENTITY_OBJECT},
};

struct identity_table ms_identity_wellknown_table(void)
{
	return (struct identity_table){routes, MS_ARRAY_LEN(routes)};
}
