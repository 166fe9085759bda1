// The workflow's definition as the JSON text that CloudFormation takes. As text, because the framework drops null values
// from objects on their way into the template, and a variable that is null on a laptop must be null on AWS as well.
// CommonJS, because the framework calls `${file(...)}` as a function only there.
const { readFileSync } = require('node:fs');
const { join } = require('node:path');
const { parse } = require('yaml');

module.exports = () => JSON.stringify(parse(readFileSync(join(__dirname, '../statemachines/train.asl.yaml'), 'utf8')));
