/**
 * Functions that die between any two of their effects, as a Lambda does that is killed: what was written stays, what comes
 * after is not done, and the caller sees an error of the Lambda service.
 *
 * Invariants
 *  CR1 Every effect of every call passes here and has a number; reading is no effect.
 *  CR2 A dead call has no further effect, also of what it had begun beside.
 */
import type { Cloud } from '../../cloud/ports.ts';
import type { CloudFunction } from '../../functions/boundary.ts';

/** What each port does to the world. */
const effectsOf: { readonly [P in keyof Cloud]?: readonly string[] } = {
  objects: ['put', 'delete'],
  table: ['put', 'delete'],
  tasks: ['launch', 'stop'],
  scaling: ['setFloor'],
  workflow: ['start', 'stop', 'succeedTask'],
  notices: ['publish'],
};

/** As Lambda tells of a process that is gone; Step Functions passes one or the other on. */
const names = ['Lambda.Unknown', 'Runtime.ExitError'] as const;

export class Crash extends Error {}

export interface Crashes {
  /** What was done, or would have been done by the call that died, in order: `decide table.put run`. */
  readonly effects: readonly string[];
  readonly struck: number;
  wrap(name: string, run: CloudFunction): CloudFunction;
}

/** `strike` is asked before each effect. */
export function createCrashes(strike: (effect: number) => boolean): Crashes {
  const effects: string[] = [];
  let struck = 0;
  return {
    effects,
    get struck() {
      return struck;
    },
    wrap: (name, run) => async (input, cloud) => {
      let dead = false;
      const before = (what: string): void => {
        if (!dead && strike(effects.push(`${name} ${what}`) - 1)) {
          dead = true;
          struck += 1;
        }
        if (dead) throw new Crash(what);
      };
      try {
        const output = await run(input, watched(cloud, before));
        if (!dead) return output;
      } catch (thrown) {
        if (!dead) throw thrown;
      }
      const error = new Crash(`RequestId: ${struck} Error: Runtime exited with error: signal: killed`);
      error.name = names[struck % names.length] ?? names[0];
      throw error;
    },
  };
}

function watched(cloud: Cloud, before: (what: string) => void): Cloud {
  const ports = Object.entries(effectsOf).map(([port, operations]) => {
    const real = cloud[port as keyof Cloud] as unknown as Record<string, (...args: unknown[]) => unknown>;
    const guarded = operations.map((operation) => [
      operation,
      async (...args: unknown[]) => {
        before(`${port}.${operation} ${String(args[port === 'table' ? 1 : 0])}`);
        return real[operation]?.(...args);
      },
    ]);
    return [port, { ...real, ...Object.fromEntries(guarded) }];
  });
  return { ...cloud, ...Object.fromEntries(ports) } as Cloud;
}
