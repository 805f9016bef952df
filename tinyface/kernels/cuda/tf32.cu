// nvrtc: -arch>=80
// Convolution at stride 1 on tensor cores, for tf32.py. Maps are (N, C, H, W); p = (image, row, column) counts the
// output's pixels of all images, s = (u, v) the places of the kernel.
//
//   pack              w (O, C, kh, kw) → (C / 16, kh·kw, 16, O), in TF32, with zeros up to whole tiles
//   conv              y[o, p]     = b[o] + Σ_{c, s} w[o, c, s] · x[c, p + s]      a block: 64 o × 256 p
//   weight_gradient   dw[s, o, c] = Σ_p g[o, p] · x[c, p + s], as partial sums    a block: 64 o × 64 c, one s, some p
//   add_parts         dw[o, c, s] = Σ_parts
//
// Both products are matrix products that never see their im2col matrix: its columns are fetched from x as they are
// needed. A block sums in slabs, 16 channels of one s, or 32 pixels. cp.async copies the next slab into shared memory,
// zeros where x has no pixel, while the tensor cores multiply the present one:
//
//   wait for my copies of slab k;  barrier: now all of k is here, and nobody reads k − 1 any more;
//   start copying k + 1 to where k − 1 was;  multiply k
//
// In conv the kh·kw slabs of the same channels come one after the other: all but the first find x in the L1 cache.
//
// mma.m16n8k8 has a warp multiply 16×8 by 8×8. Of its lanes, 4·group + member, each holds these elements:
//   a (16 × 8): rows group, group + 8, columns member, member + 4    b (8 × 8): rows member, member + 4, column group
//   d (16 × 8): rows group, group + 8, columns 2·member, 2·member + 1
// The pitch of a tile in shared memory lets the 32 lanes of such a read meet 32 different banks: 8 more than a
// multiple of 32 where members go down the rows, 4 more where groups do.

struct Shape {
    int channels, height, width, out_channels, out_height, out_width, kh, kw, padding_y, padding_x;
    unsigned pixels;  // of the output, all images
};

__device__ void copy(float* to, const float* from, bool inside) {  // a zero where it is not inside
    asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"((unsigned)__cvta_generic_to_shared(to)),
                 "l"(from), "r"(inside ? 4 : 0));
}

__device__ void copy_four(float* to, const float* from) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"((unsigned)__cvta_generic_to_shared(to)), "l"(from));
}

__device__ void wait_for_my_copies() { asm volatile("cp.async.wait_all;" ::: "memory"); }

__device__ unsigned tf32(float x) {
    unsigned rounded;
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(rounded) : "f"(x));
    return rounded;
}

