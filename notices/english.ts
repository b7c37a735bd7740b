/** The texts in English. */
import { type NoticeLot, WITHDRAWAL_NOTICE_DAYS } from '../domain/notices';
import { type Reader, sayAmount, sayDay, sayDayOf, sayInstant, sayList } from './format';
import type { Block } from './page';
import { amounts, emphasis, heading, list, paragraph, type Texts, type Told, table } from './texts';

export const english: Texts = {
  notices: {
    withdrawal(facts, told) {
      const { reader, name } = told;
      const amount = sayAmount(facts.total, reader);
      const day = sayDayOf(told.effectiveAt, reader);
      return {
        subject: forWhom(
          told,
          `Notice: ${amount} of yours will be withdrawn on ${day}`,
          `Notice for ${name}: ${amount} will be withdrawn on ${day}`,
        ),
        blocks: [
          ...greeting(told),
          paragraph(
            `This notice precedes the withdrawal of ${of(told)} individual credits by ${WITHDRAWAL_NOTICE_DAYS} days, counted from its delivery.`,
          ),
          emphasis(`${amount} of ${name} will be gone from ${sayInstant(told.effectiveAt, reader)}.`),
          ...lotsTable(facts.lots, facts.total, reader),
          ...reasonOf(facts.reason),
          heading('What this means'),
          list(
            `Until then ${told.audience === 'person' ? 'you can' : `${name} can`} use these credits as before: for any job that starts and reserves them in time.`,
            reservedUntil(facts.reserved, reader),
            'What a running job gives back after that instant is withdrawn, too. Nothing else is touched: shared credits of a contract stay as they are.',
          ),
          ...questions(told),
        ],
      };
    },
    'withdrawal-reminder'(facts, told) {
      const { reader, name, audience } = told;
      const amount = sayAmount(facts.total, reader);
      const days = facts.daysLeft === 1 ? '1 day' : `${facts.daysLeft} days`;
      return {
        subject: forWhom(
          told,
          `Reminder: ${amount} of yours will be withdrawn in ${days}`,
          `Reminder for ${name}: ${amount} will be withdrawn in ${days}`,
        ),
        blocks: [
          ...greeting(told),
          paragraph(
            `${audience === 'person' ? 'You were' : `${name} was`} given notice that individual credits will be withdrawn. This is a reminder.`,
          ),
          emphasis(`${amount} of ${name} will be gone from ${sayInstant(facts.withdrawnAt, reader)}, in ${days}.`),
          ...lotsTable(facts.lots, facts.total, reader),
          ...reasonOf(facts.reason),
          list(
            `Until then ${audience === 'person' ? 'you can' : `${name} can`} use these credits as before.`,
            reservedUntil(facts.reserved, reader),
          ),
          ...questions(told),
        ],
      };
    },
    'withdrawal-rescinded'(facts, told) {
      const { reader, name } = told;
      const amount = sayAmount(facts.total, reader);
      const planned =
        facts.withdrawnAt === null ? '' : ` It would have taken effect on ${sayInstant(facts.withdrawnAt, reader)}.`;
      return {
        subject: forWhom(
          told,
          `Rescinded: ${amount} of yours will not be withdrawn`,
          `Rescinded for ${name}: ${amount} will not be withdrawn`,
        ),
        blocks: [
          ...greeting(told),
          emphasis(`The withdrawal of ${amount} of ${name} is rescinded: these credits stay.`),
          paragraph(`Nothing has to be done.${planned}`),
          ...lotsTable(facts.lots, facts.total, reader),
          ...reasonOf(facts.reason),
          ...questions(told),
        ],
      };
    },
    'withdrawal-final'(facts, told) {
      const { reader, name } = told;
      const amount = sayAmount(facts.total, reader);
      return {
        subject: forWhom(told, `Withdrawn: ${amount} of yours`, `Withdrawn: ${amount} of ${name}`),
        blocks: [
          ...greeting(told),
          emphasis(`Withdrawn from ${name}: ${amount}, on ${sayInstant(facts.withdrawnAt, reader)}.`),
          ...lotsTable(facts.lots, facts.total, reader),
          ...reasonOf(facts.reason),
          paragraph(reservedAfter(facts.reserved, reader)),
          ...questions(told),
        ],
      };
    },
  },
  entries: {
    'contract-activated': ({ contractName, startsAt, endsAt }, reader) => [
      heading(`${contractName} has begun`),
      table(['Since', sayInstant(startsAt, reader)], ['Ends', sayInstant(endsAt, reader)]),
    ],
    'contract-ending': ({ contractName, endsAt, renewal, graceUntil, amount }, reader) => [
      heading(`${contractName} ends on ${sayDayOf(endsAt, reader)}`),
      table(['Ends', sayInstant(endsAt, reader)], ['Left on it', sayAmount(amount, reader)]),
      paragraph(
        renewal === 'automatic'
          ? 'It is renewed by itself, unless somebody terminates it before.'
          : `Its credits cannot be spent from then on${graceUntil === null ? ' and expire, unless it is renewed before.' : `. Renewed until ${sayInstant(graceUntil, reader)}, it goes on with them; otherwise they expire.`}`,
      ),
    ],
    'contract-ended': ({ contractName, endedAt, graceUntil, amount }, reader) => [
      heading(`${contractName} has ended`),
      table(['Ended', sayInstant(endedAt, reader)], ['Left on it', sayAmount(amount, reader)]),
      paragraph(
        graceUntil === null
          ? 'What was left has expired.'
          : `Nothing of it can be spent now. Renewed until ${sayInstant(graceUntil, reader)}, it goes on with its credits; otherwise they expire.`,
      ),
    ],
    'contract-renewed': ({ contractName, endsAt }, reader) => [
      heading(`${contractName} was renewed`),
      table(['Now ends', sayInstant(endsAt, reader)]),
    ],
    'contract-closed': ({ contractName, closedAt }, reader) => [
      heading(`${contractName} is over`),
      table(['Since', sayInstant(closedAt, reader)]),
      paragraph('It was not renewed in time; what was left on it has expired.'),
    ],
    'lot-granted': ({ contractName, amount, reference, effectiveAt, expiresAt }, reader) => [
      heading(`${sayAmount(amount, reader)} ${contractName === null ? 'for you' : `for ${contractName}`}`),
      table(
        ['Can be spent from', sayInstant(effectiveAt, reader)],
        ['Expires', expiresAt === null ? 'never' : sayInstant(expiresAt, reader)],
        ...referenceRow(reference),
      ),
    ],
    'lot-expiring': ({ contractName, amount, reference, expiresAt }, reader) => [
      heading(`Expiring on ${sayDayOf(expiresAt, reader)}: ${sayAmount(amount, reader)} ${ofContract(contractName)}`),
      table(['Can be spent until', sayInstant(expiresAt, reader)], ...referenceRow(reference)),
    ],
    'lot-expired': ({ contractName, amount, reference, expiredAt }, reader) => [
      heading(`Expired: ${sayAmount(amount, reader)} ${ofContract(contractName)}`),
      table(['Expired', sayInstant(expiredAt, reader)], ...referenceRow(reference)),
    ],
    'low-balance': ({ contractName, spendable, threshold }, reader) => [
      heading(contractName === null ? 'Little is left of your own credits' : `Little is left on ${contractName}`),
      table(['Can be spent', sayAmount(spendable, reader)], ['You are warned below', sayAmount(threshold, reader)]),
    ],
    'balance-recovered': ({ contractName, spendable, threshold }, reader) => [
      heading(
        contractName === null ? 'You have enough credits again' : `There are enough credits on ${contractName} again`,
      ),
      table(['Can be spent', sayAmount(spendable, reader)], ['You are warned below', sayAmount(threshold, reader)]),
    ],
  },
  digestSubject: (day, entries) =>
    `Your credits: ${entries === 1 ? '1 thing' : `${entries} things`} to know on ${sayDay(day, { language: 'en' })}`,
  digestIntroduction: (told) => [...greeting(told), paragraph('This is what happened and what is to come.')],
  requiredFooter:
    'Holdfast sends this because your agreement with the provider requires it; it cannot be switched off.',
  digestFooter:
    'Holdfast sends at most one such message a day. What it tells, in which language and by whose clock, is up to you: see your notice preferences.',
  unsubscribe: 'To get no more of them:',
};

