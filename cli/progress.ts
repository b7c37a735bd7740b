/** Progress of one or more jobs: bars that move on a terminal, a line now and then elsewhere. */
import { type Paint, printable } from './output';

export interface Progressing {
  readonly label: string;
  /** From 0 to 1. */
  readonly fraction: number;
  /** The state and the like; a change of it is always shown. */
  readonly note: string;
}

export interface Progress {
  show(key: string, progressing: Progressing): void;
  /** Writes a line that stays, above the bars. */
  say(line: string): void;
  /** Leaves the bars as they are; what comes next starts below. */
  end(): void;
}

export function showProgress(
  stream: NodeJS.WritableStream & { readonly isTTY?: boolean; readonly columns?: number },
  paint: Paint,
): Progress {
  return stream.isTTY === true ? movingBars(stream, paint) : plainLines(stream);
}

/** `████░░░░`: full cells are never more than what is done. */
export function bar(fraction: number, width: number): string {
  const full = Math.floor(Math.min(1, Math.max(0, fraction)) * width);
  return '█'.repeat(full) + '░'.repeat(width - full);
}

const BAR_WIDTH = 24;

function percent(fraction: number): string {
  return `${String(Math.floor(fraction * 100)).padStart(3)} %`;
}

function movingBars(stream: NodeJS.WritableStream & { readonly columns?: number }, paint: Paint): Progress {
  const bars = new Map<string, Progressing>();
  let drawn = 0;
  const clear = () => {
    if (drawn > 0) stream.write(`\x1b[${drawn}A\r\x1b[J`);
    drawn = 0;
  };
  const draw = () => {
    const widest = Math.max(0, ...[...bars.values()].map(({ label }) => label.length));
    for (const { label, fraction, note } of bars.values()) {
      const head = `${printable(label).padEnd(widest)}  `;
      const tail = ` ${percent(fraction)}  `;
      // A line that wraps could not be redrawn.
      const room = Math.max(0, (stream.columns ?? 80) - 1 - head.length - BAR_WIDTH - tail.length);
      const filled = paint.cyan(bar(fraction, BAR_WIDTH));
      stream.write(`${head}${filled}${tail}${paint.dim(printable(note).slice(0, room))}\n`);
    }
    drawn = bars.size;
  };
  return {
    show(key, progressing) {
      clear();
      bars.set(key, progressing);
      draw();
    },
    say(line) {
      clear();
      stream.write(`${printable(line)}\n`);
      draw();
    },
    end() {
      bars.clear();
      drawn = 0;
    },
  };
}

function plainLines(stream: NodeJS.WritableStream): Progress {
  const shown = new Map<string, { tenth: number; note: string }>();
  const say = (line: string) => {
    stream.write(`${printable(line)}\n`);
  };
  return {
    show(key, { label, fraction, note }) {
      const tenth = Math.floor(fraction * 10);
      const last = shown.get(key);
      if (last && last.note === note && last.tenth >= tenth) return;
      shown.set(key, { tenth, note });
      say(`${label} ${percent(fraction)}  ${note}`.trimEnd());
    },
    say,
    end: () => shown.clear(),
  };
}
