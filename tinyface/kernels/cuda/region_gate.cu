// nvrtc: -Dreal=float
// nvrtc: -Dreal=double
//
// m̂[n,r,p] = m[n,r,p] / S[n,r],     S[n,r] = Σ_p m[n,r,p] + ε,      y[n,r,c,p] = m̂[n,r,p]·x[n,c,p]
// dx[n,c,p] = Σ_r g[n,r,c,p]·m̂[n,r,p]
// dm[n,r,p] = (h[n,r,p] - Σ_q h[n,r,q]·m̂[n,r,q]) / S[n,r],       h[n,r,p] = Σ_c g[n,r,c,p]·x[n,c,p]
//
// x (N, C, P), masks (N, R, P), y and g (N, R, C, P). Neighbouring threads stand at neighbouring pixels p. y and g are
// by far the largest: y is written once, g is read once for both gradients.

#define BLOCK 256
#define WARPS (BLOCK / 32)
#define REGIONS 8   // at a time
#define CHANNELS 8  // at a time

// Sum over the block, in double, the same for every thread.
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

// S, one block for each mask.
extern "C" __global__ void mask_totals(const real* masks, real* totals, int pixels, real epsilon) {
    masks += (long long)blockIdx.x * pixels;
    double sum = 0;
    for (int p = threadIdx.x; p < pixels; p += BLOCK) sum += masks[p];
    sum = block_sum(sum);
    if (threadIdx.x == 0) totals[blockIdx.x] = (real)sum + epsilon;
}

// A thread makes y for CHANNELS channels of all regions at one pixel. Grid: (pixels / BLOCK, channels / CHANNELS, N).
extern "C" __global__ void region_gate(const real* x, const real* masks, const real* totals, real* y, int channels,
                                       int regions, int pixels) {
    int p = blockIdx.x * BLOCK + threadIdx.x, c0 = blockIdx.y * CHANNELS;
    long long n = blockIdx.z;
    if (p >= pixels) return;
    real at[CHANNELS];
#pragma unroll
    for (int c = 0; c < CHANNELS; c++) {
        if (c0 + c < channels) at[c] = x[(n * channels + c0 + c) * pixels + p];
    }
    for (int r = 0; r < regions; r++) {
        long long region = n * regions + r;
        real m = masks[region * pixels + p] / totals[region];
#pragma unroll
        for (int c = 0; c < CHANNELS; c++) {
            if (c0 + c < channels) y[(region * channels + c0 + c) * pixels + p] = m * at[c];
        }
    }
}

// A block makes dx and h at 32 pixels, whichever of them is not null; its warps divide the channels among them. Grid:
// (pixels / 32, N).
extern "C" __global__ void region_gate_backward(const real* g, const real* x, const real* masks, const real* totals,
                                                real* dx /* or null */, real* h /* or null */, int channels,
                                                int regions, int pixels) {
    __shared__ real of_warp[WARPS][REGIONS][32];
    int lane = threadIdx.x % 32, warp = threadIdx.x / 32, p = blockIdx.x * 32 + lane;
    long long n = blockIdx.y, of_image = n * channels * pixels + p;
    for (int r0 = 0; r0 < regions; r0 += REGIONS) {
        long long first = n * regions + r0;
        real m[REGIONS], sums[REGIONS] = {};
#pragma unroll
        for (int r = 0; r < REGIONS; r++) {
            bool inside = r0 + r < regions && p < pixels;
            m[r] = inside ? masks[(first + r) * pixels + p] / totals[first + r] : 0;
        }
        for (int c = warp; c < channels && p < pixels; c += WARPS) {
            long long i = of_image + (long long)c * pixels;
            real at = h ? x[i] : 0, sum = dx && r0 ? dx[i] : 0;
#pragma unroll
            for (int r = 0; r < REGIONS; r++) {
                if (r0 + r >= regions) continue;
                real upstream = g[((first + r) * channels + c) * pixels + p];
                sum += upstream * m[r];
                sums[r] += upstream * at;
            }
            if (dx) dx[i] = sum;
        }
        if (!h) continue;
#pragma unroll
        for (int r = 0; r < REGIONS; r++) of_warp[warp][r][lane] = sums[r];
        __syncthreads();
        for (int r = warp; r < REGIONS && r0 + r < regions; r += WARPS) {
            real sum = 0;
            for (int w = 0; w < WARPS; w++) sum += of_warp[w][r][lane];
            if (p < pixels) h[(first + r) * pixels + p] = sum;
        }
        __syncthreads();
    }
}

// dm in place of h, one block for each mask.
extern "C" __global__ void region_gate_dm(real* h, const real* masks, const real* totals, int pixels) {
    h += (long long)blockIdx.x * pixels;
    masks += (long long)blockIdx.x * pixels;
    real total = totals[blockIdx.x];
    double sum = 0;
    for (int p = threadIdx.x; p < pixels; p += BLOCK) sum += h[p] * (masks[p] / total);
    real mean = block_sum(sum);
    for (int p = threadIdx.x; p < pixels; p += BLOCK) h[p] = (h[p] - mean) / total;
}
