// SPDX-License-Identifier: Apache-2.0
#include "app/settings.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "app/bus.h"
#include "app/cache.h"
#include "app/roles.h"
#include "app/store.h"
#include "auth/auth.h"
#include "rt/rt.h"

#define SETTINGS_FILE_MAX ((size_t)2 << 20) // read at most; config refuses above its own limit, in better words
#define SECRET_FILE_MAX ((size_t)1 << 17)
#define UNIX_PATH_MAX 107 // sockaddr_un without the NUL (unix(7))

// --- Files -----------------------------------------------------------------------------------------

static const char *find_variable(const struct settings_origin *origin, const char *name)
{
	size_t n = strlen(name);
	for (const char *const *e = origin->environment; e != NULL && *e != NULL; e++) {
		if (strncmp(*e, name, n) == 0 && (*e)[n] == '=')
			return *e + n + 1;
	}
	return NULL;
}

enum ms_err ms_settings_locate(const struct settings_origin *origin, struct arena *arena, struct errinfo *info,
			       const char **ret_path)
{
	static const char *const places[] = {"mainstay.yaml", "/etc/mainstay/mainstay.yaml"};
	const char *path = origin->config_path;
	if (path == NULL)
		path = find_variable(origin, MS_CONFIG_FILE_VARIABLE);
	if (path != NULL && path[0] == '\0')
		path = NULL;
	for (size_t i = 0; path == NULL && i < MS_ARRAY_LEN(places); i++) {
		struct errinfo ignored;
		struct file_stat stat;
		// A file that is there but cannot be looked at is taken, so that reading it says why.
		ms_errinfo_init(&ignored);
		if (ms_file_stat(places[i], &ignored, &stat) != MS_ERR_FILE_MISSING)
			path = places[i];
	}
	if (path != NULL) {
		path = ms_arena_cstr(arena, ms_slice_cstr(path));
		if (path == NULL)
			return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory");
	}
	*ret_path = path;
	return MS_OK;
}

// For NAME_FILE variables.
static enum ms_err read_secret(const char *path, struct arena *arena, struct errinfo *info, struct slice *ret_text)
{
	struct slice bytes;
	MS_TRY(ms_file_read(path, SECRET_FILE_MAX, info, &bytes));
	struct slice copy = ms_arena_copy(arena, bytes);
	explicit_bzero((void *)(uintptr_t)bytes.p, bytes.n);
	free((void *)(uintptr_t)bytes.p);
	if (copy.p == NULL)
		return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory");
	*ret_text = copy;
	return MS_OK;
}

static enum ms_err read_settings_file(const char *path, struct errinfo *info, struct slice *ret_bytes)
{
	if (strcmp(path, "-") == 0)
		return ms_fd_read_all(STDIN_FILENO, SETTINGS_FILE_MAX, info, ret_bytes);
	enum ms_err err = ms_file_read(path, SETTINGS_FILE_MAX, info, ret_bytes);
	if (err == MS_OK || info == NULL)
		return err;
	char reason[MS_ERRINFO_MESSAGE_SIZE];
	memcpy(reason, info->message, sizeof(reason));
	return ms_fail(info, err, "settings file %.200s: %.280s", path, reason);
}

// --- What must hold between settings -----------------------------------------------------------------

struct address {
	bool tls;
	bool local;        // unix:
	struct slice host; // with its brackets; or the path
	uint64_t port;
};

static enum ms_err bad_address(const char *text, const char *what, struct errinfo *info)
{
	return ms_fail(info, MS_ERR_CONFIG,
		       "http.listen: \"%.120s\" %s; expected host:port, [ipv6]:port, :port or unix:/path, with "
		       "https:// in front "
		       "for TLS",
		       text, what);
}

