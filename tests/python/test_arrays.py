#!/usr/bin/env python3
"""NumPy in and out: formats against what the converter stores, the rotation, logits, KL divergence."""

import unittest

import numpy as np
import turboquant
from support import CPU, MODELS, ModelTest

RNG = np.random.default_rng(1)


class Codecs(unittest.TestCase):
    def test_round_trip(self):
        weights = RNG.standard_normal((8, 300)).astype(np.float32)
        last = 1.0
        for name in ("tq2", "tq3", "tq4", "tq5", "tq6", "tq8"):
            encoded = turboquant.encode(weights, name)
            decoded = turboquant.decode(encoded)
            error = float(((decoded - weights) ** 2).sum() / (weights ** 2).sum())
            self.assertLess(error, last)
            last = error
            if weights.shape[1] % 128 == 0:
                self.assertAlmostEqual(error, encoded.rel_mse, delta=1e-3 * error)
            self.assertEqual(encoded.gains.dtype, np.float16)
            np.testing.assert_array_equal(np.asarray(encoded), decoded)
        for name in turboquant.formats():
            self.assertEqual(turboquant.decode(turboquant.encode(weights, name)).shape, weights.shape)
        np.testing.assert_array_equal(turboquant.decode(turboquant.encode(weights, "f32")), weights)
        better = turboquant.encode(weights, "tq3", effort="best").rel_mse
        self.assertLess(better, turboquant.encode(weights, "tq3", effort="fast").rel_mse)

    def test_hadamard(self):
        x = RNG.standard_normal((3, 2, 256)).astype(np.float32)
        for group in (32, 64, 128, 256):
            y = turboquant.hadamard(x, group)
            np.testing.assert_allclose(turboquant.hadamard(y, group, inverse=True), x, atol=1e-5)
            np.testing.assert_allclose((y.reshape(-1, group) ** 2).sum(1), (x.reshape(-1, group) ** 2).sum(1), rtol=1e-5)
        # y = D2 H D1 x / sqrt(g): of unit vectors all entries have the same size.
        matrix = turboquant.hadamard(np.eye(128, dtype=np.float32))
        np.testing.assert_allclose(np.abs(matrix), 128 ** -0.5, rtol=1e-6)
        np.testing.assert_allclose(matrix @ matrix.T, np.eye(128), atol=1e-5)

    def test_refused(self):
        ones = np.ones((2, 128), np.float32)
        for call in (lambda: turboquant.encode(ones, "tq9"), lambda: turboquant.encode(ones, "tq3", "slow"),
                     lambda: turboquant.encode(ones * np.nan), lambda: turboquant.encode(ones[0]),
                     lambda: turboquant.encode(np.ones((0, 128))), lambda: turboquant.encode(np.ones((2, 0))),
                     lambda: turboquant.hadamard(ones, 100), lambda: turboquant.hadamard(ones[:, :100]),
                     lambda: turboquant.hadamard(1.0), lambda: turboquant.kld(ones, ones[:1]),
                     lambda: turboquant.kld(ones * np.inf, ones)):
            with self.assertRaises(ValueError):
                call()
        good = turboquant.encode(ones)
        for change in ({"shape": (2, 1 << 40)}, {"shape": (2, 0)}, {"shape": (2, -5)}, {"codes": good.codes[:, :-1]},
                       {"shape": (3, 128)}, {"gains": good.gains[:1]}, {"format": "tq4"}):
            with self.assertRaises(ValueError):
                turboquant.decode(turboquant.Encoded(**{**good.__dict__, **change}))


class Logits(ModelTest):
    def test_golden(self):
        """The reference implementation's logits."""
        folder = MODELS / "llama"
        tokens = np.load(folder / "tokens.npy").reshape(-1)
        wanted = np.load(folder / "logits.npy")
        model = turboquant.LogitModel(self.model, **CPU)
        self.assertEqual(model.vocab, wanted.shape[-1])
        got = model.logits(tokens)
        np.testing.assert_allclose(got, wanted.reshape(got.shape), atol=2e-4)
        divergences = turboquant.kld(got, wanted.reshape(got.shape))
        self.assertEqual(divergences.shape, (len(tokens),))
        self.assertLess(divergences.max(), 1e-6)
        np.testing.assert_array_equal(model.logits(tokens[:5]), got[:5])  # what was before is forgotten
        self.assertEqual(model.tokenize("abc"), [0, 4, 5, 6])
        self.assertEqual(model.logits("abc").shape, (4, model.vocab))
        for ids in ([], [-1], [model.vocab], [0] * (model.context + 1)):
            with self.assertRaises(ValueError):
                model.logits(ids)

    def test_kld(self):
        a, b = RNG.standard_normal((2, 5, 40))
        p, q = (np.exp(x) / np.exp(x).sum(1, keepdims=True) for x in (b, a))
        np.testing.assert_allclose(turboquant.kld(a, b), (p * np.log(p / q)).sum(1), rtol=1e-4)


if __name__ == "__main__":
    unittest.main()
