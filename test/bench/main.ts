/** `npm run bench`: reads the options, runs the scenarios in turns, prints the table. Built and started by tools/bench.mjs. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { describeMachine, stolenShare, table } from './machine.ts';
import { nativeMissing } from './machine-limits.ts';
import { type Measure, ratios, type Summary, summarise } from './measures.ts';
import { findPeer } from './peer.ts';
import { type Bench, differing, type Part } from './scenario.ts';
import { type PartName, parts } from './scenarios.ts';
import { prepareData } from './workloads.ts';

const names = Object.keys(parts) as PartName[];
const usage = `npm run bench -- [--json] [--data DIR] [--repeats N] [--only ${names.join(',')}] [--no-peer]`;

export async function main(root: string, argv: readonly string[]): Promise<void> {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      json: { type: 'boolean', default: false },
      data: { type: 'string' },
      repeats: { type: 'string', default: '3' },
      only: { type: 'string', default: names.join(',') },
      'no-peer': { type: 'boolean', default: false },
    },
  });
  const repeats = wholeNumber('--repeats', values.repeats, 1);
  const only = values.only.split(',');
  const unknown = only.find((part) => !names.includes(part as PartName));
  if (unknown !== undefined)
    throw new Error(`"${unknown}" is no part of the bench; expected ${names.join(', ')}. ${usage}`);

  const folder = mkdtempSync(join(tmpdir(), 'cuttlefish-bench-data-'));
  try {
    const machine = describeMachine();
    const data = await prepareData(folder, values.data);
    const peer = values['no-peer'] ? ({ kind: 'absent', why: 'not asked for' } as const) : findPeer(root);
    const bench: Bench = { root, folder, data, peer, nativeMissing: await nativeMissing(root) };
    const chosen: readonly Part[] = names.filter((name) => only.includes(name)).map((name) => parts[name]);
    const measures = await runAll(bench, chosen, repeats);
    const rows = summarise(measures);
    const compared = summarise(
      ratios(
        chosen.flatMap((part) => part.ratios ?? []),
        rows,
      ),
    );
    const notes = [
      ...chosen.map(({ about }) => about),
      `data: ${data.name}, ${data.samples} samples`,
      ...(machine.loadAtStart > 0.5 ? [`the machine was busy at the start (load ${machine.loadAtStart})`] : []),
      ...disturbed(rows),
      ...(bench.nativeMissing === '' ? [] : [`engine native skipped: ${bench.nativeMissing}`]),
      ...(differing().length > 0 ? ['equal configs ended with different weights; expected the same'] : []),
      peer.kind === 'found' ? `PyTorch ${peer.version}` : `peer skipped: ${peer.why}`,
    ];
    const report = { schema: 2, at: new Date().toISOString(), machine, repeats, notes, measures: rows, compared };
    process.stdout.write(
      values.json ? `${JSON.stringify(report, null, 2)}\n` : table(machine, notes, [rows, compared]),
    );
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function runAll(bench: Bench, chosen: readonly Part[], repeats: number): Promise<Measure[]> {
  const measures: Measure[] = [];
  for (let repeat = 0; repeat < repeats; repeat += 1) {
    for (const { label, most = repeats, run } of chosen.flatMap(({ scenarios }) => scenarios)) {
      if (repeat >= most) continue;
      process.stderr.write(`${label}, ${repeat + 1} of ${Math.min(most, repeats)}\n`);
      const stolen = stolenShare();
      measures.push(...(await run(bench)));
      const share = stolen();
      if (share !== undefined) measures.push({ name: `${label}: ${stolenName}`, unit: '%', value: share * 100 });
    }
  }
  return measures;
}

const stolenName = 'taken from this machine by others';
/** Percent; from here on a time says more about the neighbours. */
const muchStolen = 5;

function disturbed(rows: readonly Summary[]): string[] {
  const worst = Math.max(...rows.flatMap(({ name, max }) => (name.endsWith(stolenName) ? [max] : [])));
  const how = `of the machine's processors other machines took up to ${Math.round(worst)} %`;
  return worst > muchStolen ? [`${how}: compare by processor time, or measure again`] : [];
}

function wholeNumber(name: string, text: string, least: number): number {
  const value = Number(text);
  if (Number.isInteger(value) && value >= least) return value;
  throw new Error(`${name} is "${text}"; expected a whole number from ${least} on. ${usage}`);
}
