// nvrtc: -Dreal=float
// nvrtc: -Dreal=double
//
// In place, in evaluation, for y (planes, area), planes being images × channels:
//
//   a = γ / √(σ² + ε),   y ← a · y + (β − μ·a),   then y where y > 0, slope·y elsewhere
//
// Block: a segment of PIXELS pixels of one plane.

constexpr int PIXELS = 1024;

extern "C" __global__ void norm_prelu(real* __restrict__ y, const real* __restrict__ gamma,
                                      const real* __restrict__ beta, const real* __restrict__ slope,
                                      const real* __restrict__ mean, const real* __restrict__ var, real eps,
                                      int channels, long long area, int segments) {
    const long long plane = blockIdx.x / segments;
    const int channel = int(plane % channels);
    __shared__ real of_channel[3];  // made once for the block
    if (threadIdx.x == 0) {
        const real scale = gamma[channel] / sqrt(var[channel] + eps);
        of_channel[0] = scale, of_channel[1] = beta[channel] - mean[channel] * scale, of_channel[2] = slope[channel];
    }
    __syncthreads();
    const real scale = of_channel[0], shift = of_channel[1], below = of_channel[2];
    const long long start = blockIdx.x % segments * (long long)PIXELS;
    const long long stop = min(start + PIXELS, area);
    for (long long q = start + threadIdx.x; q < stop; q += blockDim.x) {
        const real z = y[plane * area + q] * scale + shift;
        y[plane * area + q] = z > 0 ? z : below * z;
    }
}
