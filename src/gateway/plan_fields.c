// SPDX-License-Identifier: Apache-2.0
// The fields of every entity, as Kong names them and with Kong's defaults; what is ours besides says so in its help.
#include <stddef.h>

#include "gateway/plan_private.h"

#define AT(type, member) .offset = offsetof(struct type, member)
#define PORT_RANGE .min = 0, .max = 65535
#define MILLISECONDS .min = 1, .max = 2147483646
#define COUNT .min = 0, .max = 255
#define SECONDS .min = 0, .max = 65535

#define BASE_FIELDS(type)                                                                                                                         \
	{.name = "id", .kind = FIELD_STRING, AT(type, base.id), .max = 36, .help = "UUID; made from the name where it is missing."},              \
		{.name = "created_at", .kind = FIELD_INTEGER, AT(type, base.created_at), .help = "Taken, not used."},                              \
		{.name = "updated_at", .kind = FIELD_INTEGER, AT(type, base.updated_at), .help = "Taken, not used."}
#define OWNER_FIELD(type, owner_name, owner_kind) {.name = owner_name, .kind = FIELD_JSON, AT(type, base.owners[owner_kind]), .help = "Name or id."}
#define NESTED_FIELD(type, nested_name, index) {.name = nested_name, .kind = FIELD_JSON, AT(type, base.nested[index])}
#define TAGS(type, member) {.name = "tags", .kind = FIELD_STRINGS, AT(type, member), .min = 1, .max = 256}

const char *const ms_gw_protocol_names[] = {"http", "https", "grpc", "grpcs", "ws", "wss", "local", NULL};
static const char *const route_protocols[] = {"http", "https", "grpc", "grpcs", "ws", "wss", NULL};

static const struct field service_fields[] = {
	BASE_FIELDS(service_row),
	{.name = "name", .kind = FIELD_STRING, AT(service_row, s.name), .min = 1, .max = 256},
	{.name = "url", .kind = FIELD_STRING, AT(service_row, url), .min = 1, .max = 2048, .help = "In place of protocol, host, port and path."},
	{.name = "protocol", .kind = FIELD_CHOICE, AT(service_row, s.protocol), .fallback = "\"http\"", .choices = ms_gw_protocol_names,
	 .help = "\"local\" (Mainstay's own): the routes of this process."},
	{.name = "host", .kind = FIELD_STRING, AT(service_row, s.host), .min = 1, .max = 253, .help = "Name of an upstream, or a host."},
	{.name = "port", .kind = FIELD_INTEGER, AT(service_row, port), .fallback = "80", PORT_RANGE},
	{.name = "path", .kind = FIELD_STRING, AT(service_row, s.path), .min = 1, .max = 2048},
	{.name = "retries", .kind = FIELD_INTEGER, AT(service_row, s.retries), .fallback = "5", .min = 0, .max = 32767},
	{.name = "connect_timeout", .kind = FIELD_INTEGER, AT(service_row, s.connect_timeout_ms), .fallback = "60000", MILLISECONDS, .help = "Milliseconds."},
	{.name = "write_timeout", .kind = FIELD_INTEGER, AT(service_row, s.write_timeout_ms), .fallback = "60000", MILLISECONDS, .help = "Milliseconds."},
	{.name = "read_timeout", .kind = FIELD_INTEGER, AT(service_row, s.read_timeout_ms), .fallback = "60000", MILLISECONDS, .help = "Milliseconds."},
	{.name = "enabled", .kind = FIELD_BOOL, AT(service_row, s.enabled), .fallback = "true"},
	{.name = "tls_verify", .kind = FIELD_BOOL, AT(service_row, s.tls_verify), .fallback = "true",
	 .help = "Whether the upstream's certificate is checked. Mainstay checks unless told not to."},
	{.name = "tls_verify_depth", .kind = FIELD_INTEGER, AT(service_row, s.tls_verify_depth), .min = 0, .max = 64},
	{.name = "ca_certificates", .kind = FIELD_STRINGS, AT(service_row, ca_certificates), .min = 1, .max = 64, .help = "Ids of ca_certificates."},
	{.name = "client_certificate", .kind = FIELD_JSON, AT(service_row, client_certificate), .help = "Id of a certificate."},
	TAGS(service_row, s.tags),
	NESTED_FIELD(service_row, "routes", 0),
	NESTED_FIELD(service_row, "plugins", 1),
	{0},
};

