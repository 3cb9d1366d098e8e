// SPDX-License-Identifier: Apache-2.0
#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/assert.h"
#include "base/utf8.h"

static const struct {
	const char *name;
	int http_status;
} errors[] = {
	[MS_OK] = {"ok", 200},
#define MS_ERROR(id, text, status) [id] = {text, status},
#include "base/errors.def"
#undef MS_ERROR
};

const char *ms_err_name(enum ms_err code)
{
	MS_ASSERT(code < MS_ERR_COUNT);
	return errors[code].name;
}

int ms_err_http_status(enum ms_err code)
{
	MS_ASSERT(code < MS_ERR_COUNT);
	return errors[code].http_status;
}

void ms_errinfo_init(struct errinfo *info)
{
	// Not the whole texts: each request makes several of these.
	info->code = MS_OK;
	info->message[0] = info->field[0] = '\0';
	info->row = info->line = info->offset = -1;
}

// Messages quote input: control bytes would break logs and terminals, and a cut or hostile UTF-8 sequence
// would break the JSON that carries the message.
static void make_printable(char *text)
{
	struct slice s = ms_slice_cstr(text);
	for (size_t i = 0; i < s.n; i++) {
		if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
			text[i] = '?';
	}
	size_t good;
	while ((good = ms_utf8_valid_prefix(s)) < s.n)
		text[good] = '?';
}

enum ms_err ms_fail(struct errinfo *info, enum ms_err code, const char *fmt, ...)
{
	MS_ASSERT(code != MS_OK && code < MS_ERR_COUNT);
	if (info == NULL)
		return code;
	info->code = code;
	va_list args;
	va_start(args, fmt);
	vsnprintf(info->message, sizeof(info->message), fmt, args);
	va_end(args);
	make_printable(info->message);
	return code;
}

void ms_errinfo_set_field(struct errinfo *info, struct slice field)
{
	if (info == NULL)
		return;
	size_t n = MS_MIN(field.n, sizeof(info->field) - 1);
	if (n > 0)
		memcpy(info->field, field.p, n);
	info->field[n] = '\0';
	make_printable(info->field);
}
