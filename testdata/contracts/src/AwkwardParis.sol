// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.20;

// The awkward contracts that need opcodes younger than Byzantium (CREATE2,
// EXTCODEHASH, CHAINID, SELFBALANCE, BASEFEE, PREVRANDAO). See Awkward.sol.

/// Counts until it is killed. Up to Shanghai SELFDESTRUCT removes it always; from
/// Cancun on (EIP-6780) only in the transaction that created it, and otherwise
/// just empties its balance.
contract Phoenix {
    uint256 public counter;

    /// Starts from a value other than zero: storage that survives a death shows.
    constructor() payable {
        counter = 100;
    }

    receive() external payable {}

    function bump() external {
        counter += 1;
    }

    /// Naming the contract itself as beneficiary burns the ether, where it really dies.
    function die(address payable beneficiary) external {
        selfdestruct(beneficiary);
    }
}

/// Brings contracts to life, and back to life, at fixed addresses.
contract PhoenixFactory {
    bytes32 private constant MAIN_SALT = bytes32(uint256(1));
    bytes32 private constant SPARE_SALT = bytes32(uint256(2));

    uint256 public spawned;
    uint256 public pokes;

    event Spawned(address indexed phoenix);

    error AlreadyAlive();

    function mainAddress() public view returns (address) {
        return addressOf(MAIN_SALT);
    }

    function spareAddress() public view returns (address) {
        return addressOf(SPARE_SALT);
    }

    function addressOf(bytes32 salt) public view returns (address) {
        bytes32 code = keccak256(type(Phoenix).creationCode);
        return address(uint160(uint256(keccak256(abi.encodePacked(bytes1(0xff), address(this), salt, code)))));
    }

    /// Creates the phoenix at the main address; reverts if it is there.
    function spawn() external payable returns (address) {
        return address(_spawn(MAIN_SALT));
    }

    /// The same with the caller's salt, for load that should not collide.
    function spawnAt(bytes32 salt) external payable returns (address) {
        return address(_spawn(salt));
    }

    /// Tries to create at the main address without looking first. A collision is
    /// no error: it burns `gasLimit` and counts nothing.
    function collide(uint256 gasLimit) external returns (bool ok) {
        (ok,) = address(this).call{gas: gasLimit}(abi.encodeWithSelector(this.spawnUnchecked.selector));
    }

    function spawnUnchecked() external {
        new Phoenix{salt: MAIN_SALT}();
        spawned += 1;
    }

    /// Life and death in one transaction, with the call's value going through both.
    /// The main address is used if it is free, the spare one if not, so this
    /// succeeds on every fork and any number of times in a block.
    function spawnAndKill() external payable {
        bytes32 salt = mainAddress().code.length == 0 ? MAIN_SALT : SPARE_SALT;
        Phoenix p = _spawn(salt);
        p.bump();
        p.die(payable(msg.sender));
        // Its code still answers until the transaction ends.
        p.bump();
        pokes += p.counter();
    }

    /// Bumps a phoenix that may or may not be there: whether it is depends on the
    /// transactions before.
    function poke(address phoenix) external returns (bool there) {
        there = phoenix.code.length != 0;
        if (there) {
            Phoenix(payable(phoenix)).bump();
            pokes += 1;
        }
    }

    function _spawn(bytes32 salt) private returns (Phoenix p) {
        if (addressOf(salt).code.length != 0) revert AlreadyAlive();
        p = new Phoenix{salt: salt, value: msg.value}();
        spawned += 1;
        emit Spawned(address(p));
    }
}

/// Observes accounts: what it stores depends on balances and code that other
/// transactions of the block change without touching any storage.
contract Reader {
    bytes32 public digest;
    mapping(address => bytes32) public digestOf;

    error TooMany();

    /// Folds the accounts into the one digest that all callers share.
    function survey(address[] calldata accounts) external {
        digest = _fold(digest, accounts);
    }

    /// The same into the caller's own digest: conflicts come from the reads only.
    function surveyOwn(address[] calldata accounts) external {
        digestOf[msg.sender] = _fold(digestOf[msg.sender], accounts);
    }

    /// The beneficiary's balance changes with every fee paid earlier in the block.
    function readCoinbase() external {
        digest = _look(digest, block.coinbase);
    }

    function readCoinbaseOwn() external {
        digestOf[msg.sender] = _look(digestOf[msg.sender], block.coinbase);
    }

    /// The sender's balance, in the middle of its own transaction: the gas is paid
    /// for and not yet refunded.
    function readSender() external {
        digestOf[msg.sender] = _look(digestOf[msg.sender], msg.sender);
    }

    function _fold(bytes32 seed, address[] calldata accounts) private view returns (bytes32) {
        if (accounts.length > 128) revert TooMany();
        for (uint256 i = 0; i < accounts.length; i++) {
            seed = _look(seed, accounts[i]);
        }
        return seed;
    }

    function _look(bytes32 seed, address a) private view returns (bytes32) {
        return keccak256(abi.encode(seed, a, a.balance, a.codehash, a.code.length));
    }
}

/// Stores a hash of everything a block tells its transactions.
contract BlockInfo {
    bytes32 public digest;
    mapping(address => bytes32) public digestOf;

    receive() external payable {}

    function record() external {
        digest = _look(digest);
    }

    function recordOwn() external {
        digestOf[msg.sender] = _look(digestOf[msg.sender]);
    }

    /// Hashes of the last `count` blocks, at most 256. One further back reads as zero.
    function recordHistory(uint256 count) external {
        bytes32 seed = digestOf[msg.sender];
        for (uint256 i = 1; i <= count && i <= 257 && i <= block.number; i++) {
            seed = keccak256(abi.encode(seed, blockhash(block.number - i)));
        }
        digestOf[msg.sender] = seed;
    }

    function _look(bytes32 seed) private view returns (bytes32) {
        bytes32 place = keccak256(
            abi.encode(
                block.number == 0 ? bytes32(0) : blockhash(block.number - 1),
                block.number,
                block.coinbase,
                block.timestamp,
                block.prevrandao,
                block.basefee,
                block.gaslimit,
                block.chainid
            )
        );
        return keccak256(abi.encode(seed, place, tx.origin, tx.gasprice, address(this).balance));
    }
}
