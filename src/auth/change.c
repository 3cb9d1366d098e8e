// SPDX-License-Identifier: Apache-2.0
// What the hot path must see: written inside the transaction that makes it true.
#include "auth/gate.h"

enum ms_err ms_change_record(struct store_tx *tx, const char *kind, struct slice id, struct errinfo *info)
{
	struct store_rows rows;
	MS_TRY(ms_store_query(tx, "UPDATE auth_numbers SET value = value + 1 WHERE name = 'change' RETURNING value",
			      MS_STORE_NO_PARAMS, 1, info, &rows));
	if (rows.count != 1)
		return ms_fail(info, MS_ERR_STORE, "the store lacks the counter of changes");
	MS_TRY(ms_store_run(tx, "INSERT INTO auth_changes (seq, kind, id, time_us) VALUES ($1, $2, $3, $4)",
			    MS_STORE_PARAMS(ms_store_int(ms_store_get_int(&rows, 0, 0)),
					    ms_store_text(ms_slice_cstr(kind)), ms_store_text(id),
					    ms_store_int(ms_store_now_us(tx))),
			    info, NULL));
	return ms_store_notify(tx, MS_AUTH_CHANGED, info);
}

enum ms_err ms_auth_void_session(struct store_tx *tx, struct slice session, struct errinfo *info)
{
	return ms_change_record(tx, "session", session, info);
}

enum ms_err ms_auth_void_user(struct store_tx *tx, struct slice user_id, struct errinfo *info)
{
	MS_TRY(ms_store_run(tx, "UPDATE users SET valid_after_us = $1 WHERE id = $2",
			    MS_STORE_PARAMS(ms_store_int(ms_store_now_us(tx)), ms_store_text(user_id)), info, NULL));
	return ms_change_record(tx, "user", user_id, info);
}

enum ms_err ms_auth_touch_user(struct store_tx *tx, struct slice user_id, struct errinfo *info)
{
	return ms_change_record(tx, "user", user_id, info);
}
