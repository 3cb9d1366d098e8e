// SPDX-License-Identifier: Apache-2.0
// Files and folders. The writing path is checked call by call: the wrapped system calls record themselves and can be
// made to fail, so that each crash point and each error has been there once.
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "rt/rt.h"
#include "tests/lib/test.h"

// --- Recorded calls ----------------------------------------------------------------------------------

static struct {
	char calls[64]; // w write, f sync of a file, d sync of a folder, r rename, n rename without replacing
	size_t count;
	size_t fail_at; // the call that fails, from 1; 0 = none
	int error;
	size_t write_limit; // bytes that one write takes; 0 = all
	bool interrupt;     // every second write is interrupted
} sys;

ssize_t __real_write(int fd, const void *p, size_t n);
int __real_fsync(int fd);
int __real_renameat(int from_dir, const char *from, int to_dir, const char *to);
int __real_renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags);
ssize_t __wrap_write(int fd, const void *p, size_t n);
int __wrap_fsync(int fd);
int __wrap_renameat(int from_dir, const char *from, int to_dir, const char *to);
int __wrap_renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags);

static bool fails(char call)
{
	if (sys.count < sizeof(sys.calls) - 1) // the rest stays zero
		sys.calls[sys.count] = call;
	sys.count++;
	errno = sys.error;
	return sys.count == sys.fail_at;
}

static void reset_calls(size_t fail_at, int error)
{
	memset(&sys, 0, sizeof(sys));
	sys.fail_at = fail_at;
	sys.error = error;
}

ssize_t __wrap_write(int fd, const void *p, size_t n)
{
	if (fails('w'))
		return -1;
	if (sys.interrupt && sys.count % 2 == 0) {
		errno = EINTR;
		return -1;
	}
	return __real_write(fd, p, sys.write_limit > 0 ? MS_MIN(n, sys.write_limit) : n);
}

int __wrap_fsync(int fd)
{
	struct stat st;
	REQUIRE(fstat(fd, &st) == 0);
	return fails(S_ISDIR(st.st_mode) ? 'd' : 'f') ? -1 : __real_fsync(fd);
}

int __wrap_renameat(int from_dir, const char *from, int to_dir, const char *to)
{
	return fails('r') ? -1 : __real_renameat(from_dir, from, to_dir, to);
}

int __wrap_renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags)
{
	return fails('n') ? -1 : __real_renameat2(from_dir, from, to_dir, to, flags);
}

// --- Helpers -----------------------------------------------------------------------------------------

// A path below the temporary folder; several may be in use at once.
static const char *at(const char *relative_path)
{
	static char paths[4][512];
	static unsigned next;
	char *path = paths[next++ % 4];
	snprintf(path, sizeof(paths[0]), "%s/%s", ms_test_temp_dir(), relative_path);
	return path;
}

static void put(const char *relative_path, const char *text)
{
	REQUIRE(ms_file_write_atomic(at(relative_path), ms_slice_cstr(text), 0644, NULL) == MS_OK);
}

static void check_content(const char *relative_path, const char *want)
{
	struct slice got = MS_SLICE_EMPTY;
	CHECK_OK(ms_file_read(at(relative_path), 1000, NULL, &got));
	CHECK_SLICE(got, want);
	free((char *)(uintptr_t)got.p);
}

// The names in the temporary folder, joined by blanks.
static void check_names(const char *relative_path, const char *want)
{
	struct arena arena;
	ms_arena_init(&arena, 1024, 100000);
	struct slice *names;
	size_t count;
	struct buf all;
	ms_buf_init(&all, 10000);
	CHECK_OK(ms_dir_list(at(relative_path), 100, &arena, NULL, &names, &count));
	for (size_t i = 0; i < count; i++) {
		if (i > 0)
			ms_buf_append_char(&all, ' ');
		ms_buf_append_slice(&all, names[i]);
	}
	CHECK_SLICE(ms_buf_slice(&all), want);
	ms_buf_fini(&all);
	ms_arena_fini(&arena);
}

