import { usageError } from '../output.ts';
export async function cancel(..._: readonly unknown[]): Promise<never> {
  throw usageError('cancel is not there yet');
}
