export { contract } from './contract';
export { digests } from './digests';
export { job } from './job';
export { reconcile } from './reconcile';
export { session } from './session';
export { withdrawal } from './withdrawal';
