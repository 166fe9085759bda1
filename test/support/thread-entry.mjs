// What the tests run as a thread that goes wrong: it does not answer; one whose network is called `leaving` ends instead.
import { parentPort, workerData } from 'node:worker_threads';

parentPort.on('message', () => {
  if (workerData.spec.name === 'leaving') process.exit(3);
});
parentPort.postMessage('ready');
