"""Stationary kernels by their frequencies (Remark 3.4): Gaussian, Laplacian (Cauchy) and Matern
(Student)."""

import math
from abc import abstractmethod

import torch
from torch import Tensor

from levlib.checks import as_count, as_generator, as_number, as_points, as_scale
from levlib.kernels.base import Kernel, normal, normal_log_prob
from levlib.kernels.gram import as_pair, by_rows, distances


class Fourier(Kernel):
    """A kernel of (x - z) / l whose weights are frequencies w = v / (2 pi l), v from the spectral
    density at l = 1.

    A subclass gives that density (`_unit_sample`, `_unit_log_prob`) and the kernel at l = 1
    (`_unit_gram`).
    """

    def __init__(self, lengthscale: float, form: str = "pair"):
        if form not in ("pair", "complex"):
            raise ValueError(f'form must be "pair" or "complex", got {form!r}')
        self.lengthscale = as_scale(lengthscale, "lengthscale")
        self.form = form

    @abstractmethod
    def _unit_sample(self, m: int, d: int, generator: torch.Generator) -> Tensor: ...

    @abstractmethod
    def _unit_log_prob(self, V: Tensor) -> Tensor: ...

    @abstractmethod
    def _unit_gram(self, X: Tensor, Z: Tensor) -> Tensor: ...

    @property
    def frequency_scale(self) -> float | Tensor:
        """Scale of a frequency, 1 / (2 pi l): for the Gaussian kernel, its standard deviation."""
        return 1 / (2 * math.pi * self.lengthscale)

    def features(self, X, W) -> Tensor:
        X = as_points(X, "X")
        W = as_points(W, "W", X.shape[1], like=X)
        phase = 2 * math.pi * (X @ W.T)
        if self.form == "complex":
            return torch.polar(torch.ones_like(phase), -phase)[..., None]
        return torch.stack([phase.cos(), phase.sin()], dim=-1)

    def sample(self, m, d, *, generator, dtype=torch.float64) -> Tensor:
        m = as_count(m, "m")
        d = as_count(d, "d")
        generator = as_generator(generator)
        V = self._unit_sample(m, d, generator)
        W = (torch.as_tensor(self.frequency_scale, dtype=V.dtype, device=V.device) * V).to(dtype)
        if not torch.isfinite(W).all():
            raise ValueError(
                f"the frequencies of {self!r} overflow in {dtype}; use float64, or rescale the data"
            )
        return W

    def log_prob(self, W) -> Tensor:
        W = as_points(W, "W")
        scale = torch.as_tensor(self.frequency_scale, dtype=torch.float64, device=W.device)
        return (self._unit_log_prob(W.double() / scale) - W.shape[1] * scale.log()).to(W.dtype)

    def gram(self, X, Z=None) -> Tensor:
        X, Z = as_pair(X, Z)
        x = self._unit_points(X, "X")
        return by_rows(self._unit_gram, x, x if Z is X else self._unit_points(Z, "Z"))

    def _unit_points(self, X: Tensor, name: str) -> Tensor:
        return as_points(
            X / torch.as_tensor(self.lengthscale, dtype=X.dtype, device=X.device),
            f"{name} / lengthscale",
        )

    def __repr__(self):
        return f"{type(self).__name__}({self.lengthscale:g}, form={self.form!r})"


class Gaussian(Fourier):
    """The Gaussian kernel exp(-|x - z|^2 / (2 l^2)), whose weights are frequencies w ~ N(0, I / (2
    pi l)^2) (Remark 3.4).

    `lengthscale` is l > 0, in the units of the data; a torch scalar that requires a gradient gets
    it through `gram`, `sample` and `log_prob` (first derivatives only). `form` is "pair" for the
    real features (cos 2 pi w.x, sin 2 pi w.x), d2 = 2, or "complex" for exp(-2 pi i w.x), d2 = 1;
    both have the same ridge leverage. Gradients in X are right everywhere. Raises ValueError for
    another form or a length scale that is not positive. Cost of `gram`: n k d; of `features`: n m
    d. Source: Rahimi and Recht 2008; Avron et al. 2017 for the 2 pi in the exponent.

    >>> import levlib as lv
    >>> lv.Gaussian(0.5).gram([[0.0], [0.5]])[0, 1]      # exp(-1/2)
    tensor(0.6065, dtype=torch.float64)
    """

    def _unit_sample(self, m, d, generator) -> Tensor:
        return normal(m, d, generator, torch.float64)

    def _unit_log_prob(self, V) -> Tensor:
        return normal_log_prob(V)

    def _unit_gram(self, X, Z) -> Tensor:
        return torch.exp(-distances(X, Z).square() / 2)


