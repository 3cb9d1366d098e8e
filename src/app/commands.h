// SPDX-License-Identifier: Apache-2.0
// The commands of the program; the list is commands.def.
#ifndef MS_APP_COMMANDS_H
#define MS_APP_COMMANDS_H

#include "app/cli.h"

#define MS_COMMAND(name) extern const struct cli_command ms_cmd_##name;
#include "app/commands.def"
#undef MS_COMMAND

#endif
