// SPDX-License-Identifier: Apache-2.0
// The life of the whole: options, parts, schema, names, ids.
#include <stdlib.h>

#include "auth/internal.h"

static const struct store_migration steps[] = {
	{.module = "auth", .version = 1, .name = "users, sessions, refresh tokens", .sql = ms_auth_schema_users},
	{.module = "auth", .version = 2, .name = "roles, API keys", .sql = ms_auth_schema_keys},
	{.module = "auth", .version = 3, .name = "audit log, signing keys", .sql = ms_auth_schema_audit},
	{.module = "auth",
	 .version = 4,
	 .name = "OAuth clients, codes, consents, devices",
	 .sql = ms_auth_schema_oauth},
	{.module = "auth", .version = 5, .name = "second factors", .sql = ms_auth_schema_mfa},
	{.module = "auth", .version = 6, .name = "identities at outside providers", .sql = ms_auth_schema_federation},
};
const struct store_migrations ms_auth_migrations = {.steps = steps, .count = MS_ARRAY_LEN(steps)};

const char *ms_auth_event_name(enum auth_event event)
{
	static const char *const names[] = {
#define MS_AUTH_EVENT(id, name, text) [id] = (name),
#include "auth/events.def"
#undef MS_AUTH_EVENT
	};
	MS_ASSERT((size_t)event < MS_ARRAY_LEN(names));
	return names[event];
}

void ms_auth_id(char ret_id[MS_AUTH_ID_SIZE])
{
	static const char digits[] = "0123456789abcdef";
	uint8_t b[16];
	uint64_t ms = (uint64_t)ms_clock_wall_ns() / 1000000;
	size_t at = 0;
	ms_random_bytes(b, sizeof(b));
	for (size_t i = 0; i < 6; i++)
		b[i] = (uint8_t)(ms >> (40 - 8 * i));
	b[6] = (uint8_t)(0x70 | (b[6] & 0x0f)); // version 7
	b[8] = (uint8_t)(0x80 | (b[8] & 0x3f)); // variant 10
	for (size_t i = 0; i < sizeof(b); i++) {
		if (i == 4 || i == 6 || i == 8 || i == 10)
			ret_id[at++] = '-';
		ret_id[at++] = digits[b[i] >> 4];
		ret_id[at++] = digits[b[i] & 15];
	}
	ret_id[at] = '\0';
	MS_ASSERT(at == MS_AUTH_ID_SIZE - 1);
}

// --- Life --------------------------------------------------------------------------------------------

static enum ms_err copy_options(struct auth *auth, const struct auth_options *options, struct errinfo *info)
{
	auth->options = *options;
	const char **texts[] = {&auth->options.data_dir,      &auth->options.issuer,
				&auth->options.audience,      &auth->options.jwt_secret,
				&auth->options.master_key,    &auth->options.registration_role,
				&auth->options.webauthn_rp_id};
	for (size_t i = 0; i < MS_ARRAY_LEN(texts); i++) {
		*texts[i] = ms_arena_cstr(&auth->arena, ms_slice_cstr(*texts[i] != NULL ? *texts[i] : ""));
		if (*texts[i] == NULL)
			return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory");
	}
	return MS_OK;
}

enum ms_err ms_auth_new(const struct auth_options *options, struct errinfo *info, struct auth **ret_auth)
{
	struct auth *auth = calloc(1, sizeof(*auth));
	if (auth == NULL)
		return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory");
	ms_arena_init(&auth->arena, 4096, (size_t)64 << 20);
	enum ms_err err = copy_options(auth, options, info);
	if (err == MS_OK)
		err = ms_auth_vault_new(auth, info);
	if (err == MS_OK)
		err = ms_auth_gate_new(auth, info);
	if (err == MS_OK)
		err = ms_auth_people_new(auth, info);
	if (err == MS_OK)
		err = ms_auth_mfa_new(auth, info);
	if (err == MS_OK)
		err = ms_auth_oauth_new(auth, info);
	if (err == MS_OK)
		err = ms_auth_federation_new(auth, info);
	if (err != MS_OK) {
		ms_auth_stop(auth);
		if (auth->options.rt != NULL)
			ms_rt_deliver(auth->options.rt); // what is on its way to a part has to arrive while it is there
		ms_auth_free(auth);
		return err;
	}
	*ret_auth = auth;
	return MS_OK;
}

void ms_auth_stop(struct auth *auth)
{
	if (auth == NULL)
		return;
	ms_auth_federation_stop(auth);
	ms_auth_people_stop(auth);
	ms_auth_gate_stop(auth);
	ms_auth_vault_stop(auth);
}

void ms_auth_free(struct auth *auth)
{
	if (auth == NULL)
		return;
	ms_auth_federation_free(auth);
	ms_auth_oauth_free(auth);
	ms_auth_people_free(auth);
	ms_auth_gate_free(auth);
	ms_auth_vault_free(auth);
	if (auth->options.jwt_secret != NULL)
		ms_wipe((char *)(uintptr_t)auth->options.jwt_secret, strlen(auth->options.jwt_secret));
	if (auth->options.master_key != NULL)
		ms_wipe((char *)(uintptr_t)auth->options.master_key, strlen(auth->options.master_key));
	ms_arena_fini(&auth->arena);
	free(auth);
}
