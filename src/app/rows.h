// SPDX-License-Identifier: Apache-2.0
// Rows of a CSV or JSON-lines file as one matrix, for commands that want them all at once.
#ifndef MS_APP_ROWS_H
#define MS_APP_ROWS_H

#include "registry/registry.h"
#include "serve/serve.h"

// At most max_rows from the start of the file. Columns that are no input of the model are left out; inputs that the file
// lacks are missing. The first row that is wrong ends it with an error that names the line. values: freed by the caller.
MS_MUST_USE enum ms_err ms_rows_read(const struct served_model *served, const char *path, size_t max_rows,
				     struct errinfo *info, struct feature_matrix *ret_rows);

#endif
