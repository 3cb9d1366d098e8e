// SPDX-License-Identifier: Apache-2.0
#include "app/cli.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>

#define CLI_ARENA_MAX ((size_t)64 << 20)
#define SUGGESTIONS_MAX 256

// --- Messages ----------------------------------------------------------------------------------------

enum cli_exit ms_cli_fail(struct cli *cli, const struct errinfo *info)
{
	fprintf(cli->err, "mainstay: %s\n", info->message);
	return CLI_FAILED;
}

static enum cli_exit say(struct cli *cli, enum cli_exit status, const char *fmt, va_list args) MS_PRINTF(3, 0);
static enum cli_exit say(struct cli *cli, enum cli_exit status, const char *fmt, va_list args)
{
	char text[MS_ERRINFO_MESSAGE_SIZE];
	struct errinfo info;
	ms_errinfo_init(&info);
	vsnprintf(text, sizeof(text), fmt, args);
	(void)ms_fail(&info, MS_ERR_INVALID, "%s", text); // only for the printable text that it makes
	(void)ms_cli_fail(cli, &info);
	return status;
}

enum cli_exit ms_cli_failf(struct cli *cli, const char *fmt, ...)
{
	va_list args;
	va_start(args, fmt);
	enum cli_exit status = say(cli, CLI_FAILED, fmt, args);
	va_end(args);
	return status;
}

enum cli_exit ms_cli_usage(struct cli *cli, const char *fmt, ...)
{
	va_list args;
	va_start(args, fmt);
	enum cli_exit status = say(cli, CLI_USAGE, fmt, args);
	va_end(args);
	const struct cli_command *c = cli->command;
	if (c == NULL)
		fprintf(cli->err, "Try: mainstay help\n");
	else
		fprintf(cli->err, "Try: mainstay help %s%s%s\n", c->noun, c->verb != NULL ? " " : "",
			c->verb != NULL ? c->verb : "");
	return status;
}

enum cli_exit ms_cli_print(struct cli *cli, const struct buf *text)
{
	if (!ms_buf_ok(text))
		return ms_cli_failf(cli, "out of memory");
	// Output that did not arrive is told at the end; only the reason would be lost until then.
	errno = 0;
	if (fwrite(text->p, 1, text->n, cli->out) != text->n && cli->write_error == 0)
		cli->write_error = errno;
	return CLI_OK;
}

// "; did you mean …?" with the nearest of the names, or "".
static const char *hint(struct cli *cli, const char *name, const char *prefix, const struct slice *names, size_t count)
{
	size_t hit = ms_text_nearest(ms_slice_cstr(name), names, count);
	if (hit == SIZE_MAX)
		return "";
	const char *text = ms_arena_printf(&cli->arena, "; did you mean %s%.*s?", prefix, MS_SLICE_ARG(names[hit]));
	return text != NULL ? text : "";
}

// --- Options -----------------------------------------------------------------------------------------

static const struct cli_option help_option = {.name = "help", .help = "Show this help"};
static const struct cli_option config_option = {.name = "config", .value = "FILE", .help = "Settings file"};

const char *ms_cli_option(const struct cli *cli, const char *name)
{
	for (size_t i = 0; i < cli->command->option_count; i++) {
		if (strcmp(cli->command->options[i].name, name) == 0)
			return cli->values[i];
	}
	MS_UNREACHABLE(); // a command asks for its own options
}

struct slice ms_cli_option_text(const struct cli *cli, const char *name)
{
	return ms_slice_cstr(ms_cli_option(cli, name));
}

struct parser {
	struct cli *cli;
	int argc;
	const char *const *argv;
	int at;
	const char **flags;
	bool help;
};

// The option that an argument such as "--json" or "--out=FILE" names; `ret_slot` is where its value goes.
static const struct cli_option *find_option(struct parser *p, struct slice name, const char ***ret_slot)
{
	const struct cli_command *command = p->cli->command;
	for (size_t i = 0; i < command->option_count; i++) {
		if (ms_slice_eq_cstr(name, command->options[i].name)) {
			*ret_slot = &p->cli->values[i];
			return &command->options[i];
		}
	}
	if (command->settings && ms_slice_eq_cstr(name, config_option.name)) {
		*ret_slot = &p->cli->origin.config_path;
		return &config_option;
	}
	return NULL;
}

