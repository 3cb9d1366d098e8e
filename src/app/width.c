// SPDX-License-Identifier: Apache-2.0
#include "app/width.h"

#include <sys/ioctl.h>
#include <unistd.h>

struct range {
	uint32_t first, last;
};

// Marks that combine with the letter before, joiners, direction marks, variation selectors.
static const struct range zero_width[] = {
	{0x0300, 0x036f}, {0x0483, 0x0489}, {0x0591, 0x05bd}, {0x0610, 0x061a}, {0x064b, 0x065f},   {0x0e34, 0x0e3a},
	{0x1ab0, 0x1aff}, {0x1dc0, 0x1dff}, {0x200b, 0x200f}, {0x202a, 0x202e}, {0x2060, 0x2064},   {0x2066, 0x2069},
	{0x20d0, 0x20ff}, {0xfe00, 0xfe0f}, {0xfe20, 0xfe2f}, {0xfeff, 0xfeff}, {0xe0100, 0xe01ef},
};
static const struct range double_width[] = {
	{0x1100, 0x115f},   {0x231a, 0x231b},   {0x2e80, 0x303e}, {0x3041, 0x33ff},   {0x3400, 0x4dbf},
	{0x4e00, 0x9fff},   {0xa000, 0xa4cf},   {0xa960, 0xa97f}, {0xac00, 0xd7a3},   {0xf900, 0xfaff},
	{0xfe30, 0xfe6f},   {0xff00, 0xff60},   {0xffe0, 0xffe6}, {0x1f300, 0x1f64f}, {0x1f680, 0x1f6ff},
	{0x1f900, 0x1f9ff}, {0x20000, 0x3fffd},
};

static bool within(uint32_t c, const struct range *ranges, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (c >= ranges[i].first && c <= ranges[i].last)
			return true;
	}
	return false;
}

// The next code point: its bytes and columns; `ret_shown` false when it must not reach the terminal.
static size_t next(struct slice text, size_t *ret_columns, bool *ret_shown)
{
	unsigned char lead = (unsigned char)text.p[0];
	*ret_columns = 1;
	*ret_shown = false;
	if (ms_utf8_valid_prefix(ms_slice_sub(text, 0, 4)) == 0)
		return 1;
	size_t n = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
	uint32_t c = n == 1 ? lead : lead & (0xffU >> (n + 1));
	for (size_t i = 1; i < n; i++)
		c = c << 6 | ((unsigned char)text.p[i] & 0x3fU);
	bool control =
		c < 0x20 || (c >= 0x7f && c <= 0x9f) || (c >= 0x202a && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069);
	*ret_shown = !control;
	if (!control)
		*ret_columns = within(c, zero_width, MS_ARRAY_LEN(zero_width))       ? 0
			       : within(c, double_width, MS_ARRAY_LEN(double_width)) ? 2
										     : 1;
	return n;
}

size_t ms_width_of(struct slice text)
{
	size_t width = 0, columns;
	bool shown;
	while (text.n > 0) {
		size_t n = next(text, &columns, &shown);
		width += columns;
		text = ms_slice_sub(text, n, SIZE_MAX);
	}
	return width;
}

void ms_width_append(struct buf *out, struct slice text, size_t max)
{
	bool cut = ms_width_of(text) > max, shown;
	size_t room = cut && max > 0 ? max - 1 : max, columns;
	while (text.n > 0) {
		size_t n = next(text, &columns, &shown);
		if (columns > room)
			break;
		room -= columns;
		if (shown)
			ms_buf_append(out, text.p, n);
		else
			ms_buf_append_char(out, '?');
		text = ms_slice_sub(text, n, SIZE_MAX);
	}
	if (cut && max > 0)
		ms_buf_append_cstr(out, "\xe2\x80\xa6");
}

size_t ms_width_of_terminal(FILE *file)
{
	int fd = fileno(file);
	struct winsize size;
	if (fd < 0 || isatty(fd) == 0)
		return 0;
	bool known = ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
	return known ? size.ws_col : 80;
}
