/** Mail by SMTP. Delivered is what the server took with its 2xx to DATA; whether anybody reads it, no server tells. */
import { createTransport } from 'nodemailer';
import type { Addressed, Channel, ChannelResult, Letter } from './channel';

export interface MailSettings {
  /** `smtp://` or `smtps://`, with user and password where the server wants them. */
  readonly url: string;
  /** The sender, such as `Holdfast <notices@example.org>`. */
  readonly from: string;
  /** How long one mail may take in all. */
  readonly timeoutMs?: number;
}

export interface MailChannel extends Channel {
  /** Closes the connections. */
  close(): void;
}

const CONNECTIONS_MAX = 4;
const TIMEOUT_MS = 45_000;
const CONNECT_TIMEOUT_MS = 10_000;
/** Servers close what idles; a connection that is gone when it is needed puts a notice off for nothing. */
const IDLE_MS = 20_000;

export function createMailChannel({ url, from, timeoutMs = TIMEOUT_MS }: MailSettings): MailChannel {
  const part = Math.min(CONNECT_TIMEOUT_MS, timeoutMs);
  const transport = createTransport({
    url,
    pool: true,
    maxConnections: CONNECTIONS_MAX,
    // Whether and when a mail is sent again is decided from what is written down, not by the library.
    maxRequeues: 0,
    idleTimeout: IDLE_MS,
    connectionTimeout: part,
    greetingTimeout: part,
    dnsTimeout: part,
    socketTimeout: timeoutMs,
    disableFileAccess: true,
    disableUrlAccess: true,
  });
  const domain = addressOf(from).split('@')[1] ?? 'holdfast';
  const messageIdOf = ({ noticeId }: Letter) => `<notice.${noticeId}@${domain}>`;

  async function attempt(letter: Letter, { name, email, message }: Addressed): Promise<ChannelResult> {
    const { response } = await transport.sendMail({
      from,
      to: { name, address: email },
      messageId: messageIdOf(letter),
      subject: message.subject,
      text: message.text,
      html: message.html,
      // No out-of-office replies, please (RFC 3834).
      headers: { 'Auto-Submitted': 'auto-generated', ...unsubscribeHeaders(letter) },
    });
    return { kind: 'delivered', answer: response };
  }

  return {
    name: 'mail',
    audience: 'person',
    identify: (letter) => ({
      recipients: letter.addressed.map(({ email }) => email),
      messageId: messageIdOf(letter),
    }),
    async send(letter) {
      const [to] = letter.addressed;
      if (!to || !ADDRESS.test(to.email)) {
        return { kind: 'failed', answer: `${JSON.stringify(to?.email ?? '')} is no mail address` };
      }
      let timer: NodeJS.Timeout | undefined;
      const tooLate = new Promise<ChannelResult>((resolve) => {
        timer = setTimeout(() => resolve({ kind: 'deferred', answer: `no answer within ${timeoutMs} ms` }), timeoutMs);
      });
      try {
        return await Promise.race([attempt(letter, to).catch(resultOfError), tooLate]);
      } finally {
        clearTimeout(timer);
      }
    },
    close: () => transport.close(),
  };
}

/** One address, without what could begin another header or another recipient. */
const ADDRESS = /^[^\s"<>(),:;\\[\]@\p{C}]{1,64}@[^\s"<>(),:;\\[\]@\p{C}]{1,255}$/u;

/** The address in a sender such as `Holdfast <notices@example.org>`. */
function addressOf(sender: string): string {
  return /<([^<>]+)>\s*$/.exec(sender)?.[1] ?? sender.trim();
}

function unsubscribeHeaders({ unsubscribeUrl }: Letter): Record<string, string | { prepared: boolean; value: string }> {
  if (unsubscribeUrl === null) return {};
  return {
    // Not to be folded or encoded: mail programs look for exactly this.
    'List-Unsubscribe': { prepared: true, value: `<${unsubscribeUrl}>` },
    'List-Unsubscribe-Post': 'List-Unsubscribe=One-Click',
  };
}

/**
 * A no that the server gives this recipient or this message (5xx) is final. Everything else is put off: 4xx, silence, a
 * connection that was refused or broke, and a no to ourselves at the greeting, the login or the sender, which is no fault of
 * the recipient.
 */
function resultOfError(error: unknown): ChannelResult {
  const { code, command, response, responseCode, message } = error as Error & {
    code?: string;
    command?: string;
    response?: string;
    responseCode?: number;
  };
  const answer = response ?? `${code ?? 'error'}: ${message}`;
  const isFinal = responseCode !== undefined && responseCode >= 500 && OF_THE_RECIPIENT.test(command ?? '');
  return { kind: isFinal ? 'failed' : 'deferred', answer };
}

const OF_THE_RECIPIENT = /^(RCPT TO|DATA)/;
