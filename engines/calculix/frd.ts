/** CalculiX's result file (.frd), as text: node values by the name of their block. */
import type { ElementStress } from '../structure/results';

/** Values of the last increment that the file holds. Components are as many as the block has, one row a node. */
export interface Results {
  /** Three a node. */
  readonly displacements: ReadonlyMap<number, readonly number[]>;
  readonly stresses: ReadonlyMap<number, ElementStress>;
  /** Forces that act on a node: loads, and what supports add. */
  readonly forces: ReadonlyMap<number, readonly number[]>;
}

/** Reads the file; blocks that it does not have are empty. */
export function readResults(text: string): Results {
  const displacements = new Map<number, readonly number[]>();
  const stresses = new Map<number, ElementStress>();
  const forces = new Map<number, readonly number[]>();
  let block = '';
  for (const line of linesOf(text)) {
    const key = line.slice(0, 3);
    if (key === ' -4') {
      block = line.slice(5, 13).trim();
    } else if (key === ' -3') {
      block = '';
    } else if (key === ' -1' && block !== '') {
      const node = Number(line.slice(3, 13));
      if (block === 'DISP') displacements.set(node, valuesOf(line, 3));
      if (block === 'FORC') forces.set(node, valuesOf(line, 3));
      if (block === 'STRESS') stresses.set(node, valuesOf(line, 6) as unknown as ElementStress);
    }
  }
  return { displacements, stresses, forces };
}

/** Twelve columns each, without anything between. */
function valuesOf(line: string, count: number): number[] {
  return Array.from({ length: count }, (_, place) => {
    const text = line.slice(13 + 12 * place, 25 + 12 * place);
    return text.trim() === '' ? Number.NaN : Number(text);
  });
}

function* linesOf(text: string): Generator<string> {
  for (let from = 0; from < text.length; ) {
    const end = text.indexOf('\n', from);
    yield text.slice(from, end < 0 ? text.length : end);
    from = end < 0 ? text.length : end + 1;
  }
}
