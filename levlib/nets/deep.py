"""A deep ReLU net in the tangent-kernel parametrisation, all layers trained (Remark 4.2)."""

import itertools
import math

import torch
from torch import Tensor

from levlib.checks import as_count, as_generator, as_multiplier, as_points
from levlib.nets.net import checks_data


class DeepNet:
    """The net f(x) = W_L h_{L-1}, h_l = sqrt(2 / m) relu(W_l h_{l-1}), h_0 = x, of which every W_l
    is trained.

    - `depth`: L >= 1, the number of weight matrices.
    - `width`: m, the units of each hidden layer.
    - `d`: the dimension of the data.
    - `kappa`: the multiplier of the output.
    - `generator`: draws all entries as N(0, 1); there is no bias.
    - `dtype`: that of the weights.

    `net(X)` is kappa f(X), shape (n,). The output is homogeneous of degree L in all weights
    together, so <grad f, W> = L f (Euler), and Remark 4.2 divides lam by `net.layers` = L. Raises
    ValueError for counts under 1 or kappa <= 0; warns for kappa > 1. Cost of a call: n m (d + (L -
    2) m). Source: Jacot et al. 2018 for the parametrisation.

    >>> import levlib as lv
    >>> net = lv.DeepNet(3, 16, 2, generator=torch.Generator().manual_seed(0))
    >>> [tuple(W.shape) for W in net.weights]
    [(16, 2), (16, 16), (1, 16)]
    """

    def __init__(
        self, depth: int, width: int, d: int, *, kappa: float = 1.0, generator, dtype=torch.float64
    ):
        self.layers = as_count(depth, "depth")
        self.d = as_count(d, "d")
        self.kappa = as_multiplier(kappa)
        width = as_count(width, "width")
        generator = as_generator(generator)
        sizes = [self.d, *[width] * (self.layers - 1), 1]
        self.weights = [
            torch.randn(rows, columns, generator=generator, device=generator.device, dtype=dtype)
            for columns, rows in itertools.pairwise(sizes)
        ]

    @torch.no_grad()
    def __call__(self, X) -> Tensor:
        return self.kappa * self._forward(self._points(X), self.weights)[1][-1][:, 0]

    @checks_data
    @torch.enable_grad()
    def gradient(self, X, Y) -> tuple[Tensor, list[Tensor]]:
        """Return u = net(X), shape (n,), and the gradient of |Y - u|^2 / 2 in each weight matrix,
        by autograd.

        X is (n, d), Y is (n,). Raises ValueError for shapes that disagree. Cost: three times that
        of a call.
        """
        weights = [W.detach().requires_grad_() for W in self.weights]
        u = self.kappa * self._forward(X, weights)[1][-1][:, 0]
        return u.detach(), list(torch.autograd.grad((u - Y).square().sum() / 2, weights))

    def dynamic_kernel(self, X, Z=None) -> Tensor:
        """Return H(t), the inner products of the gradients of f (without kappa) in all weights, at
        the present ones.

        Shape (n, k) for X (n, d) and Z (k, d); Z = X if not given. The gradient in W_l is the outer
        product of a backward signal and h_{l-1}, so H sums over layers the entrywise products of
        two n x k matrices; its limit in the width is `deep_ntk`. Cost: three calls, and L n k m.

        >>> import levlib as lv
        >>> g = torch.Generator().manual_seed(0)
        >>> lv.DeepNet(1, 1, 2, generator=g).dynamic_kernel([[1.0, 2.0]])
        tensor([[5.]], dtype=torch.float64)
        """
        X = self._points(X)
        mine = self._signals(X)
        others = mine if Z is None else self._signals(self._points(Z, "Z"))
        layers = zip(*mine, *others, strict=True)
        products = ((s @ t.T) * (h @ k.T) for s, h, t, k in layers)
        return sum(products, start=X.new_zeros(()))

    def _points(self, X, name: str = "X") -> Tensor:
        return as_points(X, name, self.d, like=self.weights[0])

    def _forward(self, X: Tensor, weights: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Return the inputs h_{l-1} of each layer and its values W_l h_{l-1} before the ReLU, one
        row a point."""
        inputs = [X]
        values = [X @ weights[0].T]
        for W in weights[1:]:
            inputs.append(math.sqrt(2 / W.shape[1]) * values[-1].relu())
            values.append(inputs[-1] @ W.T)
        return inputs, values

    @torch.enable_grad()
    def _signals(self, X: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Return the gradients of the outputs in the values of each layer, and its inputs."""
        inputs, values = self._forward(X, [W.detach().requires_grad_() for W in self.weights])
        # points do not mix, so the gradient of the sum of outputs holds that of each output
        return list(torch.autograd.grad(values[-1].sum(), values)), [h.detach() for h in inputs]

    def __repr__(self):
        width = len(self.weights[0])
        return f"DeepNet(depth={self.layers}, width={width}, d={self.d}, kappa={self.kappa:g})"
