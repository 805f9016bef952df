// nvrtc: -Dreal=float
// nvrtc: -Dreal=double
//
// Maximum over windows; the formulas are in max_pool2d.py. x (N·C, H, W), y (N·C, H', W').
// Both kernels run on rows of threads (launch_rows), neighbours in a row on neighbours in memory.

// A thread for each window. winner: number u·k + v of the cell that won.
extern "C" __global__ void max_pool2d(const real* __restrict__ x, real* __restrict__ y,
                                      unsigned char* __restrict__ winner /* or null */, int rows, int H, int W,
                                      int out_h, int out_w, int k, int s, int p) {
    const int row = blockIdx.x * blockDim.y + threadIdx.y, j = blockIdx.y * blockDim.x + threadIdx.x;
    if (row >= rows || j >= out_w) return;
    const int plane = row / out_h, i = row - plane * out_h;
    const int top = i * s - p, left = j * s - p;
    const int first_u = max(-top, 0), first_v = max(-left, 0);
    const int end_u = min(k, H - top), end_v = min(k, W - left);
    x += (long long)plane * H * W;

    real best = __int_as_float(0xff800000);  // −∞
    int cell = first_u * k + first_v;  // the first real one, should all be −∞
    for (int u = first_u; u < end_u; u++)
        for (int v = first_v; v < end_v; v++) {
            const real value = x[(long long)(top + u) * W + left + v];
            if (value > best || isnan(value)) {  // > : ties go to the first; NaN must show
                best = value;
                cell = u * k + v;
            }
        }
    const long long at = (long long)row * out_w + j;
    y[at] = best;
    if (winner) winner[at] = cell;
}

// A thread for each tile of s×s cells: tile (a, b) begins where window (a, b) does. So cell (r, q) of the tile is cell
// (r, q) of its own window, (r + s, q) of the window above, (r, q + s) of the one to the left and so on, as far as
// windows reach. Each cell adds up what it won: nothing is added in memory, no cell is left out.
extern "C" __global__ void max_pool2d_backward(const real* __restrict__ g, const unsigned char* __restrict__ winner,
                                               real* __restrict__ dx, int rows, int tiles_h, int tiles_w, int H, int W,
                                               int out_h, int out_w, int k, int s, int p) {
    const int row = blockIdx.x * blockDim.y + threadIdx.y, b = blockIdx.y * blockDim.x + threadIdx.x;
    if (row >= rows || b >= tiles_w) return;
    const int plane = row / tiles_h, a = row - plane * tiles_h;
    g += (long long)plane * out_h * out_w;
    winner += (long long)plane * out_h * out_w;
    dx += (long long)plane * H * W;

    real own = 0;
    int own_winner = -1;
    if (a < out_h && b < out_w) {
        own = g[(long long)a * out_w + b];
        own_winner = winner[(long long)a * out_w + b];
    }
    for (int r = 0; r < s; r++)
        for (int q = 0; q < s; q++) {
            const int line = a * s - p + r, column = b * s - p + q;
            if (line < 0 || line >= H || column < 0 || column >= W) continue;
            real sum = r < k && q < k && own_winner == r * k + q ? own : 0;
            for (int u = r, i = a; u < k && i >= 0; u += s, i--)
                for (int v = q, j = b; v < k && j >= 0; v += s, j--) {
                    if (i >= out_h || j >= out_w || (i == a && j == b)) continue;
                    const long long window = (long long)i * out_w + j;
                    if (winner[window] == u * k + v) sum += g[window];
                }
            dx[(long long)line * W + column] = sum;
        }
}
