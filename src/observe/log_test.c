// SPDX-License-Identifier: Apache-2.0
// The form of log lines, and the way they take: order, bounds, drops, slow and dead readers.
#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <termios.h>
#include <unistd.h>

#include "observe/internal.h"
#include "rt/rt.h"
#include "tests/lib/test.h"

// --- Form --------------------------------------------------------------------------------------------

#define CONSTANTS ",\"service.name\":\"s\""
static const struct log_style json_style = {.json = true, .constants = {CONSTANTS, sizeof(CONSTANTS) - 1}};
static const struct log_style text_style = {.json = false};
static const struct log_style colour_style = {.json = false, .colour = true};

static char line[LOG_LINE_MAX + 1];

static size_t format(const struct log_style *style, enum log_level level, const char *message,
		     const struct log_field *fields, size_t count)
{
	struct log_event event = {INT64_C(1795000000123456789), level, message, fields, count};
	size_t n = ms_log_format(style, &event, line);
	line[n] = '\0';
	return n;
}

TEST(log_json_has_the_names_of_ecs)
{
	const struct log_field fields[] = {
		MS_LOG_CSTR("http.request.method", "GET"),
		MS_LOG_INT("http.response.status_code", 200),
		MS_LOG_INT("min", INT64_MIN),
		MS_LOG_FLOAT("event.score", 0.1),
		MS_LOG_BOOL("yes", 1),
		MS_LOG_BOOL("no", 0),
		MS_LOG_FLOAT("inf", -INFINITY),
		MS_LOG_STR("empty", MS_SLICE_EMPTY),
	};
	format(&json_style, LOG_INFO, "request served", fields, MS_ARRAY_LEN(fields));
	CHECK_STR(line, "{\"@timestamp\":\"2026-11-18T11:06:40.123Z\",\"log.level\":\"info\","
			"\"message\":\"request served\",\"service.name\":\"s\",\"http.request.method\":\"GET\","
			"\"http.response.status_code\":200,\"min\":-9223372036854775808,\"event.score\":0.1,"
			"\"yes\":true,\"no\":false,\"inf\":\"-Inf\",\"empty\":\"\"}\n");
}

TEST(log_text_is_readable)
{
	const struct log_field fields[] = {
		MS_LOG_CSTR("url.path", "/api/v1"),
		MS_LOG_CSTR("reason", "two words"),
		MS_LOG_CSTR("empty", ""),
		MS_LOG_FLOAT("ratio", NAN),
	};
	format(&text_style, LOG_WARN, "slow", fields, MS_ARRAY_LEN(fields));
	CHECK_STR(line,
		  "2026-11-18T11:06:40.123Z WARN  slow url.path=/api/v1 reason=\"two words\" empty=\"\" ratio=NaN\n");
	format(&colour_style, LOG_ERROR, "bad", fields, 1);
	CHECK_STR(line, "\033[2m2026-11-18T11:06:40.123Z\033[0m \033[1;31mERROR\033[0m bad"
			" \033[2murl.path=\033[0m/api/v1\n");
}

TEST(log_values_cannot_forge_lines)
{
	const struct log_field field = MS_LOG_STR("f", MS_SLICE_LIT("a\n\"b\\\r\033[2J\xff\0z"));
	format(&json_style, LOG_INFO, "m\n", &field, 1);
	CHECK_HAS(line, "\"message\":\"m\\n\"");
	CHECK_HAS(line, "\"f\":\"a\\n\\\"b\\\\\\r\\u001b[2J\xef\xbf\xbd\\u0000z\"}\n");
	format(&text_style, LOG_INFO, "m\n", &field, 1);
	CHECK_HAS(line, "INFO  m\\n f=\"a\\n\\\"b\\\\\\r\\u001b[2J\xef\xbf\xbd\\u0000z\"\n");
}

static const char *redacted(const struct log_field *field)
{
	format(&text_style, LOG_INFO, "m", field, 1);
	line[strlen(line) - 1] = '\0';
	return strchr(line, '=') + 1;
}

