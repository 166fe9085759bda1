/**
 * Faults that the config asks for (`chaos:`), done to ourselves when our step comes: the same in every world. Each entry
 * strikes once in the life of a run: a row is created first, so that the replacement does not die at the same step again.
 */
import { record } from '../cloud/journal.ts';
import type { Cloud } from '../cloud/ports.ts';
import type { ChaosPlan, RunPlan } from '../core/plan.ts';
import { type ChaosRow, type GangMember, keys, parseSlot } from '../core/run.ts';

/** What a task can do to itself; given by the composition root. */
export interface Strike {
  kill(): void;
  interrupt(): void;
  pause(forMs: number): void;
}

export class Chaos {
  private readonly cloud: Pick<Cloud, 'table' | 'clock' | 'ids' | 'log'>;
  private readonly plan: RunPlan;
  private readonly self: GangMember;
  private readonly strike: Strike;
  private readonly open: Set<number>;

  constructor(cloud: Pick<Cloud, 'table' | 'clock' | 'ids' | 'log'>, plan: RunPlan, self: GangMember, strike: Strike) {
    this.cloud = cloud;
    this.plan = plan;
    this.self = self;
    this.strike = strike;
    this.open = new Set(plan.chaos.keys());
  }

  /** Called before the work of a step begins. Resolves when nothing (more) is to happen. */
  async before(step: number, leads: boolean): Promise<void> {
    for (const index of this.open) {
      const entry = this.plan.chaos[index];
      if (entry === undefined || step < entry.atStep || !isTarget(entry, this.self, leads)) continue;
      this.open.delete(index);
      const key = entry.target.kind === 'all' ? `${keys.chaos(index)}-${this.self.slot}` : keys.chaos(index);
      const row: ChaosRow = { taskId: this.self.taskId, atMs: this.cloud.clock.now() };
      const first = await this.cloud.table.put(this.plan.runId, key, row, { absent: true });
      if (first.kind === 'conflict') continue;
      const { action, forMs } = entry;
      await record(this.cloud, this.plan.runId, 'chaos.injected', { by: this.self.slot, action, step });
      if (action === 'kill') this.strike.kill();
      else if (action === 'interrupt') this.strike.interrupt();
      else this.strike.pause(forMs ?? 5_000);
    }
  }

  get armed(): boolean {
    return this.open.size > 0;
  }
}

function isTarget({ target }: ChaosPlan, self: GangMember, leads: boolean): boolean {
  if (target.kind === 'all') return true;
  if (target.kind === 'leader') return leads;
  const { role, index } = parseSlot(self.slot);
  return target.kind === role && target.index === index;
}