static struct errinfo info;

static void check_error(enum ms_err got, enum ms_err want, const char *message)
{
	CHECK_INT(got, want);
	CHECK_STR(info.message, message);
	CHECK(strstr(info.message, ms_test_temp_dir()) == NULL); // no path of the server
	ms_errinfo_init(&info);
}

// --- Reading -----------------------------------------------------------------------------------------

TEST(read_takes_a_whole_file)
{
	put("f", "hello");
	struct slice bytes;
	CHECK_OK(ms_file_read(at("f"), 5, NULL, &bytes));
	CHECK_SLICE(bytes, "hello");
	CHECK_INT(bytes.p[5], '\0');
	free((char *)(uintptr_t)bytes.p);
	put("empty", "");
	CHECK_OK(ms_file_read(at("empty"), 0, NULL, &bytes));
	CHECK_INT(bytes.n, 0);
	CHECK_INT(bytes.p[0], '\0');
	free((char *)(uintptr_t)bytes.p);
}

TEST(read_takes_a_file_whose_size_is_not_told)
{
	struct slice bytes;
	CHECK_OK(ms_file_read("/proc/self/status", 100000, NULL, &bytes)); // says size 0
	CHECK_HAS(bytes.p, "VmRSS:");
	CHECK(bytes.n > 300);
	free((char *)(uintptr_t)bytes.p);
	check_error(ms_file_read("/proc/self/status", 100, &info, &bytes), MS_ERR_LIMIT,
		    "'status' is larger than 100 bytes");
}

TEST(read_says_what_is_wrong)
{
	struct slice bytes = MS_SLICE_LIT("untouched");
	ms_errinfo_init(&info);
	check_error(ms_file_read(at("none"), 10, &info, &bytes), MS_ERR_FILE_MISSING,
		    "cannot open 'none': No such file or directory");
	put("f", "hello");
	check_error(ms_file_read(at("f"), 4, &info, &bytes), MS_ERR_LIMIT, "'f' is larger than 4 bytes");
	check_error(ms_file_read(at("f/g"), 4, &info, &bytes), MS_ERR_FILE_MISSING, "cannot open 'g': Not a directory");
	REQUIRE(mkdir(at("dir"), 0700) == 0);
	check_error(ms_file_read(at("dir//"), 10, &info, &bytes), MS_ERR_IO, "'dir' is not a regular file");
	REQUIRE(mkfifo(at("pipe"), 0600) == 0);
	check_error(ms_file_read(at("pipe"), 10, &info, &bytes), MS_ERR_IO, "'pipe' is not a regular file");
	check_error(ms_file_map(at("dir"), 10, &info, &bytes), MS_ERR_IO, "'dir' is not a regular file");
	check_error(ms_file_map(at("f"), 4, &info, &bytes), MS_ERR_LIMIT, "'f' is larger than 4 bytes");
	char bad[] = "a\x01\xff";
	check_error(ms_file_read(at(bad), 10, &info, &bytes), MS_ERR_FILE_MISSING,
		    "cannot open 'a?\?': No such file or directory");
	CHECK_SLICE(bytes, "untouched");
}

TEST(read_all_of_a_pipe)
{
	enum { SIZE = 300000 };
	int fds[2];
	REQUIRE(pipe(fds) == 0);
	REQUIRE(fcntl(fds[0], F_SETFL, O_NONBLOCK) == 0); // must wait all the same
	pid_t child = fork();
	if (child == 0) {
		static char block[1000];
		memset(block, 'x', sizeof(block));
		for (size_t i = 0; i < SIZE / sizeof(block); i++) {
			if (__real_write(fds[1], block, sizeof(block)) != sizeof(block))
				_exit(1);
		}
		_exit(0);
	}
	close(fds[1]);
	struct slice bytes = MS_SLICE_EMPTY;
	CHECK_OK(ms_fd_read_all(fds[0], SIZE, NULL, &bytes));
	CHECK_INT(bytes.n, SIZE);
	CHECK(bytes.n == SIZE && bytes.p[0] == 'x' && bytes.p[SIZE - 1] == 'x' && bytes.p[SIZE] == '\0');
	free((char *)(uintptr_t)bytes.p);
	close(fds[0]);
	CHECK_INT(waitpid(child, NULL, 0), child);
}

