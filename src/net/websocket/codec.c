// SPDX-License-Identifier: Apache-2.0
// Frames of a client to messages, and heads of our frames.
#include "net/websocket/codec.h"

#define FIN 0x80
#define RSV1 0x40
#define RSV23 0x30
#define MASK 0x80
#define LENGTH_16 126
#define LENGTH_64 127
#define MASK_BYTES 4

// 1004 to 1006 and 1015 are reserved for what never travels, 1016 to 2999 for later standards.
bool ms_ws_close_code_valid(unsigned code)
{
	if (code >= 1000 && code <= 1014)
		return code < 1004 || code > 1006;
	return code >= 3000 && code <= 4999;
}

// --- Life --------------------------------------------------------------------------------------------

// What does not compress is a little longer compressed: five bytes for each stored block, which some make of two thousand bytes.
static size_t payload_max(const struct ws_codec *c)
{
	return c->compressed ? c->max_message + c->max_message / 128 + 64 : c->max_message;
}

void ms_ws_codec_init(struct ws_codec *c, size_t max_message, struct ws_deflater *deflater, size_t max_ratio)
{
	MS_ASSERT(max_message > 0 && max_message <= SIZE_MAX / 4);
	*c = (struct ws_codec){
		.max_message = max_message, .deflater = deflater, .max_ratio = max_ratio, .head_need = 2};
	ms_buf_init(&c->message, SIZE_MAX / 2); // payload_max() bounds it
}

void ms_ws_codec_fini(struct ws_codec *c)
{
	ms_buf_fini(&c->message);
}

static void drop_message(struct ws_codec *c)
{
	size_t max = c->message.max;
	ms_buf_fini(&c->message);
	ms_buf_init(&c->message, max);
}

static enum ws_event_type fail(struct ws_codec *c, unsigned code, const char *why, struct ws_event *ret_event)
{
	c->ended = true;
	drop_message(c);
	*ret_event = (struct ws_event){.code = code, .bytes = ms_slice_cstr(why)};
	return WS_EVENT_FAILED;
}

// --- Heads -------------------------------------------------------------------------------------------

static bool is_control(unsigned opcode)
{
	return opcode >= WS_OP_CLOSE;
}

// What the first two bytes say (section 5.2); NULL: nothing is wrong.
static const char *check_start(const struct ws_codec *c)
{
	unsigned opcode = c->head[0] & 15, length = c->head[1] & 127;
	bool known = opcode <= WS_OP_BINARY || (opcode >= WS_OP_CLOSE && opcode <= WS_OP_PONG);
	if (!known)
		return "reserved opcode";
	if ((c->head[0] & RSV23) != 0)
		return "reserved bits are set";
	if ((c->head[0] & RSV1) != 0 && c->deflater == NULL)
		return "RSV1 without permessage-deflate";
	if ((c->head[0] & RSV1) != 0 && opcode != WS_OP_TEXT && opcode != WS_OP_BINARY)
		return "RSV1 on a frame that begins no message";
	if ((c->head[1] & MASK) == 0)
		return "a frame without mask";
	if (is_control(opcode) && (c->head[0] & FIN) == 0)
		return "a control frame in fragments";
	if (is_control(opcode) && length > MS_WS_CONTROL_MAX)
		return "a control frame of more than 125 bytes";
	if (opcode == WS_OP_CONTINUE && c->kind == 0)
		return "nothing to continue";
	if ((opcode == WS_OP_TEXT || opcode == WS_OP_BINARY) && c->kind != 0)
		return "a new message within a message";
	return NULL;
}

// The head is whole. False: the length is not in its shortest form, or has the top bit.
static bool read_length(const struct ws_codec *c, uint64_t *ret_length)
{
	unsigned first = c->head[1] & 127, bytes = first == LENGTH_16 ? 2 : first == LENGTH_64 ? 8 : 0;
	uint64_t length = bytes == 0 ? first : 0;
	for (unsigned i = 0; i < bytes; i++)
		length = length << 8 | c->head[2 + i];
	*ret_length = length;
	return bytes == 0 || (bytes == 2 ? length >= LENGTH_16 : length > UINT16_MAX && length <= INT64_MAX);
}

static enum ws_event_type begin_frame(struct ws_codec *c, struct ws_event *ret_event)
{
	uint64_t length;
	if (!read_length(c, &length))
		return fail(c, WS_CLOSE_PROTOCOL, "a length that is not in its shortest form", ret_event);
	c->opcode = c->head[0] & 15;
	c->fin = (c->head[0] & FIN) != 0;
	c->left = length;
	c->phase = 0;
	c->head_need = 0;
	if (is_control(c->opcode)) {
		c->control_n = 0;
		return WS_EVENT_NONE;
	}
	if (c->opcode != WS_OP_CONTINUE) {
		c->kind = c->opcode;
		c->compressed = (c->head[0] & RSV1) != 0;
		c->checked = 0;
		ms_buf_clear(&c->message);
	}
	if (length > payload_max(c) - c->message.n)
		return fail(c, WS_CLOSE_TOO_LARGE, "the message is too large", ret_event);
	return WS_EVENT_NONE;
}

