// SPDX-License-Identifier: Apache-2.0
// Migrations: what the program has, what the database had, and the steps between.
#include <stdio.h>

#include "crypto/crypto.h"
#include "store/private.h"

#define STEPS_MAX 10000
#define NAME_MAX_BYTES 200

// A step of the program, or one that only the database knows.
struct step {
	struct store_step_state state;
	const char *sql; // NULL: the database's
};

struct picture {
	struct step *steps;
	size_t count;
};

static const char LIST_SQL[] =
	"SELECT module, version, name, sha256, applied_us FROM store_migrations ORDER BY module, version";
static const char RECORD_SQL[] =
	"INSERT INTO store_migrations (module, version, name, sha256, applied_us) VALUES ($1, $2, $3, $4, $5)";

static size_t known_count(const struct store *store)
{
	size_t count = 1; // the store's own
	for (size_t i = 0; i < store->options.migration_count; i++)
		count += store->options.migrations[i].count;
	return count;
}

static void add(struct picture *picture, const char *module, unsigned version, const char *name, const char *sql)
{
	picture->steps[picture->count++] = (struct step){
		.state = {.module = module, .version = version, .name = name, .state = STORE_STEP_PENDING}, .sql = sql};
}

static void add_known(const struct store *store, struct picture *picture)
{
	add(picture, "store", 1, "migrations and notices", store->driver->schema);
	for (size_t i = 0; i < store->options.migration_count; i++) {
		const struct store_migrations *set = &store->options.migrations[i];
		for (size_t k = 0; k < set->count; k++) {
			const struct store_migration *step = &set->steps[k];
			MS_ASSERT(step->version == k + 1 && strcmp(step->module, set->steps[0].module) == 0);
			add(picture, step->module, step->version, step->name, step->sql);
		}
	}
}

static struct step *find(struct picture *picture, struct slice module, int64_t version)
{
	for (size_t i = 0; i < picture->count; i++) {
		const struct store_step_state *state = &picture->steps[i].state;
		if (state->version == version && ms_slice_eq_cstr(module, state->module))
			return &picture->steps[i];
	}
	return NULL;
}

static enum ms_err add_applied(struct picture *picture, const struct store_rows *rows, size_t row, struct arena *arena)
{
	struct slice module = ms_store_get_text(rows, row, 0);
	int64_t version = ms_store_get_int(rows, row, 1);
	struct step *step = find(picture, module, version);
	if (step == NULL) {
		const char *own_module = ms_arena_cstr(arena, module);
		const char *name = ms_arena_cstr(arena, ms_store_get_text(rows, row, 2));
		if (own_module == NULL || name == NULL)
			return MS_ERR_NO_MEMORY;
		add(picture, own_module, (unsigned)version, name, NULL);
		step = &picture->steps[picture->count - 1];
		step->state.state = STORE_STEP_UNKNOWN;
	} else {
		char hex[MS_SHA256_HEX_SIZE];
		ms_sha256_hex(ms_slice_cstr(step->sql), hex);
		bool same = ms_slice_eq_cstr(ms_store_get_text(rows, row, 3), hex);
		step->state.state = same ? STORE_STEP_APPLIED : STORE_STEP_CHANGED;
	}
	step->state.applied_us = ms_store_get_int(rows, row, 4);
	return MS_OK;
}

// What there is and what there was, inside a transaction. conn NULL: there is no database yet.
static enum ms_err look(struct store *store, struct store_conn *conn, struct arena *arena, struct errinfo *info,
			struct picture *ret_picture)
{
	struct store_rows rows = {.count = 0};
	if (conn != NULL) {
		const struct store_driver *driver = conn->driver;
		MS_TRY(driver->run(conn, driver->has_schema, MS_STORE_NO_PARAMS, 1, arena, info, &rows, NULL));
		bool there = rows.count == 1 && ms_store_get_int(&rows, 0, 0) != 0;
		rows.count = 0;
		if (there)
			MS_TRY(driver->run(conn, LIST_SQL, MS_STORE_NO_PARAMS, STEPS_MAX, arena, info, &rows, NULL));
	}
	struct picture picture = {.count = 0};
	picture.steps = MS_ARENA_ARRAY(arena, struct step, known_count(store) + rows.count);
	if (picture.steps == NULL)
		return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory for the list of migrations");
	add_known(store, &picture);
	for (size_t i = 0; i < rows.count; i++) {
		if (add_applied(&picture, &rows, i, arena) != MS_OK)
			return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory for the list of migrations");
	}
	*ret_picture = picture;
	return MS_OK;
}

// Steps that were changed, or that a newer program made: nothing is done to such a database.
static enum ms_err refuse_strange(const struct store *store, const struct picture *picture, struct errinfo *info)
{
	for (size_t i = 0; i < picture->count; i++) {
		const struct store_step_state *s = &picture->steps[i].state;
		if (s->state == STORE_STEP_UNKNOWN)
			return ms_fail(
				info, MS_ERR_STORE,
				"%s holds the migration %.40s %u (%.80s), which this program does not know: a newer "
				"version of the program made it; run that version",
				store->place, s->module, s->version, s->name);
		if (s->state == STORE_STEP_CHANGED)
			return ms_fail(info, MS_ERR_STORE,
				       "the migration %.40s %u (%.80s) was applied to %s with another text than this "
				       "program has: a step must not change once it is released; run the version that "
				       "applied it",
				       s->module, s->version, s->name, store->place);
	}
	return MS_OK;
}

static const struct step *first_pending(const struct picture *picture, size_t *ret_count)
{
	const struct step *first = NULL;
	*ret_count = 0;
	for (size_t i = 0; i < picture->count; i++) {
		if (picture->steps[i].state.state != STORE_STEP_PENDING)
			continue;
		first = first != NULL ? first : &picture->steps[i];
		(*ret_count)++;
	}
	return first;
}

