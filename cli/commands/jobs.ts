/** Looking at jobs, following them, stopping them. */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { type Command, Option } from 'commander';
import { JOB_STATES } from '../../domain/job';
import { EndsWith, EXIT, WrongUsage } from '../failures';
import { type Invocation, invocationOf } from '../invocation';
import { inCredits, type Terminal } from '../output';
import { showProgress } from '../progress';
import { chargeView, jobsView, jobView, resultsView, usageView } from '../views';
import { isCompleted, watchJob } from '../watch';
import { readAmount } from './submit';

export function jobCommands(program: Command, terminal: Terminal): void {
  program
    .command('watch <job>')
    .description('follow a job to its end')
    .action(async (id: string, _options, command: Command) => {
      const invocation = invocationOf(command, terminal);
      const { body } = await invocation.client.job(id);
      await followToItsEnd(invocation, body.id, `${body.service} of ${body.input.name}`);
    });

  program
    .command('jobs')
    .description('the jobs that you may see, newest first')
    .addOption(new Option('--state <state>', 'only those in this state').choices(JOB_STATES))
    .option('--limit <count>', 'how many', '20')
    .option('--cursor <cursor>', 'go on after an earlier page')
    .action(async (options: Record<string, string>, command: Command) => {
      const { client, output } = invocationOf(command, terminal);
      const { body, text } = await client.jobs(options);
      if (output.json) return output.raw(text);
      output.say(jobsView(body.items, output.paint));
      if (body.nextCursor) output.note(`There are more: --cursor ${body.nextCursor}`);
    });

  program
    .command('job <job>')
    .description('a job and what it used so far')
    .action(async (id: string, _options, command: Command) => {
      const { client, output } = invocationOf(command, terminal);
      const { body, text } = await client.job(id);
      if (output.json) return output.raw(text);
      const usage = (await client.usage(id)).body;
      output.say(`${jobView(body, output.paint, client.url)}\n\nMetered:\n${usageView(usage, output.paint)}`);
    });

  program
    .command('results <job>')
    .description('list the files a job produced, or download them')
    .option('--out <folder>', 'download them into this folder')
    .action(async (id: string, { out }: { out?: string }, command: Command) => {
      const { client, output } = invocationOf(command, terminal);
      const { body, text } = await client.results(id);
      if (output.json) output.raw(text);
      if (out === undefined) return output.say(resultsView(body.items, output.paint));
      await mkdir(out, { recursive: true });
      for (const { name } of body.items) {
        const path = join(out, fileNameOf(name));
        await client.download(id, name, path);
        output.say(path);
      }
    });

  program
    .command('cancel <job>')
    .description('stop a job; what it used is charged by the policy of its service')
    .action(async (id: string, _options, command: Command) => {
      const { client, output } = invocationOf(command, terminal);
      const { text } = await client.cancel(id);
      if (output.json) output.raw(text);
      else output.say(`The job is being cancelled.\nholdfast watch ${id}`);
    });

  program
    .command('raise-cap <job> <credits>')
    .description('consent to a higher not-to-exceed amount')
    .action(async (id: string, credits: string, _options, command: Command) => {
      readAmount('The amount', credits);
      const { client, output } = invocationOf(command, terminal);
      const { body, text } = await client.raiseCap(id, credits);
      if (output.json) output.raw(text);
      else output.say(`The job may now cost at most ${inCredits(body.maxCredits)}.`);
    });
}

/**
 * Shows a job until it ended, then what it was charged.
 *
 * @throws EndsWith when it did not complete.
 */
export async function followToItsEnd(invocation: Invocation, jobId: string, label: string): Promise<void> {
  const { client, output, terminal } = invocation;
  if (output.json) {
    for await (const { id, event, data } of client.events(jobId)) {
      output.raw(JSON.stringify({ id, event, data: JSON.parse(data) }));
    }
    const { body, text } = await client.job(jobId);
    output.raw(text);
    if (!isCompleted(body)) throw new EndsWith(EXIT.jobNotCompleted);
    return;
  }
  const progress = showProgress(terminal.stdout, output.paint);
  const job = await watchJob({ client, jobId, label, progress });
  progress.end();
  if (job.state === 'settled') {
    output.say(`\n${chargeView((await client.chargeOfJob(jobId)).body, output.paint, client.url)}`);
  }
  if (isCompleted(job)) return output.say(`\nholdfast results ${jobId} --out .`);
  output.note(`The job is ${job.state}${job.message ? `: ${job.message}` : '.'}`);
  throw new EndsWith(EXIT.jobNotCompleted);
}

/** A result's name as a file of the folder it goes to and of no other. @throws WrongUsage when it cannot be one. */
export function fileNameOf(name: string): string {
  const plain = name.replaceAll(/[/\\]/g, '_');
  if (plain === '' || plain === '.' || plain === '..' || plain.includes('\0')) {
    throw new WrongUsage(`The result ${JSON.stringify(name)} cannot be a file here.`);
  }
  return plain;
}
