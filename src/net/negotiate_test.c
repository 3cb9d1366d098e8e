// SPDX-License-Identifier: Apache-2.0
#include "net/negotiate.h"

#include <stdio.h>

#include "tests/lib/test.h"

// A header with up to two lines; NULL: no line.
static size_t make_headers(const char *name, const char *first, const char *second, struct http_header headers[3])
{
	size_t n = 0;
	headers[n++] = (struct http_header){MS_SLICE_LIT("Host"), MS_SLICE_LIT("gzip")};
	if (first != NULL)
		headers[n++] = (struct http_header){ms_slice_cstr(name), ms_slice_cstr(first)};
	if (second != NULL)
		headers[n++] = (struct http_header){ms_slice_cstr(name), ms_slice_cstr(second)};
	return n;
}

TEST(negotiate_coding)
{
	static const struct {
		const char *first;
		const char *second;
		enum content_coding coding;
		bool identity_ok;
	} cases[] = {
		{NULL, NULL, CODING_IDENTITY, true},
		{"", NULL, CODING_IDENTITY, true},
		{"gzip", NULL, CODING_GZIP, true},
		{"zstd", NULL, CODING_ZSTD, true},
		{"gzip, deflate, br", NULL, CODING_GZIP, true},
		{"gzip, deflate, br, zstd", NULL, CODING_ZSTD, true},
		{"GZip , , zSTD", NULL, CODING_ZSTD, true},
		{"x-gzip", NULL, CODING_GZIP, true},
		{"br, deflate, compress", NULL, CODING_IDENTITY, true},
		{"gzip;q=1.0, zstd;q=0.9", NULL, CODING_GZIP, true},
		{"gzip;q=0.5, zstd;q=0.5", NULL, CODING_ZSTD, true},
		{"gzip;q=0.501, zstd;q=0.5", NULL, CODING_GZIP, true},
		{"gzip;q=0", NULL, CODING_IDENTITY, true},
		{"gzip;q=0.000, zstd;q=0.", NULL, CODING_IDENTITY, true},
		{"gzip;q=0.001", NULL, CODING_GZIP, true},
		{"gzip ; Q = 0.4 , zstd ;q=0.3", NULL, CODING_GZIP, true},
		{"*", NULL, CODING_ZSTD, true},
		{"*;q=0.5, zstd;q=0", NULL, CODING_GZIP, true},
		{"*;q=0", NULL, CODING_IDENTITY, false},
		{"*;q=0, identity", NULL, CODING_IDENTITY, true},
		{"*;q=0, gzip;q=0.1", NULL, CODING_GZIP, false},
		{"identity;q=0", NULL, CODING_IDENTITY, false},
		{"identity;q=0, gzip", NULL, CODING_GZIP, false},
		{"identity, gzip;q=0.5", NULL, CODING_IDENTITY, true},
		{"identity;q=0.5, gzip;q=0.5", NULL, CODING_GZIP, true},
		{"identity;q=0.2, *;q=0.1", NULL, CODING_IDENTITY, true},
		{"gzip;q=0.9", "zstd", CODING_ZSTD, true},
		{"br", "gzip", CODING_GZIP, true},
		// An element with a malformed weight does not count.
		{"gzip;q=2", NULL, CODING_IDENTITY, true},
		{"gzip;q=1.001", NULL, CODING_IDENTITY, true},
		{"gzip;q=0.1234", NULL, CODING_IDENTITY, true},
		{"gzip;q=", NULL, CODING_IDENTITY, true},
		{"gzip;q=.5, zstd;q=-1", NULL, CODING_IDENTITY, true},
		{"gzip;q=0.5x", NULL, CODING_IDENTITY, true},
		{";q=1, gzip", NULL, CODING_GZIP, true},
		{"gzip;a=\"x,zstd\"", NULL, CODING_GZIP, true},
		{"\"gzip", NULL, CODING_IDENTITY, true},
	};
	for (size_t i = 0; i < MS_ARRAY_LEN(cases); i++) {
		struct http_header headers[3];
		size_t n = make_headers("ACCEPT-Encoding", cases[i].first, cases[i].second, headers);
		struct coding_choice choice = ms_negotiate_coding(headers, n);
		if (!CHECK_INT(choice.coding, cases[i].coding) || !CHECK_INT(choice.identity_ok, cases[i].identity_ok))
			printf("# case %zu: %s\n", i, cases[i].first);
	}
}

