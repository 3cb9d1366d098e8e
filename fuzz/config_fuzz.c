// SPDX-License-Identifier: Apache-2.0
// Input: the settings file, then, behind a line "---8<---", one environment variable (A=B) or flag (--…) a line.
// What is accepted is dumped and read again, and must mean the same; the dump in JSON must hold no raw control byte.
#include "fuzz/fuzz.h"

#include <stdlib.h>

#include "config/config.h"

#define MAX_LINES 64

struct text_input {
	char *copy;
	const char *environment[MAX_LINES + 1];
	const char *flags[MAX_LINES + 1];
	int flag_count;
	struct slice yaml;
};

static const char separator[] = "---8<---\n";

static void split(const uint8_t *data, size_t size, struct text_input *ret_input)
{
	struct text_input *in = ret_input;
	*in = (struct text_input){.copy = malloc(size + 1)};
	if (in->copy == NULL)
		abort();
	if (size > 0)
		memcpy(in->copy, data, size);
	in->copy[size] = '\0';
	char *cut = memmem(in->copy, size, separator, sizeof(separator) - 1);
	in->yaml = ms_slice(in->copy, cut != NULL ? (size_t)(cut - in->copy) : size);
	size_t variables = 0;
	char *line = cut != NULL ? cut + sizeof(separator) - 1 : NULL;
	while (line != NULL && variables < MAX_LINES && in->flag_count < MAX_LINES) {
		char *end = strchr(line, '\n');
		if (end != NULL)
			*end = '\0';
		if (line[0] == '-')
			in->flags[in->flag_count++] = line;
		else
			in->environment[variables++] = line;
		line = end != NULL ? end + 1 : NULL;
	}
}

static enum ms_err read_file(const char *path, struct arena *arena, struct errinfo *info, struct slice *ret_text)
{
	// Any text will do; the path itself is as hostile as the rest.
	struct slice text = ms_arena_copy(arena, ms_slice_cstr(path));
	if (text.p == NULL)
		return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory");
	*ret_text = text;
	return MS_OK;
}

static void count_problem(const struct config_problem *problem, void *arg)
{
	if (problem->message[0] == '\0' ||
	    ms_utf8_valid_prefix(ms_slice_cstr(problem->message)) != strlen(problem->message))
		abort();
	++*(size_t *)arg;
}

static void check_again(const struct config *config)
{
	struct buf yaml, json;
	ms_buf_init(&yaml, (size_t)1 << 20);
	ms_buf_init(&json, (size_t)1 << 21);
	ms_config_dump_yaml(config, &yaml);
	ms_config_dump_json(config, &json);
	struct config *again;
	const struct config_input input = {.yaml = ms_buf_slice(&yaml), .yaml_name = "dump"};
	if (ms_buf_ok(&yaml)) {
		if (ms_config_load(&input, NULL, &again) != MS_OK)
			abort();
		for (size_t i = 0; i < ms_config_count(); i++) {
			if (ms_config_differs(config, again, i))
				abort();
		}
		ms_config_free(again);
	}
	for (size_t i = 0; i < json.n; i++) {
		if ((unsigned char)json.p[i] < 0x20 && json.p[i] != '\n')
			abort();
	}
	ms_buf_fini(&yaml);
	ms_buf_fini(&json);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct text_input in;
	split(data, size, &in);
	struct errinfo info;
	ms_errinfo_init(&info);
	size_t problems = 0;
	struct config_input input = {
		.yaml = in.yaml,
		.yaml_name = "fuzz.yaml",
		.environment = in.environment,
		.argc = in.flag_count,
		.argv = in.flags,
		.read_file = read_file,
		.on_problem = count_problem,
		.problem_arg = &problems,
	};
	struct config *config = NULL;
	enum ms_err err = ms_config_load(&input, &info, &config);
	if ((err == MS_OK) != (config != NULL) || (err == MS_ERR_CONFIG && problems == 0) ||
	    (err == MS_OK && problems > 0))
		abort();
	if (config != NULL)
		check_again(config);
	ms_config_free(config);
	free(in.copy);
	return 0;
}
