/**
 * A process of its own for host.test.ts: opens the state folder, starts the execution, resumes what is there, waits for
 * its end. Its function leaves one line for each call.
 *   host-process <stateDir> <execution> <log file> <steps> <milliseconds a step takes>
 */
import { appendFileSync } from 'node:fs';
import { loadStateMachine } from '../../../cloud/embedded/asl/load.ts';
import { randomIds } from '../../../cloud/embedded/ids.ts';
import { createWorkflowHost } from '../../../cloud/embedded/workflow.ts';
import { systemClock } from '../../../cloud/system-clock.ts';

const [stateDir = '', name = '', logFile = '', steps = '1', stepMs = '0'] = process.argv.slice(2);

const definition = loadStateMachine(
  `
QueryLanguage: JSONata
StartAt: Begin
States:
  Begin: {Type: Pass, Assign: {n: 0}, Next: Step}
  Step:
    Type: Task
    Resource: arn:aws:states:::lambda:invoke
    Arguments: {FunctionName: step, Payload: {n: '{% $n %}'}}
    TimeoutSeconds: 60
    Assign: {n: '{% $states.result.Payload %}'}
    Next: More
  More:
    Type: Choice
    Choices: [{Condition: '{% $n < $steps %}', Next: Step}]
    Default: Done
  Done: {Type: Succeed, Output: '{% $n %}'}
`.replace('$steps', steps),
);

const host = createWorkflowHost({
  stateDir,
  definition,
  clock: systemClock,
  ids: randomIds,
  log: { write: () => undefined },
  functions: {
    step: async (input) => {
      const { n } = input as { n: number };
      appendFileSync(logFile, `${n}\n`);
      await systemClock.sleep(Number(stepMs));
      return n + 1;
    },
  },
});
const { kind } = await host.start(name, {});
await host.resumeAll();
const { status, output } = await host.wait(name);
await host.close();
console.log(JSON.stringify({ kind, status, output }));
