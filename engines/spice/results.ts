/** What is written of a simulated analysis, whichever program solved it: a table, a plot, and a part of the summary. */
import { declareResult, writeResult } from '../protocol';
import type { Analysis, Deck } from './deck';
import { drawPlot } from './plot';
import type { RawPlot, Vector } from './rawfile';
import { writeTable } from './table';

/** One analysis as it was solved. */
export interface Solved {
  readonly plot: RawPlot;
  readonly iterations: number;
  readonly equations: number;
  /** What `.meas` cards asked for, by name, as the simulator wrote it. */
  readonly measurements: Readonly<Record<string, string>>;
  readonly remarks: readonly string[];
}

/** About 40 MB of text; a larger table holds the drawn vectors only. */
const TABLE_VALUES_MAX = 2_000_000;
const DRAWN_MAX = 8;

/** Writes the table and the plot of an analysis. @returns its part of the summary. */
export async function writeAnalysis(
  deck: Deck,
  analysis: Analysis,
  { plot, ...solved }: Solved,
  asked: readonly string[],
): Promise<object> {
  const { name } = analysis;
  const drawn = chooseDrawn(plot, asked.length > 0 ? asked : analysis.wanted);
  const sweep = plot.points > 1 ? plot.vectors.slice(0, 1) : [];
  const isWhole = plot.points * plot.vectors.length <= TABLE_VALUES_MAX;
  const columns = isWhole ? plot.vectors : [...sweep, ...drawn];
  await writeTable(`out/${name}.csv`, plot, columns);
  declareResult(`${name}.csv`, 'text/csv');
  const picture = drawPlot(deck.title === '' ? name : `${deck.title}: ${name}`, plot, drawn);
  if (picture) writeResult(`${name}.svg`, 'image/svg+xml', picture);
  return {
    name,
    card: analysis.card,
    analysis: plot.name,
    points: plot.points,
    equations: solved.equations,
    iterations: solved.iterations,
    vectors: plot.vectors.length,
    vectorsInTable: columns.length,
    measurements: solved.measurements,
    remarks: solved.remarks,
  };
}

/** Writes the summary of all analyses. */
export function writeSummary(deck: Deck, simulations: readonly object[]): void {
  writeResult(
    'simulation.json',
    'application/json',
    `${JSON.stringify({ title: deck.title, simulations }, null, 2)}\n`,
  );
}

/** The first complaint that is an error, with the lines that go with it. */
export function reasonIn(remarks: readonly string[]): string {
  const first = remarks.findIndex((remark) => /^(fatal )?error|can't find|^doanalyses|^netlist line no/i.test(remark));
  const from = first < 0 ? Math.max(0, remarks.length - 3) : first;
  const sentence = remarks
    .slice(from, from + 4)
    .map((remark) => remark.replace(/^(fatal )?error:?\s*/i, '').replace(/ from file test\.cir|file test\.cir/, ''))
    .filter(
      (remark) =>
        remark !== '' &&
        !/^(Simulation interrupted|Any of the following)|aborted|there aren't any circuits|circuit not parsed/.test(
          remark,
        ),
    )
    .join('; ')
    .replaceAll(':; ', ': ');
  return sentence === '' ? 'the simulator ended without a result' : sentence;
}

/** The vectors that were asked for; else those that are called an output, with the sources; else the first ones. */
function chooseDrawn(plot: RawPlot, asked: readonly string[]): Vector[] {
  const traces = plot.points > 1 ? plot.vectors.slice(1) : plot.vectors;
  const byName = new Map(traces.map((vector) => [vector.name.toLowerCase(), vector]));
  const find = (name: string) => byName.get(name.toLowerCase()) ?? byName.get(`v(${name.toLowerCase()})`);
  const found = asked.map(find).filter((vector) => vector !== undefined);
  if (found.length > 0) return [...new Set(found)].slice(0, DRAWN_MAX);
  const outputs = traces.filter(({ name }) =>
    /^v\((in|vin|input|out.*|vout.*|.*output)\)$|noise_spectrum$/i.test(name),
  );
  if (outputs.length > 0) return outputs.slice(0, DRAWN_MAX);
  const voltages = traces.filter(({ type }) => type === 'voltage');
  return (voltages.length > 0 ? voltages : traces).slice(0, DRAWN_MAX / 2);
}
