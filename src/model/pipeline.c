// SPDX-License-Identifier: Apache-2.0
#include "model/pipeline.h"

#include <float.h>
#include <math.h>

#define CHUNK_BYTES ((size_t)256 << 10) // slots of rows that are worked on together
#define CHUNK_ROWS_MAX 256

// --- Scratch: for a chunk of rows the slots, the input of a forest and its scores ------------------------------

struct layout {
	size_t input_width; // of the widest forest
	size_t score_width;
	size_t forest_bytes;
	size_t chunk_rows;
};

static size_t align16(size_t n)
{
	return (n + 15) & ~(size_t)15;
}

static struct layout layout_of(const struct pipeline *p)
{
	struct layout l = {0};
	for (size_t i = 0; i < p->forest_count; i++) {
		const struct pipeline_forest *f = &p->forests[i];
		if (!f->direct)
			l.input_width = MS_MAX(l.input_width, f->forest->params.feature_count);
		l.score_width = MS_MAX(l.score_width, f->forest->params.group_count);
		l.forest_bytes = MS_MAX(l.forest_bytes, ms_forest_scratch_size(f->forest));
	}
	size_t row = (p->slot_count + l.input_width + l.score_width) * sizeof(double);
	l.chunk_rows = MS_MAX(MS_MIN(CHUNK_BYTES / MS_MAX(row, 1), CHUNK_ROWS_MAX), 1);
	return l;
}

size_t ms_pipeline_scratch_size(const struct pipeline *p)
{
	struct layout l = layout_of(p);
	return align16(l.chunk_rows * p->slot_count * sizeof(double)) +
	       align16(l.chunk_rows * l.input_width * sizeof(double)) +
	       align16(l.chunk_rows * l.score_width * sizeof(double)) + align16(l.forest_bytes);
}

struct chunk {
	double *slots;
	double *input;
	double *scores;
	void *forest;
	size_t rows;
};

static struct chunk chunk_in(const struct pipeline *p, void *scratch)
{
	struct layout l = layout_of(p);
	struct chunk c = {.slots = scratch, .rows = l.chunk_rows};
	c.input = (double *)(void *)((char *)scratch + align16(l.chunk_rows * p->slot_count * sizeof(double)));
	c.scores = (double *)(void *)((char *)c.input + align16(l.chunk_rows * l.input_width * sizeof(double)));
	c.forest = (char *)c.scores + align16(l.chunk_rows * l.score_width * sizeof(double));
	return c;
}

static inline double operand(const struct pipeline *p, const double *slots, uint32_t at)
{
	return at & PIPELINE_CONSTANT ? p->constants[at & ~PIPELINE_CONSTANT] : slots[at];
}

// --- Steps on single numbers -----------------------------------------------------------------------------------

static double round_to(enum pipeline_type type, double x)
{
	switch (type) {
	case PIPELINE_F32:
		return (double)(float)x;
	case PIPELINE_I64:
		return trunc(x);
	case PIPELINE_BOOL:
		return x != 0;
	case PIPELINE_F64:
	case PIPELINE_STRING:
		break;
	}
	return x;
}

static double logistic(double x)
{
	return 1 / (1 + exp(-x));
}

// Float functions on floats; the operations +, -, *, / and sqrt of two floats may be done in double and rounded.
static double unary(enum pipeline_op op, enum pipeline_type type, double x)
{
	bool single = type == PIPELINE_F32;
	switch ((int)op) {
	case PIPELINE_NEG:
		return -x;
	case PIPELINE_ABS:
		return fabs(x);
	case PIPELINE_EXP:
		return single ? (double)expf((float)x) : exp(x);
	case PIPELINE_LOG:
		return single ? (double)logf((float)x) : log(x);
	case PIPELINE_SQRT:
		return round_to(type, sqrt(x));
	case PIPELINE_RECIPROCAL:
		return round_to(type, 1 / x);
	case PIPELINE_SIGMOID:
		return round_to(type, logistic(x));
	case PIPELINE_TANH:
		return round_to(type, tanh(x));
	case PIPELINE_FLOOR:
		return floor(x);
	case PIPELINE_CEIL:
		return ceil(x);
	case PIPELINE_IS_NAN:
		return isnan(x);
	case PIPELINE_NOT:
		return x == 0;
	default:
		MS_UNREACHABLE();
	}
}

