// SPDX-License-Identifier: Apache-2.0
// What is refused, and the words in which it is.
#include <stdlib.h>

#include "config/internal.h"
#include "tests/lib/test.h"

struct noted {
	size_t count;
	char text[64 * MS_ERRINFO_MESSAGE_SIZE];
	size_t at;
	struct config_problem last;
};

static void note(const struct config_problem *problem, void *arg)
{
	struct noted *n = arg;
	n->count++;
	n->last = *problem;
	n->at += (size_t)snprintf(n->text + n->at, sizeof(n->text) - n->at, "%s\n", problem->message);
	REQUIRE(n->at < sizeof(n->text));
}

// The input is refused with exactly this message; `line` 0: none.
static void check_refused(const struct config_input *input, const char *message, int64_t line)
{
	struct errinfo info;
	ms_errinfo_init(&info);
	struct config *config = NULL;
	CHECK_INT(ms_config_load(input, &info, &config), MS_ERR_CONFIG);
	CHECK_STR(info.message, message);
	CHECK_INT(info.line, line > 0 ? line : -1);
	CHECK(config == NULL);
	ms_config_free(config);
}

static void check_yaml(const char *yaml, int64_t line, const char *message)
{
	char full[MS_ERRINFO_MESSAGE_SIZE];
	snprintf(full, sizeof(full), "m.yaml:%d: %s", (int)line, message);
	const struct config_input input = {.yaml = ms_slice_cstr(yaml), .yaml_name = "m.yaml"};
	check_refused(&input, full, line);
}

static void check_flag(const char *flag, const char *message)
{
	const struct config_input input = {.argc = 1, .argv = &flag};
	check_refused(&input, message, 0);
}

static void check_env(const char *a, const char *b, const char *message)
{
	const char *environment[] = {a, b, NULL};
	const struct config_input input = {.environment = environment};
	check_refused(&input, message, 0);
}

TEST(unknown_keys_name_the_nearest)
{
	check_yaml("http:\n  prot: 8080\n", 2, "unknown setting \"http.prot\"; did you mean http.port?");
	check_yaml("\nport: 8080\n", 2, "unknown setting \"port\"; did you mean http.port?");
	check_yaml("htpp: {port: 1}\n", 1, "unknown setting \"htpp\"; did you mean http?");
	check_yaml("http.idle-timeout: 1s\n", 1,
		   "unknown setting \"http.idle-timeout\"; did you mean http.idle_timeout?");
	check_yaml("zebra: [{a: [1, {}]}]\n", 1, "unknown setting \"zebra\"");
	check_yaml("\"\": 1\n", 1, "unknown setting \"\"");
	check_yaml("threads.x: 1\n", 1, "unknown setting \"threads.x\"; did you mean threads?");
	check_yaml("http: {port: {x: 1}}\n", 1, "http.port: found a mapping; expected a whole number from 0 to 65535");
}

