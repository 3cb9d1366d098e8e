// SPDX-License-Identifier: Apache-2.0
// Values in, settings out: every kind, every layer, the dumps. What is refused is in hostile_test.c.
#include "config/config.h"

#include "config/internal.h"
#include "tests/lib/test.h"

// A table of its own: all kinds, a secret, sections within sections.
struct values {
	const char *name;
	const char *secret;
	bool quick;
	int64_t number;
	uint64_t size;
	uint64_t pause;
	int colour;
	struct string_list things;
};
#define ROW(member_, key_, kind_, default_, range_, env_, flag_)                                              \
	{                                                                                                     \
		.key = (key_), .kind = (kind_), .default_text = (default_), .range = (range_), .env = (env_), \
		.flag = (flag_), .help = "", .offset = offsetof(struct values, member_),                      \
	}
static const struct setting_def rows[] = {
	ROW(name, "name", SETTING_STRING, "x", "", "APP_NAME", "--name"),
	ROW(secret, "a.secret", SETTING_SECRET, "", "", "TOKEN,MAINSTAY_TOKEN_OLD", ""),
	ROW(quick, "a.quick", SETTING_BOOL, "false", "", "", "--quick"),
	ROW(number, "a.b.number", SETTING_INTEGER, "7", "-5..100", "PORT", "--number"),
	ROW(size, "a.b.size", SETTING_BYTES, "1KiB", "1..1GiB", "", ""),
	ROW(pause, "a.pause", SETTING_DURATION, "1s", "0..1h", "", ""),
	ROW(colour, "colour", SETTING_ENUM, "red", "red|off|1.2", "", ""),
	ROW(things, "things", SETTING_LIST, "a,b", "", "", "--thing"),
};
static const struct setting_table table = {rows, MS_ARRAY_LEN(rows), sizeof(struct values)};

static enum ms_err read_file(const char *path, struct arena *arena, struct errinfo *info, struct slice *ret_text)
{
	if (strcmp(path, "/run/secrets/token") != 0)
		return ms_fail(info, MS_ERR_FILE_MISSING, "cannot open the file: no such file");
	struct slice text = ms_arena_copy(arena, MS_SLICE_LIT("hunter2\n"));
	if (text.p == NULL)
		return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory");
	*ret_text = text;
	return MS_OK;
}

static const char *const no_environment[] = {NULL};

// Loads from all three; NULL (and a failed check) when it is refused.
static struct config *load(const char *yaml, const char *const *environment, int argc, const char *const *argv)
{
	struct errinfo info;
	ms_errinfo_init(&info);
	const struct config_input input = {
		.yaml = ms_slice_cstr(yaml),
		.yaml_name = "m.yaml",
		.environment = environment,
		.argc = argc,
		.argv = argv,
		.read_file = read_file,
	};
	struct config *config = NULL;
	CHECK_OK(ms_config_load_table(&table, &input, &info, &config));
	if (config == NULL)
		CHECK_STR(info.message, "");
	return config;
}
#define LOAD_FLAGS(...) \
	load(NULL, NULL, (int)MS_ARRAY_LEN(((const char *[]){__VA_ARGS__})), (const char *[]){__VA_ARGS__})
#define LOAD_ENV(...) load(NULL, (const char *[]){__VA_ARGS__, NULL}, 0, NULL)

static const struct values *values_of(const struct config *config)
{
	REQUIRE(config != NULL);
	return config->values;
}

static void check_source(const struct config *config, const char *key, const char *source)
{
	struct setting_view view;
	ms_config_view(config, ms_setting_find(&table, ms_slice_cstr(key)), &view);
	CHECK_STR(view.source, source);
}

