// SPDX-License-Identifier: Apache-2.0
#include "base/arena.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"

#if defined(__SANITIZE_ADDRESS__)
#define ARENA_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ARENA_ASAN 1
#endif
#endif
#ifdef ARENA_ASAN
#include <sanitizer/asan_interface.h>
#define POISON(p, n) ASAN_POISON_MEMORY_REGION((p), (n))
#define UNPOISON(p, n) ASAN_UNPOISON_MEMORY_REGION((p), (n))
#define RED_ZONE 16 // keeps neighbours apart, so that an overrun by one byte is seen
#else
#define POISON(p, n) ((void)(p), (void)(n))
#define UNPOISON(p, n) ((void)(p), (void)(n))
#define RED_ZONE 0
#endif

#define ALIGNMENT 16
#define CHUNK_GROWTH_MAX ((size_t)1 << 24)

struct arena_chunk {
	struct arena_chunk *older;
	size_t size; // usable bytes behind the header
	_Alignas(ALIGNMENT) char bytes[];
};

struct arena_defer {
	struct arena_defer *older;
	arena_release_fn *release;
	void *object;
};

void ms_arena_init(struct arena *a, size_t first_size, size_t max)
{
	MS_ASSERT(first_size > 0 && max >= first_size && max <= SIZE_MAX / 2);
	*a = (struct arena){.first_size = first_size, .max = max};
}

static void run_defers(struct arena *a, struct arena_defer *until)
{
	while (a->defers != until) {
		struct arena_defer *d = a->defers;
		a->defers = d->older;
		d->release(d->object);
	}
}

static void drop_chunk(struct arena *a)
{
	struct arena_chunk *dead = a->chunk;
	a->chunk = dead->older;
	a->used -= dead->size;
	UNPOISON(dead->bytes, dead->size);
	free(dead);
}

static void use_chunk(struct arena *a, char *at)
{
	a->at = at;
	a->end = a->chunk->bytes + a->chunk->size;
	POISON(a->at, (size_t)(a->end - a->at));
}

void ms_arena_fini(struct arena *a)
{
	if (a == NULL)
		return;
	run_defers(a, NULL);
	while (a->chunk != NULL)
		drop_chunk(a);
	a->at = a->end = NULL;
}

void ms_arena_reset(struct arena *a)
{
	run_defers(a, NULL);
	if (a->chunk == NULL)
		return;
	while (a->chunk->older != NULL)
		drop_chunk(a);
	use_chunk(a, a->chunk->bytes);
}

static bool add_chunk(struct arena *a, size_t need)
{
	size_t size = a->chunk != NULL ? MS_MIN(a->chunk->size * 2, CHUNK_GROWTH_MAX) : a->first_size;
	size = MS_MAX(size, need);
	if (size > a->max - a->used)
		size = a->max - a->used; // the last chunk may be smaller than the growth asks for
	if (size < need)
		return false;
	struct arena_chunk *chunk = malloc(sizeof(*chunk) + size);
	if (chunk == NULL)
		return false;
	chunk->older = a->chunk;
	chunk->size = size;
	a->chunk = chunk;
	a->used += size;
	use_chunk(a, chunk->bytes);
	return true;
}

void *ms_arena_alloc(struct arena *a, size_t n)
{
	if (n > a->max)
		return NULL; // also keeps the rounding below from overflowing
	// Nothing still takes a place, so that the pointer is valid in an arena without a chunk too.
	size_t need = ((MS_MAX(n, (size_t)1) + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1)) + RED_ZONE;
	if (MS_UNLIKELY(need > (size_t)(a->end - a->at)) && !add_chunk(a, need))
		return NULL;
	char *p = a->at;
	a->at += need;
	UNPOISON(p, n);
	return p;
}

void *ms_arena_calloc(struct arena *a, size_t count, size_t size)
{
	size_t n;
	if (MS_MUL_OVERFLOWS(count, size, &n))
		return NULL;
	void *p = ms_arena_alloc(a, n);
	if (p != NULL)
		memset(p, 0, n);
	return p;
}

void *ms_arena_grow(struct arena *a, void *old, size_t old_n, size_t new_n)
{
	MS_ASSERT(new_n >= old_n);
	if (new_n > a->max)
		return NULL;
	size_t old_need = ((MS_MAX(old_n, (size_t)1) + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1)) + RED_ZONE;
	size_t new_need = ((MS_MAX(new_n, (size_t)1) + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1)) + RED_ZONE;
	if (old != NULL && (char *)old + old_need == a->at && new_need - old_need <= (size_t)(a->end - a->at)) {
		a->at = (char *)old + new_need;
		UNPOISON(old, new_n);
		return old;
	}
	void *p = ms_arena_alloc(a, new_n);
	if (p != NULL && old_n > 0)
		memcpy(p, old, old_n);
	return p;
}

struct slice ms_arena_copy(struct arena *a, struct slice s)
{
	char *p = ms_arena_cstr(a, s);
	return p != NULL ? (struct slice){p, s.n} : MS_SLICE_EMPTY;
}

char *ms_arena_cstr(struct arena *a, struct slice s)
{
	if (s.n == SIZE_MAX)
		return NULL;
	char *p = ms_arena_alloc(a, s.n + 1);
	if (p == NULL)
		return NULL;
	if (s.n > 0)
		memcpy(p, s.p, s.n);
	p[s.n] = '\0';
	return p;
}

char *ms_arena_printf(struct arena *a, const char *fmt, ...)
{
	va_list args, again;
	va_start(args, fmt);
	va_copy(again, args);
	int n = vsnprintf(NULL, 0, fmt, args);
	va_end(args);
	char *p = n >= 0 ? ms_arena_alloc(a, (size_t)n + 1) : NULL;
	if (p != NULL)
		vsnprintf(p, (size_t)n + 1, fmt, again);
	va_end(again);
	return p;
}

struct arena_mark ms_arena_mark(const struct arena *a)
{
	return (struct arena_mark){.chunk = a->chunk, .at = a->at, .defers = a->defers};
}

void ms_arena_rewind(struct arena *a, struct arena_mark mark)
{
	run_defers(a, mark.defers);
	if (mark.chunk == NULL) {
		ms_arena_reset(a);
		return;
	}
	while (a->chunk != mark.chunk)
		drop_chunk(a);
	use_chunk(a, mark.at);
}

bool ms_arena_defer(struct arena *a, arena_release_fn *release, void *object)
{
	struct arena_defer *d = ms_arena_alloc(a, sizeof(*d));
	if (d == NULL)
		return false;
	*d = (struct arena_defer){.older = a->defers, .release = release, .object = object};
	a->defers = d;
	return true;
}
