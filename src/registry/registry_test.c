// SPDX-License-Identifier: Apache-2.0
// The live set on two running loops. The test's own thread asks for changes and looks at what each loop has; it waits for
// answers, never for time.
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "registry/registry.h"
#include "tests/lib/test.h"

enum { LOOPS = 2 };

struct live {
	const char *dir;
	struct rt *rt;
	bool without_metrics;
	struct metrics *metrics;
	struct registry *registry;
	struct thread *thread; // runs the loops
};

static const struct slice m = MS_SLICE_LIT("m");

static struct slice penguins(void)
{
	return ms_test_file("examples/models/penguins/v1.0.0/model.txt");
}

// --- The store, as people and programs change it -----------------------------------------------------

static void write_file(const char *path, struct slice bytes)
{
	FILE *file = fopen(path, "wb");
	REQUIRE(file != NULL);
	REQUIRE(fwrite(bytes.p, 1, bytes.n, file) == bytes.n);
	REQUIRE(fclose(file) == 0);
}

// A version folder made by hand, without checks. A file that is there is replaced, so that its signature changes.
static void put(const char *dir, const char *model, const char *version, struct slice bytes)
{
	char path[600], aside[600];
	snprintf(path, sizeof(path), "%s/%s", dir, model);
	mkdir(path, 0700);
	snprintf(path, sizeof(path), "%s/%s/%s", dir, model, version);
	mkdir(path, 0700);
	snprintf(aside, sizeof(aside), "%s/.aside", dir);
	write_file(aside, bytes);
	snprintf(path, sizeof(path), "%s/%s/%s/model.txt", dir, model, version);
	REQUIRE(rename(aside, path) == 0);
}

static enum ms_err push(const char *dir, const char *version, struct slice bytes, struct errinfo *info)
{
	char got[MS_MODEL_VERSION_MAX + 1];
	const struct store_push what = {.model = m,
					.version = ms_slice_cstr(version),
					.bytes = bytes,
					.model_options = &MS_MODEL_DEFAULT_OPTIONS};
	return ms_store_push(dir, &what, info, got);
}

static void set_alias(const struct live *live, const char *alias, const char *version)
{
	CHECK_OK(ms_store_set_alias(live->dir, m, ms_slice_cstr(alias), ms_slice_cstr(version), NULL));
}

// --- Running loops -----------------------------------------------------------------------------------

static void run_loops(void *arg)
{
	struct live *live = arg;
	MS_IGNORE(ms_rt_run(live->rt, NULL));
}

// Starts on what is in `options->dir`; the first load is over when it returns.
static void start(struct live *live, struct registry_options *options);

static void stop(struct live *live)
{
	ms_rt_stop(live->rt);
	ms_thread_join(live->thread);
	ms_registry_stop(live->registry);
	ms_rt_free(live->rt);
	ms_registry_free(live->registry);
	ms_metrics_free(live->metrics);
}

// Something to be done on a loop's thread while the test waits.
struct errand {
	struct mail mail;
	struct live *live;
	struct loop *loop;
	sem_t over;
	struct snapshot *snapshot;
	struct registry_change change;
	struct slice bytes;
	const char *version;
	enum ms_err err;
	unsigned arrived; // of two changes: which was done first
	atomic_uint *order;
};

static void errand_start(struct errand *e, struct live *live, unsigned loop, mail_fn *fn)
{
	e->live = live;
	e->loop = ms_rt_loop(live->rt, loop);
	REQUIRE(sem_init(&e->over, 0, 0) == 0);
	ms_loop_post(e->loop, &e->mail, fn);
}

static void errand_wait(struct errand *e)
{
	while (sem_wait(&e->over) != 0)
		continue;
	sem_destroy(&e->over);
}

static void take_snapshot(struct mail *mail)
{
	struct errand *e = MS_CONTAINER_OF(mail, struct errand, mail);
	e->snapshot = ms_snapshot_ref(ms_registry_snapshot(e->live->registry, e->loop));
	sem_post(&e->over);
}

// What the loop serves now; the caller releases it.
static struct snapshot *see(struct live *live, unsigned loop)
{
	struct errand e = {0};
	errand_start(&e, live, loop, take_snapshot);
	errand_wait(&e);
	return e.snapshot;
}

