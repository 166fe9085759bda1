/** P3: workers that keep dying. Four of them, one killed every two seconds for the whole run; no step is lost. */
import { expect, test } from 'vitest';
import type { RunResult } from '../../core/result.ts';
import { small } from '../e2e/harness.ts';
import { inLab, stepsTold, trainingPids } from './support.ts';

const everyMs = 2000;
/** 400 steps of at least 30 ms: twelve seconds. */
const text = small({
  name: 'churn',
  samples: 1280,
  epochs: 20,
  pace: '30ms',
  everySteps: 100,
  more: 'recovery: {maxRecoveries: 60, maxLaunches: 80}\n',
});

test('four workers, one killed every two seconds: no step is lost, the weights are the same bits', async () => {
  const quick = text.replace('pace: 30ms', 'pace: 0s');
  const undisturbed = await inLab((lab) => lab.train(lab.config('churn', quick), '--workers', '1:1'));
  const { result, kills } = await inLab(async (lab) => {
    const running = lab.start(['train', lab.config('churn', text), '--workers', '1:4', '--json'], stepsTold);
    let count = 0;
    const killing = setInterval(() => {
      // The only one that has the state is spared, whoever else is starting: it must survive for nothing to be lost.
      const pids = trainingPids(lab);
      const victim = pids[count % Math.max(1, pids.length)];
      if (victim === undefined || pids.length < 2) return;
      process.kill(victim, 'SIGKILL');
      count += 1;
    }, everyMs);
    const ended = await running.ended;
    clearInterval(killing);
    expect(ended.code, ended.stderr).toBe(0);
    return { result: JSON.parse(ended.stdout) as RunResult, kills: count };
  });
  expect(kills).toBeGreaterThanOrEqual(5);
  expect(result.weightsDigest).toBe(undisturbed.weightsDigest);
  expect(result.metrics).toEqual(undisturbed.metrics);
  expect(result).toMatchObject({ lostSteps: 0, dataExactlyOnce: true });
  expect(result.recoveries).toBeGreaterThanOrEqual(kills - 1);
  expect(result.goodput).toBeGreaterThan(0.5);
}, 120_000);
