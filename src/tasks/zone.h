// SPDX-License-Identifier: Apache-2.0
// Private to tasks. A time zone from a TZif file (RFC 9636): what is to be added to UTC at any instant. Bytes in, values out.
#ifndef MS_TASKS_ZONE_H
#define MS_TASKS_ZONE_H

#include "base/base.h"

#define MS_ZONE_NAME_MAX 64

// Whether it may be the name of a zone ("Europe/Berlin", "UTC", "Etc/GMT+3"), and so of a file below the folder of zones: no empty parts, no dots.
bool ms_zone_name_ok(struct slice name);

struct zone; // immutable; in the arena
// MS_ERR_INVALID for what is no TZif file of version 2 or later, or a broken one.
MS_MUST_USE enum ms_err ms_zone_parse(struct slice bytes, struct arena *arena, struct errinfo *info,
				      const struct zone **ret_zone);
const struct zone *ms_zone_utc(void);

// A run of time with one offset: [from, to) in seconds of Unix time. The first begins at INT64_MIN, the last ends at INT64_MAX.
struct zone_period {
	int64_t from, to;
	int64_t offset; // seconds to add to UTC
};
void ms_zone_period(const struct zone *zone, int64_t unix_s, struct zone_period *ret_period);

#endif
