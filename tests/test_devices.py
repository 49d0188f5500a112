"""The whole way on a GPU where there is one: results live on the data's device and equal those of
the CPU."""

import pytest
import torch

import levlib as lv
from tests.oracles import generator

X = lv.data.clustered_circle(12, 4, 0.1, generator=generator())
Y = torch.sin(3 * X[:, 0])
CASES = [
    (lv.NTK(), X, "arcs"),
    (lv.NTK(), X, "pool"),
    (lv.Gaussian(0.5), X[:, :1], "grid"),
    (lv.Gaussian(0.5), X, "pool"),
]

gpu = pytest.param(
    "cuda",
    marks=pytest.mark.skipif(
        not torch.cuda.is_available(), reason="no CUDA device on this machine"
    ),
)
each_device = pytest.mark.parametrize("device", ["cpu", gpu])


@each_device
@pytest.mark.parametrize("kernel, X, method", CASES, ids=["arcs", "pool", "grid", "fourier-pool"])
def test_from_data_to_prediction_on_the_device_of_the_data(kernel, X, method, device):
    there = X.to(device)
    K, lev = kernel.gram(there), lv.RidgeLeverage(kernel, there, 0.1)
    draw = lv.sample(lev, 50, method=method, mix=0.2, generator=generator())
    Psi = lv.modified_features(kernel, there, draw)
    beta = lv.NormalEquations().update(Psi, Y.to(device)).solve(0.1)
    alpha = lv.solve_krr(K, Y.to(device), 0.1)
    assert {t.device.type for t in (K, lev(draw.W), draw.W, draw.ratio, Psi, beta, alpha)} == {
        device
    }
    assert torch.allclose(K.cpu(), kernel.gram(X), rtol=1e-12, atol=1e-12)
    here = lv.RidgeLeverage(kernel, X, 0.1)
    assert torch.allclose(lev(draw.W).cpu(), here(draw.W.cpu()), rtol=1e-8)
    again = lv.sample(here, 50, method=method, mix=0.2, generator=generator())
    assert torch.allclose(draw.W.cpu(), again.W, rtol=1e-6)
    assert lv.sandwich_epsilon(Psi, K, 0.1) == pytest.approx(
        lv.sandwich_epsilon(Psi.cpu(), K.cpu(), 0.1), rel=1e-6
    )


@each_device
def test_a_generator_draws_on_its_own_device(device):
    g = torch.Generator(device).manual_seed(0)
    assert lv.data.sphere(3, 2, generator=g).device.type == device
    assert lv.sample_prior(lv.NTK(), 3, 2, generator=g).W.device.type == device


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")
def test_a_gpu_tensor_beside_a_cpu_one_is_refused():
    with pytest.raises(ValueError, match=r"move one of them with \.to"):
        lv.NTK().gram(X.to("cuda"), X)
