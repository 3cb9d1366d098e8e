// SPDX-License-Identifier: Apache-2.0
// Reading a file or standard input piece by piece, for input of any size.
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "rt/internal.h"

#define NAME_SHOWN 512

ssize_t ms_read_some(int fd, char *p, size_t n)
{
	for (;;) {
		ssize_t got = read(fd, p, n);
		if (got >= 0 || (errno != EINTR && errno != EAGAIN))
			return got;
		if (errno == EAGAIN)
			poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, -1);
	}
}

struct file_reader {
	int fd;
	bool owned; // the descriptor
	bool ended;
	char name[NAME_SHOWN]; // for messages
	char *p;
	size_t n, capacity, ahead;
	uint64_t taken, size;
};

enum ms_err ms_reader_open(const char *path, size_t ahead, struct errinfo *info, struct file_reader **ret_reader)
{
	MS_ASSERT(ahead >= 1 << 10 && ahead <= 1 << 30);
	struct stat st;
	struct file_reader *r = calloc(1, sizeof(*r));
	if (r == NULL)
		return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory while reading");
	r->ahead = ahead;
	r->owned = path != NULL;
	r->fd = path != NULL ? open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY) : STDIN_FILENO;
	snprintf(r->name, sizeof(r->name), "%s", path != NULL ? path : "standard input");
	enum ms_err err = MS_OK;
	if (r->fd < 0 || fstat(r->fd, &st) != 0)
		err = ms_fail_errno(info, "open", r->name, errno);
	else if (S_ISDIR(st.st_mode))
		err = ms_fail_errno(info, "read", r->name, EISDIR);
	else if (S_ISREG(st.st_mode))
		r->size = (uint64_t)st.st_size;
	if (err != MS_OK) {
		ms_reader_close(r);
		return err;
	}
	*ret_reader = r;
	return MS_OK;
}

// Twice what is looked ahead, so that what is kept is moved once for as many bytes that were used. Small files need less.
static enum ms_err make_room(struct file_reader *r, struct errinfo *info)
{
	size_t wanted = r->ahead * 2;
	if (r->size > 0 && r->taken == 0 && r->size < wanted)
		wanted = (size_t)r->size + 1; // one more, which shows the end
	char *p = realloc(r->p, wanted);
	if (p == NULL)
		return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory while reading");
	r->p = p;
	r->capacity = wanted;
	return MS_OK;
}

enum ms_err ms_reader_fill(struct file_reader *r, size_t keep, struct errinfo *info, struct slice *ret_text)
{
	MS_ASSERT(keep <= r->n && keep < r->ahead);
	if (keep > 0 && keep < r->n)
		memmove(r->p, r->p + r->n - keep, keep);
	r->n = keep;
	while (!r->ended) {
		if (r->n == r->capacity && r->capacity >= r->ahead * 2)
			break;
		if (r->n == r->capacity)
			MS_TRY(make_room(r, info));
		ssize_t got = ms_read_some(r->fd, r->p + r->n, r->capacity - r->n);
		if (got < 0)
			return ms_fail_errno(info, "read", r->name, errno);
		r->ended = got == 0;
		r->n += (size_t)got;
		r->taken += (size_t)got;
	}
	*ret_text = ms_slice(r->p, r->n);
	return MS_OK;
}

bool ms_reader_ended(const struct file_reader *r)
{
	return r->ended;
}

uint64_t ms_reader_taken(const struct file_reader *r)
{
	return r->taken;
}

uint64_t ms_reader_size(const struct file_reader *r)
{
	return r->size;
}

void ms_reader_close(struct file_reader *r)
{
	if (r == NULL)
		return;
	if (r->owned && r->fd >= 0)
		close(r->fd);
	free(r->p);
	free(r);
}
