/** A notice before it has a form: what it says, in order. From it come the plain text and the HTML, so that both say the same. */

export type Block =
  | { readonly kind: 'paragraph'; readonly text: string }
  /** What must not be overlooked. */
  | { readonly kind: 'emphasis'; readonly text: string }
  | { readonly kind: 'heading'; readonly text: string }
  /** Labels and values; amounts stand under each other. */
  | { readonly kind: 'table' | 'amounts'; readonly rows: readonly (readonly [label: string, value: string])[] }
  | { readonly kind: 'list'; readonly points: readonly string[] };

export interface Page {
  readonly language: string;
  readonly subject: string;
  readonly blocks: readonly Block[];
  /** Who sends it and why; the last lines. */
  readonly footer: readonly Foot[];
}

export interface Foot {
  readonly text: string;
  readonly link?: string;
}

export interface Message {
  readonly subject: string;
  readonly text: string;
  readonly html: string;
}

/** Gives a page its forms. */
export function messageOf(page: Page): Message {
  // A subject is one line, whatever a name in it holds.
  const subject = page.subject.replace(/[\s\p{C}]+/gu, ' ').trim();
  return { subject, text: textOf(page), html: htmlOf({ ...page, subject }) };
}

const WIDTH = 72;

function textOf({ blocks, footer }: Page): string {
  // An address is left in one piece: a broken one leads nowhere.
  const foot = footer.map(({ text, link }) => (link === undefined ? wrap(text) : `${wrap(text)}\n${link}`));
  return `${blocks.map(textOfBlock).join('\n\n')}\n\n-- \n${foot.join('\n')}\n`;
}

function textOfBlock(block: Block): string {
  switch (block.kind) {
    case 'paragraph':
      return wrap(block.text);
    case 'emphasis':
      return wrap(block.text, '  ');
    case 'heading': {
      const title = plain(block.text);
      return `${title}\n${'-'.repeat(Math.min(WIDTH, title.length))}`;
    }
    case 'table':
    case 'amounts':
      return block.rows.map(([label, value]) => wrap(`${label}: ${value}`, '  ')).join('\n');
    case 'list':
      return block.points.map((point) => `- ${wrap(point, '  ').trimStart()}`).join('\n');
  }
}

/** Text of others without control characters: nothing that moves a terminal's cursor, and no line that somebody else began. */
function plain(text: string): string {
  return text.replace(/[\s\p{Cc}\p{Cf}]+/gu, ' ').trim();
}

function wrap(text: string, indent = ''): string {
  const lines: string[] = [];
  let line = indent;
  for (const word of plain(text).split(' ')) {
    if (line !== indent && line.length + 1 + word.length > WIDTH) {
      lines.push(line);
      line = indent;
    }
    line += line === indent ? word : ` ${word}`;
  }
  return [...lines, line].join('\n');
}

/** Sober in every mail program: one column, the reader's own light or dark colours, and nothing that is loaded from elsewhere. */
function htmlOf({ language, subject, blocks, footer }: Page): string {
  return `<!doctype html>
<html lang="${escaped(language)}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="supported-color-schemes" content="light dark">
<title>${escaped(subject)}</title>
<style>${STYLE}</style>
</head>
<body>
<main>
<h1>${escaped(subject)}</h1>
${blocks.map(htmlOfBlock).join('\n')}
<footer>
${footer.map(htmlOfFoot).join('\n')}
</footer>
</main>
</body>
</html>
`;
}

const STYLE = `
:root { color-scheme: light dark; }
body { margin: 0; background: #f2f3f5; color: #1c2026; font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, Helvetica, Arial, sans-serif; }
main { max-width: 600px; margin: 24px auto; padding: 28px 32px; background: #ffffff; border: 1px solid #dcdfe4; border-radius: 6px; }
h1 { font-size: 21px; line-height: 1.3; margin: 0 0 20px; }
h2 { font-size: 16px; margin: 26px 0 6px; }
p { margin: 0 0 14px; }
p.emphasis { padding: 12px 16px; background: #eef2f8; border-left: 4px solid #2f5f9e; font-weight: 600; }
table { border-collapse: collapse; width: 100%; margin: 0 0 16px; }
th, td { text-align: left; vertical-align: top; padding: 7px 20px 7px 0; border-bottom: 1px solid #dcdfe4; overflow-wrap: anywhere; }
th { font-weight: normal; color: #59616d; width: 26%; }
.amounts th { width: auto; }
.amounts td { text-align: right; white-space: nowrap; }
td { font-variant-numeric: tabular-nums; padding-right: 0; }
ul { margin: 0 0 14px; padding-left: 22px; }
li { margin: 0 0 8px; }
footer { margin-top: 26px; padding-top: 14px; border-top: 1px solid #dcdfe4; font-size: 13px; color: #59616d; }
footer p { margin: 0 0 6px; overflow-wrap: anywhere; }
a { color: #2f5f9e; }
@media (max-width: 640px) { main { margin: 0; border: 0; border-radius: 0; padding: 22px 18px; } }
@media (prefers-color-scheme: dark) {
body { background: #14171b; color: #e4e7eb; }
main { background: #1d2126; border-color: #343a42; }
p.emphasis { background: #232c38; border-left-color: #7fa8dd; }
th, td, footer { border-color: #343a42; }
th, footer { color: #a2abb6; }
a { color: #8fb6ea; }
}
`;

function htmlOfBlock(block: Block): string {
  switch (block.kind) {
    case 'paragraph':
      return `<p>${escaped(block.text)}</p>`;
    case 'emphasis':
      return `<p class="emphasis">${escaped(block.text)}</p>`;
    case 'heading':
      return `<h2>${escaped(block.text)}</h2>`;
    case 'table':
    case 'amounts': {
      const rows = block.rows.map(
        ([label, value]) => `<tr><th scope="row">${escaped(label)}</th><td>${escaped(value)}</td></tr>`,
      );
      return `<table class="${block.kind}">\n${rows.join('\n')}\n</table>`;
    }
    case 'list':
      return `<ul>\n${block.points.map((point) => `<li>${escaped(point)}</li>`).join('\n')}\n</ul>`;
  }
}

function htmlOfFoot({ text, link }: Foot): string {
  if (link === undefined) return `<p>${escaped(text)}</p>`;
  return `<p>${escaped(text)} <a href="${escaped(link)}">${escaped(link)}</a></p>`;
}

const ESCAPES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

function escaped(text: string): string {
  return text.replace(/[&<>"']/g, (found) => ESCAPES[found] as string).replace(/[\p{Cc}\p{Cf}]/gu, ' ');
}