static void change_over(struct registry_change *change)
{
	struct errand *e = MS_CONTAINER_OF(change, struct errand, change);
	e->snapshot = ms_snapshot_ref(ms_registry_snapshot(e->live->registry, e->loop));
	if (e->order != NULL)
		e->arrived = atomic_fetch_add(e->order, 1);
	sem_post(&e->over);
}

static void change_now(struct mail *mail)
{
	struct errand *e = MS_CONTAINER_OF(mail, struct errand, mail);
	e->change.done = change_over;
	e->err = ms_registry_change(e->live->registry, &e->change, e->loop);
	if (e->err != MS_OK)
		sem_post(&e->over);
}

// Returns when every loop sees the change; what it failed with, if it did.
static enum ms_err change(struct live *live, struct registry_change what, struct errinfo *info)
{
	struct errand e = {.change = what};
	errand_start(&e, live, 1, change_now);
	errand_wait(&e);
	CHECK_OK(e.err);
	ms_snapshot_unref(e.snapshot);
	if (info != NULL)
		*info = e.change.info;
	return e.change.err;
}

static void look(struct live *live)
{
	CHECK_OK(change(live, (struct registry_change){0}, NULL));
}

static void start(struct live *live, struct registry_options *options)
{
	options->model_options = MS_MODEL_DEFAULT_OPTIONS;
	live->dir = options->dir;
	REQUIRE(ms_rt_new(&(struct rt_options){.loops = LOOPS}, NULL, &live->rt) == MS_OK);
	REQUIRE(ms_metrics_new(LOOPS, &live->metrics) == MS_OK);
	options->rt = live->rt;
	options->metrics = live->without_metrics ? NULL : live->metrics;
	REQUIRE(ms_registry_new(options, NULL, &live->registry) == MS_OK);
	CHECK(!ms_registry_ready(live->registry));
	REQUIRE(ms_registry_start(live->registry, NULL) == MS_OK);
	REQUIRE(ms_thread_new("loops", run_loops, live, NULL, &live->thread) == MS_OK);
	look(live); // changes are serial: the first load is over before
	CHECK(ms_registry_ready(live->registry));
}

// The version that both loops answer with, or the code of their refusal.
static void check_serves(struct live *live, const char *version_or_alias, const char *want, const char *why)
{
	for (unsigned i = 0; i < LOOPS; i++) {
		struct snapshot *snapshot = see(live, i);
		struct served_model *served = NULL;
		struct errinfo info;
		ms_errinfo_init(&info);
		enum ms_err err = ms_snapshot_find(snapshot, m, ms_slice_cstr(version_or_alias), &info, &served);
		CHECK_SLICE(err == MS_OK ? served->version : ms_slice_cstr(ms_err_name(err)), want);
		CHECK_HAS(info.message, why);
		ms_snapshot_unref(snapshot);
	}
}

static void check_counts(struct live *live, size_t ready, size_t broken)
{
	for (unsigned i = 0; i < LOOPS; i++) {
		struct snapshot *snapshot = see(live, i);
		CHECK_INT(snapshot->ready_count, ready);
		CHECK_INT(snapshot->broken_count, broken);
		ms_snapshot_unref(snapshot);
	}
}

static bool metrics_have(const struct live *live, const char *part)
{
	struct buf text;
	ms_buf_init(&text, 1 << 20);
	ms_metrics_write(live->metrics, METRICS_PROMETHEUS_TEXT, &text);
	ms_buf_append(&text, "", 1);
	REQUIRE(ms_buf_ok(&text));
	bool found = strstr(text.p, part) != NULL;
	ms_buf_fini(&text);
	return found;
}

// --- Switching ---------------------------------------------------------------------------------------

