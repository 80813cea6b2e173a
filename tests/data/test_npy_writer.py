"""Arrays written row by row: what is written is what numpy reads, and their sums are exact."""

import numpy as np
import pytest

from ablations.data import npy_writer


def test_batches_make_one_array_that_numpy_reads_and_maps(tmp_path):
    parts = [np.full((k, 2, 3), k, np.uint8)[:, ::-1] for k in (3, 0, 5)]
    assert npy_writer.write(tmp_path / "x.npy", iter(parts), (2, 3), np.uint8) == 8
    assert np.array_equal(np.load(tmp_path / "x.npy", mmap_mode="r"), np.concatenate(parts))
    assert npy_writer.write(tmp_path / "none.npy", [], (), np.int64) == 0
    assert np.load(tmp_path / "none.npy").shape == (0,)


def test_sums_do_not_depend_on_the_chunks():
    images = np.random.default_rng(0).integers(0, 256, (13, 5, 4, 3), dtype=np.uint8)
    flat = images.reshape(13, -1, 3).astype(np.int64)
    assert np.array_equal(npy_writer.sums(images), np.stack([flat.sum(1), (flat**2).sum(1)], 1))
    assert np.array_equal(npy_writer.sums(images), npy_writer.sums(images, elements=40))


def test_rows_of_another_shape_or_type_are_refused(tmp_path):
    for batch in (np.zeros((2, 4), np.uint8), np.zeros((2, 3), np.int16)):
        with pytest.raises(ValueError, match=r"x\.npy holds \(3,\) uint8"):
            npy_writer.write(tmp_path / "x.npy", [batch], (3,), np.uint8)
