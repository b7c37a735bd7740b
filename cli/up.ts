/** `holdfast up`: the whole product until Ctrl-C, or for as long as a caller such as the demo needs it. */
import { constants } from 'node:os';
import Table from 'cli-table3';
import type { Instance } from '../dev/instance';
import { showSteps } from '../dev/steps';
import { type Product, StartRefused, startProduct } from '../dev/supervisor';
import type { Config } from './config';

export interface Up {
  readonly config: Config;
  /** Stay up until a signal comes. Otherwise `up` returns as soon as everything answers, and the caller stops it. */
  readonly keep: boolean;
  /** Whether URLs and keys are printed to standard output once everything answers; true unless said otherwise. */
  readonly print?: boolean;
  /** As in `StartProduct`. */
  readonly program?: string;
}

export interface Started {
  readonly instance: Instance;
  /** Ends everything that `up` started; nothing of it stays. */
  stop(): Promise<void>;
}

/**
 * Brings the product up. With `keep` it resolves after everything was stopped again by a signal. Signals stop everything also in
 * the middle of a start, or while a caller works; then the process ends with 0 if it was to be kept and 128 + signal
 * otherwise.
 *
 * @throws StartRefused when another start runs from the same home folder or the wanted port is taken.
 */
export async function up({ config, keep, print = true, program }: Up): Promise<Started> {
  const { step, say } = showSteps();
  const product = startProduct({ config, step, say, ...(program ? { program } : {}) });
  const signals = stopOnSignals(product, { keep, say });
  let instance: Instance;
  try {
    instance = await product.ready;
  } catch (error) {
    // A signal in the middle of a start is no failure: the process ends once all is stopped.
    if (signals.came()) await signals.stopped;
    signals.forget();
    throw error;
  }
  if (print) process.stdout.write(describe(instance, { keep }));
  const stop = async () => {
    signals.forget();
    await product.stop();
  };
  if (keep) await signals.stopped;
  return { instance, stop };
}

/** Runs `up` as a command and gives its exit code. */
export async function upCommand(config: Config, program?: string): Promise<number> {
  try {
    await up({ config, keep: true, ...(program ? { program } : {}) });
    return 0;
  } catch (error) {
    const text = error instanceof StartRefused ? error.message : ((error as Error).stack ?? String(error));
    process.stderr.write(`${text}\n`);
    return 1;
  }
}

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

function stopOnSignals(product: Product, { keep, say }: { keep: boolean; say: (sentence: string) => void }) {
  let came = false;
  let resolveStopped: () => void = () => undefined;
  const stopped = new Promise<void>((resolve) => {
    resolveStopped = resolve;
  });
  const listener = (signal: (typeof SIGNALS)[number]) => {
    if (came) {
      product.hurry();
      return;
    }
    came = true;
    say('Stopping everything; the next start continues with the same data.');
    void product.stop().then(
      () => {
        resolveStopped();
        // The caller's work, if any, has lost its ground: nothing sensible can follow.
        process.exit(keep ? 0 : 128 + constants.signals[signal]);
      },
      (error) => {
        say(`Not everything could be stopped: ${(error as Error).message}`);
        process.exit(1);
      },
    );
  };
  for (const signal of SIGNALS) process.on(signal, listener);
  return {
    came: () => came,
    stopped,
    forget: () => {
      for (const signal of SIGNALS) process.off(signal, listener);
    },
  };
}

function describe(instance: Instance, { keep }: { keep: boolean }): string {
  const urls = new Table({ style: { head: [], border: [] }, head: ['What', 'Where'] });
  urls.push(['API', String(instance.apiUrl)], ['API documentation', String(instance.docsUrl)]);
  if (instance.temporalUiUrl) urls.push(['Temporal UI', instance.temporalUiUrl]);
  urls.push(['Temporal', `${instance.temporalAddress} (namespace ${instance.namespace})`]);
  const people = new Table({ style: { head: [], border: [] }, head: ['Person', 'Role', 'API key'] });
  for (const { name, role, key } of Object.values(instance.keys)) people.push([name, role, key]);
  const lines = ['', 'Holdfast is up.', urls.toString()];
  if (people.length > 0) lines.push(people.toString());
  if (keep) lines.push('Ctrl-C stops everything.');
  return `${lines.join('\n')}\n`;
}
