/** From a file to a quote, and from a quote or an amount to a job. */
import { stat } from 'node:fs/promises';
import { basename } from 'node:path';
import type { Command } from 'commander';
import { parseCredits } from '../../domain/credits';
import type { Client, Job, JobRequest, QuoteRequest } from '../client';
import { WrongUsage } from '../failures';
import { confirm, contractOf, type Invocation, invocationOf, isInteractive } from '../invocation';
import { inCredits, type Terminal } from '../output';
import { mediaTypeOf, readParameters, readVariants } from '../parameters';
import { jobView, previewView, quoteView } from '../views';
import { followToItsEnd } from './jobs';

interface WorkOptions {
  readonly service?: string;
  readonly param: readonly string[];
  readonly contract?: string;
}

interface SubmitOptions extends WorkOptions {
  readonly max?: string;
  readonly expected?: string;
  readonly quote?: string;
  readonly timeLimit?: string;
  readonly comment?: string;
  readonly project?: string;
  readonly runner?: NonNullable<JobRequest['runner']>;
  readonly watch?: boolean;
  readonly yes?: boolean;
}

export function submitCommands(program: Command, terminal: Terminal): void {
  workOptions(program.command('submit [file]').description('run a job on a file'))
    .option('--max <credits>', 'not to exceed: the job is never charged more; no quote is asked for then')
    .option('--expected <credits>', 'what to reserve at first, with --max')
    .option('--quote <id>', 'submit what was quoted; without a file')
    .option('--time-limit <seconds>', 'stop the job after this running time')
    .option('--comment <text>', 'a note that stays with the job')
    .option('--project <name>', 'what the job is for; budgets can limit what a project costs')
    .option(
      '--runner <name>',
      'where to run: slurm, sandbox, embedded or external; without it where the best engine is',
    )
    .option('--watch', 'follow the job to its end')
    .option('-y, --yes', 'accept the quote without being asked')
    .action(async (file: string | undefined, options: SubmitOptions, command: Command) => {
      refuseContradictions(file, options, terminal);
      const invocation = invocationOf(command, terminal);
      const request = await requestOf(invocation, file, options);
      if (!request) {
        invocation.output.note('Nothing was submitted.');
        return;
      }
      const { body, text, status } = await invocation.client.submit(request);
      tellSubmitted(invocation, { job: body, text, accepted: status === 202, watched: options.watch === true });
      if (options.watch) await followToItsEnd(invocation, body.id, `${body.service} of ${body.input.name}`);
    });

  workOptions(program.command('quote <file>').description('what a job on a file would cost; reserves nothing'))
    .option(
      '--vary <name=values>',
      'price variants instead: values of a parameter, separated by "|"; several make every combination',
      collect,
      [],
    )
    .action(async (file: string, options: WorkOptions & { readonly vary: readonly string[] }, command: Command) => {
      const service = serviceOf(options);
      const { client, output } = invocationOf(command, terminal);
      if (options.vary.length > 0) {
        const work = await prepare(client, file, { ...options, service });
        const variants = readVariants((await client.service(service)).body, options.vary);
        const { body, text } = await client.preview({ ...work, variants });
        if (output.json) output.raw(text);
        else output.say(previewView(body, output.paint));
        return;
      }
      const { body, text } = await client.quote(await prepare(client, file, { ...options, service }));
      if (output.json) output.raw(text);
      else output.say(`${quoteView(body, output.paint)}\n\nholdfast submit --quote ${body.id}`);
    });
}

function workOptions(command: Command): Command {
  return command
    .option('-s, --service <name>', 'what to run; "holdfast services" lists them')
    .option('-p, --param <name=value>', 'a parameter of the service; may be repeated', collect, [])
    .option('--contract <id>', 'who pays: an id, a part of a contract’s name, or none for individual credits alone');
}

function collect(text: string, before: readonly string[]): string[] {
  return [...before, text];
}

