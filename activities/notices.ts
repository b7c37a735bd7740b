/** Delivers notices: channel after channel until one has taken it, with the proof written down on the way. */
import type { Db } from '../db/client';
import { createUnsubscribeToken } from '../db/noticePreferences';
import {
  type Addressee,
  administratorsOf,
  attemptsOf,
  beginAttempt,
  createNotice,
  findAddressee,
  findNotice,
  keepDeliveryState,
  type NewNotice,
  type Notice,
  recordResult,
} from '../db/notices';
import { addMilliseconds, type Instant } from '../domain/instant';
import { nextStep } from '../domain/noticeDelivery';
import { type Delivery, WITHDRAWAL_NOTICE_DAYS } from '../domain/notices';
import type { Addressed, Channel, ChannelResult, Letter } from '../notices/channel';
import { renderNotice } from '../notices/render';

export interface NoticeDependencies {
  readonly db: Db;
  /** In the order in which they are tried. */
  readonly channels: readonly Channel[];
  /** Who answers questions about notices, such as a mail address; nobody when absent. */
  readonly contact?: string | undefined;
  /** Where people reach the API, for the links in mails; no links when absent. */
  readonly publicUrl?: string | undefined;
}

export interface NoticeDelivery {
  /** Asks for a notice, once per id; {@link NoticeDelivery.deliver} tells it. */
  create(notice: NewNotice): Promise<void>;
  /**
   * Delivers a notice through the next channel that is due, and through those after it when one cannot. Safe to repeat: a
   * notice that is delivered answers as it was delivered. An attempt whose answer nobody heard is made again under the same
   * message id.
   *
   * @param at the business time; what is written down later is this and the time that passed since.
   * @throws Error when there is no such notice.
   */
  deliver(noticeId: string, at: Instant): Promise<Delivery>;
}

const DAY_MS = 86_400_000;

export function createNoticeDelivery({ db, channels, contact = '', publicUrl }: NoticeDependencies): NoticeDelivery {
  async function letterFor(notice: Notice, person: Addressee, channel: Channel, now: Instant): Promise<Letter> {
    const administrators = await administratorsOf(db, notice.userId, now);
    const unsubscribeUrl =
      notice.required || channel.name !== 'mail' || publicUrl === undefined
        ? null
        : `${publicUrl}/v1/unsubscribe/${await createUnsubscribeToken(db, notice.userId)}`;
    const told = {
      name: person.name,
      audience: channel.audience,
      effectiveAt: addMilliseconds(now, WITHDRAWAL_NOTICE_DAYS * DAY_MS),
      contact,
      administrators: administrators.map(({ name }) => name),
      unsubscribeUrl,
    };
    const addressed = (channel.audience === 'person' ? [person] : administrators).map(
      ({ userId, name, email, language, timeZone }): Addressed => ({
        userId,
        name,
        email,
        language,
        message: renderNotice(notice, { ...told, reader: { language, timeZone } }),
      }),
    );
    return { noticeId: notice.id, unsubscribeUrl, addressed };
  }

  async function attempt(
    notice: Notice,
    person: Addressee,
    channel: Channel,
    number: number,
    now: () => Instant,
  ): Promise<void> {
    const letter = await letterFor(notice, person, channel, now());
    const first = letter.addressed[0];
    const begun = await beginAttempt(db, notice.id, {
      number,
      channel: channel.name,
      ...channel.identify(letter),
      language: first?.language ?? person.language,
      subject: first?.message.subject ?? '',
      body: wordsOf(first?.message.text ?? '', letter),
      at: now(),
    });
    // Somebody else is at it: what they heard is looked at next.
    if (!begun) return;
    const result: ChannelResult = await channel.send(letter);
    await recordResult(db, {
      noticeId: notice.id,
      number,
      ...result,
      at: now(),
      showings:
        result.kind !== 'delivered'
          ? []
          : letter.addressed.map(({ userId, message }) => ({
              userId,
              subject: message.subject,
              body: wordsOf(message.text, letter),
            })),
    });
  }

  async function forgetOpenAttempts(noticeId: string, at: Instant): Promise<void> {
    for (const { number, result } of await attemptsOf(db, noticeId)) {
      if (result !== null) continue;
      const answer = 'whoever asked ended before an answer came; it may have been taken';
      await recordResult(db, { noticeId, number, kind: 'unknown', answer, at, showings: [] });
    }
  }

  return {
    create: (notice) => createNotice(db, notice),
    async deliver(noticeId, at) {
      const begunMs = performance.now();
      const now = () => addMilliseconds(at, Math.round(performance.now() - begunMs));
      const notice = await findNotice(db, noticeId);
      if (!notice) throw new Error(`there is no notice ${noticeId}`);
      const addressee = await findAddressee(db, notice.userId);
      if (!addressee) throw new Error(`notice ${noticeId} is for nobody`);
      const usable = channels.filter(({ name }) => isFor(name, notice, addressee.digests));
      const names = usable.map(({ name }) => name);
      await forgetOpenAttempts(noticeId, at);
      for (;;) {
        const step = nextStep(names, await attemptsOf(db, noticeId), now());
        switch (step.kind) {
          case 'delivered':
            await keepDeliveryState(db, noticeId, { state: 'delivered' });
            return { outcome: 'delivered', channel: step.channel, at: step.at };
          case 'wait':
            await keepDeliveryState(db, noticeId, { state: 'waiting', nextAt: step.until });
            return { outcome: 'deferred', retryAt: step.until };
          case 'exhausted':
            await keepDeliveryState(db, noticeId, { state: 'undeliverable' });
            return { outcome: 'undeliverable', reason: step.reason };
          case 'try': {
            const channel = usable.find(({ name }) => name === step.channel);
            if (!channel) throw new Error(`there is no channel ${step.channel}`);
            await attempt(notice, addressee.person, channel, step.number, now);
          }
        }
      }
    },
  };
}

/** What was said, without the secret of a link: who reads the proof must not be able to end somebody's digests. */
function wordsOf(text: string, { unsubscribeUrl }: Letter): string {
  return unsubscribeUrl === null ? text : text.replaceAll(unsubscribeUrl, '[…]');
}

/** What nothing requires is nobody else's business, and is not mailed to who wants no such mail. */
function isFor(channel: Channel['name'], { required }: Notice, digests: boolean): boolean {
  if (required) return true;
  return channel === 'in-service' || (channel === 'mail' && digests);
}
