/** The journal's file: torn ends, damage, a disk that refuses. */
import { appendFileSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { openJournal, readJournal } from '../../../cloud/embedded/asl/journal.ts';
import { historyOf, journalPath, machine, openHost, temporaryFolder } from './machine.ts';

const started = { id: 1, at: 5, type: 'ExecutionStarted', flow: '', input: {} };
const entered = { id: 2, at: 6, type: 'PassStateEntered', flow: '', state: 'A', input: {} };

test('what was written half is cut off, and the next record follows what is whole', () => {
  const path = join(temporaryFolder(), 'journal.jsonl');
  writeFileSync(path, `${JSON.stringify(started)}\n{"id":2,"at":6,"ty`);
  const journal = openJournal(path);
  expect(journal.history.summary.events).toBe(1);
  journal.append(entered);
  journal.close();
  expect(readFileSync(path, 'utf8')).toBe(`${JSON.stringify(started)}\n${JSON.stringify(entered)}\n`);
});

test.each([
  ['no JSON', 'nonsense\n'],
  ['zeros, as after a power cut', '\0\0\0\0\n'],
  ['a number that does not follow', `${JSON.stringify({ ...entered, id: 7 })}\n`],
  ['no record', '17\n'],
])('reading ends at %s', (_what, damage) => {
  const path = join(temporaryFolder(), 'journal.jsonl');
  writeFileSync(path, `${JSON.stringify(started)}\n`);
  appendFileSync(path, `${damage}${JSON.stringify(entered)}\n`);
  expect(readJournal(path).records).toEqual([started]);
});

test('an append that the system refuses is StorageFailed, and nothing is appended after it', () => {
  const path = join(temporaryFolder(), 'journal.jsonl');
  const journal = openJournal(path);
  journal.append(started);
  journal.close();
  expect(() => journal.append(entered)).toThrow(/could not store the journal .*: EBADF/);
  expect(() => journal.append(entered)).toThrow(/could not store the journal/);
  expect(journal.history.summary.events).toBe(1);
});

test('an execution whose journal is damaged in the middle goes on from before the damage', async () => {
  const text = machine(
    '\n  A: {Type: Pass, Assign: {x: 1}, Next: B}\n  B: {Type: Pass, Output: "{% $x + 1 %}", End: true}\n',
  );
  const host = openHost(text);
  await host.start('test', {});
  await host.wait('test');
  await host.close();
  const path = journalPath(host.stateDir, 'test');
  const lines = readFileSync(path, 'utf8').split('\n');
  writeFileSync(path, [...lines.slice(0, 3), 'damaged', ...lines.slice(4)].join('\n'));
  const next = openHost(text, { stateDir: host.stateDir });
  await next.resumeAll();
  expect(await next.wait('test')).toMatchObject({ status: 'SUCCEEDED', output: 2, events: 6 });
  await next.close();
  expect(historyOf(host.stateDir, 'test').types.length).toBe(6);
});
