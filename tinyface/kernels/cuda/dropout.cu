// nvrtc: -Dreal=float
// nvrtc: -Dreal=double
//
// y = x·scale where keep is 1, x·0 where it is 0; forward and, with g for x, backward. A thread for each number.

extern "C" __global__ void dropout(const real* __restrict__ x, const bool* __restrict__ keep, real* __restrict__ y,
                                   real scale, long long size) {
    const long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x;
    if (i < size) y[i] = x[i] * (keep[i] ? scale : 0);
}