static enum cli_exit unknown_option(struct parser *p, struct slice name)
{
	struct slice names[SUGGESTIONS_MAX];
	size_t count = 0;
	const struct cli_command *command = p->cli->command;
	for (size_t i = 0; i < command->option_count; i++) {
		if (!command->options[i].hidden)
			names[count++] = ms_slice_cstr(command->options[i].name);
	}
	names[count++] = ms_slice_cstr(help_option.name);
	if (command->settings)
		names[count++] = ms_slice_cstr(config_option.name);
	for (size_t i = 0; command->settings && i < ms_config_count() && count + 2 <= SUGGESTIONS_MAX; i++) {
		struct setting_view view;
		ms_config_view(NULL, i, &view);
		if (view.flag[0] != '\0')
			names[count++] = ms_slice_cstr(view.flag + 2);
		names[count++] = ms_slice_cstr(view.key);
	}
	char text[128];
	snprintf(text, sizeof(text), "%.*s", MS_SLICE_ARG(name));
	return ms_cli_usage(p->cli, "unknown option --%s%s", text, hint(p->cli, text, "--", names, count));
}

// A setting given as a flag is handed on as it is; whether the next argument is its value is for config to say, which
// takes it unless it starts with "--".
static void take_setting(struct parser *p, size_t row)
{
	struct setting_view view;
	ms_config_view(NULL, row, &view);
	struct settings_origin *origin = &p->cli->origin;
	const char *arg = p->argv[p->at++];
	p->flags[origin->flag_count++] = arg;
	bool wants_value = strchr(arg, '=') == NULL && strcmp(view.kind, "boolean") != 0;
	if (wants_value && p->at < p->argc && strncmp(p->argv[p->at], "--", 2) != 0)
		p->flags[origin->flag_count++] = p->argv[p->at++];
}

static enum cli_exit take_option(struct parser *p)
{
	const char *arg = p->argv[p->at];
	struct slice whole = ms_slice_sub(ms_slice_cstr(arg), 2, SIZE_MAX);
	size_t equals = ms_slice_find(whole, '=');
	struct slice name = ms_slice_sub(whole, 0, equals);
	const char *value = equals < whole.n ? whole.p + equals + 1 : NULL;
	const char **slot;
	const struct cli_option *option = find_option(p, name, &slot);
	if (option == NULL) {
		size_t row = p->cli->command->settings ? ms_config_find_flag(ms_slice(arg, name.n + 2)) : SIZE_MAX;
		if (row == SIZE_MAX)
			return unknown_option(p, name);
		take_setting(p, row);
		return CLI_OK;
	}
	p->at++;
	if (option->value == NULL && value != NULL)
		return ms_cli_usage(p->cli, "--%s takes no value", option->name);
	if (*slot != NULL)
		return ms_cli_usage(p->cli, "--%s is given twice", option->name);
	if (option->value == NULL) {
		*slot = "";
		return CLI_OK;
	}
	if (value == NULL && (p->at == p->argc || strncmp(p->argv[p->at], "--", 2) == 0))
		return ms_cli_usage(p->cli, "--%s needs a value: --%s %s", option->name, option->name, option->value);
	*slot = value != NULL ? value : p->argv[p->at++];
	if ((*slot)[0] == '\0')
		return ms_cli_usage(p->cli, "--%s has an empty value; expected %s", option->name, option->value);
	return CLI_OK;
}

static enum cli_exit take_argument(struct parser *p)
{
	struct cli *cli = p->cli;
	const char *arg = p->argv[p->at++];
	const struct cli_command *c = cli->command;
	if (cli->argument_count == c->max_arguments)
		return ms_cli_usage(cli, "unexpected argument \"%.128s\"; %s%s%s takes %s%s", arg, c->noun,
				    c->verb != NULL ? " " : "", c->verb != NULL ? c->verb : "",
				    c->max_arguments > 0 ? "only " : "no arguments", c->arguments);
	cli->arguments[cli->argument_count++] = arg;
	return CLI_OK;
}

