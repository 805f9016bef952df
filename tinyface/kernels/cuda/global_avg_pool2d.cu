// nvrtc: -Dreal=float
// nvrtc: -Dreal=double
//
// Means of planes, y[i] = (1/HW) Σ x[i, ·]; a warp for each of N·C planes, in blocks of several warps.

extern "C" __global__ void global_avg_pool2d(const real* __restrict__ x, real* __restrict__ y, int planes, int HW) {
    const int plane = blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32, lane = threadIdx.x % 32;
    if (plane >= planes) return;
    real few = 0;
    for (int i = lane; i < HW; i += 32) few += x[(long long)plane * HW + i];
    double sum = few;
    for (int distance = 16; distance; distance /= 2) sum += __shfl_down_sync(~0u, sum, distance);
    if (lane == 0) y[plane] = sum / HW;
}

// dx[i, ·] = g[i] / HW
extern "C" __global__ void global_avg_pool2d_backward(const real* __restrict__ g, real* __restrict__ dx, int planes,
                                                      int HW) {
    const int plane = blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32, lane = threadIdx.x % 32;
    if (plane >= planes) return;
    const real quotient = g[plane] / HW;
    for (int i = lane; i < HW; i += 32) dx[(long long)plane * HW + i] = quotient;
}
