// SPDX-License-Identifier: Apache-2.0
// The command line with commands of its own, the settings that must fit each other, roles, and what terminals show.
#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "app/cache.h"
#include "app/cli.h"
#include "app/measure.h"
#include "app/progress.h"
#include "app/reference.h"
#include "app/roles.h"
#include "app/settings.h"
#include "app/table.h"
#include "app/width.h"
#include "observe/observe.h"
#include "tests/lib/test.h"

// --- Commands ----------------------------------------------------------------------------------------

// Shows what the parser made of the command line.
static enum cli_exit run_show(struct cli *cli)
{
	for (size_t i = 0; i < cli->argument_count; i++)
		fprintf(cli->out, "<%s>", cli->arguments[i]);
	fprintf(cli->out, " json=%s out=%s", ms_cli_option(cli, "json") != NULL ? "yes" : "no",
		ms_cli_option(cli, "out") != NULL ? ms_cli_option(cli, "out") : "none");
	for (int i = 0; i < cli->origin.flag_count; i++)
		fprintf(cli->out, " %s", cli->origin.flags[i]);
	fprintf(cli->out, " config=%s", cli->origin.config_path != NULL ? cli->origin.config_path : "none");
	return CLI_OK;
}

static enum cli_exit run_load(struct cli *cli)
{
	struct config *config;
	enum cli_exit status = ms_cli_load_config(cli, &config);
	if (status != CLI_OK)
		return status;
	fprintf(cli->out, "port %lld", (long long)ms_config_settings(config)->http_port);
	ms_config_free(config);
	return CLI_OK;
}

static const struct cli_option options[] = {
	{.name = "json", .help = "JSON"},
	{.name = "out", .value = "FILE", .help = "Where to"},
	{.name = "trace", .help = "Secret", .hidden = true},
};
static const struct cli_command show = {.noun = "thing",
					.verb = "show",
					.arguments = "NAME [FILE]",
					.min_arguments = 1,
					.max_arguments = 2,
					.summary = "Shows it",
					.options = options,
					.option_count = MS_ARRAY_LEN(options),
					.settings = true,
					.run = run_show};
static const struct cli_command load = {
	.noun = "load", .arguments = "", .summary = "Loads", .settings = true, .run = run_load};
static const struct cli_command plain = {.noun = "thing",
					 .verb = "plain",
					 .arguments = "",
					 .summary = "Takes no settings",
					 .options = options,
					 .option_count = MS_ARRAY_LEN(options),
					 .run = run_show};
static const struct cli_command buried = {
	.noun = "thing", .verb = "buried", .arguments = "", .summary = "Unseen", .hidden = true, .run = run_load};
static const struct cli_command *const commands[] = {&load, &show, &plain, &buried};
static const struct cli_noun nouns[] = {{"thing", "Things"}};
static const struct cli_table table = {commands, MS_ARRAY_LEN(commands), nouns, MS_ARRAY_LEN(nouns), "Next: try.\n"};

struct outcome {
	enum cli_exit status;
	char out[8192];
	char err[8192];
};

static struct outcome last;

// The streams must not allocate under the counting allocator, so they write into fixed memory.
static void run_words(int argc, const char *const *argv, const char *const *environment)
{
	memset(&last, 0, sizeof(last));
	FILE *out = fmemopen(last.out, sizeof(last.out), "w"), *err = fmemopen(last.err, sizeof(last.err), "w");
	REQUIRE(out != NULL && err != NULL);
	last.status = ms_cli_main(&table, argc, argv, environment, out, err);
	fclose(out);
	fclose(err);
}
static const char *const no_variables[] = {NULL};
#define RUN(...)                                                                  \
	run_words((int)MS_ARRAY_LEN(((const char *[]){"mainstay", __VA_ARGS__})), \
		  (const char *[]){"mainstay", __VA_ARGS__}, no_variables)
// Refused as a wrong use, with this message.
#define CHECK_USAGE(message, ...)                               \
	do {                                                    \
		RUN(__VA_ARGS__);                               \
		CHECK_INT(last.status, CLI_USAGE);              \
		CHECK_STR(last.out, "");                        \
		CHECK_HAS(last.err, "mainstay: " message "\n"); \
	} while (0)

