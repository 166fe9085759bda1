/** An ECS task, from DescribeTasks, as the control plane sees tasks. */
import type { Task } from '@aws-sdk/client-ecs';
import type { Role } from '../../core/plan.ts';
import { taskStateOf, taskStopOf } from '../../core/platform-events.ts';
import type { ObservedTask } from '../ports.ts';

export function observe(task: Task): ObservedTask {
  const state = taskStateOf(task.lastStatus, task.desiredStatus);
  return {
    taskId: task.taskArn ?? '',
    runId: task.startedBy ?? '',
    role: roleOf(task),
    state,
    ...(state === 'stopped' || task.stopCode !== undefined ? { stop: taskStopOf(task) } : {}),
  };
}

/** The tag that launch set; a task whose tags are not visible is told by its task definition family. */
function roleOf(task: Task): Role {
  const tag = task.tags?.find(({ key }) => key === 'cuttlefish:role')?.value;
  if (tag === 'worker' || tag === 'parameter-server') return tag;
  return /parameter-server(:\d+)?$/.test(task.taskDefinitionArn ?? '') ? 'parameter-server' : 'worker';
}
