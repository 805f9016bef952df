"""PReLU, block by block, without branches."""

import numpy as np

from ...ops.prelu import PReLU
from ...runtime.dispatch import register
from ...runtime.layout import as_hwnc
from ...runtime.memory import empty_like, scratch
from ...runtime.threads import parallel_for
from .row_matrix import RowMatrix


@register(PReLU, "cpu")
class PReLUCpu(PReLU):
    def forward(self, x, slope):
        self.rows, self.slope = RowMatrix(as_hwnc(x)), slope
        self.slopes = np.broadcast_to(slope, x.shape[1])
        rows, slopes = self.rows, self.rows.per_column(self.slopes)
        y = empty_like(rows.matrix)

        def block(index):
            some = rows.blocks[index]
            negative = scratch("prelu", y[some].shape, y.dtype)
            np.minimum(rows.matrix[some], 0, out=negative)
            negative *= slopes
            np.maximum(rows.matrix[some], 0, out=y[some])
            y[some] += negative

        parallel_for(block, len(rows.blocks))
        return rows.to_nchw(y)

    def backward(self, g):
        rows = self.rows
        slope, difference = rows.per_column(self.slopes), rows.per_column(1 - self.slopes)
        g, dx = as_hwnc(g).reshape(rows.matrix.shape), empty_like(rows.matrix)
        sums = rows.empty_sums(1)

        def block(index):
            some = rows.blocks[index]
            x, factor = rows.matrix[some], dx[some]
            negative = scratch("prelu", x.shape, x.dtype)
            np.minimum(x, 0, out=negative)
            negative *= g[some]
            rows.sum(negative, out=sums[index, 0])
            np.copyto(factor, np.greater(x, 0))  # 1 or 0: arithmetic is faster than branches
            factor *= difference
            factor += slope
            factor *= g[some]

        parallel_for(block, len(rows.blocks))
        dslope = rows.per_channel(sums)[0]
        if self.slope.shape != dslope.shape:
            dslope = dslope.sum(keepdims=True)
        return rows.to_nchw(dx), dslope.astype(self.slope.dtype)
