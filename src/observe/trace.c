// SPDX-License-Identifier: Apache-2.0
// The traceparent header: version "-" trace-id "-" parent-id "-" flags, in lower-case hexadecimal
// (W3C Trace Context, section 3.2).
#include "observe/observe.h"

enum { TRACE_ID_AT = 3, PARENT_ID_AT = 36, FLAGS_AT = 53 };

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool read_hex(const char *p, uint8_t *ret_bytes, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		int high = hex_value(p[2 * i]), low = hex_value(p[2 * i + 1]);
		if (high < 0 || low < 0)
			return false;
		ret_bytes[i] = (uint8_t)(high << 4 | low);
	}
	return true;
}

static char *write_hex(char *p, const uint8_t *bytes, size_t n)
{
	static const char digits[] = "0123456789abcdef";
	for (size_t i = 0; i < n; i++) {
		*p++ = digits[bytes[i] >> 4];
		*p++ = digits[bytes[i] & 15];
	}
	return p;
}

static bool all_zero(const uint8_t *bytes, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (bytes[i] != 0)
			return false;
	}
	return true;
}

bool ms_trace_parse(struct slice traceparent, struct trace_context *ret_context)
{
	const char *p = traceparent.p;
	struct trace_context context = {.valid = true};
	uint8_t version;
	if (traceparent.n < MS_TRACEPARENT_LEN || p[TRACE_ID_AT - 1] != '-' || p[PARENT_ID_AT - 1] != '-' ||
	    p[FLAGS_AT - 1] != '-')
		return false;
	if (!read_hex(p, &version, 1) || !read_hex(p + TRACE_ID_AT, context.trace_id, 16) ||
	    !read_hex(p + PARENT_ID_AT, context.parent_id, 8) || !read_hex(p + FLAGS_AT, &context.flags, 1))
		return false;
	if (version == 0xff || all_zero(context.trace_id, 16) || all_zero(context.parent_id, 8))
		return false;
	// Version 00 ends here; a later one may go on, behind a dash.
	if (traceparent.n > MS_TRACEPARENT_LEN && (version == 0 || p[MS_TRACEPARENT_LEN] != '-'))
		return false;
	context.flags &= 1;
	*ret_context = context;
	return true;
}

void ms_trace_format(const struct trace_context *context, char dst[MS_TRACEPARENT_LEN + 1])
{
	uint8_t version = 0, flags = context->flags & 1;
	char *p = write_hex(dst, &version, 1);
	*p++ = '-';
	p = write_hex(p, context->trace_id, 16);
	*p++ = '-';
	p = write_hex(p, context->parent_id, 8);
	*p++ = '-';
	p = write_hex(p, &flags, 1);
	*p = '\0';
}

void ms_trace_id_hex(const struct trace_context *context, char dst[33])
{
	*write_hex(dst, context->trace_id, 16) = '\0';
}
