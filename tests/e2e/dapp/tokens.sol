// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {ERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Permit.sol";
import {ERC721} from "@openzeppelin/contracts/token/ERC721/ERC721.sol";
import {ERC1155} from "@openzeppelin/contracts/token/ERC1155/ERC1155.sol";

/// A token that whoever deploys it has all of.
contract Coin is ERC20Permit {
    constructor(string memory name, uint256 supply) ERC20(name, name) ERC20Permit(name) {
        _mint(msg.sender, supply);
    }
}

/// A collection of which anybody may take the next one.
contract Collection is ERC721 {
    uint256 public taken;

    constructor() ERC721("Collection", "ONE") {}

    function take() external returns (uint256) {
        _safeMint(msg.sender, ++taken);
        return taken;
    }
}

/// Kinds of tokens that whoever deploys it has some of.
contract Kinds is ERC1155 {
    constructor(uint256[] memory ids, uint256[] memory amounts) ERC1155("kind-{id}.json") {
        for (uint256 i = 0; i < ids.length; i++) _mint(msg.sender, ids[i], amounts[i], "");
    }
}

/// Ways to fail.
contract Faults {
    error Refused(address caller, uint256 code);

    uint256 public count;

    function reason() external {
        count++;
        revert("not today");
    }

    function own() external view {
        revert Refused(msg.sender, 7);
    }

    function divide(uint256 by) external pure returns (uint256) {
        return 1 / by;
    }

    function endless() external pure {
        while (true) {}
    }
}