static enum cli_exit parse(struct parser *p)
{
	bool options = true;
	while (p->at < p->argc) {
		const char *arg = p->argv[p->at];
		enum cli_exit status = CLI_OK;
		if (options && strcmp(arg, "--") == 0) {
			options = false;
			p->at++;
		} else if (options && (strcmp(arg, "--help") == 0 || strcmp(arg, "-h") == 0)) {
			p->help = true;
			return CLI_OK;
		} else if (options && strncmp(arg, "--", 2) == 0) {
			status = take_option(p);
		} else if (options && arg[0] == '-' && arg[1] != '\0') {
			status = ms_cli_usage(p->cli, "unknown option %.128s; options have two dashes", arg);
		} else {
			status = take_argument(p);
		}
		if (status != CLI_OK)
			return status;
	}
	const struct cli_command *c = p->cli->command;
	if (p->cli->argument_count < c->min_arguments)
		return ms_cli_usage(p->cli, "too few arguments; expected: mainstay %s%s%s %s", c->noun,
				    c->verb != NULL ? " " : "", c->verb != NULL ? c->verb : "", c->arguments);
	return CLI_OK;
}

// --- Settings ----------------------------------------------------------------------------------------

struct printed {
	struct cli *cli;
	enum config_layer first;
	size_t count;
};

static void print_problem(const struct config_problem *problem, void *arg)
{
	struct printed *p = arg;
	if (p->count++ == 0)
		p->first = problem->layer;
	fprintf(p->cli->err, "mainstay: %s\n", problem->message);
}

enum cli_exit ms_cli_load_config(struct cli *cli, struct config **ret_config)
{
	MS_ASSERT(cli->command->settings);
	struct errinfo info;
	ms_errinfo_init(&info);
	struct printed printed = {.cli = cli};
	if (ms_settings_load(&cli->origin, print_problem, &printed, &info, ret_config) == MS_OK)
		return CLI_OK;
	if (printed.count == 0)
		return ms_cli_fail(cli, &info);
	return printed.first == CONFIG_FLAGS ? CLI_USAGE : CLI_FAILED;
}

// --- Commands ----------------------------------------------------------------------------------------

const struct cli_noun *ms_cli_find_noun(const struct cli_table *table, const char *name)
{
	for (size_t i = 0; i < table->noun_count; i++) {
		if (strcmp(table->nouns[i].name, name) == 0)
			return &table->nouns[i];
	}
	return NULL;
}

const struct cli_command *ms_cli_find_command(const struct cli_table *table, const char *noun, const char *verb)
{
	for (size_t i = 0; i < table->command_count; i++) {
		const struct cli_command *c = table->commands[i];
		bool same_verb = verb == NULL ? c->verb == NULL : c->verb != NULL && strcmp(c->verb, verb) == 0;
		if (same_verb && strcmp(c->noun, noun) == 0)
			return c;
	}
	return NULL;
}

static enum cli_exit unknown_noun(struct cli *cli, const char *name)
{
	const struct cli_table *table = cli->table;
	struct slice names[SUGGESTIONS_MAX] = {MS_SLICE_LIT("help")};
	size_t count = 1;
	for (size_t i = 0; i < table->command_count && count < SUGGESTIONS_MAX; i++) {
		const struct cli_command *c = table->commands[i];
		if (c->verb != NULL && strcmp(c->verb, name) == 0)
			return ms_cli_usage(cli, "unknown command \"%.128s\"; did you mean %s %s?", name, c->noun,
					    c->verb);
		if (!c->hidden)
			names[count++] = ms_slice_cstr(c->noun);
	}
	if (name[0] == '-')
		return ms_cli_usage(cli, "unknown option %.128s; options come behind the command", name);
	return ms_cli_usage(cli, "unknown command \"%.128s\"%s", name, hint(cli, name, "", names, count));
}

static enum cli_exit unknown_verb(struct cli *cli, const char *noun, const char *name)
{
	struct slice names[SUGGESTIONS_MAX];
	char list[512] = "";
	size_t count = 0, at = 0;
	for (size_t i = 0; i < cli->table->command_count && count < SUGGESTIONS_MAX; i++) {
		const struct cli_command *c = cli->table->commands[i];
		if (strcmp(c->noun, noun) != 0 || c->verb == NULL || c->hidden)
			continue;
		at += (size_t)snprintf(list + at, sizeof(list) - at, "%s%s", count > 0 ? ", " : "", c->verb);
		MS_ASSERT(at < sizeof(list));
		names[count++] = ms_slice_cstr(c->verb);
	}
	if (name == NULL)
		return ms_cli_usage(cli, "%s needs a verb: %s", noun, list);
	if (name[0] == '-')
		return ms_cli_usage(cli, "%s needs a verb before %.128s: %s", noun, name, list);
	const char *prefix = ms_arena_printf(&cli->arena, "%s ", noun);
	return ms_cli_usage(cli, "unknown command \"%s %.128s\"; the verbs are %s%s", noun, name, list,
			    hint(cli, name, prefix != NULL ? prefix : "", names, count));
}

