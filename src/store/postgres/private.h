// SPDX-License-Identifier: Apache-2.0
// Private to store/postgres: a connection, its errors, and values in the binary format.
#ifndef MS_STORE_POSTGRES_PRIVATE_H
#define MS_STORE_POSTGRES_PRIVATE_H

#include <libpq-fe.h>

#include "store/private.h"

extern const struct store_driver ms_store_postgres;

struct postgres_conn {
	struct store_conn base;
	PGconn *pg;
	struct store_cache cache;
	unsigned prepared;  // ever, for names
	bool begun;         // the present transaction has told the server
	bool writes;        // the present transaction
	unsigned answer_ms; // how long a statement may take
	int64_t heard_ns;   // for notices: of the last sign of life
	char instance[33];
};

// connect.c
bool ms_postgres_accepts(struct slice url);
void ms_postgres_place(const char *url, char dst[MS_STORE_PLACE_SIZE]);
enum ms_err ms_postgres_open(const struct store_target *target, enum store_purpose purpose, struct errinfo *info,
			     struct store_conn **ret_conn);
void ms_postgres_close(struct store_conn *conn);
// PQserverVersion() and server_encoding of a server that was reached.
MS_MUST_USE enum ms_err ms_postgres_check_server(int version, const char *encoding, const char *place,
						 struct errinfo *info);

// errors.c: what a failed result (NULL: there is none) means; fills words and fate.
enum ms_err ms_postgres_fail(struct postgres_conn *c, const PGresult *result, struct errinfo *info) MS_COLD;
enum ms_err ms_postgres_lost(struct postgres_conn *c, const char *why, struct errinfo *info) MS_COLD;

// postgres.c: a statement without parameters by the simple protocol. ret_status (may be NULL): "COMMIT", "ROLLBACK".
MS_MUST_USE enum ms_err ms_postgres_simple(struct postgres_conn *c, const char *sql, struct errinfo *info,
					   char ret_status[32]);

// values.c
struct postgres_params {
	Oid types[MS_STORE_PARAMS_MAX];
	const char *values[MS_STORE_PARAMS_MAX];
	int lengths[MS_STORE_PARAMS_MAX];
	int formats[MS_STORE_PARAMS_MAX];
	char numbers[MS_STORE_PARAMS_MAX][8]; // in the order of the network
};
MS_MUST_USE enum ms_err ms_postgres_params(const struct store_value *params, size_t count, struct errinfo *info,
					   struct postgres_params *ret_params);
MS_MUST_USE enum ms_err ms_postgres_rows(struct postgres_conn *c, const PGresult *result, size_t max_rows,
					 struct arena *arena, struct errinfo *info, struct store_rows *ret_rows);

#endif
