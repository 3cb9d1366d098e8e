// SPDX-License-Identifier: Apache-2.0
#include "net/http2/test_kit.h"
