/** What ngspice says in its log of one analysis in batch mode. */
export interface AnalysisLog {
  readonly iterations: number | undefined;
  readonly equations: number | undefined;
  readonly measurements: Readonly<Record<string, string>>;
  /** What may interest the author, at most 200 lines. */
  readonly remarks: readonly string[];
}

/** Reads a log with the figures of `.options acct`, or of the command `rusage`. */
export function readLog(text: string): AnalysisLog {
  const lines = text.split(/\r?\n/).map((line) => line.trim());
  const measured = lines.findIndex((line) => line.startsWith('Measurements for '));
  return {
    iterations: figure(lines, 'Total iterations'),
    equations: figure(lines, 'Circuit Equations'),
    measurements: measured < 0 ? {} : readMeasurements(lines.slice(measured + 1)),
    remarks: lines.filter((line) => REMARKS.test(line)).slice(0, REMARKS_MAX),
  };
}

const REMARKS_MAX = 200;
/** Complaints, and the lines that say where they belong. */
const REMARKS =
  /error|warning|can't|cannot|could not|unknown|undefined|failed|singular|aborted|doAnalyses|too small|no\. \d+:|fatal/i;

function figure(lines: readonly string[], name: string): number | undefined {
  const line = lines.find((one) => one.startsWith(`${name} = `));
  return line === undefined ? undefined : Number(line.slice(name.length + 3));
}

/** `thalf = 6.93154e-04`, sometimes with more about it; a blank line ends them. */
function readMeasurements(lines: readonly string[]): Record<string, string> {
  const found: Record<string, string> = {};
  for (const line of lines) {
    const [, name, value] = /^(\w[^=\s]*) *= *(\S+)/.exec(line) ?? [];
    if (name !== undefined && value !== undefined) found[name] = value;
    else if (line !== '') break;
  }
  return found;
}
