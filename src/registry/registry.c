// SPDX-License-Identifier: Apache-2.0
// The live set: a loader thread looks at the store, loads what is wanted, and publishes a new snapshot to
// every loop. Loops never wait for it: each keeps its own pointer, swapped by mail between two requests.
#include "registry/registry.h"

#include <pthread.h>
#include <stdlib.h>

#include "registry/served.h"
#include "registry/snapshot.h"

#define LOADER_QUEUE 256
#define SCAN_ARENA_MAX ((size_t)1 << 30)
#define PROGRESS_EVERY_NS 1000000000 // between two log lines of one loading model
#define PROGRESS_STEP 10             // percent

struct loop_slot {
	struct snapshot *snapshot; // of this loop; read and written on its thread
	char pad[56];              // each slot has a cache line of its own
};

// A snapshot on its way to all loops.
struct publication {
	struct snapshot *snapshot;
	struct registry *registry;
	struct registry_change *change; // told when every loop has it, or NULL
	struct loop *home;
	atomic_uint waiting;
	struct mail done_mail;
	struct publication_stop {
		struct mail mail;
		struct publication *publication;
		struct loop *loop;
	} stops[]; // one per loop
};

struct name_set {
	struct name_entry {
		char name[MS_MODEL_NAME_MAX + 1];
		struct name_entry *next;
	} * first;
};

struct registry {
	struct registry_options options;
	char *dir;           // owned; options.dir points to it
	struct pool *loader; // one thread: changes are serial
	unsigned loop_count;
	struct timer *timer;
	struct registry_change poll; // static change of the timer
	bool poll_pending;           // loop 0
	atomic_bool ready;
	atomic_bool store_broken;
	struct metric_family *predictions, *durations, *memory_family, *loaded_family;
	struct metric_series *loaded;
	pthread_mutex_t gone_lock; // for moments, and only where versions come and go
	struct served_model *gone; // versions that left the store while requests still hold them
	// Of the loader thread:
	struct snapshot *latest;
	struct name_set unloaded; // models unloaded by request
	struct loop_slot slots[];
};

static const char *const prediction_labels[] = {"model", "model_version", "outcome"};
static const char *const duration_labels[] = {"model"};
static const char *const memory_labels[] = {"model", "model_version"};
static const double duration_buckets[] = {0.000001, 0.00001, 0.0001, 0.001, 0.01, 0.1, 0.5, 1, 2.5, 5, 10};

// --- Unloaded models ---------------------------------------------------------------------------------

static struct name_entry **find_name(struct name_set *set, struct slice name)
{
	struct name_entry **at = &set->first;
	while (*at != NULL && !ms_slice_eq_cstr(name, (*at)->name))
		at = &(*at)->next;
	return at;
}

static void remove_name(struct name_set *set, struct slice name)
{
	struct name_entry **at = find_name(set, name), *dead = *at;
	if (dead != NULL) {
		*at = dead->next;
		free(dead);
	}
}

static enum ms_err add_name(struct name_set *set, struct slice name, struct errinfo *info)
{
	if (*find_name(set, name) != NULL)
		return MS_OK;
	struct name_entry *entry = calloc(1, sizeof(*entry));
	if (entry == NULL)
		return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory");
	if (!ms_slice_to_cstr(name, entry->name, sizeof(entry->name))) {
		free(entry);
		return ms_store_check_model_name(name, info);
	}
	entry->next = set->first;
	set->first = entry;
	return MS_OK;
}

// --- Looking at the store (loader thread) ------------------------------------------------------------

struct scan {
	struct registry *registry;
	struct snapshot *old; // what is served now
	struct snapshot *next;
	struct slice retry;      // broken versions of this model are tried again
	bool announce;           // only say what would be loaded, load nothing
	bool loading;            // something would be loaded
	const char *single_file; // the model at hand is this file, not one of the store
};

