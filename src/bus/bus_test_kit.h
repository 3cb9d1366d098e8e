// SPDX-License-Identifier: Apache-2.0
// For tests of bus: processes on one database, and consumers that write down what they get.
#ifndef MS_BUS_BUS_TEST_KIT_H
#define MS_BUS_BUS_TEST_KIT_H

#include "bus/private.h"
#include "tests/lib/test.h"

#define SEEN_MAX 2048

struct world {
	bool postgres;
	const char *url;
	struct rt *rt; // one loop
	struct store *store;
	struct bus *buses[4]; // each as if it were a process of its own
	size_t bus_count;
	struct timer *timer;
};

struct seen {
	char id[BUS_ID_MAX + 1], topic[MS_BUS_TOPIC_MAX + 1], payload[64];
	unsigned attempt;
	int64_t at_ns;
};
// What a consumer does with a delivery.
struct consumer;
typedef void consumer_fn(struct consumer *c, struct bus_delivery *delivery);
struct consumer {
	struct world *w;
	consumer_fn *fn;
	size_t stop_after; // deliveries; 0: fn stops the loops
	struct seen seen[SEEN_MAX];
	size_t count;
	struct bus_delivery *held[SEEN_MAX];
	size_t held_count;
};

void ms_bus_test_begin(struct world *w, bool postgres); // a fresh database, and up
void ms_bus_test_up(struct world *w);                   // loops and store
void ms_bus_test_down(struct world *w);                 // ends all well
void ms_bus_test_crash(struct world *w);                // what the buses hold stays held
struct bus *ms_bus_test_open(struct world *w, const struct bus_options *options);
void ms_bus_test_subscribe(struct bus *bus, struct consumer *c, const struct bus_subscription *options);
// Starts the buses and runs the loops until ms_rt_stop(), at most 30 s; once for each `up`.
void ms_bus_test_run(struct world *w);
void ms_bus_test_run_ms(struct world *w, uint64_t ms);
enum ms_err ms_bus_test_publish(struct world *w, const char *topic, const char *id, const char *payload);
int64_t ms_bus_test_number(struct world *w, const char *sql); // of a query that gives one
void ms_bus_test_sql(struct world *w, const char *sql);

#define BUS_TEST(test_name)                             \
	static void suite_##test_name(struct world *w); \
	TEST(test_name##_sqlite)                        \
	{                                               \
		struct world w;                         \
		ms_bus_test_begin(&w, false);           \
		suite_##test_name(&w);                  \
		ms_bus_test_down(&w);                   \
	}                                               \
	TEST(test_name##_postgres)                      \
	{                                               \
		struct world w;                         \
		ms_bus_test_begin(&w, true);            \
		suite_##test_name(&w);                  \
		ms_bus_test_down(&w);                   \
	}                                               \
	static void suite_##test_name(struct world *w)

#endif
