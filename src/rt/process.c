// SPDX-License-Identifier: Apache-2.0
// What the system tells about this process: proc(5), getrusage(2), cgroups(7).
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "rt/internal.h"

// Reads a small file of the kernel into `dst`; empty when it cannot be read.
static struct slice read_small(const char *path, char *dst, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return MS_SLICE_EMPTY;
	size_t n = 0;
	ssize_t got = 1;
	while (got > 0 && n < size) {
		got = read(fd, dst + n, size - n);
		if (got > 0)
			n += (size_t)got;
	}
	close(fd);
	return ms_slice(dst, n);
}

// --- Figures -----------------------------------------------------------------------------------------

static void read_stat(struct process_stats *stats)
{
	char text[1024];
	struct slice all = read_small("/proc/self/stat", text, sizeof(text));
	// The second field is the name of the program in parentheses and may hold anything: start behind the last ')'.
	size_t behind = all.n;
	while (behind > 0 && all.p[behind - 1] != ')')
		behind--;
	if (behind == 0)
		return;
	struct slice rest = ms_slice_sub(all, behind + 1, all.n);
	enum { THREADS = 20, START = 22, VSIZE = 23, RSS = 24 };
	struct slice part;
	for (int field = 3; field <= RSS && ms_slice_next(&rest, ' ', &part); field++) {
		uint64_t value;
		if (!ms_slice_to_u64(part, &value))
			continue;
		if (field == THREADS)
			stats->threads = (unsigned)value;
		else if (field == VSIZE)
			stats->virtual_bytes = value;
		else if (field == RSS)
			stats->resident_bytes = value * (uint64_t)sysconf(_SC_PAGESIZE);
		else if (field == START) {
			struct timespec up;
			clock_gettime(CLOCK_BOOTTIME, &up);
			int64_t up_ns = (int64_t)up.tv_sec * 1000000000 + up.tv_nsec;
			int64_t tick_ns = 1000000000 / sysconf(_SC_CLK_TCK);
			stats->start_unix_ns = ms_clock_wall_ns() - up_ns + (int64_t)value * tick_ns;
		}
	}
}

static uint64_t count_fds(void)
{
	struct stat st;
	if (stat("/proc/self/fd", &st) == 0 && st.st_size > 0)
		return (uint64_t)st.st_size; // Linux 6.2 and later
	DIR *dir = opendir("/proc/self/fd");
	if (dir == NULL)
		return 0;
	uint64_t count = 0;
	while (readdir(dir) != NULL)
		count++;
	closedir(dir);
	return count > 3 ? count - 3 : 0; // ".", ".." and the folder itself
}

static int64_t micros(struct timeval t)
{
	return (int64_t)t.tv_sec * 1000000 + t.tv_usec;
}

void ms_process_stats(struct process_stats *ret_stats)
{
	struct process_stats stats = {0};
	read_stat(&stats);
	struct rusage usage;
	if (getrusage(RUSAGE_SELF, &usage) == 0)
		stats.cpu_seconds = (double)(micros(usage.ru_utime) + micros(usage.ru_stime)) / 1e6;
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
		stats.max_fds = limit.rlim_cur;
	stats.open_fds = count_fds();
	*ret_stats = stats;
}

// --- Cores -------------------------------------------------------------------------------------------

// ceil(quota / period), at least 1; UINT_MAX when either is no positive number ("max", "-1").
static unsigned quota_cores(struct slice quota, struct slice period)
{
	uint64_t q, p;
	if (!ms_slice_to_u64(quota, &q) || !ms_slice_to_u64(period, &p) || q == 0 || p == 0)
		return UINT_MAX;
	uint64_t cores = q / p + (q % p != 0);
	return (unsigned)MS_MIN(cores, (uint64_t)UINT_MAX);
}

static struct slice without_newline(struct slice s)
{
	return s.n > 0 && s.p[s.n - 1] == '\n' ? ms_slice_sub(s, 0, s.n - 1) : s;
}

// The quota of one cgroup. Version 2: cpu.max holds "quota period". Version 1: a file each.
static unsigned group_cores(bool v2, const char *root, struct slice group)
{
	char path[PATH_MAX], text[64], text2[64];
	int n = (int)MS_MIN(group.n, (size_t)PATH_MAX / 2);
	const char *sub = v2 ? "" : "/cpu";
	snprintf(path, sizeof(path), "%s%s%.*s/%s", root, sub, n, group.p, v2 ? "cpu.max" : "cpu.cfs_quota_us");
	struct slice quota = without_newline(read_small(path, text, sizeof(text)));
	if (v2) {
		struct slice first;
		if (!ms_slice_next(&quota, ' ', &first))
			return UINT_MAX;
		return quota_cores(first, quota);
	}
	snprintf(path, sizeof(path), "%s%s%.*s/%s", root, sub, n, group.p, "cpu.cfs_period_us");
	return quota_cores(quota, without_newline(read_small(path, text2, sizeof(text2))));
}

// The least quota of the group and of those above it. A container may see the path of the host here, of which the
// lower folders do not exist; its own group is then mounted as the root, where the walk ends.
static unsigned least_cores(bool v2, const char *root, struct slice group)
{
	unsigned least = UINT_MAX;
	for (;;) {
		while (group.n > 0 && group.p[group.n - 1] == '/')
			group.n--;
		least = MS_MIN(least, group_cores(v2, root, group));
		if (group.n == 0)
			return least;
		while (group.n > 0 && group.p[group.n - 1] != '/')
			group.n--;
	}
}

unsigned ms_cgroup_cores(struct slice proc_cgroup, const char *root)
{
	unsigned least = UINT_MAX;
	struct slice line;
	while (proc_cgroup.n > 0 && ms_slice_next(&proc_cgroup, '\n', &line)) {
		// "id:controllers:path"; version 2 has id 0 and no controllers. A path may hold colons.
		struct slice id, controllers, controller;
		if (!ms_slice_next(&line, ':', &id) || !ms_slice_next(&line, ':', &controllers) || line.n == 0)
			continue;
		if (controllers.n == 0)
			least = MS_MIN(least, least_cores(true, root, line));
		while (controllers.n > 0 && ms_slice_next(&controllers, ',', &controller)) {
			if (ms_slice_eq_cstr(controller, "cpu"))
				least = MS_MIN(least, least_cores(false, root, line));
		}
	}
	return least;
}

unsigned ms_process_cores(void)
{
	union {
		cpu_set_t set;
		unsigned char bytes[1024]; // 8,192 processors, as the kernel's largest build
	} mask;
	int cores = sched_getaffinity(0, sizeof(mask), &mask.set) == 0 ? CPU_COUNT_S(sizeof(mask), &mask.set) : 1;
	char text[8192];
	struct slice groups = read_small("/proc/self/cgroup", text, sizeof(text));
	unsigned least = MS_MIN((unsigned)cores, ms_cgroup_cores(groups, "/sys/fs/cgroup"));
	return MS_MAX(least, 1U);
}

// --- Memory ------------------------------------------------------------------------------------------

uint64_t ms_process_memory_limit(void)
{
	// As a container sees its own group: version 2, then version 1, which writes "no limit" as a huge number.
	static const char *const files[] = {"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"};
	for (size_t i = 0; i < MS_ARRAY_LEN(files); i++) {
		char text[64];
		uint64_t limit;
		if (ms_slice_to_u64(without_newline(read_small(files[i], text, sizeof(text))), &limit) &&
		    limit < UINT64_MAX / 4)
			return limit;
	}
	return 0;
}
