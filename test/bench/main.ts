/** `npm run bench`: what runs, with what data, and the table. Built and started by tools/bench.mjs. */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, loadavg, release, tmpdir, totalmem } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { readDataFile } from '../../cloud/read-data.ts';
import { generateDigits } from '../../core/data/digits.ts';
import { parseIdxImages, parseIdxLabels } from '../../core/data/idx.ts';
import { findIdxFiles } from '../../core/data/idx-files.ts';
import { drive } from './drive.ts';
import { type Measure, measure, type Summary, summarise } from './measures.ts';
import { measurePeer } from './peer.ts';

const usage = 'npm run bench -- [--json] [--data DIR] [--repeats N] [--epochs N] [--only w1,w2,kill,peer]';
const batchSize = 128;
const parts = ['w1', 'w2', 'kill', 'peer'] as const;
type Part = (typeof parts)[number];
/** What a run in which a worker is killed says that the others do not. */
const ofKill = /kill|transitions/;
const runTimeoutMs = 600_000;

export async function main(root: string, argv: readonly string[]): Promise<void> {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      json: { type: 'boolean', default: false },
      data: { type: 'string' },
      repeats: { type: 'string', default: '3' },
      epochs: { type: 'string', default: '3' },
      only: { type: 'string', default: parts.join(',') },
    },
  });
  const repeats = wholeNumber('--repeats', values.repeats, 1);
  // The first epoch warms up.
  const epochs = wholeNumber('--epochs', values.epochs, 2);
  const only = values.only.split(',');
  const unknown = only.find((part) => !parts.includes(part as Part));
  if (unknown !== undefined)
    throw new Error(`"${unknown}" is no part of the bench; expected ${parts.join(', ')}. ${usage}`);

  const folder = mkdtempSync(join(tmpdir(), 'cuttlefish-bench-data-'));
  try {
    const data = await prepareData(folder, values.data);
    const config = join(folder, 'bench.yaml');
    writeFileSync(config, configText(data, epochs));
    const machine = describeMachine();
    const stepsPerEpoch = Math.ceil(data.samples / batchSize);
    const killAt = stepsPerEpoch + Math.round(stepsPerEpoch / 2);
    const runs: readonly { part: Part; label: string; arguments: readonly string[] }[] = [
      { part: 'w1', label: '1 worker', arguments: ['--workers', '1'] },
      { part: 'w2', label: '2 workers', arguments: ['--workers', '2'] },
      {
        part: 'kill',
        label: '2 workers, one killed',
        arguments: ['--workers', '1:2', '--chaos', `kill worker 1 at step ${killAt}`],
      },
    ];
    const measures: Measure[] = [];
    const digests = new Set<string>();
    // Repeats in alternation: what drifts on the machine drifts for all of them.
    for (let repeat = 0; repeat < repeats; repeat += 1) {
      for (const { part, label, arguments: args } of runs.filter((run) => only.includes(run.part))) {
        process.stderr.write(`${label}, ${repeat + 1} of ${repeats}\n`);
        const command = join(root, 'dist/cli/main.js');
        const samples = await drive({ command, config, arguments: args, batchSize, timeoutMs: runTimeoutMs });
        measures.push(
          ...measure(label, samples).filter(({ name }) => part !== 'kill' || ofKill.test(name.slice(label.length))),
        );
        if (samples.result.weightsDigest !== undefined) digests.add(samples.result.weightsDigest);
      }
    }
    if (only.includes('peer')) process.stderr.write('PyTorch\n');
    const peer = only.includes('peer')
      ? await measurePeer({
          script: join(root, 'test/bench/peer_ddp.py'),
          dataPath: data.rawPath,
          samples: data.samples,
          batchSize,
          epochs,
          repeats,
        })
      : ({ kind: 'skipped', why: 'not asked for' } as const);
    const rows = summarise([...measures, ...(peer.kind === 'measured' ? peer.measures : [])]);
    const notes = [
      `network 784-128-128-10, batch ${batchSize}, adam, ${epochs} epochs of ${data.samples} samples (${data.name})`,
      ...(digests.size > 1 ? [`the runs ended with ${digests.size} different weights; expected the same in all`] : []),
      ...(digests.size === 1 ? [`all runs ended with the same weights: ${[...digests][0]}`] : []),
      ...(machine.loadAtStart > 0.5 ? [`the machine was busy at the start (load ${machine.loadAtStart})`] : []),
      peer.kind === 'measured' ? `PyTorch ${peer.version}` : `peer skipped: ${peer.why}`,
    ];
    const report = { schema: 1, at: new Date().toISOString(), machine, repeats, notes, measures: rows };
    process.stdout.write(values.json ? `${JSON.stringify(report, null, 2)}\n` : table(report.machine, notes, rows));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

interface BenchData {
  readonly name: string;
  readonly samples: number;
  /** Training pixels, then labels, for the peer. */
  readonly rawPath: string;
  /** The `data` block of the config. */
  readonly block: string;
}

async function prepareData(folder: string, path: string | undefined): Promise<BenchData> {
  const rawPath = join(folder, 'train.raw');
  if (path === undefined) {
    const samples = 20_000;
    const { pixels, labels } = generateDigits(1, 'train', samples, 0.2);
    writeFileSync(rawPath, Buffer.concat([pixels, labels]));
    const block = `  source: digits\n  samples: ${samples}\n  testSamples: 2000\n`;
    return { name: 'drawn digits; give MNIST with --data DIR', samples, rawPath, block };
  }
  const datasets = {
    read: async (uri: string) => (existsSync(uri) ? new Uint8Array(readFileSync(uri)) : undefined),
    list: async () => undefined,
  };
  const files = findIdxFiles(path, existsSync(path) ? readdirSync(path) : undefined, true);
  const imagesPath = join(path, files.trainImages);
  const labelsPath = join(path, files.trainLabels);
  const images = parseIdxImages(imagesPath, await readDataFile(datasets, imagesPath));
  const labels = parseIdxLabels(labelsPath, await readDataFile(datasets, labelsPath), 10);
  writeFileSync(rawPath, Buffer.concat([images.pixels, labels]));
  const block = `  source: mnist\n  path: ${JSON.stringify(path)}\n`;
  return { name: 'MNIST', samples: images.count, rawPath, block };
}

function configText(data: BenchData, epochs: number): string {
  return `version: 1
name: bench
data:
${data.block}network:
  layers:
    - dense: { units: 128, activation: relu }
    - dense: { units: 128, activation: relu }
    - dense: { units: 10, activation: softmax }
training:
  epochs: ${epochs}
  batchSize: ${batchSize}
  optimizer: adam
  learningRate: 0.001
`;
}

function describeMachine() {
  const processors = cpus();
  return {
    cpu: processors[0]?.model ?? 'unknown',
    cores: processors.length,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    system: `${process.platform} ${release()} ${process.arch}`,
    node: process.version,
    loadAtStart: Math.round((loadavg()[0] ?? 0) * 100) / 100,
  };
}

function table(
  machine: ReturnType<typeof describeMachine>,
  notes: readonly string[],
  rows: readonly Summary[],
): string {
  const width = Math.max(...rows.map((row) => row.name.length), 10);
  const line = (name: string, cells: readonly string[]): string =>
    `${name.padEnd(width)}  ${cells.map((cell) => cell.padStart(12)).join('')}`;
  return [
    `${machine.cpu}, ${machine.cores} cores, ${machine.memoryGiB} GiB, ${machine.system}, Node ${machine.node}`,
    ...notes,
    '',
    line('', ['median', 'least', 'greatest', 'unit']),
    ...rows.map((row) => line(row.name, [...[row.median, row.min, row.max].map(short), row.unit])),
    '',
  ].join('\n');
}

function short(value: number): string {
  if (Math.abs(value) >= 100) return Math.round(value).toLocaleString('en-US');
  return String(Math.round(value * 100) / 100);
}

function wholeNumber(name: string, text: string, least: number): number {
  const value = Number(text);
  if (Number.isInteger(value) && value >= least) return value;
  throw new Error(`${name} is "${text}"; expected a whole number from ${least} on. ${usage}`);
}
