// SPDX-License-Identifier: Apache-2.0
// The log: a ring of bytes between all threads and one writer. The lock is held for the copy of a line or a chunk, never
// for a write. The writer writes at most a pipe's atomic size at a time and only when the descriptor can take it, so
// that a reader who stands still never holds the writer, and so never the end of the process.
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "observe/internal.h"
#include "rt/rt.h"

#define RING_SIZE ((size_t)256 * 1024)
#define CONSTANTS_SIZE 512
#define CHUNK_MAX ((size_t)PIPE_BUF)
#define POLL_MS 100
#define ERROR_WAIT_NS (INT64_C(100) * 1000000)
#define STUCK_NS (INT64_C(2000) * 1000000)

struct log {
	_Atomic enum log_level level;
	_Atomic uint64_t dropped;
	int fd;
	struct log_style style;
	char constants[CONSTANTS_SIZE];
	struct thread *writer;

	pthread_mutex_t lock;    // guards what follows
	pthread_cond_t produced; // the writer waits for it
	pthread_cond_t consumed; // who waits for room or for the writer
	uint64_t head;           // bytes put in, ever
	uint64_t tail;           // bytes written or given up, ever
	int64_t moved_ns;        // when `tail` last moved or the ring was last empty
	unsigned urgent;         // errors that wait for room: others stand back
	bool stalled;            // somebody waited in vain since `tail` moved
	bool ending;
	char ring[RING_SIZE];
};

// --- Levels ------------------------------------------------------------------------------------------

bool ms_log_enabled(const struct log *log, enum log_level level)
{
	return log != NULL && level >= atomic_load_explicit(&log->level, memory_order_relaxed);
}

void ms_log_set_level(struct log *log, enum log_level level)
{
	atomic_store_explicit(&log->level, level, memory_order_relaxed);
}

bool ms_log_level_parse(struct slice text, enum log_level *ret_level)
{
	static const struct {
		struct slice name;
		enum log_level level;
	} names[] = {
		{MS_SLICE_LIT("trace"), LOG_TRACE},  {MS_SLICE_LIT("debug"), LOG_DEBUG},
		{MS_SLICE_LIT("info"), LOG_INFO},    {MS_SLICE_LIT("warn"), LOG_WARN},
		{MS_SLICE_LIT("warning"), LOG_WARN}, {MS_SLICE_LIT("error"), LOG_ERROR},
		{MS_SLICE_LIT("off"), LOG_OFF},
	};
	for (size_t i = 0; i < MS_ARRAY_LEN(names); i++) {
		if (ms_slice_eq_nocase(text, names[i].name)) {
			*ret_level = names[i].level;
			return true;
		}
	}
	return false;
}

uint64_t ms_log_dropped(const struct log *log)
{
	return log != NULL ? atomic_load_explicit(&log->dropped, memory_order_relaxed) : 0;
}

// --- Writer ------------------------------------------------------------------------------------------

static void count_dropped(struct log *log, uint64_t lines)
{
	atomic_fetch_add_explicit(&log->dropped, lines, memory_order_relaxed);
}

static uint64_t count_lines(const char *p, size_t n)
{
	uint64_t lines = 0;
	for (size_t i = 0; i < n; i++)
		lines += p[i] == '\n';
	return lines;
}

// Copies the next bytes to write: whole lines where they fit, so that a pipe keeps them together.
static struct slice next_chunk(const struct log *log, char dst[CHUNK_MAX])
{
	size_t n = MS_MIN((size_t)(log->head - log->tail), CHUNK_MAX);
	size_t at = log->tail % RING_SIZE;
	size_t first = MS_MIN(n, RING_SIZE - at);
	memcpy(dst, log->ring + at, first);
	memcpy(dst + first, log->ring, n - first);
	const char *newline = memrchr(dst, '\n', n);
	return ms_slice(dst, newline != NULL ? (size_t)(newline - dst) + 1 : n);
}

// Writes a part of the chunk and returns how much is done with; 0 when the reader takes nothing now.
static size_t write_chunk(struct log *log, struct slice chunk)
{
	struct pollfd ready = {.fd = log->fd, .events = POLLOUT};
	if (poll(&ready, 1, POLL_MS) == 0)
		return 0;
	ssize_t n = write(log->fd, chunk.p, chunk.n);
	if (n >= 0)
		return (size_t)n;
	if (errno == EAGAIN || errno == EINTR)
		return 0;
	count_dropped(log, count_lines(chunk.p, chunk.n)); // a closed pipe, a full disk: nobody to tell but the metric
	return chunk.n;
}

static void write_lines(void *arg)
{
	struct log *log = arg;
	char bytes[CHUNK_MAX];
	pthread_mutex_lock(&log->lock);
	for (;;) {
		while (log->head == log->tail && !log->ending)
			pthread_cond_wait(&log->produced, &log->lock);
		if (log->head == log->tail)
			break;
		struct slice chunk = next_chunk(log, bytes);
		pthread_mutex_unlock(&log->lock);
		size_t done = write_chunk(log, chunk);
		int64_t now = ms_clock_mono_ns();
		pthread_mutex_lock(&log->lock);
		if (done > 0) {
			log->tail += done;
			log->moved_ns = now;
			log->stalled = false;
			pthread_cond_broadcast(&log->consumed);
		} else if (log->ending && now - log->moved_ns > STUCK_NS) {
			break;
		}
	}
	for (; log->tail < log->head; log->tail++)
		count_dropped(log, log->ring[log->tail % RING_SIZE] == '\n');
	pthread_mutex_unlock(&log->lock);
}

