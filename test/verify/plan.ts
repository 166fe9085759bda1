/** What `npm run verify:aws` does on a real account, in order, and what that should cost: data only, nothing is run here. */
import { priceTable, taskHourUsd } from '../../core/price.ts';

export interface VerifyRun {
  readonly name: string;
  readonly launch: 'fargate' | 'fargate-spot';
  /** Long enough to be struck in the middle. */
  readonly epochs: number;
  /** One of its tasks is stopped while it trains. */
  readonly struck: boolean;
}

export const runs: readonly VerifyRun[] = [
  { name: 'verify-fargate', launch: 'fargate', epochs: 5, struck: false },
  { name: 'verify-spot', launch: 'fargate-spot', epochs: 1000, struck: true },
];
const workers = 2;
const size = { cpu: 1024, memoryMiB: 2048 };
/** After which a run counts as hung; its config ends it before. */
export const runMinutes = 20;

export const configOf = ({ name, launch, epochs }: VerifyRun): string => `version: 1
name: ${name}
data: { source: digits }
network:
  layers:
    - dense: { units: 128, activation: relu }
    - dense: { units: 10, activation: softmax }
training: { epochs: ${epochs}, learningRate: 0.005 }
cluster: { launch: ${launch}, workers: ${workers}, worker: { cpu: ${size.cpu}, memoryMiB: ${size.memoryMiB} } }
limits: { maxDuration: ${runMinutes - 2}m, maxCostUsd: 1 }
`;

/** List prices of us-east-1 on the date of the price table; a public address per task and hour. */
const addressHourUsd = 0.005;
const dashboardMonthUsd = 3;
const alarmMonthUsd = 0.1;
const alarms = 4;
const monthHours = 730;
/** The stack stands for about this long. */
const stackHours = 1.5;

export interface CostItem {
  readonly what: string;
  readonly usd: number;
}

/** The most that it should cost: every run takes all of its time. */
export function estimate(): readonly CostItem[] {
  const hours = runMinutes / 60;
  return [
    ...runs.map(({ name, launch }) => ({
      what: `${name}: ${workers} tasks on ${launch} for ${runMinutes} minutes, with addresses`,
      usd: workers * hours * (taskHourUsd(launch, size) + addressHourUsd),
    })),
    { what: 'workflow, some 200 transitions', usd: 200 * priceTable.transitionUsd },
    {
      what: `dashboard and ${alarms} alarms for ${stackHours} hours`,
      usd: ((dashboardMonthUsd + alarms * alarmMonthUsd) * stackHours) / monthHours,
    },
    { what: 'functions, table, bucket, logs, image', usd: 0.02 },
  ];
}

export const totalUsd = (items: readonly CostItem[]): number => items.reduce((sum, { usd }) => sum + usd, 0);
