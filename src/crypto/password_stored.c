// SPDX-License-Identifier: Apache-2.0
// Reads stored password hashes of many programs, within limits: whoever imports users must not be able to stop the server with
// a hash that takes all of its memory or an hour.
#include <crypt.h>
#include <stdlib.h>

#include "crypto/crypto.h"
#include "crypto/internal.h"

static enum ms_err bad(struct errinfo *info, const char *what)
{
	return ms_fail(info, MS_ERR_INVALID, "this stored password hash cannot be used: %s", what);
}

// "m=19456" of "m=19456,t=2,p=1": takes it off the front; no sign, no leading zero.
static bool take_number(struct slice *rest, const char *name, uint32_t max, uint32_t *ret_value)
{
	struct slice part;
	uint64_t value;
	if (!ms_slice_next(rest, ',', &part) || !ms_slice_starts_with(part, ms_slice_cstr(name)))
		return false;
	part = ms_slice_sub(part, strlen(name), part.n);
	if (part.n == 0 || part.p[0] == '0' || !ms_slice_to_u64(part, &value) || value > max)
		return false;
	*ret_value = (uint32_t)value;
	return true;
}

// $argon2id$v=19$m=19456,t=2,p=1$salt$tag, behind the first name.
static enum ms_err parse_argon2(struct slice rest, struct arena *arena, struct errinfo *info,
				struct stored_password *parsed)
{
	struct slice version, costs, salt, tag;
	if (!ms_slice_next(&rest, '$', &version) || !ms_slice_next(&rest, '$', &costs) ||
	    !ms_slice_next(&rest, '$', &salt) || !ms_slice_next(&rest, '$', &tag) || rest.p != NULL)
		return bad(info, "it is not $argon2id$v=19$m=…,t=…,p=…$salt$tag");
	if (!ms_slice_eq_cstr(version, "v=19"))
		return bad(info, "only Argon2 version 19 is known");
	struct password_cost *cost = &parsed->cost;
	if (!take_number(&costs, "m=", MS_PASSWORD_MAX_MEMORY_KIB, &cost->memory_kib) ||
	    !take_number(&costs, "t=", MS_PASSWORD_MAX_TIME, &cost->time) ||
	    !take_number(&costs, "p=", MS_PASSWORD_MAX_LANES, &cost->lanes) || costs.p != NULL ||
	    !ms_password_cost_ok(cost))
		return bad(info, "its cost is beyond m=262144,t=10,p=16, or it is malformed");
	if (!ms_base64_decode_bare(salt, '+', arena, &parsed->salt) || parsed->salt.n < 8 || parsed->salt.n > 64 ||
	    !ms_base64_decode_bare(tag, '+', arena, &parsed->tag) || parsed->tag.n < 16 || parsed->tag.n > 64)
		return bad(info, "salt or tag is no base64 of 8 to 64 and of 16 to 64 bytes");
	return MS_OK;
}

static enum ms_err check_pbkdf2(struct slice rounds, struct errinfo *info, struct stored_password *parsed)
{
	uint64_t value;
	if (rounds.n == 0 || rounds.p[0] == '0' || !ms_slice_to_u64(rounds, &value) ||
	    value > MS_PASSWORD_MAX_PBKDF2_ROUNDS)
		return bad(info, "its rounds are no number from 1 to 4000000");
	parsed->rounds = (uint32_t)value;
	if (parsed->salt.n < 1 || parsed->salt.n > 64 || parsed->tag.n != ms_digest_size(parsed->hash))
		return bad(info, "salt or tag has not the right size");
	return MS_OK;
}

// passlib: rounds$salt$tag, both in base64 with '.' for '+'. Django: rounds$salt$tag, the salt as it is, the tag in padded base64.
static enum ms_err parse_pbkdf2(struct slice rest, bool django, struct arena *arena, struct errinfo *info,
				struct stored_password *parsed)
{
	struct slice rounds, salt, tag;
	if (!ms_slice_next(&rest, '$', &rounds) || !ms_slice_next(&rest, '$', &salt) ||
	    !ms_slice_next(&rest, '$', &tag) || rest.p != NULL)
		return bad(info, "it has not the parts rounds$salt$tag");
	parsed->salt = salt;
	bool ok = django ? ms_base64_decode(tag, arena, &parsed->tag)
			 : ms_base64_decode_bare(salt, '.', arena, &parsed->salt) &&
				   ms_base64_decode_bare(tag, '.', arena, &parsed->tag);
	if (!ok)
		return bad(info, "salt or tag is no base64");
	return check_pbkdf2(rounds, info, parsed);
}

