// SPDX-License-Identifier: Apache-2.0
// The ONNX loader on small graphs written here, whole and damaged. That its numbers are those of ONNX Runtime is shown
// by the golden test.
#include <math.h>
#include <stdio.h>

#include "model/loader_test.h"

// --- Writing messages --------------------------------------------------------------------------------------

static void put_varint(struct buf *b, uint64_t value)
{
	for (; value >= 0x80; value >>= 7)
		ms_buf_append_char(b, (char)(value | 0x80));
	ms_buf_append_char(b, (char)value);
}

static void put_int(struct buf *b, uint32_t field, int64_t value)
{
	put_varint(b, field << 3);
	put_varint(b, (uint64_t)value);
}

static void put_float(struct buf *b, uint32_t field, float value)
{
	put_varint(b, field << 3 | 5);
	ms_buf_append(b, &value, sizeof(value));
}

static void put_bytes(struct buf *b, uint32_t field, struct slice bytes)
{
	put_varint(b, field << 3 | 2);
	put_varint(b, bytes.n);
	ms_buf_append_slice(b, bytes);
}

static void put_text(struct buf *b, uint32_t field, const char *text)
{
	put_bytes(b, field, ms_slice_cstr(text));
}

// Ends a nested message: `inner` becomes a field of `outer`.
static void put_message(struct buf *outer, uint32_t field, struct buf *inner)
{
	REQUIRE(ms_buf_ok(inner));
	put_bytes(outer, field, ms_buf_slice(inner));
	ms_buf_fini(inner);
}

static struct buf start(void)
{
	struct buf b;
	ms_buf_init(&b, (size_t)1 << 20);
	return b;
}

// "name=1,2,3" ints, "name:1.5,nan" floats, "name@A,B" strings, "name#7" int, "name'TEXT" string, "name~0.5" float.
static void put_attribute(struct buf *node, const char *text)
{
	size_t at = strcspn(text, "=:@#'~");
	struct buf a = start();
	struct slice rest = ms_slice_cstr(text + at + 1), item;
	put_bytes(&a, 1, ms_slice(text, at));
	if (text[at] == '\'')
		put_bytes(&a, 4, rest);
	while (text[at] != '\'' && rest.n > 0 && ms_slice_next(&rest, ',', &item)) {
		double number = strtod(item.p, NULL);
		if (text[at] == '=')
			put_int(&a, 8, (int64_t)number);
		else if (text[at] == ':')
			put_float(&a, 7, (float)number);
		else if (text[at] == '@')
			put_bytes(&a, 9, item);
		else if (text[at] == '#')
			put_int(&a, 3, (int64_t)number);
		else
			put_float(&a, 2, (float)number);
	}
	static const char kinds[] = "=:@#'~";
	static const int types[] = {7, 6, 8, 2, 3, 1};
	put_int(&a, 20, types[strchr(kinds, text[at]) - kinds]);
	put_message(node, 5, &a);
}

// "Operator input,input output,output", domain ai.onnx.ml when it starts with '*'; attributes up to NULL.
static void put_node(struct buf *graph, const char *text, const char *const *attributes)
{
	struct buf n = start();
	bool ml = text[0] == '*';
	struct slice rest = ms_slice_cstr(text + ml), op, names, name;
	REQUIRE(ms_slice_next(&rest, ' ', &op));
	for (uint32_t field = 1; field <= 2; field++) {
		REQUIRE(ms_slice_next(&rest, ' ', &names));
		while (names.n > 0 && ms_slice_next(&names, ',', &name))
			put_bytes(&n, field, name);
	}
	put_text(&n, 3, "the node");
	put_bytes(&n, 4, op);
	for (; attributes != NULL && *attributes != NULL; attributes++)
		put_attribute(&n, *attributes);
	if (ml)
		put_text(&n, 7, "ai.onnx.ml");
	put_message(graph, 1, &n);
}

// An input (field 11) or output (12): [rows, columns] of that type; columns 0 leaves them open.
static void put_value(struct buf *graph, uint32_t field, const char *name, int type, int columns)
{
	struct buf value = start(), kind = start(), tensor = start(), shape = start(), rows = start(), dim = start();
	put_text(&rows, 2, "N");
	if (columns > 0)
		put_int(&dim, 1, columns);
	put_message(&shape, 1, &rows);
	put_message(&shape, 1, &dim);
	put_int(&tensor, 1, type);
	put_message(&tensor, 2, &shape);
	put_message(&kind, 1, &tensor);
	put_text(&value, 1, name);
	put_message(&value, 2, &kind);
	put_message(graph, field, &value);
}

