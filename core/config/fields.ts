/** The kinds of field that several blocks of the config share. `accepted` is what an error message says would be taken. */
import * as z from 'zod';
import { formatDuration, parseDuration } from './duration.ts';

export function whole(min: number, max: number, description: string) {
  return z.int().min(min).max(max).meta({ description });
}

export function number(min: number, max: number, description: string) {
  return z.number().min(min).max(max).meta({ description });
}

export function oneOf<const T extends readonly string[]>(values: T, description: string) {
  return z.enum(values).meta({ description });
}

export function flag(description: string) {
  return z.boolean().meta({ description });
}

/** Written as `90s`, kept as milliseconds. */
export function duration(minMs: number, maxMs: number, description: string) {
  const accepted = `a duration from ${formatDuration(minMs)} to ${formatDuration(maxMs)}, such as 500ms, 90s, 2m or 1h`;
  return z
    .string()
    .meta({ description, accepted })
    .transform((text, context) => {
      const ms = parseDuration(text);
      if (ms === undefined) {
        context.addIssue({ code: 'custom', message: `"${text.slice(0, 40)}" is not a duration`, params: { accepted } });
        return z.NEVER;
      }
      if (ms < minMs || ms > maxMs) {
        const wrong = ms < minMs ? 'too short' : 'too long';
        context.addIssue({ code: 'custom', message: `"${text}" is ${wrong}`, params: { accepted } });
        return z.NEVER;
      }
      return ms;
    });
}

/** A path or URI: printable, bounded, not empty. */
export function location(description: string, accepted: string) {
  return z.string().min(1).max(1024).meta({ description, accepted });
}

/** `3` or `[3, 3]`; kept as a pair. */
export function pair(min: number, max: number, description: string) {
  const side = z.int().min(min).max(max);
  const accepted = `a whole number from ${min} to ${max}, or two of them, as in [3, 3]`;
  return z
    .union([side, z.tuple([side, side])])
    .meta({ description, accepted })
    .transform((value): readonly [number, number] => (typeof value === 'number' ? [value, value] : value));
}
