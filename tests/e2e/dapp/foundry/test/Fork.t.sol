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

struct ExactInput {
    address tokenIn;
    address tokenOut;
    uint24 fee;
    address recipient;
    uint256 deadline;
    uint256 amountIn;
    uint256 amountOutMinimum;
    uint160 sqrtPriceLimitX96;
}

struct Quoted {
    address tokenIn;
    address tokenOut;
    uint256 amountIn;
    uint24 fee;
    uint160 sqrtPriceLimitX96;
}

interface RouterV3 {
    function exactInputSingle(ExactInput calldata input) external returns (uint256);
}

interface QuoterV3 {
    function quoteExactInputSingle(Quoted calldata input) external returns (uint256, uint160, uint32, uint256);
}

interface EntryPoint {
    function balanceOf(address account) external view returns (uint256);
    function depositTo(address account) external payable;
    function withdrawTo(address payable to, uint256 amount) external;
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

    function test_a_swap_at_v3_gives_what_was_quoted() public {
        Quoted memory asked = Quoted(address(red), address(blue), 1 ether, 3000, 0);
        (uint256 quoted,,,) = QuoterV3(vm.envAddress("E2E_QUOTER_V3")).quoteExactInputSingle(asked);
        ExactInput memory input =
            ExactInput(address(red), address(blue), 3000, owner, type(uint256).max, 1 ether, quoted, 0);
        uint256 before = blue.balanceOf(owner);
        vm.prank(owner);
        RouterV3(vm.envAddress("E2E_ROUTER_V3")).exactInputSingle(input);
        require(blue.balanceOf(owner) - before == quoted, "another amount");
    }

    function test_the_entry_point_keeps_a_deposit() public {
        EntryPoint entry = EntryPoint(vm.envAddress("E2E_ENTRY_POINT"));
        vm.deal(owner, 2 ether);
        vm.prank(owner);
        entry.depositTo{value: 1 ether}(owner);
        require(entry.balanceOf(owner) == 1 ether, "no deposit");
        vm.prank(owner);
        entry.withdrawTo(payable(address(0xbeef)), 1 ether);
        require(entry.balanceOf(owner) == 0, "not withdrawn");
    }

    function test_old_blocks_have_old_state() public {
        require(red.balanceOf(owner) < 1_000_000 ether, "nothing was spent");
        vm.rollFork(vm.envUint("E2E_FIRST_BLOCK"));
        require(red.balanceOf(owner) == 1_000_000 ether, "all of it is there");
        require(address(router).code.length == 0, "the router came later");
    }
}