// Takes the file apart in steps of `step` bytes.
static void check_reader(const char *path, const char *want, size_t n, size_t step, uint64_t size)
{
	struct file_reader *reader;
	struct slice text = MS_SLICE_EMPTY;
	size_t at = 0;
	REQUIRE(ms_reader_open(path, 1024, NULL, &reader) == MS_OK);
	CHECK_INT(ms_reader_size(reader), size);
	for (;;) {
		if (text.n < 1024 && !ms_reader_ended(reader))
			REQUIRE(ms_reader_fill(reader, text.n, NULL, &text) == MS_OK);
		REQUIRE(text.n >= 1024 || ms_reader_ended(reader));
		CHECK_INT(ms_reader_taken(reader), at + text.n);
		if (text.n == 0)
			break;
		size_t part = MS_MIN(step, text.n);
		REQUIRE(at + part <= n && memcmp(text.p, want + at, part) == 0);
		at += part;
		text = ms_slice_sub(text, part, text.n);
	}
	CHECK_INT(at, n);
	ms_reader_close(reader);
}

TEST(reader_gives_a_file_of_any_size_in_steps)
{
	static char bytes[20001];
	static const size_t sizes[] = {0, 1, 1023, 1024, 1025, 2047, 2048, 2049, 5000, 20000};
	static const size_t steps[] = {1, 7, 1000, 1024};
	for (size_t i = 0; i < sizeof(bytes) - 1; i++)
		bytes[i] = (char)('a' + (i * 7 + i / 256) % 26);
	for (size_t i = 0; i < MS_ARRAY_LEN(sizes); i++) {
		char keep = bytes[sizes[i]];
		bytes[sizes[i]] = '\0';
		put("f", bytes);
		for (size_t k = 0; k < MS_ARRAY_LEN(steps); k++)
			check_reader(at("f"), bytes, sizes[i], steps[k], sizes[i]);
		bytes[sizes[i]] = keep;
	}
}

TEST(reader_waits_for_a_pipe)
{
	static char bytes[9001];
	memset(bytes, 'p', sizeof(bytes) - 1);
	REQUIRE(mkfifo(at("fifo"), 0600) == 0);
	pid_t child = fork();
	if (child == 0) {
		int fd = open(at("fifo"), O_WRONLY);
		for (size_t i = 0; fd >= 0 && i < 9000; i += 100) {
			if (__real_write(fd, bytes + i, 100) != 100)
				_exit(1);
		}
		_exit(fd < 0);
	}
	check_reader(at("fifo"), bytes, 9000, 333, 0);
	int status = 1;
	CHECK_INT(waitpid(child, &status, 0), child);
	CHECK_INT(status, 0);
}

TEST(reader_says_what_is_wrong)
{
	struct file_reader *reader = NULL;
	ms_errinfo_init(&info);
	check_error(ms_reader_open(at("none"), 1024, &info, &reader), MS_ERR_FILE_MISSING,
		    "cannot open 'none': No such file or directory");
	check_error(ms_reader_open(at("."), 1024, &info, &reader), MS_ERR_IO, "cannot read '.': Is a directory");
	CHECK(reader == NULL);
}

