/** What is said to a withdrawal's workflow and what it answers: plain JSON. */
import { defineQuery, defineSignal, defineUpdate } from '@temporalio/workflow';

export interface WithdrawalInput {
  readonly withdrawalId: string;
  /** After how many pages the workflow goes on as a new run; 500 when absent. */
  readonly pagesPerRun?: number;
}

/** What somebody asks about users of a campaign. The request's id is its idempotency key. */
export interface WithdrawalAsking {
  readonly requestId: string;
  readonly userIds: readonly string[] | 'all';
  readonly actor: string;
  readonly reason: string;
}

export interface RescindAnswer {
  /** How many users keep their credits, those of earlier requests included. */
  readonly rescinded: number;
  /** Users whose credits are gone: nothing was changed for them. The first thousand. */
  readonly tookEffect: readonly string[];
  readonly tookEffectCount: number;
}

export interface RetryAnswer {
  /** How many users wait for a delivery now. */
  readonly retried: number;
}

export interface NoticeBounce {
  readonly userId: string;
  /** When the notice came back. */
  readonly at: string;
}

/** What a campaign is waiting for. */
export interface WithdrawalView {
  readonly counts: {
    readonly waiting: number;
    readonly noticed: number;
    readonly rescinded: number;
    readonly withdrawn: number;
    readonly undeliverable: number;
  };
  readonly nextAt: string | null;
  readonly nextWhat: string;
  readonly failures: readonly string[];
}

export const rescindUpdate = defineUpdate<RescindAnswer, [WithdrawalAsking]>('rescind');
export const retryUpdate = defineUpdate<RetryAnswer, [WithdrawalAsking]>('retry');
/** Kept by Temporal until a worker is there. */
export const noticeBouncedSignal = defineSignal<[NoticeBounce]>('noticeBounced');
/** Null before the first look. */
export const withdrawalViewQuery = defineQuery<WithdrawalView | null>('withdrawal');