static enum ms_err record(struct store_conn *conn, const struct step *step, struct arena *arena, struct errinfo *info)
{
	char hex[MS_SHA256_HEX_SIZE];
	ms_sha256_hex(ms_slice_cstr(step->sql), hex);
	const struct store_value params[] = {
		ms_store_text(ms_slice_cstr(step->state.module)), ms_store_int(step->state.version),
		ms_store_text(ms_slice_cstr(step->state.name)),   ms_store_text(ms_slice_cstr(hex)),
		ms_store_int(ms_clock_wall_ns() / 1000),
	};
	return conn->driver->run(conn, RECORD_SQL, params, MS_ARRAY_LEN(params), 0, arena, info, NULL, NULL);
}

// In a transaction that has begun: the next pending step, or none (*ret_done).
static enum ms_err next_step(struct store *store, struct store_conn *conn, struct arena *arena, struct errinfo *info,
			     bool *ret_done)
{
	struct picture picture;
	size_t pending;
	MS_TRY(look(store, conn, arena, info, &picture));
	MS_TRY(refuse_strange(store, &picture, info));
	const struct step *step = first_pending(&picture, &pending);
	*ret_done = step == NULL;
	if (step == NULL)
		return MS_OK;
	MS_ASSERT(strlen(step->state.name) <= NAME_MAX_BYTES);
	enum ms_err err = conn->driver->script(conn, step->sql, info);
	if (err == MS_ERR_STORE || err == MS_ERR_STORE_CONFLICT)
		return ms_fail(info, err, "the migration %.40s %u (%.80s) failed: %.250s", step->state.module,
			       step->state.version, step->state.name, conn->words);
	MS_TRY(err);
	MS_TRY(record(conn, step, arena, info));
	ms_log(store->options.log, LOG_INFO, "migration applied", MS_LOG_CSTR("mainstay.module", step->state.module),
	       MS_LOG_INT("mainstay.version", step->state.version), MS_LOG_CSTR("mainstay.name", step->state.name));
	return MS_OK;
}

static enum ms_err apply_all(struct store *store, struct store_conn *conn, struct arena *arena, struct errinfo *info,
			     size_t *ret_applied)
{
	const struct store_driver *driver = conn->driver;
	bool done = false;
	for (*ret_applied = 0;; (*ret_applied)++) {
		ms_arena_reset(arena);
		MS_TRY(driver->begin(conn, true, info));
		enum ms_err err = next_step(store, conn, arena, info, &done);
		if (err == MS_OK && !done)
			err = driver->commit(conn, info);
		if (err != MS_OK || done) {
			driver->rollback(conn);
			return err;
		}
	}
}

enum ms_err ms_store_migrate(struct store *store, struct errinfo *info, size_t *ret_applied)
{
	const struct store_driver *driver = store->driver;
	struct store_conn *conn;
	struct arena arena;
	size_t applied = 0;
	MS_TRY(driver->open(&store->target, STORE_FOR_SCHEMA, info, &conn));
	ms_arena_init(&arena, (size_t)64 << 10, STORE_ARENA_MAX);
	enum ms_err err = driver->lock != NULL ? driver->lock(conn, info) : MS_OK;
	if (err == MS_OK) {
		err = apply_all(store, conn, &arena, info, &applied);
		if (driver->unlock != NULL)
			driver->unlock(conn);
	}
	ms_arena_fini(&arena);
	driver->close(conn);
	if (err == MS_OK)
		*ret_applied = applied;
	return err;
}

static enum ms_err look_alone(struct store *store, struct arena *arena, struct errinfo *info,
			      struct picture *ret_picture)
{
	struct store_conn *conn;
	enum ms_err err = store->driver->open(&store->target, STORE_FOR_LOOKING, info, &conn);
	if (err == MS_ERR_FILE_MISSING)
		return look(store, NULL, arena, info, ret_picture);
	MS_TRY(err);
	err = store->driver->begin(conn, false, info);
	if (err == MS_OK) {
		err = look(store, conn, arena, info, ret_picture);
		store->driver->rollback(conn);
	}
	store->driver->close(conn);
	return err;
}

enum ms_err ms_store_check_steps(struct store *store, struct errinfo *info)
{
	struct arena arena;
	struct picture picture;
	size_t pending;
	ms_arena_init(&arena, (size_t)64 << 10, STORE_ARENA_MAX);
	enum ms_err err = look_alone(store, &arena, info, &picture);
	if (err == MS_OK)
		err = refuse_strange(store, &picture, info);
	const struct step *step = err == MS_OK ? first_pending(&picture, &pending) : NULL;
	if (step != NULL)
		err = ms_fail(
			info, MS_ERR_STORE,
			"%s lacks %zu migration%s, the first of which is %.40s %u (%.80s): run 'mainstay migrate up'",
			store->place, pending, pending == 1 ? "" : "s", step->state.module, step->state.version,
			step->state.name);
	ms_arena_fini(&arena);
	return err;
}

enum ms_err ms_store_steps(struct store *store, struct arena *arena, struct errinfo *info,
			   struct store_step_state **ret_steps, size_t *ret_count)
{
	struct picture picture;
	MS_TRY(look_alone(store, arena, info, &picture));
	struct store_step_state *steps = MS_ARENA_ARRAY(arena, struct store_step_state, picture.count);
	if (steps == NULL)
		return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory for the list of migrations");
	for (size_t i = 0; i < picture.count; i++)
		steps[i] = picture.steps[i].state;
	*ret_steps = steps;
	*ret_count = picture.count;
	return MS_OK;
}