static double binary(enum pipeline_op op, enum pipeline_type type, double x, double y)
{
	switch ((int)op) {
	case PIPELINE_ADD:
		return round_to(type, x + y);
	case PIPELINE_SUB:
		return round_to(type, x - y);
	case PIPELINE_MUL:
		return round_to(type, x * y);
	case PIPELINE_DIV:
		return type == PIPELINE_I64 && y == 0 ? 0 : round_to(type, x / y);
	case PIPELINE_POW:
		return round_to(type, pow(x, y));
	case PIPELINE_MIN:
		return isnan(x) || isnan(y) ? NAN : fmin(x, y);
	case PIPELINE_MAX:
		return isnan(x) || isnan(y) ? NAN : fmax(x, y);
	case PIPELINE_EQUAL:
		return x == y;
	case PIPELINE_LESS:
		return x < y;
	case PIPELINE_LESS_EQUAL:
		return x <= y;
	case PIPELINE_AND:
		return x != 0 && y != 0;
	case PIPELINE_OR:
		return x != 0 || y != 0;
	case PIPELINE_XOR:
		return (x != 0) != (y != 0);
	default:
		MS_UNREACHABLE();
	}
}

// Place of the key in the table, or its count.
static size_t find_key(const struct pipeline_table *t, double key)
{
	size_t low = 0, high = t->count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (t->keys[middle] < key)
			low = middle + 1;
		else
			high = middle;
	}
	return low < t->count && t->keys[low] == key ? low : t->count;
}

static double at_place(const struct pipeline_table *t, double place)
{
	return place >= 0 && place < (double)t->count && place == trunc(place) ? t->values[(size_t)place] : NAN;
}

static double at_index(const double *values, double index, size_t count)
{
	return values[index > 0 ? (size_t)MS_MIN(index, (double)(count - 1)) : 0];
}

// --- Steps on lists --------------------------------------------------------------------------------------------

struct operands {
	const struct pipeline *p;
	const double *slots;
	const uint32_t *operands;
	size_t count;
};

static inline double item(const struct operands *l, size_t i)
{
	return operand(l->p, l->slots, l->operands[i]);
}

static double sum_of(const struct operands *l, enum pipeline_type type)
{
	double sum = item(l, 0);
	for (size_t i = 1; i < l->count; i++)
		sum = round_to(type, sum + item(l, i));
	return sum;
}

static double reduce(const struct operands *l, enum pipeline_op op, enum pipeline_type type)
{
	double value = item(l, 0);
	size_t best = 0;
	if (op == PIPELINE_SUM)
		return sum_of(l, type);
	if (op == PIPELINE_MEAN)
		return round_to(type, sum_of(l, type) / (double)l->count);
	for (size_t i = 1; i < l->count; i++) {
		double x = item(l, i);
		if (op == PIPELINE_PRODUCT) {
			value = round_to(type, value * x);
		} else if (op == PIPELINE_MINIMUM || op == PIPELINE_ARGMIN ? x < value : x > value) {
			value = x;
			best = i;
		}
	}
	return op == PIPELINE_ARGMAX || op == PIPELINE_ARGMIN ? (double)best : value;
}

