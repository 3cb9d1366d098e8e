// SPDX-License-Identifier: Apache-2.0
// Text helpers that several modules need: the nearest name for "did you mean", times as text.
#ifndef MS_BASE_TEXT_H
#define MS_BASE_TEXT_H

#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

// The candidate nearest to `name` by edit distance (insert, delete, replace, swap of neighbours; letters
// compare without case), or SIZE_MAX when none is near enough to be a likely slip.
size_t ms_text_nearest(struct slice name, const struct slice *candidates, size_t count);

#define MS_RFC3339_SIZE 32
// "2026-11-20T08:30:00.123Z" for nanoseconds since the Unix epoch, in UTC (RFC 3339); returns the length.
size_t ms_text_rfc3339(int64_t unix_ns, char dst[MS_RFC3339_SIZE]);

#endif
