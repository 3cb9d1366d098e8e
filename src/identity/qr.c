// SPDX-License-Identifier: Apache-2.0
#include "identity/qr.h"

#include <qrencode.h>

#define MARGIN 4 // modules, as the standard wants
#define TEXT_MAX 640

enum ms_err ms_qr_svg(struct slice text, struct errinfo *info, struct buf *out)
{
	QRcode *code = text.n > 0 && text.n <= TEXT_MAX
			       ? QRcode_encodeData((int)text.n, (const unsigned char *)text.p, 0, QR_ECLEVEL_M)
			       : NULL;
	if (code == NULL)
		return ms_fail(info, MS_ERR_LIMIT, "no QR code can be made of this text");
	int size = code->width + 2 * MARGIN;
	ms_buf_printf(out,
		      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" shape-rendering=\"crispEdges\">"
		      "<rect width=\"%d\" height=\"%d\" fill=\"#fff\"/><path fill=\"#000\" d=\"",
		      size, size, size, size);
	for (int y = 0; y < code->width; y++) {
		const unsigned char *row = code->data + (ptrdiff_t)y * code->width;
		for (int x = 0; x < code->width; x++) {
			int from = x;
			while (x < code->width && (row[x] & 1) != 0)
				x++;
			if (x > from)
				ms_buf_printf(out, "M%d %dh%dv1h-%dz", from + MARGIN, y + MARGIN, x - from, x - from);
		}
	}
	ms_buf_append_cstr(out, "\"/></svg>");
	QRcode_free(code);
	return ms_buf_ok(out) ? MS_OK : ms_fail(info, MS_ERR_NO_MEMORY, "out of memory");
}
