// SPDX-License-Identifier: Apache-2.0
// The runtime: event loops on libuv, mailboxes, timers, signals, bounded thread pools, and the only doors
// to the clock, to randomness and to files.
//
// Threads: a loop and everything that belongs to it is used by its own thread alone. The only calls that
// another thread may make on a loop are ms_loop_post() and ms_rt_stop(). Before ms_rt_run() and after it
// returned, all loops belong to the thread that calls it: that is when to set up and take down.
// Nothing on a loop thread blocks: blocking work goes to a pool and comes back by mailbox.
#ifndef MS_RT_RT_H
#define MS_RT_RT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/base.h"

struct uv_loop_s;

// --- Clock -------------------------------------------------------------------------------------------

// Nanoseconds of the monotonic clock; only differences mean something.
int64_t ms_clock_mono_ns(void);
// Nanoseconds since the Unix epoch; may jump.
int64_t ms_clock_wall_ns(void);

// --- Randomness --------------------------------------------------------------------------------------

// From the kernel; never fails (a failure of getrandom ends the process).
void ms_random_bytes(void *dst, size_t n);
struct hash_seed ms_random_hash_seed(void);

// --- Loops -------------------------------------------------------------------------------------------

struct rt;   // all loops of the process
struct loop; // one event loop, bound to one thread

struct rt_options {
	unsigned loops; // 1 to 256; 0 = one per core this process may use
	bool pin;       // bind each loop thread to one core
};

// Makes the loops; none runs yet. The process ignores SIGPIPE from here on: a peer that is gone is an error
// of the write.
// MS_ERR_INVALID, MS_ERR_LIMIT (descriptors), MS_ERR_NO_MEMORY.
MS_MUST_USE enum ms_err ms_rt_new(const struct rt_options *options, struct errinfo *info, struct rt **ret_rt);
// All loops have stopped. Delivers the mail that still waits, on the calling thread, until none is left (so
// free the pools first: their last jobs come home here), then closes the loops. Timers and sockets must be
// closed by now. Accepts NULL.
void ms_rt_free(struct rt *rt);
// After ms_rt_run() returned: delivers the mail that waits, on the calling thread, until none is left. With all pools freed
// before, whatever had left a loop has come home after it.
void ms_rt_deliver(struct rt *rt);
unsigned ms_rt_loop_count(const struct rt *rt);
struct loop *ms_rt_loop(struct rt *rt, unsigned index);
// Runs loop 0 on the calling thread and the others on threads of their own, until ms_rt_stop(). At most once
// for an rt. The threads made here, by pools and by ms_thread_new block all signals but those of faults, so
// that signals arrive at the calling thread. With `pin`, make the pools before: a thread inherits the
// core of its maker. MS_ERR_LIMIT when a thread cannot be made: the loops have stopped.
MS_MUST_USE enum ms_err ms_rt_run(struct rt *rt, struct errinfo *info);
// From any thread: every loop ends after its present turn. Before ms_rt_run: that returns at once.
void ms_rt_stop(struct rt *rt);

unsigned ms_loop_index(const struct loop *loop);
// For net, whose sockets are libuv handles. Own thread only.
struct uv_loop_s *ms_loop_uv(struct loop *loop);
// Monotonic time of the present turn, cached: read once per turn. Own thread only.
int64_t ms_loop_now_ns(struct loop *loop);
// Wall time of the present turn, cached: read once per turn. Own thread only.
int64_t ms_loop_wall_ns(struct loop *loop);
// The loop's own generator, seeded from the kernel; not for secrets. Own thread only.
struct rand *ms_loop_rand(struct loop *loop);

// A message to a loop. It lives inside the sender's object, so posting needs no memory and cannot fail.
struct mail;
typedef void mail_fn(struct mail *mail);
struct mail {
	struct mail *next; // of the mailbox
	mail_fn *deliver;  // called once on the loop's thread
};
// From any thread. The mail stays untouched until deliver() is called; deliver() may post or free it.
// Never called inside the call that posts. Mails of one thread are delivered in the order of posting.
void ms_loop_post(struct loop *loop, struct mail *mail, mail_fn *deliver);

// --- Timers ------------------------------------------------------------------------------------------

// Millisecond timers, counted from the time of the present turn. Own thread only. Allocated by ms_timer_new, because
// libuv closes handles later.
struct timer;
typedef void timer_fn(struct timer *timer, void *arg);
MS_MUST_USE enum ms_err ms_timer_new(struct loop *loop, timer_fn *fn, void *arg, struct timer **ret_timer);
// Starts or restarts. repeat_ms = 0: once.
void ms_timer_start(struct timer *timer, uint64_t after_ms, uint64_t repeat_ms);
void ms_timer_stop(struct timer *timer);
// Stops; fn is not called again. Accepts NULL.
void ms_timer_free(struct timer *timer);

// --- Signals -----------------------------------------------------------------------------------------

