// SPDX-License-Identifier: Apache-2.0
// Open Inference Protocol v2: health, metadata, statistics. Version segments may be versions or aliases.
#include "serve/private.h"
#include "serve/tensor.h"

static const char *const extensions[] = {
	"binary_tensor_data", "model_repository", "model_repository(unload_dependents)", "statistics", "parameters",
};

static const struct snapshot *snapshot_of(struct exchange *x, void *role)
{
	struct serve *serve = role;
	return ms_registry_snapshot(serve->options.registry, x->loop);
}

static void send_flag(struct exchange *x, const char *key, bool value)
{
	struct json_writer w;
	ms_json_writer_init(&w, x->body);
	ms_json_begin_object(&w);
	ms_json_key_lit(&w, key);
	ms_json_bool(&w, value);
	ms_json_end_object(&w);
	ms_http_send_json(x, value ? 200 : 503);
}

void ms_oip_live(struct exchange *x, void *role)
{
	(void)role;
	send_flag(x, "live", true);
}

void ms_oip_ready(struct exchange *x, void *role)
{
	struct serve *serve = role;
	send_flag(x, "ready", serve->options.is_ready(serve->options.is_ready_arg));
}

void ms_oip_server(struct exchange *x, void *role)
{
	struct json_writer w;
	(void)role;
	ms_json_writer_init(&w, x->body);
	ms_json_begin_object(&w);
	ms_json_key_lit(&w, "name");
	ms_json_cstr(&w, "mainstay");
	ms_json_key_lit(&w, "version");
	ms_json_cstr(&w, MAINSTAY_VERSION);
	ms_json_key_lit(&w, "extensions");
	ms_json_begin_array(&w);
	for (size_t i = 0; i < MS_ARRAY_LEN(extensions); i++)
		ms_json_cstr(&w, extensions[i]);
	ms_json_end_array(&w);
	ms_json_end_object(&w);
	ms_http_send_json(x, 200);
}

void ms_oip_models(struct exchange *x, void *role)
{
	const struct snapshot *snapshot = snapshot_of(x, role);
	struct json_writer w;
	ms_json_writer_init(&w, x->body);
	ms_json_begin_object(&w);
	ms_json_key_lit(&w, "models");
	ms_json_begin_array(&w);
	for (size_t i = 0; i < snapshot->model_count; i++) {
		if (ms_http_may(x, "models.read", snapshot->models[i].name))
			ms_json_str(&w, snapshot->models[i].name);
	}
	ms_json_end_array(&w);
	ms_json_end_object(&w);
	ms_http_send_json(x, 200);
}

// The version that the path names; NULL and answered when there is none that is ready.
static struct served_model *find_served(struct exchange *x, void *role)
{
	struct served_model *served;
	struct errinfo info;
	ms_errinfo_init(&info);
	if (ms_serve_find(x, snapshot_of(x, role), x->req.params[0], x->req.params[1], &info, &served) == MS_OK)
		return served;
	ms_http_fail(x, &info);
	return NULL;
}

static void write_tensor(struct json_writer *w, struct slice name, const char *datatype, size_t width)
{
	ms_json_begin_object(w);
	ms_json_key_lit(w, "name");
	ms_json_str(w, name);
	ms_json_key_lit(w, "datatype");
	ms_json_cstr(w, datatype);
	ms_json_key_lit(w, "shape");
	ms_json_begin_array(w);
	ms_json_i64(w, -1);
	ms_json_u64(w, width);
	ms_json_end_array(w);
	ms_json_end_object(w);
}

// Models of numbers take one matrix; models with text take one tensor per column.
static void write_inputs(struct json_writer *w, const struct served_model *served)
{
	const struct model_info *info = ms_model_info(served->model);
	const char *number = info->input_single_precision ? "FP32" : "FP64";
	bool texts = false;
	for (size_t i = 0; i < served->input_count; i++)
		texts = texts || served->inputs[i].strings;
	if (!texts) {
		write_tensor(w, MS_SLICE_LIT("features"), number, served->input_count);
		return;
	}
	for (size_t i = 0; i < served->input_count; i++)
		write_tensor(w, served->inputs[i].name, served->inputs[i].strings ? "BYTES" : number, 1);
}

