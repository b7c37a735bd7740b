/** Meshes a geometry with gmsh, in the sandbox. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { type Program, startProgram } from '../program';
import { InputFault } from '../protocol';
import { wasKilled } from './ends';

/** Nodes of quadratic tetrahedra: what is left to the solver stays below its limit of equations. */
export const MESH_BYTES_MAX = 256 * 1024 * 1024;

/**
 * Meshes `geometry` with quadratic tetrahedra and gives the mesh as the text of a deck. The settings stand behind the
 * submitter's text, so that nothing in it can change them.
 *
 * @param onFraction gets how far gmsh says that it is.
 * @throws InputFault with what gmsh complains about.
 */
export async function meshGeometry(
  geometry: string,
  meshSize: number | undefined,
  watch: { onStart: (program: Program) => void; onFraction: (fraction: number) => void },
): Promise<string> {
  writeFileSync('work/geometry.geo', geometry);
  const settings = [
    'Merge "geometry.geo";',
    'Mesh.ElementOrder = 2;',
    'Mesh.SaveGroupsOfNodes = 1;',
    'Mesh.SaveAll = 0;',
  ];
  if (meshSize !== undefined) settings.push(`Mesh.MeshSizeMax = ${meshSize};`);
  writeFileSync('work/mesh.geo', `${settings.join('\n')}\n`);
  const program = startProgram('gmsh', ['-3', '-format', 'inp', '-nt', '1', '-v', '5', '-o', 'mesh.inp', 'mesh.geo'], {
    onLine: (line) => {
      const percent = /\[\s*(\d+)%\]\s+Meshing 3D/.exec(line)?.[1];
      if (percent !== undefined) watch.onFraction(Number(percent) / 100);
    },
  });
  watch.onStart(program);
  const end = await program.end;
  if (wasKilled(end)) throw new Error(`gmsh was killed (${end.signal ?? end.code})`);
  const complaint = /Error\s*:\s*(.*)/.exec(end.output)?.[1]?.replace(/'(geometry|mesh)\.geo',?\s*/, '');
  if (complaint !== undefined || end.code !== 0 || !existsSync('work/mesh.inp')) {
    throw new InputFault(`gmsh could not mesh the geometry: ${complaint?.slice(0, 300) ?? 'it gave no reason'}`);
  }
  return readFileSync('work/mesh.inp', 'utf8');
}