static enum ms_err parse_address(const char *text, struct errinfo *info, struct address *ret_address)
{
	struct slice rest = ms_slice_cstr(text);
	struct address a = {0};
	struct slice https = MS_SLICE_LIT("https://"), http = MS_SLICE_LIT("http://"), local = MS_SLICE_LIT("unix:");
	a.tls = ms_slice_starts_with(rest, https);
	if (a.tls || ms_slice_starts_with(rest, http))
		rest = ms_slice_sub(rest, a.tls ? https.n : http.n, SIZE_MAX);
	a.local = ms_slice_starts_with(rest, local);
	if (a.local) {
		a.host = ms_slice_sub(rest, local.n, SIZE_MAX);
		if (a.host.n == 0 || a.host.p[0] != '/')
			return bad_address(text, "needs an absolute path", info);
		if (a.host.n > UNIX_PATH_MAX)
			return bad_address(text, "has a longer path than a socket can (107 bytes)", info);
		*ret_address = a;
		return MS_OK;
	}
	size_t colon = rest.n;
	while (colon > 0 && rest.p[colon - 1] != ':')
		colon--;
	if (colon == 0)
		return bad_address(text, "has no port", info);
	a.host = ms_slice_sub(rest, 0, colon - 1);
	if (!ms_slice_to_u64(ms_slice_sub(rest, colon, SIZE_MAX), &a.port) || a.port > 65535)
		return bad_address(text, "has no port from 0 to 65535", info);
	bool brackets = a.host.n > 2 && a.host.p[0] == '[' && a.host.p[a.host.n - 1] == ']';
	if (!brackets && ms_slice_find(a.host, ':') < a.host.n)
		return bad_address(text, "looks like IPv6; put its address in brackets", info);
	if (ms_slice_find(a.host, '/') < a.host.n || ms_slice_find(a.host, ' ') < a.host.n)
		return bad_address(text, "is not an address", info);
	*ret_address = a;
	return MS_OK;
}

enum ms_err ms_settings_listen(const struct settings *settings, struct arena *arena, struct errinfo *info,
			       struct string_list *ret_addresses)
{
	const struct string_list listen = settings->http_listen;
	const char **out = MS_ARENA_ARRAY(arena, const char *, listen.count);
	bool any_tls = false, has_cert = settings->http_tls_cert[0] != '\0';
	ms_errinfo_set_field(info, MS_SLICE_LIT("http.listen"));
	if (listen.count == 0)
		return ms_fail(info, MS_ERR_CONFIG, "http.listen: the list is empty; expected at least one address");
	if (out == NULL)
		return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory");
	for (size_t i = 0; i < listen.count; i++) {
		struct address a = {0};
		MS_TRY(parse_address(listen.items[i], info, &a));
		any_tls |= a.tls;
		if (a.tls && !has_cert)
			return bad_address(listen.items[i], "needs http.tls.cert and http.tls.key", info);
		long long port = settings->http_port > 0 ? (long long)settings->http_port : (long long)a.port;
		const char *scheme = a.tls ? "https://" : "";
		out[i] = a.local ? ms_arena_printf(arena, "%sunix:%.*s", scheme, MS_SLICE_ARG(a.host))
				 : ms_arena_printf(arena, "%s%.*s:%lld", scheme, MS_SLICE_ARG(a.host), port);
		if (out[i] == NULL)
			return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory");
		for (size_t k = 0; k < i && (a.local || port > 0); k++) {
			const char *one = strncmp(out[k], "https://", 8) == 0 ? out[k] + 8 : out[k];
			if (strcmp(one, out[i] + strlen(scheme)) == 0)
				return ms_fail(info, MS_ERR_CONFIG,
					       "http.listen: \"%.120s\" and \"%.120s\" both mean %.120s%s",
					       listen.items[k], listen.items[i], one,
					       settings->http_port > 0 && !a.local ? " (http.port replaces their ports)"
										   : "");
		}
	}
	if (has_cert && !any_tls)
		return ms_fail(info, MS_ERR_CONFIG,
			       "http.listen: no address starts with https:// although http.tls.cert is set, so nothing "
			       "would be "
			       "encrypted");
	*ret_addresses = (struct string_list){out, listen.count};
	return MS_OK;
}

// 127.a.b.c and nothing behind it: a name such as 127.0.0.1.example.org may be anywhere.
static bool is_loopback(struct slice host)
{
	struct slice part;
	unsigned parts = 0;
	if (ms_slice_eq_cstr(host, "localhost") || ms_slice_eq_cstr(host, "[::1]"))
		return true;
	while (ms_slice_next(&host, '.', &part)) {
		uint64_t number;
		if (!ms_slice_to_u64(part, &number) || number > 255 || (parts == 0 && number != 127))
			return false;
		parts++;
	}
	return parts == 4;
}

bool ms_settings_is_local(const char *text)
{
	struct errinfo ignored;
	struct address a;
	ms_errinfo_init(&ignored);
	return parse_address(text, &ignored, &a) == MS_OK && (a.local || is_loopback(a.host));
}