TEST(negotiate_request_coding)
{
	static const struct {
		const char *first;
		const char *second;
		enum ms_err err;
		enum content_coding coding;
		const char *message;
	} cases[] = {
		{NULL, NULL, MS_OK, CODING_IDENTITY, ""},
		{"", NULL, MS_OK, CODING_IDENTITY, ""},
		{"identity", NULL, MS_OK, CODING_IDENTITY, ""},
		{"gzip", NULL, MS_OK, CODING_GZIP, ""},
		{"X-GZIP", NULL, MS_OK, CODING_GZIP, ""},
		{"zstd", NULL, MS_OK, CODING_ZSTD, ""},
		{"identity, gzip, identity", NULL, MS_OK, CODING_GZIP, ""},
		{"identity", "zstd", MS_OK, CODING_ZSTD, ""},
		{"gzip, zstd", NULL, MS_ERR_HTTP_ENCODING, 0, "more than one"},
		{"gzip", "gzip", MS_ERR_HTTP_ENCODING, 0, "more than one"},
		{"deflate", NULL, MS_OK, CODING_DEFLATE, NULL},
		{"compress", NULL, MS_ERR_HTTP_ENCODING, 0,
		 "'compress' is not supported: use gzip, zstd, deflate or none"},
		{"br", NULL, MS_ERR_HTTP_ENCODING, 0, "'br' is not supported: use gzip, zstd, deflate or none"},
		{"gzip, br", NULL, MS_ERR_HTTP_ENCODING, 0, "'br'"},
		{"gzip;q=1", NULL, MS_ERR_HTTP_ENCODING, 0, "'gzip;q=1'"},
		{"*", NULL, MS_ERR_HTTP_ENCODING, 0, "'*'"},
	};
	for (size_t i = 0; i < MS_ARRAY_LEN(cases); i++) {
		struct http_header headers[3];
		struct errinfo info;
		enum content_coding coding = CODING_COUNT;
		ms_errinfo_init(&info);
		size_t n = make_headers("content-ENCODING", cases[i].first, cases[i].second, headers);
		bool ok = CHECK_INT(ms_request_coding(headers, n, &info, &coding), cases[i].err);
		ok &= cases[i].err == MS_OK ? CHECK_INT(coding, cases[i].coding)
					    : CHECK_HAS(info.message, cases[i].message);
		if (!ok)
			printf("# case %zu: %s\n", i, cases[i].first);
	}
}

TEST(negotiate_type)
{
	static const char *const offers[] = {"application/json", "text/plain; version=0.0.4",
					     "application/vnd.api+json"};
	static const struct {
		const char *first;
		const char *second;
		size_t index;
	} cases[] = {
		{NULL, NULL, 0},
		{"*/*", NULL, 0},
		{"application/*", NULL, 0},
		{"text/*", NULL, 1},
		{"TEXT/Plain", NULL, 1},
		{"text/plain;version=0.0.4", NULL, 1},
		{"text/plain;version=\"0.0.4\"; charset=UTF-8", NULL, 1},
		{"text/plain;version=1.0.0", NULL, SIZE_MAX},
		{"application/json;charset=utf-8", NULL, 0},
		{"application/json;charset=latin1", NULL, SIZE_MAX},
		{"application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.1", NULL, 1},
		{"application/json;q=0.5, text/plain", NULL, 1},
		{"application/json;q=0, */*", NULL, 1},
		{"application/*;q=0.9, application/json;q=0.1", NULL, 2},
		{"*/*;q=0.5, text/*;q=0.7", NULL, 1},
		{"image/png", NULL, SIZE_MAX},
		{"image/png", "text/*", 1},
		{"*/*;q=0", NULL, SIZE_MAX},
		{"", NULL, SIZE_MAX},
		{"*", NULL, SIZE_MAX},
		{"*/json", NULL, SIZE_MAX},
		{"application", NULL, SIZE_MAX},
		{"application/json;q=9", NULL, SIZE_MAX},
	};
	for (size_t i = 0; i < MS_ARRAY_LEN(cases); i++) {
		struct http_header headers[3];
		size_t n = make_headers("accept", cases[i].first, cases[i].second, headers);
		if (!CHECK_INT(ms_negotiate_type(headers, n, offers, MS_ARRAY_LEN(offers)), cases[i].index))
			printf("# case %zu: %s\n", i, cases[i].first);
	}
	CHECK_INT(ms_negotiate_type(NULL, 0, offers, 0), SIZE_MAX);
}

TEST(media_types_are_compared)
{
	CHECK(ms_media_type_is(MS_SLICE_LIT("application/json"), "application/json"));
	CHECK(ms_media_type_is(MS_SLICE_LIT("Application/JSON ; charset=utf-8"), "application/json"));
	CHECK(!ms_media_type_is(MS_SLICE_LIT("application/jsonx"), "application/json"));
	CHECK(!ms_media_type_is(MS_SLICE_LIT("application/x-json"), "application/json"));
	CHECK(!ms_media_type_is(MS_SLICE_EMPTY, "application/json"));
	static const char *const yes[] = {
		"text/html; charset=utf-8", "TEXT/CSV",      "application/json",
		"application/problem+json", "image/svg+xml", "application/openmetrics-text;version=1"};
	static const char *const no[] = {"image/png",
					 "application/octet-stream",
					 "application/gzip",
					 "text",
					 "text/event-stream",
					 "application/zip",
					 "",
					 "+jso"};
	for (size_t i = 0; i < MS_ARRAY_LEN(yes); i++)
		CHECK(ms_media_type_compresses(ms_slice_cstr(yes[i])));
	for (size_t i = 0; i < MS_ARRAY_LEN(no); i++)
		CHECK(!ms_media_type_compresses(ms_slice_cstr(no[i])));
}
