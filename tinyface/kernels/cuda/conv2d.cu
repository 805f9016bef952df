// nvrtc: -Dreal=float
// nvrtc: -Dreal=double
//
// A 3×3 convolution at stride 1 that writes no im2col matrix, its weight gradient, and sums in a fixed order.
//
//   direct_*          y[n,o,i,j] = b[o] + Σ_{c,u,v} w[o,c,u,v] · x[n, c, i + u − p, j + v − p]
//                     A block makes OB channels of one tile: `ni` images, `th` rows, `ts` strips of 4 pixels each.
//                     It takes `ck` channels of x at a time into shared memory, with a frame of one pixel, and their
//                     kernels. A thread makes 8 channels × K strips, all in registers: a strip needs 6 numbers of a
//                     row for the 3 · 4 products of each channel.
//   weight_gradient   Σ_{n,i,j} g[n,o,i,j] · x[n, c, i + u − p, j + v − p] over a part of the rows of g
//                     A block makes 9 sums for OB × CB channels. It walks down the images: three rows of x lie in a
//                     ring in shared memory, and each step reads only the next. A thread makes OT × CT channels of a
//                     part of the columns, and slides a 3×3 window of x along them.
//   add_parts        what the partial_sums hold, added in their order
//   bias_parts       Σ of g over a part of the pixels of a channel; a block for each part and channel
//   add_bias_parts   the same as add_parts, of float64

struct __align__(16) Four {
    real v[4];
};
struct __align__(2 * sizeof(real)) Two {
    real v[2];
};

constexpr int THREADS = 256;  // of direct_*
constexpr int CHANNELS = 8;   // of y that a thread of direct_* makes

extern __shared__ __align__(16) unsigned char memory[];

// flipped: w is (C, O, 3, 3) and read flipped, which makes it the input gradient.
template <int OB, int K>
__device__ __forceinline__ void direct(const real* __restrict__ x, const real* __restrict__ w,
                                       const real* __restrict__ bias, real* __restrict__ y, int n, int c, int h,
                                       int width, int o, int out_h, int out_w, int pad, int flipped, int ni, int th,
                                       int ts, int tiles_y, int tiles_x, int ck) {
    constexpr int GROUPS = OB / CHANNELS, STRIPS = THREADS / GROUPS, LD = OB + 4;  // LD: fewer bank conflicts
    const int row = 4 * ts + 4, rows = th + 2, plane = rows * row, planes = ni * plane;
    const long long area = (long long)h * width;
    real* xs = reinterpret_cast<real*>(memory);  // (ck, ni, th + 2, row)
    real* ws = xs + ck * planes;                 // (ck, 9, LD)

    const int tile = blockIdx.x / tiles_x;
    const int n0 = tile / tiles_y * ni, i0 = tile % tiles_y * th, j0 = blockIdx.x % tiles_x * 4 * ts;
    const int o0 = blockIdx.y * OB, group = threadIdx.x % GROUPS, first = threadIdx.x / GROUPS;

    int at[K];  // where this thread's strips begin in a channel of xs
#pragma unroll
    for (int k = 0; k < K; ++k) {
        const int strip = first + k * STRIPS, image = strip / (ts * th);
        at[k] = image < ni ? image * plane + strip / ts % th * row + strip % ts * 4 : 0;
    }

    real sums[K][CHANNELS][4] = {};
    for (int c0 = 0; c0 < c; c0 += ck) {
        const int some = min(ck, c - c0);
        if (c0) __syncthreads();
        for (int q = threadIdx.x; q < planes; q += THREADS) {
            const int column = q % row, line = q / row, image = n0 + line / rows;
            const int ix = j0 + column - pad, iy = i0 + line % rows - pad;
            if (column >= row - 2) continue;
            const bool inside = image < n && iy >= 0 && iy < h && ix >= 0 && ix < width;
            const real* from = x + ((long long)image * c + c0) * area + (long long)iy * width + ix;
            for (int k = 0; k < some; ++k) xs[k * planes + q] = inside ? from[k * area] : real(0);
        }
        const int taps = some * 9;
        if (flipped) {
            for (int e = threadIdx.x; e < taps * OB; e += THREADS) {
                const int uv = e % 9, channel = e / 9 % OB, k = e / (9 * OB);
                ws[(k * 9 + 8 - uv) * LD + channel] =
                    o0 + channel < o ? w[((long long)(c0 + k) * o + o0 + channel) * 9 + uv] : real(0);
            }
        } else {
            for (int e = threadIdx.x; e < taps * OB; e += THREADS) {
                const int tap = e % taps, channel = e / taps;
                ws[tap * LD + channel] =
                    o0 + channel < o ? w[((long long)(o0 + channel) * c + c0) * 9 + tap] : real(0);
            }
        }
        __syncthreads();
        for (int k = 0; k < some; ++k) {
#pragma unroll
            for (int u = 0; u < 3; ++u) {
                real seen[K][6];
#pragma unroll
                for (int s = 0; s < K; ++s) {
                    const real* from = xs + k * planes + at[s] + u * row;
                    const Four four = *reinterpret_cast<const Four*>(from);
                    const Two two = *reinterpret_cast<const Two*>(from + 4);
#pragma unroll
                    for (int q = 0; q < 4; ++q) seen[s][q] = four.v[q];
                    seen[s][4] = two.v[0], seen[s][5] = two.v[1];
                }
#pragma unroll
                for (int v = 0; v < 3; ++v) {
                    const real* kernel = ws + (k * 9 + u * 3 + v) * LD + group * CHANNELS;
#pragma unroll
                    for (int half = 0; half < CHANNELS; half += 4) {
                        const Four weights = *reinterpret_cast<const Four*>(kernel + half);
#pragma unroll
                        for (int s = 0; s < K; ++s)
#pragma unroll
                            for (int m = 0; m < 4; ++m)
#pragma unroll
                                for (int q = 0; q < 4; ++q) sums[s][half + m][q] += weights.v[m] * seen[s][q + v];
                    }
                }
            }
        }
    }

#pragma unroll
    for (int s = 0; s < K; ++s) {
        const int strip = first + s * STRIPS, image = strip / (ts * th);
        const int i = i0 + strip / ts % th, j = j0 + strip % ts * 4;
        if (image >= ni || n0 + image >= n || i >= out_h) continue;
#pragma unroll
        for (int m = 0; m < CHANNELS; ++m) {
            const int channel = o0 + group * CHANNELS + m;
            if (channel >= o) continue;
            const real b = bias ? bias[channel] : real(0);
            real* to = y + (((long long)(n0 + image) * o + channel) * out_h + i) * out_w + j;
#pragma unroll
            for (int q = 0; q < 4; ++q)
                if (j + q < out_w) to[q] = sums[s][m][q] + b;
        }
    }
}

