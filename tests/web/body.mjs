// Calls functions of js/shared/joints_body.js, which needs no page, and prints what they return.
//
//   node body.mjs '["/path/to/joints_body.js", [["moved", [...arguments]], ...]]'
import { readFileSync } from "node:fs";

const [path, calls] = JSON.parse(process.argv[2]);
const code = Buffer.from(readFileSync(path)).toString("base64");
const module = await import(`data:text/javascript;base64,${code}`);
const answers = calls.map(([name, given]) =>
  typeof module[name] === "function" ? module[name](...given) : module[name],
);
console.log(JSON.stringify(answers));
