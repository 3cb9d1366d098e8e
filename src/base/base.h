// SPDX-License-Identifier: Apache-2.0
// The vocabulary of the whole program: memory, bytes, containers, errors. No input or output of any kind.
#ifndef MS_BASE_BASE_H
#define MS_BASE_BASE_H

#include "base/arena.h"
#include "base/assert.h"
#include "base/buf.h"
#include "base/compiler.h"
#include "base/err.h"
#include "base/hash.h"
#include "base/list.h"
#include "base/map.h"
#include "base/rand.h"
#include "base/slice.h"
#include "base/text.h"
#include "base/utf8.h"

#endif
