// SPDX-License-Identifier: Apache-2.0
// The model registry: a store of model versions in a folder, and the live set of loaded models.
//
// Store layout, the only truth:
//
//	<dir>/<model>/<version>/<one model file>   any name
//	<dir>/<model>/<version>/metadata.json      optional; see README.md
//	<dir>/<model>/aliases.json                 {"champion": "v1.0.0"}
//	<dir>/.incoming-*, <dir>/.removed-*        work in progress, swept under the lock
//
// A version appears by one rename of a finished, synced folder and goes by one rename, so that whoever
// looks, after whatever crash, sees whole versions only.
#ifndef MS_REGISTRY_REGISTRY_H
#define MS_REGISTRY_REGISTRY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/base.h"
#include "crypto/crypto.h"
#include "model/model.h"
#include "observe/observe.h"
#include "rt/rt.h"

#define MS_MODEL_NAME_MAX 128
#define MS_MODEL_VERSION_MAX 64

// Names: 1 to 128 (versions and aliases: 64) of letters, digits, '.', '_', '-', not starting with '.' or '-'.
MS_MUST_USE enum ms_err ms_store_check_model_name(struct slice name, struct errinfo *info);
MS_MUST_USE enum ms_err ms_store_check_version_name(struct slice version, struct errinfo *info);

// Orders versions as people read them: a leading v is ignored, runs of digits compare as numbers, and
// "1.0.0-rc1" comes before "1.0.0". Never 0 for different texts.
int ms_version_cmp(struct slice a, struct slice b);

// --- The store (blocking: pool threads and the command line) -----------------------------------------

struct store_push {
	struct slice model;
	struct slice version; // empty: the one after the newest ("3" → "4", "v1.0.0" → "v1.0.1"; the first is "1")
	struct slice file_name; // of the model file, its last path component; empty: a name by format
	struct slice bytes;     // the model file
	struct slice metadata;  // a JSON object to keep, or empty; sha256, format, inputs … are filled in
	enum model_format format;
	const struct model_options *model_options; // of loading, which checks the file before anything is stored
};
// The file is loaded as a check, written aside, synced, and renamed into place. MS_ERR_MODEL_VERSION_EXISTS
// when the version is there already (identical bytes or not). ret_version has MS_MODEL_VERSION_MAX + 1 bytes.
MS_MUST_USE enum ms_err ms_store_push(const char *dir, const struct store_push *push, struct errinfo *info,
				      char *ret_version);
// version empty: the whole model. MS_ERR_MODEL_IN_USE while an alias names the version.
MS_MUST_USE enum ms_err ms_store_remove(const char *dir, struct slice model, struct slice version,
					struct errinfo *info);
// version empty: removes the alias.
MS_MUST_USE enum ms_err ms_store_set_alias(const char *dir, struct slice model, struct slice alias,
					   struct slice version, struct errinfo *info);

struct store_alias {
	struct slice alias;
	struct slice version;
};
struct store_version {
	struct slice version;
	uint64_t signature; // changes when the model file or its metadata changes
};
struct store_model {
	struct slice name;
	struct store_version *versions; // newest first
	size_t version_count;
	struct store_alias *aliases; // by name
	size_t alias_count;
	const char *alias_error; // aliases.json cannot be used, and why; else NULL
};
// All models by name. A missing folder is an empty store. Names that follow no rule are left out.
MS_MUST_USE enum ms_err ms_store_list(const char *dir, struct arena *arena, struct errinfo *info,
				      struct store_model **ret_models, size_t *ret_count);

// --- One loaded version ------------------------------------------------------------------------------

// Figures of one thread's requests. A loop's are written by that loop alone; the last set is shared by all
// other threads. Updated with ms_model_stats_add().
struct model_stats {
	_Alignas(64) atomic_uint_least64_t success_count; // requests
	atomic_uint_least64_t success_ns;                 // the whole of them
	atomic_uint_least64_t fail_count;
	atomic_uint_least64_t fail_ns;
	atomic_uint_least64_t queue_ns;
	atomic_uint_least64_t input_ns;
	atomic_uint_least64_t infer_ns;
	atomic_uint_least64_t output_ns;
	atomic_uint_least64_t rows;
	atomic_uint_least64_t last_unix_ms;
};

struct served_input {
	struct slice name;
	bool categorical;
	bool strings; // takes text
};

// Immutable but for the figures; any thread may use it while it holds a reference or a snapshot.
struct served_model {
	struct slice name;
	struct slice version;
	struct model *model;
	const struct served_input *inputs; // names of metadata.json where the model file has none
	size_t input_count;
	bool plain;                 // no input is categorical: rows are numbers and nulls only
	const struct slice *labels; // of the classes, or NULL
	size_t label_count;
	struct slice metadata; // JSON object text, as stored and completed
	struct slice file_name;
	uint64_t file_bytes;
	char sha256[MS_SHA256_HEX_SIZE];
	uint64_t signature;
	int64_t loaded_unix_ns;
	int64_t load_ns;           // how long loading took
	struct model_stats *stats; // one per loop, then the shared one
	size_t stats_count;
	struct metric_series *predictions_ok, *predictions_failed, *duration; // NULL outside a registry
	struct metric_series *memory;                                         // NULL outside a registry
	// private to registry
	struct registry *registry;      // that owns the series, or NULL
	struct served_model *next_gone; // with the two below under the registry's lock
	bool version_gone, model_gone;  // from the store: its series end with the last reference
	atomic_uint refs;
	struct arena arena;
	struct map input_index;
};
struct served_model *ms_served_ref(struct served_model *served);
void ms_served_unref(struct served_model *served); // accepts NULL
// Index of the input of that name, or SIZE_MAX.
size_t ms_served_input_index(const struct served_model *served, struct slice name);

