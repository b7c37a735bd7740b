/** Quotes: rated forecasts with frozen rates and a validity (R10, R11). */
import type { Credits } from '../domain/credits';
import type { Instant } from '../domain/instant';
import type { Dimensions, Estimate } from '../domain/usage';
import { type Db, firstRow } from './client';

export interface Quote {
  readonly id: string;
  readonly userId: string;
  readonly contractId: string | null;
  readonly service: string;
  readonly inputDigest: string;
  readonly parameters: Readonly<Record<string, unknown>>;
  readonly dimensions: Dimensions;
  readonly estimate: QuotedEstimate;
  /** What was read in the input file; null for quotes from before it was kept. */
  readonly facts: unknown;
  readonly rateCardVersion: number;
  readonly low: Credits;
  readonly expected: Credits;
  readonly high: Credits;
  readonly maxCredits: Credits;
  readonly quotedAt: Instant;
  readonly validUntil: Instant;
}

/** An estimate as JSON keeps it: quantities in decimal strings. */
export type QuotedEstimate = {
  readonly [K in keyof Estimate]: K extends 'reason' ? string : readonly { meter: string; quantity: string }[];
};

/** Writes a quote; a repeat with the same id changes nothing. */
export async function insertQuote(db: Db, quote: Quote): Promise<void> {
  await db.raw(
    `insert into quotes
       (id, user_id, contract_id, service, input_digest, parameters, dimensions, estimate, facts, rate_card_version, low,
        expected, high, max_credits, quoted_at, valid_until)
     values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
     on conflict (id) do nothing`,
    [
      quote.id,
      quote.userId,
      quote.contractId,
      quote.service,
      quote.inputDigest,
      JSON.stringify(quote.parameters),
      JSON.stringify(quote.dimensions),
      JSON.stringify(quote.estimate),
      JSON.stringify(quote.facts),
      quote.rateCardVersion,
      quote.low.toString(),
      quote.expected.toString(),
      quote.high.toString(),
      quote.maxCredits.toString(),
      quote.quotedAt,
      quote.validUntil,
    ] as never,
  );
}

/** A quote that this user asked for, with the name of its input; anybody else's looks like none. */
export function findQuote(db: Db, userId: string, id: string): Promise<(Quote & { inputName: string }) | undefined> {
  return firstRow<Quote & { inputName: string }>(
    db,
    `select id, user_id as "userId", contract_id as "contractId", service, input_digest as "inputDigest", parameters,
       dimensions, estimate, facts, rate_card_version as "rateCardVersion", low, expected, high, max_credits as "maxCredits",
       quoted_at as "quotedAt", valid_until as "validUntil",
       (select name from input_uploads u where u.digest = quotes.input_digest and u.user_id = quotes.user_id) as "inputName"
     from quotes
     where id = ? and user_id = ?`,
    [id, userId],
  );
}