static struct buf end_model(struct buf *graph)
{
	struct buf model = start();
	put_int(&model, 1, 8);
	put_text(&model, 2, "test");
	put_message(&model, 7, graph);
	for (int ml = 0; ml < 2; ml++) {
		struct buf opset = start();
		if (ml)
			put_text(&opset, 1, "ai.onnx.ml");
		put_int(&opset, 2, ml ? 3 : 17);
		put_message(&model, 8, &opset);
	}
	REQUIRE(ms_buf_ok(&model));
	return model;
}

enum { FLOATS = 1, INTS = 7, STRINGS = 8 };

// One node between an input X of `columns` and the outputs Y, or L and Y.
static struct buf one_node(const char *op, const char *const *attributes, int columns, bool classifier)
{
	char text[80];
	snprintf(text, sizeof(text), "*%s X %s", op, classifier ? "L,Y" : "Y");
	struct buf graph = start();
	put_node(&graph, text, attributes);
	put_value(&graph, 11, "X", FLOATS, columns);
	if (classifier)
		put_value(&graph, 12, "L", INTS, 1);
	put_value(&graph, 12, "Y", FLOATS, 1);
	return end_model(&graph);
}

// Tree 7: x0 <= 0.5 (missing too) ? (x1 > 2 ? 10 : 20) : 30; tree 8: x1 == 2 ? 1 : 2.
#define TREES                                                                                                 \
	"nodes_treeids=7,7,7,7,7,8,8,8", "nodes_nodeids=0,1,2,3,4,0,1,2", "nodes_featureids=0,1,0,0,0,1,0,0", \
		"nodes_modes@BRANCH_LEQ,BRANCH_GT,LEAF,LEAF,LEAF,BRANCH_EQ,LEAF,LEAF",                        \
		"nodes_values:0.5,2,0,0,0,2,0,0", "nodes_truenodeids=1,3,0,0,0,1,0,0",                        \
		"nodes_falsenodeids=2,4,0,0,0,2,0,0", "nodes_missing_value_tracks_true=1,0,0,0,0,0,0,0"
#define TARGETS                                                                                        \
	"n_targets#1", "target_treeids=7,7,7,8,8", "target_nodeids=3,4,2,1,2", "target_ids=0,0,0,0,0", \
		"target_weights:10,20,30,1,2"

static const char *const REGRESSOR[] = {TREES, TARGETS, "base_values:0.25", NULL};

static double predict_first(const struct model *model, enum model_output output, const double *row)
{
	double out[16];
	REQUIRE(ms_model_output_width(model, output) <= MS_ARRAY_LEN(out));
	test_predict_one(model, output, row, out);
	return out[0];
}

// --- Answers -----------------------------------------------------------------------------------------------

TEST(onnx_predicts_trees)
{
	struct buf bytes = one_node("TreeEnsembleRegressor", REGRESSOR, 2, false);
	struct model *m = test_load(ms_buf_slice(&bytes), MODEL_FORMAT_AUTO);
	const struct model_info *info = ms_model_info(m);
	CHECK_INT(info->format, MODEL_FORMAT_ONNX);
	CHECK_INT(info->task, MODEL_REGRESSION);
	CHECK_INT(info->feature_count, 2);
	CHECK_SLICE(info->features[1].name, "f1");
	CHECK_INT(info->tree_count, 2);
	CHECK_INT(info->node_count, 8);
	CHECK(info->single_precision && info->input_single_precision);
	static const double rows[][3] = {
		{0.5, 3, 11.25 + 1}, // 10 + 2 + 0.25
		{0.5, 2, 21.25},       {NAN, 2, 21.25},   {0.5, NAN, 22.25},
		{0.6, 2, 31.25},       {0.6, 2.5, 32.25}, {0.50000001, 0, 22.25}, // is 0.5 as float
		{0.5000001, 0, 32.25},
	};
	for (size_t i = 0; i < MS_ARRAY_LEN(rows); i++) {
		CHECK_F64(predict_first(m, MODEL_OUTPUT_DEFAULT, rows[i]), rows[i][2]);
		CHECK_F64(predict_first(m, MODEL_OUTPUT_RAW, rows[i]), rows[i][2]);
	}
	double leaves[2];
	test_predict_one(m, MODEL_OUTPUT_LEAF, rows[0], leaves);
	CHECK_F64(leaves[0], 3); // the numbers of the file
	CHECK_F64(leaves[1], 2);
	CHECK_INT(ms_model_output_width(m, MODEL_OUTPUT_LABEL), 0);
	ms_model_unref(m);
	ms_buf_fini(&bytes);
}

