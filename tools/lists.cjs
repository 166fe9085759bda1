// Lists in the template that come from one `params` value with commas: CloudFormation can split a list of names, but not
// make objects or ARNs of it. CommonJS, because the framework calls `${file(...):name}` as a function only there.
const list = async (resolveVariable, name, accepted, example) => {
  const values = String(await resolveVariable(`param:${name}`))
    .split(',')
    .map((value) => value.trim())
    .filter((value) => value !== '');
  const wrong = values.filter((value) => !accepted.test(value));
  if (wrong.length > 0) throw new Error(`${name} has "${wrong.join(', ')}"; accepted: ${example}`);
  return values;
};

const buckets = (resolveVariable) =>
  list(resolveVariable, 'dataBuckets', /^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/, 'names of buckets with commas between');

module.exports = {
  /** Overrides of the launch template. A group that does not fit its smallest type never scales: one size for all. */
  instanceTypes: async ({ resolveVariable }) => {
    const example = 'instance types of one size with commas between, such as m7i.xlarge,m6i.xlarge';
    const types = await list(resolveVariable, 'instanceTypes', /^[a-z0-9-]+\.[a-z0-9-]+$/, example);
    const sizes = new Set(types.map((type) => type.split('.')[1]));
    if (sizes.size !== 1) throw new Error(`instanceTypes is "${types.join(',')}"; accepted: ${example}`);
    return types.map((InstanceType) => ({ InstanceType }));
  },
  /** Buckets that training data may be listed in, the stack's own first. */
  dataBuckets: async ({ resolveVariable }) => [
    { 'Fn::GetAtt': ['Bucket', 'Arn'] },
    ...(await buckets(resolveVariable)).map((name) => ({ 'Fn::Sub': `arn:\${AWS::Partition}:s3:::${name}` })),
  ],
  /** Objects that may be read as training data: data/ of the stack's own bucket, all of the others. */
  dataObjects: async ({ resolveVariable }) => [
    { 'Fn::Sub': `\${Bucket.Arn}/data/*` },
    ...(await buckets(resolveVariable)).map((name) => ({ 'Fn::Sub': `arn:\${AWS::Partition}:s3:::${name}/*` })),
  ],
};
