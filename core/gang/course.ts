/**
 * Whether those that train may go on while the next generation is formed. They may when all of them are in it and who comes
 * is fed by one of them: then nothing of the step in flight is lost, and the place where they go over can be named before
 * anybody is there. When one of them is gone the step in flight never ends, so all stop at once and begin again.
 *
 * Invariants
 *  CO1 Whoever was told to stop is told where to begin; nobody goes on from a generation that was stopped.
 *  CO2 A lost connection is forgotten only with the generation that it was lost in: while that goes on, what was in it is
 *      missed.
 */
import type { Turn } from './leader-state.ts';
import type { Gang } from './messages.ts';
import type { Roster } from './roster.ts';

export class Course {
  private readonly roster: Pick<Roster, 'isFed'>;
  private readonly turn: () => Turn | undefined;
  /** Whom `begin` was sent to, and who has not been told to stop since. */
  private training: Gang | undefined;
  private stoppedFor = 0;

  constructor(roster: Pick<Roster, 'isFed'>, turn: () => Turn | undefined) {
    this.roster = roster;
    this.turn = turn;
  }

  get isStopped(): boolean {
    return this.training === undefined;
  }

  began(gang: Gang): void {
    this.training = gang;
  }

  /** For this generation everybody begins anew. */
  stop(generation: number): void {
    this.training = undefined;
    this.stoppedFor = generation;
  }

  mayGoOn(next: Gang): boolean {
    return this.training !== undefined && this.roster.isFed(this.training, next);
  }

  /** Where those that train go over into the next generation; undefined when they cannot. */
  turnInto(next: Gang): Turn | undefined {
    return this.mayGoOn(next) ? this.turn() : undefined;
  }

  /** Whether what was lost in this generation is still missed (CO2). */
  concerns(generation: number): boolean {
    return generation >= this.stoppedFor;
  }
}
