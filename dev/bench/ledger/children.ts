/** Processes of clients: asked one question at a time, gone when their parent is. */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { exitWithParent } from '../../parent';

export interface Child<Q, A> {
  readonly pid: number;
  /** @throws Error when the process ends instead of answering; what went wrong is on standard error. */
  ask(question: Q): Promise<A>;
  stop(): Promise<void>;
}

/** Starts a compiled file of this folder, which answers by {@link answerParent}. */
export function startChild<Q extends object, A>(file: string, args: readonly string[]): Child<Q, A> {
  const child = fork(join(__dirname, file), args);
  const ended = once(child, 'exit').then(([code]) => code as number | null);
  return {
    pid: child.pid as number,
    async ask(question) {
      const answered = once(child, 'message').then(([answer]) => answer as A);
      child.send(question);
      const died = ended.then((code) => {
        throw new Error(`${file} ended with ${code}`);
      });
      return Promise.race([answered, died]);
    },
    async stop() {
      if (child.connected) child.disconnect();
      await ended;
    },
  };
}

/** Answers a parent's questions until it is gone. An error ends the process, and the parent hears of that. */
export function answerParent<Q, A>(answer: (question: Q) => Promise<A>): void {
  exitWithParent();
  // Here the channel is a reason to stay: questions come through it.
  process.channel?.ref();
  process.on('message', (question: Q) => {
    answer(question).then(
      (given) => process.send?.(given),
      (error) => {
        process.stderr.write(`${error?.stack ?? error}\n`);
        process.exit(1);
      },
    );
  });
}
