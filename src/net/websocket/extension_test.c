// SPDX-License-Identifier: Apache-2.0
// Negotiation: RFC 6455 section 9.1, RFC 7692 sections 5.1 and 7.1.
#include <stdio.h>

#include "net/websocket/codec.h"
#include "tests/lib/test.h"

#define PLAIN "permessage-deflate; server_no_context_takeover; client_no_context_takeover"

// The answer's value, "-" for none, "bad".
static const char *negotiate(const char *first, const char *second, char dst[MS_WS_EXTENSION_MAX])
{
	const struct http_header headers[] = {
		{MS_SLICE_LIT("Host"), MS_SLICE_LIT("a")},
		{MS_SLICE_LIT("sec-websocket-EXTENSIONS"), ms_slice_cstr(first)},
		{MS_SLICE_LIT("Sec-WebSocket-Extensions"), ms_slice_cstr(second)},
	};
	struct ws_deflate_choice choice;
	switch (ms_ws_negotiate(headers, second != NULL ? 3 : 2, &choice)) {
	case WS_OFFER_NONE:
		return "-";
	case WS_OFFER_BAD:
		return "bad";
	case WS_OFFER_TAKEN:
		break;
	}
	dst[ms_ws_write_extension(&choice, dst)] = '\0';
	return dst;
}

struct offer_case {
	const char *offer;
	const char *answer;
};

static void check(const struct offer_case *cases, size_t n)
{
	char dst[MS_WS_EXTENSION_MAX];
	for (size_t i = 0; i < n; i++) {
		if (strcmp(negotiate(cases[i].offer, NULL, dst), cases[i].answer) != 0)
			printf("# %s\n", cases[i].offer);
		CHECK_STR(negotiate(cases[i].offer, NULL, dst), cases[i].answer);
	}
}

TEST(websocket_extension_7692_7_1_parameters)
{
	static const struct offer_case cases[] = {
		{"permessage-deflate", PLAIN},
		{"Permessage-Deflate", PLAIN},
		{"permessage-deflate; server_no_context_takeover", PLAIN},
		{"permessage-deflate; client_no_context_takeover", PLAIN},
		{"permessage-deflate; client_max_window_bits", PLAIN},
		{"permessage-deflate; client_max_window_bits=8", PLAIN},
		{"permessage-deflate; client_max_window_bits=15; server_no_context_takeover", PLAIN},
		{"permessage-deflate; server_max_window_bits=15", PLAIN "; server_max_window_bits=15"},
		{"permessage-deflate; server_max_window_bits=9", PLAIN "; server_max_window_bits=9"},
		{"permessage-deflate; server_max_window_bits=\"10\"", PLAIN "; server_max_window_bits=10"},
		{"permessage-deflate;server_max_window_bits = 12\t;client_max_window_bits",
		 PLAIN "; server_max_window_bits=12"},
	};
	check(cases, MS_ARRAY_LEN(cases));
}

// Declined, and the next offer is looked at.
TEST(websocket_extension_7692_7_1_offers_to_decline)
{
	static const char *const params[] = {
		"unknown",
		"unknown=1",
		"server_no_context_takeover=1",
		"server_no_context_takeover=\"true\"",
		"client_no_context_takeover=0",
		"server_no_context_takeover; server_no_context_takeover",
		"client_no_context_takeover; client_no_context_takeover",
		"client_max_window_bits; client_max_window_bits",
		"server_max_window_bits=10; server_max_window_bits=10",
		"server_max_window_bits",
		"server_max_window_bits=7",
		"server_max_window_bits=8", // allowed; zlib cannot
		"server_max_window_bits=16",
		"server_max_window_bits=010",
		"server_max_window_bits=1x",
		"server_max_window_bits=+9",
		"server_max_window_bits=99999999999999999999",
		"client_max_window_bits=7",
		"client_max_window_bits=16",
		"client_max_window_bits=08",
		"client_max_window_bits=a",
	};
	for (size_t i = 0; i < MS_ARRAY_LEN(params); i++) {
		char dst[MS_WS_EXTENSION_MAX], offer[300];
		(void)snprintf(offer, sizeof(offer), "permessage-deflate; %s", params[i]);
		CHECK_STR(negotiate(offer, NULL, dst), "-");
		(void)snprintf(offer, sizeof(offer), "permessage-deflate; %s, permessage-deflate", params[i]);
		CHECK_STR(negotiate(offer, NULL, dst), PLAIN);
		(void)snprintf(offer, sizeof(offer), "permessage-deflate; %s", params[i]);
		CHECK_STR(negotiate(offer, "permessage-deflate", dst), PLAIN);
	}
}

TEST(websocket_extension_7692_5_1_first_offer_wins)
{
	char dst[MS_WS_EXTENSION_MAX];
	static const struct offer_case cases[] = {
		{"permessage-deflate; server_max_window_bits=10, permessage-deflate",
		 PLAIN "; server_max_window_bits=10"},
		{"permessage-deflate, permessage-deflate; server_max_window_bits=10", PLAIN},
		{"x-webkit-deflate-frame", "-"},
		{"mux; max-channels=4; flow-control, permessage-deflate", PLAIN},
		{"foo; bar=\"baz\"; bar=2, , ,permessage-deflate ,", PLAIN},
		{"deflate-stream", "-"},
	};
	check(cases, MS_ARRAY_LEN(cases));
	CHECK_STR(negotiate("permessage-deflate; server_max_window_bits=10", "permessage-deflate", dst),
		  PLAIN "; server_max_window_bits=10");
	CHECK_STR(negotiate("foo", "permessage-deflate", dst), PLAIN);
	CHECK_INT(ms_ws_negotiate(NULL, 0, &(struct ws_deflate_choice){0}), WS_OFFER_NONE);
}

TEST(websocket_extension_6455_9_1_grammar)
{
	static const char *const bad[] = {
		"",
		" ",
		",",
		";",
		"=",
		"permessage-deflate;",
		"permessage-deflate; ",
		"permessage-deflate; ;",
		"permessage-deflate; =1",
		"permessage-deflate; server_max_window_bits=",
		"permessage-deflate; server_max_window_bits=\"10",
		"permessage-deflate; server_max_window_bits=\"\"",
		"permessage-deflate; server_max_window_bits=\"1 0\"",
		"permessage-deflate; server_max_window_bits=10 11",
		"permessage-deflate foo",
		"perme(ssage",
		"permessage-deflate, ;foo",
		"permessage-deflate, foo; \"bar\"",
		"\"permessage-deflate\"",
	};
	char dst[MS_WS_EXTENSION_MAX];
	for (size_t i = 0; i < MS_ARRAY_LEN(bad); i++) {
		CHECK_STR(negotiate(bad[i], NULL, dst), "bad");
		CHECK_STR(negotiate("permessage-deflate", bad[i], dst), "bad");
	}
}
