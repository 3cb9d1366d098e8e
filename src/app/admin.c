// SPDX-License-Identifier: Apache-2.0
#include "app/admin.h"

enum cli_exit ms_admin_begin(struct cli *cli, struct admin *admin)
{
	*admin = (struct admin){0};
	enum cli_exit status = ms_state_of_command(cli, &admin->config, &admin->state);
	if (status != CLI_OK)
		return status;
	ms_operator_init(&admin->op);
	admin->authority = (struct auth_authority){.by = &admin->op.actor};
	return CLI_OK;
}

void ms_admin_end(struct admin *admin)
{
	ms_state_close(&admin->state);
	ms_config_free(admin->config);
}
