import { createHash } from 'node:crypto';
import { ZERO } from '../../domain/credits';
import { atHour, idOf } from '../../test/builders/ids';
import { amount, CONTRACT, changeLife, grant } from '../../test/builders/ledger';
import { digestOf } from './chain';
import { rowOf } from './journal';

const LOT = idOf('lot', 1);
const LIFE = '"2026-01-01T00:00:00.000000Z","2026-01-01T09:00:00.000000Z",null';
const sha256 = (text: string) => createHash('sha256').update(text).digest();
const hashOf = (asked: string) => sha256(asked).subarray(0, 8).toString('hex');

/** The digest of a grant and a changed life with a grace, or with none: these are written down where there is one. */
function digested(graceUntil: ReturnType<typeof atHour> | null) {
  const life = { expiresAt: atHour(9), graceUntil };
  const granting = grant({ lot: { amount: amount('10'), ...life } });
  const transfers = [{ lotId: LOT, from: 'granted', to: 'available', amount: amount('10') }] as const;
  const changing = changeLife({ act: 'changeLife/1', life });
  return digestOf([
    rowOf({ operation: granting, transfers, absorbed: ZERO }),
    rowOf({ operation: changing, transfers: [], absorbed: ZERO }),
  ]);
}

/** What is digested of them, written by hand. */
function canonical(grace: string): Buffer {
  const by = '"test","a test asks for it"';
  const [from, to] = ['"2026-01-01T00:00:00.000000Z"', '"2026-01-01T09:00:00.000000Z"'];
  const granted = hashOf(
    `["grant","grant",${by},"${LOT}","${CONTRACT}","shared","purchase","10000000",${from},${to},null,null,false${grace}]`,
  );
  const changed = hashOf(`["changeLife","changeLife/1",${by},"${LOT}","${CONTRACT}",${LIFE}${grace}]`);
  const booked = '"2026-01-01T01:00:00.000000Z",null,null';
  return sha256(
    `["0","grant","${LOT}","grant",null,null,null,null,${booked},${LIFE},${by},"ga","${LOT}","10000000","${granted}",` +
      `"${CONTRACT}","contract","shared","purchase",null,"10000000",null,"false"${grace}]\n` +
      `["1","changeLife","${LOT}","changeLife/1",null,null,null,null,${booked},${LIFE},${by},"","","","${changed}"${grace}]`,
  );
}

test('what says no grace is digested as it was before there were any', () => {
  expect(digested(null)).toEqual(canonical(''));
});

test('a grace stands at the end of what an operation says, and in what was asked', () => {
  expect(digested(atHour(12))).toEqual(canonical(',"2026-01-01T12:00:00.000000Z"'));
});