static const struct live_version *old_version(const struct scan *scan, struct slice model, struct slice version)
{
	const struct live_model *old = ms_snapshot_model(scan->old, model);
	for (size_t i = 0; old != NULL && i < old->version_count; i++) {
		if (ms_slice_eq(old->versions[i].version, version))
			return &old->versions[i];
	}
	return NULL;
}

static bool is_given(const struct registry_options *options, struct slice model, struct slice version)
{
	for (size_t i = 0; i < options->given_count; i++) {
		struct slice rest = ms_slice_cstr(options->given[i]), name;
		if (ms_slice_next(&rest, ':', &name) && ms_slice_eq(name, model) && ms_slice_eq(rest, version))
			return true;
	}
	return false;
}

static bool is_wanted(const struct scan *scan, const struct store_model *model, size_t index, bool newest_found)
{
	const struct registry_options *options = &scan->registry->options;
	struct slice version = model->versions[index].version;
	if (scan->single_file != NULL)
		return true;
	for (size_t i = 0; i < model->alias_count; i++) {
		if (ms_slice_eq(model->aliases[i].version, version))
			return true;
	}
	switch (options->policy) {
	case LOAD_LATEST:
		return !newest_found; // the newest that loads: a broken one leaves its place to the one before
	case LOAD_ALL:
		return true;
	case LOAD_GIVEN:
		return is_given(options, model->name, version);
	}
	MS_UNREACHABLE();
}

// A version that comes while one of its name is on its way out takes over the series of that one.
static void take_over_series(struct registry *registry, const struct served_model *served)
{
	for (struct served_model *gone = registry->gone; gone != NULL; gone = gone->next_gone) {
		if (!ms_slice_eq(gone->name, served->name))
			continue;
		gone->model_gone = false;
		gone->version_gone = gone->version_gone && !ms_slice_eq(gone->version, served->version);
	}
}

static void add_series(struct registry *registry, struct served_model *served)
{
	const struct slice ok[] = {served->name, served->version, MS_SLICE_LIT("success")};
	const struct slice failed[] = {served->name, served->version, MS_SLICE_LIT("error")};
	if (registry->predictions == NULL || registry->durations == NULL)
		return;
	pthread_mutex_lock(&registry->gone_lock);
	take_over_series(registry, served);
	served->registry = registry;
	served->predictions_ok = ms_metrics_series(registry->predictions, ok);
	served->predictions_failed = ms_metrics_series(registry->predictions, failed);
	served->duration = ms_metrics_series(registry->durations, &served->name);
	pthread_mutex_unlock(&registry->gone_lock);
	if (served->predictions_failed == NULL || served->duration == NULL)
		served->predictions_ok = NULL; // ms_served_record looks at this one
	served->memory = registry->memory_family != NULL ? ms_metrics_series(registry->memory_family, ok) : NULL;
	if (served->memory != NULL) // taken off again with the last reference
		ms_gauge_add(served->memory, MS_METRICS_SHARED_SHARD,
			     (double)ms_model_info(served->model)->memory_bytes);
}

static void end_series(const struct registry *registry, struct slice model, struct slice version)
{
	const struct slice ok[] = {model, version, MS_SLICE_LIT("success")};
	const struct slice failed[] = {model, version, MS_SLICE_LIT("error")};
	ms_metrics_retire(registry->predictions, ok);
	ms_metrics_retire(registry->predictions, failed);
	if (registry->memory_family != NULL)
		ms_metrics_retire(registry->memory_family, ok);
}

// Requests still hold it: its series end with the last of them.
static void leave_later(struct registry *registry, struct served_model *served, bool model_gone)
{
	pthread_mutex_lock(&registry->gone_lock);
	served->version_gone = true;
	served->model_gone = model_gone;
	served->next_gone = registry->gone;
	registry->gone = served;
	pthread_mutex_unlock(&registry->gone_lock);
}

