// SPDX-License-Identifier: Apache-2.0
// API keys that the environment gives as SHA-256: ML_API_KEY_HASH=… is a key of the caller "ml", with the role service or, when
// ML_API_KEY_SCOPES lists grants, with those.
#include "auth/gate.h"

#define HASH_SUFFIX MS_SLICE_LIT("_API_KEY_HASH")
#define SCOPES_SUFFIX MS_SLICE_LIT("_API_KEY_SCOPES")
#define NAME_MAX_BYTES 64
#define ENVIRONMENT_KEYS_MAX 1000

// "ML" of "ML_API_KEY_HASH=…"; false for any other variable.
static bool split(const char *variable, struct slice suffix, struct slice *ret_name, struct slice *ret_value)
{
	struct slice whole = ms_slice_cstr(variable);
	size_t equals = ms_slice_find(whole, '=');
	struct slice name = ms_slice_sub(whole, 0, equals);
	if (equals == whole.n || name.n <= suffix.n || !ms_slice_ends_with(name, suffix))
		return false;
	*ret_name = ms_slice_sub(name, 0, name.n - suffix.n);
	*ret_value = ms_slice_trim(ms_slice_sub(whole, equals + 1, SIZE_MAX));
	return ret_value->n > 0; // empty is not set
}

static enum ms_err bad(struct slice name, struct slice suffix, const char *why, struct errinfo *info)
{
	return ms_fail(info, MS_ERR_CONFIG, "environment %.*s%.*s: %s", MS_SLICE_ARG(name), MS_SLICE_ARG(suffix), why);
}

static struct slice find_scopes(const char *const *environment, struct slice name)
{
	struct slice found, value;
	for (size_t i = 0; environment[i] != NULL; i++) {
		if (split(environment[i], SCOPES_SUFFIX, &found, &value) && ms_slice_eq(found, name))
			return value;
	}
	return MS_SLICE_EMPTY;
}

// Divided by commas or white space.
static enum ms_err read_scopes(struct slice name, struct slice text, struct arena *arena, struct errinfo *info,
			       const struct grants **ret_grants)
{
	struct slice texts[MS_GRANTS_MAX];
	size_t count = 0;
	for (size_t i = 0; i < text.n;) {
		size_t end = i;
		while (end < text.n && text.p[end] != ',' && text.p[end] != ' ' && text.p[end] != '\t' &&
		       text.p[end] != '\n')
			end++;
		if (end > i && count == MS_GRANTS_MAX)
			return bad(name, SCOPES_SUFFIX, "has too many grants", info);
		if (end > i)
			texts[count++] = ms_slice_sub(text, i, end - i);
		i = end + 1;
	}
	struct errinfo why;
	ms_errinfo_init(&why);
	enum ms_err err = ms_grants_parse(texts, count, arena, &why, ret_grants);
	return err == MS_OK ? MS_OK : bad(name, SCOPES_SUFFIX, why.message, info);
}

static enum ms_err service_grants(struct arena *arena, struct errinfo *info, const struct grants **ret_grants)
{
	for (size_t i = 0; i < ms_role_built_in_count(); i++) {
		if (ms_slice_eq_cstr(ms_role_built_in_name(i), "service"))
			return ms_role_built_in_grants(i, arena, info, ret_grants);
	}
	MS_UNREACHABLE();
}

static enum ms_err read_key(struct slice name, struct slice hash, struct slice scopes, struct arena *arena,
			    struct errinfo *info, struct live_key *ret_key)
{
	struct slice digest;
	struct live_key key = {.expires_us = INT64_MAX};
	if (name.n > NAME_MAX_BYTES)
		return bad(name, HASH_SUFFIX, "the name is too long", info);
	if (hash.n != 2 * MS_SHA256_SIZE || !ms_hex_decode(hash, arena, &digest))
		return bad(name, HASH_SUFFIX, "expected the SHA-256 of the key, 64 hexadecimal digits", info);
	memcpy(key.digest, digest.p, MS_SHA256_SIZE);
	char *lower = ms_arena_cstr(arena, name);
	if (lower == NULL)
		return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory for the environment's keys");
	for (char *c = lower; *c != '\0'; c++)
		*c = (char)(*c >= 'A' && *c <= 'Z' ? *c + ('a' - 'A') : *c);
	const char *id = ms_arena_printf(arena, "env:%s", lower);
	if (id == NULL)
		return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory for the environment's keys");
	key.who = (struct admitted){
		.kind = CALLER_KEY, .id = ms_slice_cstr(id), .name = ms_slice_cstr(lower), .user = MS_SLICE_LIT("")};
	MS_TRY(scopes.n > 0 ? read_scopes(name, scopes, arena, info, &key.who.grants)
			    : service_grants(arena, info, &key.who.grants));
	*ret_key = key;
	return MS_OK;
}

enum ms_err ms_environment_keys(const char *const *environment, struct arena *arena, struct errinfo *info,
				struct environment_keys *ret_keys)
{
	struct slice name, value;
	size_t count = 0;
	for (size_t i = 0; environment[i] != NULL; i++)
		count += split(environment[i], HASH_SUFFIX, &name, &value);
	if (count > ENVIRONMENT_KEYS_MAX)
		return ms_fail(info, MS_ERR_CONFIG, "the environment gives %zu keys; at most %d are taken", count,
			       ENVIRONMENT_KEYS_MAX);
	struct live_key *keys = MS_ARENA_ARRAY(arena, struct live_key, count);
	if (keys == NULL)
		return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory for the environment's keys");
	struct environment_keys taken = {.keys = keys};
	for (size_t i = 0; environment[i] != NULL; i++) {
		if (!split(environment[i], HASH_SUFFIX, &name, &value))
			continue;
		MS_TRY(read_key(name, value, find_scopes(environment, name), arena, info, &keys[taken.count]));
		for (size_t k = 0; k < taken.count; k++) {
			if (memcmp(keys[k].digest, keys[taken.count].digest, MS_SHA256_SIZE) == 0)
				return bad(name, HASH_SUFFIX,
					   "is the hash of another caller's key too; each needs one of its own", info);
		}
		taken.count++;
	}
	*ret_keys = taken;
	return MS_OK;
}
