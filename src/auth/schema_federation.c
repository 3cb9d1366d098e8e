// SPDX-License-Identifier: Apache-2.0
// Step 6 of the schema. It never changes; what is to be different is a further step.
#include "auth/internal.h"

// Who somebody is at an outside provider is issuer and subject together. `made`: the user was made for it.
const char ms_auth_schema_federation[] = "CREATE TABLE identities ("
					 " id TEXT PRIMARY KEY,"
					 " issuer TEXT NOT NULL,"
					 " subject TEXT NOT NULL,"
					 " user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,"
					 " made BIGINT NOT NULL,"
					 " created_us BIGINT NOT NULL,"
					 " used_us BIGINT NOT NULL," // 0: not yet
					 " UNIQUE (issuer, subject));"
					 "CREATE INDEX identities_user ON identities (user_id, id);";
