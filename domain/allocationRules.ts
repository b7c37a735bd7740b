/** What allocation rules are (R13), versioned like rates: a version is a whole list, immutable once published (R12). */
import type { ContractProduct } from './contract';
import { parseCredits } from './credits';
import type { Instant } from './instant';

/** Who gets it: the contract as a shared lot, or each named user as an individual one. */
export const ALLOCATION_RECIPIENTS = ['contract', 'named-user'] as const;
/** Whether the amount is for each seat or for all of them together. */
export const ALLOCATION_MEASURES = ['seat', 'flat'] as const;
/** `once` is once ever, for a user on whatever contract, or for a contract; `per-term` is once in each term of a contract. */
export const ALLOCATION_FREQUENCIES = ['once', 'per-term'] as const;

export interface AllocationRule {
  /** Names the same allocation across versions: what is granted once is granted once for all versions with this key. */
  readonly key: string;
  /** What it matches of a contract's products; null matches any. */
  readonly product: string | null;
  readonly type: string | null;
  readonly level: string | null;
  readonly recipient: (typeof ALLOCATION_RECIPIENTS)[number];
  /** Credits, as a decimal string. */
  readonly amount: string;
  readonly per: (typeof ALLOCATION_MEASURES)[number];
  readonly frequency: (typeof ALLOCATION_FREQUENCIES)[number];
  /** Names or numbers that the published source does not give and that were inferred. */
  readonly inferred?: readonly string[];
}

/** One version. */
export interface AllocationRules {
  readonly version: number;
  readonly title: string;
  readonly effectiveAt: Instant;
  readonly rules: readonly AllocationRule[];
}

const RULES_MAX = 200;
/** A hundred products of a million seats each come to what a lot may hold. */
const PER_SEAT_MAX = parseCredits('90000');

/** Whether a rule speaks of a product of a contract. */
export function matches({ product, type, level }: AllocationRule, given: ContractProduct): boolean {
  return (
    (product === null || product === given.product) &&
    (type === null || type === given.type) &&
    (level === null || level === given.level)
  );
}

/** What is wrong with a list of rules, as a sentence that begins with the field; null when nothing is. */
export function objectionToRules(rules: readonly AllocationRule[]): string | null {
  if (rules.length > RULES_MAX) return `rules: a version has at most ${RULES_MAX}.`;
  const keys = new Set<string>();
  for (const [index, rule] of rules.entries()) {
    const objection = objectionToRule(rule);
    if (objection) return `rules.${index}.${objection}`;
    if (keys.has(rule.key)) return `rules.${index}.key: ${rule.key} is there twice; a key names one allocation.`;
    keys.add(rule.key);
  }
  return null;
}

function objectionToRule({ key, amount, recipient, per, ...given }: AllocationRule): string | null {
  if (!/^[a-z0-9]([a-z0-9-]{0,58}[a-z0-9])?$/.test(key)) {
    return 'key: 1 to 60 lower-case letters, digits and hyphens, such as named-user-100.';
  }
  for (const field of ['product', 'type', 'level'] as const) {
    const word = given[field];
    if (word !== null && !/^\S(.{0,98}\S)?$/.test(word)) {
      return `${field}: a word of 1 to 100 characters, or null for any.`;
    }
  }
  const credits = parseCredits(amount);
  if (credits === 0n) return 'amount: an allocation is of more than zero credits.';
  if (per === 'seat' && credits > PER_SEAT_MAX) return 'amount: at most 90000 credits for each seat.';
  if (recipient === 'named-user' && per === 'seat') {
    return 'per: a named user gets a flat amount, however many seats the contract has.';
  }
  return null;
}