TEST(onnx_predicts_two_classes_from_one_score)
{
	static const char *const attributes[] = {
		TREES,
		"class_treeids=7,7,7,8,8",
		"class_nodeids=3,4,2,1,2",
		"class_ids=0,0,0,0,0",
		"class_weights:1,-2,0.5,1,-1",
		"classlabels_strings@no,yes",
		"post_transform'LOGISTIC",
		NULL,
	};
	struct buf bytes = one_node("TreeEnsembleClassifier", attributes, 2, true);
	struct model *m = test_load(ms_buf_slice(&bytes), MODEL_FORMAT_ONNX);
	const struct model_info *info = ms_model_info(m);
	CHECK_INT(info->task, MODEL_BINARY);
	CHECK_INT(info->class_count, 2);
	CHECK_SLICE(info->labels[1], "yes");
	CHECK_INT(info->raw_count, 1);
	double out[2];
	test_predict_one(m, MODEL_OUTPUT_PROBABILITY, (double[]){0, 2}, out); // -2 + 1
	CHECK_F64(out[1], (double)(1 - 1 / (1 + expf(-1))));
	CHECK_F64(out[0], (double)(1 / (1 + expf(-1))));
	CHECK_F64(predict_first(m, MODEL_OUTPUT_RAW, (double[]){0, 2}), -1);
	CHECK_F64(predict_first(m, MODEL_OUTPUT_LABEL, (double[]){0, 2}), 0);
	CHECK_F64(predict_first(m, MODEL_OUTPUT_LABEL, (double[]){1, 2}), 1); // 0.5 + 1
	CHECK_F64(predict_first(m, MODEL_OUTPUT_LABEL, (double[]){0, 3}), 0); // 1 - 1 is not above 0
	ms_model_unref(m);
	ms_buf_fini(&bytes);
}

// A chain of equalities whose links have one true branch in common.
TEST(onnx_equality_is_exact)
{
	static const char *const attributes[] = {
		"nodes_treeids=0,0,0,0,0",
		"nodes_nodeids=0,1,2,3,4",
		"nodes_featureids=0,0,0,0,0",
		"nodes_modes@BRANCH_EQ,BRANCH_EQ,BRANCH_EQ,LEAF,LEAF",
		"nodes_values:1,2,0,0,0",
		"nodes_truenodeids=3,3,3,0,0",
		"nodes_falsenodeids=1,2,4,0,0",
		"n_targets#1",
		"target_treeids=0,0",
		"target_nodeids=3,4",
		"target_ids=0,0",
		"target_weights:1,-1",
		NULL,
	};
	struct buf bytes = one_node("TreeEnsembleRegressor", attributes, 1, false);
	struct model *m = test_load(ms_buf_slice(&bytes), MODEL_FORMAT_ONNX);
	CHECK_INT(ms_model_info(m)->node_count, 3); // one test, two leaves
	static const double rows[][2] = {{0, 1},    {-0.0, 1},       {1, 1},         {2, 1},    {2.5, -1},
					 {3, -1},   {-1, -1},        {NAN, -1},      {1e9, -1}, {INFINITY, -1},
					 {0.1, -1}, {1.0000001, -1}, {1.00000001, 1}};
	for (size_t i = 0; i < MS_ARRAY_LEN(rows); i++)
		CHECK_F64(predict_first(m, MODEL_OUTPUT_DEFAULT, rows[i]), rows[i][1]);
	ms_model_unref(m);
	ms_buf_fini(&bytes);
}

