// SPDX-License-Identifier: Apache-2.0
// Private to gateway. IP addresses and networks of text, and sets of networks that are asked for each request.
#ifndef MS_GATEWAY_ADDRESS_H
#define MS_GATEWAY_ADDRESS_H

#include "base/base.h"

// IPv6, big-endian halves; IPv4 as ::ffff:a.b.c.d, so that both spellings of one address are the same.
struct gw_address {
	uint64_t high, low;
};
// Dotted IPv4 without leading zeros, IPv6 of RFC 4291 (brackets, zone and prefix are refused).
MS_MUST_USE bool ms_gw_address_parse(struct slice text, struct gw_address *ret_address);

struct gw_network {
	struct gw_address first, last;
};
// An address, or "address/bits". False when bits behind the prefix are set ("10.1.0.0/8") too: it would say other than it means.
MS_MUST_USE bool ms_gw_network_parse(struct slice text, struct gw_network *ret_network);

// Sorts and merges in place; returns the new count. Then asking takes a binary search.
size_t ms_gw_networks_sort(struct gw_network *networks, size_t count);
bool ms_gw_networks_has(const struct gw_network *networks, size_t count, struct gw_address address);

#endif