TEST(registry_switches_every_loop_and_frees_the_old_with_its_last_request)
{
	struct live live = {0};
	struct registry_options options = {.dir = ms_test_temp_dir()};
	REQUIRE(push(options.dir, "1", penguins(), NULL) == MS_OK);
	start(&live, &options);
	check_serves(&live, "", "1", "");
	CHECK(metrics_have(&live, "models_loaded 1\n"));

	struct snapshot *before = see(&live, 1); // as a request that is under way holds it
	struct served_model *old, *next;
	REQUIRE(ms_snapshot_find(before, m, MS_SLICE_EMPTY, NULL, &old) == MS_OK);
	ms_served_ref(old);
	ms_snapshot_unref(before);
	ms_served_record(old, NULL, &(struct model_sample){.rows = 1});
	REQUIRE(push(options.dir, "2", penguins(), NULL) == MS_OK);
	look(&live);
	check_serves(&live, "", "2", "");
	check_serves(&live, "1", "model.not_ready", "models.policy does not load it");
	check_counts(&live, 1, 0);
	CHECK_INT(atomic_load(&old->refs), 1); // ours is the last: no loop and no snapshot has it any more
	double row[16] = {0}, out[1] = {0};
	void *scratch = malloc(ms_model_scratch_size(old->model) + 1);
	REQUIRE(scratch != NULL && ms_model_info(old->model)->feature_count <= MS_ARRAY_LEN(row));
	ms_model_predict(old->model, &MS_MODEL_QUERY(MODEL_OUTPUT_DEFAULT), row, 1, scratch, out);
	CHECK(out[0] > 1000); // grams: it still computes
	free(scratch);

	struct snapshot *after = see(&live, 0);
	REQUIRE(ms_snapshot_find(after, m, MS_SLICE_EMPTY, NULL, &next) == MS_OK);
	CHECK(next != old);
	ms_snapshot_unref(after);
	ms_served_unref(old);

	// Its figures stay while the store has it, and not longer.
	CHECK(metrics_have(&live, "model_version=\"1\",outcome=\"success\"} 1"));
	CHECK_OK(ms_store_remove(live.dir, m, MS_SLICE_LIT("1"), NULL));
	look(&live);
	check_serves(&live, "1", "model.version_not_found", "there are: 2");
	CHECK(!metrics_have(&live, "model_version=\"1\""));
	CHECK(metrics_have(&live, "model_version=\"2\""));
	stop(&live);
}

TEST(registry_ends_the_figures_of_a_version_that_was_removed)
{
	struct live live = {0};
	struct registry_options options = {.dir = ms_test_temp_dir(), .policy = LOAD_ALL};
	REQUIRE(push(options.dir, "1", penguins(), NULL) == MS_OK);
	REQUIRE(push(options.dir, "2", penguins(), NULL) == MS_OK);
	start(&live, &options);
	struct snapshot *snapshot = see(&live, 0);
	struct served_model *served;
	REQUIRE(ms_snapshot_find(snapshot, m, MS_SLICE_LIT("1"), NULL, &served) == MS_OK);
	ms_served_record(served, NULL, &(struct model_sample){.rows = 1});
	CHECK(metrics_have(&live, "model_version=\"1\""));
	CHECK_OK(ms_store_remove(live.dir, m, MS_SLICE_LIT("1"), NULL));
	look(&live);
	CHECK(metrics_have(&live, "model_version=\"1\"")); // a snapshot of ours still has it
	ms_snapshot_unref(snapshot);
	CHECK(!metrics_have(&live, "model_version=\"1\""));
	CHECK(metrics_have(&live, "model_version=\"2\""));
	CHECK(metrics_have(&live, "model_prediction_duration_seconds_count{model=\"m\"} 1"));
	CHECK_OK(ms_store_remove(live.dir, m, MS_SLICE_EMPTY, NULL));
	look(&live);
	CHECK(!metrics_have(&live, "model=\"m\""));
	check_serves(&live, "", "model.not_found", "none is in the store yet");

	// The same for a model that was unloaded before.
	REQUIRE(push(live.dir, "1", penguins(), NULL) == MS_OK);
	CHECK_OK(change(&live, (struct registry_change){.unload = m}, NULL));
	look(&live);
	CHECK_OK(change(&live, (struct registry_change){.load = m}, NULL));
	CHECK_OK(change(&live, (struct registry_change){.unload = m}, NULL));
	CHECK(metrics_have(&live, "model=\"m\""));
	CHECK_OK(ms_store_remove(live.dir, m, MS_SLICE_EMPTY, NULL));
	look(&live);
	CHECK(!metrics_have(&live, "model=\"m\""));
	stop(&live);
}

