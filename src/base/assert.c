// SPDX-License-Identifier: Apache-2.0
#include "base/assert.h"

#include <stdio.h>
#include <stdlib.h>

void ms_assert_fail(const char *expr, const char *file, int line, const char *func)
{
	fprintf(stderr, "mainstay: bug: assertion failed: %s (%s:%d in %s)\n", expr, file, line, func);
	abort();
}