__device__ void multiply_add(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
    asm volatile(
        "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

constexpr int OUT = 64, PIXELS = 256, DEPTH = 16;  // conv: a block's tile of y, and the channels in a slab
constexpr int SIDE = 64, RUN = 32;                 // weight_gradient: a block's tile of dw, and the pixels in a slab

// One thread for each number packed. out_channels is a multiple of OUT, of which `outs` exist, likewise `ins`.
// out_step, in_step: from one output and one input channel of w to the next; flipped: take kernels flipped by 180°.
extern "C" __global__ void pack(const float* __restrict__ w, float* __restrict__ packed, long long count, int outs,
                                int ins, int out_channels, int places, long long out_step, long long in_step,
                                int flipped) {
    long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= count) return;
    int o = i % out_channels;
    int row = i / out_channels, slab = row / DEPTH;
    int c = slab / places * DEPTH + row % DEPTH, place = slab % places;
    bool exists = o < outs && c < ins;
    float value = exists ? w[o * out_step + c * in_step + (flipped ? places - 1 - place : place)] : 0;
    packed[i] = __uint_as_float(tf32(value));
}

// Grid: (pixels / PIXELS, packed_out / OUT) blocks of 256 threads.
extern "C" __global__ void __launch_bounds__(256, 2)
conv(const float* __restrict__ x, const float* __restrict__ packed, const float* __restrict__ b /* or null */,
     float* __restrict__ y, const Shape shape, int packed_out) {
    __shared__ __align__(16) float w_tiles[2][DEPTH][OUT + 8], x_tiles[2][DEPTH][PIXELS + 8];
    const int warp = threadIdx.x / 32, group = threadIdx.x % 32 / 4, member = threadIdx.x % 4;
    const int places = shape.kh * shape.kw, slabs = (shape.channels + DEPTH - 1) / DEPTH * places;
    const int first_out = blockIdx.y * OUT;
    const unsigned first_pixel = blockIdx.x * PIXELS, out_plane = shape.out_height * shape.out_width;
    const size_t plane = (size_t)shape.height * shape.width;

    // Each thread fetches what one output pixel sees, and four weights.
    const unsigned pixel = first_pixel + threadIdx.x, in_image = pixel % out_plane;
    const int top = in_image / shape.out_width - shape.padding_y, left = in_image % shape.out_width - shape.padding_x;
    const float* image = x + pixel / out_plane * shape.channels * plane;
    const int weight_row = threadIdx.x / (OUT / 4), weight = threadIdx.x % (OUT / 4) * 4;

    auto fetch = [&](int slab) {
        int c = slab / places * DEPTH, row = top + slab % places / shape.kw, column = left + slab % places % shape.kw;
        bool inside = pixel < shape.pixels && 0 <= row && row < shape.height && 0 <= column && column < shape.width;
        size_t at = inside ? c * plane + (size_t)row * shape.width + column : 0;
#pragma unroll
        for (int i = 0; i < DEPTH; i++) {
            bool exists = inside && c + i < shape.channels;
            copy(&x_tiles[slab % 2][i][threadIdx.x], exists ? image + at + i * plane : x, exists);
        }
        copy_four(&w_tiles[slab % 2][weight_row][weight],
                  packed + ((size_t)slab * DEPTH + weight_row) * packed_out + first_out + weight);
    };

    // Each warp multiplies 32 outputs × 64 pixels, as 2 × 8 of the instruction's.
    const int my_out = warp % 2 * 32, my_pixel = warp / 2 * 64;
    float sums[2][8][4] = {};
    fetch(0);
    for (int slab = 0; slab < slabs; slab++) {
        wait_for_my_copies();
        __syncthreads();
        if (slab + 1 < slabs) fetch(slab + 1);
        auto& w_tile = w_tiles[slab % 2];
        auto& x_tile = x_tiles[slab % 2];
#pragma unroll
        for (int k = 0; k < DEPTH; k += 8) {
            unsigned w_part[2][4], x_part[8][2];
#pragma unroll
            for (int i = 0; i < 2; i++)
#pragma unroll
                for (int e = 0; e < 4; e++)  // packed in TF32
                    w_part[i][e] = __float_as_uint(
                        w_tile[k + member + e / 2 * 4][my_out + 16 * i + group + e % 2 * 8]);
#pragma unroll
            for (int j = 0; j < 8; j++)
#pragma unroll
                for (int e = 0; e < 2; e++)
                    x_part[j][e] = tf32(x_tile[k + member + e * 4][my_pixel + 8 * j + group]);
#pragma unroll
            for (int i = 0; i < 2; i++)
#pragma unroll
                for (int j = 0; j < 8; j++) multiply_add(sums[i][j], w_part[i], x_part[j]);
        }
    }

#pragma unroll
    for (int j = 0; j < 8; j++)
#pragma unroll
        for (int e = 0; e < 4; e++) {
            unsigned p = first_pixel + my_pixel + 8 * j + 2 * member + e % 2;
            if (p >= shape.pixels) continue;
            float* to = y + (size_t)(p / out_plane) * shape.out_channels * out_plane + p % out_plane;
#pragma unroll
            for (int i = 0; i < 2; i++) {
                int o = first_out + my_out + 16 * i + group + e / 2 * 8;
                if (o < shape.out_channels) to[(size_t)o * out_plane] = sums[i][j][e] + (b ? b[o] : 0);
            }
        }
}

// Grid: (C / SIDE, O / SIDE, parts · kh·kw) blocks of 128 threads; each sums over `slabs` runs of pixels.
extern "C" __global__ void __launch_bounds__(128)
weight_gradient(const float* __restrict__ x, const float* __restrict__ g, float* __restrict__ parts, const Shape shape,
                int slabs) {
    __shared__ float g_tiles[2][SIDE][RUN + 4], x_tiles[2][SIDE][RUN + 4];
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, group = lane / 4, member = lane % 4;
    const int first_out = blockIdx.y * SIDE, first_in = blockIdx.x * SIDE;
    const int places = shape.kh * shape.kw, place = blockIdx.z % places;
    const unsigned first_pixel = blockIdx.z / places * slabs * RUN, out_plane = shape.out_height * shape.out_width;
    const size_t plane = (size_t)shape.height * shape.width;

    // A warp fetches 32 neighbouring pixels of every fourth channel.
    auto fetch = [&](int slab) {
        unsigned pixel = first_pixel + slab * RUN + lane, image = pixel / out_plane, in_image = pixel % out_plane;
        int row = in_image / shape.out_width + place / shape.kw - shape.padding_y;
        int column = in_image % shape.out_width + place % shape.kw - shape.padding_x;
        bool exists = pixel < shape.pixels;
        bool inside = exists && 0 <= row && row < shape.height && 0 <= column && column < shape.width;
        size_t in_g = (size_t)image * shape.out_channels * out_plane + in_image;
        size_t in_x = (size_t)image * shape.channels * plane + (inside ? (size_t)row * shape.width + column : 0);
#pragma unroll
        for (int i = warp; i < SIDE; i += 4) {
            bool some_g = exists && first_out + i < shape.out_channels;
            bool some_x = inside && first_in + i < shape.channels;
            copy(&g_tiles[slab % 2][i][lane], some_g ? g + in_g + (first_out + i) * (size_t)out_plane : g, some_g);
            copy(&x_tiles[slab % 2][i][lane], some_x ? x + in_x + (first_in + i) * plane : x, some_x);
        }
    };

    // Each warp multiplies 32 output × 32 input channels, as 2 × 4 of the instruction's.
    const int my_out = warp % 2 * 32, my_in = warp / 2 * 32;
    float sums[2][4][4] = {};
    fetch(0);
    for (int slab = 0; slab < slabs; slab++) {
        wait_for_my_copies();
        __syncthreads();
        if (slab + 1 < slabs) fetch(slab + 1);
        auto& g_tile = g_tiles[slab % 2];
        auto& x_tile = x_tiles[slab % 2];
#pragma unroll
        for (int k = 0; k < RUN; k += 8) {
            unsigned g_part[2][4], x_part[4][2];
#pragma unroll
            for (int i = 0; i < 2; i++)
#pragma unroll
                for (int e = 0; e < 4; e++)
                    g_part[i][e] = tf32(g_tile[my_out + 16 * i + group + e % 2 * 8][k + member + e / 2 * 4]);
#pragma unroll
            for (int j = 0; j < 4; j++)
#pragma unroll
                for (int e = 0; e < 2; e++) x_part[j][e] = tf32(x_tile[my_in + 8 * j + group][k + member + e * 4]);
#pragma unroll
            for (int i = 0; i < 2; i++)
#pragma unroll
                for (int j = 0; j < 4; j++) multiply_add(sums[i][j], g_part[i], x_part[j]);
        }
    }

    parts += (size_t)blockIdx.z * shape.out_channels * shape.channels;
#pragma unroll
    for (int i = 0; i < 2; i++)
#pragma unroll
        for (int j = 0; j < 4; j++)
#pragma unroll
            for (int e = 0; e < 4; e++) {
                int o = first_out + my_out + 16 * i + group + e / 2 * 8;
                int c = first_in + my_in + 8 * j + 2 * member + e % 2;
                if (o < shape.out_channels && c < shape.channels) parts[(size_t)o * shape.channels + c] = sums[i][j][e];
            }
}

// parts (parts, places, O · C) → dw (O · C, places); one thread for each number of dw.
extern "C" __global__ void add_parts(const float* __restrict__ parts, float* __restrict__ dw, int count, int places,
                                     int channel_pairs) {
    int i = blockIdx.x * blockDim.x + threadIdx.x, size = places * channel_pairs;
    if (i >= size) return;
    float sum = 0;
    for (int part = 0; part < count; part++) sum += parts[(size_t)part * size + i];
    dw[(size_t)(i % channel_pairs) * places + i / channel_pairs] = sum;
}
