// SPDX-License-Identifier: Apache-2.0
// Reading a model file: the one thing that the library asks of the system. rt has no part in it, because rt needs libuv.
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "embed/embed.h"

static enum ms_err io_failure(struct errinfo *info, const char *what)
{
	return ms_fail(info, MS_ERR_IO, "the file cannot be %s: %s", what, strerror(errno));
}

static enum ms_err read_all(int fd, struct slice *bytes, char *dst, size_t size, struct errinfo *info)
{
	size_t n = 0;
	while (n < size) {
		ssize_t got = read(fd, dst + n, size - n);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return io_failure(info, "read");
		if (got == 0)
			break; // it became shorter meanwhile: the loader says what is missing
		n += (size_t)got;
	}
	*bytes = ms_slice(dst, n);
	return MS_OK;
}

static enum ms_err read_regular(int fd, size_t max_bytes, struct errinfo *info, struct slice *ret_bytes)
{
	struct stat st;
	if (fstat(fd, &st) != 0)
		return io_failure(info, "examined");
	if (!S_ISREG(st.st_mode))
		return ms_fail(info, MS_ERR_IO, "this is no regular file");
	if ((uint64_t)st.st_size > max_bytes)
		return ms_fail(info, MS_ERR_MODEL_TOO_LARGE, "the model file has %lld bytes, at most %zu are allowed",
			       (long long)st.st_size, max_bytes);
	size_t size = (size_t)st.st_size;
	char *dst = malloc(size + 1);
	if (dst == NULL)
		return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory for the %zu bytes of the file", size);
	enum ms_err err = read_all(fd, ret_bytes, dst, size, info);
	if (err != MS_OK)
		free(dst);
	return err;
}

enum ms_err ms_embed_read_file(const char *path, size_t max_bytes, struct errinfo *info, struct slice *ret_bytes)
{
	// O_NONBLOCK: a pipe must not hold the caller up; it has no effect on regular files.
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0)
		return io_failure(info, "opened");
	enum ms_err err = read_regular(fd, max_bytes, info, ret_bytes);
	close(fd);
	return err;
}
