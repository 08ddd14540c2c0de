"""Float networks trained on scikit-learn's digits by plain SGD: 64-128-64-10, ReLU, cross-entropy."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from sklearn.datasets import load_digits

SEEDS = (1, 2, 3)
SHAPE = (64, 128, 64, 10)


def data() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """1437 training and 360 test images in [0, 1], split by a fixed permutation."""
    digits = load_digits()
    order = np.random.default_rng(0).permutation(len(digits.target))
    x, y = digits.data[order] / 16.0, digits.target[order]
    return x[:1437], y[:1437], x[1437:], y[1437:]


def train(seed: int, epochs: int = 60) -> list[tuple[np.ndarray, np.ndarray]]:
    """SGD, batch 32, rate 0.1."""
    rng = np.random.default_rng(seed)
    x, y, _, _ = data()
    layers = [
        (rng.normal(0, np.sqrt(2 / a), (a, b)), np.zeros(b)) for a, b in pairwise(SHAPE)
    ]
    for _ in range(epochs):
        for part in np.split(rng.permutation(len(x))[:1408], 44):
            values = [x[part]]
            for k, (w, b) in enumerate(layers):
                z = values[-1] @ w + b
                values.append(np.maximum(z, 0) if k < 2 else z)
            odds = np.exp(values[-1] - values[-1].max(axis=1, keepdims=True))
            delta = odds / odds.sum(axis=1, keepdims=True)
            delta[np.arange(len(part)), y[part]] -= 1
            delta /= len(part)
            for k in (2, 1, 0):
                w, b = layers[k]
                back = (delta @ w.T) * (values[k] > 0)
                layers[k] = (w - 0.1 * values[k].T @ delta, b - 0.1 * delta.sum(axis=0))
                delta = back
    return layers


def accuracy(logits: np.ndarray, labels: np.ndarray) -> float:
    """Percent of correct digits."""
    return 100 * float((logits.argmax(axis=1) == labels).mean())
