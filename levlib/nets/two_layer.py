"""The two-layer ReLU net of Definition 3.5 and Definition 3.8, its gradient by hand (Eq. 6,
Eq. 10), and its dynamic kernel."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from levlib.checks import as_generator, as_multiplier, as_points, as_vector
from levlib.draw import Draw, as_draw
from levlib.linalg import blocks
from levlib.nets.net import checks_data

# Bytes of one block of pre-activations. Blocks that fit a cache are 10 % faster on one thread, but
# on two they cost three times as much: each small product wakes the other thread.
BLOCK_BYTES = {"cpu": 2**25, "cuda": 2**28}
# The 0/1 mask of all units is kept from the forward to the backward product up to this size, else
# computed again.
MASK_BYTES = {"cpu": 2**30, "cuda": 2**34}


class TwoLayerNet:
    """The net f(x) = m^{-1/2} sum_r a_r sqrt(p/q)(w_r(0)) relu(w_r.x), of which W is trained:
    Definition 3.5 where q = p, else Definition 3.8.

    Make one with `TwoLayerNet.from_draw`. `net(X)` is kappa f(X), shape (n,), for X (n, d). `net.W`
    is (m, d); `net.a` the signs (m,), and `net.output` = a sqrt(p/q) / sqrt(m) what multiplies each
    unit: both stay as they start. While each unit (w, a) of an antisymmetric net still has its twin
    (w, -a), f is 0 exactly, whatever the products round to. Cost of a call: n m d, in blocks of
    units, so that memory beyond W is one block (32 MiB).

    >>> import levlib as lv
    >>> g = torch.Generator().manual_seed(0)
    >>> net = lv.TwoLayerNet.from_draw(lv.sample_prior(lv.NTK(), 8, 2, generator=g), generator=g)
    >>> net([[1.0, 0.0], [0.0, 0.0]]).shape, net.W.shape
    (torch.Size([2]), torch.Size([8, 2]))
    """

    layers = 1  # trained ones: Remark 4.2 divides lam by this

    def __init__(
        self,
        W: Tensor,
        a: Tensor,
        ratio: Tensor,
        kappa: float = 1.0,
        antisymmetric: bool = False,
    ):
        self.W = W
        self.a = a
        self.kappa = kappa
        self.antisymmetric = antisymmetric
        self.output = a * (ratio / len(W)).sqrt()
        self._mask: Tensor | None = None

    @classmethod
    def from_draw(
        cls,
        draw: Draw,
        kappa: float = 1.0,
        antisymmetric: bool = False,
        *,
        generator: torch.Generator,
    ) -> TwoLayerNet:
        """Start from drawn weights with random signs a_r = -1 or +1: Definition 3.5 for a draw from
        p, Definition 3.8 for one from q.

        `draw.W` is (m, d), in the dtype and on the device that the net will have; `draw.ratio` =
        p/q at the start fixes the weight of each unit. `antisymmetric` doubles the units to (w, a),
        (w, -a) and divides by sqrt(2): the output is 0 at the start, exactly, and the kernel is
        unchanged, a cure for Theorem 3.7 that needs no small kappa. Raises ValueError for kappa <=
        0 or a ratio that is negative or not finite; warns for kappa > 1. Cost: m d. Source of the
        doubling: Chizat and Bach 2018.

        >>> import levlib as lv
        >>> g = torch.Generator().manual_seed(0)
        >>> draw = lv.Draw(torch.eye(2), torch.ones(2))
        >>> lv.TwoLayerNet.from_draw(draw, antisymmetric=True, generator=g)([[1.0, 2.0]])
        tensor([0.])
        """
        draw = as_draw(draw)
        W = as_points(draw.W, "draw.W").detach()
        kappa = as_multiplier(kappa)
        generator = as_generator(generator)
        ratio = as_vector(draw.ratio, "draw.ratio", len(W), like=W).detach()
        if (ratio < 0).any():
            raise ValueError(f"draw.ratio must hold p/q >= 0, got {float(ratio.min()):g}")
        sign = torch.randint(2, (len(W),), generator=generator, device=generator.device)
        a = (2 * sign - 1).to(W)
        if not antisymmetric:
            return cls(W.clone(), a, ratio, kappa)
        return cls(torch.cat([W, W]), torch.cat([a, -a]), torch.cat([ratio, ratio]), kappa, True)

    @property
    def weights(self) -> list[Tensor]:
        """The trained tensors, here [W]: `train` changes them in place."""
        return [self.W]

    @property
    def d(self) -> int:
        """The dimension of a point."""
        return self.W.shape[1]

    @property
    def m(self) -> int:
        """The number of units."""
        return len(self.W)

    @torch.no_grad()
    def __call__(self, X) -> Tensor:
        X = as_points(X, "X", self.d, like=self.W)
        return self._forward(X, self._block_buffer(len(X)), mask=False)

    @checks_data
    @torch.no_grad()
    def gradient(self, X, Y) -> tuple[Tensor, list[Tensor]]:
        """Return u = net(X), shape (n,), and the gradient of |Y - u|^2 / 2 in W, [(m, d)]: that of
        Eq. 6 and Eq. 10 without the penalty.

        X is (n, d), Y is (n,). Two matrix products: X W^T, over which the 0/1 mask of active units
        is written in place, and mask^T (residual X). Where the mask of all units exceeds
        `MASK_BYTES` the first product is computed again, block by block. Raises ValueError for
        shapes that disagree. Cost: 2 n m d multiply-adds (3 n m d).
        """
        kept = len(X) * self.m * X.element_size() <= MASK_BYTES[X.device.type]
        Z = self._mask_buffer(len(X)) if kept else self._block_buffer(len(X))
        u = self._forward(X, Z, mask=kept)
        residual_X = self.kappa * (u - Y)[:, None] * X
        G = torch.empty_like(self.W)
        for units in self._blocks(len(X)):
            S = Z[units] if kept else self._preactivations(X, units, Z).gt_(0)
            torch.mm(S, residual_X, out=G[units]).mul_(self.output[units, None])
        return u, [G]

    @torch.no_grad()
    def dynamic_kernel(self, X, Z=None) -> Tensor:
        """Return H(t), the inner products of the gradients of f (without kappa) at the present W
        (Section 4, Eq. 16).

        H_ij = x_i.z_j sum_r output_r^2 1[w_r.x_i > 0] 1[w_r.z_j > 0], shape (n, k) for X (n, d) and
        Z (k, d); Z = X if not given. At the start its mean is the NTK of Eq. 8. Raises ValueError
        for bad points. Cost: n k m.

        >>> import levlib as lv
        >>> g = torch.Generator().manual_seed(0)
        >>> net = lv.TwoLayerNet.from_draw(lv.Draw(torch.eye(2), torch.ones(2)), generator=g)
        >>> net.dynamic_kernel([[1.0, -1.0]])         # one unit of two is active, |x|^2 = 2
        tensor([[1.0000]])
        """
        X = as_points(X, "X", self.d, like=self.W)
        other = X if Z is None else as_points(Z, "Z", X.shape[1], like=X)
        common = torch.zeros(len(X), len(other), dtype=X.dtype, device=X.device)
        for units in self._blocks(len(X) + len(other)):
            S = self._scaled_mask(X, units)
            common.addmm_(S.T, S if Z is None else self._scaled_mask(other, units))
        return common.mul_(X @ other.T)

    @torch.no_grad()
    def masks(self, X) -> Tensor:
        """Return the 0/1 masks 1[w_r.x_i > 0] at the present W, shape (m, n) for X (n, d).

        Raises ValueError for bad points. Cost: n m d.

        >>> import levlib as lv
        >>> g = torch.Generator().manual_seed(0)
        >>> net = lv.TwoLayerNet.from_draw(lv.Draw(torch.eye(2), torch.ones(2)), generator=g)
        >>> net.masks([[1.0, -1.0]])
        tensor([[1.],
                [0.]])
        """
        X = as_points(X, "X", self.d, like=self.W)
        return (self.W @ X.T).gt_(0)

    @torch.no_grad()
    def kernel_of(self, masks: Tensor, X) -> Tensor:
        """Return the dynamic kernel that masks between 0 and 1 give, (n, n) for (m, n) masks.

        H_ij = x_i.x_j sum_r output_r^2 mask_ri mask_rj. A unit that slides along the kink of x_i
        has a mask between 0 and 1 there, the share of steps at which it is active, and does not
        move across: w_r'.x_i = 0. So products of averages, and not averages of products, let Eq. 16
        hold. Raises ValueError for another shape. Cost: n^2 m. Source: Filippov 1988, for
        differential equations with a right side that jumps.

        >>> import levlib as lv
        >>> g = torch.Generator().manual_seed(0)
        >>> net = lv.TwoLayerNet.from_draw(lv.Draw(torch.eye(2), torch.ones(2)), generator=g)
        >>> X = torch.tensor([[1.0, -1.0]])
        >>> torch.equal(net.kernel_of(net.masks(X), X), net.dynamic_kernel(X))
        True
        """
        X = as_points(X, "X", self.d, like=self.W)
        masks = as_points(masks, "masks", len(X), like=self.W)
        if len(masks) != self.m:
            raise ValueError(f"masks must have a row for each of {self.m} units, got {len(masks)}")
        scaled = masks * self.output[:, None].abs()
        return (scaled.T @ scaled).mul_(X @ X.T)

    def _blocks(self, n: int) -> Iterator[slice]:
        return blocks(self.m, n * self.W.element_size(), BLOCK_BYTES[self.W.device.type])

    def _block_buffer(self, n: int) -> Tensor:
        return torch.empty(next(self._blocks(n)).stop, n, dtype=self.W.dtype, device=self.W.device)

    def _mask_buffer(self, n: int) -> Tensor:
        # Kept between steps: a fresh one each time would cost more in page faults than a matrix
        # product.
        if self._mask is None or self._mask.shape[1] != n:
            self._mask = torch.empty(self.m, n, dtype=self.W.dtype, device=self.W.device)
        return self._mask

    def _scaled_mask(self, X: Tensor, units: slice) -> Tensor:
        return (self.W[units] @ X.T).gt_(0).mul_(self.output[units, None].abs())

    def _preactivations(self, X: Tensor, units: slice, Z: Tensor) -> Tensor:
        into = Z[units] if len(Z) == self.m else Z[: units.stop - units.start]
        return torch.mm(self.W[units], X.T, out=into)

    def _forward(self, X: Tensor, Z: Tensor, mask: bool) -> Tensor:
        f = torch.zeros(len(X), dtype=X.dtype, device=X.device)
        for units in self._blocks(len(X)):
            block = self._preactivations(X, units, Z)
            f.addmv_(block.clamp_(min=0).T, self.output[units])
            if mask:
                block.sign_()
        return f.zero_() if self._cancels() else f.mul_(self.kappa)

    def _cancels(self) -> bool:
        # two products of equal matrices may round apart, so that sums over twins leave a rest
        if not self.antisymmetric:
            return False
        first, second = self.W.chunk(2)
        a, b = self.output.chunk(2)
        return torch.equal(first, second) and torch.equal(a, -b)

    def __repr__(self):
        start = f"antisymmetric={self.antisymmetric}"
        return f"TwoLayerNet(m={self.m}, d={self.d}, kappa={self.kappa:g}, {start})"
