/** How soon the tasks of a run miss each other. Floors: slow shards make everybody more patient (core/gang/patience.ts). */
import type { TimingPlan, TrainingPlan } from './plan.ts';

const second = 1000;

/** Processes of one machine: a heartbeat costs nothing, and silence says much. */
const embedded: TimingPlan = {
  heartbeatIntervalMs: 200,
  // With a beat and a look of its own to wait for, the leader fences what hangs within a second.
  memberTimeoutMs: 750,
  leaseDurationMs: 500,
  progressIntervalMs: 250,
  watchHeartbeatSeconds: 20,
  watchTimeoutSeconds: 3600,
};

/** Where nobody waits for a slow worker, a pause of seconds is no reason to do without it. */
const patient: TimingPlan = { ...embedded, memberTimeoutMs: 5 * second, leaseDurationMs: 1500 };

const aws: TimingPlan = {
  heartbeatIntervalMs: 5 * second,
  memberTimeoutMs: 30 * second,
  leaseDurationMs: 15 * second,
  progressIntervalMs: 5 * second,
  watchHeartbeatSeconds: 300,
  watchTimeoutSeconds: 12 * 3600,
};

/** `hungAfterMs` in place of the default. The lease goes with it, for a leader may hang too. */
export function timingOf(world: 'embedded' | 'aws', mode: TrainingPlan['mode'], hungAfterMs?: number): TimingPlan {
  const timing = world === 'aws' ? aws : mode === 'synchronous' ? embedded : patient;
  if (hungAfterMs === undefined) return timing;
  const leaseDurationMs = Math.round((hungAfterMs * timing.leaseDurationMs) / timing.memberTimeoutMs);
  // Four chances to be heard.
  const heartbeatIntervalMs = Math.min(timing.heartbeatIntervalMs, Math.floor(hungAfterMs / 4));
  return { ...timing, heartbeatIntervalMs, memberTimeoutMs: hungAfterMs, leaseDurationMs };
}
