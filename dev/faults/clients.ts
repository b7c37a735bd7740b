/** Processes that use one ledger side by side, as the API's and the workers' do. Any of them can be killed or frozen. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import type { LedgerOptions } from '../../db/ledger';
import type { Operation, Outcome } from '../../domain/operations';
import { packageRoot } from '../root';

/** What the sessions of such processes are called in Postgres. */
export const CLIENT_NAME = 'holdfast faults client';

export interface Question {
  readonly number: number;
  readonly operation: Operation;
}

export interface Failure {
  readonly message: string;
  /** Whether the same operation can be asked again. */
  readonly mayPass: boolean;
}

export type Answer = { readonly number: number } & ({ readonly outcome: Outcome } | { readonly failure: Failure });

/** No answer, and nobody knows whether the operation was applied: the same one can be asked again. */
export class Unanswered extends Error {
  override readonly name = 'Unanswered';
}

export interface LedgerClient {
  readonly pid: number;
  /** Settles when the process takes questions; what is asked before waits for that. @throws Error when it ends first. */
  readonly ready: Promise<unknown>;
  /** @throws Unanswered when the process ended first or Postgres was away. */
  apply(operation: Operation): Promise<Outcome>;
  signal(signal: NodeJS.Signals): void;
  /** `kill -9`. Settles when the process is gone and everything that it told was heard. */
  kill(): Promise<void>;
  /** Lets the process end by itself. */
  stop(): Promise<void>;
  /** How the process ended when nobody killed or stopped it; never settles otherwise. */
  readonly died: Promise<string>;
}

interface Asked {
  readonly resolve: (outcome: Outcome) => void;
  readonly reject: (error: Error) => void;
}

/** Starts a process of the compiled program. */
export function startClient(url: string, options: LedgerOptions = {}): LedgerClient {
  const program = join(packageRoot(), 'dist/dev/faults/clientProgram.js');
  const child = fork(program, [url, JSON.stringify(options)], {
    // Amounts are bigints, which JSON does not carry.
    serialization: 'advanced',
    execArgv: [],
  });
  const gone = goneOf(child);
  const ready = Promise.race([
    // The first thing that it says.
    once(child, 'message'),
    gone.then((how) => {
      throw new Error(`${how} before it took any question; was it built?`);
    }),
  ]);
  ready.catch(() => undefined);
  const asked = new Map<number, Asked>();
  let number = 0;
  let meantToEnd = false;
  child.on('message', (answer: Answer | 'ready') => {
    if (answer === 'ready') return;
    const one = asked.get(answer.number);
    asked.delete(answer.number);
    if ('outcome' in answer) one?.resolve(answer.outcome);
    else one?.reject(errorOf(answer.failure));
  });
  // The channel closes after the last thing that came through it was heard, which may be later than the process ends.
  child.once('disconnect', () => {
    for (const { reject } of asked.values()) reject(new Unanswered('the process ended'));
    asked.clear();
  });
  return {
    pid: child.pid as number,
    ready,
    apply(operation) {
      return new Promise((resolve, reject) => {
        if (!child.connected) return reject(new Unanswered('the process has ended'));
        number += 1;
        asked.set(number, { resolve, reject });
        const question: Question = { number, operation };
        // A process that ends meanwhile closes the channel, which rejects everything that was asked.
        child.send(question, () => undefined);
      });
    },
    signal: (signal) => {
      child.kill(signal);
    },
    async kill() {
      meantToEnd = true;
      child.kill('SIGKILL');
      await gone;
    },
    async stop() {
      meantToEnd = true;
      if (child.connected) child.disconnect();
      await gone;
    },
    died: new Promise((resolve) => {
      void gone.then((how) => {
        if (!meantToEnd) resolve(how);
      });
    }),
  };
}

async function goneOf(child: ChildProcess): Promise<string> {
  const [[code, signal]] = await Promise.all([once(child, 'exit'), once(child, 'disconnect')]);
  return `process ${child.pid} ended with ${signal ?? code}`;
}

function errorOf({ message, mayPass }: Failure): Error {
  return mayPass ? new Unanswered(message) : new Error(message);
}