void ms_registry_leave(struct served_model *served)
{
	struct registry *registry = served->registry;
	pthread_mutex_lock(&registry->gone_lock);
	struct served_model **at = &registry->gone;
	while (*at != NULL && *at != served)
		at = &(*at)->next_gone;
	if (*at != NULL)
		*at = served->next_gone;
	if (served->memory != NULL)
		ms_gauge_add(served->memory, MS_METRICS_SHARED_SHARD,
			     -(double)ms_model_info(served->model)->memory_bytes);
	if (served->version_gone)
		end_series(registry, served->name, served->version);
	if (served->model_gone)
		ms_metrics_retire(registry->durations, &served->name);
	pthread_mutex_unlock(&registry->gone_lock);
}

static struct slice keep_text(struct scan *scan, const char *text)
{
	struct slice kept = ms_arena_copy(&scan->next->arena, ms_slice_cstr(text));
	return kept.p != NULL ? kept : MS_SLICE_LIT("out of memory");
}

// Says how far a model is that takes seconds to load.
struct load_progress {
	const struct registry *registry;
	const struct version_files *files;
	int64_t told_ns;
	size_t told_percent;
};

static void tell_progress(void *context, size_t done, size_t total)
{
	struct load_progress *p = context;
	size_t percent = total > 0 ? (size_t)((double)done * 100 / (double)total) : 100;
	if (percent < p->told_percent + PROGRESS_STEP || ms_clock_mono_ns() - p->told_ns < PROGRESS_EVERY_NS)
		return;
	p->told_percent = percent;
	p->told_ns = ms_clock_mono_ns();
	ms_log(p->registry->options.log, LOG_INFO, "model is loading",
	       MS_LOG_STR("mainstay.model.name", p->files->model),
	       MS_LOG_STR("mainstay.model.version", p->files->version),
	       MS_LOG_INT("mainstay.model.percent", (int64_t)percent),
	       MS_LOG_INT("mainstay.model.bytes", (int64_t)total));
}

// Loads into `live`. A version that was served before stays served when its changed file is broken.
static void load_version(struct scan *scan, struct version_files *files, const struct live_version *old,
			 struct live_version *live)
{
	struct registry *registry = scan->registry;
	struct load_progress progress = {.registry = registry, .files = files, .told_ns = ms_clock_mono_ns()};
	struct model_options options = registry->options.model_options;
	options.progress = tell_progress;
	options.progress_context = &progress;
	files->model_options = &options;
	struct errinfo info;
	struct served_model *served = NULL;
	ms_errinfo_init(&info);
	enum ms_err err = ms_store_load_version(registry->options.dir, files, &info, &served);
	live->signature = files->signature;
	if (err == MS_OK) {
		add_series(registry, served);
		live->served = served;
		live->state = VERSION_READY;
		ms_log(registry->options.log, LOG_INFO, "model loaded", MS_LOG_STR("mainstay.model.name", served->name),
		       MS_LOG_STR("mainstay.model.version", served->version),
		       MS_LOG_CSTR("mainstay.model.format", ms_model_format_name(ms_model_info(served->model)->format)),
		       MS_LOG_INT("mainstay.model.trees", (int64_t)ms_model_info(served->model)->tree_count),
		       MS_LOG_INT("mainstay.model.bytes", (int64_t)served->file_bytes),
		       MS_LOG_INT("event.duration", served->load_ns));
		return;
	}
	live->reason = keep_text(scan, info.message);
	live->served = old != NULL && old->served != NULL ? ms_served_ref(old->served) : NULL;
	live->state = live->served != NULL ? VERSION_READY : VERSION_UNAVAILABLE;
	ms_log(registry->options.log, LOG_ERROR,
	       live->served != NULL ? "changed model file is broken; the old one stays" : "model cannot be loaded",
	       MS_LOG_STR("mainstay.model.name", files->model), MS_LOG_STR("mainstay.model.version", files->version),
	       MS_LOG_CSTR("error.message", info.message), MS_LOG_CSTR("error.code", ms_err_name(err)));
}

