// SPDX-License-Identifier: Apache-2.0
// The role: its life, its metrics, and the table of its routes, from which the OpenAPI document comes too.
#include <stdlib.h>

#include "serve/private.h"

static const char *const error_labels[] = {"error_type"};

static const struct route_param list_params[] = {
	{"limit", "integer", "Most items in the answer, 1 to 1000 (default 100)", false},
	{"cursor", "string", "next_cursor of the answer before", false},
	{0},
};
static const struct route_param push_params[] = {
	{"format", "string",
	 "auto (default), lightgbm-text, xgboost-json, xgboost-ubjson, catboost-json, onnx or linear-json", false},
	{0},
};

#define PREDICT_REQUEST                                                                                                      \
	"{\"type\":\"object\",\"required\":[\"features\"],\"additionalProperties\":false,\"properties\":{"                   \
	"\"model\":{\"type\":\"string\",\"description\":\"Name of the model; may be left out when one is served\"},"         \
	"\"model_type\":{\"type\":\"string\",\"description\":\"Another name for model\"},"                                   \
	"\"version\":{\"type\":[\"string\",\"integer\"],\"description\":\"Version or alias; default the newest\"},"          \
	"\"features\":{\"description\":\"Rows [[…],…], one row […], records [{…},…], one record {…} or columns " \
	"{name:[…]}; null is a missing value\",\"type\":[\"array\",\"object\"]},"                                          \
	"\"output\":{\"type\":\"string\",\"enum\":[\"default\",\"raw\",\"probability\",\"label\",\"leaf\","                  \
	"\"contributions\","                                                                                                 \
	"\"tree\"],\"description\":\"contributions: what each feature adds to the raw score (TreeSHAP); tree: what "         \
	"each "                                                                                                              \
	"tree adds\"},"                                                                                                      \
	"\"iterations\":{\"description\":\"Iterations of boosting to predict with, from the first on; default all. "         \
	"best: "                                                                                                             \
	"up to the one that early stopping of the training found (XGBoost)\","                                               \
	"\"oneOf\":[{\"type\":\"integer\",\"minimum\":1},{\"const\":\"best\"},{\"type\":\"null\"}]},"                        \
	"\"early_stop\":{\"type\":[\"object\",\"null\"],\"required\":[\"margin\"],\"additionalProperties\":false,"           \
	"\"description\":\"Classifiers: a row's sum ends once its class is decided by more than the margin: twice "          \
	"the "                                                                                                               \
	"raw score's distance from 0, or the largest raw score less the second\",\"properties\":{"                           \
	"\"margin\":{\"type\":\"number\",\"exclusiveMinimum\":0},"                                                           \
	"\"every\":{\"type\":\"integer\",\"minimum\":1,\"default\":10,\"description\":\"Iterations between two "             \
	"looks\"}}}"                                                                                                         \
	"}}"
#define PREDICT_ANSWER                                                                                                 \
	"{\"type\":\"object\",\"required\":[\"predictions\",\"model\",\"model_version\",\"timestamp\",\"request_id\"]" \
	","                                                                                                            \
	"\"properties\":{\"predictions\":{\"type\":\"array\",\"description\":\"One entry per row. "                    \
	"With output contributions an object, or one for each raw score: base_value and values in the order of "       \
	"features; their sum is the raw score\"},"                                                                     \
	"\"features\":{\"type\":\"array\",\"items\":{\"type\":\"string\"},\"description\":\"With output "              \
	"contributions: "                                                                                              \
	"names of the values\"},"                                                                                      \
	"\"model\":{\"type\":\"string\"},\"model_version\":{\"type\":\"string\"},"                                     \
	"\"timestamp\":{\"type\":\"string\",\"format\":\"date-time\"},\"request_id\":{\"type\":\"string\"}}}"
#define BATCH_REQUEST                                                                                         \
	"{\"type\":\"object\",\"required\":[\"batches\"],\"additionalProperties\":false,\"properties\":{"     \
	"\"batch_id\":{\"type\":[\"string\",\"number\"]},\"batches\":{\"type\":\"array\",\"maxItems\":10000," \
	"\"items\":" PREDICT_REQUEST "}}}"
