/** The port to people: what a channel is asked to deliver, and what it answers. */
import type { ChannelName, Language } from '../domain/notices';
import type { Message } from './page';

/** One message for one person. */
export interface Addressed {
  readonly userId: string;
  readonly name: string;
  readonly email: string;
  readonly language: Language;
  readonly message: Message;
}

export interface Letter {
  readonly noticeId: string;
  /** Where a mail program ends digests with one click (RFC 8058); null for what cannot be ended. */
  readonly unsubscribeUrl: string | null;
  readonly addressed: readonly Addressed[];
}

/** What a channel answered: taken, not now, or never for this notice. `answer` goes into the proof as it is. */
export interface ChannelResult {
  readonly kind: 'delivered' | 'deferred' | 'failed';
  readonly answer: string;
}

/**
 * A way to reach a person. Sending the same letter twice must be recognisable as the same: whoever asked may have ended before
 * it heard the answer. It answers within a bounded time and does not throw.
 */
export interface Channel {
  readonly name: ChannelName;
  /** Whether the person is addressed, or who administers the person's contracts. */
  readonly audience: 'person' | 'administrator';
  /** To whom and under which message id a letter goes, for what is written down before it is sent. */
  identify(letter: Letter): { readonly recipients: readonly string[]; readonly messageId: string | null };
  send(letter: Letter): Promise<ChannelResult>;
}