typedef void signal_fn(int signum, void *arg);
// Calls fn on the loop's thread for each arrival (the kernel merges arrivals that are close). At most 8
// watches a loop (MS_ERR_LIMIT), freed with the loop. MS_ERR_INVALID: the signal cannot be watched. Own thread only.
MS_MUST_USE enum ms_err ms_signal_watch(struct loop *loop, int signum, signal_fn *fn, void *arg);

// --- Pools -------------------------------------------------------------------------------------------

// A bounded pool of threads for work that may block or is long. Jobs run in the order of submission.
struct pool;
struct job;
typedef void job_fn(struct job *job);
struct job {
	struct mail mail;  // brings the job home
	struct job *next;  // of the pool's queue
	job_fn *work;      // on a pool thread
	job_fn *done;      // on `home`'s thread afterwards; on the pool thread when home is NULL
	struct loop *home; // the loop that submitted, or NULL
	int64_t queued_ns; // set by the pool
};
struct pool_options {
	const char *name; // of the threads and metrics; static text
	unsigned threads; // 1 to 256
	unsigned depth;   // jobs that may wait while all threads work, 1 to 1,000,000
};
struct pool_stats {
	unsigned waiting;
	unsigned running;
	uint64_t completed;
	uint64_t rejected;
	int64_t waited_ns; // in the queue, sum over completed jobs
};
// MS_ERR_INVALID, MS_ERR_LIMIT (threads), MS_ERR_NO_MEMORY.
MS_MUST_USE enum ms_err ms_pool_new(const struct pool_options *options, struct errinfo *info, struct pool **ret_pool);
// Runs what is queued, then ends the threads. Accepts NULL. Not from a pool thread.
void ms_pool_free(struct pool *pool);
// From any thread. MS_ERR_BUSY when all threads work and `depth` jobs wait already, MS_ERR_DRAINING while the pool ends:
// nothing was queued. The job lives in the caller's object until done() was called; done() may free or submit it again.
MS_MUST_USE enum ms_err ms_pool_submit(struct pool *pool, struct job *job, struct loop *home, job_fn *work,
				       job_fn *done);
// From any thread.
struct pool_stats ms_pool_stats(struct pool *pool);
unsigned ms_pool_threads(const struct pool *pool);

// Calls part(context, 0) to part(context, count - 1), each once, here and on threads of the pool that are idle; returns when
// all have returned. From any thread that may block, one of the pool too. What no other thread takes is done here, so this
// neither fails nor waits for a place in the queue.
typedef void pool_part_fn(void *context, size_t part);
void ms_pool_share(struct pool *pool, size_t count, pool_part_fn *part, void *context);

// A thread of its own, for what is neither loop nor pool (the writer of the log). `name` has at most 15 bytes.
struct thread;
typedef void thread_fn(void *arg);
MS_MUST_USE enum ms_err ms_thread_new(const char *name, thread_fn *fn, void *arg, struct errinfo *info,
				      struct thread **ret_thread);
// Waits until fn has returned. Accepts NULL. Not from the thread itself.
void ms_thread_join(struct thread *thread);

// --- Files (blocking: pool threads and the command line only) ----------------------------------------
// Paths are NUL-terminated. Failures are MS_ERR_FILE_MISSING, MS_ERR_FILE_EXISTS, MS_ERR_NO_SPACE,
// MS_ERR_PERMISSION, MS_ERR_LIMIT (too large, too many, name too long), MS_ERR_NO_MEMORY or MS_ERR_IO. The message names
// what failed, the last part of the path and the system's reason; never the path.

// Names of temporary files begin with this; a crash may leave one behind, which any later start may remove.
#define MS_FILE_TEMP_PREFIX ".tmp-"

// Whole regular file into malloc memory with a NUL behind it (not counted), at most `max` bytes; the caller frees
// ret_bytes->p.
MS_MUST_USE enum ms_err ms_file_read(const char *path, size_t max, struct errinfo *info, struct slice *ret_bytes);
// The same for a secret: MS_ERR_PERMISSION unless the file belongs to this user or to root and nobody else may read or write it. A
// link is not followed.
MS_MUST_USE enum ms_err ms_file_read_private(const char *path, size_t max, struct errinfo *info,
					     struct slice *ret_bytes);
// All of a descriptor such as standard input, likewise.
MS_MUST_USE enum ms_err ms_fd_read_all(int fd, size_t max, struct errinfo *info, struct slice *ret_bytes);
// A file of any size, or standard input, piece by piece. One owner.
struct file_reader;
// `path` NULL: standard input. `ahead`: how much is looked ahead, see below; 1 KiB to 1 GiB. Pipes and devices are fine.
MS_MUST_USE enum ms_err ms_reader_open(const char *path, size_t ahead, struct errinfo *info,
				       struct file_reader **ret_reader);
