/**
 * What the command line changes in a config, written into the YAML text itself: the run then has one config, the text
 * that was really used, and its comments survive. A text that cannot be read is returned as it is; parsing it says why.
 */
import { isMap, isSeq, parseDocument } from 'yaml';
import { scan } from './scan.ts';

export interface Overrides {
  readonly dataPath?: string;
  /** Of a csv. */
  readonly testPath?: string;
  readonly model?: string;
  readonly workers?: { readonly min: number; readonly max: number };
  readonly epochs?: number;
  /** Added to the list that is there. */
  readonly chaos?: readonly string[];
  readonly parameterServers?: number;
  readonly launch?: 'local';
}

export function applyOverrides(text: string, overrides: Overrides): string {
  const changes: (readonly [readonly string[], unknown])[] = [];
  const { dataPath, testPath, model, workers, epochs, chaos, parameterServers, launch } = overrides;
  if (dataPath !== undefined) changes.push([['data', 'path'], dataPath]);
  if (testPath !== undefined) changes.push([['data', 'testPath'], testPath]);
  if (model !== undefined) changes.push([['network', 'model'], model]);
  if (workers !== undefined) changes.push([['cluster', 'workers'], { min: workers.min, max: workers.max }]);
  if (epochs !== undefined) changes.push([['training', 'epochs'], epochs]);
  if (parameterServers !== undefined) changes.push([['cluster', 'parameterServers'], parameterServers]);
  if (launch !== undefined) changes.push([['cluster', 'launch'], launch]);
  const faults = chaos ?? [];
  if ((changes.length === 0 && faults.length === 0) || scan(text).length > 0) return text;

  const document = parseDocument(text, { version: '1.2', schema: 'core', uniqueKeys: false, logLevel: 'silent' });
  if (document.errors.length > 0 || !isMap(document.contents)) return text;
  for (const [path, value] of changes) {
    const block = path[0]!;
    // `training:` with nothing after it is an empty value, not a mapping.
    const present = document.get(block);
    if (!isMap(present)) {
      if (present !== undefined && present !== null) continue;
      document.set(block, document.createNode({}));
    }
    document.setIn(path, document.createNode(value));
  }
  if (faults.length > 0) {
    const list = document.get('chaos');
    if (isSeq(list)) for (const fault of faults) list.add(document.createNode(fault));
    else document.set('chaos', document.createNode([...faults]));
  }
  return document.toString({ lineWidth: 0 });
}