// mainstay help [NOUN [VERB]]
static enum cli_exit run_help(struct cli *cli, int argc, const char *const *argv)
{
	if (argc == 0) {
		ms_cli_help_all(cli);
		return CLI_OK;
	}
	const struct cli_command *c = ms_cli_find_command(cli->table, argv[0], argc > 1 ? argv[1] : NULL);
	bool noun = ms_cli_find_noun(cli->table, argv[0]) != NULL;
	if (argc > 2)
		return ms_cli_usage(cli, "unexpected argument \"%.128s\"; expected: mainstay help NOUN VERB", argv[2]);
	if (c != NULL)
		ms_cli_help_command(cli, c);
	else if (noun && argc == 1)
		ms_cli_help_noun(cli, argv[0]);
	else if (strcmp(argv[0], "help") == 0)
		ms_cli_help_all(cli);
	else
		return noun ? unknown_verb(cli, argv[0], argv[1]) : unknown_noun(cli, argv[0]);
	return CLI_OK;
}

static enum cli_exit run_command(struct cli *cli, int argc, const char *const *argv)
{
	const char **flags = calloc((size_t)argc + 1, sizeof(*flags));
	if (flags == NULL)
		return ms_cli_failf(cli, "out of memory");
	struct parser p = {.cli = cli, .argc = argc, .argv = argv, .flags = flags};
	cli->origin.flags = flags;
	enum cli_exit status = parse(&p);
	if (status == CLI_OK && p.help)
		ms_cli_help_command(cli, cli->command);
	else if (status == CLI_OK)
		status = cli->command->run(cli);
	free(flags);
	return status;
}

static bool is_help(const char *arg)
{
	return strcmp(arg, "--help") == 0 || strcmp(arg, "-h") == 0;
}

static enum cli_exit dispatch(struct cli *cli, int argc, const char *const *argv)
{
	if (argc == 0 || is_help(argv[0]) || strcmp(argv[0], "help") == 0)
		return run_help(cli, MS_MAX(argc - 1, 0), argv + 1);
	const char *noun = strcmp(argv[0], "--version") == 0 || strcmp(argv[0], "-V") == 0 ? "version" : argv[0];
	cli->command = ms_cli_find_command(cli->table, noun, NULL);
	if (cli->command != NULL)
		return run_command(cli, argc - 1, argv + 1);
	if (ms_cli_find_noun(cli->table, noun) == NULL)
		return unknown_noun(cli, noun);
	if (argc == 1)
		return unknown_verb(cli, noun, NULL);
	if (is_help(argv[1]) || strcmp(argv[1], "help") == 0) {
		ms_cli_help_noun(cli, noun);
		return CLI_OK;
	}
	cli->command = ms_cli_find_command(cli->table, noun, argv[1]);
	return cli->command != NULL ? run_command(cli, argc - 2, argv + 2) : unknown_verb(cli, noun, argv[1]);
}

enum cli_exit ms_cli_main(const struct cli_table *table, int argc, const char *const *argv,
			  const char *const *environment, FILE *out, FILE *err)
{
	struct cli *cli = calloc(1, sizeof(*cli));
	if (cli == NULL) {
		fprintf(err, "mainstay: out of memory\n");
		return CLI_FAILED;
	}
	cli->out = out;
	cli->err = err;
	cli->table = table;
	cli->origin.environment = environment;
	ms_arena_init(&cli->arena, 4096, CLI_ARENA_MAX);
	// argv[0] is absent when the caller of exec says so.
	enum cli_exit status = dispatch(cli, argc > 0 ? argc - 1 : 0, argc > 0 ? argv + 1 : argv);
	errno = 0;
	if ((fflush(out) != 0 || ferror(out) != 0) && status == CLI_OK) {
		int error = cli->write_error != 0 ? cli->write_error : errno;
		status =
			ms_cli_failf(cli, "cannot write the output: %s", error != 0 ? strerror(error) : "write failed");
	}
	ms_arena_fini(&cli->arena);
	free(cli);
	return status;
}