static const char *const path_handlings[] = {"v0", "v1", NULL};

static enum ms_err check_redirect(const struct json_value *value, struct errinfo *info)
{
	int64_t code;
	if (ms_json_as_i64(value, &code) && (code == 426 || code == 301 || code == 302 || code == 307 || code == 308))
		return MS_OK;
	return ms_fail(info, MS_ERR_CONFIG, "found %.*s; expected 426, 301, 302, 307 or 308", MS_SLICE_ARG(value->str));
}

static enum ms_err refuse(const struct json_value *value, struct errinfo *info)
{
	(void)value;
	return ms_fail(info, MS_ERR_CONFIG, "not supported here; expected null, or nothing");
}

static const struct field route_fields[] = {
	BASE_FIELDS(route_row),
	{.name = "name", .kind = FIELD_STRING, AT(route_row, r.name), .min = 1, .max = 256},
	{.name = "protocols", .kind = FIELD_CHOICES, AT(route_row, r.protocols), .fallback = "[\"http\",\"https\"]", .choices = route_protocols},
	{.name = "methods", .kind = FIELD_STRINGS, AT(route_row, r.methods), .min = 1, .max = 64},
	{.name = "hosts", .kind = FIELD_STRINGS, AT(route_row, r.hosts), .min = 1, .max = 260, .help = "May begin or end with *."},
	{.name = "paths", .kind = FIELD_STRINGS, AT(route_row, r.paths), .min = 1, .max = 4096, .help = "Prefixes; regular expressions begin with ~."},
	{.name = "headers", .kind = FIELD_MAP, AT(route_row, r.headers), .min = 1, .max = 1024},
	{.name = "snis", .kind = FIELD_STRINGS, AT(route_row, r.snis), .min = 1, .max = 254},
	{.name = "https_redirect_status_code", .kind = FIELD_INTEGER, AT(route_row, r.https_redirect_status_code), .fallback = "426", .check = check_redirect,
	 .help = "For plain requests to a route that is for https alone: 426, 301, 302, 307 or 308."},
	{.name = "strip_path", .kind = FIELD_BOOL, AT(route_row, r.strip_path), .fallback = "true"},
	{.name = "preserve_host", .kind = FIELD_BOOL, AT(route_row, r.preserve_host), .fallback = "false"},
	{.name = "regex_priority", .kind = FIELD_INTEGER, AT(route_row, r.regex_priority), .fallback = "0", .min = -2147483648.0, .max = 4294967295.0},
	{.name = "path_handling", .kind = FIELD_CHOICE, AT(route_row, r.path_handling), .fallback = "\"v0\"", .choices = path_handlings},
	{.name = "request_buffering", .kind = FIELD_BOOL, AT(route_row, r.request_buffering), .fallback = "true"},
	{.name = "response_buffering", .kind = FIELD_BOOL, AT(route_row, r.response_buffering), .fallback = "true"},
	{.name = "sources", .kind = FIELD_JSON, AT(route_row, base.nested[4]), .check = refuse, .help = "Of streams; null."},
	{.name = "destinations", .kind = FIELD_JSON, AT(route_row, base.nested[5]), .check = refuse, .help = "Of streams; null."},
	TAGS(route_row, r.tags),
	OWNER_FIELD(route_row, "service", OWNER_SERVICE),
	NESTED_FIELD(route_row, "plugins", 0),
	{0},
};

static const char *const check_types[] = {"http", "https", "tcp", "grpc", "grpcs", NULL};

