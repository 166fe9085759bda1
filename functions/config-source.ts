/**
 * Where the text of a config comes from, and what is left beside it when it is refused. A person who drops a file in the
 * bucket looks there first, so that is where the problems are written.
 */
import type { Cloud } from '../cloud/ports.ts';
import { CuttlefishError, describeFailure, type Failure } from '../core/failure.ts';
import type { ExecutionInput } from '../core/workflow.ts';

export interface ConfigSource {
  readonly text: string;
  /** For messages: the name of the file, or `config`. */
  readonly source: string;
  readonly uri?: string;
  /** When it is an object of our own bucket. */
  readonly key?: string;
}

const decode = (body: Uint8Array): string => new TextDecoder().decode(body);
export const errorsKey = (configKey: string): string => `${configKey}.errors.txt`;

/** `configs/<anything>.yaml` or `.yml`; not what lies elsewhere, and not the errors files that we write there. */
export function isConfigKey(key: string): boolean {
  return /^configs\/.+\.ya?ml$/i.test(key);
}

/** The reference that the execution carries for an object of our bucket; the inverse of `keyOf`. */
export function uriOf({ objects }: Pick<Cloud, 'objects'>, key: string): string {
  const located = objects.locate(key);
  return located.startsWith('s3://') ? located : key;
}

/** The key when the URI names an object of our own bucket: only there are versions known, and may we write. */
export function keyOf({ objects }: Pick<Cloud, 'objects'>, uri: string): string | undefined {
  if (!uri.startsWith('s3://')) return /^(configs|runs)\//.test(uri) ? uri : undefined;
  const key = uri.replace(/^s3:\/\/[^/]*\//, '');
  return objects.locate(key) === uri ? key : undefined;
}

export async function readConfig(
  input: ExecutionInput,
  cloud: Pick<Cloud, 'objects' | 'datasets'>,
): Promise<ConfigSource> {
  if ('config' in input) return { text: input.config, source: 'config' };
  const { configUri: uri, version } = input;
  const key = keyOf(cloud, uri);
  const body =
    key === undefined
      ? await cloud.datasets.read(uri)
      : (await (version === undefined ? cloud.objects.get(key) : cloud.objects.getVersion(key, version)))?.body;
  if (body === undefined) {
    const which = version === undefined ? '' : ` in version ${version}`;
    throw new CuttlefishError({
      kind: 'ConfigInvalid',
      source: uri,
      issues: [{ path: '', line: 0, column: 0, message: `there is no such file${which}` }],
    });
  }
  return { text: decode(body), source: uri, uri, ...(key === undefined ? {} : { key }) };
}

/** Writes what is wrong beside the config; a failure that is not about the config or its data is left out. */
export async function writeErrors({ objects }: Pick<Cloud, 'objects'>, key: string, failure: Failure): Promise<void> {
  await objects.put(errorsKey(key), `${describeFailure(failure)}\n`, 'always');
}

export async function clearErrors({ objects }: Pick<Cloud, 'objects'>, key: string): Promise<void> {
  if ((await objects.get(errorsKey(key))) !== undefined) await objects.delete(errorsKey(key));
}
