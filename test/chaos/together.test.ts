/** P3, P6: what goes together is recovered from together, what left with notice is nobody's failure, and budgets end it. */
import { expect, test } from 'vitest';
import type { RunResult } from '../../core/result.ts';
import { disturbed, expected, inLab, text } from './support.ts';

test('two of three workers killed at once: no step is lost, and it is one recovery', async () => {
  const wanted = await expected();
  const chaos = ['kill worker 1 at step 15', 'kill worker 2 at step 15'];
  const { result, events } = await disturbed({ workers: '1:3', chaos });
  expect(result.weightsDigest).toBe(wanted.weightsDigest);
  expect(result).toMatchObject({ lostSteps: 0, recoveries: 1, dataExactlyOnce: true });
  expect(events.filter(({ event }) => event === 'task.lost')).toHaveLength(2);
}, 60_000);

test('the leader and a parameter server killed at once: no step is lost', async () => {
  const wanted = await expected();
  const chaos = ['kill leader at step 15', 'kill parameter-server 0 at step 15'];
  const { result } = await disturbed({ workers: '1:3', servers: 2, chaos });
  expect(result.weightsDigest).toBe(wanted.weightsDigest);
  expect(result).toMatchObject({ lostSteps: 0, dataExactlyOnce: true });
}, 60_000);

const strict = text.replace(/recovery: \{.*\}/, 'recovery: {maxRecoveries: 0}');

test('an interruption with notice spends no recovery, and its place is filled at once', async () => {
  const wanted = await expected();
  const result = await inLab((lab) =>
    lab.train(lab.config('strict', strict), '--workers', '1:2', '--chaos', 'interrupt worker 1 at step 15'),
  );
  expect(result.weightsDigest).toBe(wanted.weightsDigest);
  expect(result).toMatchObject({ status: 'succeeded', lostSteps: 0 });
}, 60_000);

test('a loss beyond the budget ends the run, says why, and keeps where it was', async () => {
  await inLab(async (lab) => {
    const config = lab.config('strict', strict);
    const ended = await lab.run(['train', config, '--json', '--workers', '1:2', '--chaos', 'kill worker 1 at step 15']);
    expect(ended.code, ended.stderr).toBe(1);
    const result = JSON.parse(ended.stdout) as RunResult;
    expect(result.failure).toMatchObject({ kind: 'BudgetExhausted', budget: 'recoveries', spent: 1, limit: 0 });
    expect(ended.stderr).toMatch(/budget for recoveries is used up \(1 of 0\); last cause: worker\/1 was lost/);
    const status = JSON.parse((await lab.run(['status', result.runId, '--json'])).stdout);
    expect(status.checkpoint.step).toBeGreaterThanOrEqual(15);
    expect(lab.leftovers()).toEqual([]);
  });
}, 60_000);
