// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <simdjson.h>

#include "bench/json/bench.h"

using namespace simdjson;

static ondemand::parser on_demand;
static dom::parser dom_parser;

static padded_string_view padded(const char *text, size_t n)
{
	return padded_string_view(text, n, n + BENCH_PADDING);
}

double bench_simdjson_predict(const char *text, size_t n)
{
	double sum = 0, value;
	ondemand::document document;
	ondemand::array instances;
	if (on_demand.iterate(padded(text, n)).get(document) || document["instances"].get_array().get(instances))
		return NAN;
	for (auto instance : instances) {
		ondemand::object object;
		if (instance.get_object().get(object))
			return NAN;
		for (auto field : object) {
			std::string_view key;
			if (field.unescaped_key().get(key) || field.value().get_double().get(value))
				return NAN;
			sum += value + static_cast<double>(key.size());
		}
	}
	return sum;
}

double bench_simdjson_dom_predict(const char *text, size_t n)
{
	double sum = 0, value;
	dom::array instances;
	if (dom_parser.parse(text, n, false)["instances"].get_array().get(instances))
		return NAN;
	for (dom::element instance : instances) {
		dom::object object;
		if (instance.get_object().get(object))
			return NAN;
		for (auto field : object) {
			if (field.value.get_double().get(value))
				return NAN;
			sum += value + static_cast<double>(field.key.size());
		}
	}
	return sum;
}

double bench_simdjson_matrix(const char *text, size_t n)
{
	double sum = 0, value;
	ondemand::document document;
	ondemand::array rows;
	if (on_demand.iterate(padded(text, n)).get(document) || document["data"].get_array().get(rows))
		return NAN;
	for (auto row : rows) {
		ondemand::array items;
		if (row.get_array().get(items))
			return NAN;
		for (auto item : items) {
			if (item.get_double().get(value))
				return NAN;
			sum += value;
		}
	}
	return sum;
}

double bench_simdjson_dom_matrix(const char *text, size_t n)
{
	double sum = 0, value;
	dom::array rows;
	if (dom_parser.parse(text, n, false)["data"].get_array().get(rows))
		return NAN;
	for (dom::element row : rows) {
		dom::array items;
		if (row.get_array().get(items))
			return NAN;
		for (dom::element item : items) {
			if (item.get_double().get(value))
				return NAN;
			sum += value;
		}
	}
	return sum;
}

static bool visit(ondemand::value value, double *count)
{
	++*count;
	switch (value.type()) {
	case ondemand::json_type::array:
		for (auto item : value.get_array()) {
			ondemand::value v;
			if (item.get(v) || !visit(v, count))
				return false;
		}
		return true;
	case ondemand::json_type::object:
		for (auto field : value.get_object()) {
			std::string_view key;
			ondemand::value v;
			if (field.unescaped_key().get(key) || field.value().get(v) || !visit(v, count))
				return false;
		}
		return true;
	case ondemand::json_type::number: {
		double number;
		return !value.get_double().get(number);
	}
	case ondemand::json_type::string: {
		std::string_view text;
		return !value.get_string().get(text);
	}
	case ondemand::json_type::boolean: {
		bool b;
		return !value.get_bool().get(b);
	}
	case ondemand::json_type::null:
		return value.is_null();
	}
	return false;
}

double bench_simdjson_mixed(const char *text, size_t n)
{
	ondemand::document document;
	ondemand::value root;
	double count = 0;
	if (on_demand.iterate(padded(text, n)).get(document) || document.get_value().get(root) || !visit(root, &count))
		return NAN;
	return count;
}

double bench_simdjson_dom_mixed(const char *text, size_t n)
{
	dom::element root;
	return dom_parser.parse(text, n, false).get(root) ? NAN : 1;
}
