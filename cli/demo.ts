/** `holdfast demo`: on what runs from the home folder, or else on an installation that it starts and stops. */
import { join } from 'node:path';
import { type DemoReport, demo, type Shown } from '../dev/demo';
import { findRunningInstance, type Instance } from '../dev/instance';
import { packageRoot } from '../dev/root';
import { StartRefused } from '../dev/supervisor';
import { createClient } from './client';
import type { Config } from './config';
import { describeProblem, NothingRuns } from './failures';
import { createOutput, formatPairs, formatTable, inCredits, type Output, type Terminal } from './output';
import { showProgress } from './progress';
import { up } from './up';
import { chargeLinesView, drawsView, quoteForecastView, usageView } from './views';

export interface RunDemo {
  readonly config: Config;
  readonly terminal: Terminal;
  readonly output: Output;
  /** Leave an installation that the demo started running until a signal comes. */
  readonly keep: boolean;
}

/** @returns whether everything went as the demo says. */
export async function runDemo({ config, terminal, output, keep }: RunDemo): Promise<boolean> {
  const running = await findReady(config);
  if (running) output.note(`Using the installation on ${running.apiUrl}.`);
  const started = running ? undefined : await start(config, { print: !output.json });
  try {
    const report = await runOn(running ?? started?.instance, { config, terminal, output });
    if (output.json) output.raw(JSON.stringify(report));
    else output.say(summaryOf(report, output));
    if (keep && started) {
      output.note('Still up for looking around. Ctrl-C stops everything.');
      // Ends with the process, when the signal's own work is done.
      await new Promise<never>(() => setInterval(() => undefined, 1 << 30));
    }
    return report.surprises.length === 0;
  } finally {
    await started?.stop();
  }
}

/** What runs from the home folder, if it answers; a start of somebody else that is not ready yet is waited for by nobody. */
async function findReady(config: Config): Promise<Instance | undefined> {
  const instance = findRunningInstance(config.home);
  if (!instance) return undefined;
  const ready = await fetch(`${instance.apiUrl}/health/ready`, { signal: AbortSignal.timeout(10_000) }).then(
    ({ ok }) => ok,
    () => false,
  );
  if (ready) return instance;
  throw new NothingRuns(
    `An installation runs from ${config.home} and is not ready. Wait, stop it, or set HOLDFAST_HOME to another folder.`,
  );
}

async function start(config: Config, { print }: { print: boolean }) {
  try {
    return await up({ config, keep: false, print });
  } catch (error) {
    if (error instanceof StartRefused) throw new NothingRuns(error.message, { cause: error });
    throw error;
  }
}

async function runOn(
  instance: Instance | undefined,
  { config, terminal, output }: Omit<RunDemo, 'keep'>,
): Promise<DemoReport> {
  const { submitter, provider } = instance?.keys ?? {};
  if (!instance?.apiUrl || !submitter || !provider) {
    throw new NothingRuns('The demo needs the demo people’s keys; this installation has none.');
  }
  const url = instance.apiUrl;
  const besides = output.json ? terminal.stderr : terminal.stdout;
  // Colours by where the progress goes, which need not be where the output goes.
  const { paint } = createOutput(
    { ...terminal, stdout: besides },
    { json: false, color: output.paint.isColorSupported },
  );
  return demo({
    submitter: createClient({ url, key: submitter.key }),
    provider: createClient({ url, key: provider.key }),
    urls: { api: url, docs: instance.docsUrl, temporalUi: instance.temporalUiUrl },
    samples: join(packageRoot(), 'samples'),
    results: join(config.home, 'demo'),
    progress: showProgress(besides, paint),
    tell: (shown) => output.say(shownView(shown, output)),
  });
}

function shownView(shown: Shown, { paint }: Output): string {
  const { title, quote, job, reserved, toppedUp, usage, charge, findings, results, problem, links } = shown;
  const parts = [`\n${paint.bold(`━━ ${title}`)}`];
  if (quote) parts.push(quoteForecastView(quote, paint));
  if (problem) parts.push(paint.yellow('Refused.'), describeProblem(problem));
  if (reserved) parts.push(`Reserved ${inCredits(reserved.amount)} of:\n${drawsView(reserved.draws, paint)}`);
  for (const { amount, draws } of toppedUp)
    parts.push(`Topped up by ${inCredits(amount)}:\n${drawsView(draws, paint)}`);
  if (job) parts.push(`Ended as ${job.state} (${job.reason}): ${job.message}`);
  if (usage) parts.push(`Metered:\n${usageView(usage, paint)}`);
  if (charge) {
    parts.push(
      `Charge lines:\n${chargeLinesView(charge, paint)}`,
      `${inCredits(charge.exact)} exactly, ${charge.rounding}: ${paint.bold(`charged ${inCredits(charge.charged)}`)}` +
        (charge.absorbed === '0' ? '.' : `, ${inCredits(charge.absorbed)} absorbed by the provider.`),
      charge.returned.length === 0 ? 'Nothing was released.' : `Released:\n${drawsView(charge.returned, paint)}`,
      findings.length === 0
        ? paint.green('Recomputed from its dossier alone: the same to the last microcredit.')
        : paint.red(`Not explained by its dossier: ${findings.join('; ')}`),
    );
  }
  if (results.length > 0) parts.push(`Results:\n${listOf(results)}`);
  const addresses = ['self', 'charge', 'workflow'].flatMap((name): [string, string][] => {
    const link = links[name];
    return link === undefined ? [] : [[name === 'self' ? 'job' : name, link]];
  });
  if (addresses.length > 0) parts.push(formatPairs(addresses, paint));
  return parts.join('\n\n');
}

/** A turntable has many pictures: the first few say where they all are. */
function listOf(paths: readonly string[]): string {
  const lines = paths.slice(0, PATHS_SHOWN_MAX).map((path) => `  ${path}`);
  if (paths.length > PATHS_SHOWN_MAX) lines.push(`  and ${paths.length - PATHS_SHOWN_MAX} more beside them`);
  return lines.join('\n');
}

const PATHS_SHOWN_MAX = 6;

function summaryOf({ jobs, surprises, seconds, urls }: DemoReport, { paint }: Output): string {
  const table = formatTable(
    [
      { title: 'job' },
      { title: 'end' },
      { title: 'reserved', align: 'right' },
      { title: 'topped up', align: 'right' },
      { title: 'charged', align: 'right' },
    ],
    jobs.map(({ name, job, reserved, toppedUp, charge, problem }) => [
      name,
      problem ? `refused: ${problem.code}` : `${job?.state} (${job?.reason})`,
      reserved ? inCredits(reserved.amount) : '–',
      toppedUp.length > 0 ? toppedUp.map(({ amount }) => inCredits(amount)).join(' + ') : '–',
      charge ? inCredits(charge.charged) : '–',
    ]),
    paint,
  );
  const addresses: [string, string][] = [['API', urls.api]];
  if (urls.docs) addresses.push(['documentation', urls.docs]);
  if (urls.temporalUi) addresses.push(['workflows', urls.temporalUi]);
  const verdict =
    surprises.length === 0
      ? paint.green(`All ${jobs.length} jobs went as they should, in ${seconds} s.`)
      : paint.red(`Not as it should be:\n${surprises.map((one) => `  - ${one}`).join('\n')}`);
  return `\n${paint.bold('━━ Summary')}\n\n${table}\n\n${formatPairs(addresses, paint)}\n\n${verdict}`;
}