TEST(log_redacts_by_key)
{
	static const char *const secret[] = {
		"password",
		"user.Password",
		"db.passwd",
		"http.request.headers.authorization",
		"http.request.headers.cookie",
		"http.response.headers.set-cookie",
		"http.request.headers.X-Api-Key",
		"apiKey",
		"access_token",
		"refreshToken",
		"token.value",
		"client_secret",
		"tls.private_key",
		"cookies",
		"credentials",
		"password_hash",
	};
	for (size_t i = 0; i < MS_ARRAY_LEN(secret); i++) {
		const struct log_field field = MS_LOG_CSTR(secret[i], "hunter2");
		CHECK_STR(redacted(&field), "[redacted]");
		format(&json_style, LOG_INFO, "m", &field, 1);
		CHECK_HAS(line, "\":\"[redacted]\"}\n");
	}
	static const char *const open[] = {"url.path", "key",  "cache.key", "model.name",
					   "user.id",  "pass", "cook",      "p"};
	for (size_t i = 0; i < MS_ARRAY_LEN(open); i++) {
		const struct log_field field = MS_LOG_CSTR(open[i], "hunter2");
		CHECK_STR(redacted(&field), "hunter2");
	}
	const struct log_field count = MS_LOG_INT("token_count", 17), number = MS_LOG_INT("user.token", 17);
	CHECK_STR(redacted(&count), "17");
	CHECK_STR(redacted(&number), "[redacted]");
	const struct log_field flag = MS_LOG_BOOL("has_password", 1);
	format(&json_style, LOG_INFO, "m", &flag, 1);
	CHECK_HAS(line, "\"has_password\":\"[redacted]\"}");
}

TEST(log_redacts_credentials_in_values)
{
	static const char *const cases[][2] = {
		{"postgres://u:p@h:5432/db", "postgres://[redacted]@h:5432/db"},
		{"amqp://u:p%40@h redis://:x@r/0", "amqp://[redacted]@h redis://[redacted]@r/0"},
		{"https://u@@h", "https://[redacted]@h"},
		{"https://host/path@x?y=z", "https://host/path@x?y=z"},
		{"https://@h", "https://@h"},
		{"https://h/?a=1&access_token=abc&b=2#f", "https://h/?a=1&access_token=[redacted]&b=2#f"},
		{"https://h/?X-Amz-Signature=abc", "https://h/?X-Amz-Signature=[redacted]"},
		{"/p?api_key=k", "/p?api_key=[redacted]"},
		{"token=abc&x=1", "token=[redacted]&x=1"},
		{"host=h password=p user=u", "host=h password=[redacted] user=u"},
		{"password='a b' c", "password=[redacted] c"},
		{"password=\"a b", "password=[redacted]"},
		{"a;secret=s;b", "a;secret=[redacted];b"},
		{"token=&x=1", "token=&x=1"},
		{"token count = 3", "token count = 3"},
		{"keyword=3", "keyword=3"},
		{"://", "://"},
		{"?&=;", "?&=;"},
	};
	for (size_t i = 0; i < MS_ARRAY_LEN(cases); i++) {
		const struct log_field field = MS_LOG_CSTR("f", cases[i][0]);
		const char *got = redacted(&field);
		if (got[0] == '"') {
			got++;
			line[strlen(line) - 1] = '\0';
		}
		CHECK_STR(got, cases[i][1]);
	}
	format(&text_style, LOG_INFO, "cannot reach redis://:pw@h", NULL, 0);
	CHECK_HAS(line, "cannot reach redis://[redacted]@h\n");
}

// A reader that knows just enough JSON to say whether a line is one flat object of strings, numbers and words.
static const char *skip_string(const char *p)
{
	if (*p++ != '"')
		return NULL;
	for (; *p != '"'; p++) {
		if ((unsigned char)*p < 0x20)
			return NULL;
		if (*p != '\\')
			continue;
		p++;
		if (*p == 'u' && strspn(p + 1, "0123456789abcdef") >= 4)
			p += 4;
		else if (*p == '\0' || strchr("\"\\bfnrt", *p) == NULL)
			return NULL;
	}
	return p + 1;
}

