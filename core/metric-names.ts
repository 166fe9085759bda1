/**
 * The metrics of a stack, once: the code that emits them, the alarms and the dashboard (infra/alarms.yml,
 * infra/dashboard.yml) name no other. A test compares the template with this file.
 */

export const metricNamespace = 'Cuttlefish';
/** The one dimension: with the run as a dimension every run would make metrics of its own, each billed by the month. */
export const metricDimension = 'Stage';

/** Each metric with the unit that CloudWatch knows for it. */
export const metricUnits = {
  Loss: 'None',
  Accuracy: 'None',
  SamplesPerSecond: 'Count/Second',
  CheckpointAgeSeconds: 'Seconds',
  Recoveries: 'Count',
  CostUsd: 'None',
  RunsFailed: 'Count',
  OrphansFound: 'Count',
} as const;

export type MetricName = keyof typeof metricUnits;