TEST(types_are_strict)
{
	check_yaml(
		"http:\n  port: eighty\n", 2,
		"http.port: \"eighty\" is not a whole number within 64 bits; expected a whole number from 0 to 65535");
	check_yaml("http.port: \"8080\"\n", 1,
		   "http.port: \"8080\" in quotes is text; expected a whole number from 0 to 65535, without quotes");
	check_yaml("http.port: 65536\n", 1,
		   "http.port: \"65536\" is too large; expected a whole number from 0 to 65535");
	check_yaml("http.port: -1\n", 1, "http.port: \"-1\" is too small; expected a whole number from 0 to 65535");
	check_yaml("http.port: 99999999999999999999\n", 1,
		   "http.port: \"99999999999999999999\" is not a whole number within 64 bits; expected a whole number "
		   "from 0 "
		   "to 65535");
	check_yaml("http.port: 080\n", 1,
		   "http.port: \"080\" starts with 0, which some readers take for octal; expected a whole number from "
		   "0 to "
		   "65535");
	check_yaml(
		"http.port: 8080.0\n", 1,
		"http.port: \"8080.0\" is not a whole number within 64 bits; expected a whole number from 0 to 65535");
	check_yaml("http.port:\n", 1,
		   "http.port: has no value; expected a whole number from 0 to 65535, or no line at all");
	check_yaml("http.port: [1]\n", 1, "http.port: found a sequence; expected a whole number from 0 to 65535");
	check_yaml("data_dir: no\n", 1, "data_dir: no without quotes is a boolean in YAML; write \"no\"");
	check_yaml("data_dir: 0x1F\n", 1, "data_dir: 0x1F without quotes is a number in YAML; write \"0x1F\"");
	check_yaml("data_dir: 1e9\n", 1, "data_dir: 1e9 without quotes is a number in YAML; write \"1e9\"");
	check_yaml("data_dir: ~\n", 1, "data_dir: has no value; expected text (\"\" for empty), or no line at all");
	check_yaml("http.listen: 8080\n", 1, "http.listen: 8080 without quotes is a number in YAML; write \"8080\"");
	check_yaml("roles:\n- ml\n- on\n", 3, "roles: on without quotes is a boolean in YAML; write \"on\"");
	check_yaml("roles: [ml, [x]]\n", 1, "roles: found a sequence in the list; expected text");
	check_yaml("roles: [ml, \"\"]\n", 1, "roles: item 2 of the list is empty");
	check_yaml("roles: {ml: 1}\n", 1, "roles: found a mapping; expected a list");
	check_yaml("http: 8080\n", 1,
		   "http is a section, found a value; expected its settings, indented, in the lines below");
	check_yaml("data_dir: \"a\\nb\"\n", 1, "data_dir: \"a?b\" holds a control character; expected text");
	check_yaml("data_dir: \"a\\0b\"\n", 1, "data_dir: \"a\" holds a control character; expected text");
}

TEST(amounts_are_strict)
{
	const char *expected = "; expected a size such as 64KiB from 1KiB to 1GiB";
	static const struct {
		const char *text, *what;
	} sizes[] = {
		{"5M", "is ambiguous: write KiB, MiB, GiB for powers of 1024 or KB, MB, GB for powers of 1000"},
		{"1.5GiB", "has a fraction; use a smaller unit"},
		{"12 parsecs", "has an unknown unit (B, KB, KiB, MB, MiB, GB, GiB, TB, TiB)"},
		{"much", "is not a size"},
		{"-1", "is not a size"},
		{"1023", "is too small"},
		{"2GiB", "is too large"},
		{"99999999999PiB", "has an unknown unit (B, KB, KiB, MB, MiB, GB, GiB, TB, TiB)"},
	};
	for (size_t i = 0; i < MS_ARRAY_LEN(sizes); i++) {
		char yaml[128], message[256];
		snprintf(yaml, sizeof(yaml), "http.body_limit: %s\n", sizes[i].text);
		snprintf(message, sizeof(message), "http.body_limit: \"%s\" %s%s", sizes[i].text, sizes[i].what,
			 expected);
		check_yaml(yaml, 1, message);
	}
	check_yaml("http.idle_timeout: 10\n", 1,
		   "http.idle_timeout: \"10\" has no unit (ms, s, m, h); expected a duration such as 10s from 100ms to "
		   "1h");
	check_yaml("http.idle_timeout: 1m30s\n", 1,
		   "http.idle_timeout: \"1m30s\" is not one number with one unit (ms, s, m, h); expected a duration "
		   "such as "
		   "10s from 100ms to 1h");
	check_yaml("http.idle_timeout: 99ms\n", 1,
		   "http.idle_timeout: \"99ms\" is too small; expected a duration such as 10s from 100ms to 1h");
}

TEST(choices_name_the_nearest)
{
	check_yaml("log.level: inof\n", 1,
		   "log.level: \"inof\" is not one of trace, debug, info, warn, error, off; did you mean info?");
	check_flag("--log-format=xml", "--log-format: \"xml\" is not one of auto, json, text");
}

