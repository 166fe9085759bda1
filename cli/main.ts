/** The `cuttlefish` command: the composition root of the laptop. */
process.stderr.write('cuttlefish: this version has no commands yet\n');
process.exitCode = 2;
