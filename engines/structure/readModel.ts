/** Reads the model out of a deck, and refuses with a sentence that names the line. */
import { InputFault } from '../protocol';
import { type Block, type Row, readBlocks } from './deck';
import { type Element, type Material, type Model, SOLIDS } from './model';

/**
 * Reads a deck.
 *
 * @param refuse looks at each block first and throws InputFault for what its engine cannot do.
 * @throws InputFault with a sentence for the deck's author.
 */
export function readModel(text: string, refuse: (block: Block) => void = () => {}): Model {
  const reader = new Reader();
  for (const block of readBlocks(text)) {
    refuse(block);
    reader.read(block);
  }
  return reader.model(text);
}

/** Reads a number of a deck, which may be written `1.5`, `.5E3` or `2.D-3`. */
export function numberIn({ line, fields }: Row, place: number, what: string): number {
  const text = fields[place] ?? '';
  const value = /^[+-]?(\d+\.?\d*|\.\d+)([ED][+-]?\d+)?$/.test(text) ? Number(text.replace('D', 'E')) : Number.NaN;
  if (!Number.isFinite(value)) throw new InputFault(`line ${line}: ${what} is a number, not "${text.slice(0, 40)}"`);
  return value;
}

class Reader {
  readonly #ids: number[] = [];
  readonly #places = new Map<number, number>();
  readonly #coordinates: number[] = [];
  readonly #elements: Element[] = [];
  readonly #elementPlaces = new Map<number, number>();
  readonly #nodeSets: Sets = new Map();
  readonly #elementSets: Sets = new Map();
  readonly #materials = new Map<string, Material>();
  readonly #materialOf = new Map<number, string>();
  readonly #fixed = new Map<number, number>();
  readonly #loads = new Map<number, number>();
  readonly #others = new Set<string>();
  #material = '';
  #steps = 0;
  #stepTime: number | undefined;

