import { usageError } from '../output.ts';
export async function status(..._: readonly unknown[]): Promise<never> {
  throw usageError('status is not there yet');
}