static enum ms_err check_auth(const struct settings *s, struct errinfo *info)
{
	ms_errinfo_set_field(info, MS_SLICE_LIT("auth"));
	for (size_t i = 0; !s->auth && i < s->http_listen.count; i++) {
		if (!ms_settings_is_local(s->http_listen.items[i]))
			return ms_fail(info, MS_ERR_CONFIG,
				       "auth: is off, but http.listen has \"%.120s\", which other machines reach; turn "
				       "auth on, or listen "
				       "on 127.0.0.1, [::1] or unix:/path alone",
				       s->http_listen.items[i]);
	}
	return MS_OK;
}

#define JWT_SECRET_MIN 32

static enum ms_err check_identity(const struct settings *s, struct errinfo *info)
{
	size_t n = strlen(s->identity_jwt_secret);
	ms_errinfo_set_field(info, MS_SLICE_LIT("identity.jwt_secret"));
	if (n > 0 && n < JWT_SECRET_MIN)
		return ms_fail(info, MS_ERR_CONFIG,
			       "identity.jwt_secret: has %zu bytes, and a secret of less than %d can be guessed from a "
			       "token; make one with "
			       "`openssl rand -base64 48`, or leave it out: then the service makes keys of its own",
			       n, JWT_SECRET_MIN);
	ms_errinfo_set_field(info, MS_SLICE_LIT("identity.audience"));
	if (s->identity_audience[0] == '\0')
		return ms_fail(info, MS_ERR_CONFIG, "identity.audience: must not be empty");
	ms_errinfo_set_field(info, MS_SLICE_LIT("identity.issuer"));
	// Clients compare it byte by byte and put paths behind it (OpenID Connect Discovery, section 4).
	struct slice issuer = ms_slice_cstr(s->identity_issuer);
	bool web = ms_slice_starts_with(issuer, MS_SLICE_LIT("https://")) ||
		   ms_slice_starts_with(issuer, MS_SLICE_LIT("http://"));
	if (issuer.n > 0 && (!web || issuer.p[issuer.n - 1] == '/' || strpbrk(issuer.p, "?# \"\\<>") != NULL))
		return ms_fail(info, MS_ERR_CONFIG,
			       "identity.issuer: must be an address that begins with https:// (or http:// on this "
			       "machine), without a query and without a slash at the end");
	ms_errinfo_set_field(info, MS_SLICE_LIT("identity.session_idle"));
	if (s->identity_session_idle < s->identity_refresh_grace)
		return ms_fail(info, MS_ERR_CONFIG, "identity.session_idle: is shorter than identity.refresh_grace");
	return MS_OK;
}

void ms_settings_local_issuer(const struct settings *s, char dst[MS_LOCAL_ISSUER_SIZE])
{
	struct address a = {0};
	bool found = false;
	for (size_t i = 0; i < s->http_listen.count && !found; i++)
		found = parse_address(s->http_listen.items[i], NULL, &a) == MS_OK && !a.local;
	uint64_t port = s->http_port > 0 ? (uint64_t)s->http_port : a.port;
	snprintf(dst, MS_LOCAL_ISSUER_SIZE, "%s://localhost:%u", found && a.tls ? "https" : "http",
		 port > 0 ? (unsigned)port : 8080U);
}

static enum ms_err check_listen(const struct settings *s, struct errinfo *info)
{
	struct arena arena;
	struct string_list addresses;
	ms_arena_init(&arena, 1024, (size_t)1 << 20);
	enum ms_err err = ms_settings_listen(s, &arena, info, &addresses);
	ms_arena_fini(&arena);
	return err;
}

static enum ms_err check_tls(const struct settings *s, struct errinfo *info)
{
	bool cert = s->http_tls_cert[0] != '\0', key = s->http_tls_key[0] != '\0';
	ms_errinfo_set_field(info, cert ? MS_SLICE_LIT("http.tls.cert") : MS_SLICE_LIT("http.tls.key"));
	if (cert != key)
		return ms_fail(info, MS_ERR_CONFIG, "http.tls.%s is set but http.tls.%s is not; set both or none",
			       cert ? "cert" : "key", cert ? "key" : "cert");
	return MS_OK;
}

static enum ms_err check_roles(const struct settings *s, struct errinfo *info)
{
	uint32_t roles;
	return ms_roles_parse(s->roles, info, &roles);
}