// $2b$12$, 22 letters of salt, 31 of the tag.
static enum ms_err parse_bcrypt(struct slice stored, struct errinfo *info, struct stored_password *parsed)
{
	static const char letters[] = "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
	bool ok = stored.n == 60 && stored.p[6] == '$' && stored.p[4] >= '0' && stored.p[4] <= '9' &&
		  stored.p[5] >= '0' && stored.p[5] <= '9';
	for (size_t i = 7; ok && i < stored.n; i++)
		ok = memchr(letters, stored.p[i], sizeof(letters) - 1) != NULL;
	if (!ok)
		return bad(info, "a bcrypt hash is $2b$, two digits of cost, $ and 53 letters");
	parsed->rounds = (uint32_t)(stored.p[4] - '0') * 10 + (uint32_t)(stored.p[5] - '0');
	if (parsed->rounds < 4 || parsed->rounds > MS_PASSWORD_MAX_BCRYPT_COST)
		return bad(info, "its bcrypt cost is not 4 to 15");
	return MS_OK;
}

enum ms_err ms_password_parse(struct slice stored, struct arena *arena, struct errinfo *info,
			      struct stored_password *ret_parsed)
{
	static const struct {
		const char *prefix;
		enum password_kind kind;
		enum crypto_hash hash;
		bool django;
	} forms[] = {
		{"$argon2id$", PASSWORD_ARGON2ID, 0, false},
		{"$argon2i$", PASSWORD_ARGON2I, 0, false},
		{"$2b$", PASSWORD_BCRYPT, 0, false},
		{"$2a$", PASSWORD_BCRYPT, 0, false},
		{"$2y$", PASSWORD_BCRYPT, 0, false},
		{"$pbkdf2-sha256$", PASSWORD_PBKDF2, CRYPTO_SHA256, false},
		{"$pbkdf2-sha512$", PASSWORD_PBKDF2, CRYPTO_SHA512, false},
		{"pbkdf2_sha256$", PASSWORD_PBKDF2, CRYPTO_SHA256, true},
		{"pbkdf2_sha512$", PASSWORD_PBKDF2, CRYPTO_SHA512, true},
	};
	if (stored.n > MS_PASSWORD_STORED_MAX)
		return bad(info, "it is longer than 512 bytes");
	for (size_t i = 0; i < MS_ARRAY_LEN(forms); i++) {
		struct slice prefix = ms_slice_cstr(forms[i].prefix);
		if (!ms_slice_starts_with(stored, prefix))
			continue;
		struct slice rest = ms_slice_sub(stored, prefix.n, stored.n);
		*ret_parsed = (struct stored_password){.kind = forms[i].kind, .hash = forms[i].hash};
		switch (forms[i].kind) {
		case PASSWORD_ARGON2I:
		case PASSWORD_ARGON2ID:
			return parse_argon2(rest, arena, info, ret_parsed);
		case PASSWORD_BCRYPT:
			return parse_bcrypt(stored, info, ret_parsed);
		case PASSWORD_PBKDF2:
			return parse_pbkdf2(rest, forms[i].django, arena, info, ret_parsed);
		}
	}
	return bad(info, "its kind is none of Argon2, bcrypt and PBKDF2");
}

enum ms_err ms_password_bcrypt(struct slice stored, struct slice password, bool *ret_match)
{
	char setting[64], text[128];
	// bcrypt takes 72 bytes and C strings. What is longer would be cut in silence, so it matches nothing.
	if (password.n > 72 || !ms_slice_to_cstr(password, text, sizeof(text))) {
		*ret_match = false;
		return MS_OK;
	}
	bool fits = ms_slice_to_cstr(stored, setting, sizeof(setting));
	MS_ASSERT(fits); // it was parsed
	struct crypt_data *data = calloc(1, sizeof(*data));
	if (data == NULL)
		return MS_ERR_NO_MEMORY;
	// Not crypt_r, which the address sanitizer replaces.
	const char *hash = crypt_rn(text, setting, data, (int)sizeof(*data));
	*ret_match = hash != NULL && ms_equal_constant_time(ms_slice_cstr(hash), stored);
	ms_wipe(data, sizeof(*data));
	ms_wipe(text, sizeof(text));
	free(data);
	return MS_OK;
}
