import { usageError } from '../output.ts';
export async function train(..._: readonly unknown[]): Promise<never> {
  throw usageError('train is not there yet');
}