static void read_a_file_in_pieces(void)
{
	struct file_reader *reader = NULL;
	struct slice text;
	enum ms_err err = ms_reader_open("/proc/self/status", 1024, NULL, &reader);
	if (err == MS_OK)
		err = ms_reader_fill(reader, 0, NULL, &text);
	CHECK_INT(err, ms_test_allocation_failed() ? MS_ERR_NO_MEMORY : MS_OK);
	ms_reader_close(reader);
}

TEST(reader_survives_failing_allocations)
{
	ms_test_torture(read_a_file_in_pieces);
}

TEST(read_all_is_bounded)
{
	int fds[2];
	REQUIRE(pipe(fds) == 0);
	CHECK_INT(__real_write(fds[1], "123456", 6), 6);
	struct slice bytes;
	ms_errinfo_init(&info);
	check_error(ms_fd_read_all(fds[0], 5, &info, &bytes), MS_ERR_LIMIT, "the input is larger than 5 bytes");
	close(fds[0]);
	close(fds[1]);
}

static void read_something(void)
{
	struct slice bytes = MS_SLICE_EMPTY;
	enum ms_err err = ms_file_read("/proc/self/status", 100000, NULL, &bytes);
	CHECK_INT(err, ms_test_allocation_failed() ? MS_ERR_NO_MEMORY : MS_OK);
	free((char *)(uintptr_t)bytes.p);
}

TEST(read_survives_failing_allocations)
{
	ms_test_torture(read_something);
}

TEST(map_shows_a_file)
{
	put("f", "hello");
	struct slice bytes;
	CHECK_OK(ms_file_map(at("f"), 5, NULL, &bytes));
	CHECK_SLICE(bytes, "hello");
	put("f", "other"); // replaced by rename: the map keeps the old one
	CHECK_SLICE(bytes, "hello");
	ms_file_unmap(bytes);
	put("empty", "");
	CHECK_OK(ms_file_map(at("empty"), 5, NULL, &bytes));
	CHECK(bytes.p == NULL && bytes.n == 0);
	ms_file_unmap(bytes);
}

// --- Writing -----------------------------------------------------------------------------------------

TEST(write_syncs_before_and_after_the_rename)
{
	reset_calls(0, 0);
	CHECK_OK(ms_file_write_atomic(at("f"), MS_SLICE_LIT("one"), 0640, NULL));
	CHECK_STR(sys.calls, "wfrd");
	check_content("f", "one");
	struct stat st;
	REQUIRE(stat(at("f"), &st) == 0);
	mode_t mask = umask(0);
	umask(mask);
	CHECK_INT(st.st_mode & 0777, 0640 & ~mask);
	reset_calls(0, 0);
	CHECK_OK(ms_file_write_atomic(at("f"), MS_SLICE_LIT("two"), 0640, NULL));
	CHECK_STR(sys.calls, "wfrd");
	check_content("f", "two");
	check_names("", "f");
	reset_calls(0, 0);
	CHECK_OK(ms_file_write_new(at("g"), MS_SLICE_LIT("new"), 0640, NULL));
	CHECK_STR(sys.calls, "wfnd");
	check_content("g", "new");
	check_names("", "f g");
}

TEST(write_that_fails_leaves_the_old_content_and_no_rubbish)
{
	static const struct {
		size_t at;
		int error;
		enum ms_err err;
		const char *message, *content;
	} cases[] = {
		{1, ENOSPC, MS_ERR_NO_SPACE, "cannot write 'f': No space left on device", "old"},
		{2, EIO, MS_ERR_IO, "cannot write 'f': Input/output error", "old"},
		{3, EROFS, MS_ERR_PERMISSION, "cannot write 'f': Read-only file system", "old"},
		{4, EIO, MS_ERR_IO, "cannot write 'f': Input/output error", "new"}, // renamed, perhaps not for good
	};
	ms_errinfo_init(&info);
	for (size_t i = 0; i < MS_ARRAY_LEN(cases); i++) {
		reset_calls(0, 0);
		put("f", "old");
		reset_calls(cases[i].at, cases[i].error);
		check_error(ms_file_write_atomic(at("f"), MS_SLICE_LIT("new"), 0644, &info), cases[i].err,
			    cases[i].message);
		CHECK_INT(sys.count, cases[i].at);
		check_content("f", cases[i].content);
		check_names("", "f");
	}
	for (size_t fail_at = 1; fail_at <= 3; fail_at++) {
		reset_calls(fail_at, EDQUOT);
		check_error(ms_file_write_new(at("g"), MS_SLICE_LIT("new"), 0644, &info), MS_ERR_NO_SPACE,
			    "cannot write 'g': Disk quota exceeded");
		check_names("", "f");
	}
}

