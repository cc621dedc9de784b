// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.20;

// Small contracts that each do one thing that is hard for an EVM which runs
// transactions side by side. None of them guards anything: test networks only.
// Those that need opcodes younger than Byzantium are in AwkwardParis.sol.

/// Moves ether to places that only the call data, or the block, decides.
contract Spender {
    error SendFailed();
    error TooMany();

    receive() external payable {}

    /// Passes the call's value on.
    function forward(address to) external payable {
        _send(to, msg.value);
    }

    /// Spends from what the contract has gathered: all callers share one balance.
    function spend(address to, uint256 amount) external {
        _send(to, amount);
    }

    /// Splits the call's value evenly; the remainder of the division stays here.
    function spread(address[] calldata to) external payable {
        if (to.length > 64) revert TooMany();
        for (uint256 i = 0; i < to.length; i++) {
            _send(to[i], msg.value / to.length);
        }
    }

    /// The beneficiary's balance also gets every transaction's fee. An engine that
    /// adds fees up on the side must notice that here the account is really touched.
    function tipCoinbase() external payable {
        _send(block.coinbase, msg.value);
    }

    function tipCoinbaseFromBalance(uint256 amount) external {
        _send(block.coinbase, amount);
    }

    function _send(address to, uint256 amount) private {
        (bool ok,) = to.call{value: amount}("");
        if (!ok) revert SendFailed();
    }
}

/// Writes, then fails: nothing of it may be seen by a later transaction.
contract Reverter {
    mapping(uint256 => uint256) public slots;
    uint256 public attempts;
    uint256 public failures;

    error Undone(address caller, uint256 written);

    /// Fails with a custom error halfway through `count` writes.
    function failCustom(uint256 first, uint256 count) external {
        for (uint256 i = 0; i < count; i++) {
            if (i == count / 2) revert Undone(msg.sender, i);
            slots[first + i] += 1;
        }
    }

    /// Fails with a panic (division by zero) after `count` writes.
    function failPanic(uint256 first, uint256 count) external returns (uint256) {
        _fill(first, count);
        return first / (count - count);
    }

    /// Fails with INVALID after `count` writes: all gas given is gone at once.
    function failInvalid(uint256 first, uint256 count) external {
        _fill(first, count);
        assembly {
            invalid()
        }
    }

    /// Writes `count` slots, then computes until the gas runs out.
    function failOutOfGas(uint256 first, uint256 count) external {
        _fill(first, count);
        uint256 x = first;
        while (true) {
            x = uint256(keccak256(abi.encode(x)));
            // Never true, but the compiler cannot know: the loop must stay.
            if (x == 0) slots[first] = 0;
        }
    }

    /// The same writes, and they stay.
    function succeed(uint256 first, uint256 count) external {
        _fill(first, count);
    }

    /// Runs one of the above in a call of its own with limited gas. The call is
    /// undone, the transaction goes on: only the counters remain.
    /// kind: 0 custom, 1 panic, 2 invalid, 3 out of gas, anything else succeeds.
    function attempt(uint256 kind, uint256 first, uint256 count, uint256 gasLimit) external returns (bool ok) {
        bytes4 selector = kind == 0
            ? this.failCustom.selector
            : kind == 1
                ? this.failPanic.selector
                : kind == 2
                    ? this.failInvalid.selector
                    : kind == 3 ? this.failOutOfGas.selector : this.succeed.selector;
        attempts++;
        (ok,) = address(this).call{gas: gasLimit}(abi.encodeWithSelector(selector, first, count));
        if (!ok) failures++;
    }

    function _fill(uint256 first, uint256 count) private {
        for (uint256 i = 0; i < count; i++) {
            slots[first + i] += 1;
        }
    }
}

/// Code for EIP-7702: it runs in the place of an account that has a key, and
/// writes that account's storage. Anyone may call `execute`, so that a sponsor
/// can: delegate nothing but test accounts to it.
contract Delegate {
    uint256 public count;
    uint256 public executed;

    event Incremented(address indexed account, uint256 count);

    error CallFailed(bytes reason);

    receive() external payable {}

    function increment() external returns (uint256) {
        count += 1;
        emit Incremented(address(this), count);
        return count;
    }

    function execute(address to, uint256 value, bytes calldata data) external payable returns (bytes memory) {
        executed += 1;
        (bool ok, bytes memory answer) = to.call{value: value}(data);
        if (!ok) revert CallFailed(answer);
        return answer;
    }
}

/// The same selectors as `Delegate` on the same slots with other effects: an
/// engine that keeps code by account instead of by delegation mixes them up.
contract DelegateB {
    uint256 public count;
    uint256 public executed;
    uint256 public received;

    event Incremented(address indexed account, uint256 count);

    /// Here even a bare transfer of ether writes storage.
    receive() external payable {
        received += msg.value;
    }

    /// Triples and adds one: unlike plain increments, the order of an A and a B shows.
    function increment() external returns (uint256) {
        unchecked {
            count = count * 3 + 1;
        }
        emit Incremented(address(this), count);
        return count;
    }

    /// Sends the ether without the data, and passes over a failure.
    function execute(address to, uint256 value, bytes calldata data) external payable returns (bytes memory) {
        (bool ok,) = to.call{value: value}("");
        unchecked {
            executed += ok ? 100 : 1;
        }
        return data;
    }
}

