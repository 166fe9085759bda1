import { usageError } from '../output.ts';
export async function resume(..._: readonly unknown[]): Promise<never> {
  throw usageError('resume is not there yet');
}
