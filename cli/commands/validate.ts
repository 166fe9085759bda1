/** `cuttlefish validate`: every problem of every file at once. Looks at the files only; starts and writes nothing. */
import { parseConfig } from '../../core/config/parse.ts';
import { CuttlefishError, describeFailure, type Issue, toFailure } from '../../core/failure.ts';
import { readConfigText } from '../config.ts';
import { type ExitCode, exitCodes, type Output } from '../output.ts';

interface Checked {
  readonly file: string;
  readonly status: 'valid' | 'invalid';
  readonly issues: readonly Issue[];
}

export async function validate(files: readonly string[], output: Output): Promise<ExitCode> {
  const checked = files.map((file) => checkFile(file, output));
  const valid = checked.every(({ status }) => status === 'valid');
  output.document({ status: valid ? 'valid' : 'invalid', files: checked });
  return valid ? exitCodes.done : exitCodes.usage;
}

function checkFile(file: string, output: Output): Checked {
  let issues: readonly Issue[] = [];
  try {
    const parsed = parseConfig(readConfigText(file), file);
    if (parsed.kind === 'valid') {
      output.print(`${file}: valid`);
      return { file, status: 'valid', issues };
    }
    issues = parsed.issues;
    output.note(describeFailure({ kind: 'ConfigInvalid', source: file, issues }));
  } catch (error) {
    if (!(error instanceof CuttlefishError)) throw error;
    const message = describeFailure(toFailure(error));
    issues = [{ path: '', line: 0, column: 0, message }];
    output.note(`cuttlefish: ${message}`);
  }
  return { file, status: 'invalid', issues };
}
