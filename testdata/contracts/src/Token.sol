// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.20;

/// A plain ERC-20 for load generation. It has no owner: anyone may mint, so a
/// load generator can fund any account without keeping a privileged key.
contract Token {
    string public constant name = "Fugue Load Token";
    string public constant symbol = "FLT";
    uint8 public constant decimals = 18;

    // Declared first and in this order on purpose: a genesis file can then seed
    // slot 0 (supply), slot 1 (balances) and slot 2 (allowances) directly.
    uint256 public totalSupply;
    mapping(address => uint256) public balanceOf;
    mapping(address => mapping(address => uint256)) public allowance;

    event Transfer(address indexed from, address indexed to, uint256 value);
    event Approval(address indexed owner, address indexed spender, uint256 value);

    error BalanceTooLow(address account, uint256 has, uint256 wanted);
    error AllowanceTooLow(address spender, uint256 has, uint256 wanted);
    error NoRecipient();

    constructor(address holder, uint256 supply) {
        _create(holder, supply);
    }

    function transfer(address to, uint256 value) external returns (bool) {
        _move(msg.sender, to, value);
        return true;
    }

    function approve(address spender, uint256 value) external returns (bool) {
        allowance[msg.sender][spender] = value;
        emit Approval(msg.sender, spender, value);
        return true;
    }

    function transferFrom(address from, address to, uint256 value) external returns (bool) {
        uint256 left = allowance[from][msg.sender];
        // The largest allowance never runs down, so one approval lasts a whole run
        // and does not add a storage write to every later call.
        if (left != type(uint256).max) {
            if (left < value) revert AllowanceTooLow(msg.sender, left, value);
            allowance[from][msg.sender] = left - value;
        }
        _move(from, to, value);
        return true;
    }

    function mint(address to, uint256 value) external {
        _create(to, value);
    }

    function _create(address to, uint256 value) private {
        // The checked sum bounds every balance, which is what makes the
        // unchecked additions below safe.
        totalSupply += value;
        unchecked {
            balanceOf[to] += value;
        }
        emit Transfer(address(0), to, value);
    }

    function _move(address from, address to, uint256 value) private {
        if (to == address(0)) revert NoRecipient();
        uint256 has = balanceOf[from];
        if (has < value) revert BalanceTooLow(from, has, value);
        // The debit is stored before the credit is read: a transfer to oneself
        // must leave the balance as it was.
        unchecked {
            balanceOf[from] = has - value;
            balanceOf[to] += value;
        }
        emit Transfer(from, to, value);
    }
}
