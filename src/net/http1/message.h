// SPDX-License-Identifier: Apache-2.0
// The words that the HTTP/1.1 parser and the roles share. Part of the public header net/net.h; a file of its
// own because the parser depends on base alone.
#ifndef MS_NET_HTTP1_MESSAGE_H
#define MS_NET_HTTP1_MESSAGE_H

#include "base/base.h"

enum http_method { HTTP_GET, HTTP_HEAD, HTTP_POST, HTTP_PUT, HTTP_PATCH, HTTP_DELETE, HTTP_OPTIONS, HTTP_METHOD_COUNT };
const char *ms_http_method_name(enum http_method method);

struct http_header {
	struct slice name;  // as received; compare without case
	struct slice value; // without surrounding blanks
};

#endif