  read(block: Block): void {
    switch (block.keyword) {
      case 'NODE':
        this.#readNodes(block);
        return;
      case 'ELEMENT':
        this.#readElements(block);
        return;
      case 'NSET':
        this.#readSet(block, 'NSET', this.#nodeSets, this.#places);
        return;
      case 'ELSET':
        this.#readSet(block, 'ELSET', this.#elementSets, this.#elementPlaces);
        return;
      case 'MATERIAL':
        this.#material = parameter(block, 'NAME');
        return;
      case 'ELASTIC':
        this.#readElastic(block);
        return;
      case 'SOLIDSECTION':
        this.#readSection(block);
        return;
      case 'BOUNDARY':
        this.#readBoundary(block);
        return;
      case 'CLOAD':
        this.#readForces(block);
        return;
      case 'STATIC':
        this.#stepTime = 1;
        for (const row of block.rows) if (row.fields[1]) this.#stepTime = numberIn(row, 1, 'the length of the step');
        return;
      case 'STEP':
        this.#steps += 1;
        if (this.#steps > 1) throw new InputFault(`line ${block.line}: one job is one analysis, which is one *STEP`);
        return;
      default:
        this.#others.add(block.keyword);
    }
  }

  model(text: string): Model {
    if (this.#elements.length === 0) throw new InputFault('the deck has no solid element (*ELEMENT, TYPE=C3D8I …)');
    if (this.#stepTime === undefined) throw new InputFault('the deck has no static step (*STEP, *STATIC, *END STEP)');
    const elements = this.#elements.map((element, place) => {
      const material = this.#materialOf.get(place);
      if (material === undefined) throw new InputFault(`element ${element.id} has no *SOLID SECTION`);
      return { ...element, material };
    });
    return {
      title: titleOf(text),
      nodeIds: this.#ids,
      coordinates: Float64Array.from(this.#coordinates),
      elements,
      materials: this.#materials,
      fixed: this.#fixed,
      loads: this.#loads,
      stepTime: this.#stepTime,
      others: this.#others,
    };
  }

  #readNodes({ rows, parameters }: Block): void {
    const set = parameters.get('NSET');
    for (const row of rows) {
      const id = wholeIn(row, 0, 'the number of a node');
      const place = this.#places.get(id) ?? this.#ids.length;
      this.#places.set(id, place);
      this.#ids[place] = id;
      for (const direction of [0, 1, 2]) {
        const given = row.fields[direction + 1];
        this.#coordinates[3 * place + direction] = given ? numberIn(row, direction + 1, 'a coordinate') : 0;
      }
      if (set) member(this.#nodeSets, set, place);
    }
  }

  #readElements(block: Block): void {
    const type = parameter(block, 'TYPE');
    const count = SOLIDS.get(type);
    if (count === undefined) {
      throw new InputFault(
        `line ${block.line}: elements of type ${type.slice(0, 20)} are not solids that are known here`,
      );
    }
    const set = block.parameters.get('ELSET');
    let fields: number[] = [];
    for (const row of block.rows) {
      for (const [place, text] of row.fields.entries()) {
        if (text !== '') fields.push(wholeIn(row, place, 'the number of an element or node'));
      }
      if (fields.length <= count) continue;
      const [id = 0, ...nodes] = fields;
      fields = [];
      if (nodes.length > count) throw new InputFault(`line ${row.line}: element ${id} has more than ${count} nodes`);
      if (this.#elementPlaces.has(id)) throw new InputFault(`line ${row.line}: there are two elements ${id}`);
      const place = this.#elements.length;
      this.#elementPlaces.set(id, place);
      this.#elements.push({ id, type, nodes: nodes.map((node) => this.#nodeAt(node, row.line)), material: '' });
      if (set) member(this.#elementSets, set, place);
    }
    if (fields.length > 0) throw new InputFault(`line ${block.line}: the last element has fewer than ${count} nodes`);
  }

  #readSet(block: Block, name: string, sets: Sets, places: ReadonlyMap<number, number>): void {
    const set = parameter(block, name);
    const what = name === 'NSET' ? 'node' : 'element';
    for (const row of block.rows) {
      if (block.parameters.has('GENERATE')) {
        const first = wholeIn(row, 0, 'the first number');
        const last = wholeIn(row, 1, 'the last number');
        const step = row.fields[2] ? wholeIn(row, 2, 'the step') : 1;
        if (step === 0 || (last - first) / step > ENTRIES_MAX) {
          throw new InputFault(`line ${row.line}: from ${first} to ${last} by ${step} is no list of numbers`);
        }
        // Numbers that nobody has may lie between.
        for (let id = first; id <= last; id += step) {
          const place = places.get(id);
          if (place !== undefined) member(sets, set, place);
        }
        continue;
      }
      for (const [at, text] of row.fields.entries()) {
        if (text === '') continue;
        const named = sets.get(text);
        if (named) {
          for (const place of [...named]) member(sets, set, place);
          continue;
        }
        const id = wholeIn(row, at, `a ${what}, or a set that was named before,`);
        const place = places.get(id);
        if (place === undefined) throw new InputFault(`line ${row.line}: there is no ${what} ${id}`);
        member(sets, set, place);
      }
    }
  }

  #readElastic(block: Block): void {
    const type = block.parameters.get('TYPE') ?? 'ISO';
    if (!/^ISO(TROPIC)?$/.test(type)) {
      throw new InputFault(`line ${block.line}: a material is the same in all directions here (*ELASTIC, TYPE=ISO)`);
    }
    const [row] = block.rows;
    if (!row)
      throw new InputFault(`line ${block.line}: *ELASTIC needs a line with Young's modulus and Poisson's ratio`);
    const youngsModulus = numberIn(row, 0, "Young's modulus");
    const poissonsRatio = numberIn(row, 1, "Poisson's ratio");
    if (youngsModulus <= 0) throw new InputFault(`line ${row.line}: Young's modulus is above 0`);
    if (poissonsRatio <= -1 || poissonsRatio >= 0.5) {
      throw new InputFault(`line ${row.line}: Poisson's ratio is above -1 and below 0.5`);
    }
    this.#materials.set(this.#material, { youngsModulus, poissonsRatio });
  }

  #readSection(block: Block): void {
    const material = parameter(block, 'MATERIAL');
    const set = parameter(block, 'ELSET');
    const places = this.#elementSets.get(set);
    if (!places) throw new InputFault(`line ${block.line}: there is no element set ${set.slice(0, 40)}`);
    if (!this.#materials.has(material)) {
      throw new InputFault(`line ${block.line}: there is no material ${material.slice(0, 40)} with *ELASTIC`);
    }
    for (const place of places) this.#materialOf.set(place, material);
  }

