/**
 * The learning rate of a step, as a pure function of the plan: nothing to store, the same after any resume.
 *
 *   rate(step) = learningRate * factor(step) * min(1, (step + 1) / warmupSteps)
 *
 * with the epoch counted in steps, e = step / stepsPerEpoch:
 *   constant     1
 *   step         factor ^ floor(e / everyEpochs)
 *   exponential  decayPerEpoch ^ e                          smooth, not a staircase
 *   cosine       final + (1 - final) * (1 + cos(pi * t)) / 2,  t from 0 after the warm-up to 1 at the last step
 *                                                           (Loshchilov and Hutter, 2017, without restarts)
 *   piecewise    factors[i], i the number of boundaries that e has reached; with as many factors as boundaries the
 *                factor before the first boundary is 1
 *
 * Invariants
 *  L1  The rate is finite and not negative for every step from 0 on, also beyond totalSteps.
 */
import type { SchedulePlan, TrainingPlan } from './plan.ts';

type Scheduled = Pick<TrainingPlan, 'learningRate' | 'warmupSteps' | 'schedule' | 'stepsPerEpoch' | 'totalSteps'>;

/** Rate for the 0-based `step`. */
export function learningRateAt(training: Scheduled, step: number): number {
  const warmup = step < training.warmupSteps ? (step + 1) / training.warmupSteps : 1;
  return training.learningRate * factorAt(training.schedule, training, step) * warmup;
}

function factorAt(schedule: SchedulePlan, training: Scheduled, step: number): number {
  const epoch = step / training.stepsPerEpoch;
  switch (schedule.kind) {
    case 'constant':
      return 1;
    case 'step':
      return schedule.factor ** Math.floor(epoch / schedule.everyEpochs);
    case 'exponential':
      return schedule.decayPerEpoch ** epoch;
    case 'cosine': {
      const span = Math.max(1, training.totalSteps - 1 - training.warmupSteps);
      const t = Math.min(1, Math.max(0, step - training.warmupSteps) / span);
      return schedule.finalFactor + ((1 - schedule.finalFactor) * (1 + Math.cos(Math.PI * t))) / 2;
    }
    case 'piecewise': {
      const { boundariesEpochs, factors } = schedule;
      const all = factors.length > boundariesEpochs.length ? factors : [1, ...factors];
      const reached = boundariesEpochs.filter((boundary) => step >= boundary * training.stepsPerEpoch).length;
      return all[reached] ?? 1;
    }
  }
}
