// SPDX-License-Identifier: Apache-2.0
#include "net/http1/head.h"
#include "net/http1/scan.h"

enum state {
	STATE_SIZE,
	STATE_EXTENSION,
	STATE_SIZE_LF,
	STATE_DATA,
	STATE_DATA_CR,
	STATE_DATA_LF,
	STATE_TRAILER, // at the start of a line
	STATE_TRAILER_NAME,
	STATE_TRAILER_VALUE,
	STATE_TRAILER_LF,
	STATE_END_LF,
	STATE_DONE,
};

#define MAX_DIGITS 16u
// One line of extensions or trailers, and all of them in one body.
#define MAX_LINE 4096u
#define MAX_OVERHEAD ((uint64_t)32 << 10)

void ms_chunked_init(struct chunked *c, uint64_t max_total)
{
	MS_ASSERT(max_total <= INT64_MAX);
	*c = (struct chunked){.max_total = max_total, .state = STATE_SIZE};
}

static MS_COLD enum ms_err fail_byte(const struct chunked *c, char byte, const char *where, struct errinfo *info)
{
	return FAIL_AT(info, c->offset, MS_ERR_HTTP_FRAMING, "byte 0x%02x %s at offset %llu of the chunked body",
		       (unsigned char)byte, where, (unsigned long long)c->offset);
}

static unsigned hex_value(char c)
{
	return c <= '9' ? (unsigned)(c - '0') : (unsigned)((c | 0x20) - 'a') + 10;
}

static enum ms_err read_digit(struct chunked *c, char digit, struct errinfo *info)
{
	// Sixteen digits cannot overflow 64 bits; leading zeros count, so that a size line has an end.
	if (c->digits == MAX_DIGITS)
		return FAIL_AT(info, c->offset, MS_ERR_HTTP_FRAMING, "a chunk size has more than %u digits",
			       MAX_DIGITS);
	c->digits++;
	c->left = c->left << 4 | hex_value(digit);
	return MS_OK;
}

static enum ms_err read_size(struct chunked *c, char byte, struct errinfo *info)
{
	if (is_char(byte, CHAR_HEX))
		return read_digit(c, byte, info);
	if (c->digits == 0)
		return fail_byte(c, byte, "where a chunk size (hex digits) must stand", info);
	if (byte == '\r')
		c->state = STATE_SIZE_LF;
	else if (byte == ';')
		c->state = STATE_EXTENSION;
	else
		return fail_byte(c, byte, "in a chunk size: hex digits and CR LF are expected", info);
	c->line = 0;
	return MS_OK;
}

// The size line is whole.
static enum ms_err end_size_line(struct chunked *c, struct errinfo *info)
{
	c->digits = 0;
	if (c->left > c->max_total - c->total)
		return FAIL_AT(info, c->offset, MS_ERR_HTTP_BODY_TOO_LARGE, "the body is larger than %llu bytes",
			       (unsigned long long)c->max_total);
	c->total += c->left;
	c->state = c->left > 0 ? STATE_DATA : STATE_TRAILER;
	return MS_OK;
}

// Extensions and trailers are dropped, but not without end.
static enum ms_err count_overhead(struct chunked *c, struct errinfo *info)
{
	if (++c->line > MAX_LINE || ++c->overhead > MAX_OVERHEAD)
		return FAIL_AT(info, c->offset, MS_ERR_HTTP_HEADERS_TOO_LARGE,
			       "chunk extensions or trailers are longer than %u bytes a line or %llu in all", MAX_LINE,
			       (unsigned long long)MAX_OVERHEAD);
	return MS_OK;
}

static enum ms_err read_trailer(struct chunked *c, char byte, struct errinfo *info)
{
	MS_TRY(count_overhead(c, info));
	bool in_line = c->state != STATE_TRAILER || byte != '\r';
	if (c->trailers != NULL && in_line) {
		ms_buf_append_char(c->trailers, byte);
		if (byte == '\r')
			ms_buf_append_char(c->trailers, '\n');
		if (!ms_buf_ok(c->trailers))
			return ms_fail(info, MS_ERR_NO_MEMORY, "the server is out of memory for this request");
	}
	switch ((enum state)c->state) {
	case STATE_TRAILER:
		c->line = 0;
		if (byte == '\r')
			c->state = STATE_END_LF;
		else if (is_char(byte, CHAR_TOKEN))
			c->state = STATE_TRAILER_NAME;
		else
			return fail_byte(c, byte, "where a trailer or the empty line must start", info);
		return MS_OK;
	case STATE_TRAILER_NAME:
		if (byte == ':')
			c->state = STATE_TRAILER_VALUE;
		else if (!is_char(byte, CHAR_TOKEN))
			return fail_byte(c, byte, "in the name of a trailer", info);
		return MS_OK;
	case STATE_TRAILER_VALUE:
		if (byte == '\r')
			c->state = STATE_TRAILER_LF;
		else if (!is_char(byte, CHAR_VALUE))
			return fail_byte(c, byte, "in the value of a trailer", info);
		return MS_OK;
	case STATE_SIZE:
	case STATE_EXTENSION:
	case STATE_SIZE_LF:
	case STATE_DATA:
	case STATE_DATA_CR:
	case STATE_DATA_LF:
	case STATE_TRAILER_LF:
	case STATE_END_LF:
	case STATE_DONE:
		break;
	}
	MS_UNREACHABLE();
}