TEST(defaults_of_the_table_are_within_their_ranges)
{
	struct config *config;
	const struct config_input input = {0};
	REQUIRE(ms_config_load(&input, NULL, &config) == MS_OK);
	const struct settings *s = ms_config_settings(config);
	CHECK_INT(s->http_port, 0);
	CHECK_INT(s->http_body_limit, 16 << 20);
	CHECK_INT(s->http_idle_timeout, 75000);
	CHECK_INT(s->log_level, 2);
	CHECK_INT(s->roles.count, 1);
	CHECK_STR(s->roles.items[0], "all");
	CHECK_STR(s->models_dir, "");
	for (size_t i = 0; i < ms_config_count(); i++) {
		struct setting_view view, table_view;
		ms_config_view(config, i, &view);
		ms_config_view(NULL, i, &table_view);
		CHECK_STR(view.source, "default");
		CHECK_STR(view.value, table_view.value); // the table writes defaults as dumps do
		CHECK(view.help[0] != '\0' && strlen(view.env) > strlen("MAINSTAY_"));
	}
	ms_config_free(config);
}

TEST(names_of_the_table_do_not_collide)
{
	char a[CONFIG_ENV_NAME_MAX], b[CONFIG_ENV_NAME_MAX + 8];
	for (size_t i = 0; i < ms_setting_table.count; i++) {
		const struct setting_def *x = &ms_setting_table.rows[i];
		struct slice key = ms_slice_cstr(x->key);
		CHECK_INT(ms_setting_find(&ms_setting_table, key), i);
		CHECK(!ms_setting_is_section(&ms_setting_table, key));
		CHECK(x->flag[0] == '\0' || ms_config_find_flag(ms_slice_cstr(x->flag)) == i);
		for (size_t j = 0; j < ms_setting_table.count; j++) {
			const struct setting_def *y = &ms_setting_table.rows[j];
			for (size_t k = 0; j != i && ms_setting_env_name(x, k, a); k++) {
				for (size_t m = 0; ms_setting_env_name(y, m, b); m++) {
					CHECK(strcmp(a, b) != 0);
					strcat(b, "_FILE");
					CHECK(strcmp(a, b) != 0);
				}
			}
		}
	}
}

TEST(sections_of_the_table_are_contiguous)
{
	struct slice seen[256], last = MS_SLICE_EMPTY;
	size_t count = 0;
	for (size_t i = 0; i < ms_setting_table.count; i++) {
		struct slice key = ms_slice_cstr(ms_setting_table.rows[i].key);
		size_t dot = ms_slice_find(key, '.');
		struct slice section = dot < key.n ? ms_slice_sub(key, 0, dot) : MS_SLICE_EMPTY;
		for (size_t k = 0; section.n > 0 && !ms_slice_eq(section, last) && k < count; k++)
			CHECK(!ms_slice_eq(section, seen[k]));
		REQUIRE(count < MS_ARRAY_LEN(seen));
		seen[count++] = last = section;
	}
}

TEST(yaml_sets_every_kind)
{
	struct config *config = load("# a comment\n"
				     "name: \"J\\u00fcrgen\"\n"
				     "a:\n"
				     "  secret: 'it''s'\n"
				     "  quick: yes\n"
				     "  b: {number: -5, size: 1GiB}\n"
				     "  pause: 90s\n"
				     "colour: OFF\n"
				     "things:\n"
				     "- one\n"
				     "- \"two, three\"\n",
				     NULL, 0, NULL);
	const struct values *v = values_of(config);
	CHECK_STR(v->name, "J\xc3\xbcrgen");
	CHECK_STR(v->secret, "it's");
	CHECK(v->quick);
	CHECK_INT(v->number, -5);
	CHECK_INT(v->size, 1 << 30);
	CHECK_INT(v->pause, 90000);
	CHECK_INT(v->colour, 1);
	REQUIRE(v->things.count == 2);
	CHECK_STR(v->things.items[1], "two, three");
	check_source(config, "name", "m.yaml:2");
	check_source(config, "a.b.number", "m.yaml:6");
	check_source(config, "things", "m.yaml:9");
	ms_config_free(config);
}

