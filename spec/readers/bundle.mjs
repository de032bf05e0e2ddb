// Makes devtools.mjs of the loader of Chrome's DevTools, which is published as TypeScript for browsers. What its build makes, and no
// loader needs, is empty here.
import {build} from 'esbuild';
import {fileURLToPath} from 'node:url';

const worker = 'chrome-devtools-frontend/front_end/entrypoints/heap_snapshot_worker';
const missing = {
  name: 'missing',
  setup({onResolve, onLoad}) {
    onResolve({filter: /\/locales\.js$/}, ({path}) => ({path, namespace: 'missing'}));
    onLoad({filter: /.*/, namespace: 'missing'}, () => ({
      contents: 'export const LOCALES = ["en-US"], BUNDLED_LOCALES = ["en-US"], DEFAULT_LOCALE = "en-US", ' +
          'REMOTE_FETCH_PATTERN = "", LOCAL_FETCH_PATTERN = "";',
    }));
  },
};

await build({
  stdin: {
    contents: `export {HeapSnapshotLoader} from '${worker}/HeapSnapshotLoader.js';
               export {SecondaryInitManager} from '${worker}/HeapSnapshot.js';`,
    resolveDir: fileURLToPath(new URL('.', import.meta.url)),
  },
  bundle: true,
  platform: 'node',
  format: 'esm',
  target: 'node18',
  plugins: [missing],
  outfile: fileURLToPath(new URL('node_modules/devtools.mjs', import.meta.url)),
  logLevel: 'error',
});
