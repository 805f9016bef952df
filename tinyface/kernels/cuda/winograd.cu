// nvrtc: -Dreal=float
// nvrtc: -Dreal=double
// The transforms of Winograd's F(4×4, 3×3), for winograd.py. Maps and kernels are (N, C, H, W) and (O, C, 3, 3).
//
//   kernels        U = G w Gᵀ          (36, O, C)             one thread for each kernel
//   patches        V = Bᵀ d B          (parts, 36, C, part)   one thread for each tile and channel
//   gradients          A g Aᵀ          (parts, 36, O, part)   likewise
//   assemble       y = Aᵀ M A + b      from M (36, O, part)   likewise
//   kernels_back   dw = Gᵀ Σ_parts dU G                       one thread for each kernel
//
// Neighbouring threads have neighbouring tiles, so all accesses to the 36 planes, which are most of the traffic, are
// coalesced. A thread reads its 6×6 patch pixel by pixel, 4 pixels from its neighbour's: what lies between, and the
// border that patches share, the others of its block read at about the same time; it comes from the L1 cache.
// The matrices are an argument, so constants to the compiler's multiplications, which are far from being the limit.

struct Matrices {
    real a[6][4], bt[6][6], g[6][3];
};

// The tiles of all images in one row. A launch works on `parts` times `part` of them, from `first` on; of those
// behind the last one, V and A g Aᵀ are zero, and y has none.
struct Grid {
    int rows, columns, tiles, first, parts, part;
};

struct Place {
    bool exists;
    int part, channel, image, top, left;  // which of the parts; where the tile's corner is in the output
    size_t in_plane;                      // (channel, tile) in a plane of its part
};

__device__ Place locate(Grid grid, int channels) {
    int i = blockIdx.x * blockDim.x + threadIdx.x, plane = channels * grid.part;
    Place place;
    place.part = i / plane;
    place.in_plane = i % plane;
    place.channel = i % plane / grid.part;
    int tile = grid.first + place.part * grid.part + i % grid.part;
    place.exists = place.part < grid.parts && tile < grid.tiles;
    int in_image = tile % (grid.rows * grid.columns);
    place.image = tile / (grid.rows * grid.columns);
    place.top = 4 * (in_image / grid.columns);
    place.left = 4 * (in_image % grid.columns);
    return place;
}

// planes = matrix · d · matrixᵀ for d (SIZE × SIZE) of each tile and channel of maps x; zero outside of x.
template <int SIZE>
__device__ void transform(const real (&matrix)[6][SIZE], Grid grid, const real* x, real* planes, int channels,
                          int height, int width, int padding) {
    Place place = locate(grid, channels);
    if (place.part >= grid.parts) return;
    const real* map = x + ((size_t)place.image * channels + place.channel) * height * width;
    int top = place.top - padding, left = place.left - padding;
    real half[6][SIZE];
#pragma unroll
    for (int j = 0; j < SIZE; j++) {
        real column[SIZE];
#pragma unroll
        for (int i = 0; i < SIZE; i++) {
            int row = top + i, at = left + j;
            bool inside = place.exists && 0 <= row && row < height && 0 <= at && at < width;
            column[i] = inside ? map[(size_t)row * width + at] : 0;
        }
#pragma unroll
        for (int k = 0; k < 6; k++) {
            half[k][j] = 0;
#pragma unroll
            for (int i = 0; i < SIZE; i++) half[k][j] += matrix[k][i] * column[i];
        }
    }
    size_t plane = (size_t)channels * grid.part;
    planes += place.part * 36 * plane + place.in_plane;
#pragma unroll
    for (int k = 0; k < 6; k++)
#pragma unroll
        for (int l = 0; l < 6; l++) {
            real sum = 0;
#pragma unroll
            for (int j = 0; j < SIZE; j++) sum += half[k][j] * matrix[l][j];
            planes[(6 * k + l) * plane] = sum;
        }
}

