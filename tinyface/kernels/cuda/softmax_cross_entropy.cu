// nvrtc: -Dreal=float
// nvrtc: -Dreal=double
//
// L = -(1/M) Σ log softmax(x)_t over the positions whose label t is not `ignore`; M counts them.
// dx_k = (softmax(x)_k - [k = t])·g / M.
//
// Logits (images, classes, pixels), labels (images, pixels) of any integer type. One thread per position goes through
// its classes; neighbouring threads read neighbouring addresses. Up to KEPT classes stay in registers, so that memory
// is read once. Backward computes the softmax again: storing it in forward and reading it back would move more bytes.
//
// The sums: each thread adds up its positions, a block its threads, `add_blocks` the blocks, always in the same order.

#define KEPT 16
#define BLOCK 256  // threads per block, a power of 2

// The label at i. type: its size in bytes, negative if it is signed.
__device__ long long label_at(const void* labels, int type, long long i) {
    switch (type) {
        case 1: return ((const unsigned char*)labels)[i];
        case -1: return ((const signed char*)labels)[i];
        case 2: return ((const unsigned short*)labels)[i];
        case -2: return ((const short*)labels)[i];
        case 4: return ((const unsigned*)labels)[i];
        case -4: return ((const int*)labels)[i];
        case 8: return min(((const unsigned long long*)labels)[i], ~0ULL >> 1);  // what is larger is no class either
        default: return ((const long long*)labels)[i];
    }
}

// Sum over the block; thread 0 has it.
template <typename Number>
__device__ Number block_sum(Number value, Number* shared) {
    shared[threadIdx.x] = value;
    __syncthreads();
    for (int half = BLOCK / 2; half > 0; half /= 2) {
        if (threadIdx.x < half) shared[threadIdx.x] += shared[threadIdx.x + half];
        __syncthreads();
    }
    return shared[0];
}

extern "C" __global__ void softmax_cross_entropy(const real* logits, const void* labels, int type, long long ignore,
                                                 int classes, long long pixels, long long positions,
                                                 double* losses, long long* counts) {
    __shared__ double shared_losses[BLOCK];
    __shared__ long long shared_counts[BLOCK];
    double loss = 0;
    long long count = 0;
    for (long long i = (long long)blockIdx.x * BLOCK + threadIdx.x; i < positions; i += (long long)gridDim.x * BLOCK) {
        long long t = label_at(labels, type, i);
        if (t == ignore) continue;
        count++;
        const real* x = logits + i / pixels * classes * pixels + i % pixels;
        real kept[KEPT], top = x[0], total = 0, own = nan("");  // which stays where t is no class
#pragma unroll
        for (int k = 0; k < KEPT; k++) {
            if (k >= classes) continue;
            kept[k] = x[k * pixels];
            top = max(top, kept[k]);
            if (k == t) own = kept[k];
        }
        for (int k = KEPT; k < classes; k++) {
            top = max(top, x[k * pixels]);
            if (k == t) own = x[k * pixels];
        }
#pragma unroll
        for (int k = 0; k < KEPT; k++) {
            if (k < classes) total += exp(kept[k] - top);
        }
        for (int k = KEPT; k < classes; k++) total += exp(x[k * pixels] - top);
        loss += log(total) - (own - top);
    }
    loss = block_sum(loss, shared_losses);
    count = block_sum(count, shared_counts);
    if (threadIdx.x == 0) {
        losses[blockIdx.x] = loss;
        counts[blockIdx.x] = count;
    }
}

// One block. → the mean loss, and 1/M for backward.
extern "C" __global__ void add_blocks(const double* losses, const long long* counts, int blocks, real* mean,
                                  real* weight_of_one) {
    __shared__ double shared_losses[BLOCK];
    __shared__ long long shared_counts[BLOCK];
    double loss = 0;
    long long count = 0;
    for (int i = threadIdx.x; i < blocks; i += BLOCK) {
        loss += losses[i];
        count += counts[i];
    }
    loss = block_sum(loss, shared_losses);
    count = block_sum(count, shared_counts);
    if (threadIdx.x == 0) {
        count = max(count, 1LL);
        *mean = loss / count;
        *weight_of_one = 1 / (double)count;
    }
}

extern "C" __global__ void softmax_cross_entropy_backward(const real* logits, const void* labels, int type,
                                                          long long ignore, int classes, long long pixels,
                                                          long long positions, const real* g, const real* weight_of_one,
                                                          real* gradient) {
    long long i = (long long)blockIdx.x * BLOCK + threadIdx.x;
    if (i >= positions) return;
    long long t = label_at(labels, type, i), first = i / pixels * classes * pixels + i % pixels;
    const real* x = logits + first;
    real* dx = gradient + first;
    if (t == ignore) {
        for (int k = 0; k < classes; k++) dx[k * pixels] = 0;
        return;
    }
    real kept[KEPT], top = x[0], total = 0, weight = *g * *weight_of_one;
#pragma unroll
    for (int k = 0; k < KEPT; k++) {
        if (k >= classes) continue;
        kept[k] = x[k * pixels];
        top = max(top, kept[k]);
    }
    for (int k = KEPT; k < classes; k++) top = max(top, x[k * pixels]);
#pragma unroll
    for (int k = 0; k < KEPT; k++) {
        if (k >= classes) continue;
        kept[k] = exp(kept[k] - top);
        total += kept[k];
    }
    for (int k = KEPT; k < classes; k++) total += exp(x[k * pixels] - top);
#pragma unroll
    for (int k = 0; k < KEPT; k++) {
        if (k < classes) dx[k * pixels] = (kept[k] / total - (k == t)) * weight;
    }
    for (int k = KEPT; k < classes; k++) dx[k * pixels] = (exp(x[k * pixels] - top) / total - (k == t)) * weight;
}
