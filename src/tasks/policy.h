// SPDX-License-Identifier: Apache-2.0
// How a queue orders its tasks (predict.h says how each does it). Part of the public header tasks/tasks.h.
#ifndef MS_TASKS_POLICY_H
#define MS_TASKS_POLICY_H

enum task_policy { POLICY_FIFO, POLICY_PRIORITY, POLICY_SHORTEST_EXPECTED, POLICY_DEADLINE };

#endif