class Laplacian(Fourier):
    """The Laplacian kernel exp(-|x - z|_1 / l), whose weights have independent Cauchy coordinates
    of scale 1 / (2 pi l) (Remark 3.4).

    It is the product of exp(-|x_k - z_k| / l) over the coordinates: |.|_1 is the sum of absolute
    values. (The kernel exp(-|x - z|_2 / l) is Matern(1/2, l).) Arguments, errors, cost and
    gradients in l are those of `Gaussian`. The kernel has a kink where two points agree in a
    coordinate: its gradient in X there is returned as 0. Source: Rahimi and Recht 2008, Figure 1.

    >>> import levlib as lv
    >>> lv.Laplacian(2.0).gram([[0.0, 0.0], [1.0, 1.0]])[0, 1]      # exp(-2/2)
    tensor(0.3679, dtype=torch.float64)
    """

    def _unit_sample(self, m, d, generator) -> Tensor:
        U = torch.rand(m, d, generator=generator, device=generator.device, dtype=torch.float64)
        return torch.tan(math.pi * (U - 0.5))

    def _unit_log_prob(self, V) -> Tensor:
        return -(math.pi * (1 + V.square())).log().sum(1)

    def _unit_gram(self, X, Z) -> Tensor:
        return torch.exp(-torch.cdist(X, Z, p=1.0))


class Matern(Fourier):
    """The Matern kernel of smoothness nu = 1/2, 3/2 or 5/2, whose weights are multivariate
    Student-t with 2 nu degrees of freedom and scale 1 / (2 pi l) (Remark 3.4).

    With s = sqrt(2 nu) |x - z| / l it is exp(-s), (1 + s) exp(-s) or (1 + s + s^2 / 3) exp(-s).
    The other arguments and errors are those of `Gaussian`; ValueError for another nu. Gradients in
    X are right except for nu = 1/2 where two points coincide: there is a kink, and 0 is returned.
    Frequencies beyond 1e15 of their scale, which a float64 phase cannot resolve, are cut off. Cost
    of `gram`: n k d; of `features`: n m d. Source: Rasmussen and Williams 2006, Section 4.2.

    >>> import levlib as lv
    >>> lv.Matern(0.5, 2.0).gram([[0.0], [2.0]])[0, 1]      # exp(-1)
    tensor(0.3679, dtype=torch.float64)
    """

    def __init__(self, nu: float, lengthscale: float, form: str = "pair"):
        super().__init__(lengthscale, form)
        self.nu = as_number(nu, "nu", above=0)
        if self.nu not in (0.5, 1.5, 2.5):
            raise ValueError(f"nu must be 1/2, 3/2 or 5/2, got {self.nu:g}")

    def _unit_sample(self, m, d, generator) -> Tensor:
        # In an even dimension D, 1 / (1 + |v|^2 / 2 nu) ~ Beta(nu, D / 2) is a product of D / 2
        # powers of uniforms (Bailey's polar method, 1994, is D = 2); leaving out one coordinate of
        # a Student-t vector is Student-t again.
        pairs = (d + 1) // 2
        U = torch.rand(m, pairs, generator=generator, device=generator.device, dtype=torch.float64)
        powers = self.nu + torch.arange(pairs, device=U.device, dtype=U.dtype)
        squared = torch.expm1(-(torch.log1p(-U) / powers).sum(1)).clamp(max=1e30)
        direction = torch.nn.functional.normalize(normal(m, 2 * pairs, generator, U.dtype), dim=1)
        return (2 * self.nu * squared).sqrt()[:, None] * direction[:, :d]

    def _unit_log_prob(self, V) -> Tensor:
        nu = self.nu
        half = V.shape[1] / 2
        constant = math.lgamma(nu + half) - math.lgamma(nu) - half * math.log(2 * math.pi * nu)
        return constant - (nu + half) * torch.log1p(V.square().sum(1) / (2 * nu))

    def _unit_gram(self, X, Z) -> Tensor:
        # where exp(-s) is 0, s would make inf times 0
        s = (math.sqrt(2 * self.nu) * distances(X, Z)).clamp(max=1e4)
        polynomials: dict[float, Tensor | int] = {0.5: 1, 1.5: 1 + s, 2.5: 1 + s + s.square() / 3}
        return polynomials[self.nu] * torch.exp(-s)

    def __repr__(self):
        return f"Matern({self.nu:g}, {self.lengthscale:g}, form={self.form!r})"