// A string and two numbers, each an input of its own: one-hot, scaled, joined, a linear model.
static struct buf pipeline_model(void)
{
	struct buf graph = start();
	put_node(&graph, "*OneHotEncoder city hot", (const char *const[]){"cats_strings@Bern,Basel", "zeros#1", NULL});
	put_node(&graph, "Flatten hot flat", NULL);
	put_node(&graph, "*Scaler pair scaled", (const char *const[]){"offset:1,2", "scale:2,0.5", NULL});
	put_node(&graph, "Concat flat,scaled all", (const char *const[]){"axis#1", NULL});
	put_node(&graph, "*LinearRegressor all Y",
		 (const char *const[]){"coefficients:100,1000,1,1", "intercepts:0.5", NULL});
	put_value(&graph, 11, "city", STRINGS, 1);
	put_value(&graph, 11, "pair", FLOATS, 2);
	put_value(&graph, 12, "Y", FLOATS, 1);
	return end_model(&graph);
}

TEST(onnx_runs_operators_and_takes_strings)
{
	struct buf bytes = pipeline_model();
	struct model *m = test_load(ms_buf_slice(&bytes), MODEL_FORMAT_ONNX);
	const struct model_info *info = ms_model_info(m);
	CHECK_INT(info->feature_count, 3);
	CHECK_SLICE(info->features[0].name, "city");
	CHECK_SLICE(info->features[2].name, "pair_1");
	CHECK(info->features[0].categorical && info->features[0].has_strings);
	CHECK_INT(info->features[0].category_count, 2);
	static const struct {
		const char *city;
		double want;
	} cases[] = {{"Bern", 104.5}, {"Basel", 1004.5}, {"Genf", 4.5}, {"", 4.5}};
	for (size_t i = 0; i < MS_ARRAY_LEN(cases); i++) {
		double row[3] = {0, 2, 6}; // 2 * (2 - 1) + 0.5 * (6 - 2) + 0.5
		CHECK_OK(ms_model_encode_string(m, 0, ms_slice_cstr(cases[i].city), NULL, &row[0]));
		CHECK_F64(predict_first(m, MODEL_OUTPUT_DEFAULT, row), cases[i].want);
	}
	CHECK_INT(ms_model_output_width(m, MODEL_OUTPUT_LEAF), 0);
	ms_model_unref(m);
	ms_buf_fini(&bytes);
}

TEST(onnx_takes_names_from_the_metadata)
{
	static const struct {
		const char *names, *first;
	} cases[] = {{"[\"age\",\"income\"]", "age"}, {"[\"age\"]", "f0"}, {"[\"age\",7]", "f0"}, {"age,income", "f0"}};
	for (size_t i = 0; i < MS_ARRAY_LEN(cases); i++) {
		struct buf bytes = one_node("TreeEnsembleRegressor", REGRESSOR, 2, false), entry = start();
		put_text(&entry, 1, "feature_names");
		put_text(&entry, 2, cases[i].names);
		put_message(&bytes, 14, &entry);
		struct model *m = test_load(ms_buf_slice(&bytes), MODEL_FORMAT_ONNX);
		CHECK_SLICE(ms_model_info(m)->features[0].name, cases[i].first);
		ms_model_unref(m);
		ms_buf_fini(&bytes);
	}
}

TEST(onnx_finds_the_width_that_a_shape_leaves_open)
{
	struct buf bytes = one_node("TreeEnsembleRegressor", REGRESSOR, 0, false);
	struct model *m = test_load(ms_buf_slice(&bytes), MODEL_FORMAT_ONNX);
	CHECK_INT(ms_model_info(m)->feature_count, 2);
	ms_model_unref(m);
	ms_buf_fini(&bytes);
}

// --- Refusals ----------------------------------------------------------------------------------------------

TEST(onnx_names_what_it_does_not_know)
{
	struct buf graph = start();
	put_node(&graph, "*Erfolg X Y", NULL);
	put_value(&graph, 11, "X", FLOATS, 2);
	put_value(&graph, 12, "Y", FLOATS, 1);
	struct buf bytes = end_model(&graph);
	test_refused(ms_buf_slice(&bytes), MODEL_FORMAT_ONNX, NULL, MS_ERR_MODEL_UNSUPPORTED,
		     "operator Erfolg (ai.onnx.ml, opset 3), node \"the node\": it is not known here");
	ms_buf_fini(&bytes);
}

