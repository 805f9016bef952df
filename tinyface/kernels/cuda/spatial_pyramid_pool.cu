// nvrtc: -Dreal=float
// nvrtc: -Dreal=double
//
// Spatial pyramid pooling of x (N, C, H, W) to y (N, C·Σ l²), all levels in one launch; the formulas are in
// spatial_pyramid_pool.py.

// Cell i of l along an axis begins at first(i) and ends before end(i).
__device__ int first(int i, int l, int length) { return i * length / l; }
__device__ int end(int i, int l, int length) { return ((i + 1) * length + l - 1) / l; }

// A warp for each of N·C planes: it goes over the cells of all levels, its lanes over the numbers of a cell.
// features: Σ l².
extern "C" __global__ void spatial_pyramid_pool(const real* __restrict__ x, const int* __restrict__ levels,
                                                real* __restrict__ y, int depth, int planes, int C, int H, int W,
                                                int features) {
    const int plane = blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32, lane = threadIdx.x % 32;
    if (plane >= planes) return;
    x += (long long)plane * H * W;
    y += (long long)(plane / C) * C * features;
    for (int d = 0; d < depth; d++) {
        const int l = levels[d];
        real* cells = y + plane % C * l * l;
        for (int cell = 0; cell < l * l; cell++) {
            const int top = first(cell / l, l, H), lines = end(cell / l, l, H) - top;
            const int left = first(cell % l, l, W), columns = end(cell % l, l, W) - left;
            real few = 0;
            for (int i = lane; i < lines * columns; i += 32)
                few += x[(long long)(top + i / columns) * W + left + i % columns];
            double sum = few;
            for (int distance = 16; distance; distance /= 2) sum += __shfl_down_sync(~0u, sum, distance);
            if (lane == 0) cells[cell] = sum / (lines * columns);
        }
        y += (long long)C * l * l;
    }
}

// A thread for each number of dx, in rows (launch_rows). Line `line` lies in the cells ⌊line·l/H⌋ …
// ⌈(line + 1)·l/H⌉ − 1: two at most, or more where there are more cells than lines.
extern "C" __global__ void spatial_pyramid_pool_backward(const real* __restrict__ g, const int* __restrict__ levels,
                                                         real* __restrict__ dx, int depth, int rows, int C, int H, int W,
                                                         int features) {
    const int row = blockIdx.x * blockDim.y + threadIdx.y, column = blockIdx.y * blockDim.x + threadIdx.x;
    if (row >= rows || column >= W) return;
    const int plane = row / H, line = row - plane * H;
    g += (long long)(plane / C) * C * features;
    real sum = 0;
    for (int d = 0; d < depth; d++) {
        const int l = levels[d];
        const real* cells = g + plane % C * l * l;
        for (int i = first(line, H, l); i < end(line, H, l); i++)
            for (int j = first(column, W, l); j < end(column, W, l); j++) {
                const int lines = end(i, l, H) - first(i, l, H), columns = end(j, l, W) - first(j, l, W);
                sum += cells[i * l + j] / (lines * columns);
            }
        g += (long long)C * l * l;
    }
    dx[(long long)row * W + column] = sum;
}
