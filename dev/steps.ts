import type { Step } from './supervisor';
import type { Say } from './temporal-program';

const SHOW_AFTER_MS = 2_000;
const REPEAT_EVERY_MS = 10_000;
const FRAMES = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'];

export interface Steps {
  readonly step: Step;
  readonly say: Say;
}

/**
 * Shows what a start is doing: on a terminal a line that moves, elsewhere a line when a step takes longer than two
 * seconds, every ten from then on, and at its end.
 */
export function showSteps(stream: NodeJS.WriteStream = process.stderr): Steps {
  const open = new Map<symbol, { what: string; from: number; told: number }>();
  const moving = stream.isTTY === true;
  let frame = 0;
  const clear = () => {
    if (moving) stream.write('\r\x1b[2K');
  };
  const say = (sentence: string) => {
    clear();
    stream.write(`${sentence}\n`);
  };
  const look = () => {
    const now = performance.now();
    if (moving) {
      frame = (frame + 1) % FRAMES.length;
      const text = [...open.values()].map(({ what, from }) => `${what} ${seconds(now - from)}`).join(', ');
      clear();
      stream.write(`${FRAMES[frame]} ${text}`.slice(0, (stream.columns ?? 80) - 1));
      return;
    }
    for (const one of open.values()) {
      if (now - one.told < (one.told === one.from ? SHOW_AFTER_MS : REPEAT_EVERY_MS)) continue;
      one.told = now;
      say(`${one.what} … ${seconds(now - one.from)}`);
    }
  };
  let timer: NodeJS.Timeout | undefined;
  const step: Step = async (what, work) => {
    const key = Symbol(what);
    const from = performance.now();
    open.set(key, { what, from, told: from });
    timer ??= setInterval(look, moving ? 100 : 250);
    try {
      const result = await work;
      say(`✓ ${what} (${seconds(performance.now() - from)})`);
      return result;
    } catch (error) {
      say(`✗ ${what} (${seconds(performance.now() - from)})`);
      throw error;
    } finally {
      open.delete(key);
      if (open.size === 0) {
        clearInterval(timer);
        timer = undefined;
      }
    }
  };
  return { step, say };
}

function seconds(milliseconds: number): string {
  return `${(milliseconds / 1000).toFixed(1)} s`;
}
