// SPDX-License-Identifier: Apache-2.0
#include "app/commands.h"
#include "json/json.h"

#ifdef __clang__
#define COMPILER "clang " __clang_version__
#else
#define COMPILER "gcc " __VERSION__
#endif
#ifndef MAINSTAY_BUILD_TYPE
#error "the build defines MAINSTAY_BUILD_TYPE"
#endif
#ifndef __has_feature
#define __has_feature(x) 0
#endif

// What this binary was built with. Optional parts add themselves here.
static const struct feature {
	const char *name;
	bool built_in;
} features[] = {
#if defined(__SANITIZE_ADDRESS__) || __has_feature(address_sanitizer)
	{"address-sanitizer", true},
#else
	{"address-sanitizer", false},
#endif
#if defined(__SANITIZE_THREAD__) || __has_feature(thread_sanitizer)
	{"thread-sanitizer", true},
#else
	{"thread-sanitizer", false},
#endif
#ifdef __OPTIMIZE__
	{"optimized", true},
#else
	{"optimized", false},
#endif
#ifdef __SSP_STRONG__
	{"stack-protector", true},
#else
	{"stack-protector", false},
#endif
#ifdef _FORTIFY_SOURCE
	{"fortify", true},
#else
	{"fortify", false},
#endif
};

static enum cli_exit run_version(struct cli *cli)
{
	struct buf out;
	ms_buf_init(&out, 1 << 16);
	if (ms_cli_option(cli, "json") != NULL) {
		struct json_writer w;
		ms_json_writer_init(&w, &out);
		ms_json_begin_object(&w);
		ms_json_key_lit(&w, "version");
		ms_json_cstr(&w, MAINSTAY_VERSION);
		ms_json_key_lit(&w, "build_type");
		ms_json_cstr(&w, MAINSTAY_BUILD_TYPE);
		ms_json_key_lit(&w, "compiler");
		ms_json_cstr(&w, COMPILER);
		ms_json_key_lit(&w, "features");
		ms_json_begin_object(&w);
		for (size_t i = 0; i < MS_ARRAY_LEN(features); i++) {
			ms_json_key_lit(&w, features[i].name);
			ms_json_bool(&w, features[i].built_in);
		}
		ms_json_end_object(&w);
		ms_json_end_object(&w);
		ms_buf_append_char(&out, '\n');
	} else {
		ms_buf_printf(&out, "mainstay %s\nbuild:    %s, %s\nfeatures:", MAINSTAY_VERSION, MAINSTAY_BUILD_TYPE,
			      COMPILER);
		for (size_t i = 0; i < MS_ARRAY_LEN(features); i++)
			ms_buf_printf(&out, " %c%s", features[i].built_in ? '+' : '-', features[i].name);
		ms_buf_append_char(&out, '\n');
	}
	enum cli_exit status = ms_cli_print(cli, &out);
	ms_buf_fini(&out);
	return status;
}

static const struct cli_option options[] = {{.name = "json", .help = "For programs: one JSON object"}};

const struct cli_command ms_cmd_version = {
	.noun = "version",
	.arguments = "",
	.summary = "Version, build and features (also -V, --version)",
	.options = options,
	.option_count = MS_ARRAY_LEN(options),
	.run = run_version,
};
