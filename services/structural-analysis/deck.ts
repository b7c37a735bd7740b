/**
 * Reads a CalculiX deck that nobody vouches for: counts what it will cost, says which engines can run it, and refuses what reaches
 * outside the file or cannot have an answer. Fed line by line; memory is bounded by the counts below.
 */
import { InputError } from '../service';
import { isHeld } from './support';

export interface DeckFacts {
  readonly kind: 'deck';
  readonly title: string;
  /** Nodes that an element uses. */
  readonly nodes: number;
  /** Elements by type. */
  readonly elements: Readonly<Record<string, number>>;
  /** Directions of used nodes with a prescribed displacement. */
  readonly fixedDegrees: number;
  /** 3 × nodes − fixed directions, and 9 for each C3D8I: what CalculiX says itself. */
  readonly equations: number;
  /** Why the engine `elastic` cannot run it, or null when it can. */
  readonly elasticRefusal: string | null;
}

/** Solid elements, by how many nodes they have. */
const SOLIDS: Readonly<Record<string, number>> = {
  C3D4: 4,
  C3D6: 6,
  C3D8: 8,
  C3D8I: 8,
  C3D8R: 8,
  C3D10: 10,
  C3D15: 15,
  C3D20: 20,
  C3D20R: 20,
};
const ELASTIC_TYPES = new Set(['C3D8', 'C3D8I']);
const ELASTIC_ELEMENTS_MAX = 60_000;

/** Keywords that are run, with the parameters that both engines know, and those that CalculiX alone does. */
const KEYWORDS: Readonly<Record<string, readonly [both: readonly string[], calculix: readonly string[]]>> = {
  HEADING: [[], []],
  NODE: [['NSET'], []],
  ELEMENT: [['TYPE', 'ELSET'], []],
  NSET: [['NSET', 'GENERATE'], []],
  ELSET: [['ELSET', 'GENERATE'], []],
  MATERIAL: [['NAME'], []],
  ELASTIC: [['TYPE'], []],
  SOLIDSECTION: [['ELSET', 'MATERIAL'], []],
  BOUNDARY: [[], ['AMPLITUDE']],
  CLOAD: [[], ['AMPLITUDE']],
  STEP: [[], ['NLGEOM', 'INC']],
  STATIC: [[], ['DIRECT', 'SOLVER']],
  ENDSTEP: [[], []],
};
/** Keywords that CalculiX alone knows, with their parameters. */
const CALCULIX_KEYWORDS: Readonly<Record<string, readonly string[]>> = {
  DENSITY: [],
  EXPANSION: ['TYPE', 'ZERO'],
  PLASTIC: ['HARDENING'],
  AMPLITUDE: ['NAME', 'TIME'],
  DLOAD: ['AMPLITUDE'],
  INITIALCONDITIONS: ['TYPE'],
  TEMPERATURE: ['AMPLITUDE'],
};
const OUTPUT = new Set(['NODEFILE', 'ELFILE', 'NODEPRINT', 'ELPRINT', 'NODEOUTPUT', 'ELEMENTOUTPUT']);
const LOADS = new Set(['CLOAD', 'DLOAD', 'TEMPERATURE']);

const LINE_LENGTH_MAX = 2000;
const NODES_MAX = 400_000;
const ELEMENTS_MAX = 400_000;
/** Of all sets together. */
const SET_ENTRIES_MAX = 4_000_000;
const EQUATIONS_MAX = 1_000_000;

/** A deck that is being read: {@link read} each line, then {@link facts}. */
export class DeckReader {
  readonly #coordinates = new Map<number, readonly [number, number, number]>();
  readonly #used = new Set<number>();
  readonly #types = new Map<string, number>();
  readonly #elementSets = new Map<string, Set<number>>();
  readonly #elementIds = new Set<number>();
  readonly #inSections = new Set<number>();
  readonly #nodeSets = new Map<string, Set<number>>();
  /** 3 × number of the node + direction. */
  readonly #fixed = new Set<number>();
  readonly #materials = new Set<string>();
  #setEntries = 0;
  #line = 0;
  #keyword = '';
  #parameters: ReadonlyMap<string, string> = new Map();
  #rows = 0;
  #element: number[] = [];
  #material = '';
  #title = '';
  #steps = 0;
  #isStatic = false;
  #isLoaded = false;
  #elasticRefusal: string | null = null;

