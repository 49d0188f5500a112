"""Data for the book: sets with known leverage, and real ones that installed packages carry. Nothing
is downloaded."""

import math

import numpy as np
import torch
from torch import Tensor

from levlib.checks import as_count, as_generator, as_number


def sphere(n: int, d: int, *, generator: torch.Generator) -> Tensor:
    """Return n points drawn uniformly on the unit sphere of R^d, shape (n, d).

    >>> import levlib as lv
    >>> lv.data.sphere(3, 2, generator=torch.Generator().manual_seed(0)).norm(dim=1)
    tensor([1., 1., 1.], dtype=torch.float64)
    """
    shape = as_count(n, "n"), as_count(d, "d")
    generator = as_generator(generator)
    X = torch.randn(shape, generator=generator, device=generator.device, dtype=torch.float64)
    return torch.nn.functional.normalize(X, dim=1)


def clustered_circle(
    spread: int, close: int, width: float, *, generator: torch.Generator
) -> Tensor:
    """Return points on the unit circle, `spread` of them anywhere and `close` of them in an arc of
    `width` radians.

    Shape (spread + close, 2). The close points put leverage into narrow wedges of weights, where
    plain sampling is slow.

    >>> import levlib as lv
    >>> lv.data.clustered_circle(10, 10, 0.03, generator=torch.Generator().manual_seed(0)).shape
    torch.Size([20, 2])
    """
    spread = as_count(spread, "spread")
    close = as_count(close, "close")
    width = as_number(width, "width", above=0, most=2 * math.pi)
    generator = as_generator(generator)
    u = torch.rand(
        spread + close + 1, generator=generator, device=generator.device, dtype=torch.float64
    )
    angle = torch.cat([2 * math.pi * u[:spread], 2 * math.pi * u[-1:] + width * u[spread:-1]])
    return torch.stack([angle.cos(), angle.sin()], dim=1)


def close_pair(n: int, d: int, delta: float, *, generator: torch.Generator) -> Tensor:
    """Return n points on the unit sphere of R^d, the last at angle `delta` radians from the one
    before it, shape (n, d).

    >>> import levlib as lv
    >>> X = lv.data.close_pair(5, 3, 0.01, generator=torch.Generator().manual_seed(0))
    >>> round(float(torch.arccos(X[-1] @ X[-2])), 6)
    0.01
    """
    n = as_count(n, "n", least=2)
    d = as_count(d, "d", least=2)
    delta = as_number(delta, "delta", above=0, most=math.pi)
    X = sphere(n, d, generator=generator)
    x = X[-2]
    side = torch.nn.functional.normalize(X[-1] - (X[-1] @ x) * x, dim=0)
    return torch.cat([X[:-1], (math.cos(delta) * x + math.sin(delta) * side)[None]])


def bumpy(
    n: int = 400, noise: float = 0.3, *, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the bumpy-function data of Avron et al. 2017: points X (n, 1), noisy labels Y (n,) and
    the truth f(X) (n,).

    f(x) = sin 6x + sin(60 e^x) on a grid of n >= 2 points on [-5/(2 pi), 5/(2 pi)]; `noise` >= 0 is
    the standard deviation of the labels. The experiment there uses the Gaussian kernel with l =
    0.0280443 and lam = 0.00618936.

    >>> import levlib as lv
    >>> X, Y, f = lv.data.bumpy(generator=torch.Generator().manual_seed(0))
    >>> X.shape, Y.shape
    (torch.Size([400, 1]), torch.Size([400]))
    """
    n = as_count(n, "n", least=2)
    generator = as_generator(generator)
    noise = as_number(noise, "noise", least=0)
    x = torch.linspace(-5, 5, n, dtype=torch.float64, device=generator.device) / (2 * math.pi)
    f = torch.sin(6 * x) + torch.sin(60 * torch.exp(x))
    normal = torch.randn(n, generator=generator, device=x.device, dtype=x.dtype)
    return x[:, None], f + noise * normal, f


def elevation() -> tuple[Tensor, Tensor, tuple[int, int]]:
    """Return the elevation map that Matplotlib carries: X (138632, 2) in km east and north, Y
    (138632,) in m, its shape.

    A 344 x 403 raster of the Jacksboro fault (Tennessee), one point every three seconds of arc, row
    by row from the north. Raises ImportError without Matplotlib. Source: USGS elevation data,
    `jacksboro_fault_dem.npz` in Matplotlib's sample data.

    >>> import levlib as lv
    >>> X, Y, shape = lv.data.elevation()
    >>> shape, float(Y.min()), float(Y.max())
    ((344, 403), 236.0, 1076.0)
    """
    from matplotlib.cbook import get_sample_data

    with np.load(get_sample_data("jacksboro_fault_dem.npz", asfileobj=False)) as dem:
        heights = dem["elevation"]
        latitude = (float(dem["ymin"]) + float(dem["ymax"])) / 2
        step = float(dem["dx"])
    km = math.radians(step) * 6371.0
    east = km * math.cos(math.radians(latitude)) * np.arange(heights.shape[1])
    up = km * np.arange(heights.shape[0])[::-1]
    X = np.stack(np.meshgrid(east, up), axis=-1).reshape(-1, 2)
    Y = torch.as_tensor(heights.reshape(-1), dtype=torch.float64)
    return torch.as_tensor(X), Y, heights.shape