TEST(onnx_refuses_bad_trees)
{
	static const struct {
		const char *from, *to; // attributes that start so become this
		enum ms_err code;
		const char *message;
	} cases[] = {
		{"nodes_truenodeids", "nodes_truenodeids=9,3,0,0,0,1,0,0", MS_ERR_MODEL_FORMAT,
		 "tree 7, node 0: there is no node 9"},
		{"nodes_truenodeids", "nodes_truenodeids=0,3,0,0,0,1,0,0", MS_ERR_MODEL_FORMAT, "child of itself"},
		{"nodes_truenodeids", "nodes_truenodeids=1,0,0,0,0,1,0,0", MS_ERR_MODEL_FORMAT, "another parent"},
		{"nodes_truenodeids", "nodes_truenodeids=1,3,0", MS_ERR_MODEL_FORMAT,
		 "nodes_truenodeids has 3 values, 8 are expected"},
		{"nodes_nodeids", "nodes_nodeids=0,1,2,3,3,0,1,2", MS_ERR_MODEL_FORMAT, "tree 7 has two nodes 3"},
		{"nodes_treeids", "nodes_treeids=7,7,7,7,7,8,8,7", MS_ERR_MODEL_FORMAT, "two nodes 2"},
		{"nodes_treeids", "nodes_treeids=", MS_ERR_MODEL_FORMAT, "no trees"},
		{"nodes_featureids", "nodes_featureids=0,2,0,0,0,1,0,0", MS_ERR_MODEL_FORMAT,
		 "feature 2, but its input has 2"},
		{"nodes_featureids", "nodes_featureids=-1,1,0,0,0,1,0,0", MS_ERR_MODEL_FORMAT, "feature -1"},
		{"nodes_modes", "nodes_modes@BRANCH_LEQ,BRANCH_XX,LEAF,LEAF,LEAF,BRANCH_EQ,LEAF,LEAF",
		 MS_ERR_MODEL_UNSUPPORTED, "the node mode \"BRANCH_XX\""},
		{"nodes_modes", "nodes_modes@LEAF", MS_ERR_MODEL_FORMAT, "differ in length"},
		{"nodes_values", "nodes_values:1", MS_ERR_MODEL_FORMAT, "differ in length"},
		{"nodes_values", "nodes_values=1,2", MS_ERR_MODEL_FORMAT,
		 "the attribute nodes_values is damaged or of another type"},
		{"target_nodeids", "target_nodeids=3,4,2,1,9", MS_ERR_MODEL_FORMAT,
		 "node 9 of tree 8, which is not there"},
		{"target_nodeids", "target_nodeids=3,4,2,1,0", MS_ERR_MODEL_FORMAT, "leaf 2 has no weight"},
		{"target_ids", "target_ids=0,0,1,0,0", MS_ERR_MODEL_FORMAT, "a weight for target 1, but there are 1"},
		{"target_weights", "target_weights:1", MS_ERR_MODEL_FORMAT, "differ in length"},
		{"n_targets", "n_targets#0", MS_ERR_MODEL_FORMAT, "no targets"},
		{"n_targets", "n_targets#99999", MS_ERR_MODEL_TOO_LARGE, "at most 10000 are allowed"},
		{"base_values", "base_values:1,2", MS_ERR_MODEL_FORMAT, "base_values"},
		{"base_values", "post_transform'ODD", MS_ERR_MODEL_UNSUPPORTED, "post_transform \"ODD\""},
		{"base_values", "aggregate_function'MEDIAN", MS_ERR_MODEL_UNSUPPORTED, "aggregate_function \"MEDIAN\""},
	};
	for (size_t i = 0; i < MS_ARRAY_LEN(cases); i++) {
		const char *attributes[MS_ARRAY_LEN(REGRESSOR)];
		bool found = false;
		for (size_t k = 0; k < MS_ARRAY_LEN(REGRESSOR); k++) {
			bool here = REGRESSOR[k] != NULL &&
				    strncmp(REGRESSOR[k], cases[i].from, strlen(cases[i].from)) == 0;
			attributes[k] = here ? cases[i].to : REGRESSOR[k];
			found = found || here;
		}
		REQUIRE(found);
		struct buf bytes = one_node("TreeEnsembleRegressor", attributes, 2, false);
		test_refused(ms_buf_slice(&bytes), MODEL_FORMAT_ONNX, NULL, cases[i].code, cases[i].message);
		ms_buf_fini(&bytes);
	}
}