static enum ms_err check_data_dir(const struct settings *s, struct errinfo *info)
{
	ms_errinfo_set_field(info, MS_SLICE_LIT("data_dir"));
	if (s->data_dir[0] == '\0')
		return ms_fail(info, MS_ERR_CONFIG, "data_dir: is empty; expected a folder");
	return MS_OK;
}

// Puts the source of the setting at fault in front of the message: "mainstay.yaml:4: roles: …". Returns its layer.
static enum config_layer add_source(const struct config *config, struct errinfo *info)
{
	for (size_t i = 0; i < ms_config_count(); i++) {
		struct setting_view view;
		ms_config_view(config, i, &view);
		if (strcmp(view.key, info->field) != 0 || strcmp(view.source, "default") == 0)
			continue;
		char message[MS_ERRINFO_MESSAGE_SIZE];
		memcpy(message, info->message, sizeof(message));
		(void)ms_fail(info, info->code, "%.160s: %.340s", view.source, message); // for its text only
		if (strncmp(view.source, "flag ", 5) == 0)
			return CONFIG_FLAGS;
		if (strncmp(view.source, "environment ", 12) == 0)
			return CONFIG_ENVIRONMENT;
		uint64_t line;
		const char *colon = strrchr(view.source, ':');
		if (colon != NULL && ms_slice_to_u64(ms_slice_cstr(colon + 1), &line))
			info->line = (int64_t)line;
		return CONFIG_FILE;
	}
	return CONFIG_DEFAULTS;
}

static enum ms_err check_provider(const struct settings *s, struct errinfo *info)
{
	struct slice issuer = ms_slice_cstr(s->provider_issuer);
	bool http = s->provider_loopback && ms_slice_starts_with(issuer, MS_SLICE_LIT("http://"));
	if (issuer.n == 0)
		return MS_OK;
	ms_errinfo_set_field(info, MS_SLICE_LIT("identity.provider.issuer"));
	if (!http && !ms_slice_starts_with(issuer, MS_SLICE_LIT("https://")))
		return ms_fail(info, MS_ERR_CONFIG, "identity.provider.issuer: must begin with https://");
	ms_errinfo_set_field(info, MS_SLICE_LIT("identity.provider.client_id"));
	if (s->provider_client_id[0] == '\0')
		return ms_fail(info, MS_ERR_CONFIG,
			       "identity.provider.client_id: must be set with identity.provider.issuer");
	ms_errinfo_set_field(info, MS_SLICE_LIT("identity.provider.group_roles"));
	for (size_t i = 0; i < s->provider_group_roles.count; i++) {
		const char *equals = strrchr(s->provider_group_roles.items[i], '=');
		if (equals == NULL || equals == s->provider_group_roles.items[i] || equals[1] == '\0')
			return ms_fail(info, MS_ERR_CONFIG, "identity.provider.group_roles: '%.100s' is not group=role",
				       s->provider_group_roles.items[i]);
	}
	if (s->provider_group_roles.count > 0 && s->provider_groups_claim[0] == '\0')
		return ms_fail(info, MS_ERR_CONFIG,
			       "identity.provider.group_roles: needs identity.provider.groups_claim");
	return MS_OK;
}

static enum ms_err check_all(const struct config *config, config_problem_fn *on_problem, void *arg,
			     struct errinfo *info)
{
	static enum ms_err (*const checks[])(const struct settings *, struct errinfo *) = {
		check_roles, check_data_dir, ms_app_check_store, ms_app_check_bus, ms_app_check_cache,
		check_tls,   check_listen,   check_auth,         check_identity,   check_provider};
	enum ms_err first = MS_OK;
	for (size_t i = 0; i < MS_ARRAY_LEN(checks) && (first == MS_OK || on_problem != NULL); i++) {
		struct errinfo own;
		ms_errinfo_init(&own);
		enum ms_err err = checks[i](ms_config_settings(config), &own);
		if (err == MS_OK)
			continue;
		enum config_layer layer = add_source(config, &own);
		if (first == MS_OK && info != NULL)
			*info = own;
		first = first == MS_OK ? err : first;
		if (on_problem != NULL && err == MS_ERR_CONFIG)
			on_problem(&(struct config_problem){layer, own.field, own.line, own.message}, arg);
	}
	return first;
}

// --- The secrets file --------------------------------------------------------------------------------

