"""levlib: kernels, ridge leverage, and the random features drawn from it (Lee, Shen, Song, Wang and Yu 2020)."""

from levlib import data
from levlib.cutoff import sample_cutoff
from levlib.draw import Draw, sample_prior
from levlib.features import modified_features, required_features, sandwich_epsilon, sandwich_spectrum
from levlib.kernels import NTK, ArcCosine, Gaussian, Kernel, Laplacian, Matern, deep_ntk
from levlib.krr import NormalEquations, solve_krr
from levlib.leverage import RidgeLeverage, leverage_arcs, leverage_grid, statistical_dimension
from levlib.rejection import rejection_bound
from levlib.sampling import sample
from levlib.scores import coherence, leverage_scores, recursive_nystrom, ridge_leverage_scores
from levlib.verify import Interval, slope, success_rate

_EXPLORE = ("Explorer", "Panel", "Slider", "Table")

__all__ = [
    "NTK", "ArcCosine", "Draw", "Gaussian", "Interval", "Kernel", "Laplacian", "Matern", "NormalEquations",
    "RidgeLeverage", "coherence", "data", "deep_ntk", "leverage_arcs", "leverage_grid", "leverage_scores",
    "modified_features", "recursive_nystrom", "rejection_bound", "required_features", "ridge_leverage_scores",
    "sample", "sample_cutoff", "sample_prior", "sandwich_epsilon", "sandwich_spectrum", "slope", "solve_krr",
    "statistical_dimension", "success_rate", *_EXPLORE,
]  # fmt: skip


def __getattr__(name: str):
    # explorers draw: they are imported on first use, so that the mathematics needs neither Jupyter nor Altair
    if name in _EXPLORE:
        from levlib import explore

        return getattr(explore, name)
    raise AttributeError(f"module 'levlib' has no attribute {name!r}")
