// SPDX-License-Identifier: Apache-2.0
#include "app/state.h"

#include <unistd.h>

#include "app/store.h"
#include "rt/rt.h"

static enum ms_err open_store(const struct state_options *o, struct errinfo *info, struct state *state)
{
	state->store = o->store;
	if (o->store != NULL)
		return MS_OK;
	MS_TRY(ms_app_prepare_store(o->settings, info));
	MS_TRY(ms_app_open_store(o->settings, APP_STORE_SERVE, o->log, o->metrics, info, &state->own_store));
	state->store = state->own_store;
	return MS_OK;
}

static enum ms_err open_auth(const struct state_options *o, struct errinfo *info, struct state *state)
{
	static const enum jose_alg algorithms[] = {JOSE_ED25519, JOSE_ES256,
						   JOSE_RS256}; // the order of the setting's range
	const struct settings *s = o->settings;
	MS_ASSERT((size_t)s->identity_algorithm < MS_ARRAY_LEN(algorithms));
	ms_settings_local_issuer(s, state->issuer);
	const struct auth_options options = {
		.store = state->store,
		.bus = state->bus,
		.rt = o->rt,
		.log = o->log,
		.metrics = o->metrics,
		.data_dir = s->data_dir,
		.issuer = s->identity_issuer[0] != '\0' ? s->identity_issuer : state->issuer,
		.audience = s->identity_audience,
		.jwt_secret = s->identity_jwt_secret,
		.algorithm = algorithms[s->identity_algorithm],
		.master_key = s->identity_master_key,
		.key_rotation_ms = s->identity_key_rotation,
		.token_life_ms = s->identity_token_life,
		.refresh_life_ms = s->identity_session_life,
		.refresh_idle_ms = s->identity_session_idle,
		.refresh_grace_ms = s->identity_refresh_grace,
		.password_threads =
			s->identity_password_threads > 0 ? (unsigned)s->identity_password_threads : ms_process_cores(),
		.password_depth = (unsigned)s->identity_password_queue,
		.password_memory_kib = (uint32_t)(s->identity_password_memory / 1024),
		.password_passes = (uint32_t)s->identity_password_passes,
		.password_min_length = (unsigned)s->identity_password_min_length,
		.registration = s->identity_registration,
		.registration_role = s->identity_registration_role,
		.mfa_required = s->identity_mfa == 1, // the order of the setting's range
		.totp_skew = (unsigned)s->identity_totp_skew,
		.webauthn_rp_id = s->identity_webauthn_rp_id,
		.webauthn_origins = s->identity_webauthn_origins.items,
		.webauthn_origin_count = s->identity_webauthn_origins.count,
		.provider = {.issuer = s->provider_issuer,
			     .name = s->provider_name,
			     .client_id = s->provider_client_id,
			     .client_secret = s->provider_client_secret,
			     .scopes = s->provider_scopes.items,
			     .scope_count = s->provider_scopes.count,
			     .role = s->provider_role,
			     .groups_claim = s->provider_groups_claim,
			     .group_roles = s->provider_group_roles.items,
			     .group_role_count = s->provider_group_roles.count,
			     .decryption_key = s->provider_decryption_key,
			     .ca_file = s->provider_ca_file,
			     .proxy = s->provider_proxy,
			     .timeout_ms = s->provider_timeout,
			     .loopback = s->provider_loopback},
	};
	MS_TRY(ms_auth_new(&options, info, &state->auth));
	return o->environment != NULL && o->rt != NULL ? ms_auth_take_environment(state->auth, o->environment, info)
						       : MS_OK;
}

static enum ms_err open_log(struct state_options *o, struct errinfo *info, struct state *state)
{
	const struct log_options log = {.level = LOG_WARN,
					.format = LOG_FORMAT_AUTO,
					.fd = STDERR_FILENO,
					.service = "mainstay",
					.version = MAINSTAY_VERSION};
	if (o->log != NULL)
		return MS_OK;
	MS_TRY(ms_log_new(&log, info, &state->own_log));
	o->log = state->own_log;
	return MS_OK;
}

enum ms_err ms_state_open(const struct state_options *options, struct errinfo *info, struct state *state)
{
	struct state_options o = *options;
	*state = (struct state){.bus = options->bus};
	enum ms_err err = open_log(&o, info, state);
	if (err == MS_OK)
		err = open_store(&o, info, state);
	if (err == MS_OK)
		err = open_auth(&o, info, state);
	if (err != MS_OK) {
		ms_state_stop(state);
		if (o.rt != NULL)
			ms_rt_deliver(o.rt); // what is on its way to the parts has to arrive while they are there
		ms_state_free(state);
	}
	return err;
}

void ms_state_stop(struct state *state)
{
	if (state->auth != NULL)
		ms_auth_stop(state->auth);
	if (state->own_store != NULL)
		ms_store_stop(state->own_store);
}

void ms_state_free(struct state *state)
{
	ms_auth_free(state->auth);
	ms_store_free(state->own_store);
	ms_log_free(state->own_log);
	*state = (struct state){0};
}

void ms_state_close(struct state *state)
{
	ms_state_stop(state);
	ms_state_free(state);
}

enum cli_exit ms_state_of_command(struct cli *cli, struct config **ret_config, struct state *ret_state)
{
	struct errinfo info;
	ms_errinfo_init(&info);
	enum cli_exit status = ms_cli_load_config(cli, ret_config);
	if (status != CLI_OK)
		return status;
	const struct state_options options = {.settings = ms_config_settings(*ret_config)};
	enum ms_err err = ms_dir_create(options.settings->data_dir, &info);
	if (err == MS_OK)
		err = ms_state_open(&options, &info, ret_state);
	if (err == MS_OK)
		return CLI_OK;
	ms_config_free(*ret_config);
	return ms_cli_fail(cli, &info);
}
