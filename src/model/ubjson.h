// SPDX-License-Identifier: Apache-2.0
// A pull reader for the part of UBJSON (Draft 12) that XGBoost reads and writes (xgboost src/common/json.cc):
// objects without count, arrays plain, counted or typed, big-endian numbers. The interface mirrors the JSON
// reader, so that doc.h can put both behind one. Private to the model module.
//
// Hostile bytes: a count is believed only as far as the bytes behind it can hold that many items, so a
// caller may size memory by it. Errors are sticky and carry the byte offset.
#ifndef MS_MODEL_UBJSON_H
#define MS_MODEL_UBJSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/base.h"
#include "json/json.h"

#define UBJ_MAX_DEPTH 64
#define UBJ_NO_COUNT UINT64_MAX

struct ubj_level {
	uint64_t left; // items still to come, or UBJ_NO_COUNT: until the closing mark
	char type;     // of every item, or 0: each item carries its own
};

struct ubj_reader {
	const unsigned char *p;
	const unsigned char *start;
	const unsigned char *end;
	struct errinfo *info;
	enum ms_err err;
	uint32_t depth;
	char item_type; // type of the next value where an array declared it, else 0
	struct ubj_level levels[UBJ_MAX_DEPTH];
};

// A number as it stands in the file.
struct ubj_number {
	bool is_integer;
	int64_t integer;
	double real; // exact also for 32 bits
};

void ms_ubj_reader_init(struct ubj_reader *r, struct slice bytes, struct errinfo *info);
enum json_type ms_ubj_peek(struct ubj_reader *r);
bool ms_ubj_enter_object(struct ubj_reader *r);
bool ms_ubj_next_key(struct ubj_reader *r, struct slice *ret_key);
bool ms_ubj_enter_array(struct ubj_reader *r);
bool ms_ubj_next_item(struct ubj_reader *r);
// Right after entering an array: how many items it says it has, or 0 when it does not say. Never more than
// bytes are left.
size_t ms_ubj_count_hint(const struct ubj_reader *r);
bool ms_ubj_read_number(struct ubj_reader *r, struct ubj_number *ret_value);
bool ms_ubj_read_bool(struct ubj_reader *r, bool *ret_value);
bool ms_ubj_read_string(struct ubj_reader *r, struct slice *ret_value); // borrowed, checked to be UTF-8
bool ms_ubj_skip(struct ubj_reader *r);
MS_MUST_USE enum ms_err ms_ubj_finish(struct ubj_reader *r);
enum ms_err ms_ubj_fail(struct ubj_reader *r, enum ms_err code, const char *fmt, ...) MS_PRINTF(3, 4);

#endif
