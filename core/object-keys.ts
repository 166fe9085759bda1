/** Where the parts of a run lie in the bucket. */
export const objectKeys = {
  config: (runId: string) => `runs/${runId}/config.yaml`,
  plan: (runId: string) => `runs/${runId}/plan.json`,
  metrics: (runId: string) => `runs/${runId}/metrics.jsonl`,
  events: (runId: string) => `runs/${runId}/events.jsonl`,
  result: (runId: string) => `runs/${runId}/result.json`,
  report: (runId: string) => `runs/${runId}/report.html`,
  topology: (runId: string) => `runs/${runId}/topology.json`,
  modelFolder: (runId: string) => `runs/${runId}/model/`,
  model: (runId: string) => `runs/${runId}/model/model.json`,
  weights: (runId: string) => `runs/${runId}/model/weights.bin`,
  part: (runId: string, digest: string) => `runs/${runId}/checkpoints/${digest}.bin`,
} as const;
