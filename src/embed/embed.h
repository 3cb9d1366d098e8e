// SPDX-License-Identifier: Apache-2.0
// What the files of libmainstay-forest share. Its public interface is include/mainstay/forest.h.
#ifndef MS_EMBED_EMBED_H
#define MS_EMBED_EMBED_H

#include "base/base.h"

// The whole of a regular file, to be freed by the caller. MS_ERR_IO, MS_ERR_NO_MEMORY, or MS_ERR_MODEL_TOO_LARGE
// above max_bytes.
MS_MUST_USE enum ms_err ms_embed_read_file(const char *path, size_t max_bytes, struct errinfo *info,
					   struct slice *ret_bytes);

#endif
