// SPDX-License-Identifier: Apache-2.0
// Assertions that stay on in release builds. They guard our own mistakes and never peer input:
// a failed assertion ends the process with the expression and the place on standard error.
#ifndef MS_BASE_ASSERT_H
#define MS_BASE_ASSERT_H

#include "base/compiler.h"

#define MS_ASSERT(expr) (MS_LIKELY(expr) ? (void)0 : ms_assert_fail(#expr, __FILE__, __LINE__, __func__))
#define MS_UNREACHABLE() ms_assert_fail("unreachable", __FILE__, __LINE__, __func__)

MS_NORETURN MS_COLD void ms_assert_fail(const char *expr, const char *file, int line, const char *func);

#endif
