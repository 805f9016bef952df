// nvrtc: -Dreal=float
// nvrtc: -Dreal=double
//
// S[n,r] = Σ_p m[n,r,p] + ε,        y[n,r,c] = Σ_p m[n,r,p]·x[n,c,p] / S[n,r]
// dx[n,c,p] = Σ_r g[n,r,c]·m[n,r,p] / S[n,r]
// dm[n,r,p] = Σ_c g[n,r,c]·(x[n,c,p] - y[n,r,c]) / S[n,r]
//
// x (N, C, P), masks (N, R, P), y and g (N, R, C). The lanes of a warp stand at neighbouring pixels p. Every kernel
// does several channels or regions at a time, so that what it reads serves several products.

#define BLOCK 256
#define WARPS (BLOCK / 32)
#define REGIONS 8    // at a time
#define CHANNELS 4   // at a time

// Sum over the warp; lane 0 has it.
__device__ real warp_sum(real value) {
    for (int step = 16; step > 0; step /= 2) value += __shfl_down_sync(0xffffffff, value, step);
    return value;
}

// A warp makes y for REGIONS regions and CHANNELS channels. Grid: (channels / (WARPS·CHANNELS), regions / REGIONS, N).
extern "C" __global__ void region_pool(const real* x, const real* masks, real* y, real* totals, int channels,
                                       int regions, int pixels, real epsilon) {
    int lane = threadIdx.x % 32, c0 = (blockIdx.x * WARPS + threadIdx.x / 32) * CHANNELS, r0 = blockIdx.y * REGIONS;
    long long n = blockIdx.z;
    if (c0 >= channels) return;
    x += (n * channels + c0) * pixels;
    masks += (n * regions + r0) * pixels;
    real sums[REGIONS][CHANNELS] = {}, total[REGIONS] = {};
    for (int p = lane; p < pixels; p += 32) {
        real at[CHANNELS];
#pragma unroll
        for (int c = 0; c < CHANNELS; c++) at[c] = c0 + c < channels ? x[(long long)c * pixels + p] : 0;
#pragma unroll
        for (int r = 0; r < REGIONS; r++) {
            if (r0 + r >= regions) continue;
            real m = masks[(long long)r * pixels + p];
            total[r] += m;
#pragma unroll
            for (int c = 0; c < CHANNELS; c++) sums[r][c] += m * at[c];
        }
    }
#pragma unroll
    for (int r = 0; r < REGIONS; r++) {
        if (r0 + r >= regions) continue;
        real s = warp_sum(total[r]) + epsilon;
        if (lane == 0 && c0 == 0) totals[n * regions + r0 + r] = s;
#pragma unroll
        for (int c = 0; c < CHANNELS; c++) {
            real sum = warp_sum(sums[r][c]);
            if (lane == 0 && c0 + c < channels) y[(n * regions + r0 + r) * channels + c0 + c] = sum / s;
        }
    }
}

// A thread makes dx for CHANNELS channels at one pixel. Grid: (pixels / 32, channels / (WARPS·CHANNELS), N).
extern "C" __global__ void region_pool_dx(const real* g, const real* masks, const real* totals, real* dx,
                                          int channels, int regions, int pixels) {
    int p = blockIdx.x * 32 + threadIdx.x % 32, c0 = (blockIdx.y * WARPS + threadIdx.x / 32) * CHANNELS;
    long long n = blockIdx.z;
    if (p >= pixels || c0 >= channels) return;
    real sums[CHANNELS] = {};
    for (int r = 0; r < regions; r++) {
        long long region = n * regions + r;
        real m = masks[region * pixels + p] / totals[region];
#pragma unroll
        for (int c = 0; c < CHANNELS; c++) {
            if (c0 + c < channels) sums[c] += g[region * channels + c0 + c] * m;
        }
    }
#pragma unroll
    for (int c = 0; c < CHANNELS; c++) {
        if (c0 + c < channels) dx[(n * channels + c0 + c) * pixels + p] = sums[c];
    }
}

// A block makes dm for REGIONS regions at 32 pixels; its warps divide the channels among them. Grid: (pixels / 32,
// regions / REGIONS, N).
extern "C" __global__ void region_pool_dm(const real* g, const real* x, const real* y, const real* totals, real* dm,
                                          int channels, int regions, int pixels) {
    __shared__ real of_mean[REGIONS], of_warp[WARPS][REGIONS][32];
    int lane = threadIdx.x % 32, warp = threadIdx.x / 32, p = blockIdx.x * 32 + lane, r0 = blockIdx.y * REGIONS;
    long long n = blockIdx.z, first = n * regions + r0;  // the first of the REGIONS rows
    x += n * channels * pixels + p;
    real sums[REGIONS] = {};
    for (int c = warp; c < channels && p < pixels; c += WARPS) {
        real at = x[(long long)c * pixels];
#pragma unroll
        for (int r = 0; r < REGIONS; r++) {
            if (r0 + r < regions) sums[r] += g[(first + r) * channels + c] * at;
        }
    }
#pragma unroll
    for (int r = 0; r < REGIONS; r++) of_warp[warp][r][lane] = sums[r];
    for (int r = warp; r < REGIONS && r0 + r < regions; r += WARPS) {
        real sum = 0;
        for (int c = lane; c < channels; c += 32) sum += g[(first + r) * channels + c] * y[(first + r) * channels + c];
        sum = warp_sum(sum);
        if (lane == 0) of_mean[r] = sum;
    }
    __syncthreads();
    for (int r = warp; r < REGIONS && r0 + r < regions; r += WARPS) {
        real sum = 0;
        for (int w = 0; w < WARPS; w++) sum += of_warp[w][r][lane];
        if (p < pixels) dm[(first + r) * pixels + p] = (sum - of_mean[r]) / totals[first + r];
    }
}
