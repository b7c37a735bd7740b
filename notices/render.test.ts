import { gallery, SAMPLES } from '../dev/noticeGallery';
import type { Instant } from '../domain/instant';
import { DIGEST_ENTRY_KINDS, LANGUAGES, type Language, NOTICE_KINDS, type NoticeContent } from '../domain/notices';
import { sayAmount, sayInstant } from './format';
import type { Message } from './page';
import { renderNotice } from './render';
import type { Told } from './texts';

const AT = '2027-02-25T13:03:00.000000Z' as Instant;

function told(language: Language, more: Partial<Told> & { timeZone?: string } = {}): Told {
  const { timeZone = 'Europe/Berlin', ...rest } = more;
  return {
    name: 'Sana Rahimi',
    audience: 'person',
    reader: { language, timeZone },
    effectiveAt: AT,
    contact: 'credits@provider.example',
    administrators: ['Carl Admundsen'],
    unsubscribeUrl: null,
    ...rest,
  };
}

/** The words of a message's HTML, as a person sees them. */
function seen({ html }: Message): string {
  return html
    .replace(/<(style|title)>[\s\S]*?<\/\1>/g, '')
    .replace(/<[^>]+>/g, ' ')
    .replaceAll('&#39;', "'")
    .replaceAll('&quot;', '"')
    .replaceAll('&lt;', '<')
    .replaceAll('&gt;', '>')
    .replaceAll('&amp;', '&')
    .replace(/\s+/g, ' ');
}

const flat = (text: string) => text.replace(/\s+/g, ' ');