TEST(cli_parses_arguments_options_and_settings)
{
	RUN("thing", "show", "a", "--json", "--out=x", "--port", "80", "b", "--http.idle_timeout=3s", "--config",
	    "c.yaml");
	CHECK_INT(last.status, CLI_OK);
	CHECK_STR(last.out, "<a><b> json=yes out=x --port 80 --http.idle_timeout=3s config=c.yaml");
	CHECK_STR(last.err, "");
	RUN("thing", "show", "--out", "-", "-", "--", "--json");
	CHECK_STR(last.out, "<-><--json> json=no out=- config=none");
	RUN("thing", "show", "x", "--out=--json", "--port=");
	CHECK_STR(last.out, "<x> json=no out=--json --port= config=none");
	RUN("thing", "plain", "--json");
	CHECK_STR(last.out, " json=yes out=none config=none");
}

TEST(cli_refuses_wrong_use_with_the_nearest)
{
	CHECK_USAGE("unknown option --jsn; did you mean --json?", "thing", "show", "a", "--jsn");
	CHECK_USAGE("unknown option --prot; did you mean --port?", "thing", "show", "a", "--prot=1");
	CHECK_USAGE("unknown option --http.prot; did you mean --http.port?", "thing", "show", "a", "--http.prot=1");
	CHECK_USAGE("unknown option --port", "thing", "plain", "--port=1");
	CHECK_USAGE("unknown option --config", "thing", "plain", "--config=x");
	CHECK_USAGE("unknown option --trac", "thing", "show", "a", "--trac"); // hidden ones are not suggested
	CHECK_USAGE("unknown option -j; options have two dashes", "thing", "show", "a", "-j");
	CHECK_USAGE("--json takes no value", "thing", "show", "a", "--json=yes");
	CHECK_USAGE("--json is given twice", "thing", "show", "a", "--json", "--json");
	CHECK_USAGE("--out needs a value: --out FILE", "thing", "show", "a", "--out");
	CHECK_USAGE("--out needs a value: --out FILE", "thing", "show", "a", "--out", "--json");
	CHECK_USAGE("--config has an empty value; expected FILE", "thing", "show", "a", "--config=");
	CHECK_USAGE("too few arguments; expected: mainstay thing show NAME [FILE]", "thing", "show");
	CHECK_USAGE("unexpected argument \"c\"; thing show takes only NAME [FILE]", "thing", "show", "a", "b", "c");
	CHECK_USAGE("unexpected argument \"x\"; load takes no arguments", "load", "x");
	CHECK_USAGE("unknown command \"thign\"; did you mean thing?", "thign");
	CHECK_USAGE("unknown command \"zebra\"", "zebra");
	CHECK_USAGE("unknown command \"\"", "");
	CHECK_USAGE("unknown command \"show\"; did you mean thing show?", "show", "a");
	CHECK_USAGE("unknown command \"thing shwo\"; the verbs are show, plain; did you mean thing show?", "thing",
		    "shwo");
	CHECK_USAGE("thing needs a verb: show, plain", "thing");
	CHECK_USAGE("thing needs a verb before --json: show, plain", "thing", "--json", "show");
	CHECK_USAGE("unknown option --port; options come behind the command", "--port", "load");
	CHECK_USAGE("unknown command \"?[31m\"", "\x1b[31m"); // no terminal codes from outside
	CHECK_HAS(last.err, "\nTry: mainstay help\n");
	CHECK_USAGE("unknown option --?", "thing", "show", "--\xff");
	CHECK_HAS(last.err, "\nTry: mainstay help thing show\n");
}

TEST(cli_help_is_everywhere)
{
	RUN("--help");
	CHECK_HAS(last.out, "usage: mainstay COMMAND");
	CHECK_HAS(last.out, "  thing show          Shows it\n");
	CHECK_HAS(last.out, "Next: try.\n");
	CHECK(strstr(last.out, "buried") == NULL);
	char all[sizeof(last.out)];
	memcpy(all, last.out, sizeof(all));
	RUN("help");
	CHECK_STR(last.out, all);
	run_words(1, (const char *[]){"mainstay"}, no_variables);
	CHECK_STR(last.out, all);
	CHECK_INT(last.status, CLI_OK);
	run_words(0, (const char *[]){NULL}, no_variables);
	CHECK_STR(last.out, all);
	RUN("help", "thing");
	CHECK_HAS(last.out, "usage: mainstay thing VERB");
	RUN("thing", "--help");
	CHECK_HAS(last.out, "usage: mainstay thing VERB");
	RUN("help", "thing", "show");
	CHECK_HAS(last.out, "usage: mainstay thing show NAME [FILE] [OPTIONS]\n\nShows it\n");
	CHECK_HAS(last.out, "  --out FILE          Where to\n");
	CHECK_HAS(last.out, "  --port  ");
	CHECK(strstr(last.out, "trace") == NULL || strstr(last.out, "  --trace") == NULL);
	RUN("thing", "show", "a", "-h");
	CHECK_HAS(last.out, "usage: mainstay thing show");
	RUN("load", "--help");
	CHECK_HAS(last.out, "usage: mainstay load [OPTIONS]");
	RUN("help", "load");
	CHECK_HAS(last.out, "usage: mainstay load [OPTIONS]");
	CHECK_USAGE("unknown command \"lod\"; did you mean load?", "help", "lod");
	CHECK_USAGE("unknown command \"thing x\"; the verbs are show, plain", "help", "thing", "x");
	CHECK_USAGE("unexpected argument \"x\"; expected: mainstay help NOUN VERB", "help", "thing", "show", "x");
}