// What one request adds to the figures.
struct model_sample {
	bool failed;
	uint64_t rows;
	int64_t total_ns, queue_ns, input_ns, infer_ns, output_ns;
	int64_t unix_ms;
};
// loop NULL: another thread. Also feeds the metric series.
void ms_served_record(const struct served_model *served, const struct loop *loop, const struct model_sample *sample);

// Loads one version for use outside a registry (the command line). version_or_alias empty: the newest.
MS_MUST_USE enum ms_err ms_store_load(const char *dir, struct slice model, struct slice version_or_alias,
				      const struct model_options *model_options, struct errinfo *info,
				      struct served_model **ret_served);
// Loads a single file; its name is the file's stem, its version "1".
MS_MUST_USE enum ms_err ms_store_load_file(const char *path, const struct model_options *model_options,
					   struct errinfo *info, struct served_model **ret_served);

// --- The live set ------------------------------------------------------------------------------------

enum version_state { VERSION_READY, VERSION_LOADING, VERSION_UNAVAILABLE, VERSION_NOT_LOADED };
// As the Open Inference Protocol names them: "READY", "LOADING", "UNAVAILABLE"; a version that nobody asked for is "UNAVAILABLE" too.
const char *ms_version_state_name(enum version_state state);

struct live_version {
	struct slice version;
	enum version_state state;
	struct slice reason;         // why it is not ready, or why a changed file is not served; else empty
	struct served_model *served; // NULL unless READY
	uint64_t signature;          // of the file that was tried last
};
struct live_model {
	struct slice name;
	struct live_version *versions; // newest first
	size_t version_count;
	const struct store_alias *aliases;
	size_t alias_count;
	struct served_model *current; // the newest that is ready, or NULL
	bool unloaded;                // by request; nothing is loaded until asked
	bool single_file;             // from models.path: cannot be changed through the registry
};
// An immutable picture of all models.
struct snapshot {
	struct live_model *models; // by name
	size_t model_count;
	size_t ready_count;  // versions that are ready
	size_t broken_count; // versions that were wanted and cannot be loaded
	// private to registry
	atomic_uint refs;
	struct arena arena;
};

struct registry;
enum load_policy { LOAD_LATEST, LOAD_ALL, LOAD_GIVEN };
struct registry_options {
	const char *dir;          // the store
	const char *single_file;  // or NULL
	enum load_policy policy;  // aliased versions are loaded under every policy
	const char *const *given; // LOAD_GIVEN: "model:version"
	size_t given_count;
	struct model_options model_options;
	uint64_t poll_ms; // 0 = never look by itself
	struct rt *rt;
	struct log *log;
	struct metrics *metrics;
};

MS_MUST_USE enum ms_err ms_registry_new(const struct registry_options *options, struct errinfo *info,
					struct registry **ret_registry);
// Starts the first load and the polling; on loop 0 or before it runs.
MS_MUST_USE enum ms_err ms_registry_start(struct registry *registry, struct errinfo *info);
// Ends polling and the loader; after the loops have ended, before ms_rt_free, which delivers its last mail.
void ms_registry_stop(struct registry *registry);
// After ms_rt_free. Accepts NULL.
void ms_registry_free(struct registry *registry);
// The first load is over. Any thread.
// Looks at the store now, as polling would. On loop 0.
void ms_registry_look(struct registry *registry);
bool ms_registry_ready(const struct registry *registry);
// The last look at the store failed; what was loaded before stays. The log says why. Any thread.
bool ms_registry_store_broken(const struct registry *registry);
const struct model_options *ms_registry_model_options(const struct registry *registry);

// The picture for this loop: valid until the handler returns; take a reference of what is kept longer.
struct snapshot *ms_snapshot_ref(const struct snapshot *snapshot);
void ms_snapshot_unref(struct snapshot *snapshot); // accepts NULL
const struct snapshot *ms_registry_snapshot(struct registry *registry, const struct loop *loop);
const struct live_model *ms_snapshot_model(const struct snapshot *snapshot, struct slice name); // or NULL
// version_or_alias empty: the current one. Errors say what there is instead.
MS_MUST_USE enum ms_err ms_snapshot_find(const struct snapshot *snapshot, struct slice name,
					 struct slice version_or_alias, struct errinfo *info,
					 struct served_model **ret_served);

// Changes run one after the other on the loader's thread: `work` changes the store, then the registry looks
// at the folder again and publishes what it finds, and when every loop sees it `done` runs on `home`.
struct registry_change;
typedef enum ms_err registry_work_fn(struct registry_change *change, const char *dir);
typedef void registry_done_fn(struct registry_change *change);
struct registry_change {
	registry_work_fn *work; // NULL: only look again
	registry_done_fn *done;
	struct slice load;   // a model to load although it was unloaded, or empty; its broken versions are tried again
	struct slice unload; // a model to unload, or empty
	enum ms_err err;     // result of work
	struct errinfo info;
	// private to registry
	struct job job;
	struct registry *registry;
	struct publication *publication;
};
// MS_ERR_BUSY when too many wait. The change lives in the caller's object until done() was called.
MS_MUST_USE enum ms_err ms_registry_change(struct registry *registry, struct registry_change *change,
					   struct loop *home);

#endif