TEST(duplicates_are_refused)
{
	check_yaml("threads: 1\nthreads: 1\n", 2, "threads is set twice; the first time in line 1");
	check_yaml("http.port: 1\nhttp:\n  listen: \":1\"\n  port: 1\n", 4,
		   "http.port is set twice; the first time in line 1");
	check_yaml("http: {port: 1}\nlog: {}\nhttp: {listen: \":1\"}\n", 3,
		   "the section http appears twice, the first time in line 1; put its settings together");
}

TEST(references_tags_and_documents_are_refused)
{
	check_yaml("data_dir: &a x\n", 1, "an anchor (&name) is not supported in settings; write the value out");
	check_yaml("data_dir: *a\n", 1, "an alias (*name) is not supported in settings; write the value out");
	check_yaml("data_dir: !!str 5\n", 1, "a tag (!name) is not supported in settings; write the value out");
	check_yaml("!x\nthreads: 1\n", 1, "a tag (!name) is not supported in settings; write the value out");
	check_yaml("&a threads: 1\n", 1, "an anchor (&name) is not supported in settings; write the value out");
	check_yaml("<<: {threads: 1}\n", 1, "unknown setting \"<<\"");
	check_yaml("? [threads]\n: 1\n", 1, "found a sequence where a setting's name is expected");
	check_yaml("threads: 1\n---\nthreads: 2\n", 2, "a second document starts here; the settings are one document");
	check_yaml("- threads\n", 1, "found a sequence; expected a mapping of settings, such as \"http.port: 8080\"");
	check_yaml("threads 4\n", 1, "found a value; expected a mapping of settings, such as \"http.port: 8080\"");
}

TEST(syntax_errors_have_a_line)
{
	check_yaml("threads: 1\nhttp:\n\tport: 80\n", 3,
		   "not valid YAML: while scanning for the next token: found character that cannot start any token "
		   "(column "
		   "1); indent with spaces, not with tabs");
	check_yaml("threads: 1\ndata_dir: \"open\n", 3,
		   "not valid YAML: while scanning a quoted scalar: found unexpected end of stream (column 1)");
	check_yaml("threads: 1\ndata_dir: a\xff\n", 2, "not valid YAML: invalid leading UTF-8 octet (column 12)");
	const struct config_input nul = {.yaml = MS_SLICE_LIT("threads: 1\n\0junk: 1\n"), .yaml_name = "m.yaml"};
	check_refused(&nul, "m.yaml:2: not valid YAML: control characters are not allowed (column 1)", 2);
}

// Each of these is small and would be large, deep or slow for a careless reader.
TEST(bombs_are_refused_quickly)
{
	struct buf text;
	ms_buf_init(&text, 2 << 20);
	ms_buf_append_cstr(&text, "a: &a [x,x,x,x,x,x,x,x,x]\n");
	for (char c = 'b'; c <= 'z'; c++)
		ms_buf_printf(&text, "%c: &%c [*%c,*%c,*%c,*%c,*%c,*%c,*%c,*%c,*%c]\n", c, c, c - 1, c - 1, c - 1,
			      c - 1, c - 1, c - 1, c - 1, c - 1, c - 1);
	struct config_input input = {.yaml = ms_buf_slice(&text), .yaml_name = "m.yaml"};
	check_refused(&input, "m.yaml:1: an anchor (&name) is not supported in settings; write the value out", 1);

	static struct noted noted;
	noted = (struct noted){0};
	struct config *config;
	ms_buf_clear(&text);
	ms_buf_append_cstr(&text, "zebra: ");
	while (text.n < CONFIG_YAML_MAX)
		ms_buf_append_char(&text, '[');
	input = (struct config_input){
		.yaml = ms_buf_slice(&text), .yaml_name = "m.yaml", .on_problem = note, .problem_arg = &noted};
	CHECK_INT(ms_config_load(&input, NULL, &config), MS_ERR_CONFIG);
	CHECK_HAS(noted.text, "nested deeper than 16 levels");

	ms_buf_clear(&text);
	while (text.n <= CONFIG_YAML_MAX)
		ms_buf_append_cstr(&text, "# long\n");
	input = (struct config_input){.yaml = ms_buf_slice(&text), .yaml_name = "m.yaml"};
	check_refused(&input, "m.yaml: has 1048579 bytes; the limit is 1048576", 0);
	ms_buf_fini(&text);
}