static void softmax(const struct operands *l, enum pipeline_type type, double *dst)
{
	double max = -INFINITY, sum = 0;
	for (size_t i = 0; i < l->count; i++)
		max = fmax(max, item(l, i));
	for (size_t i = 0; i < l->count; i++) {
		double x = item(l, i) - max;
		dst[i] = type == PIPELINE_F32 ? (double)expf((float)x) : exp(x);
		sum = round_to(type, sum + dst[i]);
	}
	for (size_t i = 0; i < l->count; i++)
		dst[i] = round_to(type, dst[i] / sum);
}

// ONNX Runtime's Normalizer (onnxruntime/core/providers/cpu/ml/normalizer.cc), which answers floats.
static void normalise(const struct operands *l, enum pipeline_op op, double *dst)
{
	float norm = op == PIPELINE_NORM_MAX ? -FLT_MAX : 0.0f;
	for (size_t i = 0; i < l->count; i++) {
		double x = item(l, i);
		dst[i] = op == PIPELINE_NORM_L2 ? (double)(float)(x * x) : (double)(float)x;
		if (op == PIPELINE_NORM_MAX)
			norm = norm < (float)x ? (float)x : norm;
		else
			norm += op == PIPELINE_NORM_L1 ? fabsf((float)x) : (float)dst[i];
	}
	for (size_t i = 0; i < l->count; i++) {
		double x = item(l, i);
		if (norm == 0)
			dst[i] = (double)(float)x;
		else if (op == PIPELINE_NORM_L2)
			dst[i] = (double)(x < 0 ? -sqrtf((float)dst[i] / norm) : sqrtf((float)dst[i] / norm));
		else
			dst[i] = (double)((float)dst[i] / norm);
	}
}

static double dot(const struct operands *l, const double *constants, enum pipeline_type type)
{
	double sum = constants[0];
	for (size_t i = 0; i < l->count; i++)
		sum += constants[1 + i] * item(l, i);
	return round_to(type, sum);
}

// --- The end of an ensemble (onnxruntime/core/providers/cpu/ml/tree_ensemble_aggregator.h, ml_common.h) ----------

static float logistic_f32(float x)
{
	float y = 1 / (1 + expf(-fabsf(x)));
	return x < 0 ? 1 - y : y;
}

// sqrt(2) times Winitzki's approximation of the inverse of the error function, as the runtime has it.
static float probit_f32(float x)
{
	const float a = 0.147f, pi = (float)M_PI;
	float z = 2 * x - 1, sign = z < 0 ? -1.0f : 1.0f;
	float log_term = logf((1 - z) * (1 + z));
	float v = 2 / (pi * a) + 0.5f * log_term;
	float root = -v + sqrtf(v * v - 1 / a * log_term);
	return 1.41421356f * (sign * sqrtf(root));
}

// The exponentials and their sum are floats; of an ensemble that answers doubles the quotients are not.
static void softmax_scores(double *v, size_t n, bool skip_zeros, bool wide)
{
	const float tiny = 0.0000001f;
	float max = -FLT_MAX, sum = 0;
	for (size_t i = 0; i < n; i++)
		max = (float)v[i] > max ? (float)v[i] : max;
	for (size_t i = 0; i < n; i++) {
		float x = (float)v[i];
		if (skip_zeros && !(x > tiny || x < -tiny)) {
			v[i] = (double)(x * expf(-max));
			continue;
		}
		x = expf(x - max);
		sum += x;
		v[i] = (double)x;
	}
	for (size_t i = 0; i < n; i++)
		v[i] = wide ? v[i] / (double)sum : (double)((float)v[i] / sum);
}

static void post_transform(enum pipeline_post post, bool wide, double *v, size_t n)
{
	if (post == PIPELINE_SOFTMAX_POST || post == PIPELINE_SOFTMAX_ZERO) {
		softmax_scores(v, n, post == PIPELINE_SOFTMAX_ZERO, wide);
		return;
	}
	for (size_t i = 0; i < n; i++) {
		if (post == PIPELINE_LOGISTIC)
			v[i] = (double)logistic_f32((float)v[i]);
		else if (post == PIPELINE_PROBIT)
			v[i] = (double)probit_f32((float)v[i]);
	}
}