extern "C" __global__ void patches(const Matrices m, Grid grid, const real* __restrict__ x, real* __restrict__ v,
                                   int channels, int height, int width, int padding) {
    transform(m.bt, grid, x, v, channels, height, width, padding);
}

extern "C" __global__ void gradients(const Matrices m, Grid grid, const real* __restrict__ g,
                                     real* __restrict__ planes, int channels, int height, int width) {
    transform(m.a, grid, g, planes, channels, height, width, 0);
}

extern "C" __global__ void assemble(const Matrices m, Grid grid, const real* __restrict__ planes,
                                    const real* __restrict__ b /* or null */, real* __restrict__ y, int channels,
                                    int height, int width) {
    Place place = locate(grid, channels);
    if (!place.exists) return;
    size_t plane = (size_t)channels * grid.part;
    planes += place.in_plane;
    real half[4][6];
#pragma unroll
    for (int l = 0; l < 6; l++) {
        real column[6];
#pragma unroll
        for (int k = 0; k < 6; k++) column[k] = planes[(6 * k + l) * plane];
#pragma unroll
        for (int i = 0; i < 4; i++) {
            half[i][l] = 0;
#pragma unroll
            for (int k = 0; k < 6; k++) half[i][l] += m.a[k][i] * column[k];
        }
    }
    real bias = b ? b[place.channel] : 0;
    y += ((size_t)place.image * channels + place.channel) * height * width + (size_t)place.top * width + place.left;
#pragma unroll
    for (int i = 0; i < 4; i++)
#pragma unroll
        for (int j = 0; j < 4; j++) {
            real sum = bias;
#pragma unroll
            for (int l = 0; l < 6; l++) sum += half[i][l] * m.a[l][j];
            if (place.top + i < height && place.left + j < width) y[(size_t)i * width + j] = sum;
        }
}

// count = O · C; flipped: take each kernel flipped by 180°.
extern "C" __global__ void kernels(const Matrices m, const real* __restrict__ w, real* __restrict__ u, int count,
                                   int flipped) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= count) return;
    w += (size_t)i * 9;
    real half[6][3];
#pragma unroll
    for (int j = 0; j < 3; j++) {
        real column[3];
#pragma unroll
        for (int row = 0; row < 3; row++) column[row] = w[flipped ? 8 - (3 * row + j) : 3 * row + j];
#pragma unroll
        for (int k = 0; k < 6; k++)
            half[k][j] = m.g[k][0] * column[0] + m.g[k][1] * column[1] + m.g[k][2] * column[2];
    }
#pragma unroll
    for (int k = 0; k < 6; k++)
#pragma unroll
        for (int l = 0; l < 6; l++)
            u[(size_t)(6 * k + l) * count + i] =
                half[k][0] * m.g[l][0] + half[k][1] * m.g[l][1] + half[k][2] * m.g[l][2];
}

extern "C" __global__ void kernels_back(const Matrices m, const real* __restrict__ du, real* __restrict__ dw,
                                        int count, int parts) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= count) return;
    real sums[36] = {};
    for (int part = 0; part < parts; part++)
#pragma unroll
        for (int k = 0; k < 36; k++) sums[k] += du[((size_t)part * 36 + k) * count + i];
    real half[3][6];
#pragma unroll
    for (int row = 0; row < 3; row++)
#pragma unroll
        for (int l = 0; l < 6; l++) {
            half[row][l] = 0;
#pragma unroll
            for (int k = 0; k < 6; k++) half[row][l] += m.g[k][row] * sums[6 * k + l];
        }
#pragma unroll
    for (int row = 0; row < 3; row++)
#pragma unroll
        for (int j = 0; j < 3; j++) {
            real sum = 0;
#pragma unroll
            for (int l = 0; l < 6; l++) sum += half[row][l] * m.g[l][j];
            dw[(size_t)i * 9 + 3 * row + j] = sum;
        }
}