// What may be asked for by name besides "predictions".
static void write_more_outputs(struct json_writer *w, const struct served_model *served)
{
	struct buf list;
	ms_buf_init(&list, 256);
	for (int o = MODEL_OUTPUT_DEFAULT + 1; o < MODEL_OUTPUT_COUNT; o++) {
		if (ms_model_output_width(served->model, (enum model_output)o) > 0)
			ms_buf_printf(&list, "%s%s", list.n > 0 ? "," : "", ms_model_output_name((enum model_output)o));
	}
	ms_json_str(w, ms_buf_slice(&list));
	ms_buf_fini(&list);
}

static void write_properties(struct json_writer *w, const struct served_model *served)
{
	const struct model_info *info = ms_model_info(served->model);
	ms_json_begin_object(w);
	ms_json_key_lit(w, "task");
	ms_json_cstr(w, ms_model_task_name(info->task));
	ms_json_key_lit(w, "objective");
	ms_json_str(w, info->objective);
	ms_json_key_lit(w, "outputs_on_request");
	write_more_outputs(w, served);
	ms_json_key_lit(w, "sha256");
	ms_json_cstr(w, served->sha256);
	ms_json_end_object(w);
}

// "<project>_<format>", as the protocol names platforms.
static const char *platform(enum model_format format)
{
	static const char *const names[MODEL_FORMAT_COUNT] = {
		[MODEL_FORMAT_AUTO] = "",
		[MODEL_FORMAT_LIGHTGBM_TEXT] = "lightgbm_text",
		[MODEL_FORMAT_XGBOOST_JSON] = "xgboost_json",
		[MODEL_FORMAT_XGBOOST_UBJSON] = "xgboost_ubjson",
		[MODEL_FORMAT_CATBOOST_JSON] = "catboost_json",
		[MODEL_FORMAT_LINEAR_JSON] = "mainstay_linear",
		[MODEL_FORMAT_ONNX] = "onnx",
	};
	return names[format];
}

void ms_oip_model(struct exchange *x, void *role)
{
	struct served_model *served = find_served(x, role);
	struct json_writer w;
	if (served == NULL)
		return;
	const struct live_model *model = ms_snapshot_model(snapshot_of(x, role), x->req.params[0]);
	const struct model_info *info = ms_model_info(served->model);
	ms_json_writer_init(&w, x->body);
	ms_json_begin_object(&w);
	ms_json_key_lit(&w, "name");
	ms_json_str(&w, served->name);
	ms_json_key_lit(&w, "versions");
	ms_json_begin_array(&w);
	for (size_t i = 0; i < model->version_count; i++) {
		if (model->versions[i].served != NULL)
			ms_json_str(&w, model->versions[i].version);
	}
	ms_json_end_array(&w);
	ms_json_key_lit(&w, "platform");
	ms_json_cstr(&w, platform(info->format));
	ms_json_key_lit(&w, "inputs");
	ms_json_begin_array(&w);
	write_inputs(&w, served);
	ms_json_end_array(&w);
	ms_json_key_lit(&w, "outputs");
	ms_json_begin_array(&w);
	write_tensor(&w, MS_SLICE_LIT("predictions"), info->single_precision ? "FP32" : "FP64",
		     ms_model_output_width(served->model, MODEL_OUTPUT_DEFAULT));
	ms_json_end_array(&w);
	ms_json_key_lit(&w, "properties");
	write_properties(&w, served);
	ms_json_end_object(&w);
	ms_http_send_json(x, 200);
}

void ms_oip_model_ready(struct exchange *x, void *role)
{
	struct served_model *served;
	struct errinfo info;
	struct json_writer w;
	ms_errinfo_init(&info);
	enum ms_err err = ms_serve_find(x, snapshot_of(x, role), x->req.params[0], x->req.params[1], &info, &served);
	if (err != MS_OK && err != MS_ERR_MODEL_NOT_READY) {
		ms_http_fail(x, &info);
		return;
	}
	ms_json_writer_init(&w, x->body);
	ms_json_begin_object(&w);
	ms_json_key_lit(&w, "name");
	ms_json_str(&w, x->req.params[0]);
	ms_json_key_lit(&w, "ready");
	ms_json_bool(&w, err == MS_OK);
	ms_json_end_object(&w);
	ms_http_send_json(x, err == MS_OK ? 200 : 503);
}

// --- Statistics --------------------------------------------------------------------------------------

struct totals {
	uint64_t success, success_ns, fail, fail_ns, queue_ns, input_ns, infer_ns, output_ns, rows, last_ms;
};

