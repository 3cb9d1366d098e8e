// SPDX-License-Identifier: Apache-2.0
// The two sweeps over a tree, for LANES points of the quadrature at once: shap.c includes this file with LANES,
// KERNEL(name) and TARGET defined. No include guard, for that reason. The operations of a lane and their order are the
// same for every TARGET, so the results have the same bits.

typedef double KERNEL(vec) __attribute__((vector_size(LANES * sizeof(double)), aligned(LANES * sizeof(double))));
typedef double KERNEL(loose) __attribute__((vector_size(LANES * sizeof(double)), aligned(sizeof(double))));
#define VEC KERNEL(vec)

// slots: a vector per node of the tree. Going down it holds the product of the path's factors above the node, going up
// the sum over the leaves below of value and factors below.
TARGET static void KERNEL(sweep)(const struct sweep *s, size_t point, void *slots_memory, double *phi)
{
	VEC *slots = __builtin_assume_aligned(slots_memory, LANES * sizeof(double));
	const double *weights = s->weights;
	const VEC t = *(const KERNEL(loose) *)(const void *)(s->rule + point);
	const VEC u = *(const KERNEL(loose) *)(const void *)(s->rule + s->point_count + point);
	slots[0] = *(const KERNEL(loose) *)(const void *)(s->rule + 2 * s->point_count + point);
	for (size_t i = 0; i < s->step_count; i++) {
		const struct step *step = &s->steps[i];
		const uint32_t hot = step->first + step->second_hot, cold = step->first + !step->second_hot;
		VEC p = slots[step->node];
		if (step->previous != 0) {
			const double old = weights[step->previous];
			if (!step->old_hot) { // both factors change by a constant
				slots[hot] = p * share(weights[hot], old);
				slots[cold] = p * share(weights[cold], old);
				continue;
			}
			p = p / (old * u + t); // the feature's factor so far gives way to a new one
			slots[step->node] = p;
		}
		slots[hot] = p * (weights[hot] * u + t);
		slots[cold] = p * (weights[cold] * u);
	}
	for (size_t i = 0; i < s->leaf_count; i++)
		slots[s->leaf_nodes[i]] = s->leaf_values[i] - (VEC){0};
	for (size_t i = s->step_count; i-- > 0;) {
		const struct step *step = &s->steps[i];
		const uint32_t hot = step->first + step->second_hot, cold = step->first + !step->second_hot;
		const VEC below_hot = slots[hot], below_cold = slots[cold];
		const double w_hot = weights[hot], w_cold = weights[cold], old = weights[step->previous];
		if (!step->old_hot) { // a test above decided: this one adds nothing
			slots[step->node] = share(w_hot, old) * below_hot + share(w_cold, old) * below_cold;
			continue;
		}
		VEC sum = (w_hot * u + t) * below_hot + w_cold * u * below_cold;
		VEC difference = (1 - w_hot) * below_hot - w_cold * below_cold;
		if (step->previous != 0) { // what the test above has counted for these leaves is replaced
			sum = sum / (old * u + t);
			difference -= (1 - old) * sum;
		}
		const VEC part = slots[step->node] * difference;
		slots[step->node] = sum;
#if LANES == 8
		const vec4 half = __builtin_shufflevector(part, part, 0, 1, 2, 3) +
				  __builtin_shufflevector(part, part, 4, 5, 6, 7);
#else
		const vec4 half = part;
#endif
		const vec2 pair = __builtin_shufflevector(half, half, 0, 1) + __builtin_shufflevector(half, half, 2, 3);
		phi[step->feature] += pair[0] + pair[1];
	}
}
#undef VEC
