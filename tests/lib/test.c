// SPDX-License-Identifier: Apache-2.0
#include "tests/lib/test.h"

#include <ftw.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// The linker gathers the entries of TEST() here.
extern const struct test_case *const __start_ms_tests[];
extern const struct test_case *const __stop_ms_tests[];

#define MAX_FILES 160
#define MAX_REPORTED_FAILURES 20

// The state of the one test that runs.
static struct {
	unsigned failures;
	struct rand rand;
	uint64_t seed;
	char *files[MAX_FILES];
	size_t file_count;
	char temp_dir[256];
	unsigned effort; // percent
} current;

// Allocations may come from any thread.
static atomic_long outstanding;    // allocations not yet freed
static atomic_long fail_countdown; // 1 = the next allocation fails; 0 = none will
static atomic_bool failed_one;

void *__real_malloc(size_t n);
void *__real_calloc(size_t count, size_t n);
void *__real_realloc(void *p, size_t n);
void __real_free(void *p);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t count, size_t n);
void *__wrap_realloc(void *p, size_t n);
void __wrap_free(void *p);

static bool injected_failure(void)
{
	if (atomic_load(&fail_countdown) <= 0 || atomic_fetch_sub(&fail_countdown, 1) != 1)
		return false;
	atomic_store(&failed_one, true);
	return true;
}

void *__wrap_malloc(size_t n)
{
	void *p = injected_failure() ? NULL : __real_malloc(n);
	atomic_fetch_add(&outstanding, p != NULL);
	return p;
}

void *__wrap_calloc(size_t count, size_t n)
{
	void *p = injected_failure() ? NULL : __real_calloc(count, n);
	atomic_fetch_add(&outstanding, p != NULL);
	return p;
}

void *__wrap_realloc(void *old, size_t n)
{
	void *p = injected_failure() ? NULL : __real_realloc(old, n);
	atomic_fetch_add(&outstanding, p != NULL && old == NULL);
	return p;
}

void __wrap_free(void *p)
{
	atomic_fetch_sub(&outstanding, p != NULL);
	__real_free(p);
}

static void report(const char *file, int line, const char *fmt, ...) MS_PRINTF(3, 4);
static void report(const char *file, int line, const char *fmt, ...)
{
	current.failures++;
	if (current.failures > MAX_REPORTED_FAILURES)
		return;
	va_list args;
	va_start(args, fmt);
	printf("# %s:%d: ", file, line);
	vprintf(fmt, args);
	printf("\n");
	va_end(args);
}

bool ms_test_check(bool ok, const char *expr, const char *file, int line)
{
	if (!ok)
		report(file, line, "not true: %s", expr);
	return ok;
}

bool ms_test_check_int(int64_t got, int64_t want, const char *expr, const char *file, int line)
{
	if (got != want)
		report(file, line, "%s is %" PRId64 ", want %" PRId64, expr, got, want);
	return got == want;
}

bool ms_test_check_f64(double got, double want, const char *expr, const char *file, int line)
{
	bool both_nan = got != got && want != want;
	bool ok = both_nan || memcmp(&got, &want, sizeof(got)) == 0;
	if (!ok)
		report(file, line, "%s is %a (%.17g), want %a (%.17g)", expr, got, got, want, want);
	return ok;
}

bool ms_test_check_str(struct slice got, struct slice want, const char *expr, const char *file, int line)
{
	bool ok = ms_slice_eq(got, want);
	if (!ok)
		report(file, line, "%s is \"%.*s\", want \"%.*s\"", expr, MS_SLICE_ARG(got), MS_SLICE_ARG(want));
	return ok;
}

bool ms_test_check_has(struct slice text, const char *part, const char *file, int line)
{
	bool ok = part[0] == '\0' || (text.n > 0 && memmem(text.p, text.n, part, strlen(part)) != NULL);
	if (!ok)
		report(file, line, "\"%s\" is not in \"%.*s\"", part, MS_SLICE_ARG(text));
	return ok;
}

void ms_test_bail_out(void)
{
	printf("Bail out! seed %" PRIu64 "\n", current.seed);
	fflush(stdout);
	_exit(1);
}