TEST(yaml_takes_dotted_and_nested_keys_and_json)
{
	static const char *const texts[] = {
		"a.b.number: 3\na.b.size: 12\nname: n\n",
		"a: {b.number: 3, b.size: 12}\nname: n\n",
		"a.b: {number: 3, size: 12}\r\nname: n\r\n",
		"a.b.number: 3\na:\n  b:\n    size: 12\nname: n",
		"{\"a\": {\"b\": {\"number\": 3, \"size\": 12}}, \"name\": \"n\"}",
		"\xef\xbb\xbf%YAML 1.1\n---\na.b.number: 3\na.b.size: 12\nname: n\n...\n",
	};
	for (size_t i = 0; i < MS_ARRAY_LEN(texts); i++) {
		struct config *config = load(texts[i], NULL, 0, NULL);
		CHECK_INT(values_of(config)->number, 3);
		CHECK_INT(values_of(config)->size, 12);
		CHECK_STR(values_of(config)->name, "n");
		ms_config_free(config);
	}
}

TEST(yaml_without_settings_leaves_the_defaults)
{
	static const char *const texts[] = {"",     "\n\n", "# only a comment\n", "---\n",       "~\n",
					    "{}\n", "a:\n", "a:\n  b:\n",         "a: {b: {}}\n"};
	for (size_t i = 0; i < MS_ARRAY_LEN(texts); i++) {
		struct config *config = load(texts[i], no_environment, 0, NULL);
		CHECK_INT(values_of(config)->number, 7);
		check_source(config, "a.b.number", "default");
		ms_config_free(config);
	}
}

TEST(amounts_have_units)
{
	static const struct {
		const char *text;
		uint64_t bytes;
	} sizes[] = {{"1", 1},           {"64KiB", 65536},    {"64Ki", 65536}, {"64kb", 64000},
		     {"3 MiB", 3 << 20}, {"1GB", 1000000000}, {"17B", 17},     {"1024Mi", 1 << 30}};
	for (size_t i = 0; i < MS_ARRAY_LEN(sizes); i++) {
		char flag[64];
		snprintf(flag, sizeof(flag), "--a.b.size=%s", sizes[i].text);
		struct config *config = LOAD_FLAGS(flag);
		CHECK_INT(values_of(config)->size, sizes[i].bytes);
		ms_config_free(config);
	}
	static const struct {
		const char *text, *shown;
		uint64_t ms;
	} pauses[] = {{"0", "0s", 0},         {"0ms", "0s", 0},     {"250ms", "250ms", 250}, {"1500ms", "1500ms", 1500},
		      {"2000ms", "2s", 2000}, {"5m", "5m", 300000}, {"1h", "1h", 3600000},   {"60m", "1h", 3600000}};
	for (size_t i = 0; i < MS_ARRAY_LEN(pauses); i++) {
		char flag[64];
		snprintf(flag, sizeof(flag), "--a.pause=%s", pauses[i].text);
		struct config *config = LOAD_FLAGS(flag);
		CHECK_INT(values_of(config)->pause, pauses[i].ms);
		struct setting_view view;
		ms_config_view(config, ms_setting_find(&table, MS_SLICE_LIT("a.pause")), &view);
		CHECK_STR(view.value, pauses[i].shown);
		ms_config_free(config);
	}
}

TEST(layers_win_in_order)
{
	const char *environment[] = {"PORT=2", NULL};
	struct config *config = load("a.b.number: 1\nname: file\n", environment, 0, NULL);
	CHECK_INT(values_of(config)->number, 2);
	check_source(config, "a.b.number", "environment PORT");
	check_source(config, "name", "m.yaml:2");
	ms_config_free(config);
	config = load("a.b.number: 1\n", environment, 2, (const char *[]){"--number", "3"});
	CHECK_INT(values_of(config)->number, 3);
	check_source(config, "a.b.number", "flag --number");
	ms_config_free(config);
}