// Removed and pushed again while a request still holds the old one: the figures are the new one's.
TEST(registry_keeps_the_figures_of_a_version_that_came_again)
{
	struct live live = {0};
	struct registry_options options = {.dir = ms_test_temp_dir()};
	REQUIRE(push(options.dir, "1", penguins(), NULL) == MS_OK);
	start(&live, &options);
	struct snapshot *held = see(&live, 1);
	CHECK_OK(ms_store_remove(live.dir, m, MS_SLICE_EMPTY, NULL));
	look(&live);
	REQUIRE(push(live.dir, "1", penguins(), NULL) == MS_OK);
	look(&live);
	ms_snapshot_unref(held);
	struct snapshot *snapshot = see(&live, 0);
	ms_served_record(ms_snapshot_model(snapshot, m)->current, NULL, &(struct model_sample){.rows = 1});
	ms_snapshot_unref(snapshot);
	CHECK(metrics_have(&live, "model_version=\"1\",outcome=\"success\"} 1"));
	CHECK(metrics_have(&live, "model_prediction_duration_seconds_count{model=\"m\"} 1"));
	CHECK_OK(ms_store_remove(live.dir, m, MS_SLICE_EMPTY, NULL));
	look(&live);
	CHECK(!metrics_have(&live, "model=\"m\""));
	stop(&live);
}

TEST(registry_works_without_metrics)
{
	struct live live = {.without_metrics = true};
	struct registry_options options = {.dir = ms_test_temp_dir()};
	REQUIRE(push(options.dir, "1", penguins(), NULL) == MS_OK);
	start(&live, &options);
	struct snapshot *held = see(&live, 1);
	ms_served_record(ms_snapshot_model(held, m)->current, NULL, &(struct model_sample){.rows = 1});
	CHECK_OK(ms_store_remove(live.dir, m, MS_SLICE_EMPTY, NULL));
	look(&live);
	ms_snapshot_unref(held);
	REQUIRE(push(live.dir, "1", penguins(), NULL) == MS_OK);
	look(&live);
	check_serves(&live, "", "1", "");
	stop(&live);
}

// --- Broken models -----------------------------------------------------------------------------------

TEST(registry_keeps_the_old_version_when_the_new_is_broken)
{
	struct live live = {0};
	struct registry_options options = {.dir = ms_test_temp_dir()};
	REQUIRE(push(options.dir, "1", penguins(), NULL) == MS_OK);
	start(&live, &options);
	put(live.dir, "m", "2", ms_slice_sub(penguins(), 0, 4000));
	look(&live);
	check_serves(&live, "", "1", "");
	check_serves(&live, "2", "model.not_ready", "model 'm' version '2' is not ready: ");
	check_counts(&live, 1, 1);
	struct snapshot *snapshot = see(&live, 1);
	const struct live_version *newest = &ms_snapshot_model(snapshot, m)->versions[0];
	CHECK_SLICE(newest->version, "2");
	CHECK_INT(newest->state, VERSION_UNAVAILABLE);
	CHECK(newest->served == NULL && newest->reason.n > 10);
	ms_snapshot_unref(snapshot);
	put(live.dir, "m", "2", penguins());
	look(&live);
	check_serves(&live, "", "2", "");
	check_counts(&live, 1, 0);
	stop(&live);
}

TEST(registry_keeps_the_old_content_when_a_changed_file_is_broken)
{
	struct live live = {0};
	struct registry_options options = {.dir = ms_test_temp_dir()};
	put(options.dir, "m", "1", penguins());
	start(&live, &options);
	struct snapshot *first = see(&live, 0), *second;
	struct served_model *before = ms_snapshot_model(first, m)->current;
	put(live.dir, "m", "1", MS_SLICE_LIT("tree\nnot a model"));
	look(&live);
	check_serves(&live, "", "1", "");
	check_counts(&live, 1, 1);
	second = see(&live, 1);
	const struct live_version *version = &ms_snapshot_model(second, m)->versions[0];
	CHECK(version->served == before);
	CHECK_INT(version->state, VERSION_READY);
	CHECK(version->reason.n > 10);
	ms_snapshot_unref(second);
	look(&live); // nothing new: the reason stays
	check_counts(&live, 1, 1);
	put(live.dir, "m", "1", penguins());
	look(&live);
	second = see(&live, 1);
	CHECK(ms_snapshot_model(second, m)->current != before);
	ms_snapshot_unref(second);
	check_counts(&live, 1, 0);
	CHECK_INT(atomic_load(&before->refs), 1); // the first snapshot's
	ms_snapshot_unref(first);
	stop(&live);
}

