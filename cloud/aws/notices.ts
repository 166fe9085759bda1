/**
 * Notices on the default EventBridge bus, source `cuttlefish`: for rules of people who want to be told of runs.
 *
 * Invariants
 *  T1  Best effort: a notice that the bus does not take, after some tries, is a line in the log and never an error of the run.
 *  T2  PutEvents answers 200 also when it took nothing: the count of failed entries decides.
 */
import { type EventBridgeClient, PutEventsCommand } from '@aws-sdk/client-eventbridge';
import type { Clock, Log, Notices } from '../ports.ts';
import { readRefusal } from './errors.ts';

const tries = 3;
export const noticeSource = 'cuttlefish';

export function awsNotices(client: EventBridgeClient, clock: Pick<Clock, 'sleep'>, log: Log): Notices {
  async function put(detailType: string, detail: string): Promise<string | undefined> {
    try {
      const { FailedEntryCount, Entries } = await client.send(
        new PutEventsCommand({ Entries: [{ Source: noticeSource, DetailType: detailType, Detail: detail }] }),
      );
      if ((FailedEntryCount ?? 0) === 0) return undefined;
      return `${Entries?.[0]?.ErrorCode}: ${Entries?.[0]?.ErrorMessage}`;
    } catch (thrown) {
      const { name, message } = readRefusal(thrown);
      return `${name}: ${message}`;
    }
  }

  return {
    async publish(detailType, detail) {
      let why: string | undefined;
      for (let attempt = 1; attempt <= tries; attempt += 1) {
        if (attempt > 1) await clock.sleep(250 * 2 ** attempt);
        why = await put(detailType, JSON.stringify(detail));
        if (why === undefined) return;
      }
      log.write('warn', 'notice.lost', { notice: detailType, runId: detail.runId, why });
    },
  };
}
