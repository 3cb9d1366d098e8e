// SPDX-License-Identifier: Apache-2.0
// The unit test framework. A test registers itself:
//
//	TEST(slice_finds_first)
//	{
//		CHECK_INT(ms_slice_find(MS_SLICE_LIT("abc"), 'b'), 1);
//	}
//
// A program prints TAP. Flags: --run SUBSTRING, --list, --seed N, --effort PERCENT. CHECK_… records a failure and goes on;
// REQUIRE ends the program, for what the rest of the test cannot do without. After each test the
// allocations that the code made and did not free are a failure.
#ifndef MS_TESTS_LIB_TEST_H
#define MS_TESTS_LIB_TEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/base.h"

typedef void test_fn(void);
struct test_case {
	const char *name;
	test_fn *run;
};

#define TEST(test_name)                                                                                          \
	static void test_##test_name(void);                                                                      \
	static const struct test_case test_case_##test_name = {#test_name, test_##test_name};                    \
	__attribute__((used, section("ms_tests"))) static const struct test_case *const test_entry_##test_name = \
		&test_case_##test_name;                                                                          \
	static void test_##test_name(void)

#define CHECK(expr) ms_test_check((expr), #expr, __FILE__, __LINE__)
#define REQUIRE(expr)                                                  \
	do {                                                           \
		if (!ms_test_check((expr), #expr, __FILE__, __LINE__)) \
			ms_test_bail_out();                            \
	} while (0)
#define CHECK_INT(got, want) ms_test_check_int((int64_t)(got), (int64_t)(want), #got, __FILE__, __LINE__)
#define CHECK_F64(got, want) \
	ms_test_check_f64((got), (want), #got, __FILE__, __LINE__) // compares bits; all NaN are equal
#define CHECK_STR(got, want) ms_test_check_str(ms_slice_cstr(got), ms_slice_cstr(want), #got, __FILE__, __LINE__)
#define CHECK_SLICE(got, want) ms_test_check_str((got), ms_slice_cstr(want), #got, __FILE__, __LINE__)
#define CHECK_OK(err) CHECK_INT((err), MS_OK)
// The text holds the part.
#define CHECK_HAS(text, part) ms_test_check_has(ms_slice_cstr(text), (part), __FILE__, __LINE__)

bool ms_test_check(bool ok, const char *expr, const char *file, int line);
bool ms_test_check_int(int64_t got, int64_t want, const char *expr, const char *file, int line);
bool ms_test_check_f64(double got, double want, const char *expr, const char *file, int line);
bool ms_test_check_str(struct slice got, struct slice want, const char *expr, const char *file, int line);
bool ms_test_check_has(struct slice text, const char *part, const char *file, int line);
MS_NORETURN void ms_test_bail_out(void);

// A generator seeded from --seed (printed when a test fails).
struct rand *ms_test_rand(void);
// How often to repeat what is tried at random: `full` times, or --effort percent of it (in emulation), at least once.
size_t ms_test_rounds(size_t full);

// Runs `fn` again and again, the first, second, third … allocation failing, until it runs without one:
// every path of a failing allocation is taken. fn must cope with failure and leave nothing behind.
void ms_test_torture(test_fn *fn);
// True while ms_test_torture made an allocation fail in this run of fn.
bool ms_test_allocation_failed(void);

// A whole file below the source root ("tests/golden/…"), with a NUL behind it; freed by the framework after
// the test. Ends the program when it is missing.
struct slice ms_test_file(const char *relative_path);
// A fresh empty folder, removed after the test.
const char *ms_test_temp_dir(void);

#endif
