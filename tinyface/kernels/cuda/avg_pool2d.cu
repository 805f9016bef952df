// nvrtc: -Dreal=float
// nvrtc: -Dreal=double
//
// Average over the real cells of windows; the formulas are in avg_pool2d.py. x (N·C, H, W), y (N·C, H', W').
// Both kernels run on rows of threads (launch_rows), neighbours in a row on neighbours in memory.

// How many real cells window i has along an axis.
__device__ int cells(int i, int length, int k, int s, int p) {
    return min(i * s - p + k, length) - max(i * s - p, 0);
}

// A thread for each window.
extern "C" __global__ void avg_pool2d(const real* __restrict__ x, real* __restrict__ y, int rows, int H, int W,
                                      int out_h, int out_w, int k, int s, int p) {
    const int row = blockIdx.x * blockDim.y + threadIdx.y, j = blockIdx.y * blockDim.x + threadIdx.x;
    if (row >= rows || j >= out_w) return;
    const int plane = row / out_h, i = row - plane * out_h;
    const int top = max(i * s - p, 0), left = max(j * s - p, 0);
    const int lines = cells(i, H, k, s, p), columns = cells(j, W, k, s, p);
    x += (long long)plane * H * W;

    real sum = 0;
    for (int u = 0; u < lines; u++)
        for (int v = 0; v < columns; v++) sum += x[(long long)(top + u) * W + left + v];
    y[(long long)row * out_w + j] = sum / (lines * columns);
}

// A thread for each tile of s×s cells: tile (a, b) begins where window (a, b) does. So cell (r, q) of the tile is cell
// (r, q) of its own window, (r + s, q) of the window above, (r, q + s) of the one to the left and so on, as far as
// windows reach. Each cell adds up what these give it: nothing is added in memory, no cell is left out.
extern "C" __global__ void avg_pool2d_backward(const real* __restrict__ g, real* __restrict__ dx, int rows, int tiles_h,
                                               int tiles_w, int H, int W, int out_h, int out_w, int k, int s, int p) {
    const int row = blockIdx.x * blockDim.y + threadIdx.y, b = blockIdx.y * blockDim.x + threadIdx.x;
    if (row >= rows || b >= tiles_w) return;
    const int plane = row / tiles_h, a = row - plane * tiles_h;
    g += (long long)plane * out_h * out_w;
    dx += (long long)plane * H * W;

    real own = 0;
    if (a < out_h && b < out_w) own = g[(long long)a * out_w + b] / (cells(a, H, k, s, p) * cells(b, W, k, s, p));
    for (int r = 0; r < s; r++)
        for (int q = 0; q < s; q++) {
            const int line = a * s - p + r, column = b * s - p + q;
            if (line < 0 || line >= H || column < 0 || column >= W) continue;
            real sum = r < k && q < k ? own : 0;
            for (int u = r, i = a; u < k && i >= 0; u += s, i--)
                for (int v = q, j = b; v < k && j >= 0; v += s, j--) {
                    if (i >= out_h || j >= out_w || (i == a && j == b)) continue;
                    sum += g[(long long)i * out_w + j] / (cells(i, H, k, s, p) * cells(j, W, k, s, p));
                }
            dx[(long long)line * W + column] = sum;
        }
}
