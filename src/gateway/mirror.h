// SPDX-License-Identifier: Apache-2.0
// Private to proxy*.c: a copy of a request that goes to a second service as well. Its answer is dropped or compared; nothing ever waits for it, and what it may
// hold is bounded. It may outlive the request. All calls accept a request without a mirror.
#ifndef MS_GATEWAY_MIRROR_H
#define MS_GATEWAY_MIRROR_H

#include "gateway/proxy.h"

void ms_mirror_start(struct proxy *p);
void ms_mirror_body(struct proxy *p, struct slice bytes);
void ms_mirror_body_end(struct proxy *p);
// What the client is answered, to compare with.
void ms_mirror_status(struct proxy *p, int status);
void ms_mirror_answer(struct proxy *p, struct slice bytes);
void ms_mirror_answer_end(struct proxy *p);
void ms_mirror_over(struct proxy *p); // the request is over

#endif
