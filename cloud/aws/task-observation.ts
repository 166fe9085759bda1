/** An ECS task, from DescribeTasks, as the control plane sees tasks. */
import type { Task } from '@aws-sdk/client-ecs';
import type { Role } from '../../core/plan.ts';
import type { ObservedTask } from '../ports.ts';

export function observe(task: Task): ObservedTask {
  const state = stateOf(task);
  return {
    taskId: task.taskArn ?? '',
    runId: task.startedBy ?? '',
    role: roleOf(task),
    state,
    ...(state === 'stopped' || task.stopCode !== undefined ? { stop: stopOf(task) } : {}),
  };
}

function stateOf(task: Task): ObservedTask['state'] {
  switch (task.lastStatus) {
    case 'STOPPED':
    case 'DELETED':
      return 'stopped';
    case 'DEACTIVATING':
    case 'STOPPING':
    case 'DEPROVISIONING':
      return 'stopping';
    case 'RUNNING':
      return task.desiredStatus === 'STOPPED' ? 'stopping' : 'running';
    default:
      return task.desiredStatus === 'STOPPED' ? 'stopping' : 'starting';
  }
}

/** The tag that launch set; a task whose tags are not visible is told by its task definition family. */
function roleOf(task: Task): Role {
  const tag = task.tags?.find(({ key }) => key === 'cuttlefish:role')?.value;
  if (tag === 'worker' || tag === 'parameter-server') return tag;
  return /parameter-server(:\d+)?$/.test(task.taskDefinitionArn ?? '') ? 'parameter-server' : 'worker';
}

/** A task that never started has no containers, so the code comes first and an exit code may be missing. */
function stopOf(task: Task): NonNullable<ObservedTask['stop']> {
  const container = task.containers?.find(({ exitCode, reason }) => exitCode !== undefined || reason !== undefined);
  const reason = [task.stoppedReason, container?.reason].filter(Boolean).join('; ');
  return {
    code: task.stopCode ?? 'Unknown',
    reason: reason === '' ? 'no reason given' : reason,
    ...(container?.exitCode === undefined ? {} : { exitCode: container.exitCode }),
  };
}