static const struct field active_healthy_fields[] = {
	{.name = "interval", .kind = FIELD_NUMBER, AT(gw_active_check, healthy_interval_s), .fallback = "0", SECONDS, .help = "Seconds; 0: off."},
	{.name = "http_statuses", .kind = FIELD_INTEGERS, AT(gw_active_check, healthy_statuses), .fallback = "[200,302]", .min = 100, .max = 999},
	{.name = "successes", .kind = FIELD_INTEGER, AT(gw_active_check, healthy_successes), .fallback = "0", COUNT, .help = "0: off."},
	{0},
};
static const struct field active_unhealthy_fields[] = {
	{.name = "interval", .kind = FIELD_NUMBER, AT(gw_active_check, unhealthy_interval_s), .fallback = "0", SECONDS, .help = "Seconds; 0: off."},
	{.name = "http_statuses", .kind = FIELD_INTEGERS, AT(gw_active_check, unhealthy_statuses), .fallback = "[429,404,500,501,502,503,504,505]",
	 .min = 100, .max = 999},
	{.name = "tcp_failures", .kind = FIELD_INTEGER, AT(gw_active_check, unhealthy_tcp_failures), .fallback = "0", COUNT, .help = "0: off."},
	{.name = "timeouts", .kind = FIELD_INTEGER, AT(gw_active_check, unhealthy_timeouts), .fallback = "0", COUNT, .help = "0: off."},
	{.name = "http_failures", .kind = FIELD_INTEGER, AT(gw_active_check, unhealthy_http_failures), .fallback = "0", COUNT, .help = "0: off."},
	{0},
};
// The records of Kong's checks are one struct here: the offsets of the inner tables are those of the struct around.
static const struct field active_fields[] = {
	{.name = "type", .kind = FIELD_CHOICE, AT(gw_active_check, type), .fallback = "\"http\"", .choices = check_types},
	{.name = "timeout", .kind = FIELD_NUMBER, AT(gw_active_check, timeout_s), .fallback = "1", SECONDS, .help = "Seconds."},
	{.name = "concurrency", .kind = FIELD_INTEGER, AT(gw_active_check, concurrency), .fallback = "10", .min = 1, .max = 2147483648.0},
	{.name = "http_path", .kind = FIELD_STRING, AT(gw_active_check, http_path), .fallback = "\"/\"", .min = 1, .max = 2048},
	{.name = "https_sni", .kind = FIELD_STRING, AT(gw_active_check, https_sni), .min = 1, .max = 253},
	{.name = "https_verify_certificate", .kind = FIELD_BOOL, AT(gw_active_check, https_verify_certificate), .fallback = "true"},
	{.name = "headers", .kind = FIELD_MAP, AT(gw_active_check, headers), .max = 4096},
	{.name = "healthy", .kind = FIELD_RECORD, .offset = 0, .fields = active_healthy_fields},
	{.name = "unhealthy", .kind = FIELD_RECORD, .offset = 0, .fields = active_unhealthy_fields},
	{0},
};

