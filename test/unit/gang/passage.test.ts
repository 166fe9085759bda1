/** How a member goes from one generation to the next when nobody is told to stop. */
import { describe, expect, test } from 'vitest';
import type { Gang, MessageOf } from '../../../core/gang/messages.ts';
import { Passage } from '../../../core/gang/passage.ts';
import { worker } from './support.ts';

const gang = (generation: number, size: number): Gang => ({
  generation,
  leader: 'task-0',
  workers: Array.from({ length: size }, (_, i) => worker(i)),
  servers: [],
});
const begin = (generation: number, fromStep: number, size = 2): MessageOf<'begin'> => ({
  type: 'begin',
  gang: gang(generation, size),
  fromStep,
  behind: [],
});

describe('the way into the next generation', () => {
  test('is short for who is in none: it begins at once', () => {
    const passage = new Passage();
    passage.add(begin(4, 10));
    expect(passage.next(0, undefined)?.gang.generation).toBe(4);
  });

  test('ends where the next one begins, one generation after the other (PA1)', () => {
    const passage = new Passage();
    passage.add(begin(4, 10));
    passage.add(begin(5, 12));
    expect(passage.newest(gang(3, 1))).toBe(5);
    expect([passage.until, passage.next(9, gang(3, 1))]).toEqual([10, undefined]);
    expect(passage.next(10, gang(3, 1))?.gang.generation).toBe(4);
    expect([passage.until, passage.next(10, gang(4, 2))]).toEqual([12, undefined]);
    expect(passage.next(12, gang(4, 2))?.gang.generation).toBe(5);
    expect([passage.until, passage.next(20, gang(5, 2))]).toEqual([Number.POSITIVE_INFINITY, undefined]);
  });

  test('is prepared for at once by who trains, by a newcomer when it has caught up, and once (PA2)', () => {
    const passage = new Passage();
    passage.prepare(10);
    expect(passage.answers(8, gang(3, 1))).toBe(true);
    expect(passage.answers(12, gang(3, 1))).toBe(false);
    passage.prepare(10);
    expect([8, 9, 10, 11].map((step) => passage.answers(step, undefined))).toEqual([false, false, true, false]);
  });

  test('has new partners before it is over', () => {
    const passage = new Passage();
    passage.add(begin(4, 10, 3));
    const partners = passage.partners(worker(0), gang(3, 2));
    expect(partners.map(({ taskId }) => taskId)).toEqual(['task-1', 'task-2']);
  });

  test('is forgotten when all are told to stop', () => {
    const passage = new Passage();
    passage.add(begin(4, 10));
    passage.prepare(3);
    passage.forget();
    expect(passage.next(10, gang(3, 1))).toBeUndefined();
    expect(passage.answers(10, undefined)).toBe(false);
  });
});
