// nvrtc: -Dreal=float
// nvrtc: -Dreal=double
//
// Batch normalisation, with or without a PReLU behind it; the formulas are in batch_norm.py. With x as (N, C, P),
//
//     z = (x − μ)·scale + β,   scale = γ/√(σ² + ε),   y = z > 0 ? z : slope·z      (slope: null pointer for none)
//
//     forward:   statistics → reduce_statistics → normalise
//     backward:  gradient_sums → reduce_gradients → input_gradient
//
// The large kernels have a grid of (C, parts): a block works on one channel, whose constants stay in registers,
// and on one part of its m = N·P values, m < 2^31. The "reduce" kernels have one warp for each channel.
// A thread adds up its few values in `real`; from there on sums are in double and in a fixed order, so a run gives
// the same bits every time.

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

// What the values of the block's channel are computed with.
struct Channel {
    real mean, scale, beta, slope;

    // The same bits in every kernel: backward must see forward's signs.
    __device__ real z(real centred) const { return fma(centred, scale, beta); }
};

// One thread makes it for the block.
__device__ Channel channel_of(const real* gamma, const real* beta, const real* slope, const real* mean,
                              const real* var, real eps) {
    __shared__ Channel channel;
    const int c = blockIdx.x;
    if (threadIdx.x == 0) channel = {mean[c], gamma[c] / sqrt(var[c] + eps), beta[c], slope ? slope[c] : 1};
    __syncthreads();
    return channel;
}

// The sum over all threads of the block; thread 0 gets it.
__device__ double block_sum(double value) {
    __shared__ double of_warp[32];
    for (int distance = 16; distance; distance /= 2) value += __shfl_down_sync(~0u, value, distance);
    __syncthreads();  // the call before may still be reading
    if (threadIdx.x % 32 == 0) of_warp[threadIdx.x / 32] = value;
    __syncthreads();
    if (threadIdx.x == 0)
        for (int warp = 1; warp < blockDim.x / 32; warp++) value += of_warp[warp];
    return value;
}

// ---------------------------------------------------------------- forward

// sums (C, parts, 2): Σ (x − K) and Σ (x − K)² of each part, where K is the channel's first value: differences from
// a number that is near, so that a mean far from 0 costs no digits. For the same reason a thread takes them from its
// own first value, in `real`, and only then moves to K, in double.
extern "C" __global__ void statistics(const real* __restrict__ x, double* __restrict__ sums, int C, int P, int m,
                                      int part) {
    Walk walk(C, P, m, part);
    const int count = walk.left;
    real first = 0, sum = 0, square = 0;
    if (count) {
        first = x[walk.at];
        walk.next();
    }
#pragma unroll 4
    for (; walk.left > 0; walk.next()) {
        const real d = x[walk.at] - first;
        sum += d;
        square = fma(d, d, square);
    }
    const double shift = count ? (double)first - x[(long long)blockIdx.x * P] : 0;
    const double moved = block_sum(sum + count * shift);
    const double moved_square = block_sum(square + shift * (2.0 * sum + count * shift));
    if (threadIdx.x == 0) {
        double* mine = sums + 2 * ((long long)blockIdx.x * gridDim.y + blockIdx.y);
        mine[0] = moved;
        mine[1] = moved_square;
    }
}

// Mean and biased variance of each channel; the running ones move.
extern "C" __global__ void reduce_statistics(const real* __restrict__ x, const double* __restrict__ sums,
                                             real* __restrict__ mean, real* __restrict__ var,
                                             real* __restrict__ running_mean, real* __restrict__ running_var, int P,
                                             int m, int parts, double momentum) {
    const int c = blockIdx.x;
    double sum = 0, square = 0;
    for (int i = threadIdx.x; i < parts; i += blockDim.x) {
        sum += sums[2 * ((long long)c * parts + i)];
        square += sums[2 * ((long long)c * parts + i) + 1];
    }
    sum = block_sum(sum) / m;
    square = block_sum(square) / m;
    if (threadIdx.x == 0) {
        const double mu = x[(long long)c * P] + sum, biased = max(square - sum * sum, 0.0);
        mean[c] = mu;
        var[c] = biased;
        running_mean[c] = (1 - momentum) * running_mean[c] + momentum * mu;
        running_var[c] = (1 - momentum) * running_var[c] + momentum * biased * m / (m - 1.0);
    }
}