static const struct field passive_healthy_fields[] = {
	{.name = "http_statuses", .kind = FIELD_INTEGERS, AT(gw_passive_check, healthy_statuses),
	 .fallback = "[200,201,202,203,204,205,206,207,208,226,300,301,302,303,304,305,306,307,308]", .min = 100, .max = 999},
	{.name = "successes", .kind = FIELD_INTEGER, AT(gw_passive_check, healthy_successes), .fallback = "0", COUNT, .help = "0: off."},
	{0},
};
static const struct field passive_unhealthy_fields[] = {
	{.name = "http_statuses", .kind = FIELD_INTEGERS, AT(gw_passive_check, unhealthy_statuses), .fallback = "[429,500,503]", .min = 100, .max = 999},
	{.name = "tcp_failures", .kind = FIELD_INTEGER, AT(gw_passive_check, unhealthy_tcp_failures), .fallback = "0", COUNT, .help = "0: off."},
	{.name = "timeouts", .kind = FIELD_INTEGER, AT(gw_passive_check, unhealthy_timeouts), .fallback = "0", COUNT, .help = "0: off."},
	{.name = "http_failures", .kind = FIELD_INTEGER, AT(gw_passive_check, unhealthy_http_failures), .fallback = "0", COUNT, .help = "0: off."},
	{0},
};
static const struct field passive_fields[] = {
	{.name = "type", .kind = FIELD_CHOICE, AT(gw_passive_check, type), .fallback = "\"http\"", .choices = check_types},
	{.name = "healthy", .kind = FIELD_RECORD, .offset = 0, .fields = passive_healthy_fields},
	{.name = "unhealthy", .kind = FIELD_RECORD, .offset = 0, .fields = passive_unhealthy_fields},
	{0},
};
static const struct field healthcheck_fields[] = {
	{.name = "threshold", .kind = FIELD_NUMBER, AT(gw_upstream, health_threshold), .fallback = "0", .min = 0, .max = 100,
	 .help = "Percent of the weight that must be healthy."},
	{.name = "active", .kind = FIELD_RECORD, AT(gw_upstream, active), .fields = active_fields},
	{.name = "passive", .kind = FIELD_RECORD, AT(gw_upstream, passive), .fields = passive_fields},
	{0},
};
static const struct field outlier_fields[] = {
	{.name = "enabled", .kind = FIELD_BOOL, AT(gw_outlier, enabled), .fallback = "false"},
	{.name = "consecutive_5xx", .kind = FIELD_INTEGER, AT(gw_outlier, consecutive_5xx), .fallback = "5", .min = 0, .max = 1000000, .help = "0: off."},
	{.name = "max_ejection_percent", .kind = FIELD_INTEGER, AT(gw_outlier, max_ejection_percent), .fallback = "10", .min = 0, .max = 100},
	{.name = "interval", .kind = FIELD_NUMBER, AT(gw_outlier, interval_s), .fallback = "10", .min = 0.01, .max = 86400, .help = "Seconds."},
	{.name = "base_ejection_time", .kind = FIELD_NUMBER, AT(gw_outlier, base_ejection_time_s), .fallback = "30", .min = 0.01, .max = 86400, .help = "Seconds."},
	{.name = "max_ejection_time", .kind = FIELD_NUMBER, AT(gw_outlier, max_ejection_time_s), .fallback = "300", .min = 0.01, .max = 86400, .help = "Seconds."},
	{.name = "success_rate_minimum_hosts", .kind = FIELD_INTEGER, AT(gw_outlier, success_rate_minimum_hosts), .fallback = "5", .min = 0, .max = 65535},
	{.name = "success_rate_request_volume", .kind = FIELD_INTEGER, AT(gw_outlier, success_rate_request_volume), .fallback = "100", .min = 1, .max = 1000000000},
	{.name = "success_rate_stdev", .kind = FIELD_NUMBER, AT(gw_outlier, success_rate_stdev), .fallback = "1.9", .min = 0.1, .max = 100},
	{0},
};
static const struct field breaker_fields[] = {
	{.name = "max_connections", .kind = FIELD_INTEGER, AT(gw_breaker, max_connections), .fallback = "1024", .min = 1, .max = 1000000},
	{.name = "max_pending", .kind = FIELD_INTEGER, AT(gw_breaker, max_pending), .fallback = "1024", .min = 0, .max = 1000000},
	{.name = "max_requests", .kind = FIELD_INTEGER, AT(gw_breaker, max_requests), .fallback = "1024", .min = 1, .max = 1000000},
	{.name = "max_retries", .kind = FIELD_INTEGER, AT(gw_breaker, max_retries), .fallback = "3", .min = 0, .max = 1000000},
	{.name = "retry_budget_percent", .kind = FIELD_NUMBER, AT(gw_breaker, retry_budget_percent), .fallback = "20", .min = 0, .max = 100},
	{0},
};
static const char *const algorithms[] = {"round-robin", "least-connections", "consistent-hashing", "latency", NULL};
static const char *const hash_ons[] = {"none", "consumer", "ip", "header", "cookie", "path", "query_arg", "uri_capture", NULL};

