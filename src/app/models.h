// SPDX-License-Identifier: Apache-2.0
// Where the models are and what they may take, as the settings say: shared by the server and the commands.
#ifndef MS_APP_MODELS_H
#define MS_APP_MODELS_H

#include "app/progress.h"
#include "config/config.h"
#include "model/model.h"
#include "registry/registry.h"

#define MS_MODELS_DIR_MAX 4096

// models.dir, or <data_dir>/models.
MS_MUST_USE enum ms_err ms_models_dir(const struct settings *settings, struct errinfo *info,
				      char ret_dir[MS_MODELS_DIR_MAX]);
struct model_options ms_models_options(const struct settings *settings);
// `model` is a name of the store, or the path of a file when it holds a '/'; version NULL: the newest.
MS_MUST_USE enum ms_err ms_models_load(const struct settings *settings, const char *model, const char *version,
				       const struct model_options *options, struct errinfo *info,
				       struct served_model **ret_served);
// Loading with these options shows a line on `out` when that is a terminal and loading takes a while; it ends with
// ms_progress_end(). `progress` must outlive the loading.
void ms_models_show_loading(struct model_options *options, struct progress *progress, FILE *out);

#endif
