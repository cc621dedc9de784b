// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {Coin} from "../src/tokens.sol";

interface Vm {
    function createSelectFork(string calldata url, uint256 number) external returns (uint256);
    function deal(address who, uint256 balance) external;
    function envAddress(string calldata name) external view returns (address);
    function envString(string calldata name) external view returns (string memory);
    function envUint(string calldata name) external view returns (uint256);
    function prank(address sender) external;
    function rollFork(uint256 number) external;
}

interface Router {
    function getAmountsOut(uint256 amount, address[] calldata path) external view returns (uint256[] memory);
    function swapExactTokensForTokens(
        uint256 amountIn,
        uint256 amountOutMin,
        address[] calldata path,
        address to,
        uint256 deadline
    ) external returns (uint256[] memory);
}

/// Tests on a fork of the chain, at its head and before.
contract ForkTest {
    Vm private constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));

    address private owner;
    Coin private red;
    Coin private blue;
    Router private router;

    function setUp() public {
        vm.createSelectFork(vm.envString("E2E_URL"), vm.envUint("E2E_BLOCK"));
        owner = vm.envAddress("E2E_OWNER");
        red = Coin(vm.envAddress("E2E_RED"));
        blue = Coin(vm.envAddress("E2E_BLUE"));
        router = Router(vm.envAddress("E2E_ROUTER"));
    }

    function test_a_swap_gives_what_the_router_names() public {
        address[] memory path = new address[](2);
        (path[0], path[1]) = (address(red), address(blue));
        uint256 named = router.getAmountsOut(1 ether, path)[1];
        uint256 before = blue.balanceOf(owner);
        vm.prank(owner);
        router.swapExactTokensForTokens(1 ether, named, path, owner, type(uint256).max);
        require(blue.balanceOf(owner) - before == named, "another amount");
    }

    function test_old_blocks_have_old_state() public {
        require(red.balanceOf(owner) < 1_000_000 ether, "nothing was spent");
        vm.rollFork(vm.envUint("E2E_FIRST_BLOCK"));
        require(red.balanceOf(owner) == 1_000_000 ether, "all of it is there");
        require(address(router).code.length == 0, "the router came later");
    }
}