static inline double in_type(const struct pipeline_end *e, double x)
{
	return e->single ? (double)(float)x : x;
}

// The sum or the extreme of target k, and whether any leaf scored it.
static double aggregate(const struct pipeline_end *e, const struct operands *l, size_t k, bool *ret_scored)
{
	bool minimum = e->aggregate == PIPELINE_AGGREGATE_MIN;
	if (!minimum && e->aggregate != PIPELINE_AGGREGATE_MAX) {
		*ret_scored = !e->has_flags || item(l, e->target_count + k) > 0;
		double sum = item(l, k);
		return e->aggregate == PIPELINE_AVERAGE ? in_type(e, sum / (double)e->tree_count) : sum;
	}
	double best = 0;
	*ret_scored = false;
	for (size_t t = 0; t < e->tree_count; t++) {
		double x = item(l, k * e->tree_count + t);
		if (isnan(x))
			continue;
		if (!*ret_scored || (minimum ? x < best : x > best))
			best = x;
		*ret_scored = true;
	}
	return best;
}

static void end_regressor(const struct pipeline_end *e, const struct operands *l, double *dst)
{
	size_t n = e->target_count;
	bool scored;
	for (size_t k = 0; k < n; k++) {
		double x = aggregate(e, l, k, &scored);
		if (!scored && n > 1)
			x = 0; // without its base value
		else if (e->base_count == n)
			x = in_type(e, x + e->base[k]);
		dst[k] = dst[n + k] = e->wide ? x : (double)(float)x;
	}
	if (n > 1 || e->post == PIPELINE_PROBIT) // one target knows no other transform
		post_transform(e->post, e->wide, dst + n, n);
}

// Two classes, of which the leaves score the first only: its score is that of the second class, turned into both.
static double end_one_score(const struct pipeline_end *e, double score, double *scores)
{
	float x = (float)score;
	bool positive = e->one_column && e->all_positive; // else what no leaf can score is not told apart
	if (e->post == PIPELINE_LOGISTIC) {
		scores[0] = (double)logistic_f32(-x);
		scores[1] = (double)logistic_f32(x);
	} else {
		scores[0] = (double)(positive ? 1.0f - x : -x);
		scores[1] = (double)x;
	}
	return score > (positive ? 0.5 : 0);
}

// Two classes, as the runtime does it: with two base values and a scored second class, the raw score of the first class and
// the second base value make both; what no leaf scored is 0 in the scores, whatever was added to it.
static double end_two_classes(const struct pipeline_end *e, const struct operands *l, double *raw, double *scores)
{
	bool scored[2] = {!e->one_column || e->column == 0, !e->one_column || e->column == 1};
	double v[2] = {0, 0};
	for (size_t k = 0, at = 0; k < 2; k++)
		if (scored[k])
			v[k] = aggregate(e, l, at++, &scored[k]);
	if (e->base_count == 2 && scored[1]) {
		v[1] = in_type(e, e->base[1] + v[0]);
		v[0] = -v[1];
	} else if (e->base_count == 2) {
		v[0] = in_type(e, v[0] + e->base[0]);
	} else if (e->base_count == 1) {
		v[0] = in_type(e, v[0] + e->base[0]);
	}
	for (size_t k = 0, at = 0; k < 2; k++) {
		if (!scored[k])
			v[k] = 0;
		if (!e->one_column || e->column == k)
			raw[at++] = (double)(float)v[k];
	}
	double decisive = scored[1] ? v[1] : v[0];
	if (e->base_count < 2 && !scored[1])
		return end_one_score(e, v[0], scores);
	for (size_t k = 0; k < 2; k++)
		scores[k] = (double)(float)v[k];
	post_transform(e->post, e->wide, scores, 2);
	return decisive > (e->one_column && e->all_positive ? 0.5 : 0);
}