// Gathers the head. FAILED, or NONE; then head_need says whether it is complete (0).
static enum ws_event_type take_head(struct ws_codec *c, struct slice *input, struct ws_event *ret_event)
{
	while (c->head_n < c->head_need && input->n > 0) {
		size_t n = MS_MIN((size_t)(c->head_need - c->head_n), input->n);
		memcpy(c->head + c->head_n, input->p, n);
		c->head_n += (uint8_t)n;
		*input = ms_slice_sub(*input, n, SIZE_MAX);
		if (c->head_n != 2)
			continue;
		const char *wrong = check_start(c);
		if (wrong != NULL)
			return fail(c, WS_CLOSE_PROTOCOL, wrong, ret_event);
		unsigned length = c->head[1] & 127;
		c->head_need = (uint8_t)(2 + MASK_BYTES + (length == LENGTH_16 ? 2 : length == LENGTH_64 ? 8 : 0));
	}
	return c->head_n < c->head_need ? WS_EVENT_NONE : begin_frame(c, ret_event);
}

// --- Payload -----------------------------------------------------------------------------------------

static void unmask(char *dst, const char *src, size_t n, const uint8_t *mask, unsigned phase)
{
	uint8_t key[8];
	uint64_t key_word, word;
	size_t i = 0;
	for (unsigned k = 0; k < sizeof(key); k++)
		key[k] = mask[(phase + k) & 3];
	memcpy(&key_word, key, sizeof(key));
	for (; i + sizeof(word) <= n; i += sizeof(word)) {
		memcpy(&word, src + i, sizeof(word));
		word ^= key_word;
		memcpy(dst + i, &word, sizeof(word));
	}
	for (; i < n; i++)
		dst[i] = (char)((uint8_t)src[i] ^ key[i & 7]);
}

// Fewer than four bytes that begin no valid sequence may still become one with what follows (RFC 3629 section 4).
static bool may_become_utf8(struct slice tail)
{
	static const char *const rests[] = {"\x80", "\x80\x80", "\x80\x80\x80", "\xa0\x80", "\x90\x80\x80"};
	char whole[8];
	if (tail.n > 3)
		return false;
	memcpy(whole, tail.p, tail.n);
	for (size_t i = 0; i < MS_ARRAY_LEN(rests); i++) {
		size_t n = strlen(rests[i]);
		memcpy(whole + tail.n, rests[i], n);
		if (ms_utf8_valid_prefix(ms_slice(whole, tail.n + n)) == tail.n + n)
			return true;
	}
	return false;
}

// Text is refused at the first byte that cannot be UTF-8 (section 8.1), wherever its frames are cut.
static bool check_text(struct ws_codec *c)
{
	if (c->kind != WS_OP_TEXT || c->compressed)
		return true;
	struct slice rest = ms_slice_sub(ms_buf_slice(&c->message), c->checked, SIZE_MAX);
	c->checked += ms_utf8_valid_prefix(rest);
	rest = ms_slice_sub(ms_buf_slice(&c->message), c->checked, SIZE_MAX);
	return rest.n == 0 || may_become_utf8(rest);
}

static enum ws_event_type inflate_message(struct ws_codec *c, struct slice *message, struct ws_event *ret_event)
{
	enum ms_err err = ms_ws_inflate(c->deflater, *message, c->max_message, c->max_ratio, message);
	if (err == MS_OK)
		return WS_EVENT_NONE;
	if (err == MS_ERR_LIMIT)
		return fail(c, WS_CLOSE_TOO_LARGE, "the message inflates to too much", ret_event);
	if (err == MS_ERR_NO_MEMORY)
		return fail(c, WS_CLOSE_SERVER, "out of memory", ret_event);
	return fail(c, WS_CLOSE_DATA, "the message does not inflate", ret_event);
}

static enum ws_event_type end_message(struct ws_codec *c, struct ws_event *ret_event)
{
	struct slice message = ms_buf_slice(&c->message);
	bool text = c->kind == WS_OP_TEXT;
	bool valid = !text || c->checked == message.n;
	if (c->compressed) {
		if (inflate_message(c, &message, ret_event) != WS_EVENT_NONE)
			return WS_EVENT_FAILED;
		valid = !text || ms_utf8_valid_prefix(message) == message.n;
	}
	if (!valid)
		return fail(c, WS_CLOSE_DATA, "text that is not UTF-8", ret_event);
	c->kind = 0;
	c->delivered = true;
	*ret_event = (struct ws_event){.kind = text ? WS_TEXT : WS_BINARY, .bytes = message};
	return WS_EVENT_MESSAGE;
}