/// The worst case and the best case in one contract: a slot that everyone
/// increments, and a slot for each sender.
contract HotCounter {
    uint256 public total;
    mapping(address => uint256) public ownCount;

    function increment() external {
        total += 1;
    }

    function own() external {
        ownCount[msg.sender] += 1;
    }

    function both() external {
        total += 1;
        ownCount[msg.sender] += 1;
    }

    /// The slot to write depends on the slot that everyone writes.
    function chase() external {
        ownCount[address(uint160(total % 16 + 1))] += 1;
        total += 1;
    }
}

/// Calls precompiled contracts and keeps a hash of what they answered, so that a
/// wrong answer ends up in the state root.
contract Precompiles {
    uint256 private constant CALL_GAS = 100000;
    // A prime below 2^255; any odd modulus would do.
    uint256 private constant MODULUS = (1 << 255) - 19;

    mapping(address => bytes32) public digestOf;

    /// Calls the precompile at address `which` with the caller's input and `gasLimit`.
    /// The gas is limited because a failing precompile burns all that it is given.
    function run(uint256 which, bytes calldata input, uint256 gasLimit) external returns (bool ok, bytes memory output) {
        (ok, output) = address(uint160(which)).staticcall{gas: gasLimit}(input);
        _keep(ok, output);
    }

    /// Calls 1 to 7 with valid inputs made from `seed`.
    function sweep(bytes32 seed) external {
        // With v = 27 and a random r, recovery works for about every other seed.
        _call(1, abi.encode(seed, uint256(27), seed >> 1, seed >> 2));
        _call(2, abi.encode(seed));
        _call(3, abi.encode(seed));
        _call(4, abi.encode(seed, msg.sender));
        _call(5, abi.encode(uint256(32), uint256(32), uint256(32), seed, uint256(65537), MODULUS));
        // (1, 2) generates the curve: seed times it, and then one more of it.
        bytes memory point = _call(7, abi.encode(uint256(1), uint256(2), seed));
        _call(6, abi.encodePacked(point, uint256(1), uint256(2)));
    }

    function _call(uint256 which, bytes memory input) private returns (bytes memory output) {
        bool ok;
        (ok, output) = address(uint160(which)).staticcall{gas: CALL_GAS}(input);
        _keep(ok, output);
    }

    function _keep(bool ok, bytes memory output) private {
        digestOf[msg.sender] = keccak256(abi.encode(digestOf[msg.sender], ok, output));
    }
}

/// Emits logs of every shape: for receipts, blooms and the numbering of logs
/// across the transactions of a block.
contract Logger {
    error TooManyTopics();
    error TooMany();

    /// One log with 0 to 4 topics (seed, seed + 1, ...) and the given data.
    function log(uint256 topics, uint256 seed, bytes calldata data) external {
        if (topics > 4) revert TooManyTopics();
        _log(topics, seed, data);
    }

    /// LOG0 to LOG4, in this order.
    function all(uint256 seed, bytes calldata data) external {
        for (uint256 n = 0; n <= 4; n++) {
            _log(n, seed, data);
        }
    }

    /// `count` logs with two topics and no data.
    function many(uint256 count, uint256 seed) external {
        if (count > 256) revert TooMany();
        for (uint256 i = 0; i < count; i++) {
            unchecked {
                _log(2, seed + i, "");
            }
        }
    }

    function _log(uint256 topics, uint256 seed, bytes memory data) private {
        assembly {
            let start := add(data, 32)
            let size := mload(data)
            switch topics
            case 0 { log0(start, size) }
            case 1 { log1(start, size, seed) }
            case 2 { log2(start, size, seed, add(seed, 1)) }
            case 3 { log3(start, size, seed, add(seed, 1), add(seed, 2)) }
            default { log4(start, size, seed, add(seed, 1), add(seed, 2), add(seed, 3)) }
        }
    }
}

/// Writes that leave no trace, and writes that earn refunds. A reader of the slot
/// needs no second run after `silent`, if the engine compares values.
contract ReverseStore {
    mapping(uint256 => uint256) public cells;

    /// Sets the cell to `x` and back within one transaction.
    function silent(uint256 cell, uint256 x) external {
        uint256 old = cells[cell];
        // A loop, because the optimizer would drop the first of two plain stores.
        for (uint256 i = 0; i < 2; i++) {
            cells[cell] = i == 0 ? x : old;
        }
    }

    /// Stores the value that is there already.
    function same(uint256 cell) external {
        uint256 old = cells[cell];
        // A loop again: a plain store of what was just read would be dropped too.
        for (uint256 i = 0; i < 1; i++) {
            cells[cell] = old;
        }
    }

    /// From zero to one and from anything else to zero: every other call earns a refund.
    function toggle(uint256 cell) external {
        cells[cell] = cells[cell] == 0 ? 1 : 0;
    }

    function set(uint256 cell, uint256 x) external {
        cells[cell] = x;
    }

    /// Clears a run of cells: with enough of them the cap on refunds is reached.
    function clear(uint256 first, uint256 count) external {
        for (uint256 i = 0; i < count; i++) {
            delete cells[first + i];
        }
    }
}
