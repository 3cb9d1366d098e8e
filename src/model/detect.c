// SPDX-License-Identifier: Apache-2.0
#include "model/detect.h"

#include "model/protobuf.h"
#include "json/json.h"

#define ONNX_MODEL_FIELD_MAX 30 // ModelProto has no field beyond

struct signature {
	const char *start;
	size_t n;
	const char *what;
	const char *advice;
};

// Formats of the same libraries that are not read here.
static const struct signature FOREIGN[] = {
	{"\x80\x02", 2, "a Python pickle", "save the model with the library's own save_model()"},
	{"\x80\x03", 2, "a Python pickle", "save the model with the library's own save_model()"},
	{"\x80\x04", 2, "a Python pickle", "save the model with the library's own save_model()"},
	{"\x80\x05", 2, "a Python pickle", "save the model with the library's own save_model()"},
	{"CBM1", 4, "CatBoost's binary format", "save it with format=\"json\""},
	{"binf", 4, "XGBoost's old binary format", "save it as .json or .ubj"},
	{"PK\x03\x04", 4, "a ZIP archive", "unpack it first"},
	{"\x1f\x8b", 2, "gzip-compressed", "unpack it first"},
	{"\x89HDF", 4, "an HDF5 file", "only tree and linear models are read here"},
};

struct root_key {
	const char *key;
	enum model_format format;
};
static const struct root_key ROOT_KEYS[] = {
	{"learner", MODEL_FORMAT_XGBOOST_JSON},        {"oblivious_trees", MODEL_FORMAT_CATBOOST_JSON},
	{"features_info", MODEL_FORMAT_CATBOOST_JSON}, {"scale_and_bias", MODEL_FORMAT_CATBOOST_JSON},
	{"coefficients", MODEL_FORMAT_LINEAR_JSON},
};

static enum ms_err detect_json(struct slice bytes, struct errinfo *info, enum model_format *ret_format)
{
	const struct json_limits limits = {.max_depth = 1024, .max_bytes = SIZE_MAX, .allow_nan = true};
	struct json_reader r;
	struct slice key;
	ms_json_reader_init(&r, bytes, &limits, NULL, info);
	if (ms_json_enter_object(&r)) {
		while (ms_json_next_key(&r, &key)) {
			for (size_t i = 0; i < MS_ARRAY_LEN(ROOT_KEYS); i++)
				if (ms_slice_eq_cstr(key, ROOT_KEYS[i].key)) {
					*ret_format = ROOT_KEYS[i].format;
					return MS_OK;
				}
			if (!ms_json_skip(&r, NULL))
				break;
		}
	}
	MS_TRY(r.err);
	return ms_fail(info, MS_ERR_MODEL_FORMAT,
		       "this JSON is no model of XGBoost (\"learner\"), CatBoost (\"features_info\") or linear "
		       "(\"coefficients\")");
}

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

// A Protocol Buffers message that starts with the version of ONNX (field 1) or, where a writer sorts otherwise, has a
// graph (7) and imports operator sets (8).
static bool looks_like_onnx(struct slice bytes)
{
	struct pb p = ms_pb(bytes);
	struct pb_field field;
	bool graph = false, opset = false;
	while (ms_pb_next(&p, &field)) {
		if (field.number > ONNX_MODEL_FIELD_MAX)
			return false;
		graph = graph || (field.number == 7 && field.wire == PB_BYTES);
		opset = opset || (field.number == 8 && field.wire == PB_BYTES);
	}
	return (graph && (opset || ms_pb_ok(&p))) || (bytes.p[0] == '\x08' && bytes.n > 1 && bytes.p[1] < 32);
}

enum ms_err ms_model_detect(struct slice bytes, struct errinfo *info, enum model_format *ret_format)
{
	if (bytes.n == 0)
		return ms_fail(info, MS_ERR_MODEL_FORMAT, "the model file is empty");
	if (ms_slice_starts_with(bytes, MS_SLICE_LIT("tree\n")) ||
	    ms_slice_starts_with(bytes, MS_SLICE_LIT("tree\r\n"))) {
		*ret_format = MODEL_FORMAT_LIGHTGBM_TEXT;
		return MS_OK;
	}
	if (looks_like_onnx(bytes)) {
		*ret_format = MODEL_FORMAT_ONNX;
		return MS_OK;
	}
	for (size_t i = 0; i < MS_ARRAY_LEN(FOREIGN); i++)
		if (ms_slice_starts_with(bytes, ms_slice(FOREIGN[i].start, FOREIGN[i].n)))
			return ms_fail(info, MS_ERR_MODEL_UNSUPPORTED, "the file is %s: %s", FOREIGN[i].what,
				       FOREIGN[i].advice);
	// A UBJSON object goes on with a marker, a JSON object with white space, a quote or a brace.
	if (bytes.p[0] == '{' && bytes.n > 1 && !is_space(bytes.p[1]) && bytes.p[1] != '"' && bytes.p[1] != '}') {
		*ret_format = MODEL_FORMAT_XGBOOST_UBJSON;
		return MS_OK;
	}
	size_t at = 0;
	while (at < bytes.n && is_space(bytes.p[at]))
		at++;
	if (at < bytes.n && bytes.p[at] == '{')
		return detect_json(bytes, info, ret_format);
	return ms_fail(info, MS_ERR_MODEL_FORMAT,
		       "the file is none of LightGBM text, XGBoost JSON or UBJSON, CatBoost JSON, ONNX, linear JSON");
}
