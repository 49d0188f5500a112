"""Every kernel of levlib: `base` holds Eq. 3, `fourier` the stationary kernels, `arccosine` those of ReLU units."""

from levlib.arccosine import NTK, ArcCosine, deep_ntk
from levlib.base import EstimatedKernel, Kernel, as_kernel
from levlib.fourier import Fourier, Gaussian, Laplacian, Matern

__all__ = [
    "NTK", "ArcCosine", "EstimatedKernel", "Fourier", "Gaussian", "Kernel", "Laplacian", "Matern", "as_kernel",
    "deep_ntk",
]  # fmt: skip