TEST(cli_loads_settings_and_tells_whose_fault)
{
	char yaml[512], option[600], variable[600];
	snprintf(yaml, sizeof(yaml), "%s/m.yaml", ms_test_temp_dir());
	snprintf(option, sizeof(option), "--config=%s", yaml);
	snprintf(variable, sizeof(variable), "MAINSTAY_CONFIG=%s", yaml);
	FILE *f = fopen(yaml, "w");
	REQUIRE(f != NULL);
	fputs("http.port: 81\nroles: [ml]\n", f);
	fclose(f);
	RUN("load", option);
	CHECK_STR(last.err, "");
	CHECK_STR(last.out, "port 81");
	run_words(2, (const char *[]){"mainstay", "load"}, (const char *[]){variable, NULL});
	CHECK_STR(last.out, "port 81");
	run_words(3, (const char *[]){"mainstay", "load", "--port=82"}, (const char *[]){variable, "PORT=83", NULL});
	CHECK_STR(last.out, "port 82");
	RUN("load", option, "--port=x");
	CHECK_INT(last.status, CLI_USAGE);
	CHECK_HAS(last.err, "mainstay: --port: \"x\" is not a whole number");
	RUN("load", option, "--roles=mll");
	CHECK_INT(last.status, CLI_USAGE);
	CHECK_HAS(last.err, "mainstay: flag --roles: roles: \"mll\" is not a role; did you mean ml?");
	f = fopen(yaml, "w");
	REQUIRE(f != NULL);
	fputs("http:\n  listen: [\"nowhere\"]\n\nroles: [gate]\n", f);
	fclose(f);
	RUN("load", option);
	CHECK_INT(last.status, CLI_FAILED);
	CHECK_HAS(last.err, "m.yaml:4: roles: \"gate\" is not a role; the roles are all, ml");
	CHECK_HAS(last.err, "m.yaml:2: http.listen: \"nowhere\" has no port");
	RUN("load", "--config=/nonexistent/x.yaml");
	CHECK_INT(last.status, CLI_FAILED);
	CHECK_HAS(last.err, "mainstay: settings file /nonexistent/x.yaml: ");
	REQUIRE(unlink(yaml) == 0);
}

static void run_tortured(void)
{
	RUN("thing", "show", "a", "--json", "--port=1");
	if (ms_test_allocation_failed())
		CHECK(last.status == CLI_FAILED || last.status == CLI_OK);
	else
		CHECK_INT(last.status, CLI_OK);
	RUN("thing", "shwo");
	CHECK(last.status != CLI_OK);
}

TEST(torture_the_command_line)
{
	ms_test_torture(run_tortured);
}

// --- Settings that must fit each other -----------------------------------------------------------------

// The addresses joined by blanks, or the message.
static const char *listen_of(const char *flags[], int count)
{
	static char text[1024];
	const struct config_input input = {.argc = count, .argv = flags};
	struct config *config;
	struct errinfo info;
	struct arena arena;
	struct string_list list;
	ms_errinfo_init(&info);
	ms_arena_init(&arena, 256, 1 << 16);
	REQUIRE(ms_config_load(&input, &info, &config) == MS_OK);
	text[0] = '\0';
	if (ms_settings_listen(ms_config_settings(config), &arena, &info, &list) != MS_OK)
		snprintf(text, sizeof(text), "%s", info.message);
	else
		for (size_t i = 0; i < list.count; i++) {
			size_t at = strlen(text);
			snprintf(text + at, sizeof(text) - at, "%s%s", i > 0 ? " " : "", list.items[i]);
		}
	ms_arena_fini(&arena);
	ms_config_free(config);
	return text;
}
#define LISTEN(...) listen_of((const char *[]){__VA_ARGS__}, (int)MS_ARRAY_LEN(((const char *[]){__VA_ARGS__})))

