// SPDX-License-Identifier: Apache-2.0
#include <unistd.h>

#include "app/cli.h"

int main(int argc, char **argv)
{
	return (int)ms_cli_main(&ms_cli_table, argc, (const char *const *)argv, (const char *const *)environ, stdout,
				stderr);
}
