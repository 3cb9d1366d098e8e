// SPDX-License-Identifier: Apache-2.0
// The master key, and what is sealed with it. A sealed secret is
//	version (1 byte, 1), id of the key (8 bytes), box of crypto (XChaCha20-Poly1305, the context bound to it).
// Neither the key that seals nor its id is the master key itself: both are derived from it (HKDF-SHA-256).
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "auth/auth.h"
#include "auth/vault.h"

#define MASTER_SIZE 32
#define KEY_ID_SIZE 8
#define SEALED_VERSION 1
#define SEALED_HEAD (1 + KEY_ID_SIZE)
#define SEALED_MAX ((size_t)4 << 20)
#define VAULT_KEYS_MAX 16
#define VAULT_FILE_MAX 4096

struct vault_key {
	uint8_t id[KEY_ID_SIZE];
	uint8_t seal[MS_BOX_KEY_SIZE];
	uint8_t master[MASTER_SIZE];
};

// A vault opens on any thread while another one may be reading the file again.
struct vault {
	pthread_mutex_t lock; // of the keys
	struct vault_key keys[VAULT_KEYS_MAX];
	size_t count;
	char *path; // of master.key; NULL: the keys are of the setting
};

// --- Keys --------------------------------------------------------------------------------------------

static void derive(struct vault_key *key)
{
	struct slice master = ms_slice(key->master, MASTER_SIZE);
	ms_hkdf(CRYPTO_SHA256, master, MS_SLICE_EMPTY, MS_SLICE_LIT("mainstay master key id"), key->id, KEY_ID_SIZE);
	ms_hkdf(CRYPTO_SHA256, master, MS_SLICE_EMPTY, MS_SLICE_LIT("mainstay seal 1"), key->seal, MS_BOX_KEY_SIZE);
}

static bool is_separator(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == ',';
}

// Takes the next key off the front of the text; false at its end.
static bool next_word(struct slice *rest, struct slice *ret_word)
{
	while (rest->n > 0 && is_separator(rest->p[0]))
		*rest = ms_slice_sub(*rest, 1, rest->n);
	size_t n = 0;
	while (n < rest->n && !is_separator(rest->p[n]))
		n++;
	*ret_word = ms_slice_sub(*rest, 0, n);
	*rest = ms_slice_sub(*rest, n, rest->n);
	return n > 0;
}

// `place` for messages: "identity.master_key", "master.key".
static enum ms_err parse_keys(struct slice text, const char *place, struct errinfo *info, struct vault_key *ret_keys,
			      size_t *ret_count)
{
	struct slice word, bytes;
	char memory[256];
	size_t count = 0;
	struct arena arena;
	while (next_word(&text, &word)) {
		if (count == VAULT_KEYS_MAX)
			return ms_fail(info, MS_ERR_CONFIG, "%s: more than %d keys", place, VAULT_KEYS_MAX);
		ms_arena_init(&arena, sizeof(memory), 4096);
		bool ok = word.n < 100 && ms_base64_decode(word, &arena, &bytes) && bytes.n == MASTER_SIZE;
		if (ok) {
			memcpy(ret_keys[count].master, bytes.p, MASTER_SIZE);
			ms_wipe((void *)(uintptr_t)bytes.p, bytes.n);
		}
		ms_arena_fini(&arena);
		if (!ok)
			return ms_fail(info, MS_ERR_CONFIG,
				       "%s: key %zu is not base64 of 32 bytes; make one with: head -c 32 /dev/urandom "
				       "| base64",
				       place, count + 1);
		derive(&ret_keys[count++]);
	}
	if (count == 0)
		return ms_fail(info, MS_ERR_CONFIG, "%s: holds no key", place);
	*ret_count = count;
	return MS_OK;
}

static void append_key(struct buf *out, const struct vault_key *key)
{
	ms_base64_append(out, ms_slice(key->master, MASTER_SIZE));
	ms_buf_append_char(out, '\n');
}

static void new_key(struct vault_key *key)
{
	ms_random_bytes(key->master, MASTER_SIZE);
	derive(key);
}

// --- The file ----------------------------------------------------------------------------------------

static enum ms_err read_file(const char *path, struct errinfo *info, struct vault_key *ret_keys, size_t *ret_count)
{
	struct slice bytes;
	MS_TRY(ms_file_read_private(path, VAULT_FILE_MAX, info, &bytes));
	enum ms_err err = parse_keys(bytes, MS_VAULT_FILE, info, ret_keys, ret_count);
	ms_wipe((void *)(uintptr_t)bytes.p, bytes.n);
	free((void *)(uintptr_t)bytes.p);
	return err;
}

static enum ms_err write_keys(const char *path, const struct vault_key *keys, size_t count, bool replace,
			      struct errinfo *info)
{
	struct buf text;
	ms_buf_init(&text, VAULT_FILE_MAX);
	// Once: a buffer that grows would leave copies behind.
	enum ms_err err =
		ms_buf_reserve(&text, VAULT_FILE_MAX) ? MS_OK : ms_fail(info, MS_ERR_NO_MEMORY, "out of memory");
	for (size_t i = 0; i < count && err == MS_OK; i++)
		append_key(&text, &keys[i]);
	if (err == MS_OK)
		err = replace ? ms_file_write_atomic(path, ms_buf_slice(&text), 0600, info)
			      : ms_file_write_new(path, ms_buf_slice(&text), 0600, info);
	if (text.cap > 0)
		ms_wipe(text.p, text.cap);
	ms_buf_fini(&text);
	return err;
}

