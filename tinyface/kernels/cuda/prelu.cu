// nvrtc: -Dreal=float
// nvrtc: -Dreal=double
//
// PReLU of x (N, C, P), the formulas are in prelu.py; slopes (C,), or (1,) for all channels.
//
// The large kernels have a grid of (C, parts): a block works on one channel and on one part of its m = N·P values,
// m < 2^31. A thread adds up its few values in `real`; from there on the sum is in double and in a fixed order.

// The places in x that a thread visits: of its block's part every blockDim-th value. No division on the way.
struct Walk {
    long long at;  // where in x
    int left;      // how many values are yet to come
    int p, P, step_p;
    long long step, next_image;

    __device__ Walk(int C, int P, int m, int part) : P(P) {
        const int start = blockIdx.y * part, length = min(part, m - start), i = threadIdx.x;
        left = i < length ? (length - i - 1) / (int)blockDim.x + 1 : 0;
        const int n = (start + i) / P;
        p = start + i - n * P;
        at = ((long long)n * C + blockIdx.x) * P + p;
        step_p = blockDim.x % P;
        step = (long long)(blockDim.x / P) * C * P + step_p;
        next_image = (C - 1LL) * P;  // beyond the other channels
    }

    __device__ void next() {
        left--;
        at += step;
        p += step_p;
        if (p >= P) {
            p -= P;
            at += next_image;
        }
    }
};

// The sum over all threads of the block; thread 0 gets it.
__device__ double block_sum(double value) {
    __shared__ double of_warp[32];
    for (int distance = 16; distance; distance /= 2) value += __shfl_down_sync(~0u, value, distance);
    if (threadIdx.x % 32 == 0) of_warp[threadIdx.x / 32] = value;
    __syncthreads();
    if (threadIdx.x == 0)
        for (int warp = 1; warp < blockDim.x / 32; warp++) value += of_warp[warp];
    return value;
}

extern "C" __global__ void prelu(const real* __restrict__ x, const real* slopes, real* __restrict__ y, int C, int P,
                                 int m, int part, bool shared) {
    const real slope = slopes[shared ? 0 : blockIdx.x];
#pragma unroll 4
    for (Walk walk(C, P, m, part); walk.left > 0; walk.next()) {
        const real value = x[walk.at];
        y[walk.at] = value > 0 ? value : slope * value;
    }
}

// ∂L/∂x, and sums (C, parts): Σ g·min(x, 0) of each part.
extern "C" __global__ void prelu_backward(const real* __restrict__ x, const real* __restrict__ g, const real* slopes,
                                          real* __restrict__ dx, double* __restrict__ sums, int C, int P, int m,
                                          int part, bool shared) {
    const real slope = slopes[shared ? 0 : blockIdx.x];
    real sum = 0;
#pragma unroll 4
    for (Walk walk(C, P, m, part); walk.left > 0; walk.next()) {
        const real value = x[walk.at], gy = g[walk.at];
        dx[walk.at] = value > 0 ? gy : slope * gy;
        sum += value > 0 ? 0 : gy * value;
    }
    const double total = block_sum(sum);
    if (threadIdx.x == 0) sums[(long long)blockIdx.x * gridDim.y + blockIdx.y] = total;
}

// ∂L/∂slope: a block for each slope adds up `count` sums of sums.
extern "C" __global__ void prelu_add_parts(const double* __restrict__ sums, real* __restrict__ dslope, int count) {
    double sum = 0;
    for (int i = threadIdx.x; i < count; i += blockDim.x) sum += sums[(long long)blockIdx.x * count + i];
    sum = block_sum(sum);
    if (threadIdx.x == 0) dslope[blockIdx.x] = sum;
}
