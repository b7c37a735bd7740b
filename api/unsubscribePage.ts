/** The pages behind a link that ends digests. They are the same for every token: nobody learns from them who exists. */
import type { Response } from 'express';

const LOOK = `body { margin: 0; background: #f2f3f5; color: #1c2026; font: 16px/1.55 system-ui, sans-serif; }
main { max-width: 520px; margin: 12vh auto; padding: 28px 32px; background: #fff; border: 1px solid #dcdfe4; border-radius: 6px; }
h1 { font-size: 21px; margin: 0 0 16px; } p { margin: 0 0 14px; } .second { color: #59616d; }
button { font: inherit; font-weight: 600; padding: 9px 18px; border: 0; border-radius: 4px; background: #2f5f9e; color: #fff; cursor: pointer; }
@media (prefers-color-scheme: dark) {
body { background: #14171b; color: #e4e7eb; } main { background: #1d2126; border-color: #343a42; } .second { color: #a2abb6; }
}`;

/** Asks once more: programs that follow links to look at them must end nothing. */
export function sendUnsubscribeQuestion(response: Response): void {
  send(
    response,
    `<h1>No more digests?</h1>
<p>You would get no more daily messages about your credits. Notices that your agreement requires still come.</p>
<p class="second" lang="de">Sie erhielten keine täglichen Nachrichten über Ihre Credits mehr. Mitteilungen, die Ihre Vereinbarung verlangt, kommen weiterhin.</p>
<form method="post"><button type="submit">Unsubscribe / Abbestellen</button></form>`,
  );
}

export function sendUnsubscribed(response: Response): void {
  send(
    response,
    `<h1>Done</h1>
<p>If this link was yours, no more digests come to you. Your notice preferences bring them back.</p>
<p class="second" lang="de">Wenn dieser Link Ihrer war, kommen keine weiteren Nachrichten. In Ihren Einstellungen für Mitteilungen bestellen Sie sie wieder.</p>`,
  );
}

function send(response: Response, body: string): void {
  response.set({
    'Content-Security-Policy':
      "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    'Referrer-Policy': 'no-referrer',
    'Cache-Control': 'no-store',
    'X-Content-Type-Options': 'nosniff',
  });
  response.type('html').send(`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="robots" content="noindex">
<title>Holdfast</title>
<style>${LOOK}</style>
</head>
<body><main>
${body}
</main></body>
</html>
`);
}
