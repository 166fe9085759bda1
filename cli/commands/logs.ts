import { usageError } from '../output.ts';
export async function logs(..._: readonly unknown[]): Promise<never> {
  throw usageError('logs is not there yet');
}
