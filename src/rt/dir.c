// SPDX-License-Identifier: Apache-2.0
// Folders: create, list, remove, sync.
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "rt/internal.h"

#define MAX_REMOVE_DEPTH 100

static bool is_dot(const char *name)
{
	return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

enum ms_err ms_dir_sync(const char *path, struct errinfo *info)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return ms_fail_errno(info, "open the folder", path, errno);
	int error = fsync(fd) == 0 ? 0 : errno;
	close(fd);
	return error == 0 ? MS_OK : ms_fail_errno(info, "sync the folder", path, error);
}

// Creates the last part of `path`, whose parents are there. 0 or an errno value.
static int create_one(char *path)
{
	if (mkdir(path, 0750) != 0) {
		int error = errno;
		struct stat st;
		// Beside EEXIST: a folder that is there may be refused first for another reason (a read-only file system).
		return stat(path, &st) == 0 && S_ISDIR(st.st_mode) ? 0 : error;
	}
	char *slash = strrchr(path, '/');
	if (slash != NULL && slash != path) {
		*slash = '\0';
		enum ms_err err = ms_dir_sync(path, NULL);
		*slash = '/';
		return err == MS_OK ? 0 : EIO;
	}
	return ms_dir_sync(slash == NULL ? "." : "/", NULL) == MS_OK ? 0 : EIO;
}

enum ms_err ms_dir_create(const char *path, struct errinfo *info)
{
	char part[PATH_MAX];
	size_t n = strlen(path);
	if (n == 0 || n >= sizeof(part))
		return ms_fail_errno(info, "create the folder", path, n == 0 ? ENOENT : ENAMETOOLONG);
	memcpy(part, path, n + 1);
	while (n > 1 && part[n - 1] == '/')
		part[--n] = '\0';
	for (size_t i = 1; i <= n; i++) {
		if (part[i] != '/' && part[i] != '\0')
			continue;
		char end = part[i];
		part[i] = '\0';
		int error = part[i - 1] == '/' ? 0 : create_one(part);
		if (error != 0)
			return ms_fail_errno(info, "create the folder", part, error);
		part[i] = end;
	}
	return MS_OK;
}

// --- List --------------------------------------------------------------------------------------------

static int compare_names(const void *a, const void *b)
{
	const struct slice *x = a, *y = b;
	return ms_slice_cmp(*x, *y);
}

static enum ms_err read_names(DIR *dir, const char *path, size_t max, struct arena *arena, struct errinfo *info,
			      struct slice **ret_names, size_t *ret_count)
{
	struct slice *names = NULL;
	size_t count = 0, cap = 0;
	for (;;) {
		errno = 0;
		struct dirent *entry = readdir(dir);
		if (entry == NULL)
			break;
		if (is_dot(entry->d_name))
			continue;
		if (count == max)
			return ms_fail(info, MS_ERR_LIMIT, "a folder holds more than %zu entries", max);
		if (count == cap) {
			size_t grown = cap * 2 + 16;
			names = ms_arena_grow(arena, names, cap * sizeof(*names), grown * sizeof(*names));
			if (names == NULL)
				return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory while listing a folder");
			cap = grown;
		}
		names[count] = ms_arena_copy(arena, ms_slice_cstr(entry->d_name));
		if (names[count++].p == NULL)
			return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory while listing a folder");
	}
	if (errno != 0)
		return ms_fail_errno(info, "list the folder", path, errno);
	if (count > 0)
		qsort(names, count, sizeof(*names), compare_names);
	*ret_names = names;
	*ret_count = count;
	return MS_OK;
}

enum ms_err ms_dir_list(const char *path, size_t max, struct arena *arena, struct errinfo *info,
			struct slice **ret_names, size_t *ret_count)
{
	DIR *dir = opendir(path);
	if (dir == NULL)
		return ms_fail_errno(info, "list the folder", path, errno);
	enum ms_err err = read_names(dir, path, max, arena, info, ret_names, ret_count);
	closedir(dir);
	return err;
}

// --- Remove ------------------------------------------------------------------------------------------

static int remove_tree(int parent, const char *name, unsigned depth);

// Removes what the folder holds. 0 or an errno value. `ret_any`: something was removed.
static int remove_entries(DIR *dir, unsigned depth, bool *ret_any)
{
	*ret_any = false;
	for (;;) {
		errno = 0;
		struct dirent *entry = readdir(dir);
		if (entry == NULL)
			return errno;
		if (is_dot(entry->d_name))
			continue;
		int error = unlinkat(dirfd(dir), entry->d_name, 0) == 0 ? 0 : errno;
		if (error == EISDIR || error == EPERM) // EPERM: what POSIX has for a folder; remove_tree finds out
			error = remove_tree(dirfd(dir), entry->d_name, depth + 1);
		if (error != 0 && error != ENOENT)
			return error;
		*ret_any = true;
	}
}

static int remove_tree(int parent, const char *name, unsigned depth)
{
	if (depth > MAX_REMOVE_DEPTH)
		return ENAMETOOLONG;
	int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	if (dir == NULL) {
		int error = errno;
		if (fd >= 0)
			close(fd);
		return error;
	}
	int error;
	for (;;) {
		bool any;
		error = remove_entries(dir, depth, &any);
		if (error != 0 || unlinkat(parent, name, AT_REMOVEDIR) == 0)
			break;
		error = errno;
		// Reading while removing may skip entries on some file systems; again, as long as that helps.
		if ((error != ENOTEMPTY && error != EEXIST) || !any)
			break;
		rewinddir(dir);
	}
	closedir(dir);
	return error;
}

enum ms_err ms_dir_remove(const char *path, struct errinfo *info)
{
	int error = remove_tree(AT_FDCWD, path, 1);
	if (error == 0 || error == ENOENT)
		return MS_OK;
	return ms_fail_errno(info, "remove the folder", path, error);
}
