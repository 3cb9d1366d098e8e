// SPDX-License-Identifier: Apache-2.0
#include "app/progress.h"

#include <inttypes.h>

#include "app/width.h"
#include "rt/rt.h"

#define REFRESH_NS 100000000
#define BAR_MIN 10
#define BAR_MAX 40

static void format_amount(struct buf *out, enum progress_unit unit, double value)
{
	static const char *const bytes[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
	size_t k = 0;
	if (unit == PROGRESS_ITEMS) {
		ms_buf_printf(out, "%.0f", value);
		return;
	}
	for (; value >= 1023.95 && k + 1 < MS_ARRAY_LEN(bytes); k++)
		value /= 1024;
	ms_buf_printf(out, k > 0 ? "%.1f %s" : "%.0f %s", value, bytes[k]);
}

static void format_duration(struct buf *out, double seconds)
{
	if (seconds >= 360000) {
		ms_buf_append_cstr(out, "over 99 h");
		return;
	}
	uint64_t s = (uint64_t)(seconds + 0.5);
	if (s >= 3600)
		ms_buf_printf(out, "%" PRIu64 ":%02" PRIu64 ":%02" PRIu64, s / 3600, s / 60 % 60, s % 60);
	else
		ms_buf_printf(out, "%" PRIu64 ":%02" PRIu64, s / 60, s % 60);
}

static void append_bar(struct buf *out, double share, size_t width)
{
	size_t filled = (size_t)(share * (double)width);
	ms_buf_append_char(out, '[');
	for (size_t i = 0; i < width; i++)
		ms_buf_append_char(out, i < filled ? '=' : i == filled ? '>' : ' ');
	ms_buf_append_cstr(out, "]  ");
}

void ms_progress_format(const struct progress *p, int64_t elapsed_ns, size_t width, struct buf *out)
{
	struct buf figures;
	ms_buf_init(&figures, 256);
	double seconds = (double)MS_MAX(elapsed_ns, (int64_t)1) * 1e-9;
	double rate = (double)p->done / seconds;
	uint64_t done = p->total > 0 ? MS_MIN(p->done, p->total) : p->done;
	double share = p->total > 0 ? (double)done / (double)p->total : 0;
	if (p->total > 0)
		ms_buf_printf(&figures, "%3d %%  ", (int)(share * 100));
	if (p->unit != PROGRESS_SHARE) {
		format_amount(&figures, p->unit, (double)p->done);
		ms_buf_append_cstr(&figures, "  ");
		format_amount(&figures, p->unit, rate);
		ms_buf_append_cstr(&figures, "/s  ");
	}
	if (p->total > 0 && done > 0) {
		ms_buf_append_cstr(&figures, "ETA ");
		format_duration(&figures, (double)(p->total - done) / rate);
	}
	while (figures.n > 0 && figures.p[figures.n - 1] == ' ')
		figures.n--;
	size_t label = ms_width_of(ms_slice_cstr(p->label)) + 2, taken = label + figures.n + 4;
	struct buf line;
	ms_buf_init(&line, 1024);
	ms_buf_printf(&line, "%s  ", p->label);
	if (p->total > 0 && width > taken + BAR_MIN)
		append_bar(&line, share, MS_MIN(width - taken, (size_t)BAR_MAX));
	ms_buf_append_slice(&line, ms_buf_slice(&figures));
	ms_width_append(out, ms_buf_slice(&line), width);
	ms_buf_fini(&line);
	ms_buf_fini(&figures);
}

static void show(struct progress *p, int64_t now_ns)
{
	struct buf line;
	ms_buf_init(&line, 4096);
	ms_buf_append_cstr(&line, "\r\x1b[K");
	// The last column stays free: some terminals wrap as soon as it is written.
	ms_progress_format(p, now_ns - p->start_ns, p->width - 1, &line);
	if (ms_buf_ok(&line)) {
		fwrite(line.p, 1, line.n, p->out);
		fflush(p->out);
	}
	ms_buf_fini(&line);
	p->shown_ns = now_ns;
}

void ms_progress_begin(struct progress *p, FILE *out, const char *label, enum progress_unit unit, uint64_t total)
{
	*p = (struct progress){.out = out, .label = label, .unit = unit, .total = total};
	p->width = ms_width_of_terminal(out);
	p->start_ns = p->shown_ns = ms_clock_mono_ns();
}

void ms_progress_update(struct progress *p, uint64_t done)
{
	p->done = done;
	if (p->width == 0)
		return;
	int64_t now = ms_clock_mono_ns();
	if (now - p->shown_ns >= REFRESH_NS)
		show(p, now);
}

void ms_progress_end(struct progress *p)
{
	if (p->width == 0 || p->shown_ns == p->start_ns)
		return; // nothing was written
	fputs("\r\x1b[K", p->out);
	fflush(p->out);
}
