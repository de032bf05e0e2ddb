// devtools.mjs FILE [LATER]: what the Memory panel of Chrome's DevTools shows of a heap snapshot, as JSON: the Summary, what each node that
// roots lead to retains, where objects were allocated, "duplicated strings", and the Comparison with a later one.
import fs from 'node:fs';

Promise.withResolvers ??= function() {
  let resolve, reject;
  const promise = new Promise((good, bad) => [resolve, reject] = [good, bad]);
  return {promise, resolve, reject};
};
const {HeapSnapshotLoader, SecondaryInitManager} = await import('./node_modules/devtools.mjs');

async function load(path) {
  const loader = new HeapSnapshotLoader({sendEvent() {}});
  for await (const chunk of fs.createReadStream(path, {encoding: 'utf8', highWaterMark: 1 << 20})) loader.write(chunk);
  loader.close();
  const channel = new MessageChannel();
  new SecondaryInitManager(channel.port2);
  const snapshot = await loader.buildSnapshot(channel.port1);
  channel.port1.close();
  channel.port2.close();
  return snapshot;
}

const [file, later] = process.argv.slice(2);
console.warn = () => {}; // of nodes that no root leads to
const snapshot = await load(file);
const classes = {};
for (const {name, count, self} of Object.values(snapshot.aggregatesWithFilter({}))) classes[name] = [count, self];
const retained = [];
const node = snapshot.rootNode();
for (let index = 0; index < snapshot.nodes.length; index += snapshot.nodeFieldCount) {
  node.nodeIndex = index;
  if (node.distance() >= 0 && node.distance() < 100000000) retained.push([`${node.type()} ${node.rawName()}`, node.selfSize(), node.retainedSize()]);
}
const answer = {classes, retained, total: snapshot.totalSize};
const duplicates = Object.values(snapshot.aggregatesWithFilter({filterName: 'duplicatedStrings'}));
answer.duplicates = duplicates.reduce((sum, {count}) => sum + count, 0);
if (snapshot.profile.snapshot.trace_function_count) {
  answer.sites = snapshot.allocationTracesTops().map(({name, scriptName, line, liveCount, liveSize}) =>
      ({name, scriptName, line, liveCount, liveSize}));
}
if (later) {
  const next = await load(later);
  const diff = next.calculateSnapshotDiff(1, snapshot.aggregatesForDiff(next.interfaceDefinitions()));
  answer.comparison = Object.fromEntries(Object.values(diff).map(
      ({name, addedCount, removedCount, countDelta, sizeDelta}) => [name, {addedCount, removedCount, countDelta, sizeDelta}]));
}
process.stdout.write(JSON.stringify(answer), () => process.exit());
