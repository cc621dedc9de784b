// Writes the creation code of published contracts to files, by the name of the contract.
// usage: E2E_PLAN=plan.json node unpack.mjs FOLDER PACKAGE:CONTRACT ...
import { writeFileSync } from "node:fs";
import path from "node:path";
import { published } from "./common.mjs";

const [folder, ...names] = process.argv.slice(2);
for (const name of names) {
  const [from, contract] = name.split(":");
  writeFileSync(path.join(folder, `${contract}.hex`), published(from, contract).bytecode);
}
