// SPDX-License-Identifier: Apache-2.0
// Addresses, connecting, and the settings of a session. The text of the address is in no message: it may hold a password.
#include <stdio.h>
#include <stdlib.h>

#include "store/postgres/private.h"

#define OLDEST_VERSION 150000
#define SCHEMA_ANSWER_MS 86400000U // a migration of a large table, or another one's that is waited for

bool ms_postgres_accepts(struct slice url)
{
	return ms_slice_starts_with(url, MS_SLICE_LIT("postgres://")) ||
	       ms_slice_starts_with(url, MS_SLICE_LIT("postgresql://"));
}

static const char *option_of(const PQconninfoOption *options, const char *keyword)
{
	for (; options != NULL && options->keyword != NULL; options++) {
		if (strcmp(options->keyword, keyword) == 0)
			return options->val;
	}
	return NULL;
}

// A password with a '/' or '?' that is not escaped puts its parts where host, port and name are. NULL for such an address, and
// for one that cannot be read. (libpq's own words would show parts of it.)
static PQconninfoOption *parse_url(const char *url)
{
	const char *authority = strstr(url, "://") + 3;
	const char *path = authority + strcspn(authority, "/?");
	PQconninfoOption *options = PQconninfoParse(url, NULL);
	const char *port = option_of(options, "port");
	bool strange = memchr(path, '@', strcspn(path, "?")) != NULL ||
		       (port != NULL && port[strspn(port, "0123456789,")] != '\0');
	if (!strange)
		return options;
	PQconninfoFree(options);
	return NULL;
}

void ms_postgres_place(const char *url, char dst[MS_STORE_PLACE_SIZE])
{
	PQconninfoOption *options = parse_url(url);
	const char *host = option_of(options, "host"), *port = option_of(options, "port"),
		   *name = option_of(options, "dbname");
	snprintf(dst, MS_STORE_PLACE_SIZE, "postgres %.120s:%.20s/%.100s", host != NULL ? host : "localhost",
		 port != NULL ? port : "5432", name != NULL ? name : "");
	PQconninfoFree(options);
}

static enum ms_err check_url(const char *url, struct errinfo *info)
{
	PQconninfoOption *options = parse_url(url);
	if (options == NULL)
		return ms_fail(
			info, MS_ERR_CONFIG,
			"the address of the database cannot be read; expected postgres://user:password@host:port/name, "
			"with characters such as @ : / ? %% in the password written as %%40 %%3A %%2F %%3F %%25, and "
			"only "
			"parameters of libpq behind a ?");
	PQconninfoFree(options);
	return MS_OK;
}

static void drop_notice(void *arg, const PGresult *result)
{
	(void)arg;
	(void)result;
}

static PGconn *connect_to(const char *url)
{
	// What the address says stands above what is before it, and below what is behind it.
	static const char *const before[][2] = {
		{"connect_timeout", "5"},
		{"keepalives", "1"},
		{"keepalives_idle", "30"},
		{"keepalives_interval", "10"},
		{"keepalives_count", "3"},
		{"tcp_user_timeout", "60000"},
		{"fallback_application_name", "mainstay"},
		{"target_session_attrs", "read-write"},
	};
	const char *keywords[MS_ARRAY_LEN(before) + 3], *values[MS_ARRAY_LEN(before) + 3];
	size_t n = 0;
	for (; n < MS_ARRAY_LEN(before); n++) {
		keywords[n] = before[n][0];
		values[n] = before[n][1];
	}
	keywords[n] = "dbname";
	values[n++] = url;
	keywords[n] = "client_encoding";
	values[n++] = "UTF8";
	keywords[n] = values[n] = NULL;
	return PQconnectdbParams(keywords, values, 1);
}

enum ms_err ms_postgres_check_server(int version, const char *encoding, const char *place, struct errinfo *info)
{
	if (version < OLDEST_VERSION)
		return ms_fail(info, MS_ERR_STORE, "%s is PostgreSQL %d.%d; version %d or later is needed", place,
			       version / 10000, version >= 100000 ? version % 10000 : version / 100 % 100,
			       OLDEST_VERSION / 10000);
	if (encoding == NULL || strcmp(encoding, "UTF8") != 0)
		return ms_fail(info, MS_ERR_STORE,
			       "%s has the encoding %.30s; create the database with ENCODING 'UTF8'", place,
			       encoding != NULL ? encoding : "unknown");
	return MS_OK;
}

static enum ms_err set_up(struct postgres_conn *c, enum store_purpose purpose, struct errinfo *info)
{
	// An acknowledged write is on disk: a server that is set to answer before is told otherwise, a stricter one is left alone.
	static const char common[] = "SET client_min_messages = warning; SET extra_float_digits = 1; "
				     "SELECT set_config('synchronous_commit', 'on', false) WHERE "
				     "current_setting('synchronous_commit') = 'off'; ";
	char limits[200];
	// The server gives up first, and says so; who does not even say that is given up a little later.
	unsigned ms = purpose == STORE_FOR_SCHEMA ? SCHEMA_ANSWER_MS : c->answer_ms;
	snprintf(limits, sizeof(limits),
		 "SET statement_timeout = %u; SET lock_timeout = %u; SET idle_in_transaction_session_timeout = %u", ms,
		 ms, ms);
	MS_TRY(ms_postgres_simple(c, common, info, NULL));
	MS_TRY(ms_postgres_simple(c, limits, info, NULL));
	c->answer_ms = ms;
	return MS_OK;
}

enum ms_err ms_postgres_open(const struct store_target *target, enum store_purpose purpose, struct errinfo *info,
			     struct store_conn **ret_conn)
{
	char place[MS_STORE_PLACE_SIZE];
	MS_TRY(check_url(target->url, info));
	ms_postgres_place(target->url, place);
	struct postgres_conn *c = calloc(1, sizeof(*c));
	if (c == NULL)
		return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory for a connection to the database");
	c->base.driver = &ms_store_postgres;
	c->answer_ms = target->answer_ms;
	snprintf(c->instance, sizeof(c->instance), "%s", target->instance);
	c->pg = connect_to(target->url);
	enum ms_err err = MS_OK;
	if (c->pg == NULL) {
		err = ms_fail(info, MS_ERR_NO_MEMORY, "out of memory for a connection to the database");
	} else if (PQstatus(c->pg) != CONNECTION_OK) {
		MS_IGNORE(ms_postgres_fail(c, NULL, NULL)); // for its words
		err = ms_fail(info, MS_ERR_STORE_GONE, "%s cannot be reached: %.250s", place, c->base.words);
	} else {
		PQsetNoticeReceiver(c->pg, drop_notice, NULL);
		err = ms_postgres_check_server(PQserverVersion(c->pg), PQparameterStatus(c->pg, "server_encoding"),
					       place, info);
		if (err == MS_OK)
			err = set_up(c, purpose, info);
	}
	if (err != MS_OK) {
		ms_postgres_close(&c->base);
		return err;
	}
	*ret_conn = &c->base;
	return MS_OK;
}

void ms_postgres_close(struct store_conn *conn)
{
	struct postgres_conn *c = MS_CONTAINER_OF(conn, struct postgres_conn, base);
	for (size_t i = 0; i < MS_ARRAY_LEN(c->cache.slots); i++)
		free(c->cache.slots[i].statement);
	PQfinish(c->pg);
	free(c);
}
