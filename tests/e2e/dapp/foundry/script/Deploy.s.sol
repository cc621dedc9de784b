// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {Coin, Collection, Faults} from "../src/tokens.sol";

interface Vm {
    function startBroadcast() external;
    function stopBroadcast() external;
}

/// Deploys tokens, and uses them.
contract Deploy {
    Vm private constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));

    function run() external returns (Coin coin, Collection collection, Faults faults) {
        vm.startBroadcast();
        coin = new Coin("GREEN", 1_000_000 ether);
        require(coin.transfer(address(0xbeef), 5 ether));
        collection = new Collection();
        collection.take();
        faults = new Faults();
        vm.stopBroadcast();
    }
}