TEST(registry_keeps_all_when_the_store_cannot_be_read)
{
	struct live live = {0};
	char path[600], aside[600];
	const char *parent = ms_test_temp_dir();
	snprintf(path, sizeof(path), "%s/store", parent);
	snprintf(aside, sizeof(aside), "%s/aside", parent);
	REQUIRE(mkdir(path, 0700) == 0);
	struct registry_options options = {.dir = path};
	REQUIRE(push(path, "1", penguins(), NULL) == MS_OK);
	start(&live, &options);
	CHECK(!ms_registry_store_broken(live.registry));
	REQUIRE(rename(path, aside) == 0);
	write_file(path, MS_SLICE_LIT("no folder"));
	look(&live);
	CHECK(ms_registry_store_broken(live.registry));
	check_serves(&live, "", "1", "");
	REQUIRE(unlink(path) == 0 && rename(aside, path) == 0);
	look(&live);
	CHECK(!ms_registry_store_broken(live.registry));
	check_serves(&live, "", "1", "");
	stop(&live);
}

// --- Loading on request ------------------------------------------------------------------------------

TEST(registry_unloads_and_loads_on_request)
{
	struct live live = {0};
	struct registry_options options = {.dir = ms_test_temp_dir()};
	REQUIRE(push(options.dir, "1", penguins(), NULL) == MS_OK);
	start(&live, &options);
	CHECK_OK(change(&live, (struct registry_change){.unload = m}, NULL));
	check_serves(&live, "", "model.not_ready", "the model was unloaded by request");
	check_counts(&live, 0, 0); // unloaded is not broken
	REQUIRE(push(options.dir, "2", penguins(), NULL) == MS_OK);
	look(&live); // stays unloaded, also a version that is new
	check_serves(&live, "", "model.not_ready", "the model was unloaded by request");
	check_serves(&live, "2", "model.not_ready", "the model was unloaded by request");
	CHECK_OK(change(&live, (struct registry_change){.unload = m}, NULL)); // twice is once
	CHECK_OK(change(&live, (struct registry_change){.load = m}, NULL));
	check_serves(&live, "", "2", "");
	CHECK_OK(change(&live, (struct registry_change){.load = MS_SLICE_LIT("unheard-of")}, NULL));
	check_serves(&live, "", "2", "");
	stop(&live);
}

static size_t count_lines(const char *path, const char *part)
{
	size_t count = 0;
	char line[4096];
	FILE *file = fopen(path, "rb");
	REQUIRE(file != NULL);
	while (fgets(line, sizeof(line), file) != NULL)
		count += strstr(line, part) != NULL;
	fclose(file);
	return count;
}

// A broken version whose file did not change is left alone by polling, and tried again when somebody asks.
TEST(registry_tries_a_broken_version_again_on_request)
{
	struct live live = {0};
	struct registry_options options = {.dir = ms_test_temp_dir()};
	char path[600];
	snprintf(path, sizeof(path), "%s/log", ms_test_temp_dir());
	FILE *file = fopen(path, "wb");
	REQUIRE(file != NULL);
	REQUIRE(ms_log_new(&(struct log_options){.fd = fileno(file), .service = "t", .version = "1"}, NULL,
			   &options.log) == MS_OK);
	put(options.dir, "m", "1", penguins());
	put(options.dir, "m", "2", MS_SLICE_LIT("no model"));
	start(&live, &options);
	check_serves(&live, "", "1", "");
	look(&live);
	ms_log_flush(options.log);
	CHECK_INT(count_lines(path, "model cannot be loaded"), 1);
	CHECK_OK(change(&live, (struct registry_change){.load = m}, NULL));
	ms_log_flush(options.log);
	CHECK_INT(count_lines(path, "model cannot be loaded"), 2);
	CHECK_INT(count_lines(path, "model loaded"), 1);
	check_serves(&live, "2", "model.not_ready", "model 'm' version '2' is not ready");
	check_counts(&live, 1, 1);
	stop(&live);
	ms_log_free(options.log);
	fclose(file);
}

// --- Aliases and policies ----------------------------------------------------------------------------