  #readBoundary({ rows }: Block): void {
    for (const row of rows) {
      const first = wholeIn(row, 1, 'a direction');
      const last = row.fields[2] ? wholeIn(row, 2, 'a direction') : first;
      const value = row.fields[3] ? numberIn(row, 3, 'a displacement') : 0;
      if (first < 1 || last > 3 || last < first) {
        throw new InputFault(`line ${row.line}: directions of a solid are 1, 2 and 3`);
      }
      if (value !== 0 && this.#steps === 0) {
        throw new InputFault(`line ${row.line}: a displacement other than 0 belongs behind *STEP`);
      }
      for (const node of this.#nodesNamed(row)) {
        for (let direction = first; direction <= last; direction++) this.#fixed.set(3 * node + direction - 1, value);
      }
    }
  }

  #readForces({ rows }: Block): void {
    for (const row of rows) {
      const direction = wholeIn(row, 1, 'a direction');
      if (direction < 1 || direction > 3)
        throw new InputFault(`line ${row.line}: directions of a force are 1, 2 and 3`);
      const force = numberIn(row, 2, 'a force');
      for (const node of this.#nodesNamed(row)) {
        const degree = 3 * node + direction - 1;
        this.#loads.set(degree, (this.#loads.get(degree) ?? 0) + force);
      }
    }
  }

  #nodesNamed(row: Row): Iterable<number> {
    const name = row.fields[0] ?? '';
    const set = this.#nodeSets.get(name);
    if (set) return set;
    if (!/^\d+$/.test(name)) throw new InputFault(`line ${row.line}: there is no node set ${name.slice(0, 40)}`);
    return [this.#nodeAt(Number(name), row.line)];
  }

  #nodeAt(id: number, line: number): number {
    const place = this.#places.get(id);
    if (place === undefined) throw new InputFault(`line ${line}: there is no node ${id}`);
    return place;
  }
}

const ENTRIES_MAX = 10_000_000;

function wholeIn({ line, fields }: Row, place: number, what: string): number {
  const text = fields[place] ?? '';
  if (!/^\d{1,9}$/.test(text)) {
    throw new InputFault(`line ${line}: ${what} is a whole number, not "${text.slice(0, 40)}"`);
  }
  return Number(text);
}

function parameter({ keyword, parameters, line }: Block, name: string): string {
  const value = parameters.get(name);
  if (!value) throw new InputFault(`line ${line}: *${keyword.slice(0, 30)} needs ${name}=`);
  return value;
}

/** Places by the name of a set; who is named twice is in it once. */
type Sets = Map<string, Set<number>>;

function member(sets: Sets, name: string, place: number): void {
  const set = sets.get(name);
  if (set) set.add(place);
  else sets.set(name, new Set([place]));
}

/** The line after *HEADING, as it was written. */
function titleOf(text: string): string {
  const heading = /^[ \t]*\*heading[^\n]*\n([^*\n][^\n]*)/im.exec(text.slice(0, 65_536));
  return heading?.[1]?.trim().slice(0, 120) ?? '';
}
