// What the scripts of the dApp scenarios share: the plan, contracts, and how they tell what they did.
import { readFileSync } from "node:fs";
import path from "node:path";
import { decompress } from "fzstd";
import solc from "solc";

// `url`, `ws` and `contracts`, the folder of compiled packages; dapp.py writes it.
export const plan = JSON.parse(readFileSync(process.env.E2E_PLAN));
// Of the ten accounts that a dev chain has.
export const MNEMONIC = "test test test test test test test test test test test junk";
export const ETHER = 10n ** 18n;

const HERE = import.meta.dirname;
const POLL_MS = 50;
const WAIT_MS = 10_000;

// One line of what was done; dapp.py prints it.
export function did(text) {
  console.log(`- ${text}`);
}

const packages = new Map();

// ABI and creation code of a contract of a package, as its publisher compiled it.
export function published(name, contract) {
  if (!packages.has(name)) {
    const file = `${name.replace("@", "").replace("/", "-")}.json.zst`;
    const bytes = decompress(readFileSync(path.join(plan.contracts, "npm", file)));
    packages.set(name, JSON.parse(Buffer.from(bytes).toString()).contracts);
  }
  const { abi, bytecode } = packages.get(name)[contract];
  return { abi, bytecode };
}

// Contracts of a source file beside this one, compiled with what it imports of OpenZeppelin.
export function compiled(file) {
  const input = {
    language: "Solidity",
    sources: { [file]: { content: readFileSync(path.join(HERE, file), "utf8") } },
    settings: {
      optimizer: { enabled: true, runs: 200 },
      outputSelection: { "*": { "*": ["abi", "evm.bytecode.object"] } },
    },
  };
  const read = (name) => {
    try {
      return { contents: readFileSync(path.join(HERE, "node_modules", name), "utf8") };
    } catch (error) {
      return { error: String(error) };
    }
  };
  const output = JSON.parse(solc.compile(JSON.stringify(input), { import: read }));
  const errors = (output.errors ?? []).filter((error) => error.severity === "error");
  if (errors.length) throw new Error(errors.map((error) => error.formattedMessage).join("\n"));
  const found = Object.entries(output.contracts[file]);
  const contract = ([name, { abi, evm }]) => [name, { abi, bytecode: `0x${evm.bytecode.object}` }];
  return Object.fromEntries(found.map(contract));
}

// The first truthy answer of a condition.
export async function until(what, condition) {
  const end = Date.now() + WAIT_MS;
  while (Date.now() < end) {
    const answer = await condition();
    if (answer) return answer;
    await new Promise((done) => setTimeout(done, POLL_MS));
  }
  throw new Error(`${what}: not within ${WAIT_MS} ms`);
}

// What `callTracer` gave of a call, and of all calls within it, outermost first.
export function frames(call) {
  return [call, ...(call.calls ?? []).flatMap(frames)];
}

// Whether this is the reference, anvil, which is not asked for what it does otherwise than the
// specification or geth: it does not tell logs and blocks that a revert takes back.
export function isAnvil(version) {
  return version.startsWith("anvil/");
}
