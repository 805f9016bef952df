// nvrtc: -Dreal=float
//
// Images (N, h, w, 3) uint8 → (N, 3, h, w) float32 in [-1, 1]: RGB / 127.5 - 1, mirrored left to right where flips (N)
// says so. Label maps (N, h, w) uint8 along with them. No flips: none is mirrored.
// One thread per pixel of the result: neighbouring threads write neighbouring pixels of each colour's plane.

extern "C" __global__ void to_network_input(const unsigned char* images,
                                            const unsigned char* labels /* or null */, const bool* flips /* or null */,
                                            float* input, unsigned char* targets /* or null */, int width,
                                            long long pixels, long long size) {
    long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= size) return;
    long long n = i / pixels, p = i % pixels, source = i;
    if (flips && flips[n]) {
        int column = p % width;
        source = i - column + (width - 1 - column);
    }
    for (int c = 0; c < 3; c++) input[(3 * n + c) * pixels + p] = images[3 * source + c] / 127.5f - 1;
    if (labels) targets[i] = labels[source];
}
