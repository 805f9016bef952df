// nvrtc: -Dreal=float
// nvrtc: -Dreal=double
//
// im2col and its transpose for any kernel, stride and padding, of `n` images:
//
//   im2col   columns[n, (c,u,v), (i,j)] = x[n, c, i·s + u − p, j·s + v − p], 0 outside of the image
//   col2im   dx[n,c,y,x] = Σ_{u,v} of the columns' numbers that were made from this pixel
//
// A block makes a segment of PIXELS numbers of one row of the columns, or of one channel of dx. col2im gathers instead
// of scattering: nothing is added by two threads.

constexpr int PIXELS = 1024;

extern "C" __global__ void im2col(const real* __restrict__ x, real* __restrict__ columns, int h, int width, int kh,
                                  int kw, int stride, int pad, int out_h, int out_w, int segments) {
    const long long row = blockIdx.x / segments, area = (long long)out_h * out_w;  // row: (image, c, u, v)
    const int v = int(row % kw), u = int(row / kw % kh);
    const real* from = x + row / (kh * kw) * h * width;
    const long long start = blockIdx.x % segments * (long long)PIXELS, stop = min(start + PIXELS, area);
    for (long long q = start + threadIdx.x; q < stop; q += blockDim.x) {
        const int i = int(q) / out_w, j = int(q) % out_w, iy = i * stride + u - pad, ix = j * stride + v - pad;
        const bool inside = iy >= 0 && iy < h && ix >= 0 && ix < width;
        columns[row * area + q] = inside ? from[(long long)iy * width + ix] : real(0);
    }
}

extern "C" __global__ void col2im(const real* __restrict__ columns, real* __restrict__ dx, int h, int width, int kh,
                                  int kw, int stride, int pad, int out_h, int out_w, int segments) {
    const long long plane = blockIdx.x / segments, area = (long long)h * width;  // plane: (image, c)
    const real* from = columns + plane * kh * kw * out_h * out_w;
    const long long start = blockIdx.x % segments * (long long)PIXELS, stop = min(start + PIXELS, area);
    for (long long q = start + threadIdx.x; q < stop; q += blockDim.x) {
        const int y = int(q) / width + pad, x = int(q) % width + pad;
        real total = 0;
        // i·s + u = y: u begins at the remainder, and i falls by 1 when u grows by s; j and v likewise.
        for (int u = y % stride, i = y / stride; u < kh && i >= 0; u += stride, --i) {
            if (i >= out_h) continue;
            for (int v = x % stride, j = x / stride; v < kw && j >= 0; v += stride, --j)
                if (j < out_w) total += from[((long long)(u * kw + v) * out_h + i) * out_w + j];
        }
        dx[plane * area + q] = total;
    }
}
