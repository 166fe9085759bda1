/** What people see: alarms and dashboard name metrics that the code emits, and an alarm tells somebody. */
import { metricDimension, metricNamespace, metricUnits } from '../../../core/metric-names.ts';
import { asList, at, ofType, type Template } from '../package-stack.ts';

const isOurs = (name: unknown) => Object.hasOwn(metricUnits, String(name));

/** Rows of metrics of a dashboard, with "." resolved to the value above, as CloudWatch does. */
export function dashboardMetrics(body: string): string[][] {
  const rows: string[][] = [];
  for (const widget of asList(at(JSON.parse(body), 'widgets'))) {
    let above: string[] = [];
    for (const row of asList(at(widget, 'properties', 'metrics')) as string[][]) {
      above = row.map((value, n) => (value === '.' ? (above[n] ?? value) : value));
      rows.push(above);
    }
  }
  return rows;
}

export function observability(template: Template): string[] {
  const found: string[] = [];
  for (const [id, { Properties }] of ofType(template, 'AWS::CloudWatch::Alarm')) {
    if (asList(Properties.AlarmActions).length === 0) found.push(`${id}: rings for nobody`);
    if (Properties.TreatMissingData !== 'notBreaching') found.push(`${id}: rings when nothing runs`);
    if (Properties.Namespace !== metricNamespace) continue;
    if (!isOurs(Properties.MetricName)) found.push(`${id}: nobody emits ${Properties.MetricName}`);
    if (at(Properties.Dimensions, 0, 'Name') !== metricDimension)
      found.push(`${id}: has not the dimension of the code`);
  }
  for (const [id, { Properties }] of ofType(template, 'AWS::CloudWatch::Dashboard')) {
    const rows = dashboardMetrics(String(at(Properties.DashboardBody, 'Fn::Sub'))).filter(
      ([namespace]) => namespace === metricNamespace,
    );
    for (const [, name, dimension] of rows) {
      if (!isOurs(name)) found.push(`${id}: nobody emits ${name}`);
      if (dimension !== metricDimension) found.push(`${id}: has not the dimension of the code`);
    }
    for (const name of Object.keys(metricUnits)) {
      if (!rows.some((row) => row[1] === name)) found.push(`${id}: does not show ${name}`);
    }
  }
  const insights = ofType(template, 'AWS::ECS::Cluster').map(([, each]) => at(each.Properties.ClusterSettings, 0));
  if (!insights.every((setting) => at(setting, 'Name') === 'containerInsights'))
    found.push('Cluster: says no insights');
  return found;
}
