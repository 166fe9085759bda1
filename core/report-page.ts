/**
 * report.html: one page that explains a run, with nothing to load from anywhere. Opens from a folder, from a bucket and
 * from a mail attachment; readable without the curve and without colour.
 *
 * Invariants
 *  RH1 Every text that comes from the run is escaped; there is no script in the page.
 */
import { formatCount } from './format-count.ts';
import type { RunPlan } from './plan.ts';
import type { RunResult } from './result.ts';
import type { EpochRow, EventRow } from './run.ts';

export interface ReportInput {
  readonly result: RunResult;
  readonly name: string;
  readonly plan?: RunPlan;
  readonly epochs: readonly EpochRow[];
  readonly events: readonly EventRow[];
}

const style = `
:root { color-scheme: light dark; --line: #8884; --loss: #c2410c; --accuracy: #0369a1 }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
h1 { margin-bottom: 0 } h2 { margin-top: 2rem }
table { border-collapse: collapse; width: 100% } th, td { text-align: left; padding: .25rem .75rem .25rem 0; border-bottom: 1px solid var(--line); vertical-align: top }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums }
svg { width: 100%; height: auto } svg text { font-size: 12px; fill: currentColor }
pre { white-space: pre-wrap; border-left: 3px solid var(--loss); padding-left: 1rem }
code { overflow-wrap: anywhere }`;

export function reportHtml(input: ReportInput): string {
  const { result, name, plan, epochs, events } = input;
  const { failure } = result;
  return `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>${escaped(name)}: ${result.status}</title><style>${style}</style></head>
<body>
<h1>${escaped(name)}</h1>
<p><code>${escaped(result.runId)}</code>: <strong>${result.status}</strong></p>
${failure === undefined ? '' : `<pre>${escaped(`${failure.kind}: ${failure.message ?? ''}`)}</pre>`}
${table([], summary(input))}
${epochs.length === 0 ? '' : `<h2>Epochs</h2>\n${curve(epochs)}\n${epochTable(epochs)}`}
${plan === undefined ? '' : `<h2>Plan</h2>\n${table([], planRows(plan))}`}
<h2>Events</h2>
${eventTable(events)}
</body>
</html>
`;
}

function summary(input: ReportInput): [string, string][] {
  const { result } = input;
  const { metrics, artifacts } = result;
  return [
    ['Accuracy', metrics.accuracy === undefined ? '-' : `${(metrics.accuracy * 100).toFixed(2)} %`],
    ['Loss', metrics.loss === undefined ? '-' : fixed(metrics.loss)],
    ['Trained', `${result.epochs} epochs, ${result.steps} steps`],
    ['Duration', duration(result.durationMs)],
    ['Goodput', `${(result.goodput * 100).toFixed(1)} % of the time since the first step`],
    ['Recoveries', `${result.recoveries}, ${result.lostSteps} steps lost, ${result.generations} generations`],
    ['Data', dataText(input)],
    [
      'Cost',
      `${result.receipt.usd.toFixed(4)} USD: ${result.receipt.tasks} tasks, ${Math.round(result.receipt.taskSeconds)} task-seconds, about ${result.receipt.transitions} workflow transitions`,
    ],
    ['Engine', result.engine ?? '-'],
    ['Weights', result.weightsDigest ?? '-'],
    ['Model', artifacts.model ?? '-'],
  ];
}

function dataText({ result: { dataExactlyOnce }, epochs }: ReportInput): string {
  if (dataExactlyOnce === undefined) return '-';
  if (dataExactlyOnce)
    return `each of ${epochs[0]?.samples ?? 0} samples exactly once in each of ${epochs.length} epochs`;
  const bad = epochs.filter((row) => row.dataExactlyOnce !== true).map((row) => row.epoch);
  return `not proved to be used exactly once in epoch ${bad.join(', ')}`;
}

function planRows({ network, training, cluster, data, seed, shape }: RunPlan): [string, string][] {
  const { optimizer } = training;
  const layers =
    network.kind === 'model'
      ? network.uri
      : network.layers
          .map((layer) =>
            'units' in layer
              ? `${layer.kind} ${layer.units}`
              : 'filters' in layer
                ? `${layer.kind} ${layer.filters}`
                : layer.kind,
          )
          .join(', ');
  return [
    ['Network', `${layers} (${formatCount(network.parameters)} parameters)`],
    [
      'Data',
      `${data.source}, ${shape.trainSamples} samples to train, ${shape.validationSamples} to validate, ${shape.testSamples} to test`,
    ],
    [
      'Training',
      `${training.mode}, batch ${training.batchSize} in ${training.shards} shards, ${optimizer.kind}, learning rate ${training.learningRate}, seed ${seed}`,
    ],
    [
      'Cluster',
      `${cluster.launch}, ${cluster.worker.min} to ${cluster.worker.max} workers, ${cluster.parameterServer.max} parameter servers`,
    ],
  ];
}

