// wsbench as a child process.

import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { build } from "./processes.mjs";

let program;

/** Runs wsbench echo; gives its exit code, what it says, and its result. */
export function bench(url, ...args) {
  program ??= build(".", "cmd/wsbench");
  const file = join(process.env.E2E_WORK, "wsbench.json");
  return new Promise((resolve, reject) => {
    execFile(program, ["echo", url, "--json", file, ...args], (failure, stdout, stderr) => {
      if (failure && typeof failure.code !== "number") return reject(failure);
      try {
        resolve({ code: failure?.code ?? 0, said: stdout + stderr, result: JSON.parse(readFileSync(file, "utf8")) });
      } catch (why) {
        reject(new Error(`${why.message}\n${stdout}${stderr}`));
      }
    });
  });
}

/** What went wrong, of the counts of a result. */
export const errorsOf = ({ lost, corrupt, duplicated, reordered, notSent, dropped }) =>
  Object.fromEntries(Object.entries({ lost, corrupt, duplicated, reordered, notSent, dropped }).filter(([, n]) => n > 0));