TEST(write_goes_on_after_short_and_interrupted_calls)
{
	reset_calls(0, 0);
	sys.write_limit = 3;
	sys.interrupt = true;
	CHECK_OK(ms_file_write_atomic(at("f"), MS_SLICE_LIT("0123456789"), 0644, NULL));
	CHECK_STR(sys.calls, "wwwwwwwfrd");
	check_content("f", "0123456789");
}

TEST(write_meets_the_limit_of_file_sizes)
{
	put("f", "old");
	struct rlimit before, small = {8192, 8192};
	REQUIRE(getrlimit(RLIMIT_FSIZE, &before) == 0);
	small.rlim_max = before.rlim_max;
	sighandler_t old = signal(SIGXFSZ, SIG_IGN);
	REQUIRE(setrlimit(RLIMIT_FSIZE, &small) == 0);
	static const char zeros[20000];
	ms_errinfo_init(&info);
	enum ms_err err = ms_file_write_atomic(at("f"), ms_slice(zeros, sizeof(zeros)), 0644, &info);
	REQUIRE(setrlimit(RLIMIT_FSIZE, &before) == 0);
	signal(SIGXFSZ, old);
	check_error(err, MS_ERR_LIMIT, "cannot write 'f': File too large");
	check_content("f", "old");
	check_names("", "f");
}

TEST(write_checks_its_path)
{
	ms_errinfo_init(&info);
	struct slice text = MS_SLICE_LIT("x");
	check_error(ms_file_write_atomic("", text, 0644, &info), MS_ERR_FILE_MISSING,
		    "cannot use the name '': No such file or directory");
	check_error(ms_file_write_atomic(at("f/"), text, 0644, &info), MS_ERR_IO,
		    "cannot use the name 'f': Is a directory");
	check_error(ms_file_write_atomic(at("no/f"), text, 0644, &info), MS_ERR_FILE_MISSING,
		    "cannot open the folder of 'f': No such file or directory");
	REQUIRE(mkdir(at("dir"), 0700) == 0);
	check_error(ms_file_write_atomic(at("dir"), text, 0644, &info), MS_ERR_IO,
		    "cannot write 'dir': Is a directory");
	check_error(ms_file_write_new(at("dir"), text, 0644, &info), MS_ERR_FILE_EXISTS,
		    "cannot write 'dir': File exists");
	char name[300];
	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	CHECK_INT(ms_file_write_atomic(at(name), text, 0644, NULL), MS_ERR_LIMIT);
	name[255] = '\0'; // the longest: the temporary name must fit too
	CHECK_OK(ms_file_write_atomic(at(name), text, 0644, NULL));
	CHECK_OK(ms_file_remove(at(name), NULL));
	check_names("", "dir");
}

TEST(write_replaces_a_link_and_leaves_its_target)
{
	put("target", "target");
	REQUIRE(symlink("target", at("link")) == 0);
	CHECK_OK(ms_file_write_atomic(at("link"), MS_SLICE_LIT("mine"), 0644, NULL));
	check_content("link", "mine");
	check_content("target", "target");
}

