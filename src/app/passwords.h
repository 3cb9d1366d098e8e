// SPDX-License-Identifier: Apache-2.0
// Passwords that commands ask for: from the terminal without showing them, or the first line of standard input. Never from arguments, which other
// processes see.
#ifndef MS_APP_PASSWORDS_H
#define MS_APP_PASSWORDS_H

#include "app/cli.h"

#define MS_APP_PASSWORD_SIZE 1025

// On a terminal it is asked for twice. The caller wipes. MS_ERR_CANCELLED (Ctrl-C, or nothing typed), MS_ERR_LIMIT, MS_ERR_IO.
MS_MUST_USE enum ms_err ms_password_ask(struct cli *cli, const char *prompt, struct errinfo *info,
					char ret_password[MS_APP_PASSWORD_SIZE]);

#endif
