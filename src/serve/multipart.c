// SPDX-License-Identifier: Apache-2.0
#include "serve/multipart.h"

#define BOUNDARY_MAX 70

// The value of a parameter such as boundary=… or name="…" in a header value.
static struct slice parameter(struct slice value, const char *name)
{
	struct slice rest = value, part, key;
	while (ms_slice_next(&rest, ';', &part)) {
		part = ms_slice_trim(part);
		if (!ms_slice_next(&part, '=', &key) || !ms_slice_eq_nocase(ms_slice_trim(key), ms_slice_cstr(name)) ||
		    part.p == NULL)
			continue;
		part = ms_slice_trim(part);
		if (part.n >= 2 && part.p[0] == '"' && part.p[part.n - 1] == '"')
			return ms_slice_sub(part, 1, part.n - 2);
		return part;
	}
	return MS_SLICE_EMPTY;
}

bool ms_multipart_init(struct multipart *m, struct slice content_type, struct slice body)
{
	struct slice rest = content_type, type;
	*m = (struct multipart){.rest = body};
	if (!ms_slice_next(&rest, ';', &type) ||
	    !ms_slice_eq_nocase(ms_slice_trim(type), MS_SLICE_LIT("multipart/form-data")))
		return false;
	m->boundary = parameter(content_type, "boundary");
	return m->boundary.n > 0 && m->boundary.n <= BOUNDARY_MAX;
}

static size_t find(struct slice s, struct slice needle)
{
	const char *hit = s.n >= needle.n && s.n > 0 ? memmem(s.p, s.n, needle.p, needle.n) : NULL;
	return hit != NULL ? (size_t)(hit - s.p) : SIZE_MAX;
}

static bool take(struct slice *rest, struct slice prefix)
{
	if (!ms_slice_starts_with(*rest, prefix))
		return false;
	*rest = ms_slice_sub(*rest, prefix.n, rest->n);
	return true;
}

// The header lines of a part; only Content-Disposition matters.
static enum ms_err read_headers(struct slice *rest, struct errinfo *info, struct multipart_part *part)
{
	for (;;) {
		size_t end = find(*rest, MS_SLICE_LIT("\r\n"));
		if (end == SIZE_MAX)
			return ms_fail(info, MS_ERR_INVALID, "multipart body: a part's headers do not end");
		struct slice line = ms_slice_sub(*rest, 0, end), name;
		*rest = ms_slice_sub(*rest, end + 2, rest->n);
		if (line.n == 0)
			break;
		if (ms_slice_next(&line, ':', &name) && ms_slice_eq_nocase(name, MS_SLICE_LIT("Content-Disposition")) &&
		    line.p != NULL) {
			part->name = parameter(line, "name");
			part->file_name = parameter(line, "filename");
		}
	}
	return part->name.n > 0 ? MS_OK : ms_fail(info, MS_ERR_INVALID, "multipart body: a part has no name");
}

// The delimiter is "--boundary" at the start of the body and "\r\n--boundary" behind a part.
enum ms_err ms_multipart_next(struct multipart *m, struct errinfo *info, struct multipart_part *ret_part,
			      bool *ret_more)
{
	char delimiter[BOUNDARY_MAX + 5] = "\r\n--";
	struct multipart_part part = {0};
	memcpy(delimiter + 4, m->boundary.p, m->boundary.n);
	struct slice mark = ms_slice(delimiter, m->boundary.n + 4);
	if (!m->started) {
		if (!take(&m->rest, ms_slice_sub(mark, 2, mark.n)))
			return ms_fail(info, MS_ERR_INVALID, "multipart body: it does not start with its boundary");
		m->started = true;
	}
	*ret_more = false;
	if (take(&m->rest, MS_SLICE_LIT("--")))
		return MS_OK;
	if (!take(&m->rest, MS_SLICE_LIT("\r\n")))
		return ms_fail(info, MS_ERR_INVALID, "multipart body: a boundary is not followed by a line end");
	MS_TRY(read_headers(&m->rest, info, &part));
	size_t end = find(m->rest, mark);
	if (end == SIZE_MAX)
		return ms_fail(info, MS_ERR_INVALID, "multipart body: part '%.*s' does not end with the boundary",
			       MS_SLICE_ARG(part.name));
	part.content = ms_slice_sub(m->rest, 0, end);
	m->rest = ms_slice_sub(m->rest, end + mark.n, m->rest.n);
	*ret_part = part;
	*ret_more = true;
	return MS_OK;
}
