// SPDX-License-Identifier: Apache-2.0
// Private to gateway. IP addresses and networks as text: "10.0.0.7", "10.0.0.0/8", "2001:db8::/32". IPv4 is kept as IPv4-mapped IPv6, so
// that one kind of comparison does for both.
#ifndef MS_GATEWAY_ADDRESS_H
#define MS_GATEWAY_ADDRESS_H

#include "base/base.h"

struct gw_address {
	uint8_t bytes[16];
};
struct gw_network {
	struct gw_address address;
	unsigned bits; // 0 to 128
};
// Without brackets and port. False: not an address.
MS_MUST_USE bool ms_address_parse(struct slice text, struct gw_address *ret_address);
// An address alone is a network of one. Bits behind the prefix are cleared.
MS_MUST_USE bool ms_network_parse(struct slice text, struct gw_network *ret_network);
bool ms_network_has(const struct gw_network *network, const struct gw_address *address);

#endif