// --- Producers ---------------------------------------------------------------------------------------

// Waits until `consumed` is signalled; false when the time has come. The lock is held.
static bool wait_consumed(struct log *log, int64_t until_ns)
{
	struct timespec until = {.tv_sec = until_ns / 1000000000, .tv_nsec = until_ns % 1000000000};
	return pthread_cond_clockwait(&log->consumed, &log->lock, CLOCK_MONOTONIC, &until) != ETIMEDOUT;
}

static bool has_room(const struct log *log, size_t n)
{
	return n <= RING_SIZE - (size_t)(log->head - log->tail);
}

static void put_line(struct log *log, const char *line, size_t n)
{
	if (log->head == log->tail)
		log->moved_ns = ms_clock_mono_ns(); // the reader's time starts now
	size_t at = log->head % RING_SIZE;
	size_t first = MS_MIN(n, RING_SIZE - at);
	memcpy(log->ring + at, line, first);
	memcpy(log->ring, line + first, n - first);
	log->head += n;
	pthread_cond_signal(&log->produced);
}

void ms_log_write(struct log *log, enum log_level level, const char *message, const struct log_field *fields,
		  size_t count)
{
	MS_ASSERT(level < LOG_OFF);
	char line[LOG_LINE_MAX] __attribute__((uninitialized)); // filling it would cost more than the line
	struct log_event event = {ms_clock_wall_ns(), level, message, fields, count};
	size_t n = ms_log_format(&log->style, &event, line);
	int64_t until_ns = level >= LOG_ERROR ? ms_clock_mono_ns() + ERROR_WAIT_NS : 0;
	pthread_mutex_lock(&log->lock);
	bool urgent = level >= LOG_ERROR, waits = urgent && !log->stalled;
	log->urgent += urgent;
	while (!has_room(log, n) && waits)
		waits = wait_consumed(log, until_ns);
	log->urgent -= urgent;
	if (has_room(log, n) && (urgent || log->urgent == 0)) {
		put_line(log, line, n);
		uint64_t mine = log->head;
		while (log->tail < mine && waits)
			waits = wait_consumed(log, until_ns);
		log->stalled |= urgent && log->tail < mine;
	} else {
		log->stalled |= urgent;
		count_dropped(log, 1);
	}
	pthread_mutex_unlock(&log->lock);
}

void ms_log_flush(struct log *log)
{
	if (log == NULL)
		return;
	pthread_mutex_lock(&log->lock);
	uint64_t mine = log->head;
	while (log->tail < mine && ms_clock_mono_ns() - log->moved_ns <= STUCK_NS)
		(void)wait_consumed(log, log->moved_ns + STUCK_NS); // the loop looks at the clock itself
	pthread_mutex_unlock(&log->lock);
}

// --- Life --------------------------------------------------------------------------------------------

static bool wants_colour(void)
{
	const char *no_colour = getenv("NO_COLOR"); // https://no-color.org: set and not empty
	const char *term = getenv("TERM");
	return (no_colour == NULL || no_colour[0] == '\0') && term != NULL && strcmp(term, "dumb") != 0;
}

static struct slice make_constants(const struct log_options *options, char dst[CONSTANTS_SIZE])
{
	size_t taken, n = (size_t)snprintf(dst, CONSTANTS_SIZE, ",\"ecs.version\":\"8.11.0\",\"service.name\":\"");
	n += ms_text_json_escape(ms_slice_cstr(options->service), dst + n, 128, &taken);
	n += (size_t)snprintf(dst + n, CONSTANTS_SIZE - n, "\",\"service.version\":\"");
	n += ms_text_json_escape(ms_slice_cstr(options->version), dst + n, 128, &taken);
	n += (size_t)snprintf(dst + n, CONSTANTS_SIZE - n, "\",\"process.pid\":%ld", (long)getpid());
	return ms_slice(dst, n);
}

enum ms_err ms_log_new(const struct log_options *options, struct errinfo *info, struct log **ret_log)
{
	struct log *log = calloc(1, sizeof(*log));
	if (log == NULL)
		return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory while opening the log");
	bool terminal = isatty(options->fd) == 1;
	atomic_init(&log->level, options->level);
	log->fd = options->fd;
	log->style.json = options->format == LOG_FORMAT_JSON || (options->format == LOG_FORMAT_AUTO && !terminal);
	log->style.colour = terminal && wants_colour();
	log->style.constants = make_constants(options, log->constants);
	pthread_mutex_init(&log->lock, NULL);
	pthread_cond_init(&log->produced, NULL);
	pthread_cond_init(&log->consumed, NULL);
	enum ms_err err = ms_thread_new("log", write_lines, log, info, &log->writer);
	if (err != MS_OK) {
		ms_log_free(log);
		return err;
	}
	*ret_log = log;
	return MS_OK;
}

void ms_log_free(struct log *log)
{
	if (log == NULL)
		return;
	pthread_mutex_lock(&log->lock);
	log->ending = true;
	pthread_cond_signal(&log->produced);
	pthread_mutex_unlock(&log->lock);
	ms_thread_join(log->writer);
	pthread_cond_destroy(&log->consumed);
	pthread_cond_destroy(&log->produced);
	pthread_mutex_destroy(&log->lock);
	free(log);
}
