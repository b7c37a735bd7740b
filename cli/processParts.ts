/** What the processes of the product have in common: clock, logs, Temporal, and running until a signal. */
import { Client, Connection } from '@temporalio/client';
import { loadClientConnectConfig } from '@temporalio/envconfig';
import { DefaultLogger, Runtime, type LogLevel as TemporalLogLevel, type Worker } from '@temporalio/worker';
import pino, { type Logger } from 'pino';
import { type Instant, instantOfMilliseconds } from '../domain/instant';
import { type Config, temporalAddress } from './config';

export function now(): Instant {
  return instantOfMilliseconds(Date.now());
}

export function logger(config: Config, name: string): Logger {
  return pino({ name, level: config.logLevel }, pino.destination({ fd: 2, sync: true }));
}

const TEMPORAL_LOG_LEVELS: Readonly<Record<Config['logLevel'], TemporalLogLevel>> = {
  trace: 'TRACE',
  debug: 'DEBUG',
  info: 'INFO',
  warn: 'WARN',
  error: 'ERROR',
  fatal: 'ERROR',
  silent: 'ERROR',
};

/** Makes Temporal's own logging as talkative as ours. */
export function logTemporal({ logLevel }: Config): void {
  Runtime.install({ logger: new DefaultLogger(TEMPORAL_LOG_LEVELS[logLevel]) });
}

/** Where Temporal is, with its own settings of the environment: API key, TLS and the like. */
export function temporalConnection(config: Config) {
  return { ...loadClientConnectConfig().connectionOptions, address: temporalAddress(config) };
}

export async function temporalClient(config: Config): Promise<Client> {
  const connection = await Connection.connect(temporalConnection(config));
  return new Client({ connection, namespace: config.temporalNamespace });
}

/** Runs workers side by side. One that fails ends the others: half a process would look whole. */
export async function runUntilSignalled(...workers: readonly Worker[]): Promise<void> {
  let fail = () => {};
  const failed = new Promise<void>((resolve) => {
    fail = resolve;
  });
  // Worker.run() listens to no signals of its own: without this a SIGTERM would cut attempts off unmetered.
  const ended = Promise.race([signalled(), failed]);
  const outcomes = await Promise.allSettled(workers.map((worker) => worker.runUntil(ended).finally(fail)));
  for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason;
}

export function signalled(): Promise<void> {
  return new Promise((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => resolve());
  });
}