// Two blocks on a multiprocessor, if registers allow: one computes while the other waits for memory. Four strips of
// float64 would not fit into registers; nobody asks for them.
constexpr bool SMALL = sizeof(real) == 4;
#define DIRECT(OB, K)                                                                                          \
    extern "C" __global__ void __launch_bounds__(THREADS, SMALL && K < 4 ? 2 : 1) direct_##OB##_##K(           \
        const real* x, const real* w, const real* bias /* or null */, real* y, int n, int c, int h, int width, \
        int o, int out_h, int out_w, int pad, int flipped, int ni, int th, int ts, int tiles_y, int tiles_x,    \
        int ck) {                                                                                              \
        if constexpr (SMALL || K < 4)                                                                          \
            direct<OB, K>(x, w, bias, y, n, c, h, width, o, out_h, out_w, pad, flipped, ni, th, ts, tiles_y,    \
                          tiles_x, ck);                                                                        \
    }

DIRECT(8, 1)
DIRECT(16, 1)
DIRECT(16, 2)
DIRECT(32, 1)
DIRECT(32, 2)
DIRECT(32, 4)
DIRECT(64, 1)
DIRECT(64, 2)
DIRECT(64, 4)

// Half as much where a number takes two registers.
constexpr int OT = SMALL ? 4 : 2, CT = 2, MOST_THREADS = SMALL ? 512 : 256;

