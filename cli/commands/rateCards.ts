/** Rate cards: what is and was in force, drafts of what may come, and what either would cost. */
import { type Command, Option } from 'commander';
import { JOB_ENDS, type JobEnd } from '../../domain/rateCard';
import type { Client, RateCardDraftRequest, RateRequest } from '../client';
import { WrongUsage } from '../failures';
import { confirm, type Invocation, invocationOf, isInteractive } from '../invocation';
import { readJsonFile } from '../jsonFile';
import type { Terminal } from '../output';
import { type PageOptions, paged, pageOf, tellPage } from '../paged';
import { draftsView, rateCardDiffView, rateCardsView, rateCardView, ratedView, replayView } from '../rateCardViews';
import { readInstant } from './credits';
import { readAmount } from './submit';

interface RateOptions {
  readonly usage: readonly string[];
  readonly dimension: readonly string[];
  readonly end: JobEnd;
}

export function rateCardCommands(program: Command, terminal: Terminal): void {
  const cards = program
    .command('rate-cards')
    .description('what things cost: every version of the rates, drafts, and what either would cost')
    .option('--at <instant>', 'only the version in force at this instant')
    .action(async ({ at }: { at?: string }, command: Command) => {
      const query = at === undefined ? {} : { at: readInstant('--at', at) };
      const { client, output } = invocationOf(command, terminal);
      const { body, text } = await client.rateCards(query);
      if (output.json) output.raw(text);
      else output.say(rateCardsView(body.items, output.paint));
    });

  cards
    .command('show <card>')
    .description('the rates and the policy of a version, or of a draft (provider, finance)')
    .action(async (card: string, _options: unknown, command: Command) => {
      const { client, output } = askedBy(command, terminal, card);
      const { body, text } = await (isVersion(card) ? client.rateCard(card) : client.rateCardDraft(card));
      if (output.json) output.raw(text);
      else output.say(rateCardView(body, output.paint));
    });

  cards
    .command('diff <card> <other>')
    .description('what changes from one version or draft to another')
    .action(async (card: string, other: string, _options: unknown, command: Command) => {
      const { client, output } = askedBy(command, terminal, card, other);
      const { body, text } = await client.diffRateCards(card, other);
      if (output.json) output.raw(text);
      else output.say(rateCardDiffView(body));
    });

  cards
    .command('rate <card> <service>')
    .description('what some usage costs by a version or a draft; changes nothing')
    .option('-u, --usage <meter=quantity>', 'in units of the meter; may be repeated', collect, [])
    .option('-d, --dimension <name=value>', 'what classifies the job; may be repeated', collect, [])
    .addOption(new Option('--end <end>', 'how the job would end').choices(JOB_ENDS).default('completed'))
    .action(async (card: string, service: string, options: RateOptions, command: Command) => {
      const request = rateRequestOf(service, options);
      const { client, output } = askedBy(command, terminal, card);
      const { body, text } = await client.rateBy(isVersion(card) ? { version: card } : { draftId: card }, request);
      if (output.json) output.raw(text);
      else output.say(ratedView(body, output.paint));
    });

  draftCommands(cards, terminal);
}

