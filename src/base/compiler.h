// SPDX-License-Identifier: Apache-2.0
// Attributes and small macros that every file uses. GCC 12 and clang 14 take all of them.
#ifndef MS_BASE_COMPILER_H
#define MS_BASE_COMPILER_H

#include <stddef.h>

#define MS_MUST_USE __attribute__((warn_unused_result))
#define MS_PRINTF(fmt, first) __attribute__((format(printf, fmt, first)))
#define MS_NORETURN __attribute__((noreturn))
#define MS_COLD __attribute__((cold))
#define MS_LIKELY(x) __builtin_expect(!!(x), 1)
#define MS_UNLIKELY(x) __builtin_expect(!!(x), 0)

// Drops a must-use status on purpose; the reason stands beside it. (A cast to void does not silence GCC.)
#define MS_IGNORE(call)     \
	do {                \
		if (call) { \
		}           \
	} while (0)

#define MS_ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define MS_CONTAINER_OF(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))
#define MS_MIN(a, b) ((a) < (b) ? (a) : (b))
#define MS_MAX(a, b) ((a) > (b) ? (a) : (b))

// Overflow-checked sizes: true when the result does not fit, as the builtins say it.
#define MS_MUL_OVERFLOWS(a, b, ret) __builtin_mul_overflow((a), (b), (ret))
#define MS_ADD_OVERFLOWS(a, b, ret) __builtin_add_overflow((a), (b), (ret))

#endif
