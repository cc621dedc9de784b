// Writes ABI and creation code of contracts to files NAME.json, for those who are not of Node.
// usage: E2E_PLAN=plan.json node unpack.mjs FOLDER PACKAGE:CONTRACT ... FILE.sol:CONTRACT ...
import { writeFileSync } from "node:fs";
import path from "node:path";
import { compiled, published } from "./common.mjs";

const [folder, ...names] = process.argv.slice(2);
const sources = new Map();
const own = (file) => sources.get(file) ?? sources.set(file, compiled(file)).get(file);
for (const name of names) {
  const [from, contract] = name.split(":");
  const found = from.endsWith(".sol") ? own(from)[contract] : published(from, contract);
  writeFileSync(path.join(folder, `${contract}.json`), JSON.stringify(found));
}
