/**
 * Carries out what the protocol of either mode asks for about the membership: the lease, the row of the gang, slots, links,
 * history, signals. What training waits for is tried again when storage fails; the rest is due again soon, or only told.
 */
import { record } from '../cloud/journal.ts';
import type { Cloud } from '../cloud/ports.ts';
import type { Effect } from '../core/gang/effects.ts';
import type { RunPlan } from '../core/plan.ts';
import type { GangMember, TaskId } from '../core/run.ts';
import type { Leadership } from './leadership.ts';
import { type Every, Loop } from './loop.ts';
import { persist } from './persist.ts';
import { noteUseful } from './slot.ts';
import type { Transport } from './wire/transport.ts';

export type MembershipEffect = Extract<
  Effect,
  { type: 'seek-leader' | 'commit-generation' | 'drop' | 'release' | 'record' | 'news' }
>;

export interface MembershipParts {
  readonly cloud: Pick<Cloud, 'table' | 'clock' | 'ids' | 'log'>;
  readonly plan: RunPlan;
  readonly self: GangMember;
  readonly leadership: Leadership;
  /** Close what connects us to a peer, and forget it. */
  readonly drop: (peer: TaskId) => void;
  readonly loop: Pick<Loop<never, never>, 'told' | 'beside'>;
}

export class Membership {
  private readonly parts: MembershipParts;
  private wasUseful = false;

  constructor(parts: MembershipParts) {
    this.parts = parts;
  }

  perform(effect: MembershipEffect): void {
    const { cloud, plan, self, leadership, drop, loop } = this.parts;
    switch (effect.type) {
      case 'seek-leader':
        loop.told(leadership.seek(effect.gone, effect.blank), 'looking for the leader');
        return;
      case 'commit-generation':
        loop.beside(
          persist(cloud.clock, () => leadership.commit(effect.gang, effect.fromStep, effect.why)),
          'committing a generation',
        );
        return;
      case 'drop':
        drop(effect.peer.taskId);
        return;
      case 'release':
        loop.told(
          persist(cloud.clock, () => leadership.release(effect.peer, effect.why)),
          'freeing a slot',
        );
        return;
      case 'record':
        // Refusals are as many as somebody cares to send: they go to the log, not to the table.
        if (effect.event === 'frame.refused') cloud.log.write('debug', effect.event, effect.detail);
        else loop.told(record(cloud, plan.runId, effect.event, { by: self.slot, ...effect.detail }), 'recording');
        return;
      case 'news':
        loop.told(
          persist(cloud.clock, () => leadership.news(effect.why)),
          'raising a signal',
        );
    }
  }

  /** Said once, of the first step that we took part in. */
  useful(): void {
    if (this.wasUseful) return;
    this.wasUseful = true;
    const { cloud, plan, self, loop } = this.parts;
    loop.told(noteUseful(cloud, plan.runId, self.taskId), 'noting the first step');
  }
}

export interface WiringParts<Event, Effect> extends Omit<MembershipParts, 'loop' | 'drop'> {
  readonly every: Every;
  readonly transport: Pick<Transport, 'drop'>;
  readonly member: { handle(event: Event, nowMs: number): readonly Effect[] };
}

/** The loop of a task in either mode, and what carries out its membership in it. Of a peer that is out nothing is kept. */
export function wireUp<Event, Effect>(
  parts: WiringParts<Event, Effect>,
  perform: (effect: Effect) => void,
  forget: (peer: TaskId) => void,
): { readonly loop: Loop<Event, Effect>; readonly membership: Membership } {
  const { cloud, every, member, transport } = parts;
  const handle = (event: Event, nowMs: number): readonly Effect[] => member.handle(event, nowMs);
  const loop = new Loop<Event, Effect>({ cloud, every, handle, perform });
  const drop = (peer: TaskId): void => {
    transport.drop(peer);
    forget(peer);
  };
  return { loop, membership: new Membership({ ...parts, loop, drop }) };
}