function epochTable(epochs: readonly EpochRow[]): string {
  return table(
    ['Epoch', 'Step', 'Train loss', 'Loss', 'Accuracy', 'Samples/s', 'Workers'],
    epochs.map((row) => [
      String(row.epoch),
      String(row.step),
      fixed(row.trainLoss),
      fixed(row.loss),
      row.accuracy === undefined ? '-' : fixed(row.accuracy),
      formatCount(row.samplesPerSecond),
      String(row.worldSize),
    ]),
    'n',
  );
}

function eventTable(events: readonly EventRow[]): string {
  const sorted = [...events].sort((a, b) => a.atMs - b.atMs);
  const first = sorted[0]?.atMs ?? 0;
  return table(
    ['After', 'Event', 'By', 'Why'],
    sorted.map((row) => [duration(row.atMs - first), row.event, row.by, row.why ?? '']),
  );
}

const width = 720;
const height = 220;
const left = 48;
const right = width - 48;
const top = 12;
const bottom = height - 28;

/** Loss on the left axis, accuracy on the right one. */
function curve(epochs: readonly EpochRow[]): string {
  const losses = epochs.map((row) => row.loss).filter(Number.isFinite);
  const highest = Math.max(...losses, 1e-9);
  const x = (index: number): number => left + ((right - left) * index) / Math.max(1, epochs.length - 1);
  const y = (share: number): number => bottom - (bottom - top) * Math.min(1, Math.max(0, share));
  const path = (shares: readonly (number | undefined)[]): string =>
    shares
      .flatMap((share, index) =>
        share === undefined || !Number.isFinite(share) ? [] : [`${x(index).toFixed(1)},${y(share).toFixed(1)}`],
      )
      .join(' ');
  const loss = path(epochs.map((row) => row.loss / highest));
  const accuracy = path(epochs.map((row) => row.accuracy));
  return `<svg viewBox="0 0 ${width} ${height}" role="img" aria-label="Loss${accuracy === '' ? '' : ' and accuracy'} by epoch">
<path d="M${left} ${top}V${bottom}H${right}V${top}" fill="none" stroke="var(--line)"/>
<polyline points="${loss}" fill="none" stroke="var(--loss)" stroke-width="2"/>
${accuracy === '' ? '' : `<polyline points="${accuracy}" fill="none" stroke="var(--accuracy)" stroke-width="2" stroke-dasharray="6 3"/>`}
<text x="0" y="${top + 10}">${fixed(highest)}</text><text x="0" y="${bottom}">0</text><text x="0" y="${height - 6}" style="fill:var(--loss)">loss (solid)</text>
${accuracy === '' ? '' : `<text x="${right + 6}" y="${top + 10}">1</text><text x="${right + 6}" y="${bottom}">0</text><text x="${right - 100}" y="${height - 6}" style="fill:var(--accuracy)">accuracy (dashed)</text>`}
</svg>`;
}

function table(head: readonly string[], rows: readonly (readonly string[])[], kind = ''): string {
  const cell = (tag: string, text: string): string =>
    `<${tag}${kind === '' ? '' : ` class="${kind}"`}>${escaped(text)}</${tag}>`;
  const header = head.length === 0 ? '' : `<tr>${head.map((text) => cell('th', text)).join('')}</tr>\n`;
  return `<table>\n${header}${rows.map((row) => `<tr>${row.map((text) => cell('td', text)).join('')}</tr>`).join('\n')}\n</table>`;
}

function fixed(value: number): string {
  return value !== 0 && Math.abs(value) < 0.001 ? value.toExponential(2) : value.toFixed(4);
}

function duration(ms: number): string {
  const seconds = ms / 1000;
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  const minutes = Math.floor(seconds / 60);
  return minutes < 60
    ? `${minutes} min ${Math.round(seconds % 60)} s`
    : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

const entities: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};
function escaped(text: string): string {
  return text.replace(/[&<>"']/g, (character) => entities[character] ?? character);
}
