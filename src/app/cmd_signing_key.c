// SPDX-License-Identifier: Apache-2.0
// `mainstay signing-key …`: the keys that sign tokens.
#include "app/commands.h"
#include "app/operator.h"
#include "app/table.h"
#include "app/width.h"

static const struct table_column columns[] = {
	{"KEY", "kid", TABLE_TEXT},
	{"ALGORITHM", "algorithm", TABLE_TEXT},
	{"STATE", "state", TABLE_TEXT},
	{"CREATED", "created", TABLE_TEXT},
	{"SIGNS FROM", "signs_from", TABLE_TEXT},
	{"SIGNED UNTIL", "signed_until", TABLE_TEXT},
};

struct key_list {
	struct cli *cli;
	struct table table;
};

static const char *time_text(int64_t time_us, char dst[MS_RFC3339_SIZE])
{
	if (time_us <= 0 || time_us > INT64_MAX / 1000)
		return NULL;
	ms_text_rfc3339(time_us * 1000, dst);
	return dst;
}

static enum ms_err list_tx(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct key_list *list = arg;
	struct signing_key_info *keys;
	size_t count;
	ms_table_init(&list->table, &list->cli->arena, columns, MS_ARRAY_LEN(columns)); // this may run again
	MS_TRY(ms_signing_list(tx, info, &keys, &count));
	for (size_t i = 0; i < count; i++) {
		char created[MS_RFC3339_SIZE], from[MS_RFC3339_SIZE], until[MS_RFC3339_SIZE];
		struct arena *arena = ms_store_arena(tx);
		const char *cells[] = {ms_arena_cstr(arena, keys[i].kid),   ms_arena_cstr(arena, keys[i].alg),
				       ms_arena_cstr(arena, keys[i].state), time_text(keys[i].created_us, created),
				       time_text(keys[i].active_us, from),  time_text(keys[i].retired_us, until)};
		enum ms_err err = ms_table_add(&list->table, cells);
		if (err != MS_OK)
			return ms_fail(info, err, "out of memory");
	}
	return MS_OK;
}

static enum cli_exit run_list(struct cli *cli)
{
	struct key_list list = {.cli = cli};
	struct config *config;
	struct state state;
	struct errinfo info;
	struct buf out;
	ms_errinfo_init(&info);
	enum cli_exit status = ms_state_of_command(cli, &config, &state);
	if (status != CLI_OK)
		return status;
	enum ms_err err = ms_store_read_wait(state.store, list_tx, &list, &info);
	bool shared = ms_config_settings(config)->identity_jwt_secret[0] != '\0';
	ms_state_close(&state);
	ms_config_free(config);
	if (err != MS_OK)
		return ms_cli_fail(cli, &info);
	if (shared)
		fputs("Tokens are signed with JWT_SECRET (HS256); these keys are not in use.\n", cli->err);
	ms_buf_init(&out, (size_t)1 << 22);
	if (ms_cli_option(cli, "json") != NULL)
		ms_table_write_json(&list.table, &out);
	else if (list.table.row_count > 0)
		ms_table_write_text(&list.table, ms_width_of_terminal(cli->out), &out);
	status = ms_cli_print(cli, &out);
	ms_buf_fini(&out);
	return status;
}

static enum ms_err rotate(struct cli *cli, const struct settings *s, struct operator* op, struct errinfo *info,
			  struct signing_rotate *ret_rotate)
{
	static const enum jose_alg algorithms[] = {JOSE_ED25519, JOSE_ES256,
						   JOSE_RS256}; // the order of the setting's range
	struct vault *vault;
	if (s->identity_jwt_secret[0] != '\0')
		return ms_fail(info, MS_ERR_CONFIG,
			       "tokens are signed with JWT_SECRET; to change it, set another one and restart");
	MS_ASSERT((size_t)s->identity_algorithm < MS_ARRAY_LEN(algorithms));
	MS_TRY(ms_vault_open(&(struct vault_options){.data_dir = s->data_dir, .master_key = s->identity_master_key},
			     info, &vault));
	*ret_rotate = (struct signing_rotate){.store = op->state.store,
					      .vault = vault,
					      .algorithm = algorithms[s->identity_algorithm],
					      .token_life_ms = s->identity_token_life,
					      .now = ms_cli_option(cli, "now") != NULL,
					      .actor = op->actor};
	enum ms_err err = ms_signing_rotate(ret_rotate, info);
	ms_vault_free(vault);
	ret_rotate->vault = NULL;
	return err;
}

static enum cli_exit run_rotate(struct cli *cli)
{
	struct operator op;
	struct config *config;
	struct signing_rotate done;
	struct errinfo info;
	char from[MS_RFC3339_SIZE];
	ms_errinfo_init(&info);
	ms_operator_init(&op);
	enum cli_exit status = ms_state_of_command(cli, &config, &op.state);
	if (status != CLI_OK)
		return status;
	enum ms_err err = rotate(cli, ms_config_settings(config), &op, &info, &done);
	ms_state_close(&op.state);
	ms_config_free(config);
	if (err != MS_OK)
		return ms_cli_fail(cli, &info);
	ms_text_rfc3339(done.signs_from_us * 1000, from);
	if (ms_cli_option(cli, "json") != NULL)
		fprintf(cli->out, "{\"kid\":\"%s\",\"signs_from\":\"%s\"}\n", done.kid, from); // a thumbprint
	else
		fprintf(cli->out,
			done.now ? "key %s signs tokens now\n" : "key %s is published, and signs tokens from %s on\n",
			done.kid, from);
	return CLI_OK;
}

static const struct cli_option json_option[] = {{.name = "json", .help = "For programs: one JSON array"}};
static const struct cli_option rotate_options[] = {
	{.name = "now",
	 .help = "At once: for a key that others may know. Whoever keeps /.well-known/jwks.json must read it again"},
	{.name = "json", .help = "For programs: one JSON object"},
};

const struct cli_command ms_cmd_signing_key_list = {
	.noun = "signing-key",
	.verb = "list",
	.arguments = "",
	.summary = "List the keys that sign tokens, and when",
	.options = json_option,
	.option_count = MS_ARRAY_LEN(json_option),
	.settings = true,
	.run = run_list,
};

const struct cli_command ms_cmd_signing_key_rotate = {
	.noun = "signing-key",
	.verb = "rotate",
	.arguments = "",
	.summary = "Publish a new key and let it sign a day later, or at once",
	.details = "Keys rotate by themselves (identity.key_rotation). The old key verifies until its last token is "
		   "expired.\n",
	.options = rotate_options,
	.option_count = MS_ARRAY_LEN(rotate_options),
	.settings = true,
	.run = run_rotate,
};
