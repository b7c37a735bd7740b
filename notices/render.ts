/** A notice in the words of its reader's language, by the reader's clock. */
import type { DigestEntry, Language, NoticeContent } from '../domain/notices';
import { english } from './english';
import { german } from './german';
import { type Block, type Message, messageOf } from './page';
import type { EntryTexts, NoticeTexts, Said, Texts, Told } from './texts';

const TEXTS: Readonly<Record<Language, Texts>> = { en: english, de: german };

/**
 * Renders a notice as a subject, plain text and HTML that say the same.
 *
 * @param required whether it is told whatever the person prefers.
 */
export function renderNotice(notice: NoticeContent & { readonly required: boolean }, told: Told): Message {
  const { language } = told.reader;
  const texts = TEXTS[language];
  const { subject, blocks } =
    notice.kind === 'digest' ? digestOf(notice.facts, texts, told) : saidBy(texts, notice, told);
  const footer = notice.required
    ? [{ text: texts.requiredFooter }]
    : [
        { text: texts.digestFooter },
        ...(told.unsubscribeUrl === null ? [] : [{ text: texts.unsubscribe, link: told.unsubscribeUrl }]),
      ];
  return messageOf({ language, subject, blocks, footer });
}

function saidBy(texts: Texts, { kind, facts }: Exclude<NoticeContent, { kind: 'digest' }>, told: Told): Said {
  // The facts are of the kind, by the type of the content: only the compiler cannot see both at once.
  const say = texts.notices[kind] as (facts: unknown, told: Told) => ReturnType<NoticeTexts[typeof kind]>;
  return say(facts, told);
}

function digestOf(
  { day, entries }: { readonly day: string; readonly entries: readonly DigestEntry[] },
  texts: Texts,
  told: Told,
): Said {
  return {
    subject: texts.digestSubject(day, entries.length),
    blocks: [...texts.digestIntroduction(told), ...entries.flatMap((entry) => blocksOf(texts.entries, entry, told))],
  };
}

function blocksOf(texts: EntryTexts, { kind, facts }: DigestEntry, { reader }: Told): readonly Block[] {
  const say = texts[kind] as (facts: unknown, reader: Told['reader']) => readonly Block[];
  return say(facts, reader);
}
