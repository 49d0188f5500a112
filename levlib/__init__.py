"""levlib: kernels, ridge leverage, and the random features drawn from it (Lee, Shen, Song, Wang and
Yu 2020)."""

import importlib
import importlib.metadata

from levlib import data
from levlib.draw import Draw, sample_prior
from levlib.exercise import check
from levlib.features import (
    modified_features,
    required_features,
    sandwich_epsilon,
    sandwich_spectrum,
)
from levlib.intervals import Interval, median_interval, slope, success_rate
from levlib.kernels import (
    NTK,
    ArcCosine,
    EstimatedKernel,
    Gaussian,
    Kernel,
    Laplacian,
    Matern,
    deep_ntk,
)
from levlib.leverage.exact import leverage_arcs, leverage_grid
from levlib.leverage.ridge import RidgeLeverage, statistical_dimension
from levlib.leverage.rows import (
    coherence,
    leverage_scores,
    recursive_nystrom,
    ridge_leverage_scores,
)
from levlib.nets.deep import DeepNet
from levlib.nets.flow import (
    Flow,
    Perturbation,
    error_rate,
    frozen_flow,
    lemma_4_1,
    ntk_ridge,
)
from levlib.nets.moving import moving_flow, shrinking_kernel
from levlib.nets.run import Run
from levlib.nets.train import train
from levlib.nets.two_layer import TwoLayerNet
from levlib.regression.conjugate_gradient import ConjugateGradient, gram_matvec, solve_krr_cg
from levlib.regression.distributed import dask_normal_equations
from levlib.regression.exact import leave_one_out, solve_krr
from levlib.regression.normal_equations import NormalEquations
from levlib.sampling.rejection import rejection_bound
from levlib.sampling.sample import sample

# Imported on first use, so that the mathematics needs neither Jupyter nor Altair nor scikit-learn.
_LAZY = dict.fromkeys(("Explorer", "Panel", "Question", "Slider"), "levlib.explorers.explorer")
_LAZY |= {"COLOURS": "levlib.explorers.charts"}
_LAZY |= dict.fromkeys(
    ("Axis", "Which", "curves", "dots", "heat", "rule", "stacked"), "levlib.explorers.marks"
)
_LAZY |= dict.fromkeys(("FeatureRidge", "KernelRidge", "LeverageFeatures"), "levlib.estimators")

__all__ = [
    "NTK",
    "ArcCosine",
    "ConjugateGradient",
    "DeepNet",
    "Draw",
    "EstimatedKernel",
    "Flow",
    "Gaussian",
    "Interval",
    "Kernel",
    "Laplacian",
    "Matern",
    "NormalEquations",
    "Perturbation",
    "RidgeLeverage",
    "Run",
    "TwoLayerNet",
    "check",
    "coherence",
    "dask_normal_equations",
    "data",
    "deep_ntk",
    "error_rate",
    "frozen_flow",
    "gram_matvec",
    "leave_one_out",
    "lemma_4_1",
    "leverage_arcs",
    "leverage_grid",
    "leverage_scores",
    "median_interval",
    "modified_features",
    "moving_flow",
    "ntk_ridge",
    "recursive_nystrom",
    "rejection_bound",
    "required_features",
    "ridge_leverage_scores",
    "sample",
    "sample_prior",
    "sandwich_epsilon",
    "sandwich_spectrum",
    "shrinking_kernel",
    "slope",
    "solve_krr",
    "solve_krr_cg",
    "statistical_dimension",
    "success_rate",
    "train",
    *_LAZY,
]


def __getattr__(name: str):
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    if name == "__version__":  # pyproject.toml says it, once
        return importlib.metadata.version("levlib")
    raise AttributeError(f"module 'levlib' has no attribute {name!r}")
