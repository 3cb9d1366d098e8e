// SPDX-License-Identifier: Apache-2.0
// Names and the order of versions.
#include "registry/registry.h"

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_name_char(char c)
{
	return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '.' || c == '_' || c == '-';
}

static enum ms_err check_name(struct slice name, const char *what, size_t max, struct errinfo *info)
{
	bool ok = name.n > 0 && name.n <= max && name.p[0] != '.' && name.p[0] != '-';
	for (size_t i = 0; ok && i < name.n; i++)
		ok = is_name_char(name.p[i]);
	if (ok)
		return MS_OK;
	return ms_fail(info, MS_ERR_MODEL_NAME,
		       "'%.*s' is no %s: 1 to %zu letters, digits, '.', '_' or '-' are, not starting with '.' or '-'",
		       MS_SLICE_ARG(name), what, max);
}

enum ms_err ms_store_check_model_name(struct slice name, struct errinfo *info)
{
	return check_name(name, "model name", MS_MODEL_NAME_MAX, info);
}

enum ms_err ms_store_check_version_name(struct slice version, struct errinfo *info)
{
	return check_name(version, "version or alias", MS_MODEL_VERSION_MAX, info);
}

static struct slice without_v(struct slice s)
{
	bool has_v = s.n > 1 && (s.p[0] == 'v' || s.p[0] == 'V') && is_digit(s.p[1]);
	return has_v ? ms_slice_sub(s, 1, s.n) : s;
}

// Takes a run of digits off the front, without its leading zeros.
static struct slice take_digits(struct slice *s)
{
	while (s->n > 0 && s->p[0] == '0')
		*s = ms_slice_sub(*s, 1, s->n);
	size_t n = 0;
	while (n < s->n && is_digit(s->p[n]))
		n++;
	struct slice digits = ms_slice_sub(*s, 0, n);
	*s = ms_slice_sub(*s, n, s->n);
	return digits;
}

static int compare_numbers(struct slice a, struct slice b)
{
	if (a.n != b.n)
		return a.n < b.n ? -1 : 1;
	return ms_slice_cmp(a, b);
}

// What follows when one text is used up: a '-' opens a pre-release, which comes before the release.
static int compare_ends(struct slice a, struct slice b)
{
	if (a.n == 0 && b.n == 0)
		return 0;
	if (a.n == 0)
		return b.p[0] == '-' ? 1 : -1;
	return a.p[0] == '-' ? -1 : 1;
}

int ms_version_cmp(struct slice a, struct slice b)
{
	struct slice x = without_v(a), y = without_v(b);
	while (x.n > 0 && y.n > 0) {
		if (is_digit(x.p[0]) && is_digit(y.p[0])) {
			struct slice m = take_digits(&x), n = take_digits(&y);
			int order = compare_numbers(m, n);
			if (order != 0)
				return order;
		} else if (x.p[0] != y.p[0]) {
			// A pre-release also comes before a longer release: 1.0-rc1 < 1.0.1.
			if (x.p[0] == '-' || y.p[0] == '-')
				return x.p[0] == '-' ? -1 : 1;
			return (unsigned char)x.p[0] < (unsigned char)y.p[0] ? -1 : 1;
		} else {
			x = ms_slice_sub(x, 1, x.n);
			y = ms_slice_sub(y, 1, y.n);
		}
	}
	int order = compare_ends(x, y);
	return order != 0 ? order : ms_slice_cmp(a, b); // "v1" and "1" are equal as numbers: bytes decide
}
