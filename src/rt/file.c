// SPDX-License-Identifier: Apache-2.0
// Files: whole reads, maps, and writes that a crash leaves either undone or done.
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "rt/internal.h"

// --- Errors ------------------------------------------------------------------------------------------

static enum ms_err code_of_errno(int error)
{
	switch (error) {
	case ENOENT:
	case ENOTDIR:
		return MS_ERR_FILE_MISSING;
	case EEXIST:
	case ENOTEMPTY:
		return MS_ERR_FILE_EXISTS;
	case ENOSPC:
	case EDQUOT:
		return MS_ERR_NO_SPACE;
	case EACCES:
	case EPERM:
	case EROFS:
		return MS_ERR_PERMISSION;
	case EAGAIN: // of pthread_create
	case EFBIG:
	case EMFILE:
	case EMLINK:
	case ENAMETOOLONG:
	case ENFILE:
		return MS_ERR_LIMIT;
	case ENOMEM:
		return MS_ERR_NO_MEMORY;
	default:
		return MS_ERR_IO;
	}
}

// The last part of a path without slashes behind it: what a message may tell.
static struct slice base_name(const char *path)
{
	struct slice s = ms_slice_cstr(path);
	while (s.n > 1 && s.p[s.n - 1] == '/')
		s.n--;
	for (size_t i = s.n; i-- > 0;) {
		if (s.p[i] == '/' && s.n > 1)
			return ms_slice_sub(s, i + 1, s.n);
	}
	return s;
}

enum ms_err ms_fail_errno(struct errinfo *info, const char *what, const char *path, int error)
{
	const char *reason = strerrordesc_np(error); // unlike strerror: no locale, no shared buffer
	if (reason == NULL)
		reason = "unknown system error";
	if (path == NULL)
		return ms_fail(info, code_of_errno(error), "cannot %s: %s", what, reason);
	return ms_fail(info, code_of_errno(error), "cannot %s '%.*s': %s", what, MS_SLICE_ARG(base_name(path)), reason);
}

static enum ms_err fail_too_large(struct errinfo *info, const char *path, size_t max)
{
	if (path == NULL)
		return ms_fail(info, MS_ERR_LIMIT, "the input is larger than %zu bytes", max);
	return ms_fail(info, MS_ERR_LIMIT, "'%.*s' is larger than %zu bytes", MS_SLICE_ARG(base_name(path)), max);
}

// --- Reading -----------------------------------------------------------------------------------------

// All of `fd`, which holds about `hint` bytes. `path` is for messages.
static enum ms_err read_all(int fd, size_t hint, size_t max, const char *path, struct errinfo *info,
			    struct slice *ret_bytes)
{
	MS_ASSERT(max < SIZE_MAX / 2);
	size_t cap = MS_MIN(hint, max) + 1; // one more: it shows the end, and becomes the NUL
	size_t n = 0;
	char *p = malloc(cap);
	ssize_t got = 1;
	while (p != NULL && got > 0) {
		got = ms_read_some(fd, p + n, cap - n);
		if (got < 0) {
			int error = errno;
			free(p);
			return ms_fail_errno(info, "read", path != NULL ? path : "input", error);
		}
		n += (size_t)got;
		if (n > max) {
			free(p);
			return fail_too_large(info, path, max);
		}
		if (n < cap)
			continue;
		cap = MS_MIN(cap * 2 + 4096, max + 1);
		char *grown = realloc(p, cap);
		if (grown == NULL)
			free(p);
		p = grown;
	}
	if (p == NULL)
		return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory while reading");
	p[n] = '\0';
	*ret_bytes = ms_slice(p, n);
	return MS_OK;
}

// Opens a regular file of at most `max` bytes for reading. Without blocking, because the name may be a pipe's.
static enum ms_err open_regular(const char *path, int flags, size_t max, struct errinfo *info, int *ret_fd,
				size_t *ret_size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK | flags);
	if (fd < 0)
		return ms_fail_errno(info, "open", path, errno);
	struct stat st;
	enum ms_err err = MS_OK;
	if (fstat(fd, &st) != 0)
		err = ms_fail_errno(info, "open", path, errno);
	else if (!S_ISREG(st.st_mode))
		err = ms_fail(info, MS_ERR_IO, "'%.*s' is not a regular file", MS_SLICE_ARG(base_name(path)));
	else if ((uintmax_t)st.st_size > max)
		err = fail_too_large(info, path, max);
	if (err != MS_OK) {
		close(fd);
		return err;
	}
	*ret_fd = fd;
	*ret_size = (size_t)st.st_size;
	return MS_OK;
}

enum ms_err ms_file_read(const char *path, size_t max, struct errinfo *info, struct slice *ret_bytes)
{
	int fd;
	size_t size;
	MS_TRY(open_regular(path, 0, max, info, &fd, &size));
	enum ms_err err = read_all(fd, size, max, path, info, ret_bytes);
	close(fd);
	return err;
}

