// SPDX-License-Identifier: Apache-2.0
// What users and sessions keep running: the pools, the throttle, and the sweeping away of what has ended.
#include <stdlib.h>

#include "auth/internal.h"
#include "auth/mfa.h"
#include "auth/oauth.h"

#define THROTTLE_ENTRIES 65536
#define TOKEN_DEPTH 10000
#define SWEEP_MS 600000
#define SWEEP_ROWS 1000
#define KEPT_US (24LL * 3600 * 1000000) // an ended session stays visible for a day
#define REMEMBERED 20000

static const char *const login_labels[] = {"result"};

void ms_auth_count_login(struct auth *auth, const char *result)
{
	struct auth_people *people = auth->people;
	struct slice label = ms_slice_cstr(result);
	struct metric_series *series = people->logins != NULL ? ms_metrics_series(people->logins, &label) : NULL;
	if (series != NULL)
		ms_counter_add(series, MS_METRICS_SHARED_SHARD, 1);
}

struct pool *ms_auth_pool(struct auth *auth)
{
	return auth->people->tokens;
}

struct pool *ms_auth_password_pool(struct auth *auth)
{
	return auth->people->passwords;
}

// --- Housekeeping ------------------------------------------------------------------------------------

// Refresh tokens go with their session. A token of an ended session is as void as one that is not there.
enum ms_err ms_auth_sweep(struct store_tx *tx, void *arg, struct errinfo *info)
{
	(void)arg;
	int64_t before = ms_store_now_us(tx) - KEPT_US;
	MS_TRY(ms_ticket_sweep(tx, info));
	MS_TRY(ms_oauth_sweep(tx, before, SWEEP_ROWS, info));
	return ms_store_run(tx,
			    "DELETE FROM sessions WHERE id IN (SELECT id FROM sessions WHERE expires_us < $1 OR "
			    "(revoked_us <> 0 AND revoked_us < $1) ORDER BY expires_us LIMIT $2)",
			    MS_STORE_PARAMS(ms_store_int(before), ms_store_int(SWEEP_ROWS)), info, NULL);
}

static void swept(struct store_work *work)
{
	struct auth_people *people = work->arg;
	people->sweeping = false;
	if (work->err != MS_OK)
		ms_log(people->auth->options.log, LOG_WARN, "ended sessions could not be removed",
		       MS_LOG_CSTR("error.message", work->info.message));
}

static void on_timer(struct timer *timer, void *arg)
{
	struct auth_people *people = arg;
	(void)timer;
	if (people->sweeping)
		return;
	people->sweeping =
		ms_store_write(people->auth->options.store, &people->sweep, ms_rt_loop(people->auth->options.rt, 0),
			       ms_auth_sweep, people, swept) == MS_OK;
}

// Who signed in from where before is known after a restart too.
static enum ms_err remember(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct auth_people *people = arg;
	struct store_rows rows;
	int64_t now_ns = ms_clock_mono_ns();
	MS_TRY(ms_store_query(
		tx,
		"SELECT u.username_key, u.email_key, s.address FROM sessions s JOIN users u ON u.id = s.user_id "
		"ORDER BY s.id DESC LIMIT $1",
		MS_STORE_PARAMS(ms_store_int(REMEMBERED)), REMEMBERED, info, &rows));
	for (size_t row = 0; row < rows.count; row++) {
		for (size_t name = 0; name < 2; name++) {
			if (ms_store_is_null(&rows, row, name))
				continue;
			struct throttle_keys keys =
				ms_throttle_keys(people->throttle, ms_store_get_text(&rows, row, name),
						 ms_store_get_text(&rows, row, 2));
			ms_throttle_remember(people->throttle, &keys, now_ns);
		}
	}
	return MS_OK;
}

// --- Life --------------------------------------------------------------------------------------------

static enum ms_err start(struct auth *auth, struct auth_people *people, struct errinfo *info)
{
	const struct auth_options *o = &auth->options;
	const struct metric_options logins = {.name = "login_attempts_total",
					      .help = "Attempts to sign in with a password, by how they ended.",
					      .type = METRIC_COUNTER,
					      .labels = login_labels,
					      .label_count = MS_ARRAY_LEN(login_labels)};
	people->cost =
		(struct password_cost){.memory_kib = o->password_memory_kib, .time = o->password_passes, .lanes = 1};
	if (!ms_password_cost_ok(&people->cost))
		return ms_fail(info, MS_ERR_CONFIG,
			       "identity.password_memory or identity.password_passes is out of range");
	if (o->rt == NULL)
		return MS_OK;
	people->logins = o->metrics != NULL ? ms_metrics_family(o->metrics, &logins) : NULL;
	MS_TRY(ms_pool_new(
		&(struct pool_options){.name = "passwords", .threads = o->password_threads, .depth = o->password_depth},
		info, &people->passwords));
	MS_TRY(ms_pool_new(&(struct pool_options){.name = "tokens",
						  .threads = MS_MIN(2U, o->password_threads),
						  .depth = TOKEN_DEPTH},
			   info, &people->tokens));
	MS_TRY(ms_throttle_new(THROTTLE_ENTRIES, info, &people->throttle));
	MS_TRY(ms_store_read_wait(o->store, remember, people, info));
	enum ms_err err = ms_timer_new(ms_rt_loop(o->rt, 0), on_timer, people, &people->timer);
	if (err != MS_OK)
		return ms_fail(info, err, "no timer for the sessions");
	ms_timer_start(people->timer, 1000, SWEEP_MS);
	return MS_OK;
}

enum ms_err ms_auth_people_new(struct auth *auth, struct errinfo *info)
{
	struct auth_people *people = calloc(1, sizeof(*people));
	if (people == NULL)
		return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory");
	people->auth = auth;
	auth->people = people;
	return start(auth, people, info);
}

void ms_auth_people_stop(struct auth *auth)
{
	struct auth_people *people = auth->people;
	if (people == NULL)
		return;
	atomic_store(&people->stopping, true);
	ms_timer_free(people->timer);
	people->timer = NULL;
	ms_pool_free(people->passwords);
	ms_pool_free(people->tokens);
	people->passwords = people->tokens = NULL;
}

void ms_auth_people_free(struct auth *auth)
{
	struct auth_people *people = auth->people;
	if (people == NULL)
		return;
	ms_throttle_free(people->throttle);
	free(people);
	auth->people = NULL;
}
