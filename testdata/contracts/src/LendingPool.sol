// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.20;

interface IToken {
    function transfer(address to, uint256 value) external returns (bool);
    function transferFrom(address from, address to, uint256 value) external returns (bool);
}

/// Loans of one token against another. What can be lent is simply the pool's own
/// balance of the debt token, so minting to the pool's address is enough to fund it.
contract LendingPool {
    uint256 private constant ONE = 1e18;
    uint256 private constant INDEX_ONE = 1e27;
    /// About 5 % a year, as a fraction of INDEX_ONE per second.
    uint256 private constant RATE = 1585489599188229325;
    uint256 private constant BORROW_PERCENT = 75;
    uint256 private constant LIQUIDATE_PERCENT = 80;
    uint256 private constant BONUS_PERCENT = 105;

    /// Debt is kept in units of the index, so that interest touches one shared
    /// slot and not every account.
    struct Account {
        uint128 collateral;
        uint128 scaledDebt;
    }

    struct Interest {
        uint192 index;
        uint64 updatedAt;
    }

    address public collateralToken;
    address public debtToken;
    address public deployer;
    /// Debt tokens per collateral token, times 1e18.
    uint256 public price;
    Interest private interest;
    uint256 public totalScaledDebt;
    mapping(address => Account) public accounts;

    event Supplied(address indexed account, uint256 amount);
    event Withdrawn(address indexed account, uint256 amount);
    event Borrowed(address indexed account, uint256 amount);
    event Repaid(address indexed account, uint256 amount);
    event Liquidated(address indexed account, address indexed by, uint256 repaid, uint256 seized);
    event Accrued(uint256 index);
    event PriceSet(uint256 price);

    error NotDeployer();
    error Unhealthy();
    error StillHealthy();
    error NothingOwed();
    error TooMuch();
    error TokenRefused();

    constructor(address collateral, address debt, uint256 initialPrice) {
        collateralToken = collateral;
        debtToken = debt;
        deployer = msg.sender;
        price = initialPrice;
        interest = Interest(uint192(INDEX_ONE), uint64(block.timestamp));
    }

    function setPrice(uint256 newPrice) external {
        if (msg.sender != deployer) revert NotDeployer();
        price = newPrice;
        emit PriceSet(newPrice);
    }

    function supply(uint256 amount) external {
        accounts[msg.sender].collateral += _narrow(amount);
        emit Supplied(msg.sender, amount);
        _pull(collateralToken, amount);
    }

    function withdraw(uint256 amount) external {
        uint256 index = _accrue();
        Account storage a = accounts[msg.sender];
        if (amount > a.collateral) revert TooMuch();
        a.collateral -= uint128(amount);
        if (!_covers(a, index, BORROW_PERCENT)) revert Unhealthy();
        emit Withdrawn(msg.sender, amount);
        _push(collateralToken, amount);
    }

    function borrow(uint256 amount) external {
        uint256 index = _accrue();
        Account storage a = accounts[msg.sender];
        // Rounded up, or a loan could begin smaller than what was paid out.
        uint256 scaled = (amount * INDEX_ONE + index - 1) / index;
        a.scaledDebt += _narrow(scaled);
        totalScaledDebt += scaled;
        if (!_covers(a, index, BORROW_PERCENT)) revert Unhealthy();
        emit Borrowed(msg.sender, amount);
        _push(debtToken, amount);
    }

    /// Pays back at most what is owed, so the largest number clears the account.
    function repay(uint256 amount) external returns (uint256 paid) {
        paid = _reduce(accounts[msg.sender], _accrue(), amount);
        emit Repaid(msg.sender, paid);
        _pull(debtToken, paid);
    }

    /// Pays back up to half of an unhealthy debt for collateral worth 5 % more.
    function liquidate(address borrower, uint256 amount) external returns (uint256 paid, uint256 seized) {
        uint256 index = _accrue();
        Account storage a = accounts[borrower];
        if (_covers(a, index, LIQUIDATE_PERCENT)) revert StillHealthy();
        uint256 half = (_debt(a, index) + 1) / 2;
        paid = _reduce(a, index, amount < half ? amount : half);
        // At a price of zero the collateral is worthless: all of it goes for any payment.
        seized = price == 0 ? a.collateral : (paid * ONE * BONUS_PERCENT) / (price * 100);
        if (seized > a.collateral) seized = a.collateral;
        a.collateral -= uint128(seized);
        emit Liquidated(borrower, msg.sender, paid, seized);
        _pull(debtToken, paid);
        _push(collateralToken, seized);
    }

    function accrue() external returns (uint256 index) {
        return _accrue();
    }

    function currentIndex() public view returns (uint256) {
        Interest memory i = interest;
        return i.index + (i.index * RATE * (block.timestamp - i.updatedAt)) / INDEX_ONE;
    }

    function debtOf(address account) external view returns (uint256) {
        return _debt(accounts[account], currentIndex());
    }

    function healthy(address account) external view returns (bool) {
        return _covers(accounts[account], currentIndex(), LIQUIDATE_PERCENT);
    }

    /// Writes once per timestamp: the first caller in a block moves the index,
    /// the others only read it.
    function _accrue() private returns (uint256 index) {
        if (interest.updatedAt == block.timestamp) return interest.index;
        index = currentIndex();
        interest = Interest(uint192(index), uint64(block.timestamp));
        emit Accrued(index);
    }

    function _reduce(Account storage a, uint256 index, uint256 amount) private returns (uint256 paid) {
        uint256 owed = _debt(a, index);
        if (owed == 0) revert NothingOwed();
        uint256 scaled;
        if (amount >= owed) {
            paid = owed;
            scaled = a.scaledDebt;
        } else {
            paid = amount;
            scaled = (amount * INDEX_ONE) / index;
        }
        a.scaledDebt -= uint128(scaled);
        totalScaledDebt -= scaled;
    }

    function _debt(Account storage a, uint256 index) private view returns (uint256) {
        return (a.scaledDebt * index + INDEX_ONE - 1) / INDEX_ONE;
    }

    function _covers(Account storage a, uint256 index, uint256 percent) private view returns (bool) {
        if (a.scaledDebt == 0) return true;
        return (((a.collateral * price) / ONE) * percent) / 100 >= _debt(a, index);
    }

    function _narrow(uint256 amount) private pure returns (uint128) {
        if (amount > type(uint128).max) revert TooMuch();
        return uint128(amount);
    }

    function _pull(address token, uint256 amount) private {
        if (!IToken(token).transferFrom(msg.sender, address(this), amount)) revert TokenRefused();
    }

    function _push(address token, uint256 amount) private {
        if (!IToken(token).transfer(msg.sender, amount)) revert TokenRefused();
    }
}
