// SPDX-License-Identifier: Apache-2.0
// The master key, what is sealed with it, and the secrets file.
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "auth/audit_test_kit.h"

#define KEY_A "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
#define KEY_B "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE="

static enum ms_err open_vault(const char *dir, const char *key, bool create, struct errinfo *info,
			      struct vault **ret_vault)
{
	ms_errinfo_init(info);
	return ms_vault_open(&(struct vault_options){.data_dir = dir, .master_key = key, .create = create}, info,
			     ret_vault);
}

static struct vault *must_open(const char *dir, const char *key)
{
	struct errinfo info;
	struct vault *v = NULL;
	if (open_vault(dir, key, true, &info, &v) != MS_OK)
		CHECK_STR(info.message, "");
	REQUIRE(v != NULL);
	return v;
}

TEST(the_master_key_file_is_made_once_for_its_owner_alone)
{
	const char *dir = ms_test_temp_dir();
	struct errinfo info;
	struct vault *v = NULL;
	char path[300], first[MS_VAULT_KEY_ID_SIZE], second[MS_VAULT_KEY_ID_SIZE];
	struct stat st;
	snprintf(path, sizeof(path), "%s/" MS_VAULT_FILE, dir);
	CHECK_INT(open_vault(dir, "", false, &info, &v), MS_ERR_FILE_MISSING);
	CHECK_HAS(info.message, "master.key");
	v = must_open(dir, "");
	ms_vault_key_id(v, first);
	ms_vault_free(v);
	REQUIRE(stat(path, &st) == 0);
	CHECK_INT(st.st_mode & 07777, 0600);
	v = must_open(dir, "");
	ms_vault_key_id(v, second);
	ms_vault_free(v);
	CHECK_STR(first, second);
	static const unsigned open_to_others[] = {0640, 0604, 0620, 0602, 0610, 0644};
	for (size_t i = 0; i < MS_ARRAY_LEN(open_to_others); i++) {
		REQUIRE(chmod(path, open_to_others[i]) == 0);
		CHECK_INT(open_vault(dir, "", true, &info, &v), MS_ERR_PERMISSION);
		CHECK_HAS(info.message, "chmod 600");
	}
}

TEST(malformed_master_keys_are_refused_without_showing_them)
{
	static const char *const bad[] = {"short", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==",
					  "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", KEY_A ",not!base64", " , "};
	struct errinfo info;
	struct vault *v;
	for (size_t i = 0; i < MS_ARRAY_LEN(bad); i++) {
		CHECK_INT(open_vault("/nowhere", bad[i], true, &info, &v), MS_ERR_CONFIG);
		CHECK_HAS(info.message, "identity.master_key");
		CHECK(strstr(info.message, "AAAA") == NULL && strstr(info.message, "not!") == NULL);
	}
}

TEST(what_is_sealed_opens_with_its_key_and_context_alone)
{
	struct arena arena;
	struct errinfo info;
	struct slice sealed, again, plain, text = MS_SLICE_LIT("the secret");
	struct vault *a = must_open("/nowhere", KEY_A), *b = must_open("/nowhere", KEY_B),
		     *both = must_open("/nowhere", KEY_B "," KEY_A);
	ms_arena_init(&arena, 4096, 1 << 20);
	ms_errinfo_init(&info);
	CHECK_OK(ms_vault_seal(a, MS_SLICE_LIT("totp:u1"), text, &arena, &info, &sealed));
	CHECK_OK(ms_vault_seal(a, MS_SLICE_LIT("totp:u1"), text, &arena, &info, &again));
	CHECK(!ms_slice_eq(sealed, again)); // a fresh nonce
	CHECK(memmem(sealed.p, sealed.n, text.p, text.n) == NULL);
	CHECK_OK(ms_vault_open_sealed(a, MS_SLICE_LIT("totp:u1"), sealed, &arena, &info, &plain));
	CHECK_SLICE(plain, "the secret");
	CHECK_OK(ms_vault_open_sealed(both, MS_SLICE_LIT("totp:u1"), sealed, &arena, &info, &plain));
	CHECK_SLICE(plain, "the secret");
	CHECK(ms_vault_is_current(a, sealed) && !ms_vault_is_current(both, sealed));
	CHECK_INT(ms_vault_open_sealed(a, MS_SLICE_LIT("totp:u2"), sealed, &arena, &info, &plain), MS_ERR_INVALID);
	CHECK_INT(ms_vault_open_sealed(b, MS_SLICE_LIT("totp:u1"), sealed, &arena, &info, &plain), MS_ERR_INVALID);
	CHECK_HAS(info.message, "was sealed with the master key");
	// Each bit counts.
	char *bytes = (char *)(uintptr_t)sealed.p;
	for (size_t i = 0; i < sealed.n; i++) {
		bytes[i] ^= 4;
		CHECK_INT(ms_vault_open_sealed(a, MS_SLICE_LIT("totp:u1"), sealed, &arena, NULL, &plain),
			  MS_ERR_INVALID);
		bytes[i] ^= 4;
		CHECK_INT(ms_vault_open_sealed(a, MS_SLICE_LIT("totp:u1"), ms_slice_sub(sealed, 0, i), &arena, NULL,
					       &plain),
			  MS_ERR_INVALID);
	}
	ms_vault_free(a);
	ms_vault_free(b);
	ms_vault_free(both);
	ms_arena_fini(&arena);
}

