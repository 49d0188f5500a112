"""What `train` needs of a net, be it one of levlib or your own."""

from collections.abc import Callable
from functools import wraps
from typing import Protocol

from torch import Tensor

from levlib.checks import as_points, as_vector


class Net(Protocol):
    """A net kappa f(x) whose `weights` are trained: anything with these members can be given to
    `train`.

    >>> import levlib as lv, torch
    >>> class Linear:                                 # f(x) = w.x
    ...     layers, kappa, d = 1, 1.0, 2
    ...     def __init__(self):
    ...         self.weights = [torch.zeros(1, 2, dtype=torch.float64)]
    ...     def __call__(self, X):
    ...         return X @ self.weights[0][0]
    ...     def gradient(self, X, Y):
    ...         u = self(X)
    ...         return u, [(u - Y)[None] @ X]
    ...     def dynamic_kernel(self, X):
    ...         return X @ X.T
    >>> lv.train(Linear(), [[1.0, 0.0], [0.0, 2.0]], [1.0, 2.0], 1.0, time=20).predictions[-1]
    tensor([0.5000, 1.6000], dtype=torch.float64)
    """

    weights: list[Tensor]
    """The trained tensors, each with its units as rows: `train` changes them in place."""
    layers: int
    """The degree L of f in all weights together: Remark 4.2 divides lam by it."""
    kappa: float
    """The multiplier of the output."""
    d: int
    """The dimension of a point."""

    def __call__(self, X: Tensor) -> Tensor:
        """Return kappa f(X), shape (n,), for X (n, d)."""

    def gradient(self, X: Tensor, Y: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return u = kappa f(X), shape (n,), and the gradient of |Y - u|^2 / 2 in each of the
        weights."""

    def dynamic_kernel(self, X: Tensor) -> Tensor:
        """Return H, shape (n, n): the inner products of the gradients of f in all weights."""


MEMBERS = ("weights", "layers", "kappa", "d", "gradient", "dynamic_kernel", "__call__")


def as_net(net) -> Net:
    """Return the net, or raise TypeError that says what it lacks."""
    lacks = [name for name in MEMBERS if not hasattr(net, name)]
    if lacks or isinstance(net, type):
        given = f"the class {net.__name__}" if isinstance(net, type) else type(net).__name__
        lack = f", which has no {' and no '.join(lacks)}" if lacks else ""
        raise TypeError(
            "net must be a TwoLayerNet, a DeepNet or your own net with "
            f"{', '.join(MEMBERS)}; got {given}{lack}"
        )
    return net


def checks_data(gradient: Callable) -> Callable:
    """Let `gradient(X, Y)` of a net check X and Y; its attribute `trusting` is the one that does
    not, for `train`, which has checked them before the first step."""

    @wraps(gradient)
    def checked(self, X, Y):
        X = as_points(X, "X", self.d, like=self.weights[0])
        return gradient(self, X, as_vector(Y, "Y", len(X), like=X))

    checked.trusting = gradient  # type: ignore[attr-defined]  # a function takes attributes
    return checked
