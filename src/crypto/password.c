// SPDX-License-Identifier: Apache-2.0
// Argon2 for our own passwords, and the verification of all kinds. libsodium has the fastest Argon2id, but for one lane and salts of
// 16 bytes alone; hashes that came from elsewhere with others are computed by the reference implementation, libargon2.
#include <argon2.h>
#include <sodium.h>

#include "crypto/crypto.h"
#include "crypto/internal.h"

const struct password_cost MS_PASSWORD_COST_DEFAULT = {.memory_kib = 19456, .time = 2, .lanes = 1};
_Static_assert(MS_PASSWORD_SALT_SIZE == crypto_pwhash_SALTBYTES, "salt");

void ms_crypto_sodium(void)
{
	int ok = sodium_init(); // may be called again, by any thread
	MS_ASSERT(ok >= 0);
}

bool ms_password_cost_ok(const struct password_cost *cost)
{
	return cost->time >= 1 && cost->time <= MS_PASSWORD_MAX_TIME && cost->lanes >= 1 &&
	       cost->lanes <= MS_PASSWORD_MAX_LANES && cost->memory_kib >= 8 * cost->lanes &&
	       cost->memory_kib <= MS_PASSWORD_MAX_MEMORY_KIB;
}

// False when the memory is not there: all else was checked before.
static bool argon2(enum password_kind kind, const struct password_cost *cost, struct slice password, struct slice salt,
		   uint8_t *ret_tag, size_t tag_size)
{
	if (kind == PASSWORD_ARGON2ID && cost->lanes == 1 && salt.n == MS_PASSWORD_SALT_SIZE) {
		ms_crypto_sodium();
		return crypto_pwhash(ret_tag, tag_size, ms_bytes(password), password.n, (const unsigned char *)salt.p,
				     cost->time, (size_t)cost->memory_kib << 10, crypto_pwhash_ALG_ARGON2ID13) == 0;
	}
	argon2_context ctx = {
		.out = ret_tag,
		.outlen = (uint32_t)tag_size,
		.pwd = (uint8_t *)(uintptr_t)ms_bytes(password), // only read: no flag that clears it is set
		.pwdlen = (uint32_t)password.n,
		.salt = (uint8_t *)(uintptr_t)ms_bytes(salt),
		.saltlen = (uint32_t)salt.n,
		.t_cost = cost->time,
		.m_cost = cost->memory_kib,
		.lanes = cost->lanes,
		.threads = 1,
		.version = ARGON2_VERSION_13,
		.flags = ARGON2_DEFAULT_FLAGS,
	};
	int status = argon2_ctx(&ctx, kind == PASSWORD_ARGON2ID ? Argon2_id : Argon2_i);
	MS_ASSERT(status == ARGON2_OK || status == ARGON2_MEMORY_ALLOCATION_ERROR);
	return status == ARGON2_OK;
}

static enum ms_err no_memory(const struct password_cost *cost, struct errinfo *info)
{
	return ms_fail(info, MS_ERR_NO_MEMORY, "no memory for a password hash of %u KiB", (unsigned)cost->memory_kib);
}

enum ms_err ms_password_hash(struct slice password, const struct password_cost *cost,
			     const uint8_t salt[MS_PASSWORD_SALT_SIZE], struct errinfo *info, struct buf *out)
{
	MS_ASSERT(ms_password_cost_ok(cost));
	if (password.n > MS_PASSWORD_MAX_LENGTH)
		return ms_fail(info, MS_ERR_INVALID, "a password has at most %d bytes", MS_PASSWORD_MAX_LENGTH);
	uint8_t tag[MS_PASSWORD_TAG_SIZE];
	if (!argon2(PASSWORD_ARGON2ID, cost, password, ms_slice(salt, MS_PASSWORD_SALT_SIZE), tag, sizeof(tag)))
		return no_memory(cost, info);
	ms_buf_printf(out, "$argon2id$v=19$m=%u,t=%u,p=%u$", (unsigned)cost->memory_kib, (unsigned)cost->time,
		      (unsigned)cost->lanes);
	ms_base64_append_bare(out, ms_slice(salt, MS_PASSWORD_SALT_SIZE));
	ms_buf_append_char(out, '$');
	ms_base64_append_bare(out, ms_slice(tag, sizeof(tag)));
	ms_wipe(tag, sizeof(tag));
	return ms_buf_ok(out) ? MS_OK : MS_ERR_NO_MEMORY;
}

static bool needs_rehash(const struct stored_password *p, const struct password_cost *wanted)
{
	return p->kind != PASSWORD_ARGON2ID || p->cost.memory_kib != wanted->memory_kib ||
	       p->cost.time != wanted->time || p->cost.lanes != wanted->lanes || p->salt.n != MS_PASSWORD_SALT_SIZE ||
	       p->tag.n != MS_PASSWORD_TAG_SIZE;
}

static enum ms_err compare(const struct stored_password *p, struct slice stored, struct slice password,
			   struct errinfo *info, bool *ret_match)
{
	uint8_t tag[MS_PASSWORD_STORED_MAX];
	MS_ASSERT(p->tag.n <= sizeof(tag));
	switch (p->kind) {
	case PASSWORD_ARGON2I:
	case PASSWORD_ARGON2ID:
		if (!argon2(p->kind, &p->cost, password, p->salt, tag, p->tag.n))
			return no_memory(&p->cost, info);
		break;
	case PASSWORD_PBKDF2:
		ms_pbkdf2(p->hash, password, p->salt, p->rounds, tag, p->tag.n);
		break;
	case PASSWORD_BCRYPT:
		return ms_password_bcrypt(stored, password, ret_match);
	}
	*ret_match = ms_equal_constant_time(ms_slice(tag, p->tag.n), p->tag);
	ms_wipe(tag, sizeof(tag));
	return MS_OK;
}

enum ms_err ms_password_verify(struct slice stored, struct slice password, const struct password_cost *wanted,
			       struct errinfo *info, struct password_answer *ret_answer)
{
	struct arena arena;
	ms_arena_init(&arena, 1024, MS_PASSWORD_PARSE_MEMORY);
	struct stored_password parsed;
	bool match = false;
	enum ms_err err = ms_password_parse(stored, &arena, info, &parsed);
	if (err == MS_OK && password.n <= MS_PASSWORD_MAX_LENGTH)
		err = compare(&parsed, stored, password, info, &match);
	if (err == MS_OK)
		*ret_answer = (struct password_answer){.match = match, .needs_rehash = needs_rehash(&parsed, wanted)};
	ms_arena_fini(&arena);
	return err;
}

enum ms_err ms_password_check_stored(struct slice stored, struct errinfo *info)
{
	struct arena arena;
	ms_arena_init(&arena, 1024, MS_PASSWORD_PARSE_MEMORY);
	struct stored_password parsed;
	enum ms_err err = ms_password_parse(stored, &arena, info, &parsed);
	ms_arena_fini(&arena);
	return err;
}

enum ms_err ms_password_verify_nobody(struct slice password, const struct password_cost *cost, struct errinfo *info)
{
	MS_ASSERT(ms_password_cost_ok(cost));
	static const uint8_t salt[MS_PASSWORD_SALT_SIZE] = {0};
	uint8_t tag[MS_PASSWORD_TAG_SIZE];
	// A password that is too long is not hashed for those who exist either.
	if (password.n <= MS_PASSWORD_MAX_LENGTH &&
	    !argon2(PASSWORD_ARGON2ID, cost, password, ms_slice(salt, sizeof(salt)), tag, sizeof(tag)))
		return no_memory(cost, info);
	ms_wipe(tag, sizeof(tag));
	return MS_OK;
}
