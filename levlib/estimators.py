"""Leverage features and kernel ridge regression with scikit-learn's conventions: NumPy in, NumPy
out."""

import numpy as np
import torch
from torch import Tensor

from levlib.checks import as_count, as_number, as_points
from levlib.draw import sample_prior
from levlib.features import modified_features
from levlib.kernels import Gaussian, Kernel
from levlib.leverage.ridge import RidgeLeverage
from levlib.linalg import blocks
from levlib.regression.conjugate_gradient import gram_matvec
from levlib.regression.exact import solve_krr
from levlib.regression.normal_equations import NormalEquations
from levlib.sampling.sample import sample

try:
    from sklearn.base import (
        BaseEstimator,
        ClassNamePrefixFeaturesOutMixin,
        MultiOutputMixin,
        RegressorMixin,
        TransformerMixin,
    )
    from sklearn.utils import check_random_state
    from sklearn.utils.validation import check_is_fitted, validate_data
except ImportError as error:
    raise ImportError(
        "the estimators need scikit-learn 1.6 or later: pip install 'levlib[estimators]'"
    ) from error

FLOATS = (np.float64, np.float32)
CHUNK_BYTES = 2**24


class _FeatureEstimator(BaseEstimator):
    """The parameters that `LeverageFeatures` and `FeatureRidge` share."""

    def __init__(
        self,
        kernel=None,
        n_features=100,
        lam=1.0,
        method="pool",
        random_state=None,
        mix=0.5,
        pool=None,
        n_pilot=500,
    ):
        self.kernel = kernel
        self.n_features = n_features
        self.lam = lam
        self.method = method
        self.random_state = random_state
        self.mix = mix
        self.pool = pool
        self.n_pilot = n_pilot


class LeverageFeatures(ClassNamePrefixFeaturesOutMixin, TransformerMixin, _FeatureEstimator):
    """Transform X to the modified features Psi of Definition 3.2, with weights drawn by their ridge
    leverage on X.

    - `kernel`: a levlib Kernel, or None for a Gaussian whose length scale is the median distance
      between points.
    - `n_features`: m, the number of weights; each makes d2 columns (2 for a Gaussian's pair, d for
      the NTK; complex features come as pairs of real columns).
    - `lam`: the ridge of Definition 3.1, > 0.
    - `method`: one of `levlib.sample`, or "prior" for plain random features; "pool" serves every
      kernel and dimension.
    - `random_state`: scikit-learn's.
    - `mix`: in [0, 1), the share of plain weights: 0.5 bounds p/q by 2, which keeps a small m safe
      and costs at most 2x in m.
    - `pool`: the size of the pool of `levlib.sample`.
    - `n_pilot`: where X has more rows, the leverage is that of n_pilot of them, drawn at random,
      with lam in proportion: it weighs the same directions, and costs n_pilot^2 for each weight
      instead of n^2.

    Fitted: `kernel_`, and `draw_` with the weights and their p/q. float32 gives float32. Raises
    ValueError or TypeError in `fit` for parameters that do not fit. Cost of `fit`: that of
    `RidgeLeverage` and `sample`; of `transform`: n m d.

    >>> import levlib as lv
    >>> X = np.random.default_rng(0).normal(size=(20, 3))
    >>> lv.LeverageFeatures(n_features=5, random_state=0).fit_transform(X).shape
    (20, 10)
    """

    def fit(self, X, y=None):
        """Draw the weights for points X (n, d); return self."""
        return self._draw(as_points(validate_data(self, X, dtype=FLOATS), "X"))

    def transform(self, X):
        """Return Psi(X), shape (n, m d2)."""
        check_is_fitted(self)
        return self._features(
            as_points(validate_data(self, X, dtype=FLOATS, reset=False), "X")
        ).numpy()

    def _draw(self, X: Tensor):
        m = as_count(self.n_features, "n_features")
        lam = as_number(self.lam, "lam", above=0)
        generator = _generator(self)
        pilot = _some(X, as_count(self.n_pilot, "n_pilot"), generator).double()
        self.kernel_ = _kernel(self.kernel, pilot, generator)
        if self.method == "prior":
            self.draw_ = sample_prior(self.kernel_, m, X.shape[1], generator=generator)
        else:
            lev = RidgeLeverage(self.kernel_, pilot, lam * len(pilot) / len(X))
            self.draw_ = sample(
                lev, m, method=self.method, mix=self.mix, pool=self.pool, generator=generator
            )
        self._n_features_out = self._features(X[:1]).shape[1]
        return self

    def _features(self, X: Tensor) -> Tensor:
        Psi = modified_features(self.kernel_, X, self.draw_)
        return torch.view_as_real(Psi).flatten(1) if Psi.is_complex() else Psi

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


