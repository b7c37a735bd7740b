/** Which decks this engine computes: one linear static step of hexahedra with eight nodes. */
import { InputFault } from '../protocol';
import type { Block } from '../structure/deck';

/** Keywords with the parameters that may stand with them. What is not here is refused, never ignored. */
const KEYWORDS: ReadonlyMap<string, readonly string[]> = new Map([
  ['HEADING', []],
  ['NODE', ['NSET']],
  ['ELEMENT', ['TYPE', 'ELSET']],
  ['NSET', ['NSET', 'GENERATE']],
  ['ELSET', ['ELSET', 'GENERATE']],
  ['MATERIAL', ['NAME']],
  ['ELASTIC', ['TYPE']],
  ['SOLIDSECTION', ['ELSET', 'MATERIAL']],
  ['BOUNDARY', []],
  ['CLOAD', []],
  ['STEP', []],
  ['STATIC', []],
  ['ENDSTEP', []],
]);
/** Wishes for output: the results are the same for every deck. */
const OUTPUT = new Set(['NODEFILE', 'ELFILE', 'NODEPRINT', 'ELPRINT', 'NODEOUTPUT', 'ELEMENTOUTPUT']);
const TYPES = new Set(['C3D8', 'C3D8I']);

/** @throws InputFault naming the line of what only another engine can do. */
export function refuseOthers({ keyword, parameters, line, rows }: Block): void {
  if (OUTPUT.has(keyword)) return;
  const known = KEYWORDS.get(keyword);
  if (!known) throw new InputFault(`line ${line}: *${keyword.slice(0, 30)} is beyond linear elastic analysis here`);
  for (const name of parameters.keys()) {
    if (known.includes(name)) continue;
    throw new InputFault(`line ${line}: *${keyword} with ${name.slice(0, 30)} is beyond linear elastic analysis here`);
  }
  const type = parameters.get('TYPE') ?? '';
  if (keyword === 'ELEMENT' && !TYPES.has(type)) {
    throw new InputFault(`line ${line}: elements are C3D8 or C3D8I here, not ${type.slice(0, 20)}`);
  }
  if (keyword === 'ELASTIC' && [...rows].length > 1) {
    throw new InputFault(`line ${line}: a material does not depend on temperature here`);
  }
}