// Decides and carries out what becomes of one wanted version.
static void take_version(struct scan *scan, struct slice model, const struct store_version *stored,
			 struct live_version *live)
{
	const struct live_version *old = old_version(scan, model, stored->version);
	bool tried = old != NULL && old->signature == stored->signature &&
		     (old->state == VERSION_READY || old->state == VERSION_UNAVAILABLE);
	if (tried && old->state == VERSION_UNAVAILABLE && ms_slice_eq(scan->retry, model))
		tried = false;
	if (tried) {
		live->state = old->state;
		live->signature = old->signature;
		live->served = old->served != NULL ? ms_served_ref(old->served) : NULL;
		live->reason = old->reason.n > 0 ? ms_arena_copy(&scan->next->arena, old->reason) : MS_SLICE_EMPTY;
		return;
	}
	scan->loading = true;
	if (scan->announce) {
		live->state = VERSION_LOADING; // of a model that is not served yet: see keep_model
		live->reason = MS_SLICE_LIT("it is being loaded");
		return;
	}
	struct version_files files = {.model = model,
				      .version = stored->version,
				      .signature = stored->signature,
				      .single_file = scan->single_file,
				      .loops = ms_rt_loop_count(scan->registry->options.rt)};
	load_version(scan, &files, old, live);
}

// Wanted but not loadable, or its changed file is not.
static bool is_broken(const struct live_version *version)
{
	return version->state == VERSION_UNAVAILABLE || (version->served != NULL && version->reason.n > 0);
}

static bool copy_model(struct scan *scan, const struct store_model *model, struct live_model *live)
{
	struct arena *arena = &scan->next->arena;
	live->name = ms_arena_copy(arena, model->name);
	live->versions = MS_ARENA_ARRAY(arena, struct live_version, model->version_count);
	struct store_alias *aliases = MS_ARENA_ARRAY(arena, struct store_alias, model->alias_count);
	if (live->name.p == NULL || live->versions == NULL || aliases == NULL)
		return false;
	for (size_t i = 0; i < model->alias_count; i++) {
		aliases[i].alias = ms_arena_copy(arena, model->aliases[i].alias);
		aliases[i].version = ms_arena_copy(arena, model->aliases[i].version);
		if (aliases[i].alias.p == NULL || aliases[i].version.p == NULL)
			return false;
	}
	live->aliases = aliases;
	live->alias_count = model->alias_count;
	for (size_t i = 0; i < model->version_count; i++) {
		live->versions[i].version = ms_arena_copy(arena, model->versions[i].version);
		live->versions[i].state = VERSION_NOT_LOADED;
		live->versions[i].signature = model->versions[i].signature;
		live->versions[i].reason =
			MS_SLICE_LIT("it is in the store, but the setting models.policy does not load it");
		if (live->versions[i].version.p == NULL)
			return false;
	}
	live->version_count = model->version_count;
	return true;
}

// While new versions load, a model that is served shows as it was: versions, aliases and all. So no request meets an
// alias that already names a version that is not loaded yet.
static bool keep_model(struct scan *scan, const struct store_model *model, const struct live_model *old,
		       struct live_model *live)
{
	*live = *old;
	live->name = ms_arena_copy(&scan->next->arena, old->name);
	live->versions = MS_ARENA_ARRAY(&scan->next->arena, struct live_version, old->version_count);
	struct store_alias *aliases = MS_ARENA_ARRAY(&scan->next->arena, struct store_alias, old->alias_count);
	live->version_count = 0; // grows with the references, so that a failure releases no more than was taken
	if (live->name.p == NULL || live->versions == NULL || aliases == NULL)
		return false;
	for (size_t i = 0; i < old->alias_count; i++) {
		aliases[i].alias = ms_arena_copy(&scan->next->arena, old->aliases[i].alias);
		aliases[i].version = ms_arena_copy(&scan->next->arena, old->aliases[i].version);
		if (aliases[i].alias.p == NULL || aliases[i].version.p == NULL)
			return false;
	}
	live->aliases = aliases;
	for (size_t i = 0; i < old->version_count; i++) {
		struct live_version *version = &live->versions[i];
		*version = old->versions[i];
		version->version = ms_arena_copy(&scan->next->arena, old->versions[i].version);
		version->reason = ms_arena_copy(&scan->next->arena, old->versions[i].reason);
		if (version->version.p == NULL || version->reason.p == NULL)
			return false;
		if (version->served != NULL)
			ms_served_ref(version->served);
		live->version_count++;
		scan->next->ready_count += version->served != NULL;
		scan->next->broken_count += is_broken(version);
	}
	for (size_t i = 0; i < model->version_count && !scan->loading; i++) {
		const struct live_version *known = old_version(scan, model->name, model->versions[i].version);
		scan->loading = known == NULL || known->signature != model->versions[i].signature;
	}
	return true;
}

