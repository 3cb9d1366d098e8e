// SPDX-License-Identifier: Apache-2.0
// An arena hands out memory that is given back all at once. Each has a maximum, so that hostile input
// meets a clear answer long before the machine runs out. Chunks grow geometrically; a reset keeps the
// first chunk, so a steady request costs no malloc. One owner thread at a time; no locks.
#ifndef MS_BASE_ARENA_H
#define MS_BASE_ARENA_H

#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/slice.h"

struct arena_chunk;
struct arena_defer;

struct arena {
	char *at;                   // next free byte of the current chunk
	char *end;                  // end of the current chunk
	struct arena_chunk *chunk;  // current chunk, linked to the older ones
	struct arena_defer *defers; // releases to run on reset, newest first
	size_t used;                // bytes taken from malloc so far
	size_t max;                 // limit of `used`
	size_t first_size;          // size of the first chunk
};

struct arena_mark {
	struct arena_chunk *chunk;
	char *at;
	struct arena_defer *defers;
};

// No memory is taken before the first allocation. `max` is the limit in bytes of all chunks together.
void ms_arena_init(struct arena *a, size_t first_size, size_t max);
// Runs the deferred releases and frees everything; the arena may be used again after another init.
void ms_arena_fini(struct arena *a);
// Runs the deferred releases and keeps the first chunk for the next use.
void ms_arena_reset(struct arena *a);

// `n` bytes aligned to 16, contents undefined; NULL when the limit is reached or memory is out.
// n = 0 gives a valid pointer.
MS_MUST_USE void *ms_arena_alloc(struct arena *a, size_t n);
// The same, zeroed, for `count` items of `size` bytes; NULL on overflow too.
MS_MUST_USE void *ms_arena_calloc(struct arena *a, size_t count, size_t size);
// Grows the newest allocation in place when it can, else copies. `old_n` is its present size.
MS_MUST_USE void *ms_arena_grow(struct arena *a, void *old, size_t old_n, size_t new_n);

// A copy with a NUL behind it (not counted); p == NULL when out of memory.
MS_MUST_USE struct slice ms_arena_copy(struct arena *a, struct slice s);
MS_MUST_USE char *ms_arena_cstr(struct arena *a, struct slice s);
// NULL when out of memory.
MS_MUST_USE char *ms_arena_printf(struct arena *a, const char *fmt, ...) MS_PRINTF(2, 3);

// Scratch use: everything allocated after the mark is given back, deferred releases included.
struct arena_mark ms_arena_mark(const struct arena *a);
void ms_arena_rewind(struct arena *a, struct arena_mark mark);

// Calls release(object) on reset, rewind or fini, newest first. False when out of memory: nothing is registered.
typedef void arena_release_fn(void *object);
MS_MUST_USE bool ms_arena_defer(struct arena *a, arena_release_fn *release, void *object);

#define MS_ARENA_NEW(arena, type) ((type *)ms_arena_calloc((arena), 1, sizeof(type)))
#define MS_ARENA_ARRAY(arena, type, count) ((type *)ms_arena_calloc((arena), (count), sizeof(type)))

#endif
