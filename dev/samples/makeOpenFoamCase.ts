/**
 * Makes `samples/cavity-openfoam.zip`: a lid-driven cavity at Reynolds number 100 as an OpenFOAM case of our own.
 * `node dist/dev/samples/makeOpenFoamCase.js`.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { zip } from './zip';

/** How fine the case is, and how long it runs. */
export interface OpenFoamCavity {
  /** Cells along each side. */
  readonly cells: number;
  /** In seconds. */
  readonly endTime: number;
  readonly deltaT: number;
}

/** The sample: fine enough to compare with the published tables, done in seconds. */
export const SAMPLE: OpenFoamCavity = { cells: 40, endTime: 10, deltaT: 0.01 };

/** The case as a zip archive. The cavity is one metre wide, its lid moves at 1 m/s. */
export function makeOpenFoamCase(cavity: OpenFoamCavity): Buffer {
  return zip(Object.entries(openFoamFiles(cavity)).map(([name, content]) => ({ name: `cavity/${name}`, content })));
}

/** The files of the case, by path. */
export function openFoamFiles({ cells, endTime, deltaT }: OpenFoamCavity): Record<string, string> {
  return {
    'system/controlDict': `${header('dictionary', 'controlDict')}
application     icoFoam;
startFrom       startTime;
startTime       0;
stopAt          endTime;
endTime         ${endTime};
deltaT          ${deltaT};
writeControl    timeStep;
writeInterval   ${Math.round(endTime / deltaT)};
writeFormat     ascii;
writePrecision  8;
`,
    'system/blockMeshDict': `${header('dictionary', 'blockMeshDict')}
scale 1;

vertices
(
    (0 0 0)
    (1 0 0)
    (1 1 0)
    (0 1 0)
    (0 0 0.1)
    (1 0 0.1)
    (1 1 0.1)
    (0 1 0.1)
);

blocks
(
    hex (0 1 2 3 4 5 6 7) (${cells} ${cells} 1) simpleGrading (1 1 1)
);

edges
(
);

boundary
(
    lid
    {
        type wall;
        faces ( (3 7 6 2) );
    }
    walls
    {
        type wall;
        faces ( (0 4 7 3) (2 6 5 1) (1 5 4 0) );
    }
    frontAndBack
    {
        type empty;
        faces ( (0 3 2 1) (4 5 6 7) );
    }
);
`,
    'system/fvSchemes': `${header('dictionary', 'fvSchemes')}
ddtSchemes { default Euler; }
gradSchemes { default Gauss linear; }
divSchemes { default none; div(phi,U) Gauss linear; }
laplacianSchemes { default Gauss linear orthogonal; }
interpolationSchemes { default linear; }
snGradSchemes { default orthogonal; }
`,
    'system/fvSolution': `${header('dictionary', 'fvSolution')}
solvers
{
    p { solver PCG; preconditioner DIC; tolerance 1e-7; relTol 0.05; }
    pFinal { solver PCG; preconditioner DIC; tolerance 1e-7; relTol 0; }
    U { solver smoothSolver; smoother symGaussSeidel; tolerance 1e-7; relTol 0; }
}
PISO { nCorrectors 2; nNonOrthogonalCorrectors 0; pRefCell 0; pRefValue 0; }
`,
    'constant/transportProperties': `${header('dictionary', 'transportProperties')}
nu 0.01;
`,
    '0/U': `${header('volVectorField', 'U')}
dimensions [0 1 -1 0 0 0 0];
internalField uniform (0 0 0);
boundaryField
{
    lid { type fixedValue; value uniform (1 0 0); }
    walls { type noSlip; }
    frontAndBack { type empty; }
}
`,
    '0/p': `${header('volScalarField', 'p')}
dimensions [0 2 -2 0 0 0 0];
internalField uniform 0;
boundaryField
{
    lid { type zeroGradient; }
    walls { type zeroGradient; }
    frontAndBack { type empty; }
}
`,
  };
}

function header(type: string, object: string): string {
  return `FoamFile
{
    version 2.0;
    format ascii;
    class ${type};
    object ${object};
}
`;
}

if (require.main === module) {
  writeFileSync(join(process.cwd(), 'samples', 'cavity-openfoam.zip'), makeOpenFoamCase(SAMPLE));
}
