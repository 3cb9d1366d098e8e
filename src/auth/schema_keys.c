// SPDX-License-Identifier: Apache-2.0
// Step 2 of the schema: roles, API keys, and the changes that the hot path must see.
#include "auth/internal.h"

// auth_changes is what happened to whom, in the order of the commits: the counter's row is locked from the number's draw to the commit.
// Processes read on from the last number that they saw. A row may go once no token is alive that is older.
const char ms_auth_schema_keys[] =
	"CREATE TABLE roles (\n"
	"  name TEXT PRIMARY KEY,\n"
	"  description TEXT NOT NULL,\n"
	"  grants TEXT NOT NULL,\n"
	"  created_us BIGINT NOT NULL,\n"
	"  updated_us BIGINT NOT NULL\n"
	");\n"
	"CREATE TABLE api_keys (\n"
	"  id TEXT PRIMARY KEY,\n"
	"  name TEXT NOT NULL,\n"
	"  owner_id TEXT NOT NULL,\n"
	"  hint TEXT NOT NULL,\n"
	"  hash BLOB NOT NULL UNIQUE,\n"
	"  scopes TEXT NOT NULL,\n"
	"  created_us BIGINT NOT NULL,\n"
	"  expires_us BIGINT NOT NULL,\n"
	"  used_us BIGINT NOT NULL,\n"
	"  revoked_us BIGINT NOT NULL\n"
	");\n"
	"CREATE INDEX api_keys_owner ON api_keys (owner_id, id);\n"
	"CREATE TABLE auth_changes (\n"
	"  seq BIGINT PRIMARY KEY,\n"
	"  kind TEXT NOT NULL,\n"
	"  id TEXT NOT NULL,\n"
	"  time_us BIGINT NOT NULL\n"
	");\n"
	"CREATE INDEX auth_changes_time ON auth_changes (time_us);\n"
	"CREATE TABLE auth_numbers (\n"
	"  name TEXT PRIMARY KEY,\n"
	"  value BIGINT NOT NULL\n"
	");\n"
	"INSERT INTO auth_numbers (name, value) VALUES ('change', 0), ('token_life_us', 0);\n";