enum ms_err ms_settings_secrets_path(const struct settings *settings, struct errinfo *info,
				     char dst[MS_SETTINGS_PATH_MAX])
{
	int n = settings->secrets_file[0] != '\0'
			? snprintf(dst, MS_SETTINGS_PATH_MAX, "%s", settings->secrets_file)
			: snprintf(dst, MS_SETTINGS_PATH_MAX, "%s/" MS_SECRETS_FILE, settings->data_dir);
	return n > 0 && n < MS_SETTINGS_PATH_MAX ? MS_OK
						 : ms_fail(info, MS_ERR_LIMIT, "secrets.file: the path is too long");
}

static enum ms_err open_secrets(const struct settings *s, const char *path, struct arena *arena, struct errinfo *info,
				struct config_input *input)
{
	const struct vault_options options = {.data_dir = s->data_dir, .master_key = s->identity_master_key};
	struct vault *vault;
	struct secret_item *items;
	size_t count;
	MS_TRY(ms_vault_open(&options, info, &vault));
	enum ms_err err = ms_secrets_read(path, vault, arena, info, &items, &count);
	ms_vault_free(vault);
	MS_TRY(err);
	struct config_secret *secrets = MS_ARENA_ARRAY(arena, struct config_secret, count + 1);
	if (secrets == NULL)
		return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory");
	for (size_t i = 0; i < count; i++)
		secrets[i] = (struct config_secret){items[i].name, items[i].value};
	input->secrets = secrets;
	input->secret_count = count;
	return MS_OK;
}

// Where the file is and what opens it are settings themselves: so the settings are loaded without it, and then again.
static enum ms_err load_secrets(struct config_input *input, struct errinfo *info, struct config **config)
{
	char path[MS_SETTINGS_PATH_MAX];
	struct file_stat stat;
	struct errinfo why;
	struct arena arena;
	const struct settings *s = ms_config_settings(*config);
	MS_TRY(ms_settings_secrets_path(s, info, path));
	ms_errinfo_init(&why);
	if (ms_file_stat(path, &why, &stat) == MS_ERR_FILE_MISSING && s->secrets_file[0] == '\0')
		return MS_OK;
	ms_arena_init(&arena, (size_t)1 << 16, (size_t)16 << 20);
	enum ms_err err = open_secrets(s, path, &arena, &why, input);
	if (err != MS_OK)
		err = ms_fail(info, err, "secrets file %.160s: %.320s", path, why.message);
	struct config *fresh;
	if (err == MS_OK)
		err = ms_config_load(input, info, &fresh);
	for (size_t i = 0; i < input->secret_count; i++)
		explicit_bzero((void *)(uintptr_t)input->secrets[i].value.p, input->secrets[i].value.n);
	ms_arena_fini(&arena);
	if (err == MS_OK) {
		ms_config_free(*config);
		*config = fresh;
	}
	return err;
}

// --- Loading -----------------------------------------------------------------------------------------

static enum ms_err load_from(const struct settings_origin *origin, const char *path, config_problem_fn *on_problem,
			     void *arg, struct errinfo *info, struct config **ret_config)
{
	struct slice bytes = MS_SLICE_EMPTY;
	if (path != NULL)
		MS_TRY(read_settings_file(path, info, &bytes));
	struct config_input input = {
		.yaml = bytes,
		.yaml_name = path != NULL && strcmp(path, "-") == 0 ? "standard input" : path,
		.environment = origin->environment,
		.argc = origin->flag_count,
		.argv = origin->flags,
		.read_file = read_secret,
		.on_problem = on_problem,
		.problem_arg = arg,
	};
	struct config *config;
	enum ms_err err = ms_config_load(&input, info, &config);
	bool loaded = err == MS_OK;
	if (loaded && !origin->without_secrets)
		err = load_secrets(&input, info, &config);
	free((void *)(uintptr_t)bytes.p);
	if (err == MS_OK)
		err = check_all(config, on_problem, arg, info);
	if (!loaded)
		return err;
	if (err == MS_OK)
		*ret_config = config;
	else
		ms_config_free(config);
	return err;
}

enum ms_err ms_settings_load(const struct settings_origin *origin, config_problem_fn *on_problem, void *arg,
			     struct errinfo *info, struct config **ret_config)
{
	struct arena arena;
	const char *path;
	ms_arena_init(&arena, 1024, (size_t)1 << 20);
	enum ms_err err = ms_settings_locate(origin, &arena, info, &path);
	if (err == MS_OK)
		err = load_from(origin, path, on_problem, arg, info, ret_config);
	ms_arena_fini(&arena);
	return err;
}