static bool is_flat_object(const char *p)
{
	for (char before = '{'; *p == before; before = ',') {
		p = skip_string(p + 1);
		if (p == NULL || *p++ != ':')
			return false;
		p = *p == '"' ? skip_string(p) : p + strspn(p, "-+.0123456789eaflrstu");
		if (p == NULL)
			return false;
	}
	return strcmp(p, "}\n") == 0;
}

static struct slice random_text(char *dst, size_t max)
{
	static const char *const pieces[] = {"\xff", "\n",      "\"",      "\\", "\xe2\x82\xac", "\xf0\x9f\x98\x80",
					     "a",    "://u:p@", "&token=", " ",  "\xc2\x85",     "="};
	size_t n = ms_rand_below(ms_test_rand(), max), at = 0;
	while (at + 9 < n) {
		const char *piece = pieces[ms_rand_below(ms_test_rand(), MS_ARRAY_LEN(pieces))];
		at = (size_t)(stpcpy(dst + at, piece) - dst);
	}
	return ms_slice(dst, at);
}

TEST(log_line_is_bounded_and_well_formed)
{
	static char texts[8][12000], message[12000];
	unsigned cut = 0;
	for (int round = 0; round < 300; round++) {
		struct log_field fields[200];
		size_t max = 1 + ms_rand_below(ms_test_rand(), 12000);
		size_t count = ms_rand_below(ms_test_rand(), round % 2 == 0 ? 8 : 200);
		for (size_t i = 0; i < count; i++) {
			if (i < 8)
				fields[i] = (struct log_field)MS_LOG_STR("some.key", random_text(texts[i], max));
			else
				fields[i] = (struct log_field)MS_LOG_FLOAT("other.key", -1.2345678901234567e-300);
		}
		random_text(message, max);
		message[11999] = '\0';
		size_t n = format(&json_style, LOG_INFO, message, fields, count);
		CHECK(n <= LOG_LINE_MAX && strlen(line) == n);
		CHECK(is_flat_object(line));
		CHECK_INT(ms_utf8_valid_prefix(ms_slice(line, n)), n);
		cut += strstr(line, ",\"log.truncated\":true}\n") != NULL;
		n = format(&colour_style, LOG_INFO, message, fields, count);
		CHECK(n <= LOG_LINE_MAX && strchr(line, '\n') == line + n - 1);
		CHECK_INT(ms_utf8_valid_prefix(ms_slice(line, n)), n);
	}
	CHECK(cut > 100 && cut < 300);
}

TEST(log_cuts_long_values_and_says_so)
{
	static char big[100000];
	memset(big, 'x', sizeof(big));
	const struct log_field fields[] = {MS_LOG_STR("big", ms_slice(big, sizeof(big))), MS_LOG_INT("after", 1)};
	size_t n = format(&json_style, LOG_INFO, "m", fields, 2);
	CHECK(n > 4000 && n < 4500);
	CHECK_HAS(line, "xxx\xe2\x80\xa6\",\"after\":1,\"log.truncated\":true}\n");
	format(&text_style, LOG_INFO, "m", fields, 2);
	CHECK_HAS(line, "xxx\xe2\x80\xa6 after=1 [cut]\n");
	const struct log_field three[] = {fields[0], fields[0], fields[0], MS_LOG_INT("after", 1)};
	n = format(&json_style, LOG_INFO, "m", three, 4);
	CHECK(n > LOG_LINE_MAX - 200 && n <= LOG_LINE_MAX);
	CHECK(is_flat_object(line));
	CHECK_HAS(line, "xxx\xe2\x80\xa6\",\"log.truncated\":true}\n");
	CHECK(strstr(line, "after") == NULL);
}

// --- Way ---------------------------------------------------------------------------------------------

static struct log *new_log(int fd, enum log_format format)
{
	struct log *log;
	struct log_options options = {
		.level = LOG_INFO, .format = format, .fd = fd, .service = "mainstay", .version = "1.2.3"};
	REQUIRE(ms_log_new(&options, NULL, &log) == MS_OK);
	return log;
}

static const char *temp_path(void)
{
	static char path[512];
	snprintf(path, sizeof(path), "%s/log", ms_test_temp_dir());
	return path;
}