extern "C" __global__ void normalise(const real* __restrict__ x, const real* gamma, const real* beta,
                                     const real* slope /* or null */, const real* mean, const real* var,
                                     real* __restrict__ y, int C, int P, int m, int part, real eps) {
    const Channel channel = channel_of(gamma, beta, slope, mean, var, eps);
#pragma unroll 4
    for (Walk walk(C, P, m, part); walk.left > 0; walk.next()) {
        const real z = channel.z(x[walk.at] - channel.mean);
        y[walk.at] = z > 0 ? z : channel.slope * z;
    }
}

// ---------------------------------------------------------------- backward

// sums (C, parts, 3): Σ ∂L/∂z, Σ ∂L/∂z·(x − μ) and Σ g·min(z, 0) of each part; g is ∂L/∂y.
extern "C" __global__ void gradient_sums(const real* __restrict__ x, const real* __restrict__ g, const real* gamma,
                                         const real* beta, const real* slope /* or null */, const real* mean,
                                         const real* var, double* __restrict__ sums, int C, int P, int m, int part,
                                         real eps) {
    const Channel channel = channel_of(gamma, beta, slope, mean, var, eps);
    real sum = 0, by_centred = 0, by_slope = 0;
#pragma unroll 4
    for (Walk walk(C, P, m, part); walk.left > 0; walk.next()) {
        const real centred = x[walk.at] - channel.mean, z = channel.z(centred), gy = g[walk.at];
        const real gz = z > 0 ? gy : channel.slope * gy;
        sum += gz;
        by_centred = fma(gz, centred, by_centred);
        by_slope += z > 0 ? 0 : gy * z;
    }
    const double totals[] = {block_sum(sum), block_sum(by_centred), block_sum(by_slope)};
    if (threadIdx.x == 0)
        for (int i = 0; i < 3; i++) sums[3 * ((long long)blockIdx.x * gridDim.y + blockIdx.y) + i] = totals[i];
}

// ∂L/∂γ, ∂L/∂β and, unless that is a null pointer, ∂L/∂slope of each channel. through (2, C): what the batch's own
// mean and variance take from ∂L/∂x, as a constant and as a factor of x − μ; both are 0 where the statistics are the
// running ones.
extern "C" __global__ void reduce_gradients(const double* __restrict__ sums, const real* __restrict__ var,
                                            real* __restrict__ dgamma, real* __restrict__ dbeta,
                                            real* __restrict__ dslope /* or null */, real* __restrict__ through,
                                            int m, int parts, double eps, bool training) {
    const int c = blockIdx.x, C = gridDim.x;
    double total[3] = {0, 0, 0};
    for (int i = threadIdx.x; i < parts; i += blockDim.x)
        for (int k = 0; k < 3; k++) total[k] += sums[3 * ((long long)c * parts + i) + k];
    for (int k = 0; k < 3; k++) total[k] = block_sum(total[k]);
    if (threadIdx.x == 0) {
        const double rstd = 1 / sqrt(var[c] + eps);
        dgamma[c] = total[1] * rstd;
        dbeta[c] = total[0];
        if (dslope) dslope[c] = total[2];
        through[c] = training ? total[0] / m : 0;
        through[C + c] = training ? total[1] * rstd * rstd / m : 0;
    }
}

extern "C" __global__ void input_gradient(const real* __restrict__ x, const real* __restrict__ g, const real* gamma,
                                          const real* beta, const real* slope /* or null */, const real* mean,
                                          const real* var, const real* through, real* __restrict__ dx, int C, int P,
                                          int m, int part, real eps) {
    const Channel channel = channel_of(gamma, beta, slope, mean, var, eps);
    const real constant = through[blockIdx.x], by_centred = through[C + blockIdx.x];
#pragma unroll 4
    for (Walk walk(C, P, m, part); walk.left > 0; walk.next()) {
        const real centred = x[walk.at] - channel.mean, gy = g[walk.at];
        const real gz = channel.z(centred) > 0 ? gy : channel.slope * gy;
        dx[walk.at] = channel.scale * (gz - constant - centred * by_centred);
    }
}