#define BATCH_ANSWER                                                                                                   \
	"{\"type\":\"object\",\"properties\":{\"batch_id\":{},\"results\":{\"type\":\"array\",\"description\":\"In "   \
	"the order of the batches: a prediction, or error, code and details\"},\"processed_at\":{\"type\":\"string\"," \
	"\"format\":\"date-time\"},\"request_id\":{\"type\":\"string\"}}}"
#define ALIAS_REQUEST \
	"{\"type\":\"object\",\"required\":[\"version\"],\"properties\":{\"version\":{\"type\":\"string\"}}}"
// Of a model of four numbers; every model says in its metadata what it takes.
#define INFER_EXAMPLE \
	"{\"inputs\":[{\"name\":\"features\",\"datatype\":\"FP64\",\"shape\":[1,4],\"data\":[5.1,3.5,1.4,0.2]}]}"
#define INFER_REQUEST                                                                                               \
	"{\"type\":\"object\",\"required\":[\"inputs\"],\"properties\":{\"id\":{\"type\":\"string\"},"              \
	"\"parameters\":{\"type\":\"object\"},\"inputs\":{\"type\":\"array\",\"items\":{\"type\":\"object\","       \
	"\"required\":[\"name\",\"shape\",\"datatype\"],\"properties\":{\"name\":{\"type\":\"string\"},\"shape\":{" \
	"\"type\":\"array\",\"items\":{\"type\":\"integer\"}},\"datatype\":{\"type\":\"string\"},\"parameters\":{"  \
	"\"type\":\"object\"},\"data\":{\"type\":\"array\"}}}},\"outputs\":{\"type\":\"array\",\"items\":{"         \
	"\"type\":\"object\",\"required\":[\"name\"],\"properties\":{\"name\":{\"type\":\"string\"}}}}}}"
#define OBJECT "{\"type\":\"object\"}"

#define JSON_TYPE "application/json"
#define ROW(verb, path, fn, id, group, text) \
	.method = verb, .pattern = path, .handle = fn, .operation_id = id, .tag = group, .summary = text