// One byte that is no data.
static enum ms_err read_byte(struct chunked *c, char byte, struct errinfo *info)
{
	switch ((enum state)c->state) {
	case STATE_SIZE:
		return read_size(c, byte, info);
	case STATE_EXTENSION:
		MS_TRY(count_overhead(c, info));
		if (byte == '\r')
			c->state = STATE_SIZE_LF;
		else if (!is_char(byte, CHAR_VALUE))
			return fail_byte(c, byte, "in a chunk extension", info);
		return MS_OK;
	case STATE_SIZE_LF:
		return byte == '\n' ? end_size_line(c, info)
				    : fail_byte(c, byte, "instead of LF after a chunk size", info);
	case STATE_DATA_CR:
		c->state = STATE_DATA_LF;
		return byte == '\r' ? MS_OK : fail_byte(c, byte, "instead of CR after the data of a chunk", info);
	case STATE_DATA_LF:
		c->state = STATE_SIZE;
		return byte == '\n' ? MS_OK : fail_byte(c, byte, "instead of LF after the data of a chunk", info);
	case STATE_TRAILER:
	case STATE_TRAILER_NAME:
	case STATE_TRAILER_VALUE:
		return read_trailer(c, byte, info);
	case STATE_TRAILER_LF:
		c->state = STATE_TRAILER;
		return byte == '\n' ? MS_OK : fail_byte(c, byte, "instead of LF after a trailer", info);
	case STATE_END_LF:
		c->state = STATE_DONE;
		return byte == '\n' ? MS_OK : fail_byte(c, byte, "instead of LF at the end of the body", info);
	case STATE_DATA:
	case STATE_DONE:
		break;
	}
	MS_UNREACHABLE();
}

static struct slice take_data(struct chunked *c, struct slice *input)
{
	struct slice data = ms_slice_sub(*input, 0, (size_t)MS_MIN(c->left, (uint64_t)input->n));
	*input = ms_slice_sub(*input, data.n, SIZE_MAX);
	c->offset += data.n;
	c->left -= data.n;
	if (c->left == 0)
		c->state = STATE_DATA_CR;
	return data;
}

enum ms_err ms_chunked_next(struct chunked *c, struct slice *input, struct errinfo *info, struct slice *ret_data,
			    bool *ret_done)
{
	struct slice data = MS_SLICE_EMPTY;
	while (input->n > 0 && data.n == 0 && c->state != STATE_DONE) {
		if (c->state == STATE_DATA) {
			data = take_data(c, input);
			continue;
		}
		MS_TRY(read_byte(c, input->p[0], info));
		c->offset++;
		*input = ms_slice_sub(*input, 1, SIZE_MAX);
	}
	*ret_data = data;
	*ret_done = c->state == STATE_DONE;
	return MS_OK;
}

// --- Trailers ----------------------------------------------------------------------------------------

// Fields that frame or route a message mean nothing behind it (RFC 9110 section 6.5.1), and hop-by-hop ones end here.
static bool may_trail(struct slice name)
{
	enum http1_known known = ms_http1_known_header(name);
	return known != HTTP1_HOST && known != HTTP1_CONNECTION && known != HTTP1_CONTENT_LENGTH &&
	       known != HTTP1_TRANSFER_ENCODING && known != HTTP1_EXPECT && known != HTTP1_CONTENT_TYPE &&
	       known != HTTP1_CONTENT_ENCODING && known != HTTP1_AUTHORIZATION &&
	       !ms_http1_is_hop_by_hop(&(struct http1_head){0}, name);
}

bool ms_http1_trailers(struct slice lines, struct arena *arena, struct http_header **ret_headers, size_t *ret_count)
{
	size_t count = 0, max = 0;
	for (size_t i = 0; i < lines.n; i++)
		max += lines.p[i] == '\n';
	struct http_header *headers = MS_ARENA_ARRAY(arena, struct http_header, max);
	if (headers == NULL)
		return false;
	struct slice line;
	for (size_t i = 0; i < max && ms_slice_next(&lines, '\n', &line); i++) {
		size_t colon = ms_slice_find(line, ':');
		if (colon == line.n) // the CR of the empty line
			break;
		struct slice name = ms_slice_sub(line, 0, colon);
		struct slice value = ms_slice_sub(line, colon + 1, line.n - colon - 2); // without the CR
		if (may_trail(name))
			headers[count++] = (struct http_header){name, ms_slice_trim(value)};
	}
	*ret_headers = headers;
	*ret_count = count;
	return true;
}
