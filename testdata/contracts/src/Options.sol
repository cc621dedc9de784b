// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.20;

interface IToken {
    function transfer(address to, uint256 value) external returns (bool);
    function transferFrom(address from, address to, uint256 value) external returns (bool);
}

/// European options, settled in cash against a price kept in this contract.
///
/// An option's id is the writer's address followed by 64 bits that the writer
/// chooses. A load generator therefore knows the id before the transaction is
/// ordered, and need not read it back.
contract Options {
    uint256 private constant ONE = 1e18;
    uint256 public constant MAX_BATCH = 64;

    struct Option {
        address holder;
        uint64 expiry;
        bool isCall;
        uint128 strike;
        uint128 quantity;
        uint128 collateral;
        uint128 premium;
    }

    address public cash;
    address public deployer;
    /// Cash per unit of the underlying, times 1e18.
    uint256 public price;
    /// Everything locked at the moment: one slot that all writers share.
    uint256 public totalLocked;
    mapping(uint256 => Option) public options;

    event Written(uint256 indexed id, address indexed writer, uint64 expiry, uint256 collateral);
    event Bought(uint256 indexed id, address indexed holder, uint256 premium);
    event Settled(uint256 indexed id, uint256 price, uint256 toHolder, uint256 toWriter);
    event PriceSet(uint256 price);

    error NotDeployer();
    error IdTaken();
    error NoCollateral();
    error NotForSale();
    error Expired();
    error NotSettleable();
    error BatchTooLong();
    error TokenRefused();

    constructor(address cashToken, uint256 initialPrice) {
        cash = cashToken;
        deployer = msg.sender;
        price = initialPrice;
    }

    function setPrice(uint256 newPrice) external {
        if (msg.sender != deployer) revert NotDeployer();
        price = newPrice;
        emit PriceSet(newPrice);
    }

    function idOf(address writer, uint64 salt) public pure returns (uint256) {
        return (uint256(uint160(writer)) << 64) | salt;
    }

    /// Locks `collateral`, which also caps what the holder can get: that is what
    /// makes a call, whose payoff has no bound of its own, safe to sell.
    function write(
        uint64 salt,
        bool isCall,
        uint128 strike,
        uint128 quantity,
        uint128 collateral,
        uint128 premium,
        uint32 duration
    ) external returns (uint256 id) {
        if (collateral == 0) revert NoCollateral();
        id = idOf(msg.sender, salt);
        Option storage o = options[id];
        if (o.collateral != 0) revert IdTaken();
        o.expiry = uint64(block.timestamp + duration);
        o.isCall = isCall;
        o.strike = strike;
        o.quantity = quantity;
        o.collateral = collateral;
        o.premium = premium;
        totalLocked += collateral;
        emit Written(id, msg.sender, o.expiry, collateral);
        _pull(address(this), collateral);
    }

    /// Open up to and including the second of expiry, which is also the first
    /// second of settlement: an option of duration 0 lives within one block.
    function buy(uint256 id) external {
        Option storage o = options[id];
        if (o.collateral == 0 || o.holder != address(0)) revert NotForSale();
        if (block.timestamp > o.expiry) revert Expired();
        o.holder = msg.sender;
        emit Bought(id, msg.sender, o.premium);
        _pull(address(uint160(id >> 64)), o.premium);
    }

    /// Anyone may settle. The record is erased, so the id can be used again.
    function settle(uint256 id) public {
        if (!_settleable(id)) revert NotSettleable();
        _settle(id);
    }

    /// Settles what can be settled and passes over the rest, so that one early
    /// or repeated id does not undo a whole batch.
    function settleMany(uint256[] calldata ids) external returns (uint256 settled) {
        if (ids.length > MAX_BATCH) revert BatchTooLong();
        for (uint256 i = 0; i < ids.length; i++) {
            if (_settleable(ids[i])) {
                _settle(ids[i]);
                settled++;
            }
        }
    }

    function payoff(uint256 id) public view returns (uint256 amount) {
        Option storage o = options[id];
        (uint256 high, uint256 low) = o.isCall ? (price, uint256(o.strike)) : (uint256(o.strike), price);
        if (o.holder == address(0) || high <= low) return 0;
        amount = ((high - low) * o.quantity) / ONE;
        if (amount > o.collateral) amount = o.collateral;
    }

    function _settleable(uint256 id) private view returns (bool) {
        Option storage o = options[id];
        return o.collateral != 0 && block.timestamp >= o.expiry;
    }

    function _settle(uint256 id) private {
        uint256 toHolder = payoff(id);
        uint256 locked = options[id].collateral;
        address holder = options[id].holder;
        delete options[id];
        totalLocked -= locked;
        emit Settled(id, price, toHolder, locked - toHolder);
        _push(holder, toHolder);
        _push(address(uint160(id >> 64)), locked - toHolder);
    }

    function _pull(address to, uint256 amount) private {
        if (!IToken(cash).transferFrom(msg.sender, to, amount)) revert TokenRefused();
    }

    function _push(address to, uint256 amount) private {
        if (amount != 0 && !IToken(cash).transfer(to, amount)) revert TokenRefused();
    }
}
