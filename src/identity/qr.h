// SPDX-License-Identifier: Apache-2.0
// Private to identity: QR codes.
#ifndef MS_IDENTITY_QR_H
#define MS_IDENTITY_QR_H

#include "base/base.h"

// An SVG image of the text, black on white with the margin that readers need; 640 bytes at most. Appends.
MS_MUST_USE enum ms_err ms_qr_svg(struct slice text, struct errinfo *info, struct buf *out);

#endif
