// SPDX-License-Identifier: Apache-2.0
// The command line: `mainstay <noun> <verb> [arguments] [options]`. A command is one struct cli_command beside its
// function, and one row in commands.def; parsing, help and suggestions come from the struct.
//
// Threads: the main thread alone; commands may block. Output goes to cli->out, everything else to cli->err.
#ifndef MS_APP_CLI_H
#define MS_APP_CLI_H

#include <stdio.h>

#include "app/settings.h"
#include "base/base.h"

// Exit status of the program.
enum cli_exit {
	CLI_OK = 0,
	CLI_FAILED = 1, // it was asked for correctly and did not work
	CLI_USAGE = 2,  // it was asked for wrongly: command, option, argument or flag
};

#define CLI_OPTIONS_MAX 16
#define CLI_ARGUMENTS_MAX 1024

struct cli_option {
	const char *name;  // without dashes: "json"
	const char *value; // what its value is, for help: "FILE"; NULL: a switch without value
	const char *help;
	bool hidden;
};

struct cli;
typedef enum cli_exit cli_run_fn(struct cli *cli);

struct cli_command {
	const char *noun;      // "config"
	const char *verb;      // "dump"; NULL: the noun alone is the command ("run")
	const char *arguments; // for help: "NAME [FILE]"; "" for none
	size_t min_arguments;
	size_t max_arguments; // at most CLI_ARGUMENTS_MAX
	const char *summary;  // one line
	const char *details;  // further help, lines ending in '\n'; NULL for none
	const struct cli_option *options;
	size_t option_count; // at most CLI_OPTIONS_MAX
	bool settings;       // takes --config and every setting as a flag; see ms_cli_load_config
	bool hidden;         // not in lists
	cli_run_fn *run;
};

struct cli_noun {
	const char *name;
	const char *summary;
};

struct cli_table {
	const struct cli_command *const *commands;
	size_t command_count;
	const struct cli_noun *nouns; // those with verbs
	size_t noun_count;
	const char *next_steps; // printed by `mainstay` alone, below the list
};
extern const struct cli_table ms_cli_table; // commands.c

struct cli {
	FILE *out;
	FILE *err;
	const struct cli_table *table;
	const struct cli_command *command;
	const char *arguments[CLI_ARGUMENTS_MAX];
	size_t argument_count;
	const char *values[CLI_OPTIONS_MAX]; // by option; NULL: not given; "" for a switch that is given
	struct settings_origin origin;       // environment, --config, settings given as flags
	int write_error;                     // errno of the first failed write, or 0
	struct arena arena;                  // for the command's use, 64 MiB at most
};

// Runs the command that argv (as given to main) names.
enum cli_exit ms_cli_main(const struct cli_table *table, int argc, const char *const *argv,
			  const char *const *environment, FILE *out, FILE *err);

// Value of an option of the command ("" for a switch), or NULL when it was not given.
const char *ms_cli_option(const struct cli *cli, const char *name);
struct slice ms_cli_option_text(const struct cli *cli, const char *name); // p == NULL when it was not given

// Loads and checks the settings. Each problem is printed; then CLI_FAILED, or CLI_USAGE when a flag was wrong.
MS_MUST_USE enum cli_exit ms_cli_load_config(struct cli *cli, struct config **ret_config);

// Print "mainstay: …" and return the status. Text that is not printable is shown as '?'.
enum cli_exit ms_cli_fail(struct cli *cli, const struct errinfo *info);
enum cli_exit ms_cli_failf(struct cli *cli, const char *fmt, ...) MS_PRINTF(2, 3);
// The same for a wrong use, with a pointer to the command's help.
enum cli_exit ms_cli_usage(struct cli *cli, const char *fmt, ...) MS_PRINTF(2, 3);
// Prints the buffer; a failed one (limit, memory) is a failure.
enum cli_exit ms_cli_print(struct cli *cli, const struct buf *text);

// help.c
void ms_cli_help_all(struct cli *cli);
void ms_cli_help_noun(struct cli *cli, const char *noun);
void ms_cli_help_command(struct cli *cli, const struct cli_command *command);
// A noun with verbs, or NULL.
const struct cli_noun *ms_cli_find_noun(const struct cli_table *table, const char *name);
// verb NULL: the command that is the noun alone.
const struct cli_command *ms_cli_find_command(const struct cli_table *table, const char *noun, const char *verb);

#endif
