/** The thread in which HiGHS solves one linear programme; the call blocks until it is solved. */
import { parentPort, workerData } from 'node:worker_threads';
import highsLoader from 'highs';
import type { LinearProgramme, Solution } from './linearProgramme';

async function solveHere(asked: LinearProgramme): Promise<Solution> {
  const highs = await highsLoader();
  const model = highs.createModel({
    numCols: asked.cost.length,
    numRows: asked.rowLower.length,
    colCost: asked.cost,
    colLower: asked.columnLower,
    colUpper: asked.columnUpper,
    rowLower: asked.rowLower,
    rowUpper: asked.rowUpper,
    matrix: {
      format: 'csr',
      numRows: asked.rowLower.length,
      numCols: asked.cost.length,
      starts: asked.starts,
      indices: asked.indices,
      values: asked.values,
    },
  });
  // Standard output belongs to the protocol. The tolerances are a hundredth of the default, since results are checked.
  model.options.set({
    output_flag: false,
    solver: 'simplex',
    primal_feasibility_tolerance: 1e-9,
    dual_feasibility_tolerance: 1e-9,
  });
  model.run();
  const status = model.getModelStatus();
  const { optimal, infeasible, unboundedOrInfeasible } = highs.constants.modelStatus;
  const simplexIterations = Math.max(0, Number(model.info.get('simplex_iteration_count')));
  if (status !== optimal) {
    const isInfeasible = status === infeasible || status === unboundedOrInfeasible;
    const none = new Float64Array();
    return { status: isInfeasible ? 'infeasible' : 'unsolved', values: none, prices: none, simplexIterations };
  }
  const { colValue, rowDual } = model.getSolution();
  return { status: 'optimal', values: colValue, prices: rowDual, simplexIterations };
}

void solveHere(workerData as LinearProgramme).then((solution) => parentPort?.postMessage(solution));
