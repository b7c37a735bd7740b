/**
 * `npm run bench [-- --only NAME] [-- --json FILE]`: ratios of what we do against the barest way to do as much, measured in
 * the same run on the same servers, in alternating rounds. Each figure is one JSON line on standard output; progress goes
 * to standard error.
 */
import { appendFile, writeFile } from 'node:fs/promises';
import { availableParallelism, loadavg } from 'node:os';
import { Command, InvalidArgumentError } from 'commander';
import { benchContracts } from './contracts';
import type { Effort, Figure } from './figure';
import { benchJobPost, benchJobWorkflow } from './jobs';
import { benchHotPool } from './ledger/hotPool';
import { benchHotPoolLatency } from './ledger/hotPoolLatency';
import { benchHotPoolTail } from './ledger/hotPoolTail';
import { benchJournalSize } from './ledger/journalSize';
import { benchManyLots } from './ledger/manyLots';
import { benchManyPools } from './ledger/manyPools';
import { type BenchServer, startBenchServer } from './ledger/server';
import { benchVerify } from './ledger/verify';
import { benchWal } from './ledger/wal';
import { benchRunners } from './runners';
import { type BenchWorld, startBenchWorld } from './world';

/** Servers are started when the first figure asks for them, and stay for the others. */
interface Servers {
  readonly world: () => Promise<BenchWorld>;
  readonly ledger: () => Promise<BenchServer>;
}

type Bench = (servers: Servers, effort: Effort) => Promise<Figure | Figure[]>;

const onWorld =
  (bench: (world: BenchWorld) => Promise<Figure>): Bench =>
  async ({ world }) =>
    bench(await world());
const onLedger =
  (bench: (server: BenchServer, effort: Effort) => Promise<Figure | Figure[]>): Bench =>
  async ({ ledger }, effort) =>
    bench(await ledger(), effort);

/** The families, each with its figures; `--only` takes the name of either. */
const FAMILIES: Readonly<Record<string, Readonly<Record<string, Bench>>>> = {
  jobs: {
    'job-workflow': onWorld(benchJobWorkflow),
    'job-post': onWorld(benchJobPost),
  },
  contracts: {
    contracts: async ({ world }, effort) => benchContracts(await world(), effort),
  },
  runners: {
    runners: async (_, effort) => benchRunners(effort),
  },
  ledger: {
    'hot-pool': onLedger(benchHotPool),
    'hot-pool-latency': onLedger(benchHotPoolLatency),
    'hot-pool-tail': onLedger(benchHotPoolTail),
    'journal-size': onLedger(benchJournalSize),
    'many-pools': onLedger(benchManyPools),
    'many-lots': onLedger(benchManyLots),
    wal: onLedger(benchWal),
    verify: onLedger(benchVerify),
  },
};
const FIGURES: Readonly<Record<string, Bench>> = Object.assign({}, ...Object.values(FAMILIES));

async function main(): Promise<void> {
  const names = [...Object.keys(FAMILIES), ...Object.keys(FIGURES)].join(', ');
  const { only, json, ...effort } = new Command('bench')
    .option('--only <name>', `a family or a figure: ${names}`)
    .option('--json <file>', 'write the lines to a file too')
    .option('--rounds <n>', 'how often each measurement of the ledger is taken', whole, 5)
    .option('--seconds <n>', 'how long a measurement of the ledger takes', whole, 3)
    .option('--contracts <n>', 'contracts: how many are alive', whole, 10_000)
    .option('--sizes <n,n>', 'journal-size: operations in the journal', wholes, [1_000_000, 10_000_000])
    .parse()
    .opts<Effort & { only?: string; json?: string }>();
  const benches = only === undefined ? FIGURES : (FAMILIES[only] ?? pick(FIGURES, only));
  if (!benches) throw new Error(`there is no benchmark "${only}"; there are ${names}`);
  if (json !== undefined) await writeFile(json, '');

  const { servers, stop } = startWhenAsked();
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.once(signal, () => void stop().then(() => process.exit(1)));
  try {
    for (const bench of Object.values(benches)) {
      // What others do on the machine meanwhile explains more than any figure.
      const machine = { processors: availableParallelism(), loadBefore: loadavg()[0] };
      for (const figure of [await bench(servers, effort)].flat()) {
        const line = JSON.stringify({ ...figure, machine });
        process.stdout.write(`${line}\n`);
        if (json !== undefined) await appendFile(json, `${line}\n`);
      }
    }
  } finally {
    await stop();
  }
}

function pick<T>(all: Readonly<Record<string, T>>, name: string): Readonly<Record<string, T>> | undefined {
  const picked = all[name];
  return picked && { [name]: picked };
}

function startWhenAsked(): { servers: Servers; stop: () => Promise<void> } {
  const started: Promise<{ stop(): Promise<void> }>[] = [];
  const once = <T extends { stop(): Promise<void> }>(start: () => Promise<T>) => {
    let running: Promise<T> | undefined;
    return () => {
      if (running === undefined) {
        running = start();
        started.push(running);
      }
      return running;
    };
  };
  const stop = async () => {
    for (const starting of started.splice(0)) await starting.then((running) => running.stop());
  };
  return { servers: { world: once(startBenchWorld), ledger: once(startBenchServer) }, stop };
}

function whole(text: string): number {
  if (!/^[1-9]\d{0,8}$/.test(text))
    throw new InvalidArgumentError('a whole number above zero in plain digits is wanted');
  return Number(text);
}

function wholes(text: string): number[] {
  return text.split(',').map(whole);
}

main().catch((error) => {
  process.stderr.write(`${error?.stack ?? error}\n`);
  process.exitCode = 1;
});
