// SPDX-License-Identifier: Apache-2.0
#ifndef MS_CONSOLE_PRIVATE_H
#define MS_CONSOLE_PRIVATE_H

#include <stdatomic.h>

#include "console/console.h"

struct console {
	struct console_options options;
	struct buf openapi; // made once: the routes do not change
	atomic_uint_least64_t memory_limit;
};

// The document for all routes of the server that are not hidden.
void ms_console_write_openapi(const struct http_server *server, struct buf *out);

// web/docs.html, put into the program by the build.
extern const char ms_console_docs_page[];
extern const size_t ms_console_docs_page_size;

#endif