TEST(onnx_refuses_two_weights_of_a_leaf_for_one_target)
{
	static const char *const attributes[] = {TREES,
						 "n_targets#1",
						 "target_treeids=7,7,7,8,8,8",
						 "target_nodeids=3,4,2,1,2,1",
						 "target_ids=0,0,0,0,0,0",
						 "target_weights:10,20,30,1,2,1",
						 NULL};
	struct buf bytes = one_node("TreeEnsembleRegressor", attributes, 2, false);
	test_refused(ms_buf_slice(&bytes), MODEL_FORMAT_ONNX, NULL, MS_ERR_MODEL_UNSUPPORTED,
		     "leaf 1 has two weights for target 0");
	ms_buf_fini(&bytes);
}

TEST(onnx_refuses_bad_graphs)
{
	static const struct {
		const char *node;
		int type;
		enum ms_err code;
		const char *message;
	} cases[] = {
		{"Neg Z Y", FLOATS, MS_ERR_MODEL_FORMAT, "nothing before it makes its input \"Z\""},
		{"Neg  Y", FLOATS, MS_ERR_MODEL_FORMAT, "input 0 is missing"},
		{"Neg X X", FLOATS, MS_ERR_MODEL_FORMAT, "nothing makes the output \"Y\""},
		{"Neg X Y", STRINGS, MS_ERR_MODEL_UNSUPPORTED, "holds strings"},
		{"Neg X Y", 14, MS_ERR_MODEL_UNSUPPORTED, "the input \"X\" is of type complex64"},
		{"Add X,X Z", FLOATS, MS_ERR_MODEL_FORMAT, "nothing makes the output \"Y\""},
		{"MatMul X,X Y", FLOATS, MS_ERR_MODEL_UNSUPPORTED, "two values that depend on the row"},
		{"Identity X Y", STRINGS, MS_ERR_MODEL_UNSUPPORTED, "no output of the graph holds numbers"},
	};
	for (size_t i = 0; i < MS_ARRAY_LEN(cases); i++) {
		struct buf graph = start();
		put_node(&graph, cases[i].node, NULL);
		put_value(&graph, 11, "X", cases[i].type, 2);
		put_value(&graph, 12, "Y", FLOATS, 1);
		struct buf bytes = end_model(&graph);
		test_refused(ms_buf_slice(&bytes), MODEL_FORMAT_ONNX, NULL, cases[i].code, cases[i].message);
		ms_buf_fini(&bytes);
	}
	test_refused(MS_SLICE_LIT("\x08\x08"), MODEL_FORMAT_AUTO, NULL, MS_ERR_MODEL_FORMAT, "it has no graph");
	test_refused(MS_SLICE_LIT("\x08\x08\x3a\x7f"), MODEL_FORMAT_AUTO, NULL, MS_ERR_MODEL_FORMAT,
		     "damaged or cut off");
}

// An initialiser of whole numbers, as bytes: "name dim,dim" and the numbers.
static void put_tensor(struct buf *graph, const char *text, int type, struct slice raw)
{
	struct buf t = start();
	struct slice rest = ms_slice_cstr(text), name, dim;
	REQUIRE(ms_slice_next(&rest, ' ', &name));
	while (rest.n > 0 && ms_slice_next(&rest, ',', &dim))
		put_int(&t, 1, strtoll(dim.p, NULL, 10));
	put_int(&t, 2, type);
	put_bytes(&t, 8, name);
	put_bytes(&t, 9, raw);
	put_message(graph, 5, &t);
}

enum { BYTES = 3 };

// X is [rows, 10]; Y a sum of it, so that the graph is complete without the node.
static void refuse_node(struct buf *graph, const char *node, const char *const *attributes, enum ms_err code,
			const char *message)
{
	put_node(graph, node, attributes);
	put_value(graph, 11, "X", FLOATS, 10);
	put_value(graph, 12, "Y", FLOATS, 1);
	struct buf bytes = end_model(graph);
	test_refused(ms_buf_slice(&bytes), MODEL_FORMAT_ONNX, NULL, code, message);
	ms_buf_fini(&bytes);
}

// As many numbers behind the axis, but not the same: a result of the first one's shape would have no room.
TEST(onnx_refuses_to_join_other_shapes)
{
	struct buf graph = start();
	put_tensor(&graph, "c 1,5,2", BYTES, MS_SLICE_LIT("0123456789"));
	put_tensor(&graph, "axis 1", BYTES, MS_SLICE_LIT("\0"));
	put_node(&graph, "Cast c f", (const char *const[]){"to#1", NULL});
	put_node(&graph, "Unsqueeze X,axis x", NULL);
	refuse_node(&graph, "Concat f,x Y", (const char *const[]){"axis#0", NULL}, MS_ERR_MODEL_FORMAT, "do not fit");
}

