"""Products of stacks of matrices on a GPU, each stack by one call of cuBLAS: what its convolutions are made of."""

import numpy as np

from ...runtime.cuda import check_pointers
from ...runtime.devices import cupy


def multiply(a, b, out, a_transposed=False, b_transposed=False, add=False):
    """out[n] = a[n] @ b[n], or out[n] += …; (n, rows, columns), C-contiguous, of one type, float32 or float64.

    `a` may be one matrix for all n. a_transposed, b_transposed: take these matrices transposed. (cupy.matmul would copy
    transposed stacks first, and make lists of pointers where one matrix meets many.) cuBLAS counts columns first, so
    for it our matrices are transposed: outᵀ = bᵀ @ aᵀ.
    """
    check_pointers("multiply", out.dtype, a=a, b=b, out=out)
    cuda = cupy().cuda
    cublas, runtime = cuda.cublas, cuda.runtime
    if not out.size:
        return
    kind, compute = {
        "float32": (runtime.CUDA_R_32F, cublas.CUBLAS_COMPUTE_32F),
        "float64": (runtime.CUDA_R_64F, cublas.CUBLAS_COMPUTE_64F),
    }[out.dtype.name]
    n, rows, columns = out.shape
    depth = a.shape[-2] if a_transposed else a.shape[-1]
    alpha, beta = np.ones((), out.dtype), np.full((), add, out.dtype)
    cublas.gemmStridedBatchedEx(
        cuda.device.get_cublas_handle(),
        *(cublas.CUBLAS_OP_T if turn else cublas.CUBLAS_OP_N for turn in (b_transposed, a_transposed)),
        *(columns, rows, depth, alpha.ctypes.data),
        *(b.data.ptr, kind, b.shape[-1], b.shape[-2] * b.shape[-1]),
        *(a.data.ptr, kind, a.shape[-1], a.shape[-2] * a.shape[-1] if a.ndim == 3 else 0),
        *(beta.ctypes.data, out.data.ptr, kind, columns, rows * columns),
        *(n, compute, cublas.CUBLAS_GEMM_DEFAULT),
    )