TEST(listen_addresses)
{
	static const char rest[] =
		"; expected host:port, [ipv6]:port, :port or unix:/path, with https:// in front for TLS";
	CHECK_STR(LISTEN("--threads=1"), "127.0.0.1:8080");
	CHECK_STR(LISTEN("--port=80"), "127.0.0.1:80");
	CHECK_STR(LISTEN("--listen=[::1]:1,unix:/x,http://a.b:2,:0", "--port=0"), "[::1]:1 unix:/x a.b:2 :0");
	CHECK_STR(LISTEN("--listen=[::1]:1,unix:/x,localhost:2", "--port=9"), "[::1]:9 unix:/x localhost:9");
	CHECK_STR(LISTEN("--listen=https://:443", "--tls-cert=c", "--tls-key=k"), "https://:443");
	CHECK_STR(LISTEN("--listen=:0,:0"), ":0 :0"); // each gets a free port of its own
	static const struct {
		const char *flag, *what;
	} bad[] = {
		{"localhost", "has no port"},
		{":", "has no port from 0 to 65535"},
		{":65536", "has no port from 0 to 65535"},
		{":-1", "has no port from 0 to 65535"},
		{":8080/x", "has no port from 0 to 65535"},
		{"::1:80", "looks like IPv6; put its address in brackets"},
		{"ftp://h:1", "looks like IPv6; put its address in brackets"},
		{"a b:80", "is not an address"},
		{"unix:", "needs an absolute path"},
		{"unix:x", "needs an absolute path"},
		{"https://:443", "needs http.tls.cert and http.tls.key"},
	};
	for (size_t i = 0; i < MS_ARRAY_LEN(bad); i++) {
		char flag[64], message[256];
		snprintf(flag, sizeof(flag), "--listen=%s", bad[i].flag);
		snprintf(message, sizeof(message), "http.listen: \"%s\" %s%s", bad[i].flag, bad[i].what, rest);
		CHECK_STR(LISTEN(flag), message);
	}
	CHECK_STR(LISTEN("--listen="), "http.listen: the list is empty; expected at least one address");
	CHECK_STR(LISTEN("--listen=:80,https://:80", "--tls-cert=c", "--tls-key=k"),
		  "http.listen: \":80\" and \"https://:80\" both mean :80");
	CHECK_STR(LISTEN("--listen=:80,:81", "--port=9"),
		  "http.listen: \":80\" and \":81\" both mean :9 (http.port replaces their ports)");
	CHECK_STR(LISTEN("--tls-cert=c", "--tls-key=k"), "http.listen: no address starts with https:// although "
							 "http.tls.cert is set, so nothing would be encrypted");
	char flag[200] = "--listen=unix:/";
	memset(flag + 15, 'x', 106);
	CHECK_STR(LISTEN(flag), flag + 9);
	flag[121] = 'x';
	CHECK_HAS(LISTEN(flag), "has a longer path than a socket can (107 bytes)");
}

TEST(settings_are_checked_together)
{
	struct config *config;
	struct errinfo info;
	const char *flags[] = {"--tls-cert=c", "--listen=https://:1"};
	const struct settings_origin cert = {.config_path = "/dev/null", .flags = flags, .flag_count = 2};
	ms_errinfo_init(&info);
	CHECK_INT(ms_settings_load(&cert, NULL, NULL, &info, &config), MS_ERR_IO); // no regular file
	char yaml[512];
	snprintf(yaml, sizeof(yaml), "%s/empty.yaml", ms_test_temp_dir());
	fclose(fopen(yaml, "w"));
	struct settings_origin origin = {.config_path = yaml, .flags = flags, .flag_count = 2};
	CHECK_INT(ms_settings_load(&origin, NULL, NULL, &info, &config), MS_ERR_CONFIG);
	CHECK_STR(info.message, "flag --tls-cert: http.tls.cert is set but http.tls.key is not; set both or none");
	flags[0] = "--tls-key=k";
	CHECK_INT(ms_settings_load(&origin, NULL, NULL, &info, &config), MS_ERR_CONFIG);
	CHECK_STR(info.message, "flag --tls-key: http.tls.key is set but http.tls.cert is not; set both or none");
	flags[0] = "--data-dir=";
	origin.flag_count = 1;
	CHECK_INT(ms_settings_load(&origin, NULL, NULL, &info, &config), MS_ERR_CONFIG);
	CHECK_STR(info.message, "flag --data-dir: data_dir: is empty; expected a folder");
}

