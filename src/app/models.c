// SPDX-License-Identifier: Apache-2.0
#include "app/models.h"

#include <stdio.h>
#include <string.h>

enum ms_err ms_models_dir(const struct settings *settings, struct errinfo *info, char ret_dir[MS_MODELS_DIR_MAX])
{
	bool given = settings->models_dir[0] != '\0';
	int n = snprintf(ret_dir, MS_MODELS_DIR_MAX, "%s%s", given ? settings->models_dir : settings->data_dir,
			 given ? "" : "/models");
	if (n < 0 || n >= MS_MODELS_DIR_MAX)
		return ms_fail(info, MS_ERR_LIMIT, "%s is longer than %d bytes", given ? "models.dir" : "data_dir",
			       MS_MODELS_DIR_MAX - 8);
	return MS_OK;
}

struct model_options ms_models_options(const struct settings *settings)
{
	struct model_options options = MS_MODEL_DEFAULT_OPTIONS;
	options.max_bytes = (size_t)settings->models_max_bytes;
	options.kernel = (enum model_kernel)settings->models_kernel;
	options.isa = (enum model_isa)settings->models_isa;
	return options;
}

enum ms_err ms_models_load(const struct settings *settings, const char *model, const char *version,
			   const struct model_options *options, struct errinfo *info, struct served_model **ret_served)
{
	char dir[MS_MODELS_DIR_MAX];
	MS_TRY(ms_models_dir(settings, info, dir));
	// A name has no '/'; "./m.txt" is a file whatever the store holds.
	if (strchr(model, '/') != NULL)
		return ms_store_load_file(model, options, info, ret_served);
	return ms_store_load(dir, ms_slice_cstr(model), version != NULL ? ms_slice_cstr(version) : MS_SLICE_EMPTY,
			     options, info, ret_served);
}

static void show_loading(void *context, size_t done, size_t total)
{
	struct progress *progress = context;
	progress->total = total;
	ms_progress_update(progress, done);
}

void ms_models_show_loading(struct model_options *options, struct progress *progress, FILE *out)
{
	ms_progress_begin(progress, out, "load", PROGRESS_BYTES, 0);
	options->progress = show_loading;
	options->progress_context = progress;
}