// --- The secrets file --------------------------------------------------------------------------------

static void check_secrets(const char *path, const struct vault *v, const char *const *want, size_t count)
{
	struct arena arena;
	struct secret_item *items;
	size_t found = 0;
	ms_arena_init(&arena, 4096, 1 << 24);
	CHECK_OK(ms_secrets_read(path, v, &arena, NULL, &items, &found));
	CHECK_INT(found, count);
	for (size_t i = 0; i < MS_MIN(found, count); i++) {
		CHECK_SLICE(items[i].name, want[2 * i]);
		CHECK_SLICE(items[i].value, want[2 * i + 1]);
	}
	ms_arena_fini(&arena);
}

TEST(secrets_are_kept_and_removed)
{
	char path[300];
	struct errinfo info;
	struct stat st;
	ms_errinfo_init(&info);
	snprintf(path, sizeof(path), "%s/" MS_SECRETS_FILE, ms_test_temp_dir());
	struct vault *v = must_open("/nowhere", KEY_A), *both = must_open("/nowhere", KEY_B "\n" KEY_A),
		     *b = must_open("/nowhere", KEY_B);
	CHECK_INT(ms_secrets_set(path, v, MS_SLICE_LIT("x"), MS_SLICE_EMPTY, &info), MS_ERR_NOT_FOUND);
	CHECK_OK(ms_secrets_set(path, v, MS_SLICE_LIT("b.key"), MS_SLICE_LIT("planted-\"value\"\n"), &info));
	CHECK_OK(ms_secrets_set(path, v, MS_SLICE_LIT("a.key"), MS_SLICE_LIT(""), &info));
	CHECK_OK(ms_secrets_set(path, v, MS_SLICE_LIT("c.key"), MS_SLICE_LIT("3"), &info));
	CHECK_OK(ms_secrets_set(path, v, MS_SLICE_LIT("c.key"), MS_SLICE_LIT("4"), &info));
	check_secrets(path, v, (const char *const[]){"a.key", "", "b.key", "planted-\"value\"\n", "c.key", "4"}, 3);
	CHECK_OK(ms_secrets_set(path, v, MS_SLICE_LIT("a.key"), MS_SLICE_EMPTY, &info));
	CHECK_INT(ms_secrets_set(path, v, MS_SLICE_LIT("a.key"), MS_SLICE_EMPTY, &info), MS_ERR_NOT_FOUND);
	CHECK_INT(ms_secrets_set(path, v, MS_SLICE_LIT("d"), MS_SLICE_LIT("\xff"), &info), MS_ERR_INVALID);
	REQUIRE(stat(path, &st) == 0);
	CHECK_INT(st.st_mode & 07777, 0600);
	CHECK_OK(ms_secrets_reseal(path, both, &info));
	check_secrets(path, b, (const char *const[]){"b.key", "planted-\"value\"\n", "c.key", "4"}, 2);
	ms_vault_free(v);
	ms_vault_free(b);
	ms_vault_free(both);
}

