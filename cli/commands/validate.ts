import { usageError } from '../output.ts';
export async function validate(..._: readonly unknown[]): Promise<never> {
  throw usageError('validate is not there yet');
}
