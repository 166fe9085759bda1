/** One way to say that data is not what it should be: which file, which value, what is expected. */
import { CuttlefishError } from '../failure.ts';

export function dataInvalid(source: string, message: string): CuttlefishError {
  return new CuttlefishError({ kind: 'DataInvalid', source, message });
}

/** `a, b and 3 more`, for messages that list what was found. */
export function listSome(names: readonly string[], limit = 8): string {
  if (names.length === 0) return 'nothing';
  const shown = names.slice(0, limit).map((name) => `"${name}"`);
  return names.length > limit ? `${shown.join(', ')} and ${names.length - limit} more` : shown.join(', ');
}