static enum ms_err check_private(int fd, const char *path, struct errinfo *info)
{
	struct stat st;
	if (fstat(fd, &st) != 0)
		return ms_fail_errno(info, "open", path, errno);
	if ((st.st_mode & (S_IRWXG | S_IRWXO)) != 0)
		return ms_fail(info, MS_ERR_PERMISSION,
			       "'%.*s' may be used by others than its owner (mode %04o): chmod 600 it",
			       MS_SLICE_ARG(base_name(path)), (unsigned)(st.st_mode & 07777));
	if (st.st_uid != geteuid() && st.st_uid != 0)
		return ms_fail(info, MS_ERR_PERMISSION, "'%.*s' belongs to another user",
			       MS_SLICE_ARG(base_name(path)));
	return MS_OK;
}

enum ms_err ms_file_read_private(const char *path, size_t max, struct errinfo *info, struct slice *ret_bytes)
{
	int fd;
	size_t size;
	MS_TRY(open_regular(path, O_NOFOLLOW, max, info, &fd, &size));
	enum ms_err err = check_private(fd, path, info);
	if (err == MS_OK)
		err = read_all(fd, size, max, path, info, ret_bytes);
	close(fd);
	return err;
}

enum ms_err ms_fd_read_all(int fd, size_t max, struct errinfo *info, struct slice *ret_bytes)
{
	return read_all(fd, 65536, max, NULL, info, ret_bytes);
}

enum ms_err ms_file_map(const char *path, size_t max, struct errinfo *info, struct slice *ret_bytes)
{
	int fd;
	size_t size;
	MS_TRY(open_regular(path, 0, max, info, &fd, &size));
	void *p = size > 0 ? mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0) : NULL;
	int error = errno;
	close(fd); // the mapping stays
	if (p == MAP_FAILED)
		return ms_fail_errno(info, "map", path, error);
	*ret_bytes = ms_slice(p, size);
	return MS_OK;
}

void ms_file_unmap(struct slice bytes)
{
	if (bytes.n > 0)
		munmap((void *)(uintptr_t)bytes.p, bytes.n);
}

// --- Writing -----------------------------------------------------------------------------------------

