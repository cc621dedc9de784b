#!/usr/bin/env node
// The command line of solc, as far as Forge and Hardhat use it, over the compiler's npm package.
const { readFileSync } = require("node:fs");
const solc = require(require.resolve("solc", { paths: [process.env.E2E_PACKAGES] }));

if (process.argv.includes("--standard-json")) {
  process.stdout.write(solc.compile(readFileSync(0, "utf8")));
} else {
  console.log(`solc, the solidity compiler commandline interface\nVersion: ${solc.version()}`);
}
