/**
 * Everything that can happen to anyone at any moment: (who) x (what) x (when). The whole of it is `npm run chaos:all`; the
 * ordinary tests take one in five, so chosen that every pair of who and what, and every moment, is among them.
 */
import { type Course, checkpointEvery, totalSteps } from './support.ts';

export const whos = ['worker 1', 'leader', 'parameter-server 0', 'all'] as const;
export const whats = ['kill', 'pause', 'interrupt'] as const;
export const moments = [
  'the first step',
  'the middle of an epoch',
  'a checkpoint',
  'the last step',
  'another recovery',
] as const;

export interface Cell {
  readonly who: (typeof whos)[number];
  readonly what: (typeof whats)[number];
  readonly when: (typeof moments)[number];
  /** Also among the ordinary tests. */
  readonly ordinary: boolean;
}

export const matrix: readonly Cell[] = whos.flatMap((who, i) =>
  whats.flatMap((what, j) =>
    moments.map((when, k) => ({ who, what, when, ordinary: (i * whats.length + j) % moments.length === k })),
  ),
);

const atStep: { readonly [M in Cell['when']]: number } = {
  'the first step': 1,
  'the middle of an epoch': 27,
  // Just after the state of this step was handed over to be saved.
  'a checkpoint': 2 * checkpointEvery,
  'the last step': totalSteps - 1,
  // The one that dies before cannot have been replaced yet: a process takes longer to start than a step.
  'another recovery': 15,
};

export function courseOf({ who, what, when }: Cell): Course {
  const before = when === 'another recovery' ? ['kill worker 2 at step 14'] : [];
  // Longer than anybody is waited for; all at once may be short, for nobody is there to miss them.
  const time = what === 'pause' ? ` for ${who === 'all' ? '1500ms' : '4s'}` : '';
  return {
    workers: '1:3',
    servers: who === 'parameter-server 0' ? 1 : 0,
    chaos: [...before, `${what} ${who} at step ${atStep[when]}${time}`],
  };
}
