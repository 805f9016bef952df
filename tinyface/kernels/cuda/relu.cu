// nvrtc: -Dreal=float
// nvrtc: -Dreal=double
//
// dx = g where y > 0, else 0; a thread for each number.

extern "C" __global__ void relu_backward(const real* __restrict__ y, const real* __restrict__ g, real* __restrict__ dx,
                                         long long size) {
    const long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x;
    if (i < size) dx[i] = y[i] > 0 ? g[i] : 0;
}
