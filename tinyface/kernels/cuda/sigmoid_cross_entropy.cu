// nvrtc: -Dreal=float
// nvrtc: -Dreal=double
//
// L = mean of ℓ,   ℓ = (1 - t)·x + (1 + (w - 1)·t)·softplus(-x),   softplus(-x) = log(1 + e^{-|x|}) + max(-x, 0)
// dx = ((1 - t)·σ(x) - w·t·(1 - σ(x)))·g / size.
//
// w repeats every `period` elements: it is as long as x's last axes; null stands for 1. Backward reads x and t again:
// storing the gradient in forward and reading it back would move more bytes.
//
// The sum: each thread adds up its elements, a block its threads, `add_blocks` the blocks, always in the same order.

#define BLOCK 256  // threads per block, a power of 2

// Sum over the block; thread 0 has it.
__device__ double block_sum(double value) {
    __shared__ double shared[BLOCK];
    shared[threadIdx.x] = value;
    __syncthreads();
    for (int half = BLOCK / 2; half > 0; half /= 2) {
        if (threadIdx.x < half) shared[threadIdx.x] += shared[threadIdx.x + half];
        __syncthreads();
    }
    return shared[0];
}

extern "C" __global__ void sigmoid_cross_entropy(const real* logits, const real* targets,
                                                 const real* weights /* or null */, long long period, long long size,
                                                 double* losses) {
    double loss = 0;
    for (long long i = (long long)blockIdx.x * BLOCK + threadIdx.x; i < size; i += (long long)gridDim.x * BLOCK) {
        real x = logits[i], t = targets[i], w = weights ? weights[i % period] : 1;
        real softplus = log1p(exp(-fabs(x))) + max(-x, (real)0);
        loss += (1 - t) * x + (1 + (w - 1) * t) * softplus;
    }
    loss = block_sum(loss);
    if (threadIdx.x == 0) losses[blockIdx.x] = loss;
}

// One block. → the mean loss.
extern "C" __global__ void add_blocks(const double* losses, int blocks, long long size, real* mean) {
    double loss = 0;
    for (int i = threadIdx.x; i < blocks; i += BLOCK) loss += losses[i];
    loss = block_sum(loss);
    if (threadIdx.x == 0) *mean = loss / size;
}

extern "C" __global__ void sigmoid_cross_entropy_backward(const real* logits, const real* targets,
                                                          const real* weights /* or null */, long long period,
                                                          long long size, const real* g, real* dx) {
    long long i = (long long)blockIdx.x * BLOCK + threadIdx.x;
    if (i >= size) return;
    real x = logits[i], t = targets[i], w = weights ? weights[i % period] : 1;
    real e = exp(-fabs(x)), s = (x >= 0 ? 1 : e) / (1 + e);
    dx[i] = ((1 - t) * s - w * t * (1 - s)) * (*g / size);
}
