// SPDX-License-Identifier: Apache-2.0
// A ticket is base64url of a sealed secret (vault): 8 bytes of time, then the payload. Its 24 random bytes are the box's nonce.
#include "auth/mfa.h"
#include "auth/vault.h"

#define TIME_SIZE 8
#define TEXT_MAX 1024
#define SWEEP_ROWS 1000

enum ms_err ms_ticket_make(const struct auth *auth, struct slice context, struct slice payload, int64_t now_us,
			   struct arena *arena, struct errinfo *info, struct slice *ret_text)
{
	struct buf text;
	struct slice sealed;
	char *plain = ms_arena_alloc(arena, TIME_SIZE + payload.n);
	if (plain == NULL)
		return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory");
	for (size_t i = 0; i < TIME_SIZE; i++)
		plain[i] = (char)((uint64_t)now_us >> (56 - 8 * i));
	if (payload.n > 0)
		memcpy(plain + TIME_SIZE, payload.p, payload.n);
	MS_TRY(ms_auth_seal(auth, context, ms_slice(plain, TIME_SIZE + payload.n), arena, info, &sealed));
	ms_buf_init(&text, TEXT_MAX);
	ms_base64url_append(&text, sealed);
	*ret_text = ms_buf_ok(&text) ? ms_arena_copy(arena, ms_buf_slice(&text)) : MS_SLICE_EMPTY;
	ms_buf_fini(&text);
	return ret_text->p != NULL ? MS_OK : ms_fail(info, MS_ERR_NO_MEMORY, "out of memory");
}

enum ms_err ms_ticket_open(const struct auth *auth, struct slice context, struct slice text, int64_t now_us,
			   struct arena *arena, struct errinfo *info, struct ticket *ret_ticket)
{
	struct slice sealed = MS_SLICE_EMPTY, plain;
	struct errinfo ignored;
	uint64_t issued = 0;
	ms_errinfo_init(&ignored);
	// Of another key than the present one: for a key that it does not know the vault would read its file, and strangers could have it do so.
	if (text.n > TEXT_MAX || !ms_base64url_decode(text, arena, &sealed) ||
	    !ms_vault_is_current(auth->vault->vault, sealed) ||
	    ms_auth_open(auth, context, sealed, arena, &ignored, &plain) != MS_OK || plain.n < TIME_SIZE)
		return ms_fail(info, MS_ERR_TOKEN_INVALID, "not one of ours, or not for this");
	for (size_t i = 0; i < TIME_SIZE; i++)
		issued = issued << 8 | (uint8_t)plain.p[i];
	if ((int64_t)issued > now_us + MS_AUTH_MFA_TOKEN_LIFE_US ||
	    now_us - (int64_t)issued >= MS_AUTH_MFA_TOKEN_LIFE_US)
		return ms_fail(info, MS_ERR_TOKEN_EXPIRED, "it is older than five minutes: begin again");
	ret_ticket->issued_us = (int64_t)issued;
	ret_ticket->payload = ms_slice_sub(plain, TIME_SIZE, SIZE_MAX);
	ms_sha256(sealed, ret_ticket->hash);
	return MS_OK;
}

enum ms_err ms_ticket_spend(struct store_tx *tx, const uint8_t hash[MS_SHA256_SIZE], struct errinfo *info,
			    bool *ret_fresh)
{
	uint64_t changed;
	// Kept for twice its life: clocks of processes differ.
	MS_TRY(ms_store_run(tx, "INSERT INTO spent (hash, expires_us) VALUES ($1, $2) ON CONFLICT (hash) DO NOTHING",
			    MS_STORE_PARAMS(ms_store_blob(ms_slice(hash, MS_SHA256_SIZE)),
					    ms_store_int(ms_store_now_us(tx) + 2 * MS_AUTH_MFA_TOKEN_LIFE_US)),
			    info, &changed));
	*ret_fresh = changed == 1;
	return MS_OK;
}

enum ms_err ms_ticket_sweep(struct store_tx *tx, struct errinfo *info)
{
	return ms_store_run(tx,
			    "DELETE FROM spent WHERE hash IN (SELECT hash FROM spent WHERE expires_us < $1 ORDER BY "
			    "expires_us LIMIT $2)",
			    MS_STORE_PARAMS(ms_store_int(ms_store_now_us(tx)), ms_store_int(SWEEP_ROWS)), info, NULL);
}