static bool take_model(struct scan *scan, const struct store_model *stored, struct live_model *live)
{
	const struct live_model *old = ms_snapshot_model(scan->old, stored->name);
	struct store_model model = *stored;
	if (model.alias_error != NULL && old != NULL) {
		// A slip in the file does not take the aliases from under the requests; copied below, never written.
		model.aliases = (struct store_alias *)(uintptr_t)old->aliases;
		model.alias_count = old->alias_count;
	}
	if (scan->announce && old != NULL && old->current != NULL)
		return keep_model(scan, &model, old, live);
	if (!copy_model(scan, &model, live))
		return false;
	live->single_file = scan->single_file != NULL;
	live->unloaded = *find_name(&scan->registry->unloaded, model.name) != NULL;
	for (size_t i = 0; i < live->version_count; i++) {
		struct live_version *version = &live->versions[i];
		bool newest_found = live->current != NULL || (i > 0 && live->versions[i - 1].state == VERSION_LOADING);
		if (live->unloaded)
			version->reason = MS_SLICE_LIT("the model was unloaded by request");
		else if (is_wanted(scan, &model, i, newest_found)) {
			version->reason = MS_SLICE_EMPTY;
			take_version(scan, live->name, &model.versions[i], version);
		}
		if (live->current == NULL && version->served != NULL)
			live->current = version->served;
		scan->next->ready_count += version->served != NULL;
		scan->next->broken_count += is_broken(version);
	}
	if (model.alias_error != NULL && !scan->announce)
		ms_log(scan->registry->options.log, LOG_WARN, "aliases.json cannot be used",
		       MS_LOG_STR("mainstay.model.name", model.name), MS_LOG_CSTR("error.message", model.alias_error));
	return true;
}

static int by_name(const void *a, const void *b)
{
	const struct live_model *x = a, *y = b;
	return ms_slice_cmp(x->name, y->name);
}

// A store model of the single file's name gives way to the file.
static bool scan_models(struct scan *scan, const struct store_model *models, size_t count)
{
	const char *single = scan->registry->options.single_file;
	struct slice single_name = single != NULL ? ms_store_single_name(single) : MS_SLICE_EMPTY;
	struct snapshot *next = scan->next;
	next->models = MS_ARENA_ARRAY(&next->arena, struct live_model, count + 1);
	if (next->models == NULL)
		return false;
	for (size_t i = 0; i < count; i++) {
		if (single != NULL && ms_slice_eq(models[i].name, single_name))
			continue;
		// Counted first: what a half-taken model holds is released with the snapshot.
		if (!take_model(scan, &models[i], &next->models[next->model_count++]))
			return false;
	}
	if (single != NULL) {
		// A missing file has no signature; loading it says why.
		struct store_version version = {.version = MS_SLICE_LIT("1")};
		MS_IGNORE(ms_store_single_signature(single, NULL, &version.signature));
		const struct store_model model = {.name = single_name, .versions = &version, .version_count = 1};
		scan->single_file = single;
		if (!take_model(scan, &model, &next->models[next->model_count++]))
			return false;
		qsort(next->models, next->model_count, sizeof(*next->models), by_name);
	}
	return true;
}

