// SPDX-License-Identifier: Apache-2.0
// Frames of a client in a short notation, fed to a codec whole, by bytes and in pieces; what comes out as a line of text.
#ifndef MS_NET_WEBSOCKET_CODEC_TEST_KIT_H
#define MS_NET_WEBSOCKET_CODEC_TEST_KIT_H

#include "net/websocket/codec.h"
#include "tests/lib/test.h"

#define KIT_MAX_MESSAGE 100000
#define KIT_RATIO 100

// A frame as a client sends it: `first` is FIN, bits and opcode; the length in its shortest form.
void kit_frame(struct buf *out, unsigned first, struct slice payload);
// The same with a length of `length_bytes` (0, 2 or 8), and with or without mask.
void kit_frame_odd(struct buf *out, unsigned first, struct slice payload, unsigned length_bytes, bool masked);
// Events of the bytes, cut after every `step`: "text(abc) ping() close(1000,bye) failed(1002)".
void kit_run(struct slice bytes, bool deflate, size_t step, struct buf *ret_events);
// Fed whole, by bytes, and in pieces of 2 to 9 bytes: always the same.
void kit_expect(const char *file, int line, struct slice bytes, bool deflate, const char *events);
#define EXPECT(bytes, deflate, events) kit_expect(__FILE__, __LINE__, (bytes), (deflate), (events))
// zlib's own raw DEFLATE of the text with a sync flush, without the last four bytes.
struct slice kit_deflate(struct slice text, int level, char *dst, size_t size);

#endif
