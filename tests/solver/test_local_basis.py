"""The basis functions of tiles and their energies against dense matrices."""

import numpy as np
import pytest
import torch
from helpers.coarse_basis import galerkin, problem, prolongation

from closedform_wsss._common.tile_layout import CELL, SIDE
from closedform_wsss.laplacian import KINDS
from closedform_wsss.solver.multigrid import local_basis
from closedform_wsss.solver.multigrid.local_basis import (
    MAX_TILE_FUNCTIONS,
    TILE_THRESHOLD,
    cell_basis,
    lowest,
)
from closedform_wsss.solver.tiles import MAX_WINDOWS


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("channels", [1, 2, 3, 8])
def test_matrix_is_galerkin(kind, channels):
    _, laplacian, data_weight, tiles, basis = problem(channels=channels, kind=kind)
    P = prolongation(tiles, basis)
    D = np.where(data_weight[0] < 5, data_weight[0], 0).ravel()  # basis functions are zero where marks are strong
    expected = P.T @ (laplacian.to_scipy(0) @ P + D[:, None] * P)
    matrix = galerkin(basis).toarray()
    np.testing.assert_allclose(matrix, expected, rtol=0, atol=1e-10)


def test_tiles_that_are_not_in_the_list():
    """Basis functions end at the border of the list, windows do not."""
    chosen = torch.tensor([[[True, False, True, True], [False, True, False, True], [True, True, False, False]]])
    _, laplacian, data_weight, tiles, basis = problem(chosen=chosen, size=(48, 60))
    P = prolongation(tiles, basis)
    expected = P.T @ (laplacian.to_scipy(0) @ P + data_weight[0].numpy().ravel()[:, None] * P)
    matrix = galerkin(basis).toarray()
    np.testing.assert_allclose(matrix, expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("kind", KINDS)
def test_a_few_tiles_at_a_time(kind, monkeypatch):
    """Fewer than there are in these small images: the same, and the last ones alone."""
    whole = problem((70, 90), kind=kind)[-1]
    monkeypatch.setitem(local_basis.TILES_AT_ONCE, "cpu", 7)
    parts = problem((70, 90), kind=kind)[-1]
    assert len(whole.starts) - 1 == 30 and torch.equal(parts.starts, whole.starts)
    torch.testing.assert_close(galerkin(parts).toarray(), galerkin(whole).toarray(), rtol=0, atol=1e-10)
    torch.testing.assert_close(parts.basis, whole.basis)


def test_batches_do_not_mix():
    _, laplacian, data_weight, tiles, basis = problem(n=2)
    matrix = galerkin(basis).toarray()
    expected = 0
    for n in range(2):
        P = prolongation(tiles, basis, n)
        D = np.where(data_weight[n] < 5, data_weight[n], 0).ravel()
        expected = expected + P.T @ (laplacian.to_scipy(n) @ P + D[:, None] * P)
    np.testing.assert_allclose(matrix, expected, rtol=0, atol=1e-10)


def test_affine_functions_of_colour_are_in_the_basis():
    """The energy of a colour is at most eps for each of the 14 x 14 windows inside a tile, that of a constant zero. The
    energy of the rest that the basis misses is at least the threshold, relative to 9."""
    image, _, data_weight, tiles, basis = problem()
    colours = tiles.gather(image)
    unmarked = tiles.gather(data_weight[:, None]).flatten(1).amax(1) == 0
    assert unmarked.sum() > 3 and basis.starts.diff().max() < MAX_TILE_FUNCTIONS
    for t in unmarked.nonzero().flatten().tolist():
        functions = basis.basis[basis.starts[t] : basis.starts[t + 1]].flatten(1)
        inside = (functions != 0).any(0)
        for cost, fields in ((0.0, torch.ones(1, 256).double()), (14 * 14 * 1e-5, colours[t].flatten(1))):
            for values in fields * inside:
                left = values - torch.linalg.lstsq(functions.mT, values[:, None]).solution[:, 0] @ functions
                assert left.square().sum() < cost / (MAX_WINDOWS * TILE_THRESHOLD) + 1e-4


def test_cell_basis():
    torch.manual_seed(0)
    colours, free = torch.rand(2, 3, SIDE, SIDE).double(), torch.rand(2, SIDE, SIDE) < 0.7
    colours[0, 1] = colours[0, 0]  # two equal channels
    free[0, :4, :4] = False
    basis = cell_basis(colours, free)
    assert (basis[0, 2] == 0).all() and (basis * ~free[:, None] == 0).all()
    for y in range(0, SIDE, CELL):
        for x in range(0, SIDE, CELL):
            part = np.s_[:, y : y + CELL, x : x + CELL]
            for t in range(2):
                q = basis[t][part].flatten(1)
                live = (q != 0).any(1)
                torch.testing.assert_close(q @ q.mT, torch.diag(live.double()), rtol=0, atol=1e-9)
                for values in colours[t][part].flatten(1):
                    values = values * free[t][part[1:]].flatten()
                    torch.testing.assert_close(values @ q.mT @ q, values, rtol=0, atol=1e-9)


def test_where_matrices_are_decomposed():
    cpu, cuda = torch.device("cpu"), torch.device("cuda", 1)
    assert local_basis._decomposes_on_host(cuda, 64) and local_basis._decomposes_on_host(cuda, 33)
    assert not local_basis._decomposes_on_host(cuda, 32) and not local_basis._decomposes_on_host(cpu, 64)


@pytest.mark.parametrize("size", [20, 64])
@pytest.mark.parametrize("on_host", [False, True])
def test_decomposition_on_the_host(device, on_host, size, monkeypatch):
    """And back; the matrices of the caller are left as they are."""
    moved = []
    to_cpu = torch.Tensor.cpu
    monkeypatch.setattr(torch.Tensor, "cpu", lambda x: moved.append(x.shape) or to_cpu(x))
    monkeypatch.setattr(local_basis, "_decomposes_on_host", lambda *_: on_host)
    matrices = torch.randn(5, size, size, device=device, dtype=torch.float64)
    matrices = matrices + matrices.mT
    before = matrices.clone()
    values, vectors = local_basis._eigh(matrices)
    assert moved == on_host * [matrices.shape]
    assert values.device == vectors.device == matrices.device and torch.equal(matrices, before)
    torch.testing.assert_close(matrices @ vectors, values[:, None] * vectors, rtol=0, atol=1e-10)


@pytest.mark.parametrize("threads_used", [1, 2])
def test_lowest(threads, threads_used):
    torch.set_num_threads(threads_used)
    q = torch.linalg.qr(torch.randn(7, 12, 12)).Q
    values = torch.logspace(-6, 0, 12)
    live = torch.ones(7, 12, dtype=torch.bool)
    found = lowest(q * values @ q.mT, live, 4, 1e-2)
    assert found.shape == (7, 12, 4)
    torch.testing.assert_close(found @ found.mT, q[:, :, :4] @ q[:, :, :4].mT, rtol=0, atol=1e-2)
    assert (lowest(q * values @ q.mT, live, 4, 1e-9) == 0).all()
    dead = live.clone()
    dead[:, 3] = False
    matrix = (q * values @ q.mT) * (dead[:, :, None] & dead[:, None])
    assert (lowest(matrix, dead, 4, 1e-2)[:, 3].abs() < 1e-5).all()
    assert torch.get_num_threads() == threads_used
