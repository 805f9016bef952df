import numpy as np

from tinyface.runtime import layout


def test_filters_as_matrices(normal):
    w = normal((5, 4, 3, 2))
    w_hwio = layout.as_hwio(w)
    assert w_hwio.shape == (3, 2, 4, 5) and w_hwio.flags.c_contiguous
    np.testing.assert_array_equal(layout.as_oihw(w_hwio), w)
    assert layout.as_hwio(layout.as_oihw(w_hwio)) is not w and np.shares_memory(
        layout.as_hwio(layout.as_oihw(w_hwio)), w_hwio
    )
