// SPDX-License-Identifier: Apache-2.0
// multipart/form-data (RFC 7578 on RFC 2046), read from a whole body: what `curl -F` sends.
#ifndef MS_SERVE_MULTIPART_H
#define MS_SERVE_MULTIPART_H

#include "base/base.h"

struct multipart_part {
	struct slice name;
	struct slice file_name; // or empty
	struct slice content;
};
struct multipart {
	struct slice rest;
	struct slice boundary; // without the leading dashes
	bool started;
};

// False when the Content-Type is no multipart/form-data with a boundary of 1 to 70 characters.
MS_MUST_USE bool ms_multipart_init(struct multipart *m, struct slice content_type, struct slice body);
// MS_OK with *ret_more false at the closing boundary; an error on broken syntax.
MS_MUST_USE enum ms_err ms_multipart_next(struct multipart *m, struct errinfo *info, struct multipart_part *ret_part,
					  bool *ret_more);

#endif