static uint64_t get(const atomic_uint_least64_t *counter)
{
	return atomic_load_explicit(counter, memory_order_relaxed);
}

static struct totals sum_stats(const struct served_model *served)
{
	struct totals t = {0};
	for (size_t i = 0; i < served->stats_count; i++) {
		const struct model_stats *s = &served->stats[i];
		t.success += get(&s->success_count);
		t.success_ns += get(&s->success_ns);
		t.fail += get(&s->fail_count);
		t.fail_ns += get(&s->fail_ns);
		t.queue_ns += get(&s->queue_ns);
		t.input_ns += get(&s->input_ns);
		t.infer_ns += get(&s->infer_ns);
		t.output_ns += get(&s->output_ns);
		t.rows += get(&s->rows);
		t.last_ms = MS_MAX(t.last_ms, get(&s->last_unix_ms));
	}
	return t;
}

static void write_duration(struct json_writer *w, const char *key, uint64_t count, uint64_t ns)
{
	ms_json_key_lit(w, key);
	ms_json_begin_object(w);
	ms_json_key_lit(w, "count");
	ms_json_u64(w, count);
	ms_json_key_lit(w, "ns");
	ms_json_u64(w, ns);
	ms_json_end_object(w);
}

static void write_stats(struct json_writer *w, const struct served_model *served)
{
	struct totals t = sum_stats(served);
	ms_json_begin_object(w);
	ms_json_key_lit(w, "name");
	ms_json_str(w, served->name);
	ms_json_key_lit(w, "version");
	ms_json_str(w, served->version);
	ms_json_key_lit(w, "last_inference");
	ms_json_u64(w, t.last_ms);
	ms_json_key_lit(w, "inference_count"); // rows
	ms_json_u64(w, t.rows);
	ms_json_key_lit(w, "execution_count");
	ms_json_u64(w, t.success);
	ms_json_key_lit(w, "inference_stats");
	ms_json_begin_object(w);
	write_duration(w, "success", t.success, t.success_ns);
	write_duration(w, "fail", t.fail, t.fail_ns);
	write_duration(w, "queue", t.success, t.queue_ns);
	write_duration(w, "compute_input", t.success, t.input_ns);
	write_duration(w, "compute_infer", t.success, t.infer_ns);
	write_duration(w, "compute_output", t.success, t.output_ns);
	write_duration(w, "cache_hit", 0, 0);
	write_duration(w, "cache_miss", 0, 0);
	ms_json_end_object(w);
	ms_json_key_lit(w, "response_stats"); // of decoupled models, which there are none
	ms_json_begin_object(w);
	ms_json_end_object(w);
	ms_json_key_lit(w, "batch_stats"); // of the dynamic batcher, which there is none
	ms_json_begin_array(w);
	ms_json_end_array(w);
	ms_json_key_lit(w, "memory_usage");
	ms_json_begin_array(w);
	ms_json_begin_object(w);
	ms_json_key_lit(w, "type");
	ms_json_cstr(w, "CPU");
	ms_json_key_lit(w, "id");
	ms_json_i64(w, 0);
	ms_json_key_lit(w, "byte_size");
	ms_json_u64(w, ms_model_info(served->model)->memory_bytes);
	ms_json_end_object(w);
	ms_json_end_array(w);
	ms_json_end_object(w);
}

void ms_oip_stats(struct exchange *x, void *role)
{
	const struct snapshot *snapshot = snapshot_of(x, role);
	struct slice name = x->req.params[0], version = x->req.params[1];
	struct served_model *only = NULL;
	struct json_writer w;
	if (name.n > 0 && (only = find_served(x, role)) == NULL)
		return;
	ms_json_writer_init(&w, x->body);
	ms_json_begin_object(&w);
	ms_json_key_lit(&w, "model_stats");
	ms_json_begin_array(&w);
	for (size_t m = 0; m < snapshot->model_count; m++) {
		const struct live_model *model = &snapshot->models[m];
		if (name.n > 0 ? !ms_slice_eq(model->name, name) : !ms_http_may(x, "models.read", model->name))
			continue;
		for (size_t v = 0; v < model->version_count; v++) {
			const struct served_model *served = model->versions[v].served;
			if (served != NULL && (version.n == 0 || served == only))
				write_stats(&w, served);
		}
	}
	ms_json_end_array(&w);
	ms_json_end_object(&w);
	ms_http_send_json(x, 200);
}