TEST(values_have_limits)
{
	struct buf text;
	ms_buf_init(&text, 2 << 20);
	ms_buf_append_cstr(&text, "data_dir: ");
	while (text.n < 70000)
		ms_buf_append_cstr(&text, "xxxxxxxxxxxxxxxxxxxxxxxxx ");
	struct config_input input = {.yaml = ms_buf_slice(&text), .yaml_name = "m.yaml"};
	struct errinfo info;
	ms_errinfo_init(&info);
	struct config *config;
	CHECK_INT(ms_config_load(&input, &info, &config), MS_ERR_CONFIG);
	CHECK_HAS(info.message, "m.yaml:1: data_dir: the value has 69991 bytes");
	CHECK_HAS(info.message, "the limit is 65536");
	ms_buf_clear(&text);
	ms_buf_append_cstr(&text, "roles: [");
	for (int i = 0; i < 300; i++)
		ms_buf_append_cstr(&text, "a,");
	ms_buf_append_cstr(&text, "]\n");
	input.yaml = ms_buf_slice(&text);
	check_refused(&input, "m.yaml:1: roles: the list has more than 256 items", 1);
	ms_buf_clear(&text);
	for (int i = 0; i < 200; i++)
		ms_buf_append_char(&text, 'k');
	ms_buf_append_cstr(&text, ": 1\n");
	input.yaml = ms_buf_slice(&text);
	ms_errinfo_init(&info);
	CHECK_INT(ms_config_load(&input, &info, &config), MS_ERR_CONFIG);
	CHECK_HAS(info.message, "unknown setting \"kkkkkkkk");
	ms_buf_fini(&text);
}

TEST(all_problems_are_told)
{
	static struct noted noted;
	noted = (struct noted){0};
	const char *environment[] = {"MAINSTAY_LOG_LEVLE=info", "PORT=http", NULL};
	const char *flags[] = {"--prot", "--threads"};
	const struct config_input input = {
		.yaml = MS_SLICE_LIT("threads: x\nzebra: {a: [1]}\nhttp:\n  port: 99999\n  listen: [a, [b], on]\n"
				     "  tls: &t {cert: a}\nlog.level: loud\ndata_dir: fine\n"),
		.yaml_name = "m.yaml",
		.environment = environment,
		.argc = 2,
		.argv = flags,
		.on_problem = note,
		.problem_arg = &noted,
	};
	struct errinfo info;
	ms_errinfo_init(&info);
	struct config *config;
	CHECK_INT(ms_config_load(&input, &info, &config), MS_ERR_CONFIG);
	CHECK_INT(noted.count, 11);
	CHECK_INT(info.line, 1);
	CHECK_STR(info.field, "threads");
	CHECK_HAS(noted.text, "m.yaml:1: threads: ");
	CHECK_HAS(noted.text, "m.yaml:2: unknown setting \"zebra\"\n");
	CHECK_HAS(noted.text, "m.yaml:4: http.port: ");
	CHECK_HAS(noted.text, "m.yaml:5: http.listen: found a sequence in the list");
	CHECK_HAS(noted.text, "m.yaml:5: http.listen: on without quotes");
	CHECK_HAS(noted.text, "m.yaml:6: an anchor");
	CHECK_HAS(noted.text, "m.yaml:7: log.level: \"loud\"");
	CHECK_HAS(noted.text, "environment: unknown variable MAINSTAY_LOG_LEVLE; did you mean MAINSTAY_LOG_LEVEL?\n");
	CHECK_HAS(noted.text, "environment variable PORT (http.port): \"http\" is not a whole number");
	CHECK_HAS(noted.text, "unknown flag --prot; did you mean --port?\n");
	CHECK_HAS(noted.text, "--threads needs a value: expected a whole number from 0 to 256\n");
	CHECK_INT(noted.last.layer, CONFIG_FLAGS);
}

