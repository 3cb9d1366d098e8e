// SPDX-License-Identifier: Apache-2.0
// Private to registry: building and sharing snapshots.
#ifndef MS_REGISTRY_SNAPSHOT_H
#define MS_REGISTRY_SNAPSHOT_H

#include "registry/registry.h"

// Empty, one reference. NULL when out of memory.
struct snapshot *ms_snapshot_new(void);

#endif
