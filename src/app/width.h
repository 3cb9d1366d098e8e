// SPDX-License-Identifier: Apache-2.0
// How wide text is on a terminal, whatever the locale says.
#ifndef MS_APP_WIDTH_H
#define MS_APP_WIDTH_H

#include <stdio.h>

#include "base/base.h"

// Columns that the text takes. Wide forms (UAX #11, classes W and F, by block) count two, combining marks
// none; control characters and invalid bytes count one, as ms_width_append shows them.
size_t ms_width_of(struct slice text);
// Appends text that takes at most `max` columns; what is cut ends in "…". Control characters and invalid bytes, which
// could take over the terminal, are shown as '?'.
void ms_width_append(struct buf *out, struct slice text, size_t max);
// Columns of the terminal that `file` is, or 0 when it is none.
size_t ms_width_of_terminal(FILE *file);

#endif
