// nvrtc: -Dreal=float
// nvrtc: -Dreal=double
//
// im2col and its transpose for any kernel, stride and padding, of `n` images:
//
//   im2col   columns[n, (c,u,v), (i,j)] = x[n, c, i·s + u − p, j·s + v − p], 0 outside of the image
//   col2im   dx[n,c,y,x] = Σ_{u,v} of the columns that were made from this pixel
//
// A thread makes one number of the result. col2im gathers instead of scattering: nothing is added by two threads.

extern "C" __global__ void im2col(const real* __restrict__ x, real* __restrict__ columns, int n, int c, int h,
                                  int width, int kh, int kw, int stride, int pad, int out_h, int out_w) {
    const long long q = blockIdx.x * (long long)blockDim.x + threadIdx.x;
    if (q >= (long long)n * c * kh * kw * out_h * out_w) return;
    const int j = int(q % out_w), i = int(q / out_w % out_h);
    const long long row = q / ((long long)out_h * out_w);
    const int v = int(row % kw), u = int(row / kw % kh);
    const int iy = i * stride + u - pad, ix = j * stride + v - pad;
    const bool inside = iy >= 0 && iy < h && ix >= 0 && ix < width;
    columns[q] = inside ? x[(row / (kh * kw) * h + iy) * width + ix] : real(0);
}

extern "C" __global__ void col2im(const real* __restrict__ columns, real* __restrict__ dx, int n, int c, int h,
                                  int width, int kh, int kw, int stride, int pad, int out_h, int out_w) {
    const long long q = blockIdx.x * (long long)blockDim.x + threadIdx.x;
    if (q >= (long long)n * c * h * width) return;
    const int ix = int(q % width), iy = int(q / width % h);
    const long long image_and_channel = q / ((long long)h * width);
    real total = 0;
    // i·s + u = iy + p, so u begins at its remainder and i falls by 1 when u grows by s; j and v likewise.
    for (int u = (iy + pad) % stride, i = (iy + pad) / stride; u < kh && i >= 0; u += stride, --i) {
        if (i >= out_h) continue;
        for (int v = (ix + pad) % stride, j = (ix + pad) / stride; v < kw && j >= 0; v += stride, --j)
            if (j < out_w) total += columns[((image_and_channel * kh * kw + u * kw + v) * out_h + i) * out_w + j];
    }
    dx[q] = total;
}