TEST(write_new_takes_no_name_that_is_there)
{
	put("f", "old");
	REQUIRE(symlink("nowhere", at("dangling")) == 0);
	ms_errinfo_init(&info);
	check_error(ms_file_write_new(at("f"), MS_SLICE_LIT("new"), 0644, &info), MS_ERR_FILE_EXISTS,
		    "cannot write 'f': File exists");
	check_error(ms_file_write_new(at("dangling"), MS_SLICE_LIT("new"), 0644, &info), MS_ERR_FILE_EXISTS,
		    "cannot write 'dangling': File exists");
	check_content("f", "old");
	check_names("", "dangling f");
}

// --- Rename, remove, stat ----------------------------------------------------------------------------

TEST(rename_conflicts_unless_told_to_replace)
{
	put("a", "a");
	put("b", "b");
	ms_errinfo_init(&info);
	reset_calls(0, 0);
	check_error(ms_file_rename(at("a"), at("b"), false, &info), MS_ERR_FILE_EXISTS,
		    "cannot rename to 'b': File exists");
	check_content("b", "b");
	CHECK_OK(ms_file_rename(at("a"), at("b"), true, NULL));
	CHECK_STR(sys.calls, "nrdd");
	check_content("b", "a");
	check_names("", "b");
	check_error(ms_file_rename(at("a"), at("c"), false, &info), MS_ERR_FILE_MISSING,
		    "cannot rename 'a': No such file or directory");
	check_error(ms_file_rename(at("b"), at("no/c"), false, &info), MS_ERR_FILE_MISSING,
		    "cannot open the folder of 'c': No such file or directory");
	reset_calls(2, EIO);
	check_error(ms_file_rename(at("b"), at("c"), false, &info), MS_ERR_IO, "cannot rename 'b': Input/output error");
}

TEST(rename_of_folders)
{
	CHECK_OK(ms_dir_create(at("x/y"), NULL));
	CHECK_OK(ms_dir_create(at("z"), NULL));
	ms_errinfo_init(&info);
	check_error(ms_file_rename(at("x"), at("z"), false, &info), MS_ERR_FILE_EXISTS,
		    "cannot rename to 'z': File exists"); // though it is empty
	CHECK_OK(ms_file_rename(at("x"), at("z/x"), false, NULL));
	check_names("z/x", "y");
	CHECK_OK(ms_dir_create(at("x"), NULL));
	check_error(ms_file_rename(at("x"), at("z"), true, &info), MS_ERR_FILE_EXISTS,
		    "cannot rename to 'z': Directory not empty");
}

// A file system that does not know RENAME_NOREPLACE answers EINVAL.
TEST(rename_without_replacing_where_the_system_cannot)
{
	put("a", "a");
	put("b", "b");
	CHECK_OK(ms_dir_create(at("d"), NULL));
	CHECK_OK(ms_dir_create(at("e"), NULL));
	reset_calls(1, EINVAL);
	CHECK_INT(ms_file_rename(at("a"), at("b"), false, NULL), MS_ERR_FILE_EXISTS);
	reset_calls(1, EINVAL);
	CHECK_OK(ms_file_rename(at("a"), at("c"), false, NULL));
	reset_calls(1, EINVAL);
	CHECK_INT(ms_file_rename(at("d"), at("e"), false, NULL), MS_ERR_FILE_EXISTS);
	reset_calls(1, EINVAL);
	CHECK_OK(ms_file_rename(at("d"), at("f"), false, NULL));
	check_names("", "b c e f");
	check_content("b", "b");
	check_content("c", "a");
}

TEST(remove_takes_files_and_links_only)
{
	put("f", "f");
	REQUIRE(symlink("f", at("link")) == 0);
	CHECK_OK(ms_dir_create(at("d"), NULL));
	CHECK_OK(ms_file_remove(at("link"), NULL));
	check_content("f", "f");
	CHECK_OK(ms_file_remove(at("f"), NULL));
	ms_errinfo_init(&info);
	check_error(ms_file_remove(at("f"), &info), MS_ERR_FILE_MISSING,
		    "cannot remove 'f': No such file or directory");
	check_error(ms_file_remove(at("d"), &info), MS_ERR_IO, "cannot remove 'd': Is a directory");
}