TEST(problems_stop_at_a_limit)
{
	static struct noted noted;
	noted = (struct noted){0};
	struct buf text;
	ms_buf_init(&text, 1 << 20);
	for (int i = 0; i < 1000; i++)
		ms_buf_printf(&text, "x%d: 1\n", i);
	const struct config_input input = {
		.yaml = ms_buf_slice(&text), .yaml_name = "m.yaml", .on_problem = note, .problem_arg = &noted};
	struct config *config;
	CHECK_INT(ms_config_load(&input, NULL, &config), MS_ERR_CONFIG);
	CHECK_INT(noted.count, MS_CONFIG_MAX_PROBLEMS);
	ms_buf_fini(&text);
}

TEST(environment_is_refused_with_its_name)
{
	check_env("MAINSTAY_HTTP_PROT=1", NULL,
		  "environment: unknown variable MAINSTAY_HTTP_PROT; did you mean MAINSTAY_HTTP_PORT?");
	check_env("MAINSTAY_CONFG=1", NULL,
		  "environment: unknown variable MAINSTAY_CONFG; did you mean MAINSTAY_CONFIG?");
	check_env("MAINSTAY_=1", NULL, "environment: unknown variable MAINSTAY_");
	check_env("MAINSTAY_XYLOPHONE_HAMMER", NULL, "environment: unknown variable MAINSTAY_XYLOPHONE_HAMMER");
	check_env("PORT=80 80", NULL,
		  "environment variable PORT (http.port): \"80 80\" is not a whole number within 64 bits; expected a "
		  "whole "
		  "number from 0 to 65535");
	check_env("MODEL_PATH=x", "MODEL_PATH_FILE=/y",
		  "environment: MODEL_PATH and MODEL_PATH_FILE are both set; unset one of them (setting models.path)");
	check_env("MODEL_PATH_FILE=/y", NULL,
		  "environment variable MODEL_PATH_FILE (models.path): files are not read here; set MODEL_PATH");
	check_env("MODEL_PATH=\xff", NULL,
		  "environment variable MODEL_PATH (models.path): \"?\" is not valid UTF-8; expected text");
	check_env("MAINSTAY_ROLES=a,,b", NULL,
		  "environment variable MAINSTAY_ROLES (roles): item 2 of the list is empty");
}

TEST(flags_are_refused_with_the_nearest)
{
	check_flag("--prot=80", "unknown flag --prot; did you mean --port?");
	check_flag("--http.prot=80", "unknown flag --http.prot; did you mean --http.port?");
	check_flag("--http-port=80", "unknown flag --http-port; did you mean --http.port?");
	check_flag("--idle_timeout=80", "unknown flag --idle_timeout; did you mean --http.idle_timeout?");
	check_flag("--=80", "unknown flag --");
	check_flag("--port", "--port needs a value: expected a whole number from 0 to 65535");
	check_flag("--port=",
		   "--port: \"\" is not a whole number within 64 bits; expected a whole number from 0 to 65535");
	check_flag("8080", "unexpected argument \"8080\"; settings are given as --name=value");
	check_flag("-p", "unexpected argument \"-p\"; settings are given as --name=value");
	const char *behind[] = {"--port=1", "--", "--threads=1"};
	const struct config_input input = {.argc = 3, .argv = behind};
	check_refused(&input, "unexpected argument \"--threads=1\"; settings are given as --name=value", 0);
	const char *swallowed[] = {"--port", "--threads=1"};
	const struct config_input missing = {.argc = 2, .argv = swallowed};
	check_refused(&missing, "--port needs a value: expected a whole number from 0 to 65535", 0);
}

