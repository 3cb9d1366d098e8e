// SPDX-License-Identifier: Apache-2.0
// Databases for tests. TEST_ON_DATABASES(name) { … } becomes a test for SQLite and one for PostgreSQL; `url` is the address of a fresh,
// empty database, as ms_store_open takes it, and `postgres` says which.
#ifndef MS_TESTS_LIB_DATABASE_H
#define MS_TESTS_LIB_DATABASE_H

#include "tests/lib/test.h"

// The text lives until the next call. PostgreSQL is started by the first one, and stopped when the test program ends, however it does.
const char *ms_test_database(bool postgres);
// Tells the PostgreSQL server: "stop", "start", "restart", "kill" (as a crash), "freeze", "thaw". It has done it when this returns.
void ms_test_postgres(const char *command);

#define TEST_ON_DATABASES(test_name)                                   \
	static void suite_##test_name(const char *url, bool postgres); \
	TEST(test_name##_sqlite)                                       \
	{                                                              \
		suite_##test_name(ms_test_database(false), false);     \
	}                                                              \
	TEST(test_name##_postgres)                                     \
	{                                                              \
		suite_##test_name(ms_test_database(true), true);       \
	}                                                              \
	static void suite_##test_name(const char *url, bool postgres)

#endif
