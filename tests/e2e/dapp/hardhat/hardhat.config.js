// A project as teams have them: a compiler, a network, and tests that run on it.
import { readFileSync } from "node:fs";
import path from "node:path";
import hardhatNodeTestRunner from "@nomicfoundation/hardhat-node-test-runner";
import hardhatViem from "@nomicfoundation/hardhat-viem";
import hardhatViemAssertions from "@nomicfoundation/hardhat-viem-assertions";
import { defineConfig } from "hardhat/config";

const { url } = JSON.parse(readFileSync(process.env.E2E_PLAN));

export default defineConfig({
  plugins: [hardhatNodeTestRunner, hardhatViem, hardhatViemAssertions],
  solidity: {
    version: "0.8.37",
    path: path.resolve("node_modules/solc/soljson.js"),
    settings: { optimizer: { enabled: true, runs: 200 } },
  },
  networks: { dev: { type: "http", chainType: "l1", url } },
});