struct rand *ms_test_rand(void)
{
	return &current.rand;
}

size_t ms_test_rounds(size_t full)
{
	size_t rounds = full * current.effort / 100;
	return rounds > 0 ? rounds : 1;
}

void ms_test_torture(test_fn *fn)
{
	for (long n = 1;; n++) {
		atomic_store(&failed_one, false);
		atomic_store(&fail_countdown, n);
		fn();
		atomic_store(&fail_countdown, 0);
		if (!atomic_load(&failed_one))
			break;
	}
}

bool ms_test_allocation_failed(void)
{
	return atomic_load(&failed_one);
}

struct slice ms_test_file(const char *relative_path)
{
	char path[1024];
	snprintf(path, sizeof(path), "%s/%s", TEST_SOURCE_ROOT, relative_path);
	FILE *f = fopen(path, "rb");
	char *bytes = NULL;
	size_t n = 0;
	if (f != NULL && fseek(f, 0, SEEK_END) == 0) {
		n = (size_t)ftell(f);
		rewind(f);
		bytes = __real_malloc(n + 1);
	}
	if (bytes == NULL || fread(bytes, 1, n, f) != n || current.file_count == MAX_FILES) {
		printf("# cannot read %s\n", path);
		ms_test_bail_out();
	}
	fclose(f);
	bytes[n] = '\0';
	current.files[current.file_count++] = bytes;
	return (struct slice){bytes, n};
}

const char *ms_test_temp_dir(void)
{
	if (current.temp_dir[0] == '\0') {
		const char *base = getenv("TMPDIR");
		snprintf(current.temp_dir, sizeof(current.temp_dir), "%s/mainstay-test-XXXXXX",
			 base != NULL ? base : "/tmp");
		if (mkdtemp(current.temp_dir) == NULL) {
			printf("# cannot make a temporary folder\n");
			ms_test_bail_out();
		}
	}
	return current.temp_dir;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st, (void)type, (void)ftw;
	return remove(path);
}

static void run_one(const struct test_case *test, unsigned number)
{
	current.failures = 0;
	current.rand.state = current.seed;
	long before = atomic_load(&outstanding);
	test->run();
	for (; current.file_count > 0; current.file_count--)
		__real_free(current.files[current.file_count - 1]);
	if (current.temp_dir[0] != '\0')
		nftw(current.temp_dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	current.temp_dir[0] = '\0';
	long leaked = atomic_load(&outstanding) - before;
	if (leaked > 0) {
		current.failures++;
		printf("# %ld allocations were not freed\n", leaked);
	}
	if (current.failures > 0)
		printf("# seed %" PRIu64 ", %u failures\n", current.seed, current.failures);
	printf("%sok %u - %s\n", current.failures > 0 ? "not " : "", number, test->name);
	fflush(stdout);
}

int main(int argc, char **argv)
{
	const char *only = NULL;
	bool list = false;
	current.seed = 1;
	current.effort = 100;
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--list") == 0)
			list = true;
		else if (strcmp(argv[i], "--run") == 0 && i + 1 < argc)
			only = argv[++i];
		else if (strcmp(argv[i], "--seed") == 0 && i + 1 < argc)
			current.seed = strtoull(argv[++i], NULL, 10);
		else if (strcmp(argv[i], "--effort") == 0 && i + 1 < argc)
			current.effort = (unsigned)strtoul(argv[++i], NULL, 10);
		else {
			fprintf(stderr, "usage: %s [--list] [--run SUBSTRING] [--seed N] [--effort PERCENT]\n",
				argv[0]);
			return 2;
		}
	}
	unsigned number = 0, failed = 0;
	for (const struct test_case *const *t = __start_ms_tests; t < __stop_ms_tests; t++) {
		if (only != NULL && strstr((*t)->name, only) == NULL)
			continue;
		number++;
		if (list) {
			printf("%s\n", (*t)->name);
			continue;
		}
		run_one(*t, number);
		failed += current.failures > 0;
	}
	if (!list)
		printf("1..%u\n", number);
	return failed > 0;
}
