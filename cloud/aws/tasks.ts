/**
 * The task runner port on ECS.
 *
 * Invariants
 *  K1  RunTask carries the caller's clientToken. A ConflictException means that this token already launched (with other
 *      parameters, after a deployment): its tasks are the answer, no second set is started.
 *  K2  `started` and `failures` together always count `request.count`: what ECS leaves out is told as a failure.
 *  K3  Throws only what a later identical call may cure, throttling that ECS dresses up as InvalidParameterException
 *      included. What stays refused (no permission, no such task definition) comes back as failures with its reason.
 *  K4  Capacity provider strategy, never launchType. The only override besides the size is the pointer to the run.
 *  K5  Tasks of a run are those with startedBy = run id. Others may run in the cluster, so where no run is asked for a task
 *      counts as ours only when its tag and its startedBy name the same run.
 */
import {
  DescribeTasksCommand,
  type ECSClient,
  paginateListTasks,
  RunTaskCommand,
  type RunTaskCommandInput,
  StopTaskCommand,
  type Task,
} from '@aws-sdk/client-ecs';
import { CuttlefishError } from '../../core/failure.ts';
import type { Clock, LaunchOutcome, LaunchRequest, ObservedTask, TaskRunner } from '../ports.ts';
import { isTransient, readRefusal } from './errors.ts';
import type { AwsSettings } from './settings.ts';
import { observe } from './task-observation.ts';

/** Name of the one container, as infra/tasks.yml has it. */
export const containerName = 'task';
const runTag = 'cuttlefish:run';
const launchAttempts = 4;
const describeBatch = 100;
const reasonLimit = 255;

export function awsTasks(client: ECSClient, settings: AwsSettings, clock: Pick<Clock, 'sleep'>): TaskRunner {
  async function describe(cluster: string, arns: readonly string[]): Promise<Task[]> {
    const tasks: Task[] = [];
    for (let at = 0; at < arns.length; at += describeBatch) {
      const answer = await client.send(
        new DescribeTasksCommand({ cluster, tasks: arns.slice(at, at + describeBatch), include: ['TAGS'] }),
      );
      tasks.push(...(answer.tasks ?? []));
    }
    return tasks;
  }

  async function listArns(cluster: string, filter: { startedBy?: string; desiredStatus: 'RUNNING' | 'STOPPED' }) {
    const arns: string[] = [];
    for await (const page of paginateListTasks({ client }, { cluster, ...filter })) arns.push(...(page.taskArns ?? []));
    return arns;
  }

  /** `startedBy` may be documented as the only filter; where a status beside it is refused, all stopped tasks are read. */
  async function listStopped(cluster: string, runId: string): Promise<string[]> {
    try {
      return await listArns(cluster, { startedBy: runId, desiredStatus: 'STOPPED' });
    } catch (thrown) {
      const refusal = readRefusal(thrown);
      if (refusal.name !== 'InvalidParameterException' || isTransient(refusal)) throw thrown;
      return listArns(cluster, { desiredStatus: 'STOPPED' });
    }
  }

  return {
    async launch(request) {
      const input = runTaskInput(request, settings);
      for (let attempt = 1; ; attempt++) {
        try {
          const answer = await client.send(new RunTaskCommand(input));
          return outcome(
            request,
            (answer.tasks ?? []).map((task) => task.taskArn ?? ''),
            (answer.failures ?? []).map(({ reason, detail }) => [reason, detail].filter(Boolean).join(': ')),
          );
        } catch (thrown) {
          const refusal = readRefusal(thrown);
          const already = (thrown as { resourceIds?: string[] }).resourceIds;
          if (refusal.name === 'ConflictException' && already !== undefined) return outcome(request, already, []);
          if (!isTransient(refusal)) {
            return outcome(request, [], Array(request.count).fill(`${refusal.name}: ${refusal.message}`));
          }
          if (attempt === launchAttempts) {
            // The workflow calls again for Unexpected; with the same token nothing starts twice.
            const what = `RunTask for ${request.count} x ${request.role} of run "${request.runId}"`;
            const message = `${what} was refused ${attempt} times: ${refusal.name}: ${refusal.message}`;
            throw new CuttlefishError({ kind: 'Unexpected', message }, { cause: thrown });
          }
          await clock.sleep(500 * 2 ** attempt);
        }
      }
    },

    async stop(taskId, reason) {
      try {
        await client.send(
          new StopTaskCommand({ cluster: settings.cluster(), task: taskId, reason: reason.slice(0, reasonLimit) }),
        );
      } catch (thrown) {
        const { name, message } = readRefusal(thrown);
        const notThere = name === 'InvalidParameterException' && /not found|not exist/i.test(message);
        if (!notThere) throw thrown;
      }
    },

    async list(runId) {
      const cluster = settings.cluster();
      const arns = new Set([
        ...(await listArns(cluster, { startedBy: runId, desiredStatus: 'RUNNING' })),
        ...(await listStopped(cluster, runId)),
      ]);
      const tasks = await describe(cluster, [...arns]);
      return tasks.filter((task) => task.startedBy === runId).map((task): ObservedTask => observe(task));
    },

    async listLive() {
      const cluster = settings.cluster();
      const tasks = await describe(cluster, await listArns(cluster, { desiredStatus: 'RUNNING' }));
      return tasks
        .filter(({ startedBy, tags }) => tags?.some(({ key, value }) => key === runTag && value === startedBy))
        .map((task): ObservedTask => observe(task));
    },
  };
}

export function runTaskInput(request: LaunchRequest, settings: AwsSettings): RunTaskCommandInput {
  const network = settings.network(request.kind);
  return {
    cluster: settings.cluster(),
    taskDefinition: settings.taskDefinition(request.role),
    count: request.count,
    clientToken: request.clientToken,
    startedBy: request.runId,
    capacityProviderStrategy: [{ capacityProvider: settings.capacityProvider(request.kind), weight: 1 }],
    networkConfiguration: {
      awsvpcConfiguration: {
        subnets: [...network.subnets],
        securityGroups: [...network.securityGroups],
        assignPublicIp: network.assignPublicIp ? 'ENABLED' : 'DISABLED',
      },
    },
    enableECSManagedTags: true,
    enableExecuteCommand: false,
    propagateTags: 'TASK_DEFINITION',
    tags: [
      { key: runTag, value: request.runId },
      { key: 'cuttlefish:role', value: request.role },
    ],
    overrides: {
      cpu: String(request.cpu),
      memory: String(request.memoryMiB),
      containerOverrides: [
        {
          name: containerName,
          environment: [
            { name: 'CUTTLEFISH_RUN_ID', value: request.runId },
            { name: 'CUTTLEFISH_ROLE', value: request.role },
          ],
        },
      ],
    },
  };
}

function outcome(request: LaunchRequest, started: readonly string[], reasons: readonly string[]): LaunchOutcome {
  const missing = Math.max(0, request.count - started.length);
  const last = reasons.at(-1) ?? 'RunTask started fewer tasks than asked and gave no reason';
  const failures = Array.from({ length: missing }, (_, at) => reasons[at] ?? last);
  return { started, failures };
}