TEST(environment_has_names_by_key_and_aliases)
{
	struct config *config = LOAD_ENV("MAINSTAY_A_B_NUMBER=1", "MAINSTAY_PORT=2", "PORT=3");
	CHECK_INT(values_of(config)->number, 1);
	ms_config_free(config);
	config = LOAD_ENV("PORT=3", "MAINSTAY_PORT=2");
	CHECK_INT(values_of(config)->number, 2);
	ms_config_free(config);
	config = LOAD_ENV("PORT=3", "PORTS=9", "PATH=/bin", "=odd", "odd", "");
	CHECK_INT(values_of(config)->number, 3);
	ms_config_free(config);
	config = LOAD_ENV("MAINSTAY_THINGS=p, q ,r", "MAINSTAY_A_QUICK=1", "MAINSTAY_COLOUR=Off", "MAINSTAY_CONFIG=/x");
	CHECK_INT(values_of(config)->things.count, 3);
	CHECK_STR(values_of(config)->things.items[1], "q");
	CHECK(values_of(config)->quick);
	CHECK_INT(values_of(config)->colour, 1);
	ms_config_free(config);
}

TEST(empty_variables_empty_strings_and_leave_the_rest)
{
	struct config *config =
		LOAD_ENV("MAINSTAY_NAME=", "PORT=", "MAINSTAY_THINGS=", "MAINSTAY_A_QUICK=", "TOKEN_FILE=");
	CHECK_STR(values_of(config)->name, "");
	CHECK_INT(values_of(config)->number, 7);
	CHECK_INT(values_of(config)->things.count, 2);
	check_source(config, "name", "environment MAINSTAY_NAME");
	check_source(config, "things", "default");
	ms_config_free(config);
}

TEST(secrets_come_from_files_and_are_never_shown)
{
	struct config *config = LOAD_ENV("TOKEN_FILE=/run/secrets/token");
	CHECK_STR(values_of(config)->secret, "hunter2");
	check_source(config, "a.secret", "environment TOKEN_FILE");
	struct setting_view view;
	ms_config_view(config, 1, &view);
	CHECK_STR(view.value, "[set]");
	CHECK_STR(view.env, "MAINSTAY_A_SECRET,MAINSTAY_TOKEN,TOKEN,MAINSTAY_TOKEN_OLD");
	struct buf out;
	ms_buf_init(&out, 1 << 16);
	ms_config_dump_yaml(config, &out);
	ms_config_dump_json(config, &out);
	REQUIRE(ms_buf_ok(&out));
	CHECK(memmem(out.p, out.n, "hunter2", 7) == NULL);
	ms_buf_append_char(&out, '\0');
	CHECK_HAS(out.p, "  # secret: \"[set]\"  # source: environment TOKEN_FILE");
	CHECK_HAS(out.p, "\"a.secret\": {\"value\": \"[set]\", \"default\": \"\"");
	ms_buf_fini(&out);
	ms_config_free(config);
	config = LOAD_ENV("TOKEN=");
	ms_config_view(config, 1, &view);
	CHECK_STR(view.value, "");
	ms_config_free(config);
}

// https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables
TEST(kubernetes_service_variables_are_not_settings)
{
	struct config *config = LOAD_ENV(
		"MAINSTAY_PORT=tcp://10.0.0.11:80", "MAINSTAY_SERVICE_HOST=10.0.0.11", "MAINSTAY_SERVICE_PORT=80",
		"MAINSTAY_SERVICE_PORT_HTTP=80", "MAINSTAY_PORT_80_TCP=tcp://10.0.0.11:80",
		"MAINSTAY_PORT_80_TCP_PROTO=tcp", "MAINSTAY_PORT_80_TCP_PORT=80", "MAINSTAY_PORT_80_TCP_ADDR=10.0.0.11",
		"MAINSTAY_GATEWAY_PORT=udp://10.0.0.12:53", "MAINSTAY_GATEWAY_SERVICE_HOST=10.0.0.12");
	CHECK_INT(values_of(config)->number, 7);
	ms_config_free(config);
}

