// SPDX-License-Identifier: Apache-2.0
// IP addresses from text (RFC 4291 section 2.2). Octets of IPv4 have no leading zeros: some readers take those for octal.
#include "gateway/address.h"

static bool parse_v4(struct slice text, uint8_t out[4])
{
	struct slice rest = text, part;
	size_t n = 0;
	while (ms_slice_next(&rest, '.', &part)) {
		uint64_t value;
		if (n == 4 || part.n == 0 || part.n > 3 || (part.n > 1 && part.p[0] == '0') || !ms_slice_to_u64(part, &value) ||
		    value > 255)
			return false;
		out[n++] = (uint8_t)value;
	}
	return n == 4;
}

static bool parse_group(struct slice text, uint8_t out[2])
{
	unsigned value = 0;
	if (text.n == 0 || text.n > 4)
		return false;
	for (size_t i = 0; i < text.n; i++) {
		char c = text.p[i];
		unsigned digit = c >= '0' && c <= '9'	? (unsigned)(c - '0')
				 : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a' + 10)
				 : c >= 'A' && c <= 'F' ? (unsigned)(c - 'A' + 10)
							: 16;
		if (digit == 16)
			return false;
		value = value * 16 + digit;
	}
	out[0] = (uint8_t)(value >> 8);
	out[1] = (uint8_t)value;
	return true;
}

// Groups of one side of "::", or of the whole; the last may be an IPv4 address. False: bad, or more than fits.
static bool parse_groups(struct slice text, uint8_t out[16], size_t *ret_bytes)
{
	struct slice part;
	size_t n = 0;
	if (text.n == 0) {
		*ret_bytes = 0;
		return true;
	}
	while (ms_slice_next(&text, ':', &part)) {
		bool last = text.p == NULL;
		if (last && ms_slice_find(part, '.') < part.n) {
			if (n > 12 || !parse_v4(part, out + n))
				return false;
			n += 4;
			continue;
		}
		if (n > 14 || !parse_group(part, out + n))
			return false;
		n += 2;
	}
	*ret_bytes = n;
	return true;
}

static bool parse_v6(struct slice text, uint8_t out[16])
{
	uint8_t head[16], tail[16];
	size_t gap = text.n, before, after = 0;
	for (size_t i = 0; i + 1 < text.n && gap == text.n; i++) {
		if (text.p[i] == ':' && text.p[i + 1] == ':')
			gap = i;
	}
	if (!parse_groups(ms_slice_sub(text, 0, gap), head, &before))
		return false;
	if (gap == text.n) {
		memcpy(out, head, 16);
		return before == 16;
	}
	// "::" stands for at least one group.
	if (!parse_groups(ms_slice_sub(text, gap + 2, SIZE_MAX), tail, &after) || before + after > 14)
		return false;
	memset(out, 0, 16);
	memcpy(out, head, before);
	memcpy(out + 16 - after, tail, after);
	return true;
}

bool ms_address_parse(struct slice text, struct gw_address *ret_address)
{
	struct gw_address a = {{[10] = 0xff, [11] = 0xff}};
	bool ok = ms_slice_find(text, ':') < text.n ? parse_v6(text, a.bytes) : parse_v4(text, a.bytes + 12);
	if (ok)
		*ret_address = a;
	return ok;
}

bool ms_network_parse(struct slice text, struct gw_network *ret_network)
{
	size_t slash = ms_slice_find(text, '/');
	struct gw_network n;
	uint64_t bits;
	if (!ms_address_parse(ms_slice_sub(text, 0, slash), &n.address))
		return false;
	bool v4 = ms_slice_find(ms_slice_sub(text, 0, slash), ':') == slash;
	n.bits = 128;
	if (slash < text.n) {
		if (!ms_slice_to_u64(ms_slice_sub(text, slash + 1, SIZE_MAX), &bits) || bits > (v4 ? 32U : 128U))
			return false;
		n.bits = (unsigned)bits + (v4 ? 96U : 0U);
	}
	for (unsigned i = 0; i < 16; i++) {
		unsigned kept = n.bits > i * 8 ? MS_MIN(n.bits - i * 8, 8U) : 0;
		n.address.bytes[i] &= (uint8_t)(0xff00U >> kept);
	}
	*ret_network = n;
	return true;
}

bool ms_network_has(const struct gw_network *network, const struct gw_address *address)
{
	unsigned whole = network->bits / 8, rest = network->bits % 8;
	if (memcmp(network->address.bytes, address->bytes, whole) != 0)
		return false;
	return rest == 0 || ((network->address.bytes[whole] ^ address->bytes[whole]) & (uint8_t)(0xff00U >> rest)) == 0;
}
