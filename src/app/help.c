// SPDX-License-Identifier: Apache-2.0
// Help texts, made from the commands' own tables.
#include "app/cli.h"

#define NAME_WIDTH 22

static void print_name(FILE *out, const char *a, const char *b, const char *summary)
{
	int n = fprintf(out, "  %s%s%s", a, b != NULL ? " " : "", b != NULL ? b : "");
	fprintf(out, "%*s%s\n", n < NAME_WIDTH ? NAME_WIDTH - n : 1, "", summary);
}

void ms_cli_help_all(struct cli *cli)
{
	fprintf(cli->out,
		"Mainstay %s: machine learning in production, one program.\n\n"
		"usage: mainstay COMMAND [ARGUMENTS] [OPTIONS]\n\n",
		MAINSTAY_VERSION);
	const char *noun = "";
	for (size_t i = 0; i < cli->table->command_count; i++) {
		const struct cli_command *c = cli->table->commands[i];
		if (c->hidden)
			continue;
		const struct cli_noun *group = c->verb != NULL ? ms_cli_find_noun(cli->table, c->noun) : NULL;
		if (group != NULL && strcmp(noun, c->noun) != 0)
			fprintf(cli->out, "%s\n", group->summary);
		print_name(cli->out, c->noun, c->verb, c->summary);
		noun = c->noun;
	}
	fprintf(cli->out, "\n%s", cli->table->next_steps);
}

void ms_cli_help_noun(struct cli *cli, const char *noun)
{
	fprintf(cli->out, "usage: mainstay %s VERB [ARGUMENTS] [OPTIONS]\n\n%s\n", noun,
		ms_cli_find_noun(cli->table, noun)->summary);
	for (size_t i = 0; i < cli->table->command_count; i++) {
		const struct cli_command *c = cli->table->commands[i];
		if (strcmp(c->noun, noun) == 0 && c->verb != NULL && !c->hidden)
			print_name(cli->out, c->noun, c->verb, c->summary);
	}
	fprintf(cli->out, "\nMore: mainstay help %s VERB\n", noun);
}

static void print_option(FILE *out, const struct cli_option *option)
{
	if (option->hidden)
		return;
	int n = fprintf(out, "  --%s%s%s", option->name, option->value != NULL ? " " : "",
			option->value != NULL ? option->value : "");
	fprintf(out, "%*s%s\n", n < NAME_WIDTH ? NAME_WIDTH - n : 1, "", option->help);
}

// The settings that have a flag of their own; the others are named by their keys.
static void print_settings(FILE *out)
{
	fprintf(out, "\nSettings\n");
	for (size_t i = 0; i < ms_config_count(); i++) {
		struct setting_view view;
		ms_config_view(NULL, i, &view);
		if (view.flag[0] == '\0')
			continue;
		int n = fprintf(out, "  %s", view.flag);
		fprintf(out, "%*s%s", n < NAME_WIDTH ? NAME_WIDTH - n : 1, "", view.help);
		fprintf(out, view.default_text[0] != '\0' ? " (%s)\n" : "%s\n", view.default_text);
	}
	fprintf(out, "\nEvery setting is a flag by its key: --http.idle_timeout=30s. All of them: mainstay config "
		     "reference\n");
}

void ms_cli_help_command(struct cli *cli, const struct cli_command *command)
{
	FILE *out = cli->out;
	fprintf(out, "usage: mainstay %s%s%s%s%s [OPTIONS]\n\n%s\n", command->noun, command->verb != NULL ? " " : "",
		command->verb != NULL ? command->verb : "", command->arguments[0] != '\0' ? " " : "",
		command->arguments, command->summary);
	if (command->details != NULL)
		fprintf(out, "\n%s", command->details);
	fprintf(out, "\nOptions\n");
	for (size_t i = 0; i < command->option_count; i++)
		print_option(out, &command->options[i]);
	if (command->settings)
		print_option(out,
			     &(struct cli_option){.name = "config",
						  .value = "FILE",
						  .help = "Settings file; - is standard input. Else $MAINSTAY_CONFIG, "
							  "./mainstay.yaml, /etc/mainstay/mainstay.yaml"});
	print_option(out, &(struct cli_option){.name = "help", .help = "Show this help"});
	if (command->settings)
		print_settings(out);
}