TEST(addresses_of_the_cache_are_checked)
{
	static const struct {
		const char *environment, *says;
	} cases[] = {
		{"REDIS_HOST=cache", NULL},
		{"REDIS_HOST=cache:7000", NULL},
		{"REDIS_HOST=::1", NULL},
		{"REDIS_HOST=[::1]:7000", NULL},
		{"REDIS_URL=unix:///run/redis.sock", NULL},
		{"REDIS_HOST=cache:70000",
		 "REDIS_HOST: cache.host: the address of Redis: the port must be a number from 1 to 65535"},
		{"REDIS_URL=rediss://:hush@h", "no TLS"},
		{"REDIS_URL=h", "REDIS_URL: cache.url: the address of Redis: it must begin with redis:// or unix://"},
	};
	char yaml[512];
	snprintf(yaml, sizeof(yaml), "%s/empty.yaml", ms_test_temp_dir());
	fclose(fopen(yaml, "w"));
	for (size_t i = 0; i < MS_ARRAY_LEN(cases); i++) {
		const char *environment[] = {cases[i].environment, NULL};
		const struct settings_origin origin = {.config_path = yaml, .environment = environment};
		struct config *config = NULL;
		struct errinfo info;
		ms_errinfo_init(&info);
		enum ms_err err = ms_settings_load(&origin, NULL, NULL, &info, &config);
		CHECK_INT(err, cases[i].says == NULL ? MS_OK : MS_ERR_CONFIG);
		CHECK_HAS(info.message, cases[i].says != NULL ? cases[i].says : "");
		CHECK(strstr(info.message, "hush") == NULL);
		if (err == MS_OK)
			ms_config_free(config);
	}
}

TEST(the_cache_is_opened_once_and_says_how_it_is)
{
	struct config *config;
	char yaml[512], path[512], text[4096] = "";
	struct app app = {0};
	snprintf(yaml, sizeof(yaml), "%s/replicas.yaml", ms_test_temp_dir());
	snprintf(path, sizeof(path), "%s/log", ms_test_temp_dir());
	FILE *file = fopen(yaml, "w");
	REQUIRE(file != NULL);
	fprintf(file, "replicas: 3\nauth: false\nstore:\n  url: postgres://h/d\n");
	fclose(file);
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	const struct settings_origin origin = {.config_path = yaml};
	const struct log_options log = {.level = LOG_INFO, .fd = fd, .service = "t", .version = "0"};
	CHECK_OK(ms_settings_load(&origin, NULL, NULL, NULL, &config));
	app.settings = ms_config_settings(config);
	REQUIRE(fd >= 0 && ms_rt_new(&(struct rt_options){.loops = 1}, NULL, &app.rt) == MS_OK);
	REQUIRE(ms_log_new(&log, NULL, &app.log) == MS_OK);
	CHECK_OK(ms_app_open_cache(&app, NULL));
	CHECK_OK(ms_app_open_cache(&app, NULL));
	REQUIRE(app.cache != NULL);
	CHECK_INT(app.check_count, 1);
	struct health_report report;
	app.checks[0].fn(app.checks[0].arg, NULL, &report);
	CHECK_INT(report.health, HEALTH_OK);
	CHECK_STR(report.message, "memory");
	ms_log_flush(app.log);
	CHECK(pread(fd, text, sizeof(text) - 1, 0) > 0);
	CHECK_HAS(text, "limits count per process");
	ms_cache_stop(app.cache);
	ms_rt_free(app.rt);
	ms_cache_free(app.cache);
	ms_log_free(app.log);
	ms_config_free(config);
	close(fd);
}

