// SPDX-License-Identifier: Apache-2.0
// What a peer offers the benchmark. Each function reads one document and returns a sum over what it read, so
// that nothing is optimized away and all peers can be compared; NaN when the document was refused.
#ifndef MS_BENCH_JSON_BENCH_H
#define MS_BENCH_JSON_BENCH_H

#include <stddef.h>

#define BENCH_PADDING 64 // readable bytes behind each document, for peers that need them

#ifdef __cplusplus
extern "C" {
#endif

typedef double bench_fn(const char *text, size_t n);

// {"instances":[{"name":number, …}]}: the sum of the numbers.
bench_fn bench_simdjson_predict;
bench_fn bench_simdjson_dom_predict;
// {"data":[[number, …], …]}: the sum of the numbers.
bench_fn bench_simdjson_matrix;
bench_fn bench_simdjson_dom_matrix;
// Any document: the number of values; on-demand visits each one.
bench_fn bench_simdjson_mixed;
bench_fn bench_simdjson_dom_mixed;

bench_fn bench_jansson_predict;
bench_fn bench_jansson_matrix;
bench_fn bench_jansson_mixed;

#ifdef __cplusplus
}
#endif
#endif
