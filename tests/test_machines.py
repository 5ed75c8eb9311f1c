"""The same numbers on every machine: other processors' code, threads, hash seeds, orders of rows."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from threadpoolctl import threadpool_info

import g287stats as g
from g287stats.estimate.covariance import symmetric_root

BATTERY = Path(__file__).parent / "battery.py"
KERNELS = ("SKYLAKEX", "HASWELL", "SANDYBRIDGE", "NEHALEM", "PRESCOTT")
BLAS = {info["internal_api"] for info in threadpool_info() if info["user_api"] == "blas"}


def run(rows=0, **environment):
    """The battery's numbers in a process of its own, or None where this processor cannot run that code."""
    there = {"OMP_NUM_THREADS": "1", **os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        [sys.executable, BATTERY, str(rows)], env={**there, **environment}, capture_output=True, text=True
    )
    if done.returncode < 0:  # killed by a signal: an instruction that this processor does not have
        return None
    assert done.returncode == 0, done.stderr
    return {name: np.array(values) for name, values in json.loads(done.stdout).items()}


@pytest.fixture(scope="module")
def here():
    return run()


def same(ours, theirs):
    """Twelve digits of every number, of numbers below a thousandth twelve digits of a thousandth."""
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        scale = np.maximum(np.abs(value), 1e-3)
        np.testing.assert_allclose(theirs[name] / scale, value / scale, rtol=0, atol=1e-12, err_msg=name)


@pytest.mark.skipif({"openblas"} != BLAS, reason="not OpenBLAS")
def test_kernels(here):
    """At least three, of which the oldest run everywhere."""
    found = {kernel: run(OPENBLAS_CORETYPE=kernel) for kernel in KERNELS}
    able = {kernel: numbers for kernel, numbers in found.items() if numbers is not None}
    assert len(able) >= 3
    for numbers in able.values():
        same(here, numbers)


def test_vector_instructions_of_numpy(here):
    same(here, run(NPY_DISABLE_CPU_FEATURES="X86_V3 X86_V4 AVX2 FMA3 AVX512F AVX512_SKX"))


def test_threads_hash_seed_and_order_of_rows(here):
    same(here, run(rows=7, OMP_NUM_THREADS="2", PYTHONHASHSEED="5"))


def test_equal_eigenvalues_leave_nothing_to_choose():
    """With eigenvectors as scores, p-values of the same moments differed between processors (0.09 and 0.1125)."""
    cov = np.eye(4) + 0.2
    root = symmetric_root(cov)
    np.testing.assert_allclose(root, root.T, atol=1e-15)
    np.testing.assert_allclose(root @ root, cov, atol=1e-14)
    turned = np.linalg.qr(np.random.default_rng(1).normal(size=(4, 4)))[0]  # any other basis is as good
    values, vectors = np.linalg.eigh(cov)
    spun = vectors.copy()
    spun[:, :3] = vectors[:, :3] @ np.linalg.qr(turned[:3, :3])[0]
    np.testing.assert_allclose((spun * np.sqrt(values)) @ spun.T, root, atol=1e-14)
    order = [2, 0, 3, 1]
    plain = g.from_moments([1.0, 2.0, 3.0, 4.0], cov)
    moved = g.from_moments(np.array([1.0, 2.0, 3.0, 4.0])[order], cov[np.ix_(order, order)])
    np.testing.assert_allclose(moved.influence.psi, plain.influence.psi[np.ix_(order, order)], atol=1e-14)


def test_printed_moments_are_drawn_from_their_law():
    """With ± signs on four scores every |t| was one, so that bands were as narrow as intervals."""
    plain = g.from_moments([0.0] * 4, np.eye(4))
    critical = (plain.bands(draws=9999)["band_high"] / plain.se.to_numpy()).iloc[0]
    exact = 2.4909  # Φ(x)⁴-point of the largest of four independent |z|: (2Φ(x) − 1)⁴ = 0.95
    assert critical == pytest.approx(exact, abs=0.04)
    assert g.from_moments([1.0, 2.0], np.eye(2), df=12.7).df == 12.7
