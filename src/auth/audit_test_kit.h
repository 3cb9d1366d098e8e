// SPDX-License-Identifier: Apache-2.0
// For tests of the audit log, the vault and signing keys: a store with their tables alone, on SQLite.
#ifndef MS_AUTH_AUDIT_TEST_KIT_H
#define MS_AUTH_AUDIT_TEST_KIT_H

#include "auth/vault.h"
#include "tests/lib/test.h"

extern const struct store_migrations ms_audit_test_migrations[1];

struct audit_fixture {
	const char *dir; // its own, with the store and the master key
	char url[256];
	struct store *store;
	struct vault *vault;
	struct arena arena;
};
void ms_audit_test_begin(struct audit_fixture *f);
void ms_audit_test_end(struct audit_fixture *f);
// Runs SQL; the text is static.
void ms_audit_test_sql(struct audit_fixture *f, const char *sql);
int64_t ms_audit_test_int(struct audit_fixture *f, const char *sql); // the one value
// Appends `count` entries of a user "u1" (names that differ).
void ms_audit_test_append(struct audit_fixture *f, size_t count);

// The same tests on both databases: AUDIT_STORE_TEST(name) { … }, with loops and an open store in `f`.
struct audit_store_fixture {
	struct rt *rt; // one loop
	struct store *store;
};
void ms_audit_store_begin(struct audit_store_fixture *f, bool postgres);
void ms_audit_store_end(struct audit_store_fixture *f);
#define AUDIT_STORE_TEST(test_name)                                   \
	static void suite_##test_name(struct audit_store_fixture *f); \
	TEST(test_name##_sqlite)                                      \
	{                                                             \
		struct audit_store_fixture f;                         \
		ms_audit_store_begin(&f, false);                      \
		suite_##test_name(&f);                                \
		ms_audit_store_end(&f);                               \
	}                                                             \
	TEST(test_name##_postgres)                                    \
	{                                                             \
		struct audit_store_fixture f;                         \
		ms_audit_store_begin(&f, true);                       \
		suite_##test_name(&f);                                \
		ms_audit_store_end(&f);                               \
	}                                                             \
	static void suite_##test_name(struct audit_store_fixture *f)

#endif
