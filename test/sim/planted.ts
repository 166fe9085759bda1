/**
 * Mistakes that somebody could make in the gang, each as a change of the real source: the simulation must find every one.
 * A snippet that is not in its file any more, or is there twice, fails the test, so that none of them rots.
 */
import type { Dials } from './dials.ts';

export interface Planted {
  readonly name: string;
  readonly changes: readonly Change[];
  /** In such a world it shows soon; the other dials are drawn. */
  readonly dials: Partial<Dials>;
}

export interface Change {
  readonly file: string;
  readonly find: string;
  readonly replace: string;
}

const bug = (name: string, file: string, find: string, replace: string, dials: Partial<Dials> = {}): Planted => ({
  name,
  changes: [{ file, find, replace }],
  dials,
});

const reducer = 'core/gang/reducer.ts';
const trainer = 'core/gang/trainer.ts';
const roster = 'core/gang/roster.ts';
const leader = 'core/gang/leader.ts';
const member = 'core/gang/member.ts';
const patience = 'core/gang/patience.ts';
const passage = 'core/gang/passage.ts';
const course = 'core/gang/course.ts';
const follower = 'core/gang/follower.ts';
const driver = 'container/driver.ts';
const leadership = 'container/leadership.ts';
const checkpoint = 'container/checkpoint.ts';

/** Over soon, so that many of them can be tried. */
const brief = {
  workers: 2,
  workersMin: 1,
  servers: 0,
  shards: 2,
  epochs: 1,
  stepsPerEpoch: 2,
  stopAfter: 0,
  shardMs: 3,
  forGood: 0,
} satisfies Partial<Dials>;

/** Somebody comes and goes all the time. */
const joining = {
  workers: 4,
  workersMin: 1,
  shards: 4,
  launchMs: 20,
  faults: ['kill', 'interrupt'],
} satisfies Partial<Dials>;

