// vscode.cjs FILE: the classes that VS Code's reader finds in a heap snapshot, as JSON: of each its name, count and own bytes.
const fs = require('node:fs');
const {decode_bytes: decode} = require('@vscode/v8-heap-parser');

const groups = decode(fs.readFileSync(process.argv[2])).get_class_groups(0, 1e6, true);
console.log(JSON.stringify(groups.map(group => [group.name(), group.children_len, Number(group.self_size)])));
