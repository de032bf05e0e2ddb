// memlab.cjs BASELINE TARGET FINAL: memlab's search for leaks in three heap snapshots, of all objects as by --trace-all-objects: as
// JSON the clusters, the first one first, each as the steps of its path from a root.
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const {findLeaksBySnapshotFilePaths} = require('@memlab/api');
const {config} = require('@memlab/core');

config.oversizeObjectAsLeak = true;
config.oversizeThreshold = 0;
config.isContinuousTest = true; // without moves of the cursor
const workDir = fs.mkdtempSync(path.join(os.tmpdir(), 'memlab-'));
process.on('exit', () => fs.rmSync(workDir, {recursive: true, force: true}));
console.log = console.error;
findLeaksBySnapshotFilePaths(...process.argv.slice(2, 5), {workDir}).then(leaks => {
  const steps = leak => Object.keys(leak).filter(key => /^\d+: /.test(key));
  process.stdout.write(JSON.stringify(leaks.map(steps)));
});
