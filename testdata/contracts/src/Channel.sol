// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.20;

/// One-way payment channels in ether. A channel's id is the payer's address
/// followed by 64 bits that the payer chooses, so it is known beforehand.
///
/// The recipient closes in one of two ways: with a signature of the payer, or by
/// revealing a link of a hash chain. In a chain the payer commits to
/// `anchor = keccak256(keccak256(... secret))`; the link that lies n hashes before
/// the anchor is worth n times `unit`. This way needs no signing at all.
contract Channel {
    uint256 public constant MAX_LINKS = 256;

    struct State {
        address recipient;
        uint64 expiry;
        uint128 funds;
        uint128 unit;
        bytes32 anchor;
    }

    mapping(uint256 => State) public channels;

    event Opened(uint256 indexed id, address indexed payer, address indexed recipient, uint256 funds);
    event Extended(uint256 indexed id, uint256 funds, uint64 expiry);
    event Closed(uint256 indexed id, uint256 paid, uint256 returned);
    event TimedOut(uint256 indexed id, uint256 returned);

    error NoRecipient();
    error IdTaken();
    error NotOpen();
    error NotPayer();
    error NotRecipient();
    error TooMuch();
    error TooEarly();
    error BadSignature();
    error BadVoucher();
    error SendFailed();

    function idOf(address payer, uint64 salt) public pure returns (uint256) {
        return (uint256(uint160(payer)) << 64) | salt;
    }

    /// `unit` and `anchor` may both be zero if only signatures will be used.
    function open(address recipient, uint64 salt, uint32 duration, bytes32 anchor, uint128 unit)
        external
        payable
        returns (uint256 id)
    {
        if (recipient == address(0)) revert NoRecipient();
        id = idOf(msg.sender, salt);
        State storage c = channels[id];
        // The recipient stays on record after closing: were an id used twice,
        // an old signature would be good again.
        if (c.recipient != address(0)) revert IdTaken();
        c.recipient = recipient;
        c.expiry = uint64(block.timestamp + duration);
        c.funds = _narrow(msg.value);
        c.unit = unit;
        c.anchor = anchor;
        emit Opened(id, msg.sender, recipient, msg.value);
    }

    /// Adds time, ether, or both. Only ever to the recipient's advantage.
    function extend(uint256 id, uint32 moreSeconds) external payable {
        State storage c = _open(id);
        if (msg.sender != _payer(id)) revert NotPayer();
        c.funds = _narrow(c.funds + msg.value);
        c.expiry += moreSeconds;
        emit Extended(id, c.funds, c.expiry);
    }

    /// What the payer signs, with the usual prefix for personal messages. It names
    /// the contract and the channel, so it is good for nothing else.
    function digest(uint256 id, uint256 amount) public view returns (bytes32) {
        bytes32 inner = keccak256(abi.encode(address(this), id, amount));
        return keccak256(abi.encodePacked("\x19Ethereum Signed Message:\n32", inner));
    }

    function close(uint256 id, uint256 amount, uint8 v, bytes32 r, bytes32 s) external {
        State storage c = _open(id);
        // The payer is never the zero address, which is what a failed recovery gives.
        if (ecrecover(digest(id, amount), v, r, s) != _payer(id)) revert BadSignature();
        _close(c, id, amount);
    }

    /// `nonce` is the link that lies `amount / unit` hashes before the anchor.
    function closeWithVoucher(uint256 id, uint256 amount, bytes32 nonce) external {
        State storage c = _open(id);
        uint256 unit = c.unit;
        if (unit == 0 || amount % unit != 0 || amount / unit > MAX_LINKS) revert BadVoucher();
        bytes32 link = nonce;
        for (uint256 n = amount / unit; n != 0; n--) {
            link = keccak256(abi.encodePacked(link));
        }
        if (link != c.anchor) revert BadVoucher();
        _close(c, id, amount);
    }

    /// Gives everything back to the payer once the time is up. Until someone
    /// calls this, the recipient may still close.
    function timeout(uint256 id) external {
        State storage c = _open(id);
        if (block.timestamp < c.expiry) revert TooEarly();
        uint256 funds = c.funds;
        _erase(c);
        emit TimedOut(id, funds);
        _send(_payer(id), funds);
    }

    function _close(State storage c, uint256 id, uint256 amount) private {
        if (msg.sender != c.recipient) revert NotRecipient();
        uint256 funds = c.funds;
        if (amount > funds) revert TooMuch();
        _erase(c);
        emit Closed(id, amount, funds - amount);
        _send(msg.sender, amount);
        _send(_payer(id), funds - amount);
    }

    function _open(uint256 id) private view returns (State storage c) {
        c = channels[id];
        if (c.expiry == 0) revert NotOpen();
    }

    function _erase(State storage c) private {
        c.expiry = 0;
        c.funds = 0;
        c.unit = 0;
        c.anchor = 0;
    }

    function _payer(uint256 id) private pure returns (address) {
        return address(uint160(id >> 64));
    }

    function _send(address to, uint256 amount) private {
        if (amount == 0) return;
        (bool ok,) = to.call{value: amount}("");
        if (!ok) revert SendFailed();
    }

    function _narrow(uint256 amount) private pure returns (uint128) {
        if (amount > type(uint128).max) revert TooMuch();
        return uint128(amount);
    }
}