it('every kind of notice and of entry has a sample, and every sample a text in every language', () => {
  expect(SAMPLES.map(({ kind }) => kind)).toEqual(NOTICE_KINDS);
  const digest = SAMPLES.find((one) => one.kind === 'digest');
  expect(digest?.facts.entries.map(({ kind }) => kind)).toEqual(DIGEST_ENTRY_KINDS);
  for (const [name, message] of gallery()) {
    for (const form of [message.subject, message.text, message.html]) {
      expect({ name, found: /undefined|null|NaN|Invalid|\[object/.exec(form)?.[0] }).toEqual({ name });
    }
  }
});

describe.each(LANGUAGES)('in %s', (language) => {
  const facts: Record<Language, Record<string, RegExp>> = {
    en: {
      day: /25 February 2027/,
      instant: /Thursday, 25 February 2027 at 14:03 CET \(Europe\/Berlin\)/,
      total: /1,234\.340001 credits/,
      lots: /a8057.*1,200\.5 credits.*a8058 \(ORDER-4711\).*33\.840001 credits/,
      reserved: /running job.*12\.5 credits/i,
      until: /Until then you can use these credits/,
      ask: /ask credits@provider\.example or who administers your contracts: Carl Admundsen/,
    },
    de: {
      day: /25\. Februar 2027/,
      instant: /Donnerstag, 25\. Februar 2027 um 14:03 MEZ \(Europe\/Berlin\)/,
      total: /1\.234,340001 Credits/,
      lots: /a8057.*1\.200,5 Credits.*a8058 \(ORDER-4711\).*33,840001 Credits/,
      reserved: /12,5 Credits.*laufende Jobs/i,
      until: /Bis dahin können Sie diese Credits wie bisher nutzen/,
      ask: /wenden Sie sich an credits@provider\.example oder an die, die Ihre Verträge verwalten: Carl Admundsen/,
    },
  };

  it('a notice of withdrawal names person, lots, amounts, instant, what stays, what can be done and who to ask', () => {
    const message = renderNotice({ ...(SAMPLES[0] as NoticeContent), required: true }, told(language));
    const { day, total, ...rest } = facts[language];
    expect(message.subject).toMatch(day as RegExp);
    expect(message.subject).toMatch(total as RegExp);
    for (const form of [flat(message.text), seen(message)]) {
      for (const fact of Object.values(rest)) expect(form).toMatch(fact);
      expect(form).toContain('Sana Rahimi');
      expect(form).toContain('90');
    }
  });

  it.each(['withdrawal-reminder', 'withdrawal-rescinded', 'withdrawal-final'] as const)(
    '%s names person, lots, amounts and instant',
    (kind) => {
      const sample = SAMPLES.find((one) => one.kind === kind) as NoticeContent;
      const message = renderNotice({ ...sample, required: true }, told(language));
      const { instant, total, lots } = facts[language];
      for (const form of [flat(message.text), seen(message)]) {
        for (const fact of [instant, total, lots]) expect(form).toMatch(fact as RegExp);
        expect(form).toContain('Sana Rahimi');
      }
    },
  );

  it('an administrator is told of whom it is, and asked to pass it on', () => {
    for (const sample of SAMPLES.slice(0, 4)) {
      const message = renderNotice({ ...sample, required: true }, told(language, { audience: 'administrator' }));
      expect(message.subject).toContain('Sana Rahimi');
      expect(flat(message.text)).toMatch(
        language === 'en' ? /You administer a contract of Sana/ : /Sie verwalten einen Vertrag von Sana/,
      );
      expect(message.text).not.toMatch(/\b(your individual|Ihrer persönlichen|of yours|von Ihnen)\b/);
    }
  });

  it('a digest tells each of its entries with amounts and instants, and how to end digests', () => {
    const url = 'https://holdfast.example/v1/unsubscribe/token';
    const message = renderNotice(
      { ...(SAMPLES[4] as NoticeContent), required: false },
      told(language, { unsubscribeUrl: url }),
    );
    const amounts = ['420', '0.000001', '500', '49.999999', '50', '1'].map((amount) => sayAmount(amount, { language }));
    for (const form of [flat(message.text), seen(message)]) {
      for (const amount of amounts) expect(form).toContain(amount);
      expect(form).toContain('ORDER-4711');
      expect(form).toContain(url);
    }
    expect(message.html).toContain(`href="${url}"`);
    expect(message.subject).toMatch(
      language === 'en' ? /10 things .*27 November 2026/ : /10 Neuigkeiten .*27\. November 2026/,
    );
  });

  it('what is required says so and offers no way to end it', () => {
    const message = renderNotice({ ...(SAMPLES[0] as NoticeContent), required: true }, told(language));
    expect(message.text).toMatch(language === 'en' ? /cannot be switched off/ : /lässt sich nicht\s+abbestellen/);
    expect(message.html).not.toContain('<a ');
  });

  it('nothing that others wrote becomes HTML, a header, or the end of a message', () => {
    const evil = `<img src=x onerror=alert(1)>"'&\r\n\u001b[2J-- \nBcc: a@b`;
    const poisoned = JSON.parse(
      JSON.stringify(SAMPLES)
        .replaceAll('Aurora main contract', 'EVIL')
        .replaceAll('ORDER-4711', 'EVIL')
        .replace(/The programme[^"]*/g, 'EVIL'),
      (_, value) => (value === 'EVIL' ? evil : value),
    ) as NoticeContent[];
    for (const notice of poisoned) {
      for (const audience of ['person', 'administrator'] as const) {
        const message = renderNotice(
          { ...notice, required: false },
          told(language, {
            name: evil,
            contact: evil,
            administrators: [evil],
            audience,
            unsubscribeUrl: `https://x/"><script>`,
          }),
        );
        const tags = new Set([...message.html.matchAll(/<\/?([a-z0-9]+)/g)].map(([, tag]) => tag));
        for (const tag of ['img', 'script']) expect([...tags]).not.toContain(tag);
        expect(message.html).not.toMatch(/<[^>]+ onerror=/);
        expect(message.html).not.toMatch(/(src|href)="(?!https:\/\/x\/&quot;)/);
        expect(message.subject).not.toMatch(/\p{Cc}/u);
        expect(message.text.replaceAll('\n', '')).not.toMatch(/\p{Cc}/u);
        expect(message.text.match(/^-- $/gm)).toHaveLength(1);
      }
    }
  });

  it('loads nothing from elsewhere', () => {
    for (const [, { html }] of gallery()) expect(html).not.toMatch(/<(link|img|script|iframe)|url\(|@import/);
  });
});

it('an amount keeps every digit there is', () => {
  expect(sayAmount('9000000000000.000001', { language: 'en' })).toBe('9,000,000,000,000.000001 credits');
  expect(sayAmount('9000000000000.000001', { language: 'de' })).toBe('9.000.000.000.000,000001 Credits');
  expect(sayAmount('1', { language: 'en' })).toBe('1 credit');
  expect(sayAmount('0.5', { language: 'en' })).toBe('0.5 credits');
});

it('an instant is given by the reader’s own clock and names the zone, on either side of the date line', () => {
  const at = '2027-02-25T10:30:00.000000Z' as Instant;
  const say = (timeZone: string) => sayInstant(at, { language: 'en', timeZone });
  expect(say('Pacific/Kiritimati')).toMatch(/^Friday, 26 February 2027 at 00:30 .*\(Pacific\/Kiritimati\)$/);
  expect(say('Pacific/Pago_Pago')).toMatch(/^Wednesday, 24 February 2027 at 23:30 .*\(Pacific\/Pago_Pago\)$/);
  expect(say('UTC')).toBe('Thursday, 25 February 2027 at 10:30 UTC');
  expect(say('nowhere/at all')).toBe(say('UTC'));
});
