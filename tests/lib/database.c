// SPDX-License-Identifier: Apache-2.0
#include "tests/lib/database.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// --- The server --------------------------------------------------------------------------------------

// Runs tests/lib/postgres, which ends, and takes the server with it, when its standard input does: also when this program is killed.
static struct {
	FILE *to, *from;
} server;

static void start_server(void)
{
	int down[2], up[2];
	REQUIRE(pipe(down) == 0 && pipe(up) == 0);
	pid_t pid = fork();
	REQUIRE(pid >= 0);
	if (pid == 0) {
		dup2(down[0], 0);
		dup2(up[1], 1);
		close(down[1]);
		close(up[0]);
		execl("/usr/bin/python3", "python3", TEST_POSTGRES, (char *)NULL);
		_exit(127);
	}
	close(down[0]);
	close(up[1]);
	server.to = fdopen(down[1], "w");
	server.from = fdopen(up[0], "r");
	REQUIRE(server.to != NULL && server.from != NULL);
	setvbuf(server.from, NULL, _IONBF, 0);
	setvbuf(server.to, NULL, _IONBF, 0);
}

static void ask_server(const char *command, char *answer, int size)
{
	if (server.to == NULL)
		start_server();
	fprintf(server.to, "%s\n", command);
	if (fgets(answer, size, server.from) == NULL) {
		fprintf(stderr, "the PostgreSQL of the tests did not answer to '%s'\n", command);
		ms_test_bail_out();
	}
	answer[strcspn(answer, "\n")] = '\0';
}

void ms_test_postgres(const char *command)
{
	char answer[64];
	ask_server(command, answer, sizeof(answer));
	REQUIRE(strcmp(answer, "ok") == 0);
}

const char *ms_test_database(bool postgres)
{
	static char url[600];
	static unsigned number;
	if (postgres)
		ask_server("database", url, sizeof(url));
	else
		snprintf(url, sizeof(url), "sqlite:%s/test-%u.db", ms_test_temp_dir(), number++);
	return url;
}