TEST(a_damaged_secrets_file_is_refused)
{
	char path[300];
	struct arena arena;
	struct slice bytes;
	struct errinfo info;
	struct secret_item *items;
	size_t count;
	ms_errinfo_init(&info);
	ms_arena_init(&arena, 4096, 1 << 24);
	snprintf(path, sizeof(path), "%s/" MS_SECRETS_FILE, ms_test_temp_dir());
	struct vault *v = must_open("/nowhere", KEY_A), *other = must_open("/nowhere", KEY_B);
	CHECK_INT(ms_secrets_read(path, v, &arena, &info, &items, &count), MS_ERR_FILE_MISSING);
	CHECK_OK(ms_secrets_set(path, v, MS_SLICE_LIT("jwt.secret"), MS_SLICE_LIT("planted-secret-value"), &info));
	CHECK_INT(ms_secrets_read(path, other, &arena, &info, &items, &count), MS_ERR_INVALID);
	CHECK_HAS(info.message, "sealed with the master key");
	REQUIRE(ms_file_read(path, 1 << 20, NULL, &bytes) == MS_OK);
	CHECK(memmem(bytes.p, bytes.n, "planted", 7) == NULL && memmem(bytes.p, bytes.n, "jwt", 3) == NULL);
	for (size_t i = 0; i < bytes.n; i++) {
		((char *)(uintptr_t)bytes.p)[i] ^= 1;
		REQUIRE(ms_file_write_atomic(path, bytes, 0600, NULL) == MS_OK);
		CHECK_INT(ms_secrets_read(path, v, &arena, &info, &items, &count), MS_ERR_INVALID);
		((char *)(uintptr_t)bytes.p)[i] ^= 1;
	}
	free((void *)(uintptr_t)bytes.p);
	ms_vault_free(v);
	ms_vault_free(other);
	ms_arena_fini(&arena);
}

// --- Another master key --------------------------------------------------------------------------------

TEST(everything_is_sealed_anew_and_the_old_key_forgotten)
{
	struct audit_fixture f;
	struct errinfo info;
	struct jose_key *before = NULL, *after = NULL;
	struct vault *server = NULL, *late = NULL;
	char first[MS_VAULT_KEY_ID_SIZE], second[MS_VAULT_KEY_ID_SIZE];
	struct vault_rekey rekey = {.add = true};
	ms_errinfo_init(&info);
	ms_audit_test_begin(&f);
	REQUIRE(ms_audit_key(f.store, f.vault, &info, &before) == MS_OK);
	server = must_open(f.dir, ""); // runs meanwhile
	ms_vault_key_id(f.vault, first);
	CHECK_OK(ms_vault_rekey(f.vault, f.store, &rekey, &info));
	CHECK_INT(rekey.resealed, 1);
	ms_vault_key_id(f.vault, second);
	CHECK(strcmp(first, second) != 0);
	CHECK_INT(ms_vault_key_count(f.vault), 2);
	// The running server reads the file again; the secret is the same.
	REQUIRE(ms_audit_key(f.store, server, &info, &after) == MS_OK);
	CHECK(ms_slice_eq(ms_jose_key_id(before), ms_jose_key_id(after)));
	ms_jose_key_unref(after);
	rekey = (struct vault_rekey){0};
	CHECK_OK(ms_vault_rekey(f.vault, f.store, &rekey, &info));
	CHECK_INT(rekey.resealed, 0);
	CHECK_OK(ms_vault_drop_old(f.vault, &info));
	late = must_open(f.dir, "");
	CHECK_INT(ms_vault_key_count(late), 1);
	REQUIRE(ms_audit_key(f.store, late, &info, &after) == MS_OK);
	CHECK(ms_slice_eq(ms_jose_key_id(before), ms_jose_key_id(after)));
	ms_jose_key_unref(before);
	ms_jose_key_unref(after);
	ms_vault_free(server);
	ms_vault_free(late);
	ms_audit_test_end(&f);
}
