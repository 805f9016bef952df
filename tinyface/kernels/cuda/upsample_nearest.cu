// nvrtc: -Dreal=float
// nvrtc: -Dreal=double
//
// Nearest-neighbour up-sampling of x (N·C, H, W) to y (N·C, H', W'); the formulas are in upsample_nearest.py.
// Both kernels have a thread for each cell of x, in rows (launch_rows). Row i of y copies row ⌊i·H/H'⌋ of x:
// the copies of row a are ⌈a·H'/H⌉ … ⌈(a + 1)·H'/H⌉ − 1, columns likewise. Unsigned: sides up to 65535 fit.

__device__ int first_copy(unsigned a, unsigned out, unsigned length) { return (a * out + length - 1) / length; }

extern "C" __global__ void upsample_nearest(const real* __restrict__ x, real* __restrict__ y, int rows, int H, int W,
                                            int out_h, int out_w) {
    const int row = blockIdx.x * blockDim.y + threadIdx.y, b = blockIdx.y * blockDim.x + threadIdx.x;
    if (row >= rows || b >= W) return;
    const int plane = row / H, a = row - plane * H;
    const int top = first_copy(a, out_h, H), bottom = first_copy(a + 1, out_h, H);
    const int left = first_copy(b, out_w, W), right = first_copy(b + 1, out_w, W);
    const real value = x[(long long)row * W + b];
    for (int i = top; i < bottom; i++)
        for (int j = left; j < right; j++) y[((long long)plane * out_h + i) * out_w + j] = value;
}

extern "C" __global__ void upsample_nearest_backward(const real* __restrict__ g, real* __restrict__ dx, int rows, int H,
                                                     int W, int out_h, int out_w) {
    const int row = blockIdx.x * blockDim.y + threadIdx.y, b = blockIdx.y * blockDim.x + threadIdx.x;
    if (row >= rows || b >= W) return;
    const int plane = row / H, a = row - plane * H;
    const int top = first_copy(a, out_h, H), bottom = first_copy(a + 1, out_h, H);
    const int left = first_copy(b, out_w, W), right = first_copy(b + 1, out_w, W);
    real sum = 0;
    for (int i = top; i < bottom; i++)
        for (int j = left; j < right; j++) sum += g[((long long)plane * out_h + i) * out_w + j];
    dx[(long long)row * W + b] = sum;
}