static const struct field upstream_fields[] = {
	BASE_FIELDS(upstream_row),
	{.name = "name", .kind = FIELD_STRING, AT(upstream_row, u.name), .required = true, .min = 1, .max = 253},
	{.name = "algorithm", .kind = FIELD_CHOICE, AT(upstream_row, u.algorithm), .fallback = "\"round-robin\"", .choices = algorithms},
	{.name = "hash_on", .kind = FIELD_CHOICE, AT(upstream_row, u.hash_on), .fallback = "\"none\"", .choices = hash_ons},
	{.name = "hash_fallback", .kind = FIELD_CHOICE, AT(upstream_row, u.hash_fallback), .fallback = "\"none\"", .choices = hash_ons},
	{.name = "hash_on_header", .kind = FIELD_STRING, AT(upstream_row, u.hash_on_header), .min = 1, .max = 256},
	{.name = "hash_on_cookie", .kind = FIELD_STRING, AT(upstream_row, u.hash_on_cookie), .min = 1, .max = 256},
	{.name = "hash_on_cookie_path", .kind = FIELD_STRING, AT(upstream_row, u.hash_on_cookie_path), .fallback = "\"/\"", .min = 1, .max = 1024},
	{.name = "hash_on_query_arg", .kind = FIELD_STRING, AT(upstream_row, u.hash_on_query_arg), .min = 1, .max = 256},
	{.name = "hash_on_uri_capture", .kind = FIELD_STRING, AT(upstream_row, u.hash_on_uri_capture), .min = 1, .max = 256},
	{.name = "hash_fallback_header", .kind = FIELD_STRING, AT(upstream_row, u.hash_fallback_header), .min = 1, .max = 256},
	{.name = "hash_fallback_query_arg", .kind = FIELD_STRING, AT(upstream_row, u.hash_fallback_query_arg), .min = 1, .max = 256},
	{.name = "hash_fallback_uri_capture", .kind = FIELD_STRING, AT(upstream_row, u.hash_fallback_uri_capture), .min = 1, .max = 256},
	{.name = "slots", .kind = FIELD_INTEGER, AT(upstream_row, u.slots), .fallback = "10000", .min = 10, .max = 65536},
	{.name = "host_header", .kind = FIELD_STRING, AT(upstream_row, u.host_header), .min = 1, .max = 260},
	{.name = "use_srv_name", .kind = FIELD_BOOL, AT(upstream_row, use_srv_name), .fallback = "false"},
	{.name = "client_certificate", .kind = FIELD_JSON, AT(upstream_row, base.nested[5]), .check = refuse, .help = "Not supported; null."},
	{.name = "healthchecks", .kind = FIELD_RECORD, AT(upstream_row, u), .fields = healthcheck_fields},
	{.name = "outlier", .kind = FIELD_RECORD, AT(upstream_row, u.outlier), .fields = outlier_fields, .help = "Mainstay's own: ejects targets that fail."},
	{.name = "breaker", .kind = FIELD_RECORD, AT(upstream_row, u.breaker), .fields = breaker_fields, .help = "Mainstay's own: circuit breaker."},
	{.name = "slow_start", .kind = FIELD_NUMBER, AT(upstream_row, u.slow_start_s), .fallback = "0", .min = 0, .max = 3600,
	 .help = "Mainstay's own: seconds in which a new target's share grows; 0: off."},
	{.name = "active_group", .kind = FIELD_STRING, AT(upstream_row, u.active_group), .min = 1, .max = 64,
	 .help = "Mainstay's own: the group of targets that gets the traffic."},
	TAGS(upstream_row, u.tags),
	NESTED_FIELD(upstream_row, "targets", 0),
	{0},
};

static const struct field target_fields[] = {
	BASE_FIELDS(target_row),
	{.name = "target", .kind = FIELD_STRING, AT(target_row, t.target), .required = true, .min = 1, .max = 260, .help = "host:port; the port is 8000 if missing."},
	{.name = "weight", .kind = FIELD_INTEGER, AT(target_row, weight), .fallback = "100", .min = 0, .max = 65535},
	{.name = "group", .kind = FIELD_STRING, AT(target_row, t.group), .min = 1, .max = 64, .help = "Mainstay's own: see active_group."},
	TAGS(target_row, t.tags),
	OWNER_FIELD(target_row, "upstream", OWNER_UPSTREAM),
	{0},
};

static const struct field consumer_fields[] = {
	BASE_FIELDS(consumer_row),
	{.name = "username", .kind = FIELD_STRING, AT(consumer_row, c.username), .min = 1, .max = 256},
	{.name = "custom_id", .kind = FIELD_STRING, AT(consumer_row, c.custom_id), .min = 1, .max = 256},
	TAGS(consumer_row, c.tags),
	NESTED_FIELD(consumer_row, "keyauth_credentials", 0),
	NESTED_FIELD(consumer_row, "jwt_secrets", 1),
	NESTED_FIELD(consumer_row, "basicauth_credentials", 2),
	NESTED_FIELD(consumer_row, "acls", 3),
	NESTED_FIELD(consumer_row, "plugins", 4),
	{0},
};
static const struct field keyauth_fields[] = {
	BASE_FIELDS(credential_row),
	{.name = "key", .kind = FIELD_STRING, AT(credential_row, c.key), .required = true, .min = 1, .max = 4096, .secret = true},
	TAGS(credential_row, tags),
	OWNER_FIELD(credential_row, "consumer", OWNER_CONSUMER),
	{0},
};
static const char *const jwt_algorithms[] = {"HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "ES256",
					     "ES384", "ES512", "PS256", "PS384", "PS512", "EdDSA", NULL};

