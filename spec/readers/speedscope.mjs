// speedscope.mjs FILE: what speedscope's importer makes of it, as JSON: of each profile its name, unit, and own weights by frame. It is
// published as one script for browsers, of which the importer is taken and the page is not.
import fs from 'node:fs';
import path from 'node:path';
import vm from 'node:vm';
import {fileURLToPath} from 'node:url';

const folder = fileURLToPath(new URL('node_modules/speedscope/dist/release', import.meta.url));
const script = fs.readdirSync(folder).find(name => /^speedscope-.*\.js$/.test(name));
const source = fs.readFileSync(path.join(folder, script), 'utf8');
const importer = source.match(/\(await (\w+)\)\.importProfileGroupFromBase64\(/)[1];
const page = source.lastIndexOf('console.log(`speedscope v');

// A page that is not there: whatever is asked of it gives itself.
const nothing = new Proxy(function() {}, {
  get: (_, name) => name === Symbol.toPrimitive ? () => '' : nothing,
  apply: () => nothing,
  construct: () => nothing,
});
const context = {document: nothing, navigator: nothing, location: nothing, localStorage: nothing, TextDecoder, TextEncoder, atob,
                 URL, URLSearchParams, setTimeout, performance,
                 console: {log: console.error, warn: console.error, error: console.error}};
context.window = context.self = context.globalThis = context;
vm.runInNewContext(source.slice(0, page) + `window.importer = ${importer};})();`, context);

const {importProfileGroupFromBase64} = await context.importer;
const name = path.basename(process.argv[2]);
const group = await importProfileGroupFromBase64(name, fs.readFileSync(process.argv[2]).toString('base64'));
const profiles = group.profiles.map(profile => {
  const own = {};
  profile.forEachFrame(frame => own[frame.name] = (own[frame.name] ?? 0) + frame.getSelfWeight());
  return {name: profile.getName(), unit: profile.getWeightUnit(), total: profile.getTotalWeight(), own};
});
console.log(JSON.stringify(profiles));
