// SPDX-License-Identifier: Apache-2.0
#include "gateway/address.h"

#include <stdlib.h>

#define MAPPED UINT64_C(0xffff00000000)

static bool parse_v4(struct slice text, uint32_t *ret_bits)
{
	struct slice rest = text, part;
	uint32_t bits = 0;
	unsigned parts = 0;
	while (ms_slice_next(&rest, '.', &part)) {
		uint64_t value;
		if (part.n > 3 || (part.n > 1 && part.p[0] == '0') || !ms_slice_to_u64(part, &value) || value > 255)
			return false;
		bits = bits << 8 | (uint32_t)value;
		parts++;
	}
	*ret_bits = bits;
	return parts == 4;
}

static bool parse_group(struct slice text, uint16_t *ret_group)
{
	unsigned value = 0;
	if (text.n == 0 || text.n > 4)
		return false;
	for (size_t i = 0; i < text.n; i++) {
		char c = text.p[i];
		unsigned digit;
		if (c >= '0' && c <= '9')
			digit = (unsigned)(c - '0');
		else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
			digit = (unsigned)((c | 0x20) - 'a') + 10;
		else
			return false;
		value = value << 4 | digit;
	}
	*ret_group = (uint16_t)value;
	return true;
}

// Groups without "::" in them; the last may be an IPv4 address.
static bool parse_groups(struct slice text, bool last, uint16_t groups[8], size_t *ret_count)
{
	struct slice part;
	size_t n = 0;
	uint32_t v4;
	*ret_count = 0;
	if (text.n == 0)
		return true;
	while (ms_slice_next(&text, ':', &part)) {
		if (n >= 8)
			return false;
		if (last && text.p == NULL && n <= 6 && ms_slice_find(part, '.') < part.n) {
			if (!parse_v4(part, &v4))
				return false;
			groups[n++] = (uint16_t)(v4 >> 16);
			groups[n++] = (uint16_t)v4;
		} else if (!parse_group(part, &groups[n++])) {
			return false;
		}
	}
	*ret_count = n;
	return true;
}

static bool parse_v6(struct slice text, struct gw_address *ret_address)
{
	uint16_t front[8] = {0}, back[8] = {0}, all[8] = {0};
	size_t front_count, back_count = 0, gap = text.n;
	for (size_t i = 0; i + 1 < text.n && gap == text.n; i++) {
		if (text.p[i] == ':' && text.p[i + 1] == ':')
			gap = i;
	}
	bool has_gap = gap < text.n;
	if (!parse_groups(ms_slice_sub(text, 0, gap), !has_gap, front, &front_count) ||
	    (has_gap && !parse_groups(ms_slice_sub(text, gap + 2, text.n), true, back, &back_count)))
		return false;
	if (has_gap ? front_count + back_count > 7 : front_count != 8)
		return false;
	memcpy(all, front, front_count * sizeof(all[0]));
	memcpy(all + (8 - back_count), back, back_count * sizeof(all[0]));
	struct gw_address a = {0};
	for (size_t i = 0; i < 4; i++) {
		a.high = a.high << 16 | all[i];
		a.low = a.low << 16 | all[i + 4];
	}
	*ret_address = a;
	return true;
}

bool ms_gw_address_parse(struct slice text, struct gw_address *ret_address)
{
	uint32_t v4;
	if (ms_slice_find(text, ':') < text.n)
		return parse_v6(text, ret_address);
	if (!parse_v4(text, &v4))
		return false;
	*ret_address = (struct gw_address){0, MAPPED | v4};
	return true;
}

bool ms_gw_network_parse(struct slice text, struct gw_network *ret_network)
{
	size_t slash = ms_slice_find(text, '/');
	struct slice address = ms_slice_sub(text, 0, slash), prefix = ms_slice_sub(text, slash + 1, text.n);
	bool v4 = ms_slice_find(address, ':') == address.n;
	uint64_t bits = v4 ? 32 : 128, high_mask, low_mask;
	struct gw_address a;
	if (!ms_gw_address_parse(address, &a))
		return false;
	if (slash < text.n && (prefix.n > 3 || !ms_slice_to_u64(prefix, &bits) || bits > (v4 ? 32 : 128)))
		return false;
	bits += v4 ? 96 : 0;
	high_mask = bits == 0 ? 0 : bits >= 64 ? UINT64_MAX : UINT64_MAX << (64 - bits);
	low_mask = bits <= 64 ? 0 : UINT64_MAX << (128 - bits);
	if ((a.high & ~high_mask) != 0 || (a.low & ~low_mask) != 0)
		return false;
	*ret_network = (struct gw_network){a, {a.high | ~high_mask, a.low | ~low_mask}};
	return true;
}

static int compare(struct gw_address a, struct gw_address b)
{
	if (a.high != b.high)
		return a.high < b.high ? -1 : 1;
	return a.low < b.low ? -1 : a.low > b.low;
}

static int by_first(const void *a, const void *b)
{
	return compare(((const struct gw_network *)a)->first, ((const struct gw_network *)b)->first);
}

size_t ms_gw_networks_sort(struct gw_network *networks, size_t count)
{
	size_t kept = 0;
	if (count > 0)
		qsort(networks, count, sizeof(*networks), by_first);
	for (size_t i = 0; i < count; i++) {
		if (kept > 0 && compare(networks[i].first, networks[kept - 1].last) <= 0) {
			if (compare(networks[i].last, networks[kept - 1].last) > 0)
				networks[kept - 1].last = networks[i].last;
		} else {
			networks[kept++] = networks[i];
		}
	}
	return kept;
}

bool ms_gw_networks_has(const struct gw_network *networks, size_t count, struct gw_address address)
{
	size_t low = 0, high = count; // the first network that begins behind the address
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (compare(networks[middle].first, address) <= 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low > 0 && compare(address, networks[low - 1].last) <= 0;
}