// Choices are kept as indexes; these become enums of observe.
TEST(choices_match_the_enums_they_become)
{
	static const struct {
		const char *flag;
		int level, format;
	} wanted[] = {
		{"--log-level=trace", LOG_TRACE, LOG_FORMAT_AUTO}, {"--log-level=debug", LOG_DEBUG, LOG_FORMAT_AUTO},
		{"--log-level=info", LOG_INFO, LOG_FORMAT_AUTO},   {"--log-level=warn", LOG_WARN, LOG_FORMAT_AUTO},
		{"--log-level=error", LOG_ERROR, LOG_FORMAT_AUTO}, {"--log-level=off", LOG_OFF, LOG_FORMAT_AUTO},
		{"--log-format=json", LOG_INFO, LOG_FORMAT_JSON},  {"--log-format=text", LOG_INFO, LOG_FORMAT_TEXT},
	};
	for (size_t i = 0; i < MS_ARRAY_LEN(wanted); i++) {
		const struct config_input input = {.argc = 1, .argv = &wanted[i].flag};
		struct config *config;
		REQUIRE(ms_config_load(&input, NULL, &config) == MS_OK);
		CHECK_INT(ms_config_settings(config)->log_level, wanted[i].level);
		CHECK_INT(ms_config_settings(config)->log_format, wanted[i].format);
		ms_config_free(config);
	}
}

TEST(roles_are_a_set_of_known_names)
{
	struct errinfo info;
	uint32_t set = 0;
	ms_errinfo_init(&info);
	CHECK_OK(ms_roles_parse((struct string_list){(const char *[]){"all"}, 1}, &info, &set));
	CHECK_INT(set, (1U << ms_role_count()) - 1);
	CHECK_OK(ms_roles_parse((struct string_list){(const char *[]){"ml", "ml"}, 2}, &info, &set));
	CHECK_INT(set, 1);
	CHECK_STR(ms_role(0)->name, "ml");
	set = 77;
	CHECK_INT(ms_roles_parse((struct string_list){(const char *[]){"ml", "consol"}, 2}, &info, &set),
		  MS_ERR_CONFIG);
	CHECK_HAS(info.message,
		  "roles: \"consol\" is not a role; did you mean console? The roles are all, ml, console, auth");
	CHECK_INT(ms_roles_parse((struct string_list){NULL, 0}, &info, &set), MS_ERR_CONFIG);
	CHECK_STR(info.message, "roles: the list is empty; \"all\" runs every role");
	CHECK_INT(set, 77);
}

// --- Terminals -----------------------------------------------------------------------------------------

TEST(width_counts_columns)
{
	CHECK_INT(ms_width_of(MS_SLICE_LIT("")), 0);
	CHECK_INT(ms_width_of(MS_SLICE_LIT("abc")), 3);
	CHECK_INT(ms_width_of(MS_SLICE_LIT("J\xc3\xbcrgen")), 6);
	CHECK_INT(ms_width_of(MS_SLICE_LIT("Ju\xcc\x88rgen")), 6);           // combining diaeresis
	CHECK_INT(ms_width_of(MS_SLICE_LIT("\xe6\x97\xa5\xe6\x9c\xac")), 4); // two ideographs
	CHECK_INT(ms_width_of(MS_SLICE_LIT("\xf0\x9f\x98\x80!")), 3);
	CHECK_INT(ms_width_of(MS_SLICE_LIT("\x1b[31m\xff")), 6);
	struct buf out;
	ms_buf_init(&out, 1024);
	ms_width_append(&out, MS_SLICE_LIT("a\x1b[2J\xc2\x9b\xe2\x80\xae\xff"), 100);
	CHECK_SLICE(ms_buf_slice(&out), "a?[2J???");
	ms_buf_clear(&out);
	ms_width_append(&out, MS_SLICE_LIT("\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e"), 4);
	CHECK_SLICE(ms_buf_slice(&out), "\xe6\x97\xa5\xe2\x80\xa6");
	ms_buf_fini(&out);
	CHECK_INT(ms_width_of_terminal(stdin) == 0, isatty(0) == 0);
}