function forWhom({ audience }: Told, person: string, administrator: string): string {
  return audience === 'person' ? person : administrator;
}

function greeting({ name, audience }: Told): Block[] {
  if (audience === 'person') return [paragraph(`Dear ${name},`)];
  return [
    paragraph('Dear administrator,'),
    paragraph(`You administer a contract of ${name}, for whom this is. Please pass it on:`),
  ];
}

function of({ name, audience }: Told): string {
  return audience === 'person' ? 'your' : `${name}’s`;
}

function ofContract(contractName: string | null): string {
  return contractName === null ? 'of yours' : `of ${contractName}`;
}

function lotsTable(lots: readonly NoticeLot[], total: string, reader: Reader): Block[] {
  const rows = lots.map(({ lotId, reference, amount }): [string, string] => [
    reference === null ? `Lot ${lotId}` : `Lot ${lotId} (${reference})`,
    sayAmount(amount, reader),
  ]);
  return [amounts(...rows, ['Together', sayAmount(total, reader)])];
}

function referenceRow(reference: string | null): [string, string][] {
  return reference === null ? [] : [['Reference', reference]];
}

function reasonOf(reason: string): Block[] {
  return reason === '' ? [] : [paragraph(`The provider’s reason: ${reason}`)];
}

function reservedUntil(reserved: string, reader: Reader): string {
  const now = reserved === '0' ? '' : ` At present running jobs hold ${sayAmount(reserved, reader)}.`;
  return `What a running job has reserved before that instant stays with it until it ends.${now}`;
}

function reservedAfter(reserved: string, reader: Reader): string {
  if (reserved === '0') return 'No running job held any of them.';
  return `Running jobs still hold ${sayAmount(reserved, reader)} of them and may use these until they end; what they give back is withdrawn, too.`;
}

function questions({ contact, administrators, audience, reader }: Told): Block[] {
  const names = audience === 'person' && administrators.length > 0 ? sayList(administrators, reader) : '';
  const who = [
    ...(contact === '' ? [] : [`ask ${contact}`]),
    ...(names === '' ? [] : [`${contact === '' ? 'ask' : 'or'} who administers your contracts: ${names}`]),
  ];
  return [paragraph(`If you have questions, ${who.length > 0 ? who.join(' ') : 'ask your provider'}.`)];
}
