// nvrtc: -Dreal=float
// nvrtc: -Dreal=double
//
// y = 1 / (1 + e^{-x}),   dx = g·y·(1 - y).   One thread per element.

extern "C" __global__ void sigmoid(const real* x, real* y, long long size) {
    long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= size) return;
    real e = exp(-fabs(x[i]));  // at most 1
    y[i] = (x[i] >= 0 ? 1 : e) / (1 + e);
}

extern "C" __global__ void sigmoid_backward(const real* g, const real* y, real* dx, long long size) {
    long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (i < size) dx[i] = g[i] * y[i] * (1 - y[i]);
}
