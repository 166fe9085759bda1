/** Who is in the gangs of these tests. */
import type { GangMember } from '../../../core/run.ts';

export const worker = (index: number): GangMember => ({
  taskId: `task-${index}`,
  slot: `worker/${index}`,
  role: 'worker',
  host: 'localhost',
  port: 1000 + index,
});
