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

#endif
