/** Which channel is tried next for a notice, and when: decided from what was tried, so that it can be decided again. */
import { addMilliseconds, type Instant } from './instant';
import type { ChannelName } from './notices';

/** What a channel answered. `unknown`: whoever asked did not live to hear it. */
export const RESULTS = ['delivered', 'deferred', 'failed', 'unknown'] as const;
export type ResultKind = (typeof RESULTS)[number];

/** One try of a channel; `result` is null while nothing is known of it. */
export interface Attempt {
  readonly number: number;
  readonly channel: ChannelName;
  readonly at: Instant;
  readonly result: { readonly kind: ResultKind; readonly answer: string; readonly at: Instant } | null;
  /** Whether it came back after it had been accepted. */
  readonly bounced: boolean;
}

export type Step =
  | { readonly kind: 'delivered'; readonly channel: ChannelName; readonly at: Instant }
  /** The first of its channel's tries that is put off is not before this instant. */
  | { readonly kind: 'wait'; readonly until: Instant }
  | { readonly kind: 'try'; readonly channel: ChannelName; readonly number: number }
  | { readonly kind: 'exhausted'; readonly reason: string };

const MINUTE_MS = 60_000;
const FIRST_PAUSE_MS = 5 * MINUTE_MS;
const PAUSE_MAX_MS = 12 * 60 * MINUTE_MS;
/** A channel that puts a notice off for longer has failed. */
const PATIENCE_MS = 3 * 24 * 60 * MINUTE_MS;

/**
 * The next step of a notice's delivery.
 *
 * @param channels in the order in which they are tried.
 * @param attempts all tries so far, in order.
 */
export function nextStep(channels: readonly ChannelName[], attempts: readonly Attempt[], at: Instant): Step {
  const stands = attempts.find(({ result, bounced }) => result?.kind === 'delivered' && !bounced);
  if (stands?.result) return { kind: 'delivered', channel: stands.channel, at: stands.result.at };
  const reasons: string[] = [];
  for (const channel of channels) {
    const tries = attempts.filter((one) => one.channel === channel);
    const end = endOf(tries);
    if (end !== null) {
      reasons.push(`${channel}: ${end}`);
      continue;
    }
    const until = notBefore(tries);
    if (until !== null && at < until) return { kind: 'wait', until };
    return { kind: 'try', channel, number: (attempts.at(-1)?.number ?? 0) + 1 };
  }
  return { kind: 'exhausted', reason: reasons.join('; ') || 'there is no channel' };
}

/** Why a channel is not tried again for this notice; null while it may be. */
function endOf(tries: readonly Attempt[]): string | null {
  const ended = tries.findLast(({ result, bounced }) => bounced || result?.kind === 'failed');
  if (ended) return ended.bounced ? 'it came back after it was accepted' : (ended.result?.answer ?? '');
  const first = tries[0];
  const until = notBefore(tries);
  if (!first || until === null || until <= addMilliseconds(first.at, PATIENCE_MS)) return null;
  return `put off for too long: ${tries.at(-1)?.result?.answer}`;
}

/**
 * When a channel that put the notice off may be asked again: later each time. Of an attempt whose answer nobody heard the
 * first is repeated at once; who ends in the middle again and again must not send the same mail again and again.
 */
function notBefore(tries: readonly Attempt[]): Instant | null {
  const last = tries.at(-1)?.result;
  const putOff = tries.filter(({ result }) => result?.kind === 'deferred' || result?.kind === 'unknown').length;
  if (last?.kind !== 'deferred' && (last?.kind !== 'unknown' || putOff === 1)) return null;
  return addMilliseconds(last.at, Math.min(FIRST_PAUSE_MS * 2 ** (putOff - 1), PAUSE_MAX_MS));
}
