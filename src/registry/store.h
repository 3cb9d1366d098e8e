// SPDX-License-Identifier: Apache-2.0
// Private to registry: paths and aliases of the store folder.
#ifndef MS_REGISTRY_STORE_H
#define MS_REGISTRY_STORE_H

#include <stdarg.h>
#include <stdio.h>

#include "registry/registry.h"

#define MS_STORE_PATH_MAX 4096

MS_MUST_USE enum ms_err ms_store_path(struct errinfo *info, char dst[MS_STORE_PATH_MAX], const char *fmt, ...)
	MS_PRINTF(3, 4);
// A missing aliases.json means none. Sorted as in the file.
MS_MUST_USE enum ms_err ms_store_read_aliases(const char *model_dir, struct arena *arena, struct errinfo *info,
					      struct store_alias **ret_aliases, size_t *ret_count);

#endif
