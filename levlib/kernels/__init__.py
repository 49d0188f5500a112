"""Every kernel of levlib: `base` holds Eq. 3, `fourier` the stationary kernels, `relu` those of
ReLU units."""

from levlib.kernels.base import EstimatedKernel, Kernel, as_kernel
from levlib.kernels.fourier import Fourier, Gaussian, Laplacian, Matern
from levlib.kernels.relu import NTK, ArcCosine, deep_ntk

__all__ = [
    "NTK",
    "ArcCosine",
    "EstimatedKernel",
    "Fourier",
    "Gaussian",
    "Kernel",
    "Laplacian",
    "Matern",
    "as_kernel",
    "deep_ntk",
]
