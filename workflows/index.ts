export { contract } from './contract';
export { job } from './job';
export { reconcile } from './reconcile';
export { withdrawal } from './withdrawal';