static void end_classifier(const struct pipeline_end *e, const struct operands *l, double *dst)
{
	size_t n = e->target_count, best = SIZE_MAX;
	double *scores = dst + n, *label = scores + e->class_count;
	if (e->linear && n == 1) {
		dst[0] = item(l, 0);
		MS_IGNORE(end_one_score(e, dst[0], scores) > 0); // linear models decide at 0
		*label = dst[0] > 0;
		return;
	}
	if (e->class_count == 2 && !e->linear) {
		*label = end_two_classes(e, l, dst, scores);
		return;
	}
	double largest = 0;
	for (size_t k = 0; k < n; k++) {
		bool scored;
		double x = aggregate(e, l, k, &scored);
		if (e->base_count > 0) {
			x = in_type(e, x + e->base[k]);
			scored = true;
		}
		if (scored && (best == SIZE_MAX || x > largest)) {
			best = k;
			largest = x;
		}
		dst[k] = scores[k] = (double)(float)x;
	}
	*label = best != SIZE_MAX ? (double)best : 0;
	post_transform(e->post, e->wide, scores, n);
}

// --- Running -----------------------------------------------------------------------------------------------------

static void run_list_step(const struct pipeline *p, const struct pipeline_step *s, double *slots)
{
	struct operands l = {p, slots, p->lists + s->a, s->c};
	double *dst = slots + s->dst;
	switch (s->op) {
	case PIPELINE_SOFTMAX:
		softmax(&l, (enum pipeline_type)s->type, dst);
		break;
	case PIPELINE_NORM_MAX:
	case PIPELINE_NORM_L1:
	case PIPELINE_NORM_L2:
		normalise(&l, (enum pipeline_op)s->op, dst);
		break;
	case PIPELINE_DOT:
		*dst = dot(&l, p->constants + s->b, (enum pipeline_type)s->type);
		break;
	case PIPELINE_END:
		if (p->ends[s->b].classifier)
			end_classifier(&p->ends[s->b], &l, dst);
		else
			end_regressor(&p->ends[s->b], &l, dst);
		break;
	default:
		*dst = reduce(&l, (enum pipeline_op)s->op, (enum pipeline_type)s->type);
		break;
	}
}

static void run_step(const struct pipeline *p, const struct pipeline_step *s, const double *row, double *slots)
{
	double *dst = &slots[s->dst];
	enum pipeline_type type = (enum pipeline_type)s->type;
	enum pipeline_op op = (enum pipeline_op)s->op;
	if (op == PIPELINE_LOAD) {
		*dst = round_to(type, row[s->a]);
		return;
	}
	if (op == PIPELINE_LOAD_CATEGORY) {
		*dst = at_place(&p->tables[s->b], row[s->a]);
		return;
	}
	if (op >= PIPELINE_SUM) {
		run_list_step(p, s, slots);
		return;
	}
	double a = operand(p, slots, s->a);
	if (op == PIPELINE_CAST) {
		*dst = round_to(type, a);
	} else if (op <= PIPELINE_NOT) {
		*dst = unary(op, type, a);
	} else if (op == PIPELINE_LOOKUP) {
		size_t place = find_key(&p->tables[s->b], a);
		*dst = place < p->tables[s->b].count ? p->tables[s->b].values[place] : p->constants[s->c];
	} else if (op == PIPELINE_ONE_HOT) {
		memset(dst, 0, s->c * sizeof(*dst));
		size_t place = find_key(&p->tables[s->b], a);
		if (place < p->tables[s->b].count)
			dst[(size_t)p->tables[s->b].values[place]] = 1;
	} else if (op == PIPELINE_AT) {
		*dst = at_index(p->constants + s->b, a, s->c);
	} else {
		double b = operand(p, slots, s->b);
		if (op == PIPELINE_WHERE)
			*dst = a != 0 ? b : operand(p, slots, s->c);
		else if (op == PIPELINE_REPLACE)
			*dst = a == b || (isnan(a) && isnan(b)) ? operand(p, slots, s->c) : a;
		else
			*dst = binary(op, type, a, b);
	}
}