// A new snapshot of what the store holds, or NULL and a log line.
static struct snapshot *look(struct registry *registry, bool announce, struct slice retry, bool *ret_loading)
{
	struct arena arena;
	struct store_model *models;
	size_t count;
	struct errinfo info;
	struct scan scan = {.registry = registry,
			    .old = registry->latest,
			    .next = ms_snapshot_new(),
			    .retry = retry,
			    .announce = announce};
	ms_errinfo_init(&info);
	ms_arena_init(&arena, 16384, SCAN_ARENA_MAX);
	enum ms_err err = scan.next == NULL ? ms_fail(&info, MS_ERR_NO_MEMORY, "out of memory")
					    : ms_store_list(registry->options.dir, &arena, &info, &models, &count);
	if (err == MS_OK && !scan_models(&scan, models, count))
		err = ms_fail(&info, MS_ERR_NO_MEMORY, "out of memory for the list of models");
	ms_arena_fini(&arena);
	*ret_loading = scan.loading;
	atomic_store(&registry->store_broken, err != MS_OK);
	if (err == MS_OK)
		return scan.next;
	ms_snapshot_unref(scan.next);
	ms_log(registry->options.log, LOG_ERROR, "the model store cannot be read",
	       MS_LOG_CSTR("error.message", info.message), MS_LOG_CSTR("error.code", ms_err_name(err)));
	return NULL;
}

// --- Publishing --------------------------------------------------------------------------------------

static void tell_home(struct mail *mail)
{
	struct publication *p = MS_CONTAINER_OF(mail, struct publication, done_mail);
	struct registry_change *change = p->change;
	struct registry *registry = p->registry;
	ms_snapshot_unref(p->snapshot);
	free(p);
	if (change == NULL)
		return;
	atomic_store(&registry->ready, true); // not before: a loop without its snapshot would not know the models
	change->done(change);
}

static void arrive(struct mail *mail)
{
	struct publication_stop *stop = MS_CONTAINER_OF(mail, struct publication_stop, mail);
	struct publication *p = stop->publication;
	struct loop_slot *slot = &p->registry->slots[ms_loop_index(stop->loop)];
	struct snapshot *old = slot->snapshot;
	slot->snapshot = ms_snapshot_ref(p->snapshot);
	ms_snapshot_unref(old);
	if (atomic_fetch_sub(&p->waiting, 1) == 1)
		ms_loop_post(p->home, &p->done_mail, tell_home);
}

static struct publication *publication_new(struct registry *registry, struct registry_change *change, struct loop *home)
{
	unsigned loops = ms_rt_loop_count(registry->options.rt);
	struct publication *p = calloc(1, sizeof(*p) + loops * sizeof(p->stops[0]));
	if (p == NULL)
		return NULL;
	*p = (struct publication){.registry = registry, .change = change, .home = home};
	atomic_init(&p->waiting, loops);
	for (unsigned i = 0; i < loops; i++) {
		p->stops[i].publication = p;
		p->stops[i].loop = ms_rt_loop(registry->options.rt, i);
	}
	return p;
}

static bool has_version(const struct live_model *model, struct slice version)
{
	for (size_t i = 0; model != NULL && i < model->version_count; i++) {
		if (ms_slice_eq(model->versions[i].version, version))
			return true;
	}
	return false;
}

// The metrics of what the new snapshot no longer knows end: those of a loaded version with its last reference.
static void mark_gone(struct registry *registry, const struct snapshot *next)
{
	const struct snapshot *old = registry->latest;
	for (size_t m = 0; m < old->model_count; m++) {
		const struct live_model *before = &old->models[m], *after = ms_snapshot_model(next, before->name);
		bool any_served = false;
		for (size_t v = 0; v < before->version_count; v++) {
			struct served_model *served = before->versions[v].served;
			any_served = any_served || served != NULL;
			if (has_version(after, before->versions[v].version))
				continue;
			if (served == NULL)
				end_series(registry, before->name, before->versions[v].version);
			else if (served->registry != NULL)
				leave_later(registry, served, after == NULL);
		}
		if (after == NULL && !any_served)
			ms_metrics_retire(registry->durations, &before->name);
	}
}

