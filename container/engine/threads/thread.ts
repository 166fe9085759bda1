/**
 * A thread that computes for the one that started it (engine.ts): an engine of its own, with a memory of its own. It holds
 * no state of the training: parameters come with the jobs, and what a job gives depends on nothing else.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { PlanEngine } from '../plan/engine.ts';
import type { Answer, Job, Start } from './jobs.ts';

const { spec, provider, answers, bell } = workerData as Start;
const engine = new PlanEngine(spec, provider);

function work(job: Job): Answer {
  if (job.parameters !== undefined) {
    engine.parameters.set(job.parameters);
    engine.parametersChanged();
  }
  if (job.kind === 'evaluate') return { kind: 'evaluated', pieces: engine.evaluatePieces(job.batch) };
  engine.contributions(job.nodes);
  return { kind: 'done' };
}

function attempt(job: Job): Answer {
  try {
    return work(job);
  } catch (error) {
    if (!(error instanceof Error)) return { kind: 'failed', message: String(error) };
    return { kind: 'failed', message: error.message, ...(error.stack === undefined ? {} : { stack: error.stack }) };
  }
}

parentPort?.on('message', (job: Job) => {
  answers.postMessage(attempt(job));
  Atomics.add(bell, 0, 1);
  Atomics.notify(bell, 0);
});
// The first message says that it can be given work.
parentPort?.postMessage(undefined);
