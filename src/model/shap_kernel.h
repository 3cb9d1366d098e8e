// SPDX-License-Identifier: Apache-2.0
// The two sweeps over a tree, for LANES points of the quadrature at once: shap.c includes this file with LANES, WIDTH (of
// the machine's vectors), KERNEL(name) and TARGET defined. No include guard, for that reason. The operations of a lane
// and their order are the same for every TARGET, so the results have the same bits.

typedef double KERNEL(vec) __attribute__((vector_size(WIDTH * sizeof(double)), aligned(WIDTH * sizeof(double))));
typedef double KERNEL(loose) __attribute__((vector_size(WIDTH * sizeof(double)), aligned(sizeof(double))));
#define VEC KERNEL(vec)
#define PARTS (LANES / WIDTH)
#define EACH _Pragma("GCC unroll 4") for (int k = 0; k < PARTS; k++)

// slots: LANES values per node of the tree. Going down they hold the product of the path's factors above the node, going
// up the sum over the leaves below of value and factors below.
TARGET static void KERNEL(sweep)(const struct sweep *s, size_t point, void *slots_memory, double *phi)
{
	VEC *slots = __builtin_assume_aligned(slots_memory, WIDTH * sizeof(double));
	const KERNEL(loose) *rule = (const KERNEL(loose) *)(const void *)(s->rule + point);
	const size_t next = s->point_count / WIDTH;
	const double *weights = s->weights;
	VEC t[PARTS], u[PARTS];
	EACH
	{
		t[k] = rule[k];
		u[k] = rule[next + k];
		slots[k] = rule[2 * next + k];
	}
	for (size_t i = 0; i < s->step_count; i++) {
		const struct step *step = &s->steps[i];
		VEC *here = slots + (size_t)step->node * PARTS;
		const uint32_t hot = step->first + step->second_hot, cold = step->first + !step->second_hot;
		VEC *to_hot = slots + (size_t)hot * PARTS, *to_cold = slots + (size_t)cold * PARTS;
		const double w_hot = weights[hot], w_cold = weights[cold];
		if (step->previous != 0) {
			const double old = weights[step->previous];
			if (!step->old_hot) { // both factors change by a constant
				const double share_hot = share(w_hot, old), share_cold = share(w_cold, old);
				EACH
				{
					to_hot[k] = here[k] * share_hot;
					to_cold[k] = here[k] * share_cold;
				}
				continue;
			}
			EACH here[k] =
				here[k] / (old * u[k] + t[k]); // the feature's factor so far gives way to a new one
		}
		EACH
		{
			to_hot[k] = here[k] * (w_hot * u[k] + t[k]);
			to_cold[k] = here[k] * (w_cold * u[k]);
		}
	}
	for (size_t i = 0; i < s->leaf_count; i++)
		EACH slots[(size_t)s->leaf_nodes[i] * PARTS + k] = s->leaf_values[i] - (VEC){0};
	for (size_t i = s->step_count; i-- > 0;) {
		const struct step *step = &s->steps[i];
		VEC *here = slots + (size_t)step->node * PARTS;
		const uint32_t hot = step->first + step->second_hot, cold = step->first + !step->second_hot;
		const VEC *below_hot = slots + (size_t)hot * PARTS, *below_cold = slots + (size_t)cold * PARTS;
		const double w_hot = weights[hot], w_cold = weights[cold], old = weights[step->previous];
		if (!step->old_hot) { // a test above decided: this one adds nothing
			const double share_hot = share(w_hot, old), share_cold = share(w_cold, old);
			EACH here[k] = share_hot * below_hot[k] + share_cold * below_cold[k];
			continue;
		}
		VEC part[PARTS];
		EACH
		{
			VEC sum = (w_hot * u[k] + t[k]) * below_hot[k] + w_cold * u[k] * below_cold[k];
			VEC difference = (1 - w_hot) * below_hot[k] - w_cold * below_cold[k];
			if (step->previous != 0) { // what the test above has counted for these leaves is replaced
				sum = sum / (old * u[k] + t[k]);
				difference -= (1 - old) * sum;
			}
			part[k] = here[k] * difference;
			here[k] = sum;
		}
		// By halves, the same for every WIDTH.
#if WIDTH == 2 && LANES == 8
		const vec2 pair = (part[0] + part[2]) + (part[1] + part[3]);
#elif WIDTH == 2
		const vec2 pair = part[0] + part[1];
#else
		const VEC half = PARTS == 2 ? part[0] + part[PARTS - 1] : part[0];
		const vec2 pair = __builtin_shufflevector(half, half, 0, 1) + __builtin_shufflevector(half, half, 2, 3);
#endif
		phi[step->feature] += pair[0] + pair[1];
	}
}
#undef VEC
#undef PARTS
#undef EACH
