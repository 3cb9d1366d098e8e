// SPDX-License-Identifier: Apache-2.0
#include "app/passwords.h"

#include <errno.h>
#include <termios.h>
#include <unistd.h>

#include "crypto/crypto.h"

// Byte by byte, so that what follows the line stays in standard input.
static enum ms_err read_line(struct errinfo *info, char dst[MS_APP_PASSWORD_SIZE])
{
	size_t n = 0;
	for (;;) {
		char c;
		ssize_t got = read(STDIN_FILENO, &c, 1);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return ms_fail(info, MS_ERR_IO, "standard input cannot be read");
		if (got == 0 || c == '\n')
			break;
		if (c == '\x03')
			return ms_fail(info, MS_ERR_CANCELLED, "cancelled");
		if (n == MS_APP_PASSWORD_SIZE - 1)
			return ms_fail(info, MS_ERR_LIMIT, "the password is longer than 1024 bytes");
		dst[n++] = c;
	}
	if (n > 0 && dst[n - 1] == '\r')
		n--;
	dst[n] = '\0';
	if (n == 0)
		return ms_fail(info, MS_ERR_CANCELLED, "no password was given");
	if (memchr(dst, '\0', n) != NULL)
		return ms_fail(info, MS_ERR_INVALID, "the password holds a NUL byte");
	return MS_OK;
}

// Without echo. Ctrl-C arrives as a byte meanwhile, so that the terminal is put right again.
static enum ms_err ask_once(struct cli *cli, const char *prompt, struct errinfo *info, char dst[MS_APP_PASSWORD_SIZE])
{
	struct termios was, quiet;
	if (tcgetattr(STDIN_FILENO, &was) != 0)
		return ms_fail(info, MS_ERR_IO, "the terminal cannot be asked for a password");
	quiet = was;
	quiet.c_lflag &= ~(tcflag_t)(ECHO | ISIG);
	quiet.c_cc[VEOL] = '\x03';
	fputs(prompt, cli->err);
	fflush(cli->err);
	if (tcsetattr(STDIN_FILENO, TCSAFLUSH, &quiet) != 0)
		return ms_fail(info, MS_ERR_IO, "the terminal cannot be asked for a password");
	enum ms_err err = read_line(info, dst);
	(void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &was);
	fputc('\n', cli->err);
	return err;
}

enum ms_err ms_password_ask(struct cli *cli, const char *prompt, struct errinfo *info,
			    char ret_password[MS_APP_PASSWORD_SIZE])
{
	char again[MS_APP_PASSWORD_SIZE];
	if (isatty(STDIN_FILENO) == 0)
		return read_line(info, ret_password);
	MS_TRY(ask_once(cli, prompt, info, ret_password));
	enum ms_err err = ask_once(cli, "The same again: ", info, again);
	if (err == MS_OK && strcmp(again, ret_password) != 0)
		err = ms_fail(info, MS_ERR_INVALID, "the two passwords differ");
	ms_wipe(again, sizeof(again));
	return err;
}
