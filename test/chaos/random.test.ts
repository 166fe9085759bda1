/** Random faults in real runs. CHAOS_SEED and CHAOS_RUNS choose which; a failing one says how to see it again. */
import { describe, expect, test } from 'vitest';
import { uniform } from '../../core/random.ts';
import { type Course, disturbed, expected, totalSteps } from './support.ts';

const firstSeed = Number(process.env.CHAOS_SEED ?? 1);
const runs = Number(process.env.CHAOS_RUNS ?? (process.env.CHAOS === 'all' ? 12 : 3));

function courseFrom(seed: number): Course {
  let draws = 0;
  const pick = (below: number): number => {
    draws += 1;
    return Math.floor(uniform(seed, draws) * below);
  };
  const workers = 2 + pick(3);
  const servers = pick(3);
  const chaos = Array.from({ length: 1 + pick(4) }, () => {
    const what = ['kill', 'kill', 'interrupt', 'pause'][pick(4)] as string;
    const whos = [
      `worker ${pick(workers)}`,
      `worker ${pick(workers)}`,
      'leader',
      'all',
      ...(servers > 0 ? [`parameter-server ${pick(servers)}`] : []),
    ];
    const time = what === 'pause' ? ` for ${200 + pick(1500)}ms` : '';
    return `${what} ${whos[pick(whos.length)]} at step ${1 + pick(totalSteps - 1)}${time}`;
  });
  return { workers: `1:${workers}`, servers, chaos };
}

describe.concurrent('random faults', () => {
  for (let seed = firstSeed; seed < firstSeed + runs; seed += 1) {
    const course = courseFrom(seed);
    const what = `${course.workers} workers, ${course.servers} servers: ${course.chaos.join('; ')}`;
    test(`CHAOS_SEED=${seed} CHAOS_RUNS=1 (${what})`, async () => {
      const wanted = await expected();
      const { result, leftovers } = await disturbed(course);
      expect(result.weightsDigest).toBe(wanted.weightsDigest);
      expect(result).toMatchObject({
        status: 'succeeded',
        steps: totalSteps,
        metrics: wanted.metrics,
        dataExactlyOnce: true,
      });
      expect(leftovers).toEqual([]);
    }, 120_000);
  }
});
