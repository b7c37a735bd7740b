/** The texts in German. */
import { type NoticeLot, WITHDRAWAL_NOTICE_DAYS } from '../domain/notices';
import { type Reader, sayAmount, sayDay, sayDayOf, sayInstant, sayList } from './format';
import type { Block } from './page';
import { amounts, emphasis, heading, list, paragraph, type Texts, type Told, table } from './texts';

export const german: Texts = {
  notices: {
    withdrawal(facts, told) {
      const { reader, name } = told;
      const amount = sayAmount(facts.total, reader);
      const day = sayDayOf(told.effectiveAt, reader);
      return {
        subject: forWhom(
          told,
          `Ankündigung: Entzug von ${amount} am ${day}`,
          `Ankündigung für ${name}: Entzug von ${amount} am ${day}`,
        ),
        blocks: [
          ...greeting(told),
          paragraph(
            `dies ist die Ankündigung, die dem Entzug ${told.audience === 'person' ? 'Ihrer persönlichen Credits' : `der persönlichen Credits von ${name}`} um ${WITHDRAWAL_NOTICE_DAYS} Tage vorausgeht, gezählt von ihrer Zustellung an.`,
          ),
          emphasis(`Entzug von ${amount} von ${name}, wirksam ab ${sayInstant(told.effectiveAt, reader)}.`),
          ...lotsTable(facts.lots, facts.total, reader),
          ...reasonOf(facts.reason),
          heading('Was das bedeutet'),
          list(
            `Bis dahin ${told.audience === 'person' ? 'können Sie' : `kann ${name}`} diese Credits wie bisher nutzen: für jeden Job, der rechtzeitig beginnt und sie reserviert.`,
            reservedUntil(facts.reserved, reader),
            'Was ein laufender Job nach diesem Zeitpunkt zurückgibt, wird ebenfalls entzogen. Sonst ändert sich nichts: Gemeinsame Credits eines Vertrags bleiben, wie sie sind.',
          ),
          ...questions(told),
        ],
      };
    },
    'withdrawal-reminder'(facts, told) {
      const { reader, name, audience } = told;
      const amount = sayAmount(facts.total, reader);
      const days = facts.daysLeft === 1 ? '1 Tag' : `${facts.daysLeft} Tagen`;
      return {
        subject: forWhom(
          told,
          `Erinnerung: Entzug von ${amount} in ${days}`,
          `Erinnerung für ${name}: Entzug von ${amount} in ${days}`,
        ),
        blocks: [
          ...greeting(told),
          paragraph(
            `${audience === 'person' ? 'Ihnen' : name} wurde angekündigt, dass persönliche Credits entzogen werden. Dies ist eine Erinnerung daran.`,
          ),
          emphasis(
            `Entzug von ${amount} von ${name}, wirksam ab ${sayInstant(facts.withdrawnAt, reader)}, in ${days}.`,
          ),
          ...lotsTable(facts.lots, facts.total, reader),
          ...reasonOf(facts.reason),
          list(
            `Bis dahin ${audience === 'person' ? 'können Sie' : `kann ${name}`} diese Credits wie bisher nutzen.`,
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
        facts.withdrawnAt === null ? '' : ` Wirksam geworden wäre er am ${sayInstant(facts.withdrawnAt, reader)}.`;
      return {
        subject: forWhom(
          told,
          `Zurückgenommen: kein Entzug von ${amount}`,
          `Zurückgenommen für ${name}: kein Entzug von ${amount}`,
        ),
        blocks: [
          ...greeting(told),
          emphasis(`Der Entzug von ${amount} von ${name} ist zurückgenommen: Diese Credits bleiben.`),
          paragraph(`Es ist nichts zu tun.${planned}`),
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
        subject: forWhom(told, `Entzogen: ${amount} von Ihnen`, `Entzogen: ${amount} von ${name}`),
        blocks: [
          ...greeting(told),
          emphasis(`Entzogen: ${amount} von ${name}, am ${sayInstant(facts.withdrawnAt, reader)}.`),
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
      heading(`${contractName} hat begonnen`),
      table(['Seit', sayInstant(startsAt, reader)], ['Endet', sayInstant(endsAt, reader)]),
    ],
    'contract-ending': ({ contractName, endsAt, renewal, graceUntil, amount }, reader) => [
      heading(`${contractName} endet am ${sayDayOf(endsAt, reader)}`),
      table(['Endet', sayInstant(endsAt, reader)], ['Noch vorhanden', sayAmount(amount, reader)]),
      paragraph(
        renewal === 'automatic'
          ? 'Der Vertrag verlängert sich von selbst, wenn ihn niemand vorher kündigt.'
          : `Seine Credits können von da an nicht mehr ausgegeben werden${graceUntil === null ? ' und verfallen, wenn er nicht vorher verlängert wird.' : `. Wird er bis ${sayInstant(graceUntil, reader)} verlängert, geht er mit ihnen weiter; sonst verfallen sie.`}`,
      ),
    ],
    'contract-ended': ({ contractName, endedAt, graceUntil, amount }, reader) => [
      heading(`${contractName} ist zu Ende`),
      table(['Geendet', sayInstant(endedAt, reader)], ['Noch vorhanden', sayAmount(amount, reader)]),
      paragraph(
        graceUntil === null
          ? 'Was übrig war, ist verfallen.'
          : `Davon kann jetzt nichts ausgegeben werden. Wird der Vertrag bis ${sayInstant(graceUntil, reader)} verlängert, geht er mit seinen Credits weiter; sonst verfallen sie.`,
      ),
    ],
    'contract-renewed': ({ contractName, endsAt }, reader) => [
      heading(`${contractName} wurde verlängert`),
      table(['Endet jetzt', sayInstant(endsAt, reader)]),
    ],
    'contract-closed': ({ contractName, closedAt }, reader) => [
      heading(`${contractName} ist endgültig beendet`),
      table(['Seit', sayInstant(closedAt, reader)]),
      paragraph('Der Vertrag wurde nicht rechtzeitig verlängert; was von ihm übrig war, ist verfallen.'),
    ],
    'lot-granted': ({ contractName, amount, reference, effectiveAt, expiresAt }, reader) => [
      heading(`${sayAmount(amount, reader)} ${contractName === null ? 'für Sie' : `für ${contractName}`}`),
      table(
        ['Nutzbar ab', sayInstant(effectiveAt, reader)],
        ['Verfällt', expiresAt === null ? 'nie' : sayInstant(expiresAt, reader)],
        ...referenceRow(reference),
      ),
    ],
    'lot-expiring': ({ contractName, amount, reference, expiresAt }, reader) => [
      heading(`Verfall am ${sayDayOf(expiresAt, reader)}: ${sayAmount(amount, reader)} ${ofContract(contractName)}`),
      table(['Nutzbar bis', sayInstant(expiresAt, reader)], ...referenceRow(reference)),
    ],
    'lot-expired': ({ contractName, amount, reference, expiredAt }, reader) => [
      heading(`Verfallen: ${sayAmount(amount, reader)} ${ofContract(contractName)}`),
      table(['Verfallen', sayInstant(expiredAt, reader)], ...referenceRow(reference)),
    ],
    'low-balance': ({ contractName, spendable, threshold }, reader) => [
      heading(
        contractName === null
          ? 'Ihre eigenen Credits gehen zur Neige'
          : `Die Credits von ${contractName} gehen zur Neige`,
      ),
      table(['Nutzbar', sayAmount(spendable, reader)], ['Warnung unter', sayAmount(threshold, reader)]),
    ],
    'balance-recovered': ({ contractName, spendable, threshold }, reader) => [
      heading(contractName === null ? 'Sie haben wieder genug Credits' : `${contractName} hat wieder genug Credits`),
      table(['Nutzbar', sayAmount(spendable, reader)], ['Warnung unter', sayAmount(threshold, reader)]),
    ],
  },
  digestSubject: (day, entries) =>
    `Ihre Credits: ${entries === 1 ? '1 Neuigkeit' : `${entries} Neuigkeiten`} am ${sayDay(day, { language: 'de' })}`,
  digestIntroduction: (told) => [...greeting(told), paragraph('das ist geschehen, und das steht bevor.')],
  requiredFooter:
    'Holdfast sendet dies, weil Ihre Vereinbarung mit dem Anbieter es verlangt; es lässt sich nicht abbestellen.',
  digestFooter:
    'Holdfast sendet höchstens eine solche Nachricht am Tag. Was sie enthält, in welcher Sprache und nach welcher Uhr, bestimmen Sie in Ihren Einstellungen für Mitteilungen.',
  unsubscribe: 'Keine weiteren davon erhalten:',
};

function forWhom({ audience }: Told, person: string, administrator: string): string {
  return audience === 'person' ? person : administrator;
}

function greeting({ name, audience }: Told): Block[] {
  if (audience === 'person') return [paragraph(`Guten Tag ${name},`)];
  return [
    paragraph('Guten Tag,'),
    paragraph(
      `Sie verwalten einen Vertrag von ${name}; für diese Person ist die folgende Mitteilung. Bitte geben Sie sie weiter:`,
    ),
  ];
}

function ofContract(contractName: string | null): string {
  return contractName === null ? 'von Ihnen' : `von ${contractName}`;
}

function lotsTable(lots: readonly NoticeLot[], total: string, reader: Reader): Block[] {
  const rows = lots.map(({ lotId, reference, amount }): [string, string] => [
    reference === null ? `Posten ${lotId}` : `Posten ${lotId} (${reference})`,
    sayAmount(amount, reader),
  ]);
  return [amounts(...rows, ['Zusammen', sayAmount(total, reader)])];
}

function referenceRow(reference: string | null): [string, string][] {
  return reference === null ? [] : [['Referenz', reference]];
}

function reasonOf(reason: string): Block[] {
  return reason === '' ? [] : [paragraph(`Die Begründung des Anbieters: ${reason}`)];
}

function reservedUntil(reserved: string, reader: Reader): string {
  const now = reserved === '0' ? '' : ` Zurzeit sind ${sayAmount(reserved, reader)} für laufende Jobs reserviert.`;
  return `Was ein laufender Job vor diesem Zeitpunkt reserviert hat, bleibt ihm bis zu seinem Ende.${now}`;
}

function reservedAfter(reserved: string, reader: Reader): string {
  if (reserved === '0') return 'Kein laufender Job hatte davon etwas reserviert.';
  return `Für laufende Jobs bleiben ${sayAmount(reserved, reader)} davon bis zu ihrem Ende reserviert; was sie zurückgeben, wird ebenfalls entzogen.`;
}

function questions({ contact, administrators, audience, reader }: Told): Block[] {
  const names = audience === 'person' && administrators.length > 0 ? sayList(administrators, reader) : '';
  const who = [
    ...(contact === '' ? [] : [`an ${contact}`]),
    ...(names === '' ? [] : [`${contact === '' ? 'an' : 'oder an'} die, die Ihre Verträge verwalten: ${names}`]),
  ];
  return [paragraph(`Bei Fragen wenden Sie sich ${who.length > 0 ? who.join(' ') : 'an Ihren Anbieter'}.`)];
}