TEST(stat_tells_kind_size_and_time)
{
	put("f", "12345");
	REQUIRE(symlink("f", at("link")) == 0);
	struct file_stat file, link, dir;
	CHECK_OK(ms_file_stat(at("f"), NULL, &file));
	CHECK_OK(ms_file_stat(at("link"), NULL, &link));
	CHECK_OK(ms_file_stat(at(""), NULL, &dir));
	CHECK(file.is_file && !file.is_dir && !dir.is_file && dir.is_dir);
	CHECK_INT(file.size, 5);
	CHECK_INT(link.inode, file.inode);
	CHECK(file.mtime_ns <= ms_clock_wall_ns() && file.mtime_ns > ms_clock_wall_ns() - INT64_C(600) * 1000000000);
	ms_errinfo_init(&info);
	check_error(ms_file_stat(at("none"), &info, &file), MS_ERR_FILE_MISSING,
		    "cannot look at 'none': No such file or directory");
	CHECK(file.is_file);
}

// --- Folders -----------------------------------------------------------------------------------------

TEST(dir_create_makes_parents)
{
	reset_calls(0, 0);
	CHECK_OK(ms_dir_create(at("a/b//c/"), NULL));
	CHECK_STR(sys.calls, "ddd"); // each new folder is synced into its parent
	CHECK_OK(ms_dir_create(at("a/b/c"), NULL));
	CHECK_OK(ms_dir_create("/", NULL));
	CHECK_OK(ms_dir_create(".", NULL));
	CHECK_STR(sys.calls, "ddd");
	check_names("a/b", "c");
	put("f", "f");
	ms_errinfo_init(&info);
	check_error(ms_dir_create(at("f"), &info), MS_ERR_FILE_EXISTS, "cannot create the folder 'f': File exists");
	check_error(ms_dir_create(at("f/g"), &info), MS_ERR_FILE_EXISTS, "cannot create the folder 'f': File exists");
	check_error(ms_dir_create("", &info), MS_ERR_FILE_MISSING,
		    "cannot create the folder '': No such file or directory");
	CHECK_OK(ms_dir_sync(at("a"), NULL));
	check_error(ms_dir_sync(at("f"), &info), MS_ERR_FILE_MISSING, "cannot open the folder 'f': Not a directory");
}

TEST(dir_list_sorts_and_is_bounded)
{
	static const char *const names[] = {"b", "a", "B", "ab", ".hidden", "\xc3\xa4"};
	for (size_t i = 0; i < MS_ARRAY_LEN(names); i++)
		put(names[i], "");
	check_names("", ".hidden B a ab b \xc3\xa4");
	struct arena arena;
	ms_arena_init(&arena, 1024, 100000);
	struct slice *list = NULL;
	size_t count = 7;
	CHECK_OK(ms_dir_list(at(""), 6, &arena, NULL, &list, &count));
	CHECK_INT(count, 6);
	CHECK_STR(list[0].p, ".hidden"); // with a NUL behind
	ms_errinfo_init(&info);
	check_error(ms_dir_list(at(""), 5, &arena, &info, &list, &count), MS_ERR_LIMIT,
		    "a folder holds more than 5 entries");
	check_error(ms_dir_list(at("no"), 5, &arena, &info, &list, &count), MS_ERR_FILE_MISSING,
		    "cannot list the folder 'no': No such file or directory");
	ms_arena_fini(&arena);
	ms_arena_init(&arena, 64, 64);
	CHECK_INT(ms_dir_list(at(""), 6, &arena, NULL, &list, &count), MS_ERR_NO_MEMORY);
	ms_arena_fini(&arena);
}