function draftCommands(cards: Command, terminal: Terminal): void {
  paged(cards.command('drafts').description('drafts, the newest first (provider, finance)')).action(
    async (page: PageOptions, command: Command) => {
      const { client, output } = invocationOf(command, terminal, 'provider');
      tellPage(output, await client.rateCardDrafts(pageOf(page)), draftsView);
    },
  );

  cards
    .command('draft <file>')
    .description('draft a card: JSON with title, services and perhaps effectiveAt (provider)')
    .action(async (file: string, _options: unknown, command: Command) => {
      const request = await readJsonFile<RateCardDraftRequest>(file);
      const { client, output } = invocationOf(command, terminal, 'provider');
      const { body, text } = await client.draftRateCard(request);
      if (output.json) output.raw(text);
      else output.say(rateCardView(body, output.paint));
    });

  cards
    .command('change <draft> <file>')
    .description('replace what a draft says (provider)')
    .action(async (id: string, file: string, _options: unknown, command: Command) => {
      const request = await readJsonFile<RateCardDraftRequest>(file);
      const { client, output } = invocationOf(command, terminal, 'provider');
      const { body, text } = await client.changeRateCardDraft(id, request, await etagOf(client, id));
      if (output.json) output.raw(text);
      else output.say(rateCardView(body, output.paint));
    });

  cards
    .command('delete <draft>')
    .description('delete a draft that is not published (provider)')
    .action(async (id: string, _options: unknown, command: Command) => {
      const { client, output } = invocationOf(command, terminal, 'provider');
      const { text } = await client.deleteRateCardDraft(id, await etagOf(client, id));
      if (output.json) output.raw(text);
      else output.say('The draft is deleted.');
    });

  cards
    .command('publish <draft>')
    .description('show what changes, ask, and publish a draft as the next version (provider)')
    .option('--yes', 'without asking')
    .action(async (id: string, { yes = false }: { yes?: boolean }, command: Command) => {
      if (!yes && !isInteractive(terminal)) {
        throw new WrongUsage('Nobody is here to be asked: look with "rate-cards diff", then publish with --yes.');
      }
      const invocation = invocationOf(command, terminal, 'provider');
      const { client, output } = invocation;
      // What is shown is what is published: a change in between is refused.
      const etag = await etagOf(client, id);
      if (!yes && !(await isWanted(invocation, id))) return;
      const { body, text } = await client.publishRateCardDraft(id, etag);
      if (output.json) output.raw(text);
      else output.say(`Published.\n\n${rateCardView(body, output.paint)}`);
    });

  cards
    .command('replay <draft>')
    .description('what recorded jobs would have cost under a draft; changes nothing (provider, finance)')
    .requiredOption('--from <instant>', 'charges booked from here on')
    .requiredOption('--to <instant>', 'and before here')
    .action(async (id: string, { from, to }: { from: string; to: string }, command: Command) => {
      const period = { from: readInstant('--from', from), to: readInstant('--to', to) };
      const { client, output } = invocationOf(command, terminal, 'provider');
      const { body, text } = await client.replayRateCardDraft(id, period);
      if (output.json) output.raw(text);
      else output.say(replayView(body, output.paint));
    });
}

/** Shows what changes against what is in force now. */
async function isWanted({ client, output, terminal }: Invocation, id: string): Promise<boolean> {
  const { items } = (await client.rateCards()).body;
  const present = items.find(({ status }) => status === 'in-force');
  if (present) {
    const { body } = await client.diffRateCards(String(present.version), id);
    output.note(`Against version ${present.version}, which is in force:\n${rateCardDiffView(body)}`);
  }
  return confirm(terminal, 'Publish it? It can never be changed.');
}

async function etagOf(client: Client, id: string): Promise<string> {
  return (await client.rateCardDraft(id)).etag ?? '*';
}

function isVersion(card: string): boolean {
  return /^[0-9]+$/.test(card);
}

/** Drafts are for the provider's people, versions for everybody. */
function askedBy(command: Command, terminal: Terminal, ...cards: readonly string[]): Invocation {
  return invocationOf(command, terminal, cards.every(isVersion) ? 'submitter' : 'provider');
}

function rateRequestOf(service: string, { usage, dimension, end }: RateOptions): RateRequest {
  return {
    service,
    usage: usage.map((text) => {
      const [meter, quantity] = pairOf('--usage', text);
      readAmount(`--usage ${meter}`, quantity);
      return { meter, quantity };
    }),
    dimensions: Object.fromEntries(dimension.map((text) => pairOf('--dimension', text))),
    end,
  };
}

function pairOf(option: string, text: string): readonly [string, string] {
  const equals = text.indexOf('=');
  if (equals < 1) throw new WrongUsage(`${option} is written name=value, unlike "${text}".`);
  return [text.slice(0, equals), text.slice(equals + 1)];
}

function collect(text: string, before: readonly string[]): string[] {
  return [...before, text];
}