static const struct route routes[] = {
	{ROW(HTTP_POST, "/api/v1/predict", ms_serve_predict, "predict", "predictions", "Predict rows with a model"),
	 .permission = "predict", .request_type = JSON_TYPE, .request_schema = PREDICT_REQUEST,
	 .response_schema = PREDICT_ANSWER,
	 .request_example = "{\"model\":\"penguins\",\"features\":[{\"species\":\"Adelie\",\"island\":\"Torgersen\","
			    "\"bill_length_mm\":39.1,\"sex\":null}]}"},
	{ROW(HTTP_POST, "/api/v1/predict/batch", ms_serve_predict_batch, "predict_batch", "predictions",
	     "Several predict requests in one"),
	 .permission = "predict", .request_type = JSON_TYPE, .request_schema = BATCH_REQUEST,
	 .request_example =
		 "{\"batch_id\":\"nightly-1\",\"batches\":[{\"model\":\"penguins\",\"features\":{\"species\":"
		 "\"Gentoo\",\"island\":\"Biscoe\"}}]}",
	 .response_schema = BATCH_ANSWER},
	{ROW(HTTP_GET, "/api/v1/models", ms_serve_models_list, "list_models", "models", "Models and their versions"),
	 .permission = "models.read", .query = list_params, .response_schema = OBJECT},
	{ROW(HTTP_GET, "/api/v1/models/{model}", ms_serve_model_show, "show_model", "models", "One model"),
	 .permission = "models.read", .object = 1, .response_schema = OBJECT},
	{ROW(HTTP_DELETE, "/api/v1/models/{model}", ms_serve_model_remove, "remove_model", "models",
	     "Remove a model with all its versions"),
	 .permission = "models.write", .object = 1},
	{ROW(HTTP_POST, "/api/v1/models/{model}/versions", ms_serve_version_push, "push_next_version", "models",
	     "Push a model file as the next version"),
	 .permission = "models.write", .object = 1, .flags = ROUTE_UPLOAD, .query = push_params,
	 .request_type = "application/octet-stream", .response_schema = OBJECT},
	{ROW(HTTP_GET, "/api/v1/models/{model}/versions/{version}", ms_serve_version_show, "show_version", "models",
	     "One version with its metadata"),
	 .permission = "models.read", .object = 1, .response_schema = OBJECT},
	{ROW(HTTP_PUT, "/api/v1/models/{model}/versions/{version}", ms_serve_version_push, "push_version", "models",
	     "Push a model file as this version"),
	 .permission = "models.write", .object = 1, .flags = ROUTE_UPLOAD, .query = push_params,
	 .request_type = "application/octet-stream", .response_schema = OBJECT},
	{ROW(HTTP_DELETE, "/api/v1/models/{model}/versions/{version}", ms_serve_version_remove, "remove_version",
	     "models", "Remove a version that no alias names"),
	 .permission = "models.write", .object = 1},
	{ROW(HTTP_PUT, "/api/v1/models/{model}/aliases/{alias}", ms_serve_alias_set, "set_alias", "models",
	     "Point an alias at a version"),
	 .permission = "models.write", .object = 1, .request_type = JSON_TYPE, .request_schema = ALIAS_REQUEST,
	 .request_example = "{\"version\":\"v1.0.0\"}", .response_schema = OBJECT},
	{ROW(HTTP_DELETE, "/api/v1/models/{model}/aliases/{alias}", ms_serve_alias_remove, "remove_alias", "models",
	     "Remove an alias"),
	 .permission = "models.write", .object = 1},
	{ROW(HTTP_GET, "/api/v1/metrics", ms_serve_status, "status", "observability",
	     "Models loaded, memory, uptime as JSON"),
	 .permission = "metrics.read", .flags = ROUTE_QUIET, .response_schema = OBJECT},

	{ROW(HTTP_GET, "/v2", ms_oip_server, "oip_server", "open inference protocol", "Server metadata"),
	 .flags = ROUTE_PUBLIC, .response_schema = OBJECT},
	{ROW(HTTP_GET, "/v2/", ms_oip_server, "oip_server_slash", "open inference protocol", "Server metadata"),
	 .flags = ROUTE_PUBLIC | ROUTE_HIDDEN},
	{ROW(HTTP_GET, "/v2/health/live", ms_oip_live, "oip_live", "open inference protocol", "Liveness"),
	 .flags = ROUTE_PUBLIC | ROUTE_QUIET | ROUTE_WHILE_DRAINING, .response_schema = OBJECT},
	{ROW(HTTP_GET, "/v2/health/ready", ms_oip_ready, "oip_ready", "open inference protocol", "Readiness"),
	 .flags = ROUTE_PUBLIC | ROUTE_QUIET | ROUTE_WHILE_DRAINING, .response_schema = OBJECT},
	{ROW(HTTP_GET, "/v2/models", ms_oip_models, "oip_models", "open inference protocol", "Names of the models"),
	 .permission = "models.read", .response_schema = OBJECT},
	{ROW(HTTP_GET, "/v2/models/stats", ms_oip_stats, "oip_stats", "open inference protocol",
	     "Statistics of all models"),
	 .permission = "models.read", .response_schema = OBJECT},
	{ROW(HTTP_GET, "/v2/models/{model}", ms_oip_model, "oip_model", "open inference protocol", "Model metadata"),
	 .permission = "models.read", .object = 1, .response_schema = OBJECT},
	{ROW(HTTP_GET, "/v2/models/{model}/versions/{version}", ms_oip_model, "oip_version", "open inference protocol",
	     "Version metadata"),
	 .permission = "models.read", .object = 1, .response_schema = OBJECT},
	{ROW(HTTP_GET, "/v2/models/{model}/ready", ms_oip_model_ready, "oip_model_ready", "open inference protocol",
	     "Model readiness"),
	 .permission = "models.read", .object = 1, .response_schema = OBJECT},
	{ROW(HTTP_GET, "/v2/models/{model}/versions/{version}/ready", ms_oip_model_ready, "oip_version_ready",
	     "open inference protocol", "Version readiness"),
	 .permission = "models.read", .object = 1, .response_schema = OBJECT},
	{ROW(HTTP_GET, "/v2/models/{model}/stats", ms_oip_stats, "oip_model_stats", "open inference protocol",
	     "Statistics of a model"),
	 .permission = "models.read", .object = 1, .response_schema = OBJECT},
	{ROW(HTTP_GET, "/v2/models/{model}/versions/{version}/stats", ms_oip_stats, "oip_version_stats",
	     "open inference protocol", "Statistics of a version"),
	 .permission = "models.read", .object = 1, .response_schema = OBJECT},
	{ROW(HTTP_POST, "/v2/models/{model}/infer", ms_oip_infer, "oip_infer", "open inference protocol",
	     "Infer with the newest version"),
	 .permission = "predict", .object = 1, .request_type = JSON_TYPE, .request_schema = INFER_REQUEST,
	 .request_example = INFER_EXAMPLE, .response_schema = OBJECT},
	{ROW(HTTP_POST, "/v2/models/{model}/versions/{version}/infer", ms_oip_infer, "oip_version_infer",
	     "open inference protocol", "Infer with a version"),
	 .permission = "predict", .object = 1, .request_type = JSON_TYPE, .request_schema = INFER_REQUEST,
	 .request_example = INFER_EXAMPLE, .response_schema = OBJECT},
	{ROW(HTTP_POST, "/v2/repository/index", ms_oip_index, "oip_index", "open inference protocol",
	     "All versions and their states"),
	 .permission = "models.read", .request_type = JSON_TYPE, .request_schema = OBJECT,
	 .response_schema = "{\"type\":\"array\"}"},
	{ROW(HTTP_POST, "/v2/repository/models/{model}/load", ms_oip_load, "oip_load", "open inference protocol",
	     "Load a model, or its files"),
	 .permission = "models.write", .object = 1, .flags = ROUTE_UPLOAD, .request_type = JSON_TYPE,
	 .request_schema = OBJECT},
	{ROW(HTTP_POST, "/v2/repository/models/{model}/unload", ms_oip_unload, "oip_unload", "open inference protocol",
	     "Unload a model"),
	 .permission = "models.write", .object = 1, .request_type = JSON_TYPE, .request_schema = OBJECT},
};

