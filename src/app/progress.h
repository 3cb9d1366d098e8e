// SPDX-License-Identifier: Apache-2.0
// A progress line on standard error for long work, when that is a terminal; silent otherwise.
#ifndef MS_APP_PROGRESS_H
#define MS_APP_PROGRESS_H

#include <stdio.h>

#include "base/base.h"

enum progress_unit { PROGRESS_BYTES, PROGRESS_ITEMS, PROGRESS_SHARE }; // the last: percent and time left alone

struct progress {
	FILE *out;
	const char *label; // static
	enum progress_unit unit;
	uint64_t total; // 0: not known
	uint64_t done;
	int64_t start_ns;
	int64_t shown_ns; // when the line was last written
	size_t width;     // of the terminal; 0: silent
};

void ms_progress_begin(struct progress *p, FILE *out, const char *label, enum progress_unit unit, uint64_t total);
// `done` in all. Cheap to call often: writes at most ten times a second.
void ms_progress_update(struct progress *p, uint64_t done);
// Clears the line, so that what follows starts at its beginning.
void ms_progress_end(struct progress *p);

// The line for a given time since the start, at most `width` columns:
// "upload  [=====>    ]  52 %  1.2 GiB  310 MiB/s  ETA 0:04".
void ms_progress_format(const struct progress *p, int64_t elapsed_ns, size_t width, struct buf *out);

#endif
