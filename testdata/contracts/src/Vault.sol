// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.20;

interface IToken {
    function balanceOf(address account) external view returns (uint256);
    function allowance(address owner, address spender) external view returns (uint256);
    function transfer(address to, uint256 value) external returns (bool);
    function transferFrom(address from, address to, uint256 value) external returns (bool);
}

/// A yield vault in the manner of ERC-4626, cut down to what a load run needs.
/// The "strategy" is any account that has approved the vault: its balance is
/// where the yield comes from.
contract Vault {
    address public asset;
    address public strategy;
    uint256 public yieldPerSecond;
    uint256 public lastHarvest;

    /// Counted here and not read from the token, so that a gift to the vault's
    /// address cannot bend the share price.
    uint256 public totalAssets;
    uint256 public totalSupply;
    mapping(address => uint256) public balanceOf;

    event Deposit(address indexed sender, address indexed receiver, uint256 assets, uint256 shares);
    event Withdraw(address indexed sender, address indexed receiver, uint256 assets, uint256 shares);
    event Transfer(address indexed from, address indexed to, uint256 shares);
    event Harvest(address indexed by, uint256 gained);

    error NoShares();
    error SharesTooLow(uint256 has, uint256 wanted);
    error TokenRefused();

    constructor(address token, address source, uint256 perSecond) {
        asset = token;
        strategy = source;
        yieldPerSecond = perSecond;
        lastHarvest = block.timestamp;
    }

    function convertToShares(uint256 assets) public view returns (uint256) {
        return totalSupply == 0 ? assets : (assets * totalSupply) / totalAssets;
    }

    function convertToAssets(uint256 shares) public view returns (uint256) {
        return totalSupply == 0 ? shares : (shares * totalAssets) / totalSupply;
    }

    function deposit(uint256 assets, address receiver) external returns (uint256 shares) {
        shares = convertToShares(assets);
        if (shares == 0) revert NoShares();
        totalAssets += assets;
        totalSupply += shares;
        balanceOf[receiver] += shares;
        emit Transfer(address(0), receiver, shares);
        emit Deposit(msg.sender, receiver, assets, shares);
        if (!IToken(asset).transferFrom(msg.sender, address(this), assets)) revert TokenRefused();
    }

    /// Takes out an exact amount of the asset. The shares are rounded up: the
    /// remainder of the division belongs to those who stay.
    function withdraw(uint256 assets, address receiver) external returns (uint256 shares) {
        uint256 all = totalAssets;
        if (all == 0) revert NoShares();
        shares = (assets * totalSupply + all - 1) / all;
        _leave(assets, shares, receiver);
    }

    /// Gives up an exact number of shares.
    function redeem(uint256 shares, address receiver) external returns (uint256 assets) {
        assets = convertToAssets(shares);
        _leave(assets, shares, receiver);
    }

    /// Shares move like a token, but without allowances: nothing here needs them.
    function transfer(address to, uint256 shares) external returns (bool) {
        _debit(shares);
        balanceOf[to] += shares;
        emit Transfer(msg.sender, to, shares);
        return true;
    }

    /// Collects the yield since the last harvest. A strategy that cannot pay in
    /// full pays what it can, and a second harvest in one block finds nothing:
    /// neither is an error, so that load never stops here.
    function harvest() external returns (uint256 gained) {
        gained = yieldPerSecond * (block.timestamp - lastHarvest);
        lastHarvest = block.timestamp;
        uint256 has = IToken(asset).balanceOf(strategy);
        uint256 allowed = IToken(asset).allowance(strategy, address(this));
        if (gained > has) gained = has;
        if (gained > allowed) gained = allowed;
        totalAssets += gained;
        emit Harvest(msg.sender, gained);
        if (gained != 0 && !IToken(asset).transferFrom(strategy, address(this), gained)) revert TokenRefused();
    }

    function _leave(uint256 assets, uint256 shares, address receiver) private {
        _debit(shares);
        totalSupply -= shares;
        totalAssets -= assets;
        emit Transfer(msg.sender, address(0), shares);
        emit Withdraw(msg.sender, receiver, assets, shares);
        if (!IToken(asset).transfer(receiver, assets)) revert TokenRefused();
    }

    function _debit(uint256 shares) private {
        uint256 has = balanceOf[msg.sender];
        if (has < shares) revert SharesTooLow(has, shares);
        balanceOf[msg.sender] = has - shares;
    }
}
