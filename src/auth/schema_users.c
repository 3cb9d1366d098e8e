// SPDX-License-Identifier: Apache-2.0
// Step 1 of the schema. It never changes; what is to be different is a further step.
#include "auth/internal.h"

// The *_key columns are what names are looked for by: lower case. A refresh token is stored as its SHA-256; `successor` is the
// token that replaced it, sealed with a key that only the holder of the replaced token can derive.
const char ms_auth_schema_users[] = "CREATE TABLE users ("
				    " id TEXT PRIMARY KEY,"
				    " username TEXT NOT NULL,"
				    " username_key TEXT NOT NULL UNIQUE,"
				    " email TEXT,"
				    " email_key TEXT UNIQUE,"
				    " display_name TEXT NOT NULL,"
				    " password TEXT,"
				    " password_changed_us BIGINT NOT NULL,"
				    " state TEXT NOT NULL CHECK (state IN ('active', 'disabled')),"
				    " role TEXT NOT NULL,"
				    " grants TEXT NOT NULL,"
				    " created_us BIGINT NOT NULL,"
				    " updated_us BIGINT NOT NULL,"
				    " valid_after_us BIGINT NOT NULL);"
				    "CREATE INDEX users_role ON users (role);"
				    "CREATE TABLE sessions ("
				    " id TEXT PRIMARY KEY,"
				    " user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,"
				    " client_id TEXT NOT NULL,"
				    " created_us BIGINT NOT NULL,"
				    " used_us BIGINT NOT NULL,"
				    " expires_us BIGINT NOT NULL,"
				    " address TEXT NOT NULL,"
				    " agent TEXT NOT NULL,"
				    " methods TEXT NOT NULL,"
				    " revoked_us BIGINT NOT NULL);" // 0: open
				    "CREATE INDEX sessions_user ON sessions (user_id, revoked_us, used_us);"
				    "CREATE INDEX sessions_expiry ON sessions (expires_us);"
				    "CREATE TABLE refresh_tokens ("
				    " hash BLOB PRIMARY KEY,"
				    " session_id TEXT NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,"
				    " created_us BIGINT NOT NULL,"
				    " expires_us BIGINT NOT NULL,"
				    " used_us BIGINT NOT NULL," // 0: not yet
				    " successor BLOB);"
				    "CREATE INDEX refresh_tokens_session ON refresh_tokens (session_id, used_us);";
