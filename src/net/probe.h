// SPDX-License-Identifier: Apache-2.0
// Whether somebody listens: connects by TCP, sends nothing, closes. On the loop that it was started on.
#ifndef MS_NET_PROBE_H
#define MS_NET_PROBE_H

#include "base/base.h"
#include "rt/rt.h"

struct net_probe;
// MS_OK, MS_ERR_HTTP_TIMEOUT, MS_ERR_IO (refused, unreachable, name not known) with words. The probe is over.
typedef void net_probe_fn(enum ms_err err, const struct errinfo *info, void *arg);
// `done` is never called from within this call. `host`: name, IPv4, or IPv6 without brackets.
MS_MUST_USE enum ms_err ms_net_probe_start(struct loop *loop, struct slice host, unsigned port, unsigned timeout_ms,
					   net_probe_fn *done, void *arg, struct errinfo *info,
					   struct net_probe **ret_probe);
// `done` is not called any more. Accepts NULL.
void ms_net_probe_cancel(struct net_probe *probe);

#endif
