// SPDX-License-Identifier: Apache-2.0
#include "app/commands.h"

static const struct cli_command *const commands[] = {
#define MS_COMMAND(name) &ms_cmd_##name,
#include "app/commands.def"
#undef MS_COMMAND
};

static const struct cli_noun nouns[] = {
	{"model", "Models"},
	{"user", "Users"},
	{"key", "API keys"},
	{"role", "Roles"},
	{"client", "OAuth clients"},
	{"audit", "The audit log"},
	{"secret", "Secrets in an encrypted file"},
	{"signing-key", "Keys that sign tokens"},
	{"gateway", "The gateway's routes and services"},
	{"migrate", "The database"},
	{"bus", "Events"},
	{"config", "Settings"},
};

const struct cli_table ms_cli_table = {
	.commands = commands,
	.command_count = MS_ARRAY_LEN(commands),
	.nouns = nouns,
	.noun_count = MS_ARRAY_LEN(nouns),
	.next_steps = "Next: `mainstay model push NAME FILE` stores a model, `mainstay run` serves it;\n"
		      "`mainstay help COMMAND` tells more.\n",
};
