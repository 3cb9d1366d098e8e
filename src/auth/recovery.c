// SPDX-License-Identifier: Apache-2.0
// Recovery codes: for who lost his second factor. 50 random bits each, few enough to be typed, so they are hashed like passwords (Argon2id at
// the cost of passwords): a keyed hash would fall with the master key, which by default lies beside the database. One salt for
// the set, so that one hash finds the code; the codes of a set are random and differ anyway.
#include "auth/mfa.h"

#define HALF 5
#define CODE_SIZE (2 * HALF)

// Crockford's: no letters that look like digits or like one another.
static const char alphabet[] = "0123456789abcdefghjkmnpqrstvwxyz";

static void make_code(char ret_code[MS_AUTH_RECOVERY_SIZE])
{
	uint8_t random[CODE_SIZE];
	size_t at = 0;
	ms_random_bytes(random, sizeof(random));
	for (size_t i = 0; i < CODE_SIZE; i++) {
		if (i == HALF)
			ret_code[at++] = '-';
		ret_code[at++] = alphabet[random[i] & 31];
	}
	ret_code[at] = '\0';
	MS_ASSERT(at == MS_AUTH_RECOVERY_SIZE - 1);
	ms_wipe(random, sizeof(random));
}

// As it was shown: lower case, o and i and l as the digits they look like. False: no code looks like this.
static bool normalise(struct slice code, char ret_code[CODE_SIZE])
{
	size_t n = 0;
	for (size_t i = 0; i < code.n; i++) {
		char c = code.p[i];
		if (c == '-' || c == ' ')
			continue;
		if (c >= 'A' && c <= 'Z')
			c = (char)(c + ('a' - 'A'));
		c = c == 'o' ? '0' : c == 'i' || c == 'l' ? '1' : c;
		if (n == CODE_SIZE || c == '\0' || strchr(alphabet, c) == NULL)
			return false;
		ret_code[n++] = c;
	}
	return n == CODE_SIZE;
}

enum ms_err ms_recovery_hash(struct slice code, struct slice salt, const struct password_cost *cost,
			     struct arena *arena, struct errinfo *info, struct slice *ret_hash)
{
	char plain[CODE_SIZE];
	struct buf out;
	if (!normalise(code, plain) || salt.n != MS_PASSWORD_SALT_SIZE)
		return ms_fail(info, MS_ERR_INVALID, "this is no recovery code");
	ms_buf_init(&out, MS_PASSWORD_STORED_MAX);
	enum ms_err err = ms_password_hash(ms_slice(plain, sizeof(plain)), cost, (const uint8_t *)salt.p, info, &out);
	ms_wipe(plain, sizeof(plain));
	if (err == MS_OK) {
		*ret_hash = ms_buf_ok(&out) ? ms_arena_copy(arena, ms_buf_slice(&out)) : MS_SLICE_EMPTY;
		if (ret_hash->p == NULL)
			err = ms_fail(info, MS_ERR_NO_MEMORY, "out of memory");
	}
	ms_buf_fini(&out);
	return err;
}

enum ms_err ms_recovery_salt(struct store_tx *tx, struct slice user_id, struct errinfo *info, bool *ret_found,
			     struct slice *ret_salt, struct password_cost *ret_cost)
{
	struct store_rows rows;
	MS_TRY(ms_store_query(tx, "SELECT salt, memory_kib, passes FROM recovery_sets WHERE user_id = $1",
			      MS_STORE_PARAMS(ms_store_text(user_id)), 1, info, &rows));
	*ret_found = rows.count > 0;
	if (rows.count == 0)
		return MS_OK;
	*ret_salt = ms_store_get_blob(&rows, 0, 0);
	*ret_cost = (struct password_cost){.memory_kib = (uint32_t)ms_store_get_int(&rows, 0, 1),
					   .time = (uint32_t)ms_store_get_int(&rows, 0, 2),
					   .lanes = 1};
	if (ret_salt->n == MS_PASSWORD_SALT_SIZE && ms_password_cost_ok(ret_cost))
		return MS_OK;
	return ms_fail(info, MS_ERR_INTERNAL, "the recovery codes of a user are damaged");
}

enum ms_err ms_recovery_spend(struct store_tx *tx, struct slice user_id, struct slice hash, struct errinfo *info,
			      const char **ret_refusal)
{
	uint64_t changed = 0;
	*ret_refusal = NULL;
	if (hash.n > 0)
		MS_TRY(ms_store_run(tx, "DELETE FROM recovery_codes WHERE user_id = $1 AND hash = $2",
				    MS_STORE_PARAMS(ms_store_text(user_id), ms_store_text(hash)), info, &changed));
	if (changed == 0)
		*ret_refusal = "wrong recovery code";
	return MS_OK;
}

enum ms_err ms_auth_recovery_make(const struct auth *auth, struct arena *arena, struct errinfo *info,
				  struct auth_recovery *ret_recovery)
{
	struct auth_recovery *r = ret_recovery;
	r->cost = auth->people->cost;
	ms_random_bytes(r->salt, sizeof(r->salt));
	for (size_t i = 0; i < MS_AUTH_RECOVERY_CODES; i++) {
		make_code(r->codes[i]);
		MS_TRY(ms_recovery_hash(ms_slice_cstr(r->codes[i]), ms_slice(r->salt, sizeof(r->salt)), &r->cost, arena,
					info, &r->hashes[i]));
	}
	return MS_OK;
}

enum ms_err ms_auth_recovery_store(struct store_tx *tx, struct auth *auth, const struct auth_actor *by,
				   struct slice user_id, const struct auth_recovery *recovery, struct errinfo *info)
{
	struct auth_factors factors;
	MS_TRY(ms_auth_factors(tx, user_id, info, &factors));
	if (!ms_auth_has_factor(&factors))
		return ms_fail(info, MS_ERR_CONFLICT,
			       "recovery codes stand in for a second factor: set up TOTP or a passkey first");
	// With the set its codes go.
	MS_TRY(ms_store_run(tx, "DELETE FROM recovery_sets WHERE user_id = $1", MS_STORE_PARAMS(ms_store_text(user_id)),
			    info, NULL));
	MS_TRY(ms_store_run(
		tx,
		"INSERT INTO recovery_sets (user_id, salt, memory_kib, passes, created_us) VALUES ($1, $2, $3, $4, $5)",
		MS_STORE_PARAMS(ms_store_text(user_id), ms_store_blob(ms_slice(recovery->salt, sizeof(recovery->salt))),
				ms_store_int(recovery->cost.memory_kib), ms_store_int(recovery->cost.time),
				ms_store_int(ms_store_now_us(tx))),
		info, NULL));
	for (size_t i = 0; i < MS_AUTH_RECOVERY_CODES; i++)
		MS_TRY(ms_store_run(tx, "INSERT INTO recovery_codes (user_id, hash) VALUES ($1, $2)",
				    MS_STORE_PARAMS(ms_store_text(user_id), ms_store_text(recovery->hashes[i])), info,
				    NULL));
	return ms_factor_record(tx, auth, by, AUTH_RECOVERY_MADE, user_id, "{\"codes\":10}", info);
}
