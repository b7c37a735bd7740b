/** Reads a gmsh geometry that nobody vouches for. It is a program, so only what can be seen without running it is read. */
import { InputError } from '../service';

export interface GeometryFacts {
  readonly kind: 'geometry';
  /** Names of physical surfaces that stand in the text. */
  readonly surfaces: readonly string[];
  /** Whether those are all: a name can be computed, too. */
  readonly surfacesAreKnown: boolean;
}

/**
 * Reads the text of a geometry.
 *
 * @throws InputError `input_not_geometry`, `input_outside_reference`, `geometry_no_surfaces`.
 */
export function readGeometry(text: string): GeometryFacts {
  const code = withoutComments(text);
  if (!/[;{}]/.test(code)) {
    throw new InputError('input_not_geometry', 'the file is neither a deck (.inp) nor a gmsh geometry (.geo)');
  }
  // The sandbox holds it anyway; this says so before anything is charged.
  const outside = OUTSIDE.exec(code.replace(STRINGS, '""'))?.[0];
  if (outside !== undefined) {
    throw new InputError(
      'input_outside_reference',
      `${outside.trim().slice(0, 40)} reaches outside the geometry; put everything into the one file`,
    );
  }
  const statements = code.match(/\bPhysical\s+Surface\b/g)?.length ?? 0;
  if (statements === 0) {
    throw new InputError(
      'geometry_no_surfaces',
      'the geometry names no surface to hold or load: add Physical Surface("fixed") and Physical Surface("loaded")',
    );
  }
  const surfaces = [...code.matchAll(/\bPhysical\s+Surface\s*\(\s*"([^"\n]{1,80})"\s*[,)]/g)].map(
    ([, name = '']) => name,
  );
  return {
    kind: 'geometry',
    surfaces: [...new Set(surfaces)].slice(0, 100),
    surfacesAreKnown: surfaces.length === statements,
  };
}

const STRINGS = /"[^"]*(?:"|$)/g;
/** Commands of gmsh that run programs, or read or write files. */
const OUTSIDE =
  /\b(SystemCall|NonBlockingSystemCall|OnelabRun|Include|Merge|MergeFile|Open|Save|Print|ShapeFromFile|CreateDir|Plugin|GetEnv|FileExists|DefineFileName|ImportFile|Sprintf\s*>|Exit|Abort)\b|Printf\s*\([^;)]{0,1000}\)\s*>|\bFileName\b/;

/** An unfinished comment or text goes on to the end. */
function withoutComments(text: string): string {
  return text.replace(/"[^"]*(?:"|$)|\/\/[^\n]*|\/\*[\s\S]*?(?:\*\/|$)/g, (found) =>
    found.startsWith('"') ? found : ' ',
  );
}