// A line is a row of g within a column tile; lines are counted with the rows of an image innermost.
// Block (blockIdx.x, .y, .z) = (part of the lines, chunk of O, chunk of C); its threads are og × cg × parts.
extern "C" __global__ void __launch_bounds__(MOST_THREADS)
weight_gradient(const real* __restrict__ x, const real* __restrict__ g, real* __restrict__ partial_sums, int n, int c,
                int h, int width, int o, int out_h, int out_w, int pad, int og, int cg, int tw, long long lines) {
    const int xw = tw + 2, xp = 3 * xw | 1, gp = tw | 1;  // odd: threads of different channels meet different banks
    real* xs = reinterpret_cast<real*>(memory);           // (CT · cg, 3, xw), a channel xp apart
    real* gs = xs + CT * cg * xp;                         // (OT · og, tw), a channel gp apart
    const int parts = blockDim.x / (og * cg), pairs = og * cg;
    const int my_c = threadIdx.x % cg, my_o = threadIdx.x / cg % og, part = threadIdx.x / pairs;
    const int o0 = blockIdx.y * OT * og, c0 = blockIdx.z * CT * cg;
    const int length = (tw + parts - 1) / parts, begin = min(part * length, tw), end = min(begin + length, tw);

    real sums[OT][CT][9] = {};
    const long long start = lines * blockIdx.x / gridDim.x, stop = lines * (blockIdx.x + 1) / gridDim.x;
    for (long long line = start; line < stop; ++line) {
        const int i = int(line % out_h), image = int(line / out_h % n), j0 = int(line / out_h / n) * tw;
        const int from = line == start || i == 0 ? 0 : 2;  // the ring holds the other rows already
        if (line != start) __syncthreads();
        for (int e = threadIdx.x; e < (3 - from) * CT * cg * xw; e += blockDim.x) {
            const int column = e % xw, channel = e / xw % (CT * cg), u = from + e / (xw * CT * cg);
            const int iy = i + u - pad, ix = j0 + column - pad;
            const bool inside = c0 + channel < c && iy >= 0 && iy < h && ix >= 0 && ix < width;
            xs[channel * xp + (i + u) % 3 * xw + column] =
                inside ? x[(((long long)image * c + c0 + channel) * h + iy) * width + ix] : real(0);
        }
        for (int e = threadIdx.x; e < OT * og * tw; e += blockDim.x) {
            const int column = e % tw, channel = e / tw;
            const bool inside = o0 + channel < o && j0 + column < out_w;
            gs[channel * gp + column] =
                inside ? g[(((long long)image * o + o0 + channel) * out_h + i) * out_w + j0 + column] : real(0);
        }
        __syncthreads();
        if (begin < end) {
            real seen[CT][3][3];
#pragma unroll
            for (int b = 0; b < CT; ++b)
#pragma unroll
                for (int u = 0; u < 3; ++u)
#pragma unroll
                    for (int v = 0; v < 2; ++v)
                        seen[b][u][v + 1] = xs[(my_c + b * cg) * xp + (i + u) % 3 * xw + begin + v];
            for (int j = begin; j < end; ++j) {
                real gradient[OT];
#pragma unroll
                for (int a = 0; a < OT; ++a) gradient[a] = gs[(my_o + a * og) * gp + j];
#pragma unroll
                for (int b = 0; b < CT; ++b)
#pragma unroll
                    for (int u = 0; u < 3; ++u) {
                        seen[b][u][0] = seen[b][u][1], seen[b][u][1] = seen[b][u][2];
                        seen[b][u][2] = xs[(my_c + b * cg) * xp + (i + u) % 3 * xw + j + 2];
#pragma unroll
                        for (int v = 0; v < 3; ++v)
#pragma unroll
                            for (int a = 0; a < OT; ++a) sums[a][b][u * 3 + v] += gradient[a] * seen[b][u][v];
                    }
            }
        }
    }

    // The parts of the columns are added, one of the nine taps after the other, in the memory that is free now.
    real* taps = reinterpret_cast<real*>(memory);  // (parts, OT · og, CT · cg)
    const int block = OT * og * CT * cg;
#pragma unroll
    for (int uv = 0; uv < 9; ++uv) {
        __syncthreads();
#pragma unroll
        for (int a = 0; a < OT; ++a)
#pragma unroll
            for (int b = 0; b < CT; ++b)
                taps[part * block + (my_o + a * og) * CT * cg + my_c + b * cg] = sums[a][b][uv];
        __syncthreads();
        for (int e = threadIdx.x; e < block; e += blockDim.x) {
            const int channel = c0 + e % (CT * cg), out = o0 + e / (CT * cg);
            if (out >= o || channel >= c) continue;
            double total = 0;
            for (int q = 0; q < parts; ++q) total += taps[q * block + e];
            partial_sums[(((long long)blockIdx.x * 9 + uv) * o + out) * c + channel] = real(total);
        }
    }
}

// dw (pairs, taps) = Σ over the partial_sums (count, taps, pairs): a thread for each number.
extern "C" __global__ void add_parts(const real* __restrict__ partial_sums, real* __restrict__ dw, long long pairs,
                                      int taps, int count) {
    const long long q = blockIdx.x * (long long)blockDim.x + threadIdx.x;
    if (q >= pairs * taps) return;
    double total = 0;
    for (int k = 0; k < count; ++k) total += partial_sums[k * pairs * taps + q];
    dw[q % pairs * taps + q / pairs] = real(total);
}

// partial_sums (gridDim.x, o): block (part, channel) adds up its part of the segments of PIXELS pixels, `segments` of
// which make a channel of an image. blockDim.x is 256.
constexpr int PIXELS = 1024;

extern "C" __global__ void bias_parts(const real* __restrict__ g, double* __restrict__ partial_sums, int n, int o,
                                       long long area, int segments) {
    __shared__ double sums[256];
    const long long all = (long long)n * segments;
    const long long start = all * blockIdx.x / gridDim.x, stop = all * (blockIdx.x + 1) / gridDim.x;
    double total = 0;
    for (long long s = start; s < stop; ++s) {
        const long long plane = s / segments * o + blockIdx.y, from = s % segments * PIXELS;
        const long long to = min(from + PIXELS, area);
        for (long long q = from + threadIdx.x; q < to; q += blockDim.x) total += g[plane * area + q];
    }
    sums[threadIdx.x] = total;
    for (int half = blockDim.x / 2; half; half /= 2) {
        __syncthreads();
        if (threadIdx.x < half) sums[threadIdx.x] += sums[threadIdx.x + half];
    }
    if (threadIdx.x == 0) partial_sums[blockIdx.x * (long long)o + blockIdx.y] = sums[0];
}

extern "C" __global__ void add_bias_parts(const double* __restrict__ partial_sums, real* __restrict__ db, int o,
                                           int count) {
    const int channel = blockIdx.x * blockDim.x + threadIdx.x;
    if (channel >= o) return;
    double total = 0;
    for (int k = 0; k < count; ++k) total += partial_sums[(long long)k * o + channel];
    db[channel] = real(total);
}