TEST(tables_align_and_become_json)
{
	static const struct table_column columns[] = {
		{"NAME", "name", TABLE_TEXT}, {"SIZE", "size", TABLE_NUMBER}, {"NOTE", "note", TABLE_TEXT}};
	struct arena arena;
	struct table t;
	struct buf out;
	ms_arena_init(&arena, 1024, 1 << 20);
	ms_buf_init(&out, 1 << 16);
	ms_table_init(&t, &arena, columns, MS_ARRAY_LEN(columns));
	CHECK_OK(ms_table_add(&t, (const char *[]){"\xe6\x97\xa5\xe6\x9c\xac", "7", "x"}));
	CHECK_OK(ms_table_add(&t, (const char *[]){"a \"b\"\n", "12345", "a rather long note"}));
	CHECK_OK(ms_table_add(&t, (const char *[]){"c", NULL, NULL}));
	ms_table_write_text(&t, 0, &out);
	CHECK_SLICE(ms_buf_slice(&out), "NAME     SIZE  NOTE\n"
					"\xe6\x97\xa5\xe6\x9c\xac        7  x\n"
					"a \"b\"?  12345  a rather long note\n"
					"c           -  -\n");
	ms_buf_clear(&out);
	ms_table_write_text(&t, 20, &out);
	CHECK_SLICE(ms_buf_slice(&out), "NAME     SIZE  NOTE\n"
					"\xe6\x97\xa5\xe6\x9c\xac        7  x\n"
					"a \"b\"?  12345  a ra\xe2\x80\xa6\n"
					"c           -  -\n");
	ms_buf_clear(&out);
	ms_table_write_json(&t, &out);
	CHECK_SLICE(ms_buf_slice(&out), "[{\"name\":\"\xe6\x97\xa5\xe6\x9c\xac\",\"size\":7,\"note\":\"x\"},"
					"{\"name\":\"a \\\"b\\\"\\n\",\"size\":12345,\"note\":\"a rather long note\"},"
					"{\"name\":\"c\",\"size\":null,\"note\":null}]\n");
	ms_buf_fini(&out);
	ms_arena_fini(&arena);
}

static const char *progress_line(const struct progress *p, double seconds, size_t width)
{
	static char text[512];
	struct buf out;
	ms_buf_init(&out, sizeof(text) - 1);
	ms_progress_format(p, (int64_t)(seconds * 1e9), width, &out);
	CHECK(ms_buf_ok(&out));
	memcpy(text, out.p, out.n);
	text[out.n] = '\0';
	ms_buf_fini(&out);
	return text;
}

TEST(progress_shows_share_rate_and_time_left)
{
	struct progress p = {.label = "upload", .unit = PROGRESS_BYTES, .total = 400 << 20, .done = 100 << 20};
	CHECK_STR(progress_line(&p, 2, 70), "upload  [=====>              ]   25 %  100.0 MiB  50.0 MiB/s  ETA 0:06");
	CHECK_STR(progress_line(&p, 2, 50), "upload   25 %  100.0 MiB  50.0 MiB/s  ETA 0:06");
	CHECK_INT(ms_width_of(ms_slice_cstr(progress_line(&p, 2, 12))), 12);
	p.done = 0;
	CHECK_STR(progress_line(&p, 0, 40), "upload  [>          ]    0 %  0 B  0 B/s");
	p.done = p.total;
	CHECK_HAS(progress_line(&p, 4000, 45), "100 %");
	struct progress share = {.label = "bench", .unit = PROGRESS_SHARE, .total = 4, .done = 1};
	CHECK_STR(progress_line(&share, 2, 50), "bench  [======>                 ]   25 %  ETA 0:06");
	p.done = 1;
	CHECK_HAS(progress_line(&p, 4000, 60), "ETA over 99 h");
	p = (struct progress){.label = "rows", .unit = PROGRESS_ITEMS, .total = 0, .done = 5000};
	CHECK_STR(progress_line(&p, 2, 60), "rows  5000  2500/s");
	p.total = 100; // more than was announced
	CHECK_HAS(progress_line(&p, 2, 60), "100 %");
	p = (struct progress){.label = "rows", .unit = PROGRESS_ITEMS, .total = 36000000, .done = 1000};
	CHECK_HAS(progress_line(&p, 1, 60), "ETA 9:59:59");
}

// Feeds ten updates, each as if the last was long ago, so that each is due.
static void feed_progress(FILE *f)
{
	struct progress p;
	ms_progress_begin(&p, f, "rows", PROGRESS_ITEMS, 10);
	for (uint64_t i = 1; i <= 10; i++) {
		p.shown_ns -= 1000000000;
		ms_progress_update(&p, i);
	}
	ms_progress_end(&p);
}

TEST(progress_is_silent_where_nobody_looks)
{
	char text[4096] = "";
	FILE *f = fmemopen(text, sizeof(text), "w");
	REQUIRE(f != NULL);
	feed_progress(f);
	fclose(f);
	CHECK_STR(text, "");
}

