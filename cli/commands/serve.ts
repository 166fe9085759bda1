import { usageError } from '../output.ts';
export async function serve(..._: readonly unknown[]): Promise<never> {
  throw usageError('serve is not there yet');
}
