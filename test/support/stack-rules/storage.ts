/** What keeps data: private, encrypted with the stack's key where there is one, recoverable, and not for ever. */
import { asList, at, ofType, type Template } from '../package-stack.ts';

/** Made by the framework for the packages; it cannot be given what ours have, but it blocks public access and plain HTTP. */
export const deploymentBucket = 'ServerlessDeploymentBucket';

/** Where the customer's key goes, by type: a path to a value that must hang on the condition HasKey. */
const keyed: Readonly<Record<string, readonly (string | number)[]>> = {
  'AWS::S3::Bucket': ['BucketEncryption', 'ServerSideEncryptionConfiguration', 0],
  'AWS::DynamoDB::Table': ['SSESpecification', 'KMSMasterKeyId'],
  'AWS::Logs::LogGroup': ['KmsKeyId'],
  'AWS::SQS::Queue': ['KmsMasterKeyId'],
  'AWS::SNS::Topic': ['KmsMasterKeyId'],
  'AWS::Lambda::Function': ['KmsKeyArn'],
  'AWS::ECR::Repository': ['EncryptionConfiguration', 'KmsKey'],
};

export function storage(template: Template): string[] {
  return [...buckets(template), ...tables(template), ...others(template), ...keys(template)];
}

function keys(template: Template): string[] {
  return Object.entries(keyed).flatMap(([type, path]) =>
    ofType(template, type)
      .filter(([id, { Properties }]) => id !== deploymentBucket && at(Properties, ...path, 'Fn::If', 0) !== 'HasKey')
      .map(([id]) => `${id}: does not take the customer's key`),
  );
}

function buckets(template: Template): string[] {
  const found: string[] = [];
  for (const [id, { Properties }] of ofType(template, 'AWS::S3::Bucket')) {
    const block = Properties.PublicAccessBlockConfiguration;
    for (const setting of ['BlockPublicAcls', 'BlockPublicPolicy', 'IgnorePublicAcls', 'RestrictPublicBuckets']) {
      if (at(block, setting) !== true) found.push(`${id}: ${setting} is off`);
    }
    if (Properties.BucketEncryption === undefined) found.push(`${id}: not encrypted`);
    if (!ofType(template, 'AWS::S3::BucketPolicy').some(([, policy]) => at(policy.Properties.Bucket, 'Ref') === id))
      found.push(`${id}: no bucket policy`);
    if (at(Properties.VersioningConfiguration, 'Status') !== 'Enabled') found.push(`${id}: not versioned`);
    if (id === deploymentBucket) continue;
    if (at(Properties.OwnershipControls, 'Rules', 0, 'ObjectOwnership') !== 'BucketOwnerEnforced')
      found.push(`${id}: ACLs are on`);
    const rules = asList(at(Properties.LifecycleConfiguration, 'Rules'));
    for (const rule of ['AbortIncompleteMultipartUpload', 'NoncurrentVersionExpiration']) {
      if (!rules.some((each) => at(each, rule) !== undefined)) found.push(`${id}: no ${rule}`);
    }
  }
  return found;
}

function tables(template: Template): string[] {
  const found: string[] = [];
  for (const [id, { Properties }] of ofType(template, 'AWS::DynamoDB::Table')) {
    if (at(Properties.PointInTimeRecoverySpecification, 'PointInTimeRecoveryEnabled') !== true)
      found.push(`${id}: no point-in-time recovery`);
    if (at(Properties.SSESpecification, 'SSEEnabled') !== true) found.push(`${id}: not encrypted with a key of KMS`);
    if (Properties.BillingMode !== 'PAY_PER_REQUEST') found.push(`${id}: costs when idle`);
    if (Properties.TimeToLiveSpecification !== undefined) found.push(`${id}: rows may vanish by TTL`);
    if (JSON.stringify(at(Properties.DeletionProtectionEnabled, 'Fn::If')) !== '["KeepsData",true,false]')
      found.push(`${id}: not protected from deletion`);
  }
  return found;
}

function others(template: Template): string[] {
  const found: string[] = [];
  for (const [id, { Properties }] of ofType(template, 'AWS::Logs::LogGroup')) {
    if (at(Properties.RetentionInDays, 'Ref') !== 'LogRetentionDays') found.push(`${id}: keeps logs for ever`);
  }
  for (const [id, { Properties }] of ofType(template, 'AWS::SQS::Queue')) {
    if (at(Properties.SqsManagedSseEnabled, 'Fn::If', 2) !== true) found.push(`${id}: not encrypted without a key`);
  }
  for (const [id, { Properties }] of ofType(template, 'AWS::ECR::Repository')) {
    if (Properties.ImageTagMutability !== 'IMMUTABLE') found.push(`${id}: a tag may change its meaning`);
    if (at(Properties.ImageScanningConfiguration, 'ScanOnPush') !== true) found.push(`${id}: images are not scanned`);
  }
  return found;
}
