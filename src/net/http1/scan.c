// SPDX-License-Identifier: Apache-2.0
#include "net/http1/scan.h"

#define ALNUM (CHAR_TOKEN | CHAR_VALUE | CHAR_TARGET | CHAR_HOST)
#define PUNCT (CHAR_TOKEN | CHAR_VALUE | CHAR_TARGET) // tchar that is no letter or digit
#define VISIBLE (CHAR_VALUE | CHAR_TARGET)            // delimiter: no tchar

const uint8_t ms_http1_class[256] = {
	['\t'] = CHAR_VALUE,
	[' '] = CHAR_VALUE,
	['!'] = PUNCT,
	['"'] = VISIBLE,
	['#'] = CHAR_TOKEN | CHAR_VALUE,
	['$' ... '\''] = PUNCT,
	['(' ... ')'] = VISIBLE,
	['*' ... '+'] = PUNCT,
	[','] = VISIBLE,
	['-' ... '.'] = PUNCT | CHAR_HOST,
	['/'] = VISIBLE,
	['0' ... '9'] = ALNUM | CHAR_HEX | CHAR_DIGIT,
	[':' ... '@'] = VISIBLE,
	['A' ... 'F'] = ALNUM | CHAR_HEX,
	['G' ... 'Z'] = ALNUM,
	['[' ... ']'] = VISIBLE,
	['^'] = PUNCT,
	['_'] = PUNCT | CHAR_HOST,
	['`'] = PUNCT,
	['a' ... 'f'] = ALNUM | CHAR_HEX,
	['g' ... 'z'] = ALNUM,
	['{'] = VISIBLE,
	['|'] = PUNCT,
	['}'] = VISIBLE,
	['~'] = PUNCT | CHAR_HOST,
	[0x80 ... 0xff] = CHAR_VALUE,
};
