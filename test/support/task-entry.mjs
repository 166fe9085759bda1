// What the tests run as a task. It ends when its host does, and what else it does is in DO:
//   exit <code>   ends at once
//   deaf          does not react to SIGTERM
//   wait          (or nothing) waits for a signal
process.stdin.on('end', () => process.exit(0)).resume();
const environment = Object.entries(process.env).filter(([name]) => name.startsWith('CUTTLEFISH_'));
console.log(JSON.stringify(Object.fromEntries(environment)));
console.error('to standard error');

const [what, code] = (process.env.DO ?? 'wait').split(' ');
if (what === 'exit') process.exit(Number(code));
if (what === 'deaf') {
  process.on('SIGTERM', () => {});
  console.log('deaf');
}
setInterval(() => {}, 1000);
