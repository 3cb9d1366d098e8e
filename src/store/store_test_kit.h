// SPDX-License-Identifier: Apache-2.0
// For tests of store: one suite for every database. STORE_TEST(name) { … } becomes a test for each; `f` is its fixture.
#ifndef MS_STORE_STORE_TEST_KIT_H
#define MS_STORE_STORE_TEST_KIT_H

#include "store/store.h"
#include "tests/lib/database.h"

struct fixture {
	bool postgres;
	const char *url; // of a fresh, empty database
	struct rt *rt;   // one loop
	struct store *store;
};

void ms_store_test_begin(struct fixture *f, bool postgres);
void ms_store_test_end(struct fixture *f); // frees the store first, then the loops
// Opens f->url with the suite's tables.
void ms_store_test_open(struct fixture *f);
void ms_store_test_open_as(const struct fixture *f, const struct store_options *options, struct store **ret_store);
extern const struct store_migrations ms_store_test_migrations[1];

// Runs the loops until ms_rt_stop().
void ms_store_test_run(struct fixture *f);

#define STORE_TEST(test_name)                             \
	static void suite_##test_name(struct fixture *f); \
	TEST(test_name##_sqlite)                          \
	{                                                 \
		struct fixture f;                         \
		ms_store_test_begin(&f, false);           \
		suite_##test_name(&f);                    \
		ms_store_test_end(&f);                    \
	}                                                 \
	TEST(test_name##_postgres)                        \
	{                                                 \
		struct fixture f;                         \
		ms_store_test_begin(&f, true);            \
		suite_##test_name(&f);                    \
		ms_store_test_end(&f);                    \
	}                                                 \
	static void suite_##test_name(struct fixture *f)

// Statements as transactions of their own.
enum ms_err ms_store_test_put(struct store *store, const char *id,
			      int64_t n);         // a row of `item`; a second one of the id conflicts
int64_t ms_store_test_count(struct store *store); // rows of `item`

#endif