class KernelRidge(MultiOutputMixin, RegressorMixin, BaseEstimator):
    """Kernel ridge regression (Eq. 1): (K + lam I) alpha = Y, prediction K(z, X) alpha; no
    intercept, so centre Y.

    `kernel` is a levlib Kernel, or None for a Gaussian whose length scale is the median distance
    between points (of at most 1000 rows, drawn by `random_state`). `lam` > 0 is absolute. Fitted:
    `kernel_`, `X_fit_`, `dual_coef_` (n,) or (n, k). float32 gives float32. Cost of `fit`: n^3 / 3
    and two n x n arrays; of `predict`: n d for each point.

    >>> import levlib as lv
    >>> X = np.linspace(-1, 1, 20)[:, None]
    >>> model = lv.KernelRidge(lv.Gaussian(0.5), lam=0.01)
    >>> round(model.fit(X, X[:, 0] ** 2).score(X, X[:, 0] ** 2), 2)
    1.0
    """

    def __init__(self, kernel=None, lam=1.0, random_state=None):
        self.kernel = kernel
        self.lam = lam
        self.random_state = random_state

    def fit(self, X, y):
        """Solve for points X (n, d) and labels y (n,) or (n, k); return self."""
        self.X_fit_, y = validate_data(
            self, X, y, dtype=FLOATS, copy=True, multi_output=True, y_numeric=True
        )
        X = as_points(self.X_fit_, "X")
        generator = _generator(self)
        self.kernel_ = _kernel(self.kernel, _some(X, 1000, generator).double(), generator)
        self.dual_coef_ = solve_krr(self.kernel_.gram(X), y, self.lam).numpy()
        return self

    def predict(self, X):
        """Return K(X, `X_fit_`) times `dual_coef_`, shape (n,) or (n, k), in blocks of rows."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=FLOATS, reset=False)
        return (
            gram_matvec(self.kernel_, self.X_fit_, X)(self.dual_coef_)
            .numpy()
            .astype(X.dtype, copy=False)
        )


class FeatureRidge(MultiOutputMixin, RegressorMixin, _FeatureEstimator):
    """Ridge regression on leverage features (Eq. 2), streamed: memory does not grow with n; no
    intercept, so centre Y.

    - `kernel`, `n_features`, `method`, `random_state`, `mix`, `pool`, `n_pilot`: those of
      `LeverageFeatures`.
    - `lam`: the ridge of the leverage and of the regression, > 0.

    `fit` draws the features and goes through X in chunks. `partial_fit` adds a chunk; the first one
    fixes the features, by the leverage of that chunk at `lam`, so it should look like the rest.
    Fitted: `features_` (a LeverageFeatures), `normal_equations_`, and `coef_` (s,) or (s, k) in
    float64. float32 gives float32. Cost: that of `LeverageFeatures`, n s^2 / 2 for s columns, and
    s^3 / 3 for each call.

    >>> import levlib as lv
    >>> X = np.linspace(-1, 1, 200)[:, None]
    >>> kernel = lv.Gaussian(0.3)
    >>> model = lv.FeatureRidge(kernel, 50, lam=0.01, method="grid", random_state=0)
    >>> round(model.fit(X, np.sin(5 * X[:, 0])).score(X, np.sin(5 * X[:, 0])), 2)
    1.0
    """

    def fit(self, X, y):
        """Draw features for points X (n, d), solve for labels y (n,) or (n, k); return self."""
        return self._update(X, y, first=True)

    def partial_fit(self, X, y):
        """Add a chunk of points X (k, d) with labels y (k,) or (k, t), and solve again; return
        self."""
        return self._update(X, y, first=not hasattr(self, "normal_equations_"))

    def predict(self, X):
        """Return Psi(X) times `coef_`, shape (n,) or (n, k), in chunks of rows."""
        check_is_fitted(self)
        X = as_points(validate_data(self, X, dtype=FLOATS, reset=False), "X")
        coefficients = torch.as_tensor(self.coef_, dtype=X.dtype)
        return torch.cat(
            [self.features_._features(X[rows]) @ coefficients for rows in self._chunks(X)]
        ).numpy()

    def _update(self, X, y, first: bool):
        X, y = validate_data(
            self, X, y, dtype=FLOATS, multi_output=True, y_numeric=True, reset=first
        )
        X = as_points(X, "X")
        if first:
            self.features_ = LeverageFeatures(**self.get_params(deep=False))._draw(X)
            self.normal_equations_ = NormalEquations()
        for rows in self._chunks(X):
            self.normal_equations_.update(self.features_._features(X[rows]), y[rows])
        self.coef_ = self.normal_equations_.solve(self.lam).numpy()
        return self

    def _chunks(self, X: Tensor):
        return blocks(len(X), 4 * self.features_._n_features_out * X.element_size(), CHUNK_BYTES)


def _generator(estimator) -> torch.Generator:
    return torch.Generator().manual_seed(
        int(check_random_state(estimator.random_state).randint(2**31 - 1))
    )


def _some(X: Tensor, count: int, generator: torch.Generator) -> Tensor:
    return X if len(X) <= count else X[torch.randperm(len(X), generator=generator)[:count]]


def _kernel(kernel, X: Tensor, generator: torch.Generator) -> Kernel:
    """Return the kernel given, or a Gaussian at the median distance of distinct points of X (1 if
    all coincide)."""
    if kernel is None:
        distances = torch.pdist(_some(X, 1000, generator))
        distances = distances[distances > 0]
        return Gaussian(float(distances.median()) if len(distances) else 1.0)
    if not isinstance(kernel, Kernel):
        raise TypeError(
            f"kernel must be None or a levlib Kernel such as NTK() or Gaussian(0.5), got {kernel!r}"
        )
    return kernel
