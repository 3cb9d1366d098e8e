// SPDX-License-Identifier: Apache-2.0
// ONNX Runtime through its C interface (onnxruntime_c_api.h). The interface is a table of functions whose places never
// change; its package for Python has no header, so the few that are needed are named here by place. Input and output
// lie in memory of ours that is described once, which spares the runtime all it can be spared.
#include "engine.h"

#include <string.h>

enum {
	GET_ERROR_MESSAGE = 2,
	CREATE_ENV = 3,
	CREATE_SESSION = 7,
	RUN = 9,
	CREATE_SESSION_OPTIONS = 10,
	SET_INTRA_OP_THREADS = 24,
	SET_INTER_OP_THREADS = 25,
	SESSION_GET_INPUT_NAME = 36,
	SESSION_GET_OUTPUT_NAME = 37,
	CREATE_TENSOR_WITH_DATA = 49,
	CREATE_CPU_MEMORY_INFO = 69,
	GET_DEFAULT_ALLOCATOR = 78,
};
#define API_VERSION 1
#define LOG_ERRORS 3
#define ELEMENT_FLOAT 1
#define ARENA_ALLOCATOR 1
#define DEFAULT_MEMORY 0

struct api_base {
	void *const *(*get_api)(uint32_t version);
	const char *(*get_version)(void);
};

static struct {
	void *const *api;
	void *session, *memory;
	char *input_name, *output_name;
	size_t feature_count;
	const float *rows;
	float *row, score;
	float *scores;
	void *row_value, *score_value, *rows_value, *scores_value;
	void *(*run)(void *session, const void *options, const char *const *input_names, void *const *inputs,
		     size_t input_count, const char *const *output_names, size_t output_count, void **outputs);
} self;

#define CALL(place, type, ...) check(((void *(*)type)self.api[place])(__VA_ARGS__))

static void check(void *status)
{
	if (status != NULL)
		fail("%s", ((const char *(*)(void *))self.api[GET_ERROR_MESSAGE])(status));
}

static void *tensor(void *values, size_t row_count, size_t columns)
{
	void *value;
	int64_t shape[2] = {(int64_t)row_count, (int64_t)columns};
	CALL(CREATE_TENSOR_WITH_DATA, (void *, void *, size_t, const int64_t *, size_t, int, void **), self.memory,
	     values, row_count * columns * sizeof(float), shape, 2, ELEMENT_FLOAT, &value);
	return value;
}

static void open_session(const char *path)
{
	void *env, *options, *allocator;
	CALL(CREATE_ENV, (int, const char *, void **), LOG_ERRORS, "bench", &env);
	CALL(CREATE_SESSION_OPTIONS, (void **), &options);
	CALL(SET_INTRA_OP_THREADS, (void *, int), options, 1);
	CALL(SET_INTER_OP_THREADS, (void *, int), options, 1);
	CALL(CREATE_SESSION, (void *, const char *, void *, void **), env, path, options, &self.session);
	CALL(GET_DEFAULT_ALLOCATOR, (void **), &allocator);
	CALL(SESSION_GET_INPUT_NAME, (void *, size_t, void *, char **), self.session, 0, allocator, &self.input_name);
	CALL(SESSION_GET_OUTPUT_NAME, (void *, size_t, void *, char **), self.session, 0, allocator, &self.output_name);
	CALL(CREATE_CPU_MEMORY_INFO, (int, int, void **), ARENA_ALLOCATOR, DEFAULT_MEMORY, &self.memory);
}

static void open_model(const struct job *job)
{
	const struct api_base *(*get_base)(void);
	LOAD(job, get_base, "OrtGetApiBase");
	self.api = get_base()->get_api(API_VERSION);
	if (self.api == NULL)
		fail("the library does not offer version %d of its interface", API_VERSION);
	open_session(job->model);
	self.run = (void *(*)(void *, const void *, const char *const *, void *const *, size_t, const char *const *,
			      size_t, void **))self.api[RUN];
	self.feature_count = job->feature_count;
	self.rows = job->rows_single;
	self.row = allocate(job->feature_count, sizeof(float));
	self.scores = allocate(job->row_count, sizeof(float));
	float *rows = allocate(job->row_count * job->feature_count, sizeof(float)); // tensors are not of const
	memcpy(rows, self.rows, job->row_count * job->feature_count * sizeof(float));
	self.row_value = tensor(self.row, 1, job->feature_count);
	self.score_value = tensor(&self.score, 1, 1);
	self.rows_value = tensor(rows, job->row_count, job->feature_count);
	self.scores_value = tensor(self.scores, job->row_count, 1);
}

static void run(void *input, void *output)
{
	const char *input_name = self.input_name, *output_name = self.output_name;
	check(self.run(self.session, NULL, &input_name, &input, 1, &output_name, 1, &output));
}

static double one(size_t row)
{
	memcpy(self.row, self.rows + row * self.feature_count, self.feature_count * sizeof(float));
	run(self.row_value, self.score_value);
	return (double)self.score;
}

static void many(void)
{
	run(self.rows_value, self.scores_value);
}

static double score(size_t row)
{
	return (double)self.scores[row];
}

static bool is_single(void)
{
	return true;
}

const struct engine ENGINE_ONNXRUNTIME = {"onnxruntime", is_single, open_model, one, many, score, NULL};
