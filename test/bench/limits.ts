/**
 * One process that computes and nothing else. Started by machine-limits.ts, which tells it what: products for so long, by the
 * clock, as fast as another process beside it lets it; or the rates of everything, in processor time.
 */
import { probe } from '../../container/engine/plan/kernels.ts';
import { largest, product, type Rate, rates, works } from './products.ts';

export type Order =
  | { readonly want: 'rates' }
  | { readonly want: 'products'; readonly forMs: number }
  | { readonly want: 'native' };

export interface Answers {
  rates: readonly Rate[];
  /** Products a second. */
  products: number;
  /** Why it cannot be used, or nothing. */
  native: string;
}

let multiply: (() => void) | undefined;

/** The first engine that works here: `exact` wherever there are fused instructions. */
function productsPerSecond(forMs: number): number {
  multiply ??= product(works()[0] ?? 'portable', largest);
  const begin = performance.now();
  let count = 0;
  for (; performance.now() - begin < forMs; count += 1) multiply();
  return (count * 1000) / (performance.now() - begin);
}

function answer(order: Order): Answers[Order['want']] {
  if (order.want === 'rates') return rates();
  if (order.want === 'products') return productsPerSecond(order.forMs);
  const found = probe('native');
  return found.kind === 'works' ? '' : found.why;
}

process.on('message', (order: Order) => process.send?.(answer(order)));
