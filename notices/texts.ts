/** What a language's texts are: one function for each kind of notice and each kind of entry in a digest. */
import type { Instant } from '../domain/instant';
import type { DigestEntryFacts, DigestEntryKind, NoticeFacts, NoticeKind } from '../domain/notices';
import type { Reader } from './format';
import type { Block, Page } from './page';

/** To whom and of whom a text speaks. */
export interface Told {
  /** Whom the notice is about. */
  readonly name: string;
  /** Whether it is told to the person, or to somebody who administers the person's contracts. */
  readonly audience: 'person' | 'administrator';
  readonly reader: Reader;
  /** From when the credits are gone, for a notice that starts the 90 days. */
  readonly effectiveAt: Instant;
  /** Who answers questions, as a part of a sentence; empty when nobody was named. */
  readonly contact: string;
  /** The names of the administrators of the person's contracts. */
  readonly administrators: readonly string[];
  /** Where digests are ended with one click; null where nothing is ended. */
  readonly unsubscribeUrl: string | null;
}

export type Said = Pick<Page, 'subject' | 'blocks'>;

export type NoticeTexts = {
  readonly [Kind in Exclude<NoticeKind, 'digest'>]: (facts: NoticeFacts[Kind], told: Told) => Said;
};

/** One entry of a digest: a heading, and sentences or a table under it. */
export type EntryTexts = {
  readonly [Kind in DigestEntryKind]: (facts: DigestEntryFacts[Kind], reader: Reader) => readonly Block[];
};

export interface Texts {
  readonly notices: NoticeTexts;
  readonly entries: EntryTexts;
  readonly digestSubject: (day: string, entries: number) => string;
  readonly digestIntroduction: (told: Told) => readonly Block[];
  /** Why somebody gets this, for the last lines. */
  readonly requiredFooter: string;
  readonly digestFooter: string;
  readonly unsubscribe: string;
}

export const paragraph = (text: string): Block => ({ kind: 'paragraph', text });
export const emphasis = (text: string): Block => ({ kind: 'emphasis', text });
export const heading = (text: string): Block => ({ kind: 'heading', text });
export const table = (...rows: readonly (readonly [string, string])[]): Block => ({ kind: 'table', rows });
export const amounts = (...rows: readonly (readonly [string, string])[]): Block => ({ kind: 'amounts', rows });
export const list = (...points: readonly string[]): Block => ({ kind: 'list', points });
