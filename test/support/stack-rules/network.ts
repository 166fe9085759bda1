/** Who reaches what: tasks each other on one port, nothing else in; instances that give their credentials to nobody. */
import { asList, at, ofType, type Template } from '../package-stack.ts';

export function network(template: Template): string[] {
  const found: string[] = [];
  const check = (where: string, rule: unknown, inbound: boolean) => {
    if (at(rule, 'Description') === undefined) found.push(`${where}: a rule without a description`);
    if (String(at(rule, 'IpProtocol')) !== 'tcp') found.push(`${where}: a rule for any protocol`);
    if (at(rule, 'FromPort') === undefined || at(rule, 'FromPort') !== at(rule, 'ToPort'))
      found.push(`${where}: a rule for more than one port`);
    if (inbound && at(rule, 'SourceSecurityGroupId') === undefined) found.push(`${where}: open to addresses`);
    if (inbound && (at(rule, 'CidrIp') ?? at(rule, 'CidrIpv6') ?? at(rule, 'SourcePrefixListId')) !== undefined)
      found.push(`${where}: open to addresses`);
  };
  for (const [id, { Properties }] of ofType(template, 'AWS::EC2::SecurityGroup')) {
    for (const rule of asList(Properties.SecurityGroupIngress)) check(id, rule, true);
    for (const rule of asList(Properties.SecurityGroupEgress)) check(id, rule, false);
    if (asList(Properties.SecurityGroupEgress).length === 0) found.push(`${id}: reaches everything`);
  }
  for (const [id, { Properties }] of ofType(template, 'AWS::EC2::SecurityGroupIngress')) check(id, Properties, true);
  for (const [id, { Properties }] of ofType(template, 'AWS::EC2::SecurityGroupEgress')) check(id, Properties, false);
  for (const [id, { Properties }] of ofType(template, 'AWS::EC2::Subnet')) {
    if (Properties.MapPublicIpOnLaunch !== false) found.push(`${id}: gives public addresses by itself`);
  }
  for (const [id, { Properties }] of ofType(template, 'AWS::EC2::LaunchTemplate')) {
    const data = Properties.LaunchTemplateData;
    if (at(data, 'MetadataOptions', 'HttpTokens') !== 'required') found.push(`${id}: answers IMDSv1`);
    if (at(data, 'MetadataOptions', 'HttpPutResponseHopLimit') !== 1)
      found.push(`${id}: instance credentials reach containers`);
    if (!String(at(data, 'UserData', 'Fn::Base64', 'Fn::Sub')).includes('ECS_AWSVPC_BLOCK_IMDS=true'))
      found.push(`${id}: tasks reach the instance metadata`);
    const disks = asList(at(data, 'BlockDeviceMappings'));
    if (disks.length === 0) found.push(`${id}: says nothing of its disk`);
    for (const disk of disks) if (at(disk, 'Ebs', 'Encrypted') !== true) found.push(`${id}: a disk is not encrypted`);
  }
  return found;
}
