#!/usr/bin/env node
// The only place where the real clock, randomness, sockets, disks and processes come in.
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { runCommand } from './cli/cli.ts';
import type { Host } from './cluster/host.ts';
import { InvariantError } from './lib/assert.ts';
import { LOG_LEVELS, type LogLevel } from './lib/log.ts';
import { plant } from './lib/planted.ts';
import { keepYoung } from './platform/engine.ts';
import { realEnvironment } from './platform/environment.ts';

const stop = new AbortController();
let interrupts = 0;
for (const name of ['SIGINT', 'SIGTERM'] as const) {
  process.on(name, () => {
    // The second time somebody means it.
    if (++interrupts > 1) process.exit(130);
    stop.abort(new Error(`received ${name}`));
  });
}

/** Components log what they do; commands that a person types speak for themselves. */
function logLevel(): LogLevel {
  const asked = LOG_LEVELS.find((level) => level === process.env.TSUKUBE_LOG);
  return asked ?? (['server', 'agent'].includes(process.argv[2] ?? '') ? 'info' : 'warn');
}

// Refused by any build but the one that is made for it.
if (process.env.TSUKUBE_PLANT) plant(...process.env.TSUKUBE_PLANT.split(','));

const file = fileURLToPath(import.meta.url);
const host: Host = {
  env: realEnvironment(logLevel()),
  environment: process.env,
  isRoot: process.getuid?.() === 0,
  platform: process.platform,
  // Source maps cost a long-running process 90 MB from its first stack trace on; a command is gone soon.
  program: [process.execPath, ...process.execArgv.filter((option) => option !== '--enable-source-maps'), file],
  packageRoot: join(dirname(file), '..'),
  out: (text) => void process.stdout.write(text),
  err: (text) => void process.stderr.write(text),
};

// A promise that somebody forgot must not take a cluster down; a broken invariant does. A command that a person typed ends.
if (['server', 'agent'].includes(process.argv[2] ?? '')) {
  keepYoung();
  process.on('unhandledRejection', (error) => {
    if (error instanceof InvariantError) throw error;
    host.env.log.error('a rejection that nobody handled', error);
  });
}

process.exitCode = await runCommand(host, process.argv.slice(2), stop.signal);
// What a component left open must not keep a finished command alive.
if (!process.stdout.writableNeedDrain) process.exit();
process.stdout.once('drain', () => process.exit());
