// SPDX-License-Identifier: Apache-2.0
// Feeds every file of a corpus folder to a fuzz target and reports TAP: what fuzzing once found stays a test.
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#include "fuzz/fuzz.h"

static bool run_file(const char *path)
{
	FILE *f = fopen(path, "rb");
	if (f == NULL)
		return false;
	uint8_t *bytes = NULL;
	bool ok = fseek(f, 0, SEEK_END) == 0;
	long n = ok ? ftell(f) : -1;
	if (n >= 0) {
		rewind(f);
		bytes = malloc(n > 0 ? (size_t)n : 1); // exact size, so that a sanitizer sees reads past the end
		ok = bytes != NULL && fread(bytes, 1, (size_t)n, f) == (size_t)n;
	}
	fclose(f);
	if (ok)
		LLVMFuzzerTestOneInput(bytes, (size_t)n);
	free(bytes);
	return ok && n >= 0;
}

int main(int argc, char **argv)
{
	if (argc != 2) {
		fprintf(stderr, "usage: %s CORPUS-FOLDER\n", argv[0]);
		return 2;
	}
	struct dirent **entries;
	int count = scandir(argv[1], &entries, NULL, alphasort);
	if (count < 0) {
		perror(argv[1]);
		return 1;
	}
	unsigned number = 0, failed = 0;
	for (int i = 0; i < count; i++) {
		if (entries[i]->d_name[0] != '.') {
			char path[4096];
			snprintf(path, sizeof(path), "%s/%s", argv[1], entries[i]->d_name);
			bool ok = run_file(path);
			failed += !ok;
			printf("%sok %u - %s\n", ok ? "" : "not ", ++number, entries[i]->d_name);
			fflush(stdout);
		}
		free(entries[i]);
	}
	free(entries);
	printf("1..%u\n", number);
	return failed > 0 || number == 0;
}
