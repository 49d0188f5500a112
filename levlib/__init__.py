"""levlib: kernels, ridge leverage, and the random features drawn from it (Lee, Shen, Song, Wang and Yu 2020)."""

from levlib import data
from levlib.deepnet import DeepNet
from levlib.descent import train
from levlib.features import modified_features, required_features, sandwich_epsilon, sandwich_spectrum
from levlib.flow import Flow, frozen_flow, moving_flow, ntk_ridge, shrinking_kernel
from levlib.kernels import NTK, ArcCosine, Gaussian, Kernel, Laplacian, Matern, deep_ntk
from levlib.krr import NormalEquations, solve_krr
from levlib.leverage import RidgeLeverage, leverage_arcs, leverage_grid, statistical_dimension
from levlib.net import TwoLayerNet
from levlib.perturbation import Perturbation, error_rate, lemma_4_1
from levlib.run import Run
from levlib.sampling import Draw, sample, sample_prior
from levlib.verify import Interval, slope, success_rate

_EXPLORE = ("Explorer", "Panel", "Slider", "Table")

__all__ = [
    "NTK", "ArcCosine", "DeepNet", "Draw", "Flow", "Gaussian", "Interval", "Kernel", "Laplacian", "Matern",
    "NormalEquations", "Perturbation", "RidgeLeverage", "Run", "TwoLayerNet", "data", "deep_ntk", "error_rate",
    "frozen_flow", "lemma_4_1", "leverage_arcs", "leverage_grid", "modified_features", "moving_flow", "ntk_ridge",
    "required_features", "sample", "sample_prior", "sandwich_epsilon", "sandwich_spectrum", "shrinking_kernel",
    "slope", "solve_krr", "statistical_dimension", "success_rate", "train", *_EXPLORE,
]  # fmt: skip


def __getattr__(name: str):
    # explorers draw: they are imported on first use, so that the mathematics needs neither Jupyter nor Altair
    if name in _EXPLORE:
        from levlib import explore

        return getattr(explore, name)
    raise AttributeError(f"module 'levlib' has no attribute {name!r}")
