/** What a contract's workflow calls: its changes, and what its calendar brings. */
import { type Booked, bookDue, lastBookings } from '../db/contractBooking';
import { changeContract } from '../db/contracts';
import type { Ledger } from '../db/ledger';
import type { ContractChange } from '../domain/contract';
import { contractPhase } from '../domain/contractPhase';
import type { ContractAnswer, ContractProgress, DoneEntry } from '../domain/contractProgress';
import { formatCredits } from '../domain/credits';
import { BillingError, REFUSALS } from '../domain/errors';
import type { Instant } from '../domain/instant';
import type { Rejection } from '../domain/job';
import { readChange } from '../domain/readChange';

export interface ContractActivities {
  /** Does what the contract's calendar lists up to an instant, or the first part of it. Safe to repeat. */
  bookContract(input: { contractId: string; at: Instant }): Promise<ContractProgress>;
  /** Changes the contract once per request, after what its calendar lists up to then. */
  changeContract(input: {
    contractId: string;
    requestId: string;
    /** As it was asked for, in plain JSON. */
    change: { readonly kind: ContractChange['kind'] } & Readonly<Record<string, unknown>>;
    at: Instant;
    actor: string;
    reason: string;
  }): Promise<ContractAnswer>;
}

/** How much of a calendar is shown to operators. */
const SHOWN_MAX = 12;
const DONE_SHOWN_MAX = 6;

export function createContractActivities({ ledger }: { ledger: Ledger }): ContractActivities {
  return {
    async bookContract({ contractId, at }) {
      const booked = await bookDue(ledger, contractId, at);
      return progressOf(booked, await lastBookings(ledger.db, contractId, DONE_SHOWN_MAX), at);
    },
    async changeContract(asked) {
      const change = readChange(asked.change.kind, asked.change);
      if ('code' in change) return refusal(change);
      // In the order of business time: what a system that was down has missed comes before what is asked of it now.
      if ((await bookDue(ledger, asked.contractId, asked.at)).more) {
        throw new Error(`the calendar of contract ${asked.contractId} has more to book first`);
      }
      try {
        return { status: 'changed', contract: await changeContract(ledger.db, { ...asked, change }) };
      } catch (error) {
        if (!(error instanceof BillingError) || REFUSALS[error.code].retry) throw error;
        const { code, message, details } = error;
        return refusal({ code, message, details: details as Rejection['details'] });
      }
    },
  };
}

function refusal({ code, message, details }: Rejection): ContractAnswer {
  return { status: 'refused', rejection: { code, message, details } };
}

function progressOf(
  { contract, lots, calendar, more }: Booked,
  done: readonly DoneEntry[],
  at: Instant,
): ContractProgress {
  const [next] = calendar;
  return {
    contract,
    phase: contractPhase(contract, at),
    more,
    isOver: contract.closedAt !== null && lots.length === 0,
    nextAt: next?.at ?? null,
    calendar: calendar.slice(0, SHOWN_MAX).map(({ at, act, credits, because }) => ({
      at,
      act,
      credits: formatCredits(credits),
      because,
    })),
    lots: lots.slice(0, SHOWN_MAX).map(({ id, kind, available, reserved, expiresAt }) => ({
      id,
      kind,
      available: formatCredits(available),
      reserved: formatCredits(reserved),
      expiresAt,
    })),
    lotsInAll: lots.length,
    done,
  };
}
