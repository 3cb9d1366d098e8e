// SPDX-License-Identifier: Apache-2.0
#ifndef MS_APP_REFERENCE_H
#define MS_APP_REFERENCE_H

#include "base/base.h"

// docs/configuration.md, whole: how settings are given, and every row of the table.
void ms_reference_markdown(struct buf *out);

#endif