/** What cannot be meant is refused before anything is sent. */
function refuseContradictions(file: string | undefined, options: SubmitOptions, terminal: Terminal): void {
  const { quote, max, expected, service, param, contract, timeLimit, yes } = options;
  if (timeLimit !== undefined && !/^[1-9]\d{0,5}$/.test(timeLimit)) {
    throw new WrongUsage(`--time-limit is a whole number of seconds, unlike "${timeLimit}".`);
  }
  if (quote !== undefined) {
    const fixed = [file, service, contract, max, expected].some((one) => one !== undefined) || param.length > 0;
    if (fixed)
      throw new WrongUsage('A quote says file, service, parameters, contract and amounts: give --quote alone.');
    return;
  }
  if (file === undefined) throw new WrongUsage('Say which file to run, or give --quote.');
  serviceOf(options);
  if (max !== undefined) readAmount('--max', max);
  if (expected !== undefined) {
    if (max === undefined) throw new WrongUsage('--expected needs --max: how much the job may cost at most.');
    if (readAmount('--expected', expected) > readAmount('--max', max)) {
      throw new WrongUsage(`--expected ${expected} is above --max ${max}.`);
    }
  }
  if (max === undefined && !yes && !isInteractive(terminal)) {
    throw new WrongUsage(
      'Nobody is here to accept a quote: say how much the job may cost with --max, or accept any quote with --yes.',
    );
  }
}

function serviceOf({ service }: WorkOptions): string {
  if (service === undefined) throw new WrongUsage('Say what to run with --service; "holdfast services" lists them.');
  return service;
}

/** @throws WrongUsage unless the text is an amount of credits. */
export function readAmount(name: string, text: string): bigint {
  try {
    return parseCredits(text);
  } catch (error) {
    throw new WrongUsage(`${name}: ${(error as Error).message}.`, { cause: error });
  }
}

/** What to submit; nothing when the quote was declined. */
async function requestOf(
  { client, output, terminal }: Invocation,
  file: string | undefined,
  options: SubmitOptions,
): Promise<JobRequest | undefined> {
  const { quote, max, expected, timeLimit, comment, project, runner, yes } = options;
  const common = {
    ...(timeLimit !== undefined && { timeLimitSeconds: Number(timeLimit) }),
    ...(comment !== undefined && { comment }),
    ...(project !== undefined && { project }),
    ...(runner !== undefined && { runner }),
  };
  if (quote !== undefined) return { quoteId: quote, ...common };
  const work = await prepare(client, file ?? '', { ...options, service: serviceOf(options) });
  if (max !== undefined) {
    return { ...work, maxCredits: max, ...(expected !== undefined && { expected }), ...common };
  }
  const quoted = (await client.quote(work)).body;
  const shown = quoteView(quoted, output.paint);
  // With --json standard output is the job's alone.
  if (output.json) output.note(shown);
  else output.say(`${shown}\n`);
  if (!yes && !(await confirm(terminal, `Submit for at most ${inCredits(quoted.maxCredits)}?`))) return undefined;
  return { quoteId: quoted.id, ...common };
}

/** Uploads the file and says what is to be done with it. */
async function prepare(
  client: Client,
  file: string,
  { service: name, param, contract }: WorkOptions & { readonly service: string },
): Promise<QuoteRequest> {
  const found = await stat(file).catch((cause: unknown) => {
    throw new WrongUsage(`${file} cannot be read.`, { cause });
  });
  if (!found.isFile()) throw new WrongUsage(`${file} is not a file.`);
  const service = (await client.service(name)).body;
  const parameters = readParameters(service, param);
  if (found.size > service.inputBytesMax) {
    throw new WrongUsage(`${file} has ${found.size} bytes; ${name} takes at most ${service.inputBytesMax}.`);
  }
  const contractId = await contractOf(client, (await client.me()).body, contract);
  const input = (await client.upload({ path: file, name: basename(file), mediaType: mediaTypeOf(service, file) })).body;
  return { service: name, input: input.digest, parameters, contractId };
}

function tellSubmitted(
  { client, output }: Invocation,
  submitted: { job: Job; text: string; accepted: boolean; watched: boolean },
): void {
  const { job, text, accepted, watched } = submitted;
  if (output.json) {
    output.raw(text);
    return;
  }
  output.say(jobView(job, output.paint, client.url));
  if (accepted) output.say('\nThe job is accepted; its credits are not reserved yet.');
  if (!watched) output.say(`\nholdfast watch ${job.id}`);
}