// Takes over the reference to `snapshot`, which becomes the latest.
static void publish(struct publication *p, struct snapshot *snapshot)
{
	struct registry *registry = p->registry;
	mark_gone(registry, snapshot);
	ms_snapshot_unref(registry->latest);
	registry->latest = snapshot;
	p->snapshot = ms_snapshot_ref(snapshot);
	if (registry->loaded != NULL)
		ms_gauge_set(registry->loaded, (double)snapshot->ready_count);
	unsigned loops = ms_rt_loop_count(registry->options.rt);
	for (unsigned i = 0; i < loops; i++)
		ms_loop_post(p->stops[i].loop, &p->stops[i].mail, arrive);
}

// --- Changes -----------------------------------------------------------------------------------------

static void change_work(struct job *job)
{
	struct registry_change *change = MS_CONTAINER_OF(job, struct registry_change, job);
	struct registry *registry = change->registry;
	if (change->work != NULL)
		change->err = change->work(change, registry->options.dir);
	if (change->err == MS_OK && change->unload.n > 0)
		change->err = add_name(&registry->unloaded, change->unload, &change->info);
	if (change->err == MS_OK && change->load.n > 0)
		remove_name(&registry->unloaded, change->load);
}

// On the loader's thread, as the last thing that touches the job: the change may be freed by its owner as
// soon as the publication has arrived everywhere.
static void change_done(struct job *job)
{
	struct registry_change *change = MS_CONTAINER_OF(job, struct registry_change, job);
	struct registry *registry = change->registry;
	struct publication *p = change->publication;
	bool loading = false;
	struct publication *early = publication_new(registry, NULL, p->home);
	struct snapshot *next = early != NULL ? look(registry, true, change->load, &loading) : NULL;
	if (next != NULL && loading)
		publish(early, next); // what is about to be loaded shows as LOADING
	else {
		ms_snapshot_unref(next);
		free(early);
	}
	next = look(registry, false, change->load, &loading);
	if (next == NULL)
		next = ms_snapshot_ref(registry->latest);
	publish(p, next);
}

enum ms_err ms_registry_change(struct registry *registry, struct registry_change *change, struct loop *home)
{
	MS_ASSERT(home != NULL && change->done != NULL);
	change->registry = registry;
	change->err = MS_OK;
	ms_errinfo_init(&change->info);
	// Made before anything is done, so that the answer cannot get lost for want of memory.
	change->publication = publication_new(registry, change, home);
	if (change->publication == NULL)
		return MS_ERR_NO_MEMORY;
	enum ms_err err = ms_pool_submit(registry->loader, &change->job, NULL, change_work, change_done);
	if (err != MS_OK)
		free(change->publication);
	return err;
}

static void poll_done(struct registry_change *change)
{
	change->registry->poll_pending = false;
}

void ms_registry_look(struct registry *registry)
{
	if (registry->poll_pending)
		return;
	registry->poll = (struct registry_change){.done = poll_done};
	registry->poll_pending =
		ms_registry_change(registry, &registry->poll, ms_rt_loop(registry->options.rt, 0)) == MS_OK;
}

static void poll_now(struct timer *timer, void *arg)
{
	(void)timer;
	ms_registry_look(arg);
}

// --- Life --------------------------------------------------------------------------------------------