// The rows as the forest takes them.
static const double *forest_input(const struct pipeline *p, const struct pipeline_step *s, const struct chunk *c,
				  const double *rows, size_t row_count)
{
	if (p->forests[s->b].direct)
		return rows;
	for (size_t r = 0; r < row_count; r++) {
		const double *slots = c->slots + r * p->slot_count;
		for (size_t i = 0; i < s->c; i++)
			c->input[r * s->c + i] = operand(p, slots, p->lists[s->a + i]);
	}
	return c->input;
}

static void run_forest(const struct pipeline *p, const struct pipeline_step *s, const struct chunk *c,
		       const double *rows, size_t row_count)
{
	const struct forest *f = p->forests[s->b].forest;
	const double *input = forest_input(p, s, c, rows, row_count);
	size_t width = f->params.group_count;
	ms_forest_raw(f, input, row_count, c->forest, c->scores);
	for (size_t r = 0; r < row_count; r++)
		memcpy(c->slots + r * p->slot_count + s->dst, c->scores + r * width, width * sizeof(double));
}

// All steps but the last `left_out` on a chunk of rows.
static void run_steps(const struct pipeline *p, const struct chunk *c, const double *rows, size_t row_count,
		      size_t step_count)
{
	for (size_t from = 0, to; from < step_count; from = to) {
		if (p->steps[from].op == PIPELINE_FOREST) {
			run_forest(p, &p->steps[from], c, rows, row_count);
			to = from + 1;
			continue;
		}
		for (to = from; to < step_count && p->steps[to].op != PIPELINE_FOREST; to++)
			;
		for (size_t r = 0; r < row_count; r++)
			for (size_t i = from; i < to; i++)
				run_step(p, &p->steps[i], rows + r * p->feature_count, c->slots + r * p->slot_count);
	}
}

void ms_pipeline_run(const struct pipeline *p, struct pipeline_list list, const double *rows, size_t row_count,
		     void *scratch, double *out)
{
	struct chunk c = chunk_in(p, scratch);
	for (size_t done = 0, n; done < row_count; done += n) {
		n = MS_MIN(row_count - done, c.rows);
		run_steps(p, &c, rows + done * p->feature_count, n, p->step_count);
		for (size_t r = 0; r < n; r++)
			for (size_t i = 0; i < list.count; i++)
				*out++ = operand(p, c.slots + r * p->slot_count, p->lists[list.first + i]);
	}
}

void ms_pipeline_leaves(const struct pipeline *p, const double *rows, size_t row_count, void *scratch, double *out)
{
	struct chunk c = chunk_in(p, scratch);
	size_t at = 0;
	while (p->steps[at].op != PIPELINE_FOREST)
		at++;
	const struct forest *f = p->forests[p->steps[at].b].forest;
	for (size_t done = 0, n; done < row_count; done += n) {
		n = MS_MIN(row_count - done, c.rows);
		const double *chunk_rows = rows + done * p->feature_count;
		run_steps(p, &c, chunk_rows, n, at);
		ms_forest_leaves(f, forest_input(p, &p->steps[at], &c, chunk_rows, n), n, c.forest,
				 out + done * f->tree_count);
	}
}

uint32_t ms_pipeline_row_ns(const struct pipeline *p)
{
	double ns = 20;
	for (size_t i = 0; i < p->step_count; i++) {
		const struct pipeline_step *s = &p->steps[i];
		ns += s->op == PIPELINE_FOREST    ? ms_forest_row_ns(p->forests[s->b].forest)
		      : s->op >= PIPELINE_ONE_HOT ? 4.0 + (double)s->c
						  : 4.0;
	}
	return ns < (double)UINT32_MAX ? (uint32_t)ns : UINT32_MAX;
}
