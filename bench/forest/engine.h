// SPDX-License-Identifier: Apache-2.0
// What the driver asks of an engine: load a model that gives one raw score a row, score one row, score all rows.
// An engine that cannot says why and ends the process; the script then reports it as missing.
#ifndef MS_BENCH_FOREST_ENGINE_H
#define MS_BENCH_FOREST_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct job {
	const char *library; // of the peer; "-" when it needs none
	const char *model;
	const char *kernel, *isa; // ours only
	size_t row_count, feature_count;
	const double *rows;       // row-major
	const float *rows_single; // the same values: the rows hold float32 values
};

struct engine {
	const char *name;
	bool (*single)(void); // gives float32 scores; known once the model is open
	void (*open)(const struct job *job);
	// The score of one row. The engine may copy the row if its interface wants it in one place.
	double (*one)(size_t row);
	// Scores all rows into memory of the engine's own, in its own type; `scores` gives them out afterwards.
	void (*many)(void);
	double (*score)(size_t row);
	// What evaluated the model, where the engine tells; else NULL.
	const char *(*kernel)(bool many);
};

extern const struct engine ENGINE_MAINSTAY, ENGINE_LIGHTGBM, ENGINE_XGBOOST, ENGINE_ONNXRUNTIME, ENGINE_TREELITE,
	ENGINE_TL2CGEN, ENGINE_LLEAVES;

// Prints "error REASON" for the script and ends the process.
_Noreturn void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
// A symbol of the peer's library, which is loaded on first use; fails when it is not there.
void *symbol(const struct job *job, const char *name);
void *allocate(size_t count, size_t size); // zeroed, aligned to a cache line
char *read_file(const char *path, size_t *ret_size);

// Functions come out of a shared library as data pointers; POSIX lets them be stored as functions.
#define LOAD(job, variable, name) (*(void **)(&(variable)) = symbol((job), (name)))

#endif