TEST(onnx_refuses_a_shape_as_strings)
{
	struct buf graph = start();
	put_node(&graph, "Shape X s", NULL);
	refuse_node(&graph, "Cast s Y", (const char *const[]){"to#8", NULL}, MS_ERR_MODEL_UNSUPPORTED,
		    "numbers to strings");
}

// Nothing along one axis, and more along another than can be counted to.
TEST(onnx_refuses_huge_empty_tensors)
{
	struct buf graph = start();
	put_tensor(&graph, "e 1099511627776,0", BYTES, MS_SLICE_LIT(""));
	refuse_node(&graph, "Concat e Y", (const char *const[]){"axis#1", NULL}, MS_ERR_MODEL_TOO_LARGE,
		    "too many values for its size");
}

// Each node is a few bytes of the file and would look at all of a large tensor.
TEST(onnx_refuses_many_readers_of_one_tensor)
{
	static const char zeros[20000];
	struct buf graph = start();
	put_tensor(&graph, "axes 20000", BYTES, ms_slice(zeros, sizeof(zeros)));
	put_tensor(&graph, "one 1", BYTES, MS_SLICE_LIT("1"));
	char node[40];
	for (int i = 0; i < 400; i++) {
		snprintf(node, sizeof(node), "Squeeze one,axes s%d", i);
		put_node(&graph, node, NULL);
		snprintf(node, sizeof(node), "s%d", i);
		put_value(&graph, 12, node, INTS, 1);
	}
	refuse_node(&graph, "Neg X Y", NULL, MS_ERR_MODEL_TOO_LARGE, "too many values for its size");
}

// Many features, each of which would list all the strings.
TEST(onnx_refuses_many_features_with_one_long_list)
{
	struct buf graph = start(), keys = start(), values = start();
	ms_buf_printf(&keys, "keys_strings@");
	ms_buf_printf(&values, "values_int64s=");
	for (int i = 0; i < 2000; i++) {
		ms_buf_printf(&keys, "%sk%d", i > 0 ? "," : "", i);
		ms_buf_printf(&values, "%s%d", i > 0 ? "," : "", i);
	}
	ms_buf_append_char(&keys, '\0');
	ms_buf_append_char(&values, '\0');
	put_node(&graph, "*LabelEncoder S Y", (const char *const[]){keys.p, values.p, NULL});
	put_value(&graph, 11, "S", STRINGS, 10000);
	put_value(&graph, 12, "Y", INTS, 1);
	struct buf bytes = end_model(&graph);
	test_refused(ms_buf_slice(&bytes), MODEL_FORMAT_ONNX, NULL, MS_ERR_MODEL_TOO_LARGE,
		     "too many values for its size");
	ms_buf_fini(&bytes);
	ms_buf_fini(&keys);
	ms_buf_fini(&values);
}

// The place of the label comes from the row itself: whatever it says, it is one of the labels.
TEST(onnx_label_is_always_one_of_the_labels)
{
	struct buf graph = start();
	put_tensor(&graph, "labels 3", BYTES, MS_SLICE_LIT("\5\6\7"));
	put_node(&graph, "*ArrayFeatureExtractor labels,X L", NULL);
	put_node(&graph, "Neg X Y", NULL);
	put_value(&graph, 11, "X", FLOATS, 1);
	put_value(&graph, 12, "L", INTS, 1);
	put_value(&graph, 12, "Y", FLOATS, 1);
	struct buf bytes = end_model(&graph);
	struct model *m = test_load(ms_buf_slice(&bytes), MODEL_FORMAT_ONNX);
	CHECK_INT(ms_model_info(m)->class_count, 3);
	static const double cases[][2] = {{0, 0}, {1, 1}, {2, 2}, {1.5, 1}, {3, 2}, {1e30, 2}, {-1, 0}, {NAN, 0}};
	for (size_t i = 0; i < MS_ARRAY_LEN(cases); i++)
		CHECK_F64(predict_first(m, MODEL_OUTPUT_LABEL, &cases[i][0]), cases[i][1]);
	ms_model_unref(m);
	ms_buf_fini(&bytes);
}

