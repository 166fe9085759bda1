import type { Loss } from '../../../core/plan.ts';

/** In the order of container/engine/kernels/loss.ts. */
export const lossKinds: readonly Loss[] = ['softmaxCrossEntropy', 'sigmoidCrossEntropy', 'meanSquaredError'];
