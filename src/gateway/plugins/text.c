// SPDX-License-Identifier: Apache-2.0
// Text that plugins read and write, without a request.
#include "gateway/plugins/plugins.h"

bool ms_gw_media_type(struct slice content_type, const char *type)
{
	return ms_slice_eq_nocase(ms_slice_trim(ms_slice_sub(content_type, 0, ms_slice_find(content_type, ';'))),
				  ms_slice_cstr(type));
}

bool ms_gw_is_json(struct slice content_type)
{
	struct slice type = ms_slice_trim(ms_slice_sub(content_type, 0, ms_slice_find(content_type, ';')));
	return ms_slice_eq_nocase(type, MS_SLICE_LIT("application/json")) ||
	       (type.n > 5 && ms_slice_eq_nocase(ms_slice_sub(type, type.n - 5, 5), MS_SLICE_LIT("+json")));
}

bool ms_gw_text_list_has(const struct text_list *list, struct slice text)
{
	for (size_t i = 0; i < list->count; i++) {
		if (ms_slice_eq(list->items[i], text))
			return true;
	}
	return false;
}

bool ms_gw_text_list_has_nocase(const struct text_list *list, struct slice text)
{
	for (size_t i = 0; i < list->count; i++) {
		if (ms_slice_eq_nocase(list->items[i], text))
			return true;
	}
	return false;
}

bool ms_gw_header_value_ok(struct slice value)
{
	for (size_t i = 0; i < value.n; i++) {
		unsigned char c = (unsigned char)value.p[i];
		if ((c < ' ' && c != '\t') || c == 0x7f)
			return false;
	}
	return true;
}

bool ms_gw_header_name_ok(struct slice name)
{
	static const char others[] = "!#$%&'*+-.^_`|~";
	for (size_t i = 0; i < name.n; i++) {
		char c = name.p[i];
		bool alnum = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
		if (!alnum && memchr(others, c, sizeof(others) - 1) == NULL)
			return false;
	}
	return name.n > 0;
}

void ms_gw_uuid4(struct rand *rand, char ret_text[GW_UUID_SIZE])
{
	static const char hex[] = "0123456789abcdef";
	uint64_t words[2] = {ms_rand_u64(rand), ms_rand_u64(rand)};
	uint8_t bytes[16];
	memcpy(bytes, words, sizeof(bytes));
	bytes[6] = (uint8_t)((bytes[6] & 0x0f) | 0x40); // version 4
	bytes[8] = (uint8_t)((bytes[8] & 0x3f) | 0x80); // variant of RFC 9562
	char *at = ret_text;
	for (size_t i = 0; i < sizeof(bytes); i++) {
		if (i == 4 || i == 6 || i == 8 || i == 10)
			*at++ = '-';
		*at++ = hex[bytes[i] >> 4];
		*at++ = hex[bytes[i] & 15];
	}
	*at = '\0';
}

void ms_gw_percent_append(struct buf *out, struct slice text, bool path)
{
	static const char hex[] = "0123456789ABCDEF";
	for (size_t i = 0; i < text.n; i++) {
		unsigned char c = (unsigned char)text.p[i];
		bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
			     c == '.' || c == '_' || c == '~' || (path && c == '/');
		if (plain) {
			ms_buf_append_char(out, (char)c);
			continue;
		}
		char escaped[3] = {'%', hex[c >> 4], hex[c & 15]};
		ms_buf_append(out, escaped, sizeof(escaped));
	}
}
