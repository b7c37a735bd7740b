/** Writes every notice as its reader gets it into a folder, to be looked at: `npm run notices -- FOLDER`. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { Instant } from '../domain/instant';
import { LANGUAGES, type NoticeContent } from '../domain/notices';
import type { Message } from '../notices/page';
import { renderNotice } from '../notices/render';
import type { Told } from '../notices/texts';

const DAY = (text: string) => `${text}.000000Z` as Instant;
const WITHDRAWN_AT = DAY('2027-02-25T13:03:00');

const WITHDRAWAL = {
  lots: [
    { lotId: '01890a5d-ac96-774b-bcce-b302099a8057', reference: null, amount: '1200.5' },
    { lotId: '01890a5d-ac96-774b-bcce-b302099a8058', reference: 'ORDER-4711', amount: '33.840001' },
  ],
  total: '1234.340001',
  reserved: '12.5',
  reason: 'The programme under which these credits were given has ended.',
};
const OF_LOT = {
  lotId: '01890a5d-ac96-774b-bcce-b302099a8057',
  reference: 'ORDER-4711',
  contractName: 'Aurora main contract',
  amount: '500',
};
const CONTRACT = { contractName: 'Aurora main contract' };
const AT = DAY('2026-11-27T07:15:00');

/** One notice of each kind, and a digest with an entry of each kind. */
export const SAMPLES: readonly NoticeContent[] = [
  { kind: 'withdrawal', facts: WITHDRAWAL },
  { kind: 'withdrawal-reminder', facts: { ...WITHDRAWAL, withdrawnAt: WITHDRAWN_AT, daysLeft: 7 } },
  { kind: 'withdrawal-rescinded', facts: { ...WITHDRAWAL, withdrawnAt: WITHDRAWN_AT } },
  { kind: 'withdrawal-final', facts: { ...WITHDRAWAL, withdrawnAt: WITHDRAWN_AT } },
  {
    kind: 'digest',
    facts: {
      day: '2026-11-27',
      entries: [
        { kind: 'contract-activated', at: AT, facts: { ...CONTRACT, startsAt: AT, endsAt: WITHDRAWN_AT } },
        {
          kind: 'contract-ending',
          at: AT,
          facts: {
            ...CONTRACT,
            endsAt: WITHDRAWN_AT,
            renewal: 'manual',
            graceUntil: DAY('2027-03-27T13:03:00'),
            amount: '420',
          },
        },
        { kind: 'contract-ended', at: AT, facts: { ...CONTRACT, endedAt: AT, graceUntil: null, amount: '0.000001' } },
        { kind: 'contract-renewed', at: AT, facts: { ...CONTRACT, endsAt: DAY('2028-02-29T23:00:00') } },
        { kind: 'contract-closed', at: AT, facts: { ...CONTRACT, closedAt: AT } },
        { kind: 'lot-granted', at: AT, facts: { ...OF_LOT, contractName: null, effectiveAt: AT, expiresAt: null } },
        { kind: 'lot-expiring', at: AT, facts: { ...OF_LOT, expiresAt: WITHDRAWN_AT } },
        { kind: 'lot-expired', at: AT, facts: { ...OF_LOT, expiredAt: AT } },
        { kind: 'low-balance', at: AT, facts: { ...CONTRACT, spendable: '49.999999', threshold: '50' } },
        { kind: 'balance-recovered', at: AT, facts: { contractName: null, spendable: '1', threshold: '1' } },
      ],
    },
  },
];

/** Every notice in both languages, as its person and, where that can be, as an administrator reads it; by name. */
export function gallery(): Map<string, Message> {
  const pictures = new Map<string, Message>();
  for (const language of LANGUAGES) {
    for (const notice of SAMPLES) {
      const required = notice.kind !== 'digest';
      for (const audience of required ? (['person', 'administrator'] as const) : (['person'] as const)) {
        const told: Told = {
          name: 'Sana Rahimi',
          audience,
          reader: { language, timeZone: 'Europe/Berlin' },
          effectiveAt: WITHDRAWN_AT,
          contact: 'credits@provider.example',
          administrators: ['Carl Admundsen', 'Ida Brandt'],
          unsubscribeUrl: required ? null : 'https://holdfast.example/v1/unsubscribe/kZ5hS0PqYc0l4J2m1nUe3v9xW7tB6a8d',
        };
        pictures.set(`${notice.kind}.${audience}.${language}`, renderNotice({ ...notice, required }, told));
      }
    }
  }
  return pictures;
}

function write(folder: string): void {
  mkdirSync(folder, { recursive: true });
  for (const [name, { html, text, subject }] of gallery()) {
    writeFileSync(join(folder, `${name}.html`), html);
    writeFileSync(join(folder, `${name}.txt`), `Subject: ${subject}\n\n${text}`);
  }
}

if (require.main === module) {
  const [folder] = process.argv.slice(2);
  if (folder === undefined) {
    process.stderr.write('Say into which folder: npm run notices -- FOLDER\n');
    process.exitCode = 2;
  } else {
    write(resolve(folder));
  }
}