// Of two processes that start at once one makes the file, and both read it.
static enum ms_err create_file(struct vault *v, struct errinfo *info)
{
	struct vault_key key;
	new_key(&key);
	enum ms_err err = write_keys(v->path, &key, 1, false, info);
	ms_wipe(&key, sizeof(key));
	return err == MS_ERR_FILE_EXISTS ? MS_OK : err;
}

static enum ms_err read_own_file(struct vault *v, bool create, struct errinfo *info)
{
	enum ms_err err = read_file(v->path, info, v->keys, &v->count);
	if (err != MS_ERR_FILE_MISSING)
		return err;
	if (!create)
		return ms_fail(info, MS_ERR_FILE_MISSING,
			       "the master key is missing: what is stored was sealed with it. Bring back the "
			       "file " MS_VAULT_FILE " of the data folder, or give identity.master_key");
	MS_TRY(create_file(v, info));
	return read_file(v->path, info, v->keys, &v->count);
}

// --- Life --------------------------------------------------------------------------------------------

enum ms_err ms_vault_open(const struct vault_options *options, struct errinfo *info, struct vault **ret_vault)
{
	struct vault *v = calloc(1, sizeof(*v));
	size_t n = strlen(options->data_dir) + sizeof("/" MS_VAULT_FILE);
	if (v == NULL)
		return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory");
	pthread_mutex_init(&v->lock, NULL);
	enum ms_err err;
	if (options->master_key[0] != '\0') {
		err = parse_keys(ms_slice_cstr(options->master_key), "identity.master_key", info, v->keys, &v->count);
	} else if ((v->path = malloc(n)) == NULL) {
		err = ms_fail(info, MS_ERR_NO_MEMORY, "out of memory");
	} else {
		snprintf(v->path, n, "%s/" MS_VAULT_FILE, options->data_dir);
		err = read_own_file(v, options->create, info);
	}
	if (err == MS_OK)
		*ret_vault = v;
	else
		ms_vault_free(v);
	return err;
}

void ms_vault_free(struct vault *vault)
{
	if (vault == NULL)
		return;
	pthread_mutex_destroy(&vault->lock);
	ms_wipe(vault->keys, sizeof(vault->keys));
	free(vault->path);
	free(vault);
}

static void id_hex(const uint8_t *id, char ret_id[MS_VAULT_KEY_ID_SIZE])
{
	for (size_t i = 0; i < KEY_ID_SIZE; i++)
		snprintf(ret_id + 2 * i, 3, "%02x", id[i]);
}

// The vault is logically the same after its file was read again.
static struct vault *unlocked(const struct vault *vault)
{
	return (struct vault *)(uintptr_t)vault;
}

static struct vault_key first_key(const struct vault *vault)
{
	struct vault *v = unlocked(vault);
	pthread_mutex_lock(&v->lock);
	struct vault_key key = v->keys[0];
	pthread_mutex_unlock(&v->lock);
	return key;
}

void ms_vault_key_id(const struct vault *vault, char ret_id[MS_VAULT_KEY_ID_SIZE])
{
	struct vault_key key = first_key(vault);
	id_hex(key.id, ret_id);
	ms_wipe(&key, sizeof(key));
}

static bool find_locked(const struct vault *v, const uint8_t *id, struct vault_key *ret_key)
{
	for (size_t i = 0; i < v->count; i++) {
		if (memcmp(v->keys[i].id, id, KEY_ID_SIZE) == 0) {
			*ret_key = v->keys[i];
			return true;
		}
	}
	return false;
}

// An unknown key may have been put into the file since.
static bool find_key(const struct vault *vault, const uint8_t *id, struct vault_key *ret_key)
{
	struct vault *v = unlocked(vault);
	pthread_mutex_lock(&v->lock);
	bool found = find_locked(v, id, ret_key);
	if (!found && v->path != NULL) {
		struct vault_key keys[VAULT_KEYS_MAX];
		struct errinfo ignored;
		size_t count;
		ms_errinfo_init(&ignored);
		if (read_file(v->path, &ignored, keys, &count) == MS_OK) {
			memcpy(v->keys, keys, count * sizeof(keys[0]));
			v->count = count;
			found = find_locked(v, id, ret_key);
		}
		ms_wipe(keys, sizeof(keys));
	}
	pthread_mutex_unlock(&v->lock);
	return found;
}

// --- Sealing -----------------------------------------------------------------------------------------