TEST(progress_rewrites_one_line_on_a_terminal)
{
	int parent = posix_openpt(O_RDWR | O_NOCTTY);
	char name[64], text[4096];
	REQUIRE(parent >= 0 && grantpt(parent) == 0 && unlockpt(parent) == 0);
	REQUIRE(ptsname_r(parent, name, sizeof(name)) == 0);
	FILE *f = fopen(name, "w");
	REQUIRE(f != NULL);
	const struct winsize size = {.ws_row = 24, .ws_col = 60};
	REQUIRE(ioctl(fileno(f), TIOCSWINSZ, &size) == 0);
	CHECK_INT(ms_width_of_terminal(f), 60);
	feed_progress(f);
	// The terminal hands on in pieces: read until the last thing written is there.
	size_t n = 0;
	struct pollfd readable = {.fd = parent, .events = POLLIN};
	text[0] = '\0';
	while (strstr(text, "100 %") == NULL || n < 4 || strcmp(text + n - 4, "\r\x1b[K") != 0) {
		REQUIRE(n < sizeof(text) - 1 && poll(&readable, 1, 10000) == 1);
		ssize_t got = read(parent, text + n, sizeof(text) - 1 - n);
		REQUIRE(got > 0);
		n += (size_t)got;
		text[n] = '\0';
	}
	fclose(f);
	close(parent);
	CHECK_HAS(text, "\r\x1b[Krows  [");
	CHECK_HAS(text, " 10 %  1  ");
	CHECK_HAS(text, "100 %  10  ");
	CHECK(strchr(text, '\n') == NULL);
}

// --- Documentation -------------------------------------------------------------------------------------

TEST(configuration_document_is_current)
{
	struct buf out;
	ms_buf_init(&out, 1 << 20);
	ms_reference_markdown(&out);
	struct slice document = ms_test_file("docs/configuration.md");
	if (!ms_slice_eq(document, ms_buf_slice(&out)))
		printf("# run: mainstay config reference --markdown > docs/configuration.md\n");
	CHECK(ms_slice_eq(document, ms_buf_slice(&out)));
	ms_buf_fini(&out);
}

// --- Measuring -----------------------------------------------------------------------------------------

TEST(measure_compares_bits)
{
	static const char text[] =
		"{\"format\":\"mainstay-linear\",\"version\":1,\"coefficients\":[2,-1],\"intercepts\":1}";
	double values[] = {1, 2, 3, 4, (double)NAN, 1}, want[] = {1, 3, (double)-NAN};
	const struct feature_matrix rows = {.values = values, .rows = 3, .columns = 2};
	struct model *model = NULL;
	bool same = false;
	REQUIRE(ms_model_load(MS_SLICE_LIT(text), MODEL_FORMAT_AUTO, NULL, NULL, &model) == MS_OK);
	struct measure m = {.model = model, .output = MODEL_OUTPUT_DEFAULT, .rows = &rows};
	CHECK_OK(ms_measure_same_bits(&m, want, NULL, &same));
	CHECK(same); // NaN are all alike
	want[1] = nextafter(3, 4);
	CHECK_OK(ms_measure_same_bits(&m, want, NULL, &same));
	CHECK(!same);
	CHECK(ms_measure_takes_batch(&m, 3, 8) && !ms_measure_takes_batch(&m, 4, 1));
	ms_model_unref(model);
}

TEST(measure_times_a_model)
{
	static const char text[] = "{\"format\":\"mainstay-linear\",\"version\":1,\"coefficients\":[2,-1]}";
	double values[] = {1, 2, 3, 4};
	const struct feature_matrix rows = {.values = values, .rows = 2, .columns = 2};
	struct progress progress = {.total = 1000};
	struct model *model = NULL;
	struct measure_latency latency = {0};
	struct measure_throughput throughput = {0};
	REQUIRE(ms_model_load(MS_SLICE_LIT(text), MODEL_FORMAT_AUTO, NULL, NULL, &model) == MS_OK);
	struct measure m = {.model = model, .output = MODEL_OUTPUT_DEFAULT, .rows = &rows, .progress = &progress};
	int64_t start = ms_clock_mono_ns();
	CHECK_OK(ms_measure_latency(&m, 0.01, NULL, &latency));
	CHECK(latency.count > 0 && latency.p50_ns <= latency.p99_ns && latency.p99_ns <= latency.max_ns);
	CHECK_OK(ms_measure_throughput(&m, 2, 2, 0.01, NULL, &throughput));
	CHECK(throughput.rows_per_second > 0 && throughput.median_row_ns > 0);
	CHECK(ms_clock_mono_ns() - start >= 20000000);
	CHECK_INT(m.before_ms, 20);
	CHECK_INT(progress.done, 20);
	ms_model_unref(model);
}
