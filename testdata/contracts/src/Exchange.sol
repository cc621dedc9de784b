// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.20;

interface IToken {
    function transfer(address to, uint256 value) external returns (bool);
    function transferFrom(address from, address to, uint256 value) external returns (bool);
}

/// A constant-product pool of two tokens. Every trade reads and writes the one
/// packed reserve slot: the classic hot spot for optimistic execution.
contract Exchange {
    struct Reserves {
        uint112 amount0;
        uint112 amount1;
        uint32 updatedAt;
    }

    address public token0;
    address public token1;
    Reserves private reserves;

    /// Time-weighted price sums, 112 fractional bits. They wrap around: only the
    /// difference of two readings means anything.
    uint256 public price0Sum;
    uint256 public price1Sum;

    uint256 public totalShares;
    mapping(address => uint256) public sharesOf;

    event LiquidityAdded(address indexed provider, uint256 amount0, uint256 amount1, uint256 shares);
    event LiquidityRemoved(address indexed provider, uint256 amount0, uint256 amount1, uint256 shares);
    event Swap(address indexed trader, bool zeroForOne, uint256 amountIn, uint256 amountOut);
    event Sync(uint112 reserve0, uint112 reserve1);

    error SameToken();
    error NothingMinted();
    error EmptyPool();
    error TooManyShares();
    error TooLittleOut(uint256 out, uint256 minOut);
    error ReserveTooLarge();
    error TokenRefused();

    constructor(address first, address second) {
        if (first == second) revert SameToken();
        token0 = first;
        token1 = second;
    }

    function getReserves() external view returns (uint112 reserve0, uint112 reserve1, uint32 updatedAt) {
        Reserves memory r = reserves;
        return (r.amount0, r.amount1, r.updatedAt);
    }

    function quote(bool zeroForOne, uint256 amountIn) external view returns (uint256) {
        return _quote(reserves, zeroForOne, amountIn);
    }

    /// The amounts are upper bounds. The first provider sets the ratio; later
    /// ones give what matches it and keep the rest.
    function addLiquidity(uint256 amount0, uint256 amount1) external returns (uint256 shares) {
        Reserves memory r = reserves;
        uint256 total = totalShares;
        if (total == 0) {
            shares = _root(amount0 * amount1);
        } else {
            uint256 by0 = (amount0 * total) / r.amount0;
            uint256 by1 = (amount1 * total) / r.amount1;
            shares = by0 < by1 ? by0 : by1;
            // Rounded up: a newcomer must never dilute those who are in already.
            amount0 = _divideUp(shares * r.amount0, total);
            amount1 = _divideUp(shares * r.amount1, total);
        }
        if (shares == 0) revert NothingMinted();
        totalShares = total + shares;
        sharesOf[msg.sender] += shares;
        _store(r, r.amount0 + amount0, r.amount1 + amount1);
        emit LiquidityAdded(msg.sender, amount0, amount1, shares);
        _pull(token0, amount0);
        _pull(token1, amount1);
    }

    function removeLiquidity(uint256 shares) external returns (uint256 amount0, uint256 amount1) {
        uint256 has = sharesOf[msg.sender];
        if (shares > has) revert TooManyShares();
        uint256 total = totalShares;
        if (total == 0) revert EmptyPool();
        Reserves memory r = reserves;
        amount0 = (shares * r.amount0) / total;
        amount1 = (shares * r.amount1) / total;
        sharesOf[msg.sender] = has - shares;
        totalShares = total - shares;
        _store(r, r.amount0 - amount0, r.amount1 - amount1);
        emit LiquidityRemoved(msg.sender, amount0, amount1, shares);
        _push(token0, amount0);
        _push(token1, amount1);
    }

    function swap(bool zeroForOne, uint256 amountIn, uint256 minOut) external returns (uint256 out) {
        Reserves memory r = reserves;
        out = _quote(r, zeroForOne, amountIn);
        if (out < minOut) revert TooLittleOut(out, minOut);
        // State first, tokens after: a token that calls back finds the new reserves.
        if (zeroForOne) {
            _store(r, r.amount0 + amountIn, r.amount1 - out);
        } else {
            _store(r, r.amount0 - out, r.amount1 + amountIn);
        }
        emit Swap(msg.sender, zeroForOne, amountIn, out);
        _pull(zeroForOne ? token0 : token1, amountIn);
        _push(zeroForOne ? token1 : token0, out);
    }

    function _quote(Reserves memory r, bool zeroForOne, uint256 amountIn) private pure returns (uint256) {
        (uint256 from, uint256 to) = zeroForOne ? (r.amount0, r.amount1) : (r.amount1, r.amount0);
        if (from == 0 || to == 0) revert EmptyPool();
        // The fee of 0.3 % is the part of the input that buys nothing.
        uint256 effective = amountIn * 997;
        return (effective * to) / (from * 1000 + effective);
    }

    /// Credits the old price with the time it has stood, then stores the new reserves.
    function _store(Reserves memory old, uint256 amount0, uint256 amount1) private {
        if (amount0 > type(uint112).max || amount1 > type(uint112).max) revert ReserveTooLarge();
        uint32 time = uint32(block.timestamp);
        unchecked {
            // Computed in 32 bits, so that it survives the wrap of the clock.
            uint256 elapsed = uint32(time - old.updatedAt);
            if (elapsed != 0 && old.amount0 != 0 && old.amount1 != 0) {
                price0Sum += ((uint256(old.amount1) << 112) / old.amount0) * elapsed;
                price1Sum += ((uint256(old.amount0) << 112) / old.amount1) * elapsed;
            }
        }
        reserves = Reserves(uint112(amount0), uint112(amount1), time);
        emit Sync(uint112(amount0), uint112(amount1));
    }

    function _pull(address token, uint256 amount) private {
        if (!IToken(token).transferFrom(msg.sender, address(this), amount)) revert TokenRefused();
    }

    function _push(address token, uint256 amount) private {
        if (!IToken(token).transfer(msg.sender, amount)) revert TokenRefused();
    }

    function _divideUp(uint256 a, uint256 b) private pure returns (uint256) {
        return (a + b - 1) / b;
    }

    /// Newton's iteration from above; it stops when it no longer descends.
    function _root(uint256 n) private pure returns (uint256 guess) {
        guess = n;
        uint256 next = n / 2 + (n & 1);
        while (next < guess) {
            guess = next;
            next = (guess + n / guess) / 2;
        }
    }
}
