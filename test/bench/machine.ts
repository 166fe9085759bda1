/** The machine that was measured, and the table that is printed. */
import { existsSync, readFileSync } from 'node:fs';
import { cpus, loadavg, release, totalmem } from 'node:os';
import type { Summary } from './measures.ts';

export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryGiB: number;
  readonly system: string;
  readonly node: string;
  readonly loadAtStart: number;
}

export function describeMachine(): Machine {
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

/**
 * Linux only: call it, and later what it answers, for the share of all processor time in between that other virtual
 * machines had while this one wanted it.
 */
export function stolenShare(): () => number | undefined {
  const before = processorTimes();
  return () => {
    const after = processorTimes();
    if (before === undefined || after === undefined || after.all === before.all) return undefined;
    return (after.stolen - before.stolen) / (after.all - before.all);
  };
}

/** In ticks, of all processors: user, nice, system, idle, iowait, irq, softirq, steal. */
function processorTimes(): { readonly all: number; readonly stolen: number } | undefined {
  if (!existsSync('/proc/stat')) return undefined;
  const [line = ''] = readFileSync('/proc/stat', 'utf8').split('\n', 1);
  const times = line.trim().split(/\s+/).slice(1, 9).map(Number);
  return { all: times.reduce((sum, ticks) => sum + ticks, 0), stolen: times[7] ?? 0 };
}

export function table(machine: Machine, notes: readonly string[], groups: readonly (readonly Summary[])[]): string {
  const width = Math.max(...groups.flat().map((row) => row.name.length), 10);
  const line = (name: string, cells: readonly string[]): string =>
    `${name.padEnd(width)}  ${cells.map((cell) => cell.padStart(12)).join('')}`;
  return [
    `${machine.cpu}, ${machine.cores} cores, ${machine.memoryGiB} GiB, ${machine.system}, Node ${machine.node}`,
    ...notes,
    '',
    line('', ['median', 'least', 'greatest', 'unit']),
    ...groups.flatMap((rows) => [
      ...rows.map((row) => line(row.name, [...[row.median, row.min, row.max].map(short), row.unit])),
      '',
    ]),
  ].join('\n');
}

function short(value: number): string {
  if (Math.abs(value) >= 100) return Math.round(value).toLocaleString('en-US');
  return String(Math.round(value * 1000) / 1000);
}