static enum ms_err check_jwt_algorithm(const struct json_value *value, struct errinfo *info)
{
	for (size_t i = 0; jwt_algorithms[i] != NULL; i++) {
		if (ms_slice_eq_cstr(value->str, jwt_algorithms[i]))
			return MS_OK;
	}
	return ms_fail(info, MS_ERR_CONFIG, "found \"%.*s\"; expected HS, RS, ES or PS with 256, 384 or 512, or EdDSA", MS_SLICE_ARG(value->str));
}

static const struct field jwt_fields[] = {
	BASE_FIELDS(credential_row),
	{.name = "key", .kind = FIELD_STRING, AT(credential_row, c.key), .required = true, .min = 1, .max = 4096, .help = "Value of the token's key claim (iss)."},
	{.name = "secret", .kind = FIELD_STRING, AT(credential_row, c.secret), .min = 1, .max = 65536, .secret = true},
	{.name = "rsa_public_key", .kind = FIELD_STRING, AT(credential_row, c.rsa_public_key), .min = 1, .max = 65536, .help = "PEM, of any kind of public key."},
	{.name = "algorithm", .kind = FIELD_STRING, AT(credential_row, c.algorithm), .fallback = "\"HS256\"", .max = 16, .check = check_jwt_algorithm},
	TAGS(credential_row, tags),
	OWNER_FIELD(credential_row, "consumer", OWNER_CONSUMER),
	{0},
};
static const struct field basicauth_fields[] = {
	BASE_FIELDS(credential_row),
	{.name = "username", .kind = FIELD_STRING, AT(credential_row, c.key), .required = true, .min = 1, .max = 1024},
	{.name = "password", .kind = FIELD_STRING, AT(credential_row, c.secret), .required = true, .min = 1, .max = 1024, .secret = true,
	 .help = "Plain, or a stored hash: \"$argon2id$…\"."},
	TAGS(credential_row, tags),
	OWNER_FIELD(credential_row, "consumer", OWNER_CONSUMER),
	{0},
};
static const struct field acl_fields[] = {
	BASE_FIELDS(acl_row),
	{.name = "group", .kind = FIELD_STRING, AT(acl_row, group), .required = true, .min = 1, .max = 256},
	TAGS(acl_row, tags),
	OWNER_FIELD(acl_row, "consumer", OWNER_CONSUMER),
	{0},
};
static const char *const run_ons[] = {"first", NULL};
static const struct field plugin_fields[] = {
	BASE_FIELDS(plugin_row),
	{.name = "name", .kind = FIELD_STRING, AT(plugin_row, name), .required = true, .min = 1, .max = 64},
	{.name = "instance_name", .kind = FIELD_STRING, AT(plugin_row, instance_name), .min = 1, .max = 256},
	{.name = "enabled", .kind = FIELD_BOOL, AT(plugin_row, enabled), .fallback = "true"},
	{.name = "protocols", .kind = FIELD_CHOICES, AT(plugin_row, protocols), .fallback = "[\"grpc\",\"grpcs\",\"http\",\"https\",\"ws\",\"wss\"]",
	 .choices = route_protocols},
	{.name = "config", .kind = FIELD_JSON, AT(plugin_row, config)},
	{.name = "run_on", .kind = FIELD_CHOICE, AT(plugin_row, run_on), .choices = run_ons, .help = "Of old files; not used."},
	TAGS(plugin_row, tags),
	OWNER_FIELD(plugin_row, "service", OWNER_SERVICE),
	OWNER_FIELD(plugin_row, "route", OWNER_ROUTE),
	OWNER_FIELD(plugin_row, "consumer", OWNER_CONSUMER),
	{0},
};
static const struct field certificate_fields[] = {
	BASE_FIELDS(certificate_row),
	{.name = "cert", .kind = FIELD_STRING, AT(certificate_row, cert), .required = true, .min = 1, .max = 65536, .help = "PEM."},
	{.name = "key", .kind = FIELD_STRING, AT(certificate_row, key), .required = true, .min = 1, .max = 65536, .secret = true, .help = "PEM."},
	TAGS(certificate_row, tags),
	{0},
};
static const struct field ca_certificate_fields[] = {
	BASE_FIELDS(certificate_row),
	{.name = "cert", .kind = FIELD_STRING, AT(certificate_row, cert), .required = true, .min = 1, .max = 65536, .help = "PEM."},
	{.name = "cert_digest", .kind = FIELD_STRING, AT(certificate_row, cert_digest), .min = 1, .max = 64},
	TAGS(certificate_row, tags),
	{0},
};

