// SPDX-License-Identifier: Apache-2.0
// Private to registry: making a served model from bytes.
#ifndef MS_REGISTRY_SERVED_H
#define MS_REGISTRY_SERVED_H

#include "registry/registry.h"

struct served_source {
	struct slice name;
	struct slice version;
	struct slice file_name;
	struct slice bytes;    // the model file; may go away afterwards
	struct slice metadata; // JSON text, or empty
	enum model_format format;
	uint64_t signature;
	unsigned loops; // loop threads that will record figures
	const struct model_options *model_options;
};

// Checks, loads, completes the metadata and warms. Blocks for the time of loading.
MS_MUST_USE enum ms_err ms_served_new(const struct served_source *source, struct errinfo *info,
				      struct served_model **ret_served);

// The last reference to a version of the live set is gone; its series end if nobody else has them. Any thread.
void ms_registry_leave(struct served_model *served);

// Reads one version folder of the store, or a single file, and makes it. Blocking.
struct version_files {
	struct slice model;
	struct slice version;
	const char *single_file; // or NULL
	uint64_t signature;
	unsigned loops;
	const struct model_options *model_options;
};
MS_MUST_USE enum ms_err ms_store_load_version(const char *dir, const struct version_files *files, struct errinfo *info,
					      struct served_model **ret_served);
// Name that a single file is served under, and a number that changes with the file.
struct slice ms_store_single_name(const char *path);
MS_MUST_USE enum ms_err ms_store_single_signature(const char *path, struct errinfo *info, uint64_t *ret_signature);
// Removes what a crash left behind. The caller holds the store's lock or is the only user.
void ms_store_sweep(const char *dir);

#endif
