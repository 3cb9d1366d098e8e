// SPDX-License-Identifier: Apache-2.0
// Where settings come from on a real machine, and what must hold between them. Blocks on files: not for loop threads.
#ifndef MS_APP_SETTINGS_H
#define MS_APP_SETTINGS_H

#include "base/base.h"
#include "config/config.h"

// All that a second load (a reload on SIGHUP) needs; the texts live as long as it.
struct settings_origin {
	// Of --config; "-" is standard input. NULL: $MAINSTAY_CONFIG, ./mainstay.yaml, /etc/mainstay/mainstay.yaml.
	const char *config_path;
	const char *const *environment;
	const char *const *flags;
	bool without_secrets; // the secrets file is not opened: for the commands that make it
	int flag_count;
};

// The settings file that would be read, copied into the arena, or NULL when there is none. A file
// that was named need not exist.
MS_MUST_USE enum ms_err ms_settings_locate(const struct settings_origin *origin, struct arena *arena,
					   struct errinfo *info, const char **ret_path);

// Locates, reads, and checks what must hold between settings. As ms_config_load: on_problem (may be NULL) gets every
// problem. Further errors: those of reading a file.
MS_MUST_USE enum ms_err ms_settings_load(const struct settings_origin *origin, config_problem_fn *on_problem, void *arg,
					 struct errinfo *info, struct config **ret_config);

// Where the secrets file is, or would be. MS_ERR_LIMIT for a path that is too long.
#define MS_SETTINGS_PATH_MAX 4096
MS_MUST_USE enum ms_err ms_settings_secrets_path(const struct settings *settings, struct errinfo *info,
						 char dst[MS_SETTINGS_PATH_MAX]);

// http.listen with http.port in place: each address as net takes it. MS_ERR_CONFIG for an address that is none, for
// two that are the same, and for https:// without a certificate.
MS_MUST_USE enum ms_err ms_settings_listen(const struct settings *settings, struct arena *arena, struct errinfo *info,
					   struct string_list *ret_addresses);

// The issuer when identity.issuer is empty: this machine by the first port of http.listen ("http://localhost:8080", also when the
// port is not known before the server listens).
#define MS_LOCAL_ISSUER_SIZE 32
void ms_settings_local_issuer(const struct settings *settings, char dst[MS_LOCAL_ISSUER_SIZE]);

// Whether an address, as ms_settings_listen() gives it, is reachable from this machine alone.
bool ms_settings_is_local(const char *address);

#endif