// A table with a secret: its value is in no message.
TEST(messages_hide_secrets)
{
	static const struct setting_def row = {.key = "key",
					       .kind = SETTING_SECRET,
					       .default_text = "",
					       .range = "",
					       .env = "KEY",
					       .flag = "--key",
					       .help = ""};
	static const struct setting_table one = {&row, 1, sizeof(const char *)};
	static const struct {
		const char *yaml;
		const char *variable, *flag;
	} inputs[] = {
		{"key: 271828\n", NULL, NULL},  {"key: [271828]\n", NULL, NULL}, {"key: \"271828\\0\"\n", NULL, NULL},
		{NULL, "KEY=271828\xff", NULL}, {NULL, NULL, "--key=271828"},
	};
	for (size_t i = 0; i < MS_ARRAY_LEN(inputs); i++) {
		const char *environment[] = {inputs[i].variable, NULL}, *flags[] = {inputs[i].flag};
		const struct config_input input = {.yaml = ms_slice_cstr(inputs[i].yaml),
						   .environment = environment,
						   .argc = inputs[i].flag != NULL,
						   .argv = flags};
		struct errinfo info;
		ms_errinfo_init(&info);
		struct config *config;
		CHECK_INT(ms_config_load_table(&one, &input, &info, &config), MS_ERR_CONFIG);
		CHECK(strstr(info.message, "271828") == NULL);
		CHECK(info.message[0] != '\0');
	}
}

// Random damage to a good file: never a crash, never a leak, and a refusal always says why.
TEST(damaged_files_are_refused_or_read)
{
	static const char good[] = "http: {port: 8080, listen: [\":80\", \"unix:/x\"], tls: {cert: \"a\\u00e4\"}}\n"
				   "log:\n  level: debug\n  format: json\nthreads: 4 # four\ndata_dir: |\n  text\n";
	static const char noise[] = "{}[]:,-?&*!|>'\"%@` \t\n#~0aZ\\\xc3\xa4\xff\x01";
	for (int round = 0; round < 3000; round++) {
		char text[sizeof(good)];
		memcpy(text, good, sizeof(good));
		for (uint64_t k = ms_rand_below(ms_test_rand(), 4); k < 4; k++)
			text[ms_rand_below(ms_test_rand(), sizeof(good) - 1)] =
				noise[ms_rand_below(ms_test_rand(), sizeof(noise) - 1)];
		const struct config_input input = {.yaml = ms_slice(text, sizeof(good) - 1), .yaml_name = "m.yaml"};
		struct errinfo info;
		ms_errinfo_init(&info);
		struct config *config = NULL;
		enum ms_err err = ms_config_load(&input, &info, &config);
		CHECK(err == MS_OK || (err == MS_ERR_CONFIG && info.message[0] != '\0' && info.line > 0));
		ms_config_free(config);
	}
}

static void load_hostile(void)
{
	static struct noted noted;
	noted = (struct noted){0};
	const char *environment[] = {"PORT=x", NULL};
	const struct config_input input = {
		.yaml = MS_SLICE_LIT("threads: x\nroles: [a, [b]]\nhttp: {tls: {cert: ~}}\n"),
		.yaml_name = "m.yaml",
		.environment = environment,
		.on_problem = note,
		.problem_arg = &noted};
	struct errinfo info;
	ms_errinfo_init(&info);
	struct config *config = NULL;
	enum ms_err err = ms_config_load(&input, &info, &config);
	CHECK_INT(err, ms_test_allocation_failed() ? MS_ERR_NO_MEMORY : MS_ERR_CONFIG);
	CHECK_INT(info.code, err);
	CHECK(config == NULL);
}

TEST(torture_refusing)
{
	ms_test_torture(load_hostile);
}