TEST(onnx_keeps_to_the_limits)
{
	struct buf bytes = one_node("TreeEnsembleRegressor", REGRESSOR, 2, false);
	struct model_options options = MS_MODEL_DEFAULT_OPTIONS;
	options.max_trees = 1;
	test_refused(ms_buf_slice(&bytes), MODEL_FORMAT_ONNX, &options, MS_ERR_MODEL_TOO_LARGE, "more than 1 trees");
	options = MS_MODEL_DEFAULT_OPTIONS;
	options.max_features = 1;
	test_refused(ms_buf_slice(&bytes), MODEL_FORMAT_ONNX, &options, MS_ERR_MODEL_TOO_LARGE, "1 features");
	options = MS_MODEL_DEFAULT_OPTIONS;
	options.max_memory = 4096;
	test_refused(ms_buf_slice(&bytes), MODEL_FORMAT_ONNX, &options, MS_ERR_MODEL_TOO_LARGE, "memory");
	ms_buf_fini(&bytes);
	bytes = one_node("TreeEnsembleRegressor", REGRESSOR, INT32_MAX, false);
	test_refused(ms_buf_slice(&bytes), MODEL_FORMAT_ONNX, NULL, MS_ERR_MODEL_TOO_LARGE, "features");
	ms_buf_fini(&bytes);
}

TEST(onnx_survives_truncation)
{
	struct buf trees = one_node("TreeEnsembleRegressor", REGRESSOR, 2, false), pipeline = pipeline_model();
	test_truncations(ms_buf_slice(&trees), MODEL_FORMAT_ONNX);
	test_truncations(ms_buf_slice(&pipeline), MODEL_FORMAT_ONNX);
	ms_buf_fini(&trees);
	ms_buf_fini(&pipeline);
}

TEST(onnx_survives_changed_bytes)
{
	struct buf trees = one_node("TreeEnsembleRegressor", REGRESSOR, 2, false), pipeline = pipeline_model();
	test_flips(ms_buf_slice(&trees), MODEL_FORMAT_ONNX);
	test_flips(ms_buf_slice(&pipeline), MODEL_FORMAT_ONNX);
	ms_buf_fini(&trees);
	ms_buf_fini(&pipeline);
}

static struct model *asked; // by predict_asked, which takes no argument

static void predict_asked(void)
{
	static double out[16];
	_Alignas(16) static char scratch[1 << 20];
	REQUIRE(ms_model_scratch_size(asked) <= sizeof(scratch));
	for (int o = 0; o < MODEL_OUTPUT_COUNT; o++) {
		REQUIRE(ms_model_output_width(asked, (enum model_output)o) <= MS_ARRAY_LEN(out));
		if (ms_model_output_width(asked, (enum model_output)o) > 0)
			ms_model_predict(asked, &MS_MODEL_QUERY((enum model_output)o), (double[]){1, 2, 3}, 1, scratch,
					 out);
	}
	CHECK(!ms_test_allocation_failed()); // there was none that could fail
}

TEST(onnx_predicts_without_memory)
{
	struct buf files[] = {one_node("TreeEnsembleRegressor", REGRESSOR, 2, false), pipeline_model()};
	for (size_t i = 0; i < MS_ARRAY_LEN(files); i++) {
		asked = test_load(ms_buf_slice(&files[i]), MODEL_FORMAT_ONNX);
		ms_test_torture(predict_asked);
		ms_model_unref(asked);
		ms_buf_fini(&files[i]);
	}
}

static struct buf tortured;

static void load_tortured(void)
{
	struct errinfo info;
	struct model *model = NULL;
	ms_errinfo_init(&info);
	enum ms_err err = ms_model_load(ms_buf_slice(&tortured), MODEL_FORMAT_ONNX, NULL, &info, &model);
	if (ms_test_allocation_failed())
		CHECK(err != MS_OK && info.message[0] != '\0');
	else
		CHECK_OK(err);
	ms_model_unref(model);
}

TEST(onnx_survives_failing_allocations)
{
	tortured = pipeline_model();
	ms_test_torture(load_tortured);
	ms_buf_fini(&tortured);
	tortured = one_node("TreeEnsembleRegressor", REGRESSOR, 2, false);
	ms_test_torture(load_tortured);
	ms_buf_fini(&tortured);
}
