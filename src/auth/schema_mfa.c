// SPDX-License-Identifier: Apache-2.0
// The schema of second factors. It never changes; what is to be different is a further step.
#include "auth/internal.h"

// A TOTP secret is sealed with the master key (context "totp:USER"); the recovery codes of a set have one salt, so that a code is hashed once to
// be looked for. `spent` holds the SHA-256 of tokens and challenges that were used, until they would have expired.
const char ms_auth_schema_mfa[] = "CREATE TABLE totp ("
				  " user_id TEXT PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,"
				  " sealed BLOB NOT NULL,"
				  " last_step BIGINT NOT NULL," // of the newest code that was used; -1: none
				  " created_us BIGINT NOT NULL,"
				  " confirmed_us BIGINT NOT NULL);" // 0: not yet, so it counts for nothing
				  "CREATE TABLE recovery_sets ("
				  " user_id TEXT PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,"
				  " salt BLOB NOT NULL,"
				  " memory_kib BIGINT NOT NULL,"
				  " passes BIGINT NOT NULL,"
				  " created_us BIGINT NOT NULL);"
				  "CREATE TABLE recovery_codes ("
				  " user_id TEXT NOT NULL REFERENCES recovery_sets (user_id) ON DELETE CASCADE,"
				  " hash TEXT NOT NULL,"
				  " PRIMARY KEY (user_id, hash));"
				  "CREATE TABLE passkeys ("
				  " id TEXT PRIMARY KEY,"
				  " user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,"
				  " credential_id BLOB NOT NULL UNIQUE,"
				  " public_key BLOB NOT NULL," // COSE
				  " name TEXT NOT NULL,"
				  " transports TEXT NOT NULL,"
				  " aaguid BLOB NOT NULL,"
				  " sign_count BIGINT NOT NULL,"
				  " verified BIGINT NOT NULL,"
				  " eligible BIGINT NOT NULL,"
				  " backed_up BIGINT NOT NULL,"
				  " created_us BIGINT NOT NULL,"
				  " used_us BIGINT NOT NULL);"
				  "CREATE INDEX passkeys_user ON passkeys (user_id, id);"
				  "CREATE TABLE spent ("
				  " hash BLOB PRIMARY KEY,"
				  " expires_us BIGINT NOT NULL);"
				  "CREATE INDEX spent_expiry ON spent (expires_us);";