// The folder that holds the last part of `path`, opened, and that part. Work goes on by descriptor, so that all steps
// meet the same folder.
static enum ms_err open_parent(const char *path, struct errinfo *info, int *ret_fd, const char **ret_name)
{
	char parent[PATH_MAX];
	const char *slash = strrchr(path, '/');
	const char *name = slash != NULL ? slash + 1 : path;
	size_t n = slash == NULL ? 0 : slash == path ? 1 : (size_t)(slash - path);
	if (name[0] == '\0')
		return ms_fail_errno(info, "use the name", path, path[0] == '\0' ? ENOENT : EISDIR);
	if (n >= sizeof(parent))
		return ms_fail_errno(info, "use the name", path, ENAMETOOLONG);
	memcpy(parent, path, n);
	parent[n] = '\0';
	int fd = open(n > 0 ? parent : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return ms_fail_errno(info, "open the folder of", path, errno);
	*ret_fd = fd;
	*ret_name = name;
	return MS_OK;
}

static int write_all(int fd, struct slice bytes)
{
	while (bytes.n > 0) {
		ssize_t done = write(fd, bytes.p, bytes.n);
		if (done < 0 && errno != EINTR)
			return errno;
		if (done > 0)
			bytes = ms_slice_sub(bytes, (size_t)done, bytes.n);
	}
	return 0;
}

// Writes and syncs a new temporary file. 0 or an errno value; nothing stays when it fails.
static int write_temp(int dir, const char *temp, struct slice bytes, unsigned mode)
{
	int fd = openat(dir, temp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, (mode_t)mode);
	if (fd < 0)
		return errno;
	int error = write_all(fd, bytes);
	if (error == 0 && fsync(fd) != 0)
		error = errno;
	if (close(fd) != 0 && error == 0)
		error = errno;
	if (error != 0)
		unlinkat(dir, temp, 0);
	return error;
}

// Renames without replacing. Where the file system does not know how: a file by link and unlink, which is as atomic;
// a folder by rename, which replaces an empty folder at most. 0 or an errno value.
static int rename_new(int from_dir, const char *from, int to_dir, const char *to)
{
	if (renameat2(from_dir, from, to_dir, to, RENAME_NOREPLACE) == 0)
		return 0;
	if (errno != EINVAL && errno != ENOSYS)
		return errno;
	struct stat st;
	if (fstatat(from_dir, from, &st, AT_SYMLINK_NOFOLLOW) != 0)
		return errno;
	if (S_ISDIR(st.st_mode)) {
		if (fstatat(to_dir, to, &st, AT_SYMLINK_NOFOLLOW) == 0)
			return EEXIST;
		return renameat(from_dir, from, to_dir, to) == 0 ? 0 : errno;
	}
	if (linkat(from_dir, from, to_dir, to, 0) != 0)
		return errno;
	return unlinkat(from_dir, from, 0) == 0 ? 0 : errno;
}

static enum ms_err write_file(const char *path, struct slice bytes, unsigned mode, bool replace, struct errinfo *info)
{
	int dir;
	const char *name;
	MS_TRY(open_parent(path, info, &dir, &name));
	struct stat st;
	int error = 0;
	if (!replace && fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
		error = EEXIST; // says early what the rename would say after the writing
	char temp[sizeof(MS_FILE_TEMP_PREFIX) + 16];
	uint64_t random;
	ms_random_bytes(&random, sizeof(random));
	snprintf(temp, sizeof(temp), MS_FILE_TEMP_PREFIX "%016llx", (unsigned long long)random);
	if (error == 0)
		error = write_temp(dir, temp, bytes, mode);
	if (error == 0) {
		if (replace)
			error = renameat(dir, temp, dir, name) == 0 ? 0 : errno;
		else
			error = rename_new(dir, temp, dir, name);
		if (error != 0)
			unlinkat(dir, temp, 0);
	}
	if (error == 0 && fsync(dir) != 0)
		error = errno;
	close(dir);
	return error == 0 ? MS_OK : ms_fail_errno(info, "write", path, error);
}

enum ms_err ms_file_write_atomic(const char *path, struct slice bytes, unsigned mode, struct errinfo *info)
{
	return write_file(path, bytes, mode, true, info);
}

enum ms_err ms_file_append(const char *path, struct slice bytes, unsigned mode, struct errinfo *info)
{
	int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY, (mode_t)mode);
	if (fd < 0)
		return ms_fail_errno(info, "open", path, errno);
	int error = write_all(fd, bytes);
	if (error == 0 && fsync(fd) != 0)
		error = errno;
	close(fd);
	return error == 0 ? MS_OK : ms_fail_errno(info, "write", path, error);
}

enum ms_err ms_file_write_new(const char *path, struct slice bytes, unsigned mode, struct errinfo *info)
{
	return write_file(path, bytes, mode, false, info);
}

enum ms_err ms_file_rename(const char *from, const char *to, bool replace, struct errinfo *info)
{
	int from_dir, to_dir;
	const char *from_name, *to_name;
	MS_TRY(open_parent(from, info, &from_dir, &from_name));
	enum ms_err err = open_parent(to, info, &to_dir, &to_name);
	if (err != MS_OK) {
		close(from_dir);
		return err;
	}
	int error;
	if (replace)
		error = renameat(from_dir, from_name, to_dir, to_name) == 0 ? 0 : errno;
	else
		error = rename_new(from_dir, from_name, to_dir, to_name);
	const char *at_fault = error == EEXIST || error == ENOTEMPTY ? to : from;
	if (error == 0 && (fsync(to_dir) != 0 || fsync(from_dir) != 0)) // the new name first: never without any
		error = errno;
	close(from_dir);
	close(to_dir);
	if (error == 0)
		return MS_OK;
	return ms_fail_errno(info, at_fault == to ? "rename to" : "rename", at_fault, error);
}

enum ms_err ms_file_remove(const char *path, struct errinfo *info)
{
	return unlink(path) == 0 ? MS_OK : ms_fail_errno(info, "remove", path, errno);
}

enum ms_err ms_file_stat(const char *path, struct errinfo *info, struct file_stat *ret_stat)
{
	struct stat st;
	if (stat(path, &st) != 0)
		return ms_fail_errno(info, "look at", path, errno);
	*ret_stat = (struct file_stat){
		.is_dir = S_ISDIR(st.st_mode),
		.is_file = S_ISREG(st.st_mode),
		.size = (uint64_t)st.st_size,
		.mtime_ns = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec,
		.inode = st.st_ino,
	};
	return MS_OK;
}

// --- Locks -------------------------------------------------------------------------------------------

enum ms_err ms_file_lock(const char *path, bool wait, struct errinfo *info, int *ret_fd)
{
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0640);
	if (fd < 0)
		return ms_fail_errno(info, "open", path, errno);
	int rc;
	do
		rc = flock(fd, LOCK_EX | (wait ? 0 : LOCK_NB));
	while (rc != 0 && errno == EINTR);
	if (rc == 0) {
		*ret_fd = fd;
		return MS_OK;
	}
	int error = errno;
	close(fd);
	if (error == EWOULDBLOCK)
		return ms_fail(info, MS_ERR_CONFLICT, "'%.*s' is locked by another process",
			       MS_SLICE_ARG(base_name(path)));
	return ms_fail_errno(info, "lock", path, error);
}

void ms_file_unlock(int fd)
{
	close(fd);
}
