// nvrtc: -Dreal=float
// nvrtc: -Dreal=double
//
// y_k = e^{x_k} / Σ_j e^{x_j},   dx_k = y_k·(g_k - Σ_j g_j·y_j),   for x seen as (outer, classes, inner), the axis
// in the middle. One thread per position (outer, inner) goes through its classes; neighbouring threads, which are
// neighbours along inner, read neighbouring addresses. Up to KEPT classes stay in registers, so that memory is read
// once; more are read again, from the cache if it still holds them.

#define KEPT 16

extern "C" __global__ void softmax(const real* x, real* y, int classes, long long inner, long long positions) {
    long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= positions) return;
    long long first = i / inner * classes * inner + i % inner;
    x += first;
    y += first;

    real kept[KEPT], top = x[0], total = 0;
#pragma unroll
    for (int k = 0; k < KEPT; k++) {
        if (k >= classes) continue;
        kept[k] = x[k * inner];
        top = max(top, kept[k]);
    }
    for (int k = KEPT; k < classes; k++) top = max(top, x[k * inner]);
#pragma unroll
    for (int k = 0; k < KEPT; k++) {
        if (k >= classes) continue;
        kept[k] = exp(kept[k] - top);
        total += kept[k];
    }
    for (int k = KEPT; k < classes; k++) total += exp(x[k * inner] - top);
#pragma unroll
    for (int k = 0; k < KEPT; k++) {
        if (k < classes) y[k * inner] = kept[k] / total;
    }
    for (int k = KEPT; k < classes; k++) y[k * inner] = exp(x[k * inner] - top) / total;
}

extern "C" __global__ void softmax_backward(const real* g, const real* y, real* dx, int classes, long long inner,
                                            long long positions) {
    long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= positions) return;
    long long first = i / inner * classes * inner + i % inner;
    g += first;
    y += first;
    dx += first;

    real kept_g[KEPT], kept_y[KEPT], dot = 0;
#pragma unroll
    for (int k = 0; k < KEPT; k++) {
        if (k >= classes) continue;
        kept_g[k] = g[k * inner];
        kept_y[k] = y[k * inner];
        dot += kept_g[k] * kept_y[k];
    }
    for (int k = KEPT; k < classes; k++) dot += g[k * inner] * y[k * inner];
#pragma unroll
    for (int k = 0; k < KEPT; k++) {
        if (k < classes) dx[k * inner] = kept_y[k] * (kept_g[k] - dot);
    }
    for (int k = KEPT; k < classes; k++) dx[k * inner] = y[k * inner] * (g[k * inner] - dot);
}