#define OF_SERVICE (1U << OWNER_SERVICE)
#define OF_ROUTE (1U << OWNER_ROUTE)
#define OF_CONSUMER (1U << OWNER_CONSUMER)
#define OF_UPSTREAM (1U << OWNER_UPSTREAM)

// The order of nested kinds is that of base.nested in the tables above.
const struct entity_def ms_entity_defs[ENTITY_KINDS] = {
	[ENTITY_SERVICE] = {"services", "name", service_fields, sizeof(struct service_row), 0, 0, {ENTITY_ROUTE, ENTITY_PLUGIN, ENTITY_KINDS}},
	[ENTITY_ROUTE] = {"routes", "name", route_fields, sizeof(struct route_row), OF_SERVICE, 0, {ENTITY_PLUGIN, ENTITY_KINDS}},
	[ENTITY_UPSTREAM] = {"upstreams", "name", upstream_fields, sizeof(struct upstream_row), 0, 0, {ENTITY_TARGET, ENTITY_KINDS}},
	[ENTITY_TARGET] = {"targets", NULL, target_fields, sizeof(struct target_row), OF_UPSTREAM, OF_UPSTREAM, {ENTITY_KINDS}},
	[ENTITY_CONSUMER] = {"consumers", "username", consumer_fields, sizeof(struct consumer_row), 0, 0,
			     {ENTITY_KEYAUTH, ENTITY_JWT, ENTITY_BASICAUTH, ENTITY_ACL, ENTITY_PLUGIN, ENTITY_KINDS}},
	[ENTITY_KEYAUTH] = {"keyauth_credentials", NULL, keyauth_fields, sizeof(struct credential_row), OF_CONSUMER, OF_CONSUMER, {ENTITY_KINDS}},
	[ENTITY_JWT] = {"jwt_secrets", NULL, jwt_fields, sizeof(struct credential_row), OF_CONSUMER, OF_CONSUMER, {ENTITY_KINDS}},
	[ENTITY_BASICAUTH] = {"basicauth_credentials", NULL, basicauth_fields, sizeof(struct credential_row), OF_CONSUMER, OF_CONSUMER, {ENTITY_KINDS}},
	[ENTITY_ACL] = {"acls", NULL, acl_fields, sizeof(struct acl_row), OF_CONSUMER, OF_CONSUMER, {ENTITY_KINDS}},
	[ENTITY_PLUGIN] = {"plugins", NULL, plugin_fields, sizeof(struct plugin_row), OF_SERVICE | OF_ROUTE | OF_CONSUMER, 0, {ENTITY_KINDS}},
	[ENTITY_CERTIFICATE] = {"certificates", NULL, certificate_fields, sizeof(struct certificate_row), 0, 0, {ENTITY_KINDS}},
	[ENTITY_CA_CERTIFICATE] = {"ca_certificates", NULL, ca_certificate_fields, sizeof(struct certificate_row), 0, 0, {ENTITY_KINDS}},
};
const char *const ms_owner_names[OWNER_KINDS] = {"service", "route", "consumer", "upstream"};
const enum entity_kind ms_owner_entities[OWNER_KINDS] = {ENTITY_SERVICE, ENTITY_ROUTE, ENTITY_CONSUMER, ENTITY_UPSTREAM};