struct route_set ms_serve_routes(struct serve *serve)
{
	return (struct route_set){.routes = routes, .count = MS_ARRAY_LEN(routes), .role = serve};
}

static void register_metrics(struct serve *serve)
{
	const struct metric_options options = {.name = "model_errors_total",
					       .help = "Requests to models that failed, by the code of the error.",
					       .type = METRIC_COUNTER,
					       .labels = error_labels,
					       .label_count = MS_ARRAY_LEN(error_labels)};
	struct metric_family *family =
		serve->options.metrics != NULL ? ms_metrics_family(serve->options.metrics, &options) : NULL;
	serve->errors = family;
}

enum ms_err ms_serve_new(const struct serve_options *options, struct errinfo *info, struct serve **ret_serve)
{
	struct serve *serve = calloc(1, sizeof(*serve));
	if (serve == NULL)
		return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory for the ml role");
	serve->options = *options;
	const struct pool_options pool = {
		.name = "predict", .threads = options->pool_threads, .depth = options->pool_depth};
	enum ms_err err = ms_pool_new(&pool, info, &serve->pool);
	if (err != MS_OK) {
		free(serve);
		return err;
	}
	register_metrics(serve);
	*ret_serve = serve;
	return MS_OK;
}

void ms_serve_stop(struct serve *serve)
{
	ms_pool_free(serve->pool);
	serve->pool = NULL;
}

void ms_serve_free(struct serve *serve)
{
	if (serve == NULL)
		return;
	ms_pool_free(serve->pool);
	free(serve);
}
