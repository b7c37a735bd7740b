/** Charges, and the proof that each follows from its dossier. */
import { readFile, writeFile } from 'node:fs/promises';
import type { Command } from 'commander';
import { type Dossier, recomputeDossier } from '../../domain/charge';
import { type Answer, type Charge, type Client, Refused } from '../client';
import { EndsWith, EXIT, WrongUsage } from '../failures';
import { type Invocation, invocationOf } from '../invocation';
import { inCredits, type Terminal } from '../output';
import { chargesView, chargeView } from '../views';

export function chargeCommands(program: Command, terminal: Terminal): void {
  program
    .command('charges')
    .description('the charges that you may see, newest first')
    .option('--limit <count>', 'how many', '20')
    .option('--cursor <cursor>', 'go on after an earlier page')
    .action(async (options: Record<string, string>, command: Command) => {
      const { client, output } = invocationOf(command, terminal);
      const { body, text } = await client.charges(options);
      if (output.json) return output.raw(text);
      output.say(chargesView(body.items, output.paint));
      if (body.nextCursor) output.note(`There are more: --cursor ${body.nextCursor}`);
    });

  program
    .command('charge <job-or-charge>')
    .description('what a job was charged, line by line')
    .action(async (id: string, _options, command: Command) => {
      const { client, output } = invocationOf(command, terminal);
      const { body, text } = await findCharge(client, id);
      if (output.json) output.raw(text);
      else output.say(chargeView(body, output.paint, client.url));
    });

  program
    .command('dossier <job-or-charge>')
    .description('everything needed to recompute a charge; --verify does so, also for a dossier in a file')
    .option('--out <file>', 'write it to a file')
    .option('--verify', 'recompute the charge on this machine, from the dossier alone')
    .action(async (id: string, options: { out?: string; verify?: boolean }, command: Command) => {
      const invocation = invocationOf(command, terminal);
      const text = await readDossier(invocation, id);
      const { output } = invocation;
      if (options.out !== undefined) {
        await writeFile(options.out, `${text}\n`);
        output.note(`Written to ${options.out}.`);
      }
      if (options.verify) verify(invocation, text);
      else if (options.out === undefined) output.raw(text);
    });
}

/** Finds a charge by its own id or by that of its job. */
export async function findCharge(client: Client, id: string): Promise<Answer<Charge>> {
  try {
    return await client.charge(id);
  } catch (error) {
    if (!(error instanceof Refused) || error.problem.code !== 'not_found') throw error;
    return client.chargeOfJob(id);
  }
}

/** The dossier's text: from the API, or from a file that somebody kept, for which no server is needed. */
async function readDossier(invocation: Invocation, id: string): Promise<string> {
  const kept = await readFile(id, 'utf8').catch(() => undefined);
  if (kept !== undefined) return kept.trimEnd();
  const { body } = await findCharge(invocation.client, id);
  return (await invocation.client.dossier(body.id)).text.trimEnd();
}

function verify({ output }: Invocation, text: string): void {
  const { dossier, findings } = findingsIn(text);
  if (output.json) {
    output.raw(
      JSON.stringify({ chargeId: dossier.chargeId, jobId: dossier.jobId, agrees: findings.length === 0, findings }),
    );
  } else if (findings.length === 0) {
    output.say(
      `Recomputed: the usage, the rates of card ${dossier.terms.rateCardVersion} and the draws give exactly ` +
        `${inCredits(dossier.charged)}, as charged.`,
    );
  }
  if (findings.length === 0) return;
  output.note(`The dossier does not explain its charge:\n${findings.map((one) => `  - ${one}`).join('\n')}`);
  throw new EndsWith(EXIT.dossierDisagrees);
}

function findingsIn(text: string): { dossier: Dossier; findings: string[] } {
  let dossier: Dossier;
  try {
    dossier = JSON.parse(text);
  } catch (cause) {
    throw new WrongUsage('That is no dossier: it is not JSON.', { cause });
  }
  if (dossier?.format !== 'holdfast-dossier/1')
    throw new WrongUsage('That is no dossier of the format "holdfast-dossier/1".');
  try {
    return { dossier, findings: recomputeDossier(dossier) };
  } catch (error) {
    return { dossier, findings: [`it cannot be recomputed: ${(error as Error).message}`] };
  }
}
