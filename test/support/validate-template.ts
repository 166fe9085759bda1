/** AWS's own offline validator on a packaged template: warnings and errors, as sentences. */
import { readFileSync } from 'node:fs';
import { RegoEngine, TemplateFile } from '@aws/cloudformation-validate';
import type { Template } from './package-stack.ts';
import { suppressions } from './stack-variants.ts';

/**
 * What each parameter could be. The validator follows both branches of every condition with the one value that a parameter
 * has, so that an empty one, which a condition keeps away from its use, is taken for a mistake there.
 */
const wellFormed: Readonly<Record<string, string>> = {
  TaskImage: `111122223333.dkr.ecr.us-east-1.amazonaws.com/training@sha256:${'0'.repeat(64)}`,
  VpcId: 'vpc-0123456789abcdef0',
  SubnetIds: 'subnet-0123456789abcdef0,subnet-0123456789abcdef1',
  KmsKeyArn: 'arn:aws:kms:us-east-1:111122223333:key/01234567-89ab-cdef-0123-456789abcdef',
  AccessLogBucket: 'access-logs',
  AlarmEmail: 'on-call@example.com',
};

const exclude = suppressions.filter(({ tool }) => tool === 'cloudformation-validate').map(({ rule }) => rule);
/** Made once: compiling its rules takes longer than everything else. */
let engine: InstanceType<typeof RegoEngine> | undefined;

export function validateTemplate(path: string): string[] {
  const { Parameters } = JSON.parse(readFileSync(path, 'utf8')) as Template;
  const empty = Object.entries(wellFormed).filter(([name]) => Parameters[name]?.Default === '');
  engine ??= new RegoEngine();
  const { diagnostics } = engine.validateStandard(new TemplateFile(path), {
    severityLevel: 'WARN',
    parameterOverrides: Object.fromEntries(empty),
    exclude: { ids: exclude },
  });
  return diagnostics.map(({ ruleId, entity, message }) => `${ruleId} ${JSON.stringify(entity)}: ${message}`);
}