// Keeps the last `keep` bytes (fewer than `ahead`) of what was returned before, which were not used yet, and reads on behind them:
// *ret_text has at least `ahead` bytes, or all that is left. It is valid until the next call.
MS_MUST_USE enum ms_err ms_reader_fill(struct file_reader *reader, size_t keep, struct errinfo *info,
				       struct slice *ret_text);
bool ms_reader_ended(const struct file_reader *reader);     // the last text goes to the end
uint64_t ms_reader_taken(const struct file_reader *reader); // bytes read so far, those of the last text included
uint64_t ms_reader_size(const struct file_reader *reader);  // of a regular file; 0: not known
void ms_reader_close(struct file_reader *reader);           // accepts NULL
// Maps a whole regular file read-only; release with ms_file_unmap. An empty file gives {NULL, 0}. Only for files that
// nobody shortens (reading past a new end is SIGBUS): our own, replaced by rename.
MS_MUST_USE enum ms_err ms_file_map(const char *path, size_t max, struct errinfo *info, struct slice *ret_bytes);
void ms_file_unmap(struct slice bytes);
// Writes a temporary file beside `path`, syncs it, renames it over `path`, syncs the folder: after a crash
// the old or the new content is there, never a part. `mode` as in open(2). A link at `path` is replaced, not followed.
// When it fails before the rename, the old content is there; when only the last sync fails (MS_ERR_IO), the new
// content is there but may be lost in a crash.
MS_MUST_USE enum ms_err ms_file_write_atomic(const char *path, struct slice bytes, unsigned mode, struct errinfo *info);
// Appends to a file, which is made when missing, and syncs it. Lines of several writers do not mix.
MS_MUST_USE enum ms_err ms_file_append(const char *path, struct slice bytes, unsigned mode, struct errinfo *info);
// The same for a new file: MS_ERR_FILE_EXISTS when the name is taken, of which the present content stays.
MS_MUST_USE enum ms_err ms_file_write_new(const char *path, struct slice bytes, unsigned mode, struct errinfo *info);
// Renames a file or folder and syncs both parents. `replace` false: MS_ERR_FILE_EXISTS when `to` exists (renameat2
// with RENAME_NOREPLACE).
MS_MUST_USE enum ms_err ms_file_rename(const char *from, const char *to, bool replace, struct errinfo *info);
// Not a folder. Lasting after ms_dir_sync of the parent.
MS_MUST_USE enum ms_err ms_file_remove(const char *path, struct errinfo *info);

struct file_stat {
	bool is_dir;
	bool is_file;
	uint64_t size;
	int64_t mtime_ns; // since the Unix epoch
	uint64_t inode;
};
// Follows links.
MS_MUST_USE enum ms_err ms_file_stat(const char *path, struct errinfo *info, struct file_stat *ret_stat);

// Creates the folder and its parents (mode 0750) and syncs what it changed; an existing folder is fine.
// MS_ERR_FILE_EXISTS when something else has the name.
MS_MUST_USE enum ms_err ms_dir_create(const char *path, struct errinfo *info);
// Names in the folder without "." and "..", sorted by bytes, in the arena; MS_ERR_LIMIT when there
// are more than `max`.
MS_MUST_USE enum ms_err ms_dir_list(const char *path, size_t max, struct arena *arena, struct errinfo *info,
				    struct slice **ret_names, size_t *ret_count);
// Removes the folder and all below it, at most 100 folders deep (MS_ERR_LIMIT); does not follow links: a link below is
// removed itself, a link as `path` is refused. A missing folder is fine.
MS_MUST_USE enum ms_err ms_dir_remove(const char *path, struct errinfo *info);
MS_MUST_USE enum ms_err ms_dir_sync(const char *path, struct errinfo *info);

// An advisory lock between processes (flock) on a file that is created when missing (mode 0640). MS_ERR_CONFLICT when
// another holder (a process, or a second lock in this one) has it and wait is false. Release with ms_file_unlock; the
// end of the process releases it too. The file stays.
MS_MUST_USE enum ms_err ms_file_lock(const char *path, bool wait, struct errinfo *info, int *ret_fd);
void ms_file_unlock(int fd);

// --- Process -----------------------------------------------------------------------------------------

struct process_stats {
	uint64_t resident_bytes;
	uint64_t virtual_bytes;
	double cpu_seconds; // user and system
	uint64_t open_fds;
	uint64_t max_fds;
	int64_t start_unix_ns; // when this process started, to about 10 ms; moves when the wall clock is set
	unsigned threads;
};
// Reads /proc/self; zeros where the system does not say. Takes some ten microseconds; allowed on a loop thread.
void ms_process_stats(struct process_stats *ret_stats);
// Cores that this process may use, at least 1: the affinity mask of the calling thread, and the quota of its cgroup
// (version 2 or 1) and of those above, rounded up.
unsigned ms_process_cores(void);
// Bytes that the container's cgroup (version 2 or 1) allows this process, or 0 without a limit.
uint64_t ms_process_memory_limit(void);

#endif
