// nvrtc: -Dreal=float
// nvrtc: -Dreal=double
//
// AdaGrad, SGD and Adam, in place, from g ← g + λw. One launch does up to TENSORS parameters: their addresses come in a
// table among its arguments, so that nothing has to be copied to the device first. A block takes CHUNK elements of one
// parameter, neighbouring threads neighbouring elements; each is read and written once.

#define TENSORS 100  // all arguments of a launch together may take 4096 bytes
#define CHUNK 4096
#define BLOCK 256

struct Table {
    real* w[TENSORS];
    const real* g[TENSORS];
    real* slots[2][TENSORS];  // null where the optimizer keeps none
    int size[TENSORS];        // elements
    int blocks[TENSORS];      // blocks of all parameters up to this one
};

// update(k, i) for every element i of parameter k that is this thread's.
template <typename Update>
__device__ __forceinline__ void for_elements(const Table& t, int count, Update update) {
    int k = 0, last = count - 1, block = blockIdx.x;
    while (k < last) {  // bisection for the first k with block < blocks[k]
        int middle = (k + last) / 2;
        if (block < t.blocks[middle])
            last = middle;
        else
            k = middle + 1;
    }
    long long start = (long long)(block - (k ? t.blocks[k - 1] : 0)) * CHUNK;
    int end = min(start + CHUNK, (long long)t.size[k]);
    for (int i = start + threadIdx.x; i < end; i += BLOCK) update(k, i);
}

// s ← s + g²,   w ← w - lr·g / (√s + ε)
extern "C" __global__ void adagrad(const Table t, int count, real lr, real decay, real epsilon) {
    for_elements(t, count, [&](int k, int i) {
        real w = t.w[k][i], g = t.g[k][i] + decay * w, s = t.slots[0][k][i] + g * g;
        t.slots[0][k][i] = s;
        t.w[k][i] = w - lr * (g / (sqrt(s) + epsilon));
    });
}

// v ← μv + g,   w ← w - lr·v;   nesterov: w ← w - lr·(g + μv);   without slots: w ← w - lr·g
extern "C" __global__ void sgd(const Table t, int count, real lr, real decay, real momentum, bool nesterov) {
    for_elements(t, count, [&](int k, int i) {
        real w = t.w[k][i], g = t.g[k][i] + decay * w;
        if (t.slots[0][k]) {
            real v = momentum * t.slots[0][k][i] + g;
            t.slots[0][k][i] = v;
            g = nesterov ? g + momentum * v : v;
        }
        t.w[k][i] = w - lr * g;
    });
}

// m ← β₁m + (1-β₁)g,   v ← β₂v + (1-β₂)g²,   w ← w - rate·m / (√v / root + ε),
// where rate = lr / (1 - β₁ᵗ), root = √(1 - β₂ᵗ); rest = 1 - β
extern "C" __global__ void adam(const Table t, int count, real rate, real decay, real beta1, real rest1, real beta2,
                                real rest2, real root, real epsilon) {
    for_elements(t, count, [&](int k, int i) {
        real w = t.w[k][i], g = t.g[k][i] + decay * w;
        real m = beta1 * t.slots[0][k][i] + rest1 * g, v = beta2 * t.slots[1][k][i] + rest2 * (g * g);
        t.slots[0][k][i] = m;
        t.slots[1][k][i] = v;
        t.w[k][i] = w - rate * (m / (sqrt(v) / root + epsilon));
    });
}
