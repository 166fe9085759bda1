import { usageError } from '../output.ts';
export async function plan(..._: readonly unknown[]): Promise<never> {
  throw usageError('plan is not there yet');
}