TEST(dir_remove_takes_the_tree_and_follows_no_link)
{
	CHECK_OK(ms_dir_create(at("tree/a/b"), NULL));
	put("tree/a/b/f", "f");
	put("tree/g", "g");
	CHECK_OK(ms_dir_create(at("outside"), NULL));
	put("outside/keep", "keep");
	REQUIRE(symlink(at("outside"), at("tree/link")) == 0);
	REQUIRE(symlink("tree", at("top")) == 0);
	CHECK(ms_dir_remove(at("top"), NULL) != MS_OK);
	check_names("tree", "a g link");
	CHECK_OK(ms_dir_remove(at("tree"), NULL));
	CHECK_OK(ms_dir_remove(at("tree"), NULL)); // missing is fine
	check_names("", "outside top");
	check_content("outside/keep", "keep");
	CHECK(ms_dir_remove(at("outside/keep"), NULL) != MS_OK);
	check_content("outside/keep", "keep");
}

TEST(dir_remove_takes_many_entries)
{
	CHECK_OK(ms_dir_create(at("many"), NULL));
	for (int i = 0; i < 3000; i++) {
		char name[32];
		snprintf(name, sizeof(name), "many/%d", i);
		int fd = open(at(name), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
		REQUIRE(fd >= 0);
		close(fd);
	}
	CHECK_OK(ms_dir_remove(at("many"), NULL));
	check_names("", "");
}

TEST(dir_remove_is_bounded_in_depth)
{
	char path[512] = "deep";
	for (int i = 1; i < 101; i++)
		strcat(path, "/d");
	CHECK_OK(ms_dir_create(at(path), NULL));
	CHECK_INT(ms_dir_remove(at("deep"), NULL), MS_ERR_LIMIT);
	CHECK_OK(ms_dir_remove(at("deep/d"), NULL)); // a hundred deep
	CHECK_OK(ms_dir_remove(at("deep"), NULL));
}

// --- Locks -------------------------------------------------------------------------------------------

// The result of locking in another process.
static int lock_elsewhere(const char *path)
{
	pid_t child = fork();
	if (child == 0) {
		int fd;
		_exit((int)ms_file_lock(path, false, NULL, &fd));
	}
	int status = -1;
	REQUIRE(waitpid(child, &status, 0) == child);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST(lock_keeps_other_processes_out)
{
	const char *path = at("lock");
	int fd, second;
	CHECK_OK(ms_file_lock(path, false, NULL, &fd));
	CHECK_INT(lock_elsewhere(path), MS_ERR_CONFLICT);
	ms_errinfo_init(&info);
	check_error(ms_file_lock(path, false, &info, &second), MS_ERR_CONFLICT, "'lock' is locked by another process");
	ms_file_unlock(fd);
	CHECK_INT(lock_elsewhere(path), MS_OK); // and the end of that process released it
	CHECK_OK(ms_file_lock(path, true, NULL, &fd));
	ms_file_unlock(fd);
	check_error(ms_file_lock(at("no/lock"), false, &info, &fd), MS_ERR_FILE_MISSING,
		    "cannot open 'lock': No such file or directory");
}

TEST(lock_waits_for_its_holder)
{
	const char *path = at("lock");
	int ready[2], fd;
	REQUIRE(pipe(ready) == 0);
	CHECK_OK(ms_file_lock(path, false, NULL, &fd));
	pid_t child = fork();
	if (child == 0) {
		int mine;
		close(fd); // the lock is the parent's as long as its descriptor is open there
		if (__real_write(ready[1], "r", 1) != 1)
			_exit(99);
		_exit((int)ms_file_lock(path, true, NULL, &mine));
	}
	char c;
	CHECK_INT(read(ready[0], &c, 1), 1);
	int status = -1;
	CHECK_INT(waitpid(child, &status, WNOHANG), 0); // waits
	ms_file_unlock(fd);
	REQUIRE(waitpid(child, &status, 0) == child);
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == MS_OK);
	close(ready[0]);
	close(ready[1]);
}