static int new_file(void)
{
	int fd = open(temp_path(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	REQUIRE(fd >= 0);
	return fd;
}

static struct slice written(void)
{
	struct slice bytes;
	REQUIRE(ms_file_read(temp_path(), 100 * 1024 * 1024, NULL, &bytes) == MS_OK);
	return bytes;
}

static void drop(struct slice bytes)
{
	free((char *)(uintptr_t)bytes.p);
}

TEST(log_writes_what_its_level_allows)
{
	int fd = new_file();
	struct log *log = new_log(fd, LOG_FORMAT_AUTO); // no terminal: JSON
	ms_log(log, LOG_DEBUG, "hidden");
	ms_log(log, LOG_INFO, "first", MS_LOG_INT("n", 1), MS_LOG_CSTR("s", "x"));
	ms_log_set_level(log, LOG_TRACE);
	ms_log(log, LOG_TRACE, "second");
	ms_log_set_level(log, LOG_OFF);
	ms_log(log, LOG_ERROR, "hidden");
	ms_log(NULL, LOG_ERROR, "hidden");
	ms_log_flush(log);
	struct slice bytes = written(); // before the end: flush is enough
	char want[128];
	snprintf(want, sizeof(want),
		 "\",\"log.level\":\"info\",\"message\":\"first\",\"ecs.version\":\"8.11.0\","
		 "\"service.name\":\"mainstay\",");
	CHECK_HAS(bytes.p, want);
	snprintf(want, sizeof(want),
		 "\"service.version\":\"1.2.3\",\"process.pid\":%d,\"n\":1,\"s\":\"x\"}\n{\"@timestamp\":", getpid());
	CHECK_HAS(bytes.p, want);
	CHECK_HAS(bytes.p, "\"log.level\":\"trace\",\"message\":\"second\"");
	CHECK(strstr(bytes.p, "hidden") == NULL);
	drop(bytes);
	CHECK(!ms_log_enabled(NULL, LOG_ERROR) && !ms_log_enabled(log, LOG_ERROR));
	ms_log_free(log);
	ms_log_free(NULL);
	ms_log_flush(NULL);
	CHECK_INT(ms_log_dropped(NULL), 0);
	close(fd);
}

TEST(log_error_is_written_when_the_call_returns)
{
	int fd = new_file();
	struct log *log = new_log(fd, LOG_FORMAT_JSON);
	for (int i = 0; i < 50; i++) {
		char text[16];
		snprintf(text, sizeof(text), "\"error %d\"", i);
		ms_log(log, LOG_INFO, "before");
		ms_log(log, LOG_ERROR, (const char[]){"e"}, MS_LOG_INT("i", i));
		snprintf(text, sizeof(text), "\"i\":%d}", i);
		struct slice bytes = written();
		CHECK_HAS(bytes.p, text);
		drop(bytes);
	}
	CHECK_INT(ms_log_dropped(log), 0);
	ms_log_free(log);
	close(fd);
}

enum { WRITERS = 3, LINES = 3000 };

struct writer {
	struct log *log;
	int64_t number;
};

static void write_many(void *arg)
{
	struct writer *writer = arg;
	for (int64_t i = 0; i < LINES; i++)
		ms_log(writer->log, LOG_INFO, "line", MS_LOG_INT("writer", writer->number), MS_LOG_INT("i", i),
		       MS_LOG_CSTR("padding", "0123456789012345678901234567890123456789"));
}

// Reads whole lines and checks that each writer's numbers grow; returns the number of lines.
static uint64_t check_lines(struct slice bytes)
{
	int64_t last[WRITERS] = {-1, -1, -1};
	uint64_t count = 0;
	struct slice one;
	CHECK(bytes.n == 0 || bytes.p[bytes.n - 1] == '\n');
	while (bytes.n > 0 && ms_slice_next(&bytes, '\n', &one)) {
		const char *at = one.n > 0 ? memmem(one.p, one.n, "\"writer\":", 9) : NULL;
		CHECK(at != NULL && one.p[0] == '{' && one.p[one.n - 1] == '}');
		if (at == NULL)
			break;
		long writer = strtol(at + 9, NULL, 10), i = strtol(at + 15, NULL, 10);
		REQUIRE(writer >= 0 && writer < WRITERS);
		CHECK(i > last[writer]);
		last[writer] = i;
		count++;
	}
	return count;
}

TEST(log_keeps_lines_whole_and_in_order)
{
	int fd = new_file();
	struct log *log = new_log(fd, LOG_FORMAT_JSON);
	struct writer writers[WRITERS];
	struct thread *threads[WRITERS];
	for (int i = 0; i < WRITERS; i++) {
		writers[i] = (struct writer){log, i};
		REQUIRE(ms_thread_new("writer", write_many, &writers[i], NULL, &threads[i]) == MS_OK);
	}
	for (int i = 0; i < WRITERS; i++)
		ms_thread_join(threads[i]);
	ms_log_flush(log);
	uint64_t dropped = ms_log_dropped(log);
	ms_log_free(log);
	struct slice bytes = written();
	CHECK_INT(check_lines(bytes) + dropped, WRITERS * LINES);
	drop(bytes);
	close(fd);
}

struct reader {
	int fd;
	struct buf bytes;
};

static void read_to_end(void *arg)
{
	struct reader *reader = arg;
	char part[65536];
	for (ssize_t n; (n = read(reader->fd, part, sizeof(part))) > 0;)
		ms_buf_append(&reader->bytes, part, (size_t)n);
}

TEST(log_drops_and_counts_when_nobody_reads)
{
	int fds[2];
	REQUIRE(pipe(fds) == 0);
	struct log *log = new_log(fds[1], LOG_FORMAT_JSON);
	struct writer writer = {log, 0};
	write_many(&writer); // some 600 KB: more than ring and pipe hold; must return
	uint64_t dropped = ms_log_dropped(log);
	CHECK(dropped > 100 && dropped < LINES);
	struct reader reader = {.fd = fds[0]};
	ms_buf_init(&reader.bytes, 10000000);
	struct thread *thread;
	REQUIRE(ms_thread_new("reader", read_to_end, &reader, NULL, &thread) == MS_OK);
	ms_log_free(log);
	close(fds[1]);
	ms_thread_join(thread);
	CHECK_INT(check_lines(ms_buf_slice(&reader.bytes)) + dropped, LINES);
	ms_buf_fini(&reader.bytes);
	close(fds[0]);
}

static void log_one_error(void *arg)
{
	ms_log((struct log *)arg, LOG_ERROR, "the one that must come through");
}

TEST(log_error_waits_for_room)
{
	int fds[2];
	REQUIRE(pipe(fds) == 0);
	struct log *log = new_log(fds[1], LOG_FORMAT_JSON);
	struct writer writer = {log, 0};
	write_many(&writer);
	uint64_t dropped = ms_log_dropped(log);
	CHECK(dropped > 0); // full
	struct thread *threads[2];
	struct reader reader = {.fd = fds[0]};
	ms_buf_init(&reader.bytes, 10000000);
	REQUIRE(ms_thread_new("error", log_one_error, log, NULL, &threads[0]) == MS_OK);
	REQUIRE(ms_thread_new("reader", read_to_end, &reader, NULL, &threads[1]) == MS_OK);
	ms_thread_join(threads[0]);
	ms_log_free(log);
	close(fds[1]);
	ms_thread_join(threads[1]);
	ms_buf_append_char(&reader.bytes, '\0');
	CHECK(strstr(reader.bytes.p, "the one that must come through") != NULL);
	ms_buf_fini(&reader.bytes);
	close(fds[0]);
}

TEST(log_gives_up_on_a_reader_that_stands_still)
{
	int fds[2];
	REQUIRE(pipe(fds) == 0);
	struct log *log = new_log(fds[1], LOG_FORMAT_JSON);
	struct writer writer = {log, 0};
	write_many(&writer);
	int64_t start = ms_clock_mono_ns();
	ms_log(log, LOG_ERROR, "waits once");
	int64_t first = ms_clock_mono_ns() - start;
	CHECK(first >= 100 * 1000000);
	for (int i = 0; i < 100; i++)
		ms_log(log, LOG_ERROR, "waits no more"); // or this would take ten seconds
	CHECK(ms_clock_mono_ns() - start < INT64_C(8000) * 1000000);
	ms_log_free(log); // ends although nobody reads
	CHECK(ms_clock_mono_ns() - start >= INT64_C(1900) * 1000000);
	close(fds[1]);
	struct reader reader = {.fd = fds[0]};
	ms_buf_init(&reader.bytes, 1000000);
	read_to_end(&reader);
	CHECK(reader.bytes.n >= 4096); // what the pipe held
	ms_buf_fini(&reader.bytes);
	close(fds[0]);
}

TEST(log_survives_a_reader_that_is_gone)
{
	int fds[2];
	REQUIRE(pipe(fds) == 0);
	close(fds[0]);
	struct log *log = new_log(fds[1], LOG_FORMAT_JSON);
	for (int i = 0; i < 10; i++)
		ms_log(log, LOG_INFO, "nobody hears");
	ms_log_flush(log);
	CHECK_INT(ms_log_dropped(log), 10);
	ms_log_free(log);
	close(fds[1]);
}

// What a terminal gets; NULL when the machine has no pseudo terminals.
static const char *terminal_output(const char *no_colour)
{
	static char got[4096];
	int master = posix_openpt(O_RDWR | O_NOCTTY);
	if (master < 0 || grantpt(master) != 0 || unlockpt(master) != 0)
		return NULL;
	int terminal = open(ptsname(master), O_RDWR | O_NOCTTY);
	struct termios raw;
	if (terminal < 0 || tcgetattr(terminal, &raw) != 0)
		return NULL;
	cfmakeraw(&raw);
	tcsetattr(terminal, TCSANOW, &raw);
	setenv("NO_COLOR", no_colour, 1);
	setenv("TERM", "xterm", 1);
	struct log *log = new_log(terminal, LOG_FORMAT_AUTO);
	ms_log(log, LOG_INFO, "hello", MS_LOG_INT("n", 1));
	ms_log_flush(log);
	ssize_t n = read(master, got, sizeof(got) - 1);
	got[MS_MAX(n, 0)] = '\0';
	ms_log_free(log);
	close(terminal);
	close(master);
	return got;
}

TEST(log_on_a_terminal_is_text_with_colour_unless_unwanted)
{
	const char *got = terminal_output("");
	if (got == NULL)
		return;
	CHECK_HAS(got, "\033[32mINFO \033[0m hello \033[2mn=\033[0m1\n");
	got = terminal_output("1");
	CHECK_HAS(got, "Z INFO  hello n=1\n");
	CHECK(got[0] == '2');
}

TEST(log_level_names)
{
	enum log_level level = LOG_OFF;
	CHECK(ms_log_level_parse(MS_SLICE_LIT("info"), &level) && level == LOG_INFO);
	CHECK(ms_log_level_parse(MS_SLICE_LIT("WARNING"), &level) && level == LOG_WARN);
	CHECK(ms_log_level_parse(MS_SLICE_LIT("Trace"), &level) && level == LOG_TRACE);
	CHECK(ms_log_level_parse(MS_SLICE_LIT("off"), &level) && level == LOG_OFF);
	CHECK(!ms_log_level_parse(MS_SLICE_LIT("inf"), &level) && !ms_log_level_parse(MS_SLICE_EMPTY, &level));
	CHECK(!ms_log_level_parse(MS_SLICE_LIT("info "), &level) && level == LOG_OFF);
}

static void make_log(void)
{
	struct log *log = NULL;
	struct log_options options = {.level = LOG_INFO, .fd = -1, .service = "s", .version = "v"};
	enum ms_err err = ms_log_new(&options, NULL, &log);
	CHECK_INT(err, ms_test_allocation_failed() ? MS_ERR_NO_MEMORY : MS_OK);
	ms_log(log, LOG_INFO, "into the void"); // the descriptor is no descriptor
	ms_log_free(log);
}

TEST(log_survives_failing_allocations)
{
	ms_test_torture(make_log);
}