  /** @throws InputError with a sentence that names the line. */
  read(raw: string): void {
    this.#line += 1;
    if (raw.length > LINE_LENGTH_MAX) throw this.#malformed(`is longer than ${LINE_LENGTH_MAX} characters`);
    const text = raw.trim();
    if (text === '' || text.startsWith('**')) return;
    const fields = text
      .replace(/[\s"]+/g, '')
      .toUpperCase()
      .split(',');
    if (text.startsWith('*')) {
      this.#startBlock(fields);
      return;
    }
    if (this.#keyword === '') throw new InputError('input_not_deck', 'a deck starts with a keyword, such as *HEADING');
    this.#rows += 1;
    if (this.#keyword === 'HEADING') this.#title ||= Buffer.from(text.slice(0, 120), 'latin1').toString('utf8');
    else this.#readRow(fields);
  }

  /** @throws InputError when the deck as a whole cannot be run. */
  facts(): DeckFacts {
    this.#endBlock();
    if (this.#keyword === '') throw new InputError('input_not_deck', 'the file is empty');
    const without = [...this.#elementIds].find((id) => !this.#inSections.has(id));
    if (this.#elementIds.size === 0) {
      throw new InputError('deck_no_elements', 'the deck has no solid element (*ELEMENT, TYPE=C3D8I …)');
    }
    if (without !== undefined) throw new InputError('deck_malformed', `element ${without} has no *SOLID SECTION`);
    if (!this.#isStatic) {
      throw new InputError('deck_no_step', 'the deck has no static step (*STEP, *STATIC, *END STEP)');
    }
    const fixed = [...this.#fixed].filter((degree) => this.#used.has(Math.floor(degree / 3)));
    if (!isHeld(fixed, (node) => this.#coordinates.get(node) ?? [0, 0, 0])) {
      throw new InputError(
        'model_not_held',
        'the model can still move as a whole: hold it with *BOUNDARY so that it can neither shift nor turn in any direction',
      );
    }
    if (!this.#isLoaded) {
      throw new InputError(
        'model_not_loaded',
        'nothing loads the model: add *CLOAD, *DLOAD, or a displacement other than 0',
      );
    }
    const equations = 3 * this.#used.size - fixed.length + 9 * (this.#types.get('C3D8I') ?? 0);
    if (equations > EQUATIONS_MAX) {
      throw new InputError(
        'deck_too_large',
        `the deck has ${equations} equations; at most ${EQUATIONS_MAX} are solved`,
      );
    }
    if (this.#elementIds.size > ELASTIC_ELEMENTS_MAX) this.#beyondElastic(`more than ${ELASTIC_ELEMENTS_MAX} elements`);
    return {
      kind: 'deck',
      title: this.#title,
      nodes: this.#used.size,
      elements: Object.fromEntries(this.#types),
      fixedDegrees: fixed.length,
      equations,
      elasticRefusal: this.#elasticRefusal,
    };
  }

  #startBlock([first = '', ...rest]: readonly string[]): void {
    this.#endBlock();
    const keyword = first.slice(1);
    this.#keyword = keyword;
    this.#rows = 0;
    this.#parameters = new Map(
      rest.filter((part) => part !== '').map((part) => [part.split('=', 1)[0] ?? '', part.split('=')[1] ?? '']),
    );
    if (keyword === 'INCLUDE' || this.#parameters.has('INPUT') || this.#parameters.has('FILE')) {
      throw new InputError(
        'input_outside_reference',
        `line ${this.#line}: *${shown(keyword)} refers to another file; put its text into the deck`,
      );
    }
    if (OUTPUT.has(keyword)) return;
    const [both, calculix] = KEYWORDS[keyword] ?? [undefined, CALCULIX_KEYWORDS[keyword]];
    if (!calculix) throw this.#unsupported(`*${shown(keyword)} is not run here`);
    if (!both) this.#beyondElastic(`*${keyword}`);
    for (const name of this.#parameters.keys()) {
      if (both?.includes(name)) continue;
      if (!calculix.includes(name)) throw this.#unsupported(`*${keyword} is not run with ${shown(name)} here`);
      this.#beyondElastic(`*${keyword} with ${name}`);
    }
    if (LOADS.has(keyword)) this.#isLoaded = true;
    this.#startKnown(keyword);
  }

  #startKnown(keyword: string): void {
    const type = this.#parameters.get('TYPE') ?? '';
    switch (keyword) {
      case 'ELEMENT':
        if (!Object.hasOwn(SOLIDS, type)) {
          throw this.#unsupported(
            `elements of type ${shown(type)} are not run here, only solids: ${Object.keys(SOLIDS).join(', ')}`,
          );
        }
        if (!ELASTIC_TYPES.has(type)) this.#beyondElastic(`elements of type ${type}`);
        return;
      case 'MATERIAL':
        this.#material = this.#needed('NAME');
        return;
      case 'ELASTIC':
        if (!/^(ISO(TROPIC)?)?$/.test(type))
          throw this.#unsupported('a material is the same in all directions (TYPE=ISO)');
        return;
      case 'INITIALCONDITIONS':
        if (type !== 'TEMPERATURE') throw this.#unsupported('initial conditions are temperatures here');
        return;
      case 'SOLIDSECTION':
        this.#readSection();
        return;
      case 'STEP':
        this.#steps += 1;
        if (this.#steps > 1) throw this.#unsupported('one job is one analysis, which is one *STEP');
        return;
      case 'STATIC':
        this.#isStatic = true;
    }
  }

  #endBlock(): void {
    if (this.#keyword === 'ELEMENT' && this.#element.length > 0) throw this.#malformed('ends an element too early');
    if (this.#keyword === 'ELASTIC') {
      if (this.#rows === 0) throw this.#malformed("ends *ELASTIC without Young's modulus and Poisson's ratio");
      if (this.#rows > 1) this.#beyondElastic('a material that depends on temperature');
    }
  }

  #readRow(fields: readonly string[]): void {
    switch (this.#keyword) {
      case 'NODE':
        this.#readNode(fields);
        return;
      case 'ELEMENT':
        this.#readElement(fields);
        return;
      case 'NSET':
        this.#readSet(fields, 'NSET', this.#nodeSets, this.#coordinates);
        return;
      case 'ELSET':
        this.#readSet(fields, 'ELSET', this.#elementSets, this.#elementIds);
        return;
      case 'ELASTIC':
        this.#readElastic(fields);
        return;
      case 'BOUNDARY':
        this.#readBoundary(fields);
        return;
      case 'CLOAD':
        this.#direction(fields[1]);
        this.#number(fields[2]);
        this.#nodesNamed(fields[0]);
    }
  }

  #readNode([id, x, y, z]: readonly string[]): void {
    const node = this.#whole(id);
    const at = (text: string | undefined) => (text ? this.#number(text) : 0);
    this.#coordinates.set(node, [at(x), at(y), at(z)]);
    if (this.#coordinates.size > NODES_MAX) throw this.#tooLarge(`nodes than ${NODES_MAX}`);
    const set = this.#parameters.get('NSET');
    if (set) this.#member(this.#nodeSets, set, node);
  }

  #readElement(fields: readonly string[]): void {
    const type = this.#needed('TYPE');
    const count = SOLIDS[type] ?? 0;
    for (const text of fields) if (text !== '') this.#element.push(this.#whole(text));
    if (this.#element.length <= count) return;
    const [id = 0, ...nodes] = this.#element;
    this.#element = [];
    if (nodes.length > count) throw this.#malformed(`gives element ${id} more than ${count} nodes`);
    if (this.#elementIds.has(id)) throw this.#malformed(`has element ${id} again`);
    this.#elementIds.add(id);
    if (this.#elementIds.size > ELEMENTS_MAX) throw this.#tooLarge(`elements than ${ELEMENTS_MAX}`);
    this.#types.set(type, (this.#types.get(type) ?? 0) + 1);
    for (const node of nodes) {
      if (!this.#coordinates.has(node)) throw this.#malformed(`names node ${node}, which there is not`);
      this.#used.add(node);
    }
    const set = this.#parameters.get('ELSET');
    if (set) this.#member(this.#elementSets, set, id);
  }

  #readSet(
    fields: readonly string[],
    name: string,
    sets: Map<string, Set<number>>,
    known: { has(id: number): boolean },
  ): void {
    const set = this.#needed(name);
    if (this.#parameters.has('GENERATE')) {
      const [first, last, step] = [this.#whole(fields[0]), this.#whole(fields[1]), this.#whole(fields[2] || '1')];
      if (step === 0 || (last - first) / step > SET_ENTRIES_MAX) throw this.#malformed('is no list of numbers');
      for (let id = first; id <= last; id += step) if (known.has(id)) this.#member(sets, set, id);
      // Looking is work too, whether or not anything is found.
      this.#countEntries(Math.max(0, (last - first) / step));
      return;
    }
    for (const text of fields) {
      if (text === '') continue;
      const named = sets.get(text);
      if (named) {
        this.#countEntries(named.size);
        for (const id of [...named]) this.#member(sets, set, id);
        continue;
      }
      const id = this.#whole(text);
      if (!known.has(id)) throw this.#malformed(`names ${id}, which there is not`);
      this.#member(sets, set, id);
    }
  }

  #readElastic([modulus, ratio]: readonly string[]): void {
    const poissonsRatio = this.#number(ratio);
    if (this.#number(modulus) <= 0) throw this.#malformed("has a Young's modulus that is not above 0");
    if (poissonsRatio <= -1 || poissonsRatio >= 0.5) {
      throw this.#malformed("has a Poisson's ratio that is not above -1 and below 0.5");
    }
    this.#materials.add(this.#material);
  }

  #readSection(): void {
    const [set, material] = [this.#needed('ELSET'), this.#needed('MATERIAL')];
    const ids = this.#elementSets.get(set);
    if (!ids) throw this.#malformed(`names the element set ${shown(set)}, which there is not`);
    if (!this.#materials.has(material)) {
      throw this.#malformed(`names the material ${shown(material)}, which has no *ELASTIC before it`);
    }
    this.#countEntries(ids.size);
    for (const id of ids) this.#inSections.add(id);
  }

  #readBoundary([name, from, to, displacement]: readonly string[]): void {
    const first = this.#direction(from);
    const last = to ? this.#direction(to) : first;
    if (displacement && this.#number(displacement) !== 0) {
      if (this.#steps === 0) throw this.#malformed('has a displacement other than 0, which belongs behind *STEP');
      this.#isLoaded = true;
    }
    for (const node of this.#nodesNamed(name)) {
      for (let direction = first; direction <= last; direction++) this.#fixed.add(3 * node + direction - 1);
    }
  }

  #nodesNamed(name = ''): Iterable<number> {
    const set = this.#nodeSets.get(name);
    if (set) {
      this.#countEntries(set.size);
      return set;
    }
    if (!/^\d{1,9}$/.test(name) || !this.#coordinates.has(Number(name))) {
      throw this.#malformed(`names the node or set ${shown(name)}, which there is not`);
    }
    return [Number(name)];
  }

  #member(sets: Map<string, Set<number>>, name: string, id: number): void {
    const set = sets.get(name) ?? new Set();
    sets.set(name, set);
    set.add(id);
    this.#countEntries(1);
  }

  /** Sets of sets, and sets that are named again and again, could keep a reader busy for ever. */
  #countEntries(count: number): void {
    this.#setEntries += count;
    if (this.#setEntries > SET_ENTRIES_MAX) throw this.#tooLarge(`members of sets than ${SET_ENTRIES_MAX}`);
  }

  #whole(text = ''): number {
    if (!/^\d{1,9}$/.test(text)) throw this.#malformed(`has "${shown(text)}" where a whole number belongs`);
    return Number(text);
  }

  #number(text = ''): number {
    const value = /^[+-]?(\d+\.?\d*|\.\d+)([ED][+-]?\d+)?$/.test(text) ? Number(text.replace('D', 'E')) : Number.NaN;
    if (!Number.isFinite(value)) throw this.#malformed(`has "${shown(text)}" where a number belongs`);
    return value;
  }

  #direction(text: string | undefined): number {
    const direction = this.#whole(text);
    if (direction < 1 || direction > 3)
      throw this.#malformed('has a direction that is not 1, 2 or 3, as those of a solid');
    return direction;
  }

  #needed(name: string): string {
    const value = this.#parameters.get(name);
    if (!value) throw this.#malformed(`belongs to *${this.#keyword}, which needs ${name}=`);
    return value;
  }

  #beyondElastic(what: string): void {
    this.#elasticRefusal ??= `line ${this.#line}: ${what}`;
  }

  #malformed(what: string): InputError {
    return new InputError('deck_malformed', `line ${this.#line} ${what}`);
  }

  #unsupported(what: string): InputError {
    return new InputError('deck_unsupported', `line ${this.#line}: ${what}`);
  }

  #tooLarge(what: string): InputError {
    return new InputError('deck_too_large', `line ${this.#line}: the deck has more ${what}`);
  }
}

function shown(text: string): string {
  return text.slice(0, 40);
}