enum ms_err ms_vault_seal(const struct vault *vault, struct slice context, struct slice plain, struct arena *arena,
			  struct errinfo *info, struct slice *ret_sealed)
{
	uint8_t nonce[MS_BOX_NONCE_SIZE];
	struct buf out;
	MS_ASSERT(plain.n < SEALED_MAX);
	ms_buf_init(&out, SEALED_MAX + SEALED_HEAD + MS_BOX_OVERHEAD);
	struct vault_key key = first_key(vault);
	ms_random_bytes(nonce, sizeof(nonce));
	ms_buf_append_char(&out, SEALED_VERSION);
	ms_buf_append(&out, key.id, KEY_ID_SIZE);
	ms_box_seal(key.seal, nonce, context, plain, &out);
	ms_wipe(&key, sizeof(key));
	struct slice sealed = ms_buf_ok(&out) ? ms_arena_copy(arena, ms_buf_slice(&out)) : MS_SLICE_EMPTY;
	ms_buf_fini(&out);
	if (sealed.p == NULL)
		return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory");
	*ret_sealed = sealed;
	return MS_OK;
}

enum ms_err ms_vault_open_sealed(const struct vault *vault, struct slice context, struct slice sealed,
				 struct arena *arena, struct errinfo *info, struct slice *ret_plain)
{
	struct vault_key key;
	char sealed_by[MS_VAULT_KEY_ID_SIZE], own[MS_VAULT_KEY_ID_SIZE];
	if (sealed.n < SEALED_HEAD + MS_BOX_OVERHEAD || sealed.p[0] != SEALED_VERSION)
		return ms_fail(info, MS_ERR_INVALID, "%.*s: is not a sealed secret", MS_SLICE_ARG(context));
	const uint8_t *id = (const uint8_t *)sealed.p + 1;
	if (!find_key(vault, id, &key)) {
		id_hex(id, sealed_by);
		ms_vault_key_id(vault, own);
		return ms_fail(
			info, MS_ERR_INVALID,
			"%.*s: was sealed with the master key %s; the present one is %s. Bring back the other key (%s)",
			MS_SLICE_ARG(context), sealed_by, own,
			vault->path != NULL ? "a line of " MS_VAULT_FILE : "identity.master_key");
	}
	enum ms_err err = ms_box_open(key.seal, context, ms_slice_sub(sealed, SEALED_HEAD, sealed.n), arena, ret_plain);
	ms_wipe(&key, sizeof(key));
	return err == MS_OK ? MS_OK
			    : ms_fail(info, err, "%.*s: the sealed secret was damaged, or belongs to something else",
				      MS_SLICE_ARG(context));
}

size_t ms_vault_key_count(const struct vault *vault)
{
	struct vault *v = unlocked(vault);
	pthread_mutex_lock(&v->lock);
	size_t count = v->count;
	pthread_mutex_unlock(&v->lock);
	return count;
}

bool ms_vault_is_current(const struct vault *vault, struct slice sealed)
{
	struct vault_key key = first_key(vault);
	bool same = sealed.n > SEALED_HEAD && memcmp(sealed.p + 1, key.id, KEY_ID_SIZE) == 0;
	ms_wipe(&key, sizeof(key));
	return same;
}

// --- A new key ---------------------------------------------------------------------------------------

enum ms_err ms_vault_add_key(struct vault *vault, struct errinfo *info)
{
	if (vault->path == NULL)
		return ms_fail(info, MS_ERR_CONFIG,
			       "the master key is given by identity.master_key: put the new key in front of it there, "
			       "a comma between");
	if (vault->count == VAULT_KEYS_MAX)
		return ms_fail(info, MS_ERR_LIMIT, MS_VAULT_FILE " holds %d keys: drop the old ones first",
			       VAULT_KEYS_MAX);
	pthread_mutex_lock(&vault->lock);
	memmove(&vault->keys[1], &vault->keys[0], vault->count * sizeof(vault->keys[0]));
	new_key(&vault->keys[0]);
	vault->count++;
	enum ms_err err = write_keys(vault->path, vault->keys, vault->count, true, info);
	pthread_mutex_unlock(&vault->lock);
	return err;
}

enum ms_err ms_vault_drop_old(struct vault *vault, struct errinfo *info)
{
	if (vault->path == NULL)
		return ms_fail(info, MS_ERR_CONFIG,
			       "the master key is given by identity.master_key: take the old keys out of it there");
	pthread_mutex_lock(&vault->lock);
	enum ms_err err = write_keys(vault->path, vault->keys, 1, true, info);
	if (err == MS_OK) {
		ms_wipe(&vault->keys[1], (VAULT_KEYS_MAX - 1) * sizeof(vault->keys[0]));
		vault->count = 1;
	}
	pthread_mutex_unlock(&vault->lock);
	return err;
}

// --- The vault of auth -------------------------------------------------------------------------------

enum ms_err ms_auth_seal(const struct auth *auth, struct slice context, struct slice plain, struct arena *arena,
			 struct errinfo *info, struct slice *ret_sealed)
{
	return ms_vault_seal(auth->vault->vault, context, plain, arena, info, ret_sealed);
}

enum ms_err ms_auth_open(const struct auth *auth, struct slice context, struct slice sealed, struct arena *arena,
			 struct errinfo *info, struct slice *ret_plain)
{
	return ms_vault_open_sealed(auth->vault->vault, context, sealed, arena, info, ret_plain);
}