TEST(flags_take_all_forms)
{
	struct config *config = LOAD_FLAGS("--number", "-5", "--a.b.size=2KiB", "--quick", "--thing", "x,y",
					   "--thing=z", "--name=--odd", "--");
	const struct values *v = values_of(config);
	CHECK_INT(v->number, -5);
	CHECK_INT(v->size, 2048);
	CHECK(v->quick);
	CHECK_STR(v->name, "--odd");
	REQUIRE(v->things.count == 3);
	CHECK_STR(v->things.items[0], "x");
	CHECK_STR(v->things.items[2], "z");
	ms_config_free(config);
	config = LOAD_FLAGS("--number=1", "--number=2", "--quick=off", "--name=", "--thing=");
	CHECK_INT(values_of(config)->number, 2);
	CHECK(!values_of(config)->quick);
	CHECK_STR(values_of(config)->name, "");
	CHECK_INT(values_of(config)->things.count, 0);
	ms_config_free(config);
}

TEST(dump_is_a_settings_file_with_the_same_meaning)
{
	struct config *config = load("name: \"tab\\u2028 # quote\\\" \\\\ \\u0085 'x' \xf0\x9f\x98\x80\"\n"
				     "a: {quick: true, b: {number: 99, size: 1000}, pause: 1ms}\n"
				     "colour: off\nthings: [\"~\", \"null\", \"3\", \"a: b\", \"x,y\", \" pad \"]\n",
				     NULL, 0, NULL);
	REQUIRE(config != NULL);
	struct buf out;
	ms_buf_init(&out, 1 << 16);
	ms_config_dump_yaml(config, &out);
	ms_buf_append_char(&out, '\0');
	REQUIRE(ms_buf_ok(&out));
	CHECK_HAS(out.p, "a:\n  # secret: ");
	CHECK_HAS(out.p, "  b:\n    number: 99  # source: m.yaml:2, default: 7\n");
	CHECK_HAS(out.p, "colour: \"off\"  # source: m.yaml:3, default: red\n");
	struct config *again = load(out.p, NULL, 0, NULL);
	REQUIRE(again != NULL);
	for (size_t i = 0; i < table.count; i++)
		CHECK(!ms_config_differs(config, again, i));
	ms_config_free(again);
	ms_buf_clear(&out);
	ms_config_dump_json(config, &out);
	again = load(NULL, NULL, 1, (const char *[]){"--name=other"});
	CHECK(ms_config_differs(config, again, 0));
	ms_buf_append_char(&out, '\0');
	CHECK_HAS(out.p, "\"a.b.number\": {\"value\": 99, \"default\": 7, \"source\": \"m.yaml:2\"}");
	CHECK_HAS(
		out.p,
		"\"things\": {\"value\": [\"~\", \"null\", \"3\", \"a: b\", \"x,y\", \" pad \"], \"default\": [\"a\", "
		"\"b\"]");
	ms_buf_fini(&out);
	ms_config_free(again);
	ms_config_free(config);
}

TEST(file_names_of_any_bytes_do_not_break_the_dump)
{
	const struct config_input input = {.yaml = MS_SLICE_LIT("name: z\n"), .yaml_name = "a\nname: y\xff\xc2\x85"};
	struct config *config;
	REQUIRE(ms_config_load_table(&table, &input, NULL, &config) == MS_OK);
	check_source(config, "name", "a?name: y??:1");
	ms_config_free(config);
}

static void load_everything(void)
{
	const char *environment[] = {"PORT=2", "TOKEN_FILE=/run/secrets/token", "MAINSTAY_THINGS=a,b,c", NULL};
	const char *flags[] = {"--thing", "x,y", "--quick", "--number=1"};
	const struct config_input input = {
		.yaml = MS_SLICE_LIT("name: n\na: {b.number: 3}\nthings: [a, b]\n"),
		.yaml_name = "m.yaml",
		.environment = environment,
		.argc = (int)MS_ARRAY_LEN(flags),
		.argv = flags,
		.read_file = read_file,
	};
	struct errinfo info;
	ms_errinfo_init(&info);
	struct config *config = NULL;
	enum ms_err err = ms_config_load_table(&table, &input, &info, &config);
	CHECK_INT(err, ms_test_allocation_failed() ? MS_ERR_NO_MEMORY : MS_OK);
	CHECK_INT(info.code, err);
	CHECK((config != NULL) == (err == MS_OK));
	ms_config_free(config);
}

TEST(torture_loading)
{
	ms_test_torture(load_everything);
}
