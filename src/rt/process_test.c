// SPDX-License-Identifier: Apache-2.0
// Figures of the process, and the cores of its cgroup.
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "rt/internal.h"
#include "rt/rt.h"
#include "tests/lib/test.h"

TEST(process_figures_are_of_this_process)
{
	struct process_stats a, b;
	ms_process_stats(&a);
	int fd = dup(1);
	int64_t start = ms_clock_mono_ns();
	while (ms_clock_mono_ns() - start < 2000000)
		; // burns processor time, which must show
	ms_process_stats(&b);
	close(fd);
	CHECK_INT(b.open_fds, a.open_fds + 1);
	CHECK_INT(b.max_fds, sysconf(_SC_OPEN_MAX));
	CHECK(b.cpu_seconds > a.cpu_seconds && b.cpu_seconds < 3600);
	CHECK(b.resident_bytes > 100000 && b.resident_bytes < b.virtual_bytes);
	CHECK(b.threads >= 1 && b.threads < 10);
	CHECK(b.start_unix_ns <= ms_clock_wall_ns());
	CHECK(b.start_unix_ns > ms_clock_wall_ns() - INT64_C(3600) * 1000000000);
}

static void idle(void *arg)
{
	pthread_barrier_wait(arg);
	pthread_barrier_wait(arg);
}

TEST(process_counts_threads)
{
	struct process_stats before, stats;
	ms_process_stats(&before); // a sanitizer may have a thread of its own
	pthread_barrier_t barrier;
	pthread_barrier_init(&barrier, NULL, 2);
	struct thread *thread;
	REQUIRE(ms_thread_new("idle", idle, &barrier, NULL, &thread) == MS_OK);
	pthread_barrier_wait(&barrier);
	ms_process_stats(&stats);
	CHECK_INT(stats.threads, before.threads + 1);
	pthread_barrier_wait(&barrier);
	ms_thread_join(thread);
	pthread_barrier_destroy(&barrier);
}

TEST(process_has_cores)
{
	CHECK(ms_process_cores() >= 1);
	CHECK((long)ms_process_cores() <= sysconf(_SC_NPROCESSORS_CONF));
}

static const char *root;

static void put(const char *relative_path, const char *text)
{
	char path[512];
	snprintf(path, sizeof(path), "%s/%s", root, relative_path);
	char folder[512];
	snprintf(folder, sizeof(folder), "%s", path);
	*strrchr(folder, '/') = '\0';
	REQUIRE(ms_dir_create(folder, NULL) == MS_OK);
	REQUIRE(ms_file_write_atomic(path, ms_slice_cstr(text), 0600, NULL) == MS_OK);
}

static unsigned cores_of(const char *proc_cgroup)
{
	return ms_cgroup_cores(ms_slice_cstr(proc_cgroup), root);
}

TEST(cgroup_v2_quota_is_the_least_on_the_way_up)
{
	root = ms_test_temp_dir();
	put("a/b/cpu.max", "250000 100000\n"); // 2.5 cores
	CHECK_INT(cores_of("0::/a/b\n"), 3);
	put("a/cpu.max", "200000 100000\n");
	CHECK_INT(cores_of("0::/a/b\n"), 2);
	CHECK_INT(cores_of("0::/a/b/c/gone\n"), 2);
	put("a/b/cpu.max", "10000 100000\n"); // a tenth: still one
	CHECK_INT(cores_of("0::/a/b\n"), 1);
	put("a/b/cpu.max", "max 100000\n");
	put("a/cpu.max", "max 100000\n");
	CHECK_INT(cores_of("0::/a/b\n"), UINT_MAX);
	put("cpu.max", "400000 100000\n"); // the container's own group, mounted as the root
	CHECK_INT(cores_of("0::/\n"), 4);
	CHECK_INT(cores_of("0::/docker/abc"), 4);
}

TEST(cgroup_v1_quota_is_found_among_controllers)
{
	root = ms_test_temp_dir();
	put("cpu/docker/x:y/cpu.cfs_quota_us", "150000\n");
	put("cpu/docker/x:y/cpu.cfs_period_us", "100000\n");
	CHECK_INT(cores_of("5:memory:/m\n4:cpuacct,cpu:/docker/x:y\n0::/\n"), 2);
	CHECK_INT(cores_of("4:cpuset:/docker/x:y\n"), UINT_MAX);
	put("cpu/docker/x:y/cpu.cfs_quota_us", "-1\n");
	CHECK_INT(cores_of("4:cpu:/docker/x:y\n"), UINT_MAX);
	put("cpu/cpu.cfs_quota_us", "100000\n");
	put("cpu/cpu.cfs_period_us", "100000\n");
	CHECK_INT(cores_of("4:cpu:/docker/x:y\n"), 1);
}

TEST(cgroup_nonsense_is_no_quota)
{
	root = ms_test_temp_dir();
	static const char *const texts[] = {"", "\n", ":", "::", "0::", "0:cpu", "garbage", "0::relative", ":::::"};
	for (size_t i = 0; i < MS_ARRAY_LEN(texts); i++)
		CHECK_INT(cores_of(texts[i]), UINT_MAX);
	static const char *const quotas[] = {"", "\n", "0 100000\n", "5 0\n", "5\n", "-5 10\n", "x y\n", "1 2 3\n"};
	for (size_t i = 0; i < MS_ARRAY_LEN(quotas); i++) {
		put("cpu.max", quotas[i]);
		CHECK_INT(cores_of("0::/\n"), UINT_MAX);
	}
	put("cpu.max", "99999999999999999 1\n");
	CHECK_INT(cores_of("0::/\n"), UINT_MAX);
}
