/**
 * Metrics as lines of the log, in CloudWatch's embedded metric format: no call, no permission, and the run is a property that
 * can be searched for without being a dimension that is billed.
 */
import { metricDimension, metricNamespace, metricUnits } from '../../core/metric-names.ts';
import type { Clock, Metrics } from '../ports.ts';
import { type Line, standardOutput } from './basics.ts';
import type { Environment } from './settings.ts';

export function embeddedMetrics(env: Environment, clock: Pick<Clock, 'now'>, line: Line = standardOutput): Metrics {
  return {
    put(values, about) {
      const names = Object.keys(values) as (keyof typeof values)[];
      if (names.length === 0) return;
      const Metrics = names.map((Name) => ({ Name, Unit: metricUnits[Name] }));
      const directive = { Namespace: metricNamespace, Dimensions: [[metricDimension]], Metrics };
      const _aws = { Timestamp: clock.now(), CloudWatchMetrics: [directive] };
      line(JSON.stringify({ _aws, [metricDimension]: env.CUTTLEFISH_STAGE ?? 'unknown', ...about, ...values }));
    },
  };
}
