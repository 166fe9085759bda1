/** What stays and what costs: data is kept when the stack asks for it, nothing else is, and nothing bills while no run is. */
import { ofType, type Template } from '../package-stack.ts';
import { deploymentBucket } from './storage.ts';

const stateful = [
  'AWS::S3::Bucket',
  'AWS::DynamoDB::Table',
  'AWS::SQS::Queue',
  'AWS::ECR::Repository',
  'AWS::Logs::LogGroup',
];
/** Kept or deleted as `dataRetention` says. */
const data = ['Bucket', 'BucketPolicy', 'Table'];
/** By the hour or the month, used or not. */
const billedWhenIdle = [
  'AWS::EC2::NatGateway',
  'AWS::EC2::EIP',
  'AWS::EC2::Instance',
  'AWS::ECS::Service',
  'AWS::ElasticLoadBalancingV2::LoadBalancer',
  'AWS::KMS::Key',
  'AWS::SecretsManager::Secret',
];
/** Log groups of functions are made by the framework, which leaves them to be deleted, as is the default. */
const framework = (id: string) => id === deploymentBucket || id.endsWith('LogGroup');

export function lifetime(template: Template): string[] {
  const found: string[] = [];
  const wanted = template.Parameters.DataRetention?.Default;
  for (const [id, resource] of Object.entries(template.Resources)) {
    if (data.includes(id)) {
      if (resource.DeletionPolicy !== wanted || resource.UpdateReplacePolicy !== wanted)
        found.push(`${id}: is not kept or deleted as it was asked for`);
    } else if (resource.DeletionPolicy === 'Retain') found.push(`${id}: stays when the stack goes`);
    else if (stateful.includes(resource.Type) && !framework(id) && resource.DeletionPolicy === undefined)
      found.push(`${id}: does not say what happens to it when the stack goes`);
    if (billedWhenIdle.includes(resource.Type)) found.push(`${id}: costs when idle`);
  }
  for (const [id, { Properties, Condition }] of ofType(template, 'AWS::EC2::VPCEndpoint')) {
    if (Properties.VpcEndpointType === 'Interface' && Condition !== 'OwnNetworkUsesEc2')
      found.push(`${id}: costs when idle`);
  }
  return found;
}