export const planted: readonly Planted[] = [
  bug(
    'two take the lease at once',
    leadership,
    'const mine: LeaderRow = { taskId, slot, host, port, fence, beat: 0, durationMs: this.leaseMs() };\n    const when = row === undefined ? ({ absent: true } as const) : { version: row.version };',
    'const mine: LeaderRow = { taskId, slot, host, port, fence, beat: 0, durationMs: this.leaseMs() };\n    const when = { fence };',
    { faults: ['kill-leader'], workers: 3, shards: 4, workersMin: 1 },
  ),
  bug('a parameter server takes the lease', leadership, "if (!free || this.self.role !== 'worker') {", 'if (!free) {', {
    faults: ['kill-leader'],
    servers: 2,
  }),
  {
    name: 'the checkpoints of a replaced leader are listed',
    changes: [
      {
        file: checkpoint,
        find: 'if (before !== undefined && before.fence > manifest.generation)',
        replace: 'if (before === null)',
      },
      {
        file: checkpoint,
        find: 'const first = before === undefined ? ({ absent: true } as const) : { version: before.version, fence };',
        replace: 'const first = before === undefined ? ({ absent: true } as const) : { version: before.version };',
      },
      {
        file: checkpoint,
        find: '{ version: announced.version, fence });',
        replace: '{ version: announced.version });',
      },
    ],
    dials: { faults: ['pause'], ambush: 'get checkpoints', forGood: 0, checkpointEvery: 1, checkpointMs: 0 },
  },
  bug(
    'the oldest checkpoint is restored',
    checkpoint,
    'for (const manifest of index.manifests) {\n    const parameters',
    'for (const manifest of [...index.manifests].reverse()) {\n    const parameters',
    { faults: ['kill-all'], checkpointEvery: 1, checkpointMs: 0 },
  ),
  bug(
    'a save does not wait for the one before',
    'container/saver.ts',
    'if (this.saving !== undefined) {',
    'if (step < 0) {',
    { checkpointEvery: 1, checkpointMs: 0, storageMs: 12 },
  ),
  bug('newcomers are not sent what is updated meanwhile', trainer, 'this.borrowers.set(to.taskId, to);', '', {
    faults: ['kill', 'interrupt'],
    workers: 3,
    shards: 4,
    workersMin: 1,
  }),
  {
    name: 'the gradient of a step that was interrupted is used',
    changes: [
      { file: trainer, find: 'gang.generation !== generation || ', replace: '' },
      {
        file: trainer,
        find: "message: { type: 'contribution', generation, step,",
        replace: "message: { type: 'contribution', generation: gang.generation, step,",
      },
      {
        file: driver,
        find: 'this.loop.hasEnded || member.gang?.generation !== generation;',
        replace: 'this.loop.hasEnded;',
      },
    ],
    dials: { faults: ['interrupt', 'break-link'], workers: 3, shards: 4, workersMin: 1 },
  },
  bug(
    'the reducer takes contributions of older generations',
    reducer,
    'partitions === undefined || message.generation !== gang.generation)',
    'partitions === undefined || message.generation > gang.generation)',
    { netTwice: 0.5, storageMs: 0.5, faults: ['interrupt', 'break-link'], launchMs: 20 },
  ),
  bug(
    'the reducer adds up in order of arrival',
    reducer,
    'const total = this.trees.get(partition)?.add({ level, index }, message.payload, this.roomIn(gang, from));',
    `const state = this as unknown as { sums: Map<number, { readonly left: number; readonly sum: Float32Array }> };
    if (this.seen.size === 1) state.sums = new Map();
    const before = state.sums.get(partition);
    const sum = before === undefined ? message.payload : message.payload.map((v, i) => v + (before.sum[i] as number));
    const left = (before?.left ?? this.shape.shards) - 2 ** level;
    state.sums.set(partition, { left, sum });
    const total = left === 0 ? sum : undefined;`,
  ),
  bug('an update is made before all partitions are in', trainer, 'if (this.missing.size > 0) return [];', '', {
    servers: 1,
  }),
  bug(
    'a step is over with the first of its partitions',
    reducer,
    'if (this.trees.size === 0) this.open(step + 1);',
    'this.open(step + 1);',
    { servers: 1 },
  ),
  {
    name: 'what was added up in an older generation goes into the next',
    changes: [
      {
        file: reducer,
        find: 'this.holdings.letGo(...tree.rest().map(({ vector }) => vector));',
        replace: 'tree.rest();',
      },
      { file: reducer, find: 'this.trees.clear();', replace: '' },
      {
        file: reducer,
        find: 'this.trees.set(partition, new',
        replace: 'if (!this.trees.has(partition)) this.trees.set(partition, new',
      },
    ],
    dials: { servers: 1, workers: 3, workersMin: 1, shards: 4, faults: ['interrupt', 'kill', 'break-link'] },
  },
  bug('the reducer opens the step before', reducer, 'this.open(fromStep);', 'this.open(Math.max(0, fromStep - 1));'),
  bug(
    'a shard belongs to two workers',
    'core/shards.ts',
    'return shardRange(shards, worldSize, rank);',
    'const own = shardRange(shards, worldSize, rank);\n  return { from: Math.max(0, own.from - 1), to: own.to };',
  ),
  bug(
    'survivors do not redo the step that was interrupted',
    trainer,
    "this.phase = 'aligning';\n    effects.push(",
    "if (this.phase === 'prepared' && this.step === fromStep && this.missing.size > 0) {\n      this.phase = 'waiting';\n      return effects;\n    }\n    this.phase = 'aligning';\n    effects.push(",
  ),
  bug(
    'an update that was lent is made twice',
    trainer,
    'effects.push(...this.apply(next.vector));',
    'effects.push(...this.apply(next.vector), ...(this.step % 3 === 0 ? this.apply(next.vector) : []));',
  ),
  bug('a snapshot is taken from anybody at any time', trainer, 'if (this.donor !== from)', 'if (false)', {
    netTwice: 0.5,
    storageMs: 0.5,
    faults: ['kill', 'interrupt'],
    workers: 3,
    shards: 4,
    workersMin: 1,
  }),
  bug(
    'the leader does not wait for the evaluation',
    trainer,
    "return [{ type: 'evaluate', epoch: step / shape.stepsPerEpoch, step }];",
    "effects.push({ type: 'evaluate', epoch: step / shape.stepsPerEpoch, step });\n      this.evaluated = step;",
  ),
  bug('the stop rule is not remembered', trainer, 'if (stop) this.stopAt = Math.min(this.stopAt, step);', ''),
  bug('a generation begins where some may be past', trainer, 'Math.min(step + 2,', 'Math.min(step,', joining),
  {
    name: 'those that go on go over a step too late',
    changes: [
      { file: trainer, find: 'if (step >= this.until) {', replace: 'if (step > this.until) {' },
      { file: passage, find: 'step >= this.until ?', replace: 'step > this.until ?' },
    ],
    dials: joining,
  },
  bug(
    'all go on although somebody is lost',
    course,
    'return this.training !== undefined && this.roster.isFed(this.training, next);',
    'return this.training !== undefined;',
    joining,
  ),
  bug(
    'who was not counted in yet is taken for one that trains',
    roster,
    "workers.has(taskId) || workers.has(this.get(taskId)?.donor ?? '');",
    'taskId !== undefined;',
    joining,
  ),
  bug(
    'what comes before its generation begins is refused',
    member,
    'generation > (this.gang?.generation ?? this.generation - 1);',
    'this.gang === undefined;',
    joining,
  ),
  bug(
    'a newcomer goes on after it has said where it is',
    trainer,
    'this.gang = undefined;\n    this.until = this.step;',
    'this.gang = undefined;\n    this.until = Number.POSITIVE_INFINITY;',
    { ...joining, faults: ['break-link', 'kill'], netMs: 4, servers: 2 },
  ),
  bug(
    'a generation is used before its fences are raised',
    leadership,
    'await this.enforce(generation, {',
    "this.post({ type: 'generation-committed', generation });\n      await this.enforce(generation, {",
  ),
  bug(
    'a generation begins with the least step',
    roster,
    'const top = Math.max(...all.map((known) => known.step));',
    'const top = Math.min(...all.map((known) => known.step));',
  ),
  bug(
    'whoever is behind is counted in',
    roster,
    'const late = all.filter((known) => reach(known) < (lender === undefined ? top : top - 1));',
    'const late: Known[] = [];',
    { faults: ['interrupt', 'kill', 'break-link'], netMs: 4, workers: 3, shards: 4, workersMin: 1 },
  ),
  {
    name: 'a newcomer is counted in without catching up',
    changes: [
      {
        file: leader,
        find: "if (hasState ? step >= top - 1 : top === 0 && this.state.kind !== 'open') known.standing = 'ready';",
        replace: "if (top >= 0) known.standing = 'ready';",
      },
      {
        file: roster,
        find: 'const late = all.filter((known) => reach(known) < (lender === undefined ? top : top - 1));',
        replace: 'const late: Known[] = [];',
      },
    ],
    dials: {},
  },
  bug(
    'begin is sent before all are prepared',
    leader,
    'return state.waiting.size > 0 ? [] : this.open(state.gang);',
    'return state.waiting.size > 1 ? [] : this.open(state.gang);',
  ),
  bug(
    'lost members are ignored',
    leader,
    'const effects = members.flatMap((member) => this.dropOut(member, why));',
    'const effects: Effect[] = [];',
  ),
  bug(
    'holding ignores the minimum',
    leader,
    "return this.self.standing === 'ready' && this.roster.ready().length >= this.options.workersMin;",
    "return this.self.standing === 'ready';",
  ),
  bug(
    'the leader forms a gang without itself',
    roster,
    'const workers = [leader, ...others.sort(bySlot).slice(0, workersMax - 1)].sort(bySlot);',
    'const workers = others.length > 0 ? [...others].sort(bySlot) : [leader];',
  ),
  bug(
    'slots are freed before that is committed',
    leader,
    'return this.departed.add(member, why);',
    'return [...this.departed.add(member, why), ...this.departed.release((id) => id === taskId)];',
  ),
  bug(
    'slots are freed of members that are in the generation that is committed',
    leader,
    'this.departed.release((taskId) => !this.committedGang.has(taskId));',
    'this.departed.release();',
    { faults: ['kill-two', 'kill'], ambush: 'put gang' },
  ),
  bug('what changes while the row is written is forgotten', leader, 'state.again = true;', '', {
    scarce: true,
    workers: 4,
    shards: 4,
    workersMin: 1,
    faults: ['kill', 'kill-two'],
  }),
  bug(
    'a blank leader does not wait for survivors',
    member,
    'const awaited = others.filter((member) => !hasState || member.taskId !== gang?.leader);',
    'const awaited: GangMember[] = [];',
  ),
  bug('who is fenced goes on', member, "{ type: 'exit', why: 'fenced', save: false },", ''),
  bug('an older generation is prepared for', member, 'if (message.generation <= this.generation)', 'if (false)'),
  {
    name: 'hello is said once',
    changes: [
      { file: follower, find: 'this.tell(this.welcome ? beat : this.hello())', replace: 'this.tell(beat)' },
      {
        file: follower,
        find: 'return this.welcome || this.gone ? [] : this.tell(this.hello());',
        replace: 'return [];',
      },
    ],
    dials: {},
  },
  bug(
    'a newer generation is taken for being out of it',
    member,
    '    this.pause();\n    return this.follower.introduce();',
    '    return this.fencedBy(message.generation);',
    {
      ambush: 'send prepare',
      faults: ['kill'],
      faultEveryMs: 200,
      faultsUntilMs: 4_000,
      launchMs: 20,
      storageMs: 12,
      workers: 4,
      shards: 4,
      shardMs: 25,
    },
  ),
  bug(
    'nobody complains about whom he cannot hear',
    'core/gang/signs.ts',
    'const silent = [...waitedFor].filter(',
    'const silent = ([] as TaskId[]).filter(',
    { faults: ['part-two', 'deafen'], forGood: 0.5, workers: 4, shards: 4, workersMin: 1 },
  ),
  bug(
    'patience has one limit for all',
    patience,
    'return Math.max(theirs === undefined ? Math.max(floorMs, firstStepMs) : floorMs, factor * slowest);',
    'return Math.max(floorMs, firstStepMs * 0, slowest * 0);',
  ),
  bug(
    'the lease is free when it is read',
    leadership,
    'const stale = this.watched !== undefined && now - this.watched.sinceMs > durationMs;',
    'const stale = true;',
  ),
  {
    name: 'the lease is judged by the wall clock of its holder',
    changes: [
      {
        file: leadership,
        find: 'const stale = this.watched !== undefined && now - this.watched.sinceMs > durationMs;',
        replace:
          'const stale = row !== undefined && this.cloud.clock.now() - (row.value.durationMs ?? 0) > timing.leaseDurationMs;',
      },
      {
        file: leadership,
        find: 'beat: held.row.beat + 1, durationMs: this.leaseMs() };',
        replace: 'beat: held.row.beat + 1, durationMs: this.cloud.clock.now() };',
      },
      {
        file: leadership,
        find: 'fence, beat: 0, durationMs: this.leaseMs() };',
        replace: 'fence, beat: 0, durationMs: this.cloud.clock.now() };',
      },
    ],
    dials: {},
  },
  bug(
    'a generation is committed over another',
    leadership,
    'const when = before === undefined ? ({ absent: true } as const) : { version: before.version };\n      if (!done',
    'const when = { fence: generation };\n      if (!done',
    { faults: ['pause', 'break-link'], ambush: 'get gang', forGood: 0, workers: 4, shards: 4, workersMin: 1 },
  ),
  bug(
    'fences are not raised',
    leadership,
    'if (found === undefined) {\n      const others',
    'if (found === null) {\n      const others',
  ),
  bug(
    'the progress of a replaced leader is written',
    leadership,
    'put(this.plan.runId, keys.progress, row, { fence: generation });',
    'put(this.plan.runId, keys.progress, row, { fence: Number.MAX_SAFE_INTEGER });',
  ),
  bug(
    'the outcome is written again',
    'container/finish.ts',
    'if (settled(row?.value) !== undefined) return true;',
    '',
    {
      ...brief,
      storageFail: 0.1,
    },
  ),
  bug(
    'members are dismissed before the outcome is written',
    driver,
    'const done = await persist(cloud.clock, () => chief.finish(step));',
    'this.dismissAll();\n    const done = await persist(cloud.clock, () => chief.finish(step));',
  ),
  bug(
    'a snapshot is lent under the wrong step',
    driver,
    "type: 'snapshot', step: effect.step,",
    "type: 'snapshot', step: effect.step + 1,",
  ),
  bug(
    'the sums of the epoch are not lent',
    driver,
    'const { sums, lastSums } = replica;',
    'const { lastSums } = replica;\n          const sums = lastSums;',
  ),
  bug(
    'the manifest is written before the parts',
    checkpoint,
    'await storeParts(cloud, plan, parts);\n  const next',
    'void Promise.resolve().then(() => cloud.clock.sleep(5)).then(() => storeParts(cloud, plan, parts));\n  const next',
  ),
  bug(
    'parts are deleted before the manifest is',
    checkpoint,
    'const written = await table.put(runId, keys.checkpoints, next, { version: announced.version, fence });',
    'await deleteParts(cloud, plan, next.unnamed);\n  const written = await table.put(runId, keys.checkpoints, next, { version: announced.version, fence });',
  ),
  bug(
    'a checkpoint is listed under the wrong step',
    'container/saver.ts',
    'const { stepsPerEpoch } = plan.training;\n    try {\n      await this.write(step, passedOver, {',
    'const { stepsPerEpoch } = plan.training;\n    try {\n      step += 1;\n      await this.write(step, passedOver, {',
  ),
  bug(
    'a checkpoint is of the state when it is written',
    'container/saver.ts',
    'const state = replica.snapshot(this.copy);',
    'await cloud.clock.sleep(30);\n    const state = replica.snapshot(this.copy);',
  ),
  bug(
    'a restored epoch begins its sums anew',
    'container/chief.ts',
    'const sums = boundary ? noSums : manifest.epochSums;',
    'const sums = noSums;',
  ),
  bug(
    'a slot is taken while somebody has it',
    'container/slot.ts',
    "return task?.value.state === 'stopped';",
    'return true;',
  ),
];