TEST(registry_follows_aliases)
{
	struct live live = {0};
	struct registry_options options = {.dir = ms_test_temp_dir()};
	for (char version[] = "1"; version[0] <= '3'; version[0]++)
		REQUIRE(push(options.dir, version, penguins(), NULL) == MS_OK);
	start(&live, &options);
	check_serves(&live, "champion", "model.version_not_found", "no version or alias 'champion'");
	set_alias(&live, "champion", "1");
	look(&live);
	check_serves(&live, "champion", "1", "");
	check_serves(&live, "", "3", ""); // an alias does not change what is served by default
	check_counts(&live, 2, 0);
	struct snapshot *snapshot = see(&live, 0);
	struct served_model *first;
	REQUIRE(ms_snapshot_find(snapshot, m, MS_SLICE_LIT("1"), NULL, &first) == MS_OK);
	ms_served_ref(first);
	ms_snapshot_unref(snapshot);
	set_alias(&live, "champion", "2");
	look(&live);
	check_serves(&live, "champion", "2", "");
	check_serves(&live, "1", "model.not_ready", "models.policy does not load it");
	CHECK_INT(atomic_load(&first->refs), 1);
	ms_served_unref(first);
	set_alias(&live, "champion", "");
	look(&live);
	check_serves(&live, "champion", "model.version_not_found", "there are: 3, 2, 1");
	check_counts(&live, 1, 0);
	stop(&live);
}

// Edited by hand and broken: what it said before holds until it says something again.
TEST(registry_keeps_aliases_when_their_file_is_broken)
{
	struct live live = {0};
	char path[600];
	struct registry_options options = {.dir = ms_test_temp_dir()};
	REQUIRE(push(options.dir, "1", penguins(), NULL) == MS_OK);
	REQUIRE(push(options.dir, "2", penguins(), NULL) == MS_OK);
	start(&live, &options);
	set_alias(&live, "champion", "1");
	look(&live);
	snprintf(path, sizeof(path), "%s/m/aliases.json", live.dir);
	write_file(path, MS_SLICE_LIT("{\"champion\": \"2\""));
	look(&live);
	look(&live);
	check_serves(&live, "champion", "1", "");
	write_file(path, MS_SLICE_LIT("{\"champion\": \"2\"}"));
	look(&live);
	check_serves(&live, "champion", "2", "");
	stop(&live);
}

TEST(registry_loads_what_the_policy_says)
{
	static const char *const given[] = {"m:2", "m:9", "other:1"};
	static const struct {
		enum load_policy policy;
		const char *one, *two, *three, *current;
	} cases[] = {
		{LOAD_LATEST, "model.not_ready", "model.not_ready", "3", "3"},
		{LOAD_ALL, "1", "2", "3", "3"},
		{LOAD_GIVEN, "model.not_ready", "2", "model.not_ready", "2"},
	};
	struct registry_options options = {
		.dir = ms_test_temp_dir(), .given = given, .given_count = MS_ARRAY_LEN(given)};
	for (char version[] = "1"; version[0] <= '3'; version[0]++)
		REQUIRE(push(options.dir, version, penguins(), NULL) == MS_OK);
	for (size_t i = 0; i < MS_ARRAY_LEN(cases); i++) {
		struct live live = {0};
		options.policy = cases[i].policy;
		start(&live, &options);
		check_serves(&live, "1", cases[i].one, "");
		check_serves(&live, "2", cases[i].two, "");
		check_serves(&live, "3", cases[i].three, "");
		check_serves(&live, "", cases[i].current, "");
		stop(&live);
	}
}

TEST(registry_serves_a_single_file_before_a_model_of_its_name)
{
	struct live live = {0};
	char path[600];
	struct registry_options options = {.dir = ms_test_temp_dir(), .single_file = path};
	snprintf(path, sizeof(path), "%s/m.txt", ms_test_temp_dir());
	write_file(path, penguins());
	REQUIRE(push(options.dir, "7", penguins(), NULL) == MS_OK);
	put(options.dir, "z", "1", penguins());
	start(&live, &options);
	check_serves(&live, "", "1", "");
	struct snapshot *snapshot = see(&live, 1);
	CHECK_INT(snapshot->model_count, 2);
	CHECK(ms_snapshot_model(snapshot, m)->single_file);
	CHECK(!ms_snapshot_model(snapshot, MS_SLICE_LIT("z"))->single_file);
	ms_snapshot_unref(snapshot);
	REQUIRE(unlink(path) == 0);
	look(&live); // gone, but what it held is served on
	check_serves(&live, "", "1", "");
	check_counts(&live, 2, 1);
	stop(&live);
}

// --- Changes -----------------------------------------------------------------------------------------