static enum ws_event_type end_close(struct ws_codec *c, struct ws_event *ret_event)
{
	struct slice reason = ms_slice(c->control, c->control_n);
	unsigned code = WS_CLOSE_NONE;
	if (reason.n == 1)
		return fail(c, WS_CLOSE_PROTOCOL, "a Close frame with half a code", ret_event);
	if (reason.n > 1) {
		code = (unsigned)(uint8_t)reason.p[0] << 8 | (uint8_t)reason.p[1];
		reason = ms_slice_sub(reason, 2, SIZE_MAX);
		if (!ms_ws_close_code_valid(code))
			return fail(c, WS_CLOSE_PROTOCOL, "a Close code that may not be sent", ret_event);
		if (ms_utf8_valid_prefix(reason) != reason.n)
			return fail(c, WS_CLOSE_DATA, "a Close reason that is not UTF-8", ret_event);
	}
	c->ended = true;
	drop_message(c);
	*ret_event = (struct ws_event){.code = code, .bytes = reason};
	return WS_EVENT_CLOSE;
}

static enum ws_event_type end_frame(struct ws_codec *c, struct ws_event *ret_event)
{
	c->head_n = 0;
	c->head_need = 2;
	if (c->opcode == WS_OP_CLOSE)
		return end_close(c, ret_event);
	if (is_control(c->opcode)) {
		*ret_event = (struct ws_event){.bytes = ms_slice(c->control, c->control_n)};
		return c->opcode == WS_OP_PING ? WS_EVENT_PING : WS_EVENT_PONG;
	}
	return c->fin ? end_message(c, ret_event) : WS_EVENT_NONE;
}

// The present frame's payload, as far as it is here. NONE: more input is needed, or the frame was no event.
static enum ws_event_type take_payload(struct ws_codec *c, struct slice *input, struct ws_event *ret_event)
{
	size_t n = (size_t)MS_MIN((uint64_t)input->n, c->left);
	const uint8_t *mask = c->head + c->head_n - MASK_BYTES;
	if (n > 0 && is_control(c->opcode)) {
		unmask(c->control + c->control_n, input->p, n, mask, c->phase);
		c->control_n += (uint8_t)n;
	} else if (n > 0) {
		if (!ms_buf_reserve(&c->message, n))
			return fail(c, WS_CLOSE_SERVER, "out of memory", ret_event);
		unmask(c->message.p + c->message.n, input->p, n, mask, c->phase);
		c->message.n += n;
		if (!check_text(c))
			return fail(c, WS_CLOSE_DATA, "text that is not UTF-8", ret_event);
	}
	*input = ms_slice_sub(*input, n, SIZE_MAX);
	c->left -= n;
	c->phase = (uint8_t)((c->phase + n) & 3);
	return c->left == 0 ? end_frame(c, ret_event) : WS_EVENT_NONE;
}

enum ws_event_type ms_ws_codec_next(struct ws_codec *c, struct slice *input, struct ws_event *ret_event)
{
	if (c->delivered && c->compressed)
		ms_ws_deflater_trim(c->deflater);
	c->delivered = false;
	while (!c->ended) {
		if (c->head_need > 0 && take_head(c, input, ret_event) != WS_EVENT_NONE)
			return WS_EVENT_FAILED;
		if (c->head_need > 0)
			break;
		enum ws_event_type type = take_payload(c, input, ret_event);
		if (type != WS_EVENT_NONE)
			return type;
		if (c->left > 0)
			break;
	}
	if (c->ended)
		*input = MS_SLICE_EMPTY;
	if (c->kind == 0)
		drop_message(c);
	return WS_EVENT_NONE;
}

// --- Writing -----------------------------------------------------------------------------------------

size_t ms_ws_write_head(enum ws_opcode opcode, bool compressed, uint64_t payload, uint8_t dst[MS_WS_HEAD_MAX])
{
	unsigned bytes = payload < LENGTH_16 ? 0 : payload <= UINT16_MAX ? 2 : 8;
	dst[0] = (uint8_t)(FIN | (compressed ? RSV1 : 0) | opcode);
	dst[1] = (uint8_t)(bytes == 0 ? payload : bytes == 2 ? LENGTH_16 : LENGTH_64);
	for (unsigned i = 0; i < bytes; i++)
		dst[2 + i] = (uint8_t)(payload >> 8 * (bytes - 1 - i));
	return 2 + bytes;
}

size_t ms_ws_write_close(unsigned code, struct slice reason, char dst[MS_WS_CONTROL_MAX])
{
	if (code == WS_CLOSE_NONE)
		return 0;
	MS_ASSERT(ms_ws_close_code_valid(code));
	dst[0] = (char)(code >> 8);
	dst[1] = (char)(code & 255);
	reason = ms_slice_sub(reason, 0, MS_WS_REASON_MAX);
	size_t n = ms_utf8_valid_prefix(reason);
	if (n > 0)
		memcpy(dst + 2, reason.p, n);
	return 2 + n;
}
