"""The seconds of scikit-ntk's kernel matrix (depth 1, no bias), in the peers' own environment:
peer_ntk.py N D."""

import statistics
import sys
import time

import numpy as np
from skntk import NeuralTangentKernel

n, d = map(int, sys.argv[1:])
X = np.random.default_rng(0).normal(size=(n, d))
X /= np.linalg.norm(X, axis=1, keepdims=True)
kernel = NeuralTangentKernel(depth=1, bias=0.0, bias_bounds="fixed")
taken = []
for _ in range(3):
    start = time.perf_counter()
    kernel(X)
    taken.append(time.perf_counter() - start)
print(statistics.median(taken))
