// SPDX-License-Identifier: MIT OR Apache-2.0
//
// Compiles src/ to compiled.json and rewrites the tables in README.md.
// With --check it writes nothing and fails if either is out of date.

import { readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";

const solc = createRequire(import.meta.url)("solc");
const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const read = (path) => readFileSync(here(path), "utf8");

// Byzantium code runs on every fork since. A contract goes to the second group
// only if it needs an opcode that Byzantium lacks.
const groups = [
  {
    evmVersion: "byzantium",
    sources: ["Token", "Exchange", "LendingPool", "Vault", "Options", "Channel", "Awkward"],
  },
  { evmVersion: "paris", sources: ["AwkwardParis"] },
];

function compile(source, evmVersion) {
  const input = {
    language: "Solidity",
    sources: { [source]: { content: read(source) } },
    settings: {
      evmVersion,
      optimizer: { enabled: true, runs: 200 },
      // Without a metadata trailer the code depends on nothing but the code.
      metadata: { bytecodeHash: "none", appendCBOR: false },
      outputSelection: {
        "*": { "*": ["abi", "evm.bytecode.object", "evm.deployedBytecode", "evm.methodIdentifiers"] },
      },
    },
  };
  const output = JSON.parse(solc.compile(JSON.stringify(input)));
  for (const e of output.errors ?? []) {
    // Two deprecations are meant to be here: selfdestruct (5159), and targets
    // before Constantinople, a warning without a number.
    const expected = e.errorCode === "5159" || /older than constantinople is deprecated/.test(e.message);
    if (e.severity === "error" || !expected) throw new Error(e.formattedMessage);
  }
  return output.contracts[source];
}

const contracts = {};
const functions = {};
const constructors = {};

for (const { evmVersion, sources } of groups) {
  for (const name of sources) {
    const source = `src/${name}.sol`;
    for (const [contract, out] of Object.entries(compile(source, evmVersion))) {
      const { bytecode, deployedBytecode, methodIdentifiers } = out.evm;
      if (bytecode.object === "") continue; // an interface
      if (contracts[contract]) throw new Error(`${contract} is defined twice`);
      if (Object.keys(deployedBytecode.immutableReferences ?? {}).length !== 0) {
        throw new Error(`${contract} has immutables: its runtime would not be what is deployed`);
      }
      const sorted = Object.keys(methodIdentifiers).sort();
      contracts[contract] = {
        creation: `0x${bytecode.object}`,
        evmVersion,
        runtime: `0x${deployedBytecode.object}`,
        selectors: Object.fromEntries(sorted.map((s) => [s, `0x${methodIdentifiers[s]}`])),
        source,
      };
      functions[contract] = out.abi.filter((f) => f.type === "function");
      constructors[contract] = out.abi.find((f) => f.type === "constructor")?.inputs ?? [];
    }
  }
}

const sortedContracts = Object.fromEntries(Object.keys(contracts).sort().map((k) => [k, contracts[k]]));
const json = JSON.stringify({ compiler: `solc ${solc.version()}`, contracts: sortedContracts }, null, 2) + "\n";

const named = (inputs) => inputs.map((i) => `${i.type} ${i.name}`.trim()).join(", ");
const size = (hex) => (hex.length - 2) / 2;

let tables = "| Contract | Target | Code bytes | Constructor arguments |\n| --- | --- | --- | --- |\n";
for (const [name, c] of Object.entries(sortedContracts)) {
  const args = named(constructors[name]);
  tables += `| ${name} | ${c.evmVersion} | ${size(c.runtime)} | ${args === "" ? "none" : `\`${args}\``} |\n`;
}
tables += "\n| Contract | Function | Selector | Kind | Returns |\n| --- | --- | --- | --- | --- |\n";
for (const [name, c] of Object.entries(sortedContracts)) {
  for (const [signature, selector] of Object.entries(c.selectors)) {
    const f = functions[name].find((f) => `${f.name}(${f.inputs.map((i) => i.type).join(",")})` === signature);
    const returns = named(f.outputs);
    const call = `${f.name}(${named(f.inputs)})`;
    tables += `| ${name} | \`${call}\` | \`${selector}\` | ${f.stateMutability} | ${returns === "" ? "" : `\`${returns}\``} |\n`;
  }
}

const begin = "<!-- tables: written by compile.mjs -->\n";
const end = "<!-- end of tables -->\n";
const page = read("README.md");
const from = page.indexOf(begin) + begin.length;
const to = page.indexOf(end);
if (from < begin.length || to < from) throw new Error("README.md has lost its table markers");
const readme = page.slice(0, from) + tables + page.slice(to);

if (process.argv.includes("--check")) {
  if (read("compiled.json") !== json || page !== readme) {
    console.error("compiled.json or README.md is out of date: run node compile.mjs");
    process.exit(1);
  }
} else {
  writeFileSync(here("compiled.json"), json);
  writeFileSync(here("README.md"), readme);
}
