// SPDX-License-Identifier: Apache-2.0
// What the tests of the loaders share: loading a text with a part replaced, and hostile variants of a file.
#ifndef MS_MODEL_LOADER_TEST_H
#define MS_MODEL_LOADER_TEST_H

#include <stdlib.h>

#include "model/model.h"
#include "tests/lib/test.h"

// `text` with the first `from` replaced; the program ends when there is none.
static inline void test_replace(struct buf *dst, const char *text, const char *from, const char *to)
{
	const char *at = strstr(text, from);
	if (at == NULL)
		printf("# not in the text: %s\n", from);
	REQUIRE(at != NULL);
	ms_buf_init(dst, (size_t)1 << 20);
	ms_buf_append(dst, text, (size_t)(at - text));
	ms_buf_append_cstr(dst, to);
	ms_buf_append_cstr(dst, at + strlen(from));
	ms_buf_append_char(dst, '\0');
	dst->n--; // the NUL stays behind the text
	REQUIRE(ms_buf_ok(dst));
}

// The model of these bytes; the program ends when they are refused.
static inline struct model *test_load(struct slice bytes, enum model_format format)
{
	struct errinfo info;
	struct model *model = NULL;
	ms_errinfo_init(&info);
	enum ms_err err = ms_model_load(bytes, format, NULL, &info, &model);
	if (err != MS_OK)
		printf("# %s: %s\n", ms_err_name(err), info.message);
	REQUIRE(err == MS_OK);
	return model;
}

// The bytes are refused with that code and with `part` in the message.
static inline void test_refused(struct slice bytes, enum model_format format, const struct model_options *options,
				enum ms_err code, const char *part)
{
	struct errinfo info;
	struct model *model = NULL;
	ms_errinfo_init(&info);
	enum ms_err err = ms_model_load(bytes, format, options, &info, &model);
	if (!CHECK_INT(err, code) || !CHECK_HAS(info.message, part))
		printf("# got %s: %s\n", ms_err_name(err), info.message);
	CHECK_INT(info.code, code);
	ms_model_unref(model);
}

struct test_change {
	const char *from, *to;
	enum ms_err code;
	const char *message; // a part of it
};

static inline void test_changes(const char *text, enum model_format format, const struct test_change *changes,
				size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct buf changed;
		test_replace(&changed, text, changes[i].from, changes[i].to);
		test_refused(ms_buf_slice(&changed), format, NULL, changes[i].code, changes[i].message);
		ms_buf_fini(&changed);
	}
}

static inline void test_predict_one(const struct model *model, enum model_output output, const double *row, double *out)
{
	void *scratch = malloc(ms_model_scratch_size(model) + 1);
	REQUIRE(scratch != NULL);
	ms_model_predict(model, &MS_MODEL_QUERY(output), row, 1, scratch, out);
	free(scratch);
}

// Loads, and if that works asks for every output of a row of `value`s. True when it loaded.
static inline bool test_try(struct slice bytes, enum model_format format, double value)
{
	struct model_options options = MS_MODEL_DEFAULT_OPTIONS;
	struct errinfo info;
	struct model *model = NULL;
	ms_errinfo_init(&info);
	options.max_memory = (size_t)64 << 20;
	if (ms_model_load(bytes, format, &options, &info, &model) != MS_OK) {
		CHECK(info.message[0] != '\0');
		return false;
	}
	size_t n = ms_model_info(model)->feature_count;
	double *row = calloc(n + 1, sizeof(*row));
	REQUIRE(row != NULL);
	for (size_t i = 0; i < n; i++)
		row[i] = value;
	for (int output = 0; output < MODEL_OUTPUT_COUNT; output++) {
		size_t width = ms_model_output_width(model, (enum model_output)output);
		double *out = calloc(width + 1, sizeof(*out));
		REQUIRE(out != NULL);
		if (width > 0)
			test_predict_one(model, (enum model_output)output, row, out);
		free(out);
	}
	free(row);
	ms_model_unref(model);
	return true;
}

// No beginning of a file is a model. The copies have their exact size, so that a sanitizer sees reads past it.
static inline void test_truncations(struct slice bytes, enum model_format format)
{
	for (size_t n = 0; n < bytes.n; n++) {
		char *copy = malloc(n > 0 ? n : 1);
		REQUIRE(copy != NULL);
		memcpy(copy, bytes.p, n);
		if (!CHECK(!test_try(ms_slice(copy, n), format, 0.5)))
			printf("# accepted when cut to %zu of %zu bytes\n", n, bytes.n);
		free(copy);
	}
}

// Whatever a changed byte makes of the file, it loads and predicts or is refused with a message.
static inline void test_flips(struct slice bytes, enum model_format format)
{
	static const unsigned char masks[] = {0x01, 0x02, 0x10, 0x20, 0x80, 0xff};
	char *copy = malloc(bytes.n);
	REQUIRE(copy != NULL);
	for (size_t i = 0; i < bytes.n; i++) {
		for (size_t m = 0; m < MS_ARRAY_LEN(masks); m++) {
			memcpy(copy, bytes.p, bytes.n);
			copy[i] = (char)((unsigned char)copy[i] ^ masks[m]);
			(void)test_try(ms_slice(copy, bytes.n), format, 1.5); // either answer is right
		}
	}
	free(copy);
}

#endif