static enum ms_err push_work(struct registry_change *change, const char *dir)
{
	struct errand *e = MS_CONTAINER_OF(change, struct errand, change);
	return push(dir, e->version, e->bytes, &change->info);
}

TEST(registry_takes_two_changes_at_once)
{
	struct live live = {0};
	struct registry_options options = {.dir = ms_test_temp_dir(), .policy = LOAD_ALL};
	start(&live, &options);
	atomic_uint order = 0;
	struct errand e[LOOPS];
	for (unsigned i = 0; i < LOOPS; i++)
		e[i] = (struct errand){
			.change.work = push_work, .version = i == 0 ? "1" : "2", .bytes = penguins(), .order = &order};
	for (unsigned i = 0; i < LOOPS; i++)
		errand_start(&e[i], &live, i, change_now);
	for (unsigned i = 0; i < LOOPS; i++)
		errand_wait(&e[i]);
	for (unsigned i = 0; i < LOOPS; i++) {
		// Each sees its own when it is told; who came second sees both.
		struct served_model *served;
		CHECK_OK(e[i].err);
		CHECK_OK(e[i].change.err);
		CHECK_OK(ms_snapshot_find(e[i].snapshot, m, ms_slice_cstr(e[i].version), NULL, &served));
		CHECK(e[i].arrived == 0 || e[i].snapshot->ready_count == 2);
		ms_snapshot_unref(e[i].snapshot);
	}
	check_counts(&live, 2, 0);
	stop(&live);
}

TEST(registry_tells_a_change_that_failed_and_publishes_nothing_of_it)
{
	struct live live = {0};
	struct registry_options options = {.dir = ms_test_temp_dir()};
	REQUIRE(push(options.dir, "1", penguins(), NULL) == MS_OK);
	start(&live, &options);
	struct errand e = {
		.change = {.work = push_work, .unload = m}, .version = "2", .bytes = MS_SLICE_LIT("no model")};
	errand_start(&e, &live, 0, change_now);
	errand_wait(&e);
	CHECK_OK(e.err);
	CHECK(e.change.err != MS_OK);
	CHECK(e.change.info.message[0] != '\0');
	ms_snapshot_unref(e.snapshot);
	check_serves(&live, "", "1", ""); // not unloaded either
	check_counts(&live, 1, 0);
	stop(&live);
}

struct gate {
	struct errand errand;
	sem_t entered, open;
};

static enum ms_err wait_at_gate(struct registry_change *change, const char *dir)
{
	struct gate *gate = MS_CONTAINER_OF(MS_CONTAINER_OF(change, struct errand, change), struct gate, errand);
	(void)dir;
	sem_post(&gate->entered);
	while (sem_wait(&gate->open) != 0)
		continue;
	return MS_OK;
}

// The loader's queue is bounded; a loop that asks for more is told so at once. What waits is done when the loader ends.
TEST(registry_refuses_changes_beyond_its_queue)
{
	enum { MORE = 300 };
	struct live live = {0};
	struct registry_options options = {.dir = ms_test_temp_dir()};
	start(&live, &options);
	struct gate gate = {.errand.change.work = wait_at_gate};
	REQUIRE(sem_init(&gate.entered, 0, 0) == 0 && sem_init(&gate.open, 0, 0) == 0);
	errand_start(&gate.errand, &live, 0, change_now);
	while (sem_wait(&gate.entered) != 0)
		continue;
	struct errand *more = calloc(MORE, sizeof(*more));
	REQUIRE(more != NULL);
	for (size_t i = 0; i < MORE; i++)
		errand_start(&more[i], &live, i % LOOPS, change_now);
	for (unsigned i = 0; i < LOOPS; i++)
		ms_snapshot_unref(see(&live, i)); // mail is in order: all have been asked for
	size_t busy = 0;
	for (size_t i = 0; i < MORE; i++) {
		CHECK(more[i].err == MS_OK || more[i].err == MS_ERR_BUSY);
		busy += more[i].err == MS_ERR_BUSY;
	}
	CHECK_INT(busy, MORE - 256);
	sem_post(&gate.open);
	errand_wait(&gate.errand);
	ms_snapshot_unref(gate.errand.snapshot);
	for (size_t i = 0; i < MORE; i++) {
		errand_wait(&more[i]);
		ms_snapshot_unref(more[i].snapshot);
	}
	sem_destroy(&gate.entered);
	sem_destroy(&gate.open);
	free(more);
	stop(&live);
}
