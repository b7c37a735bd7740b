import { setTimeout as delay } from 'node:timers/promises';

const LOOK_EVERY_MS = 25;

/**
 * Looks again and again until what it sees is there.
 *
 * @param what names what is waited for, for the message when it does not come.
 * @param look gives `undefined`, `null` or `false` as long as it is not there.
 */
export async function eventually<T>(
  what: string,
  look: () => Promise<T | undefined | null | false> | T | undefined | null | false,
  limitMs = 30_000,
): Promise<T> {
  const giveUpAt = performance.now() + limitMs;
  for (;;) {
    const seen = await look();
    if (seen !== undefined && seen !== null && seen !== false) return seen;
    if (performance.now() > giveUpAt) throw new Error(`${what}: not seen within ${limitMs} ms`);
    await delay(LOOK_EVERY_MS);
  }
}