static void register_metrics(struct registry *registry)
{
	struct metrics *metrics = registry->options.metrics;
	if (metrics == NULL)
		return;
	registry->predictions = ms_metrics_family(
		metrics, &(struct metric_options){.name = "predictions_total",
						  .help = "Prediction requests by model, version and outcome.",
						  .type = METRIC_COUNTER,
						  .labels = prediction_labels,
						  .label_count = MS_ARRAY_LEN(prediction_labels)});
	registry->durations = ms_metrics_family(
		metrics,
		&(struct metric_options){
			.name = "model_prediction_duration_seconds",
			.help = "Time a model took to predict, without reading the request and writing the answer.",
			.unit = "seconds",
			.type = METRIC_HISTOGRAM,
			.labels = duration_labels,
			.label_count = MS_ARRAY_LEN(duration_labels),
			.buckets = duration_buckets,
			.bucket_count = MS_ARRAY_LEN(duration_buckets)});
	registry->memory_family = ms_metrics_family(
		metrics, &(struct metric_options){.name = "model_memory_bytes",
						  .help = "Memory of loaded model versions; while a changed file takes "
							  "over, of both.",
						  .unit = "bytes",
						  .type = METRIC_GAUGE,
						  .labels = memory_labels,
						  .label_count = MS_ARRAY_LEN(memory_labels)});
	registry->loaded_family =
		ms_metrics_family(metrics, &(struct metric_options){.name = "models_loaded",
								    .help = "Model versions that are ready to predict.",
								    .type = METRIC_GAUGE});
	registry->loaded = registry->loaded_family != NULL ? ms_metrics_series(registry->loaded_family, NULL) : NULL;
}

enum ms_err ms_registry_new(const struct registry_options *options, struct errinfo *info,
			    struct registry **ret_registry)
{
	unsigned loops = ms_rt_loop_count(options->rt);
	struct registry *registry = calloc(1, sizeof(*registry) + loops * sizeof(registry->slots[0]));
	if (registry == NULL)
		return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory for the model registry");
	registry->options = *options;
	registry->loop_count = loops;
	pthread_mutex_init(&registry->gone_lock, NULL);
	registry->options.dir = registry->dir = strdup(options->dir);
	registry->latest = ms_snapshot_new();
	enum ms_err err = registry->latest == NULL
				  ? ms_fail(info, MS_ERR_NO_MEMORY, "out of memory for the model registry")
				  : MS_OK;
	for (unsigned i = 0; err == MS_OK && i < loops; i++)
		registry->slots[i].snapshot = ms_snapshot_ref(registry->latest);
	if (err == MS_OK)
		err = ms_pool_new(&(struct pool_options){.name = "models", .threads = 1, .depth = LOADER_QUEUE}, info,
				  &registry->loader);
	if (err != MS_OK) {
		ms_registry_free(registry);
		return err;
	}
	register_metrics(registry);
	*ret_registry = registry;
	return MS_OK;
}

enum ms_err ms_registry_start(struct registry *registry, struct errinfo *info)
{
	struct loop *home = ms_rt_loop(registry->options.rt, 0);
	if (registry->options.poll_ms > 0) {
		MS_TRY(ms_timer_new(home, poll_now, registry, &registry->timer));
		ms_timer_start(registry->timer, registry->options.poll_ms, registry->options.poll_ms);
	}
	ms_registry_look(registry);
	return registry->poll_pending
		       ? MS_OK
		       : ms_fail(info, MS_ERR_NO_MEMORY, "out of memory for the first load of the models");
}

void ms_registry_stop(struct registry *registry)
{
	ms_timer_free(registry->timer);
	ms_pool_free(registry->loader);
	registry->timer = NULL;
	registry->loader = NULL;
}

void ms_registry_free(struct registry *registry)
{
	if (registry == NULL)
		return;
	ms_pool_free(registry->loader);
	for (unsigned i = 0; i < registry->loop_count; i++)
		ms_snapshot_unref(registry->slots[i].snapshot);
	ms_snapshot_unref(registry->latest);
	while (registry->unloaded.first != NULL)
		remove_name(&registry->unloaded, ms_slice_cstr(registry->unloaded.first->name));
	pthread_mutex_destroy(&registry->gone_lock);
	free(registry->dir);
	free(registry);
}

bool ms_registry_store_broken(const struct registry *registry)
{
	return atomic_load(&registry->store_broken);
}

bool ms_registry_ready(const struct registry *registry)
{
	return atomic_load(&registry->ready);
}

const struct model_options *ms_registry_model_options(const struct registry *registry)
{
	return &registry->options.model_options;
}

const struct snapshot *ms_registry_snapshot(struct registry *registry, const struct loop *loop)
{
	return registry->slots[ms_loop_index(loop)].snapshot;
}
