/**
 * What we demand of the template beyond what a validator checks. Each rule answers its findings as sentences; a template
 * without findings is a good one. The rules follow the published checkers (cfn-nag, checkov, cdk-nag, Security Hub), with
 * those that checkov has for Terraform only; where we decided otherwise, the exception is in a list with its reason.
 */
import type { Template } from '../package-stack.ts';
import { access } from './access.ts';
import { compute } from './compute.ts';
import { lifetime } from './lifetime.ts';
import { network } from './network.ts';
import { observability } from './observability.ts';
import { storage } from './storage.ts';
import { trust } from './trust.ts';
import { workflow } from './workflow.ts';

export function findings(template: Template): string[] {
  return [access, trust, storage, network, compute, workflow, observability, lifetime].flatMap((rule) =>
    rule(template),
  );
}
