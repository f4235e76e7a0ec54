// Decode attention on shuffled blocks of 64 tokens, [block][kv head][K | V], by the target that kvhk_chosen_target names. Kernel, a loop
// that reads the same bytes and a loop of nothing but multiply-adds take turns; the table shows medians over thread CPU time.
#include "attention_kernels.h"

#include <time.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace {

double cpu_seconds() {
    timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

double median(std::vector<double> x) {
    std::sort(x.begin(), x.end());
    return x[x.size() / 2];
}

// Results go here, so that no work is dropped.
volatile float sink;

#if defined(__x86_64__)

#define KVHK_TWELVE(f) f(0) f(1) f(2) f(3) f(4) f(5) f(6) f(7) f(8) f(9) f(10) f(11)
#define KVHK_CLOBBERED \
    "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "memory"

__attribute__((target("avx2,fma"))) double fma_lanes_256(int rounds) {
    asm volatile("vzeroall" ::: KVHK_CLOBBERED);
#define KVHK_FMA(n) "vfmadd231ps %%ymm12, %%ymm13, %%ymm" #n "\n"
    for (int i = 0; i < rounds; i++) asm volatile(KVHK_TWELVE(KVHK_FMA)::: KVHK_CLOBBERED);
#undef KVHK_FMA
    return 12.0 * 8 * rounds;
}

__attribute__((target("avx512f"))) double fma_lanes_512(int rounds) {
    asm volatile("vzeroall" ::: KVHK_CLOBBERED);
#define KVHK_FMA(n) "vfmadd231ps %%zmm12, %%zmm13, %%zmm" #n "\n"
    for (int i = 0; i < rounds; i++) asm volatile(KVHK_TWELVE(KVHK_FMA)::: KVHK_CLOBBERED);
#undef KVHK_FMA
    return 12.0 * 16 * rounds;
}

__attribute__((target("avx2"))) void read_vectors(const uint8_t* p, size_t bytes) {
    __m256i a = _mm256_setzero_si256(), b = a, c = a, d = a;
    for (size_t i = 0; i + 128 <= bytes; i += 128) {
        a = _mm256_or_si256(a, _mm256_loadu_si256((const __m256i*)(p + i)));
        b = _mm256_or_si256(b, _mm256_loadu_si256((const __m256i*)(p + i + 32)));
        c = _mm256_or_si256(c, _mm256_loadu_si256((const __m256i*)(p + i + 64)));
        d = _mm256_or_si256(d, _mm256_loadu_si256((const __m256i*)(p + i + 96)));
    }
    sink = (float)_mm256_extract_epi32(_mm256_or_si256(_mm256_or_si256(a, b), _mm256_or_si256(c, d)), 0);
}

#endif

// Multiply-adds of fp32 per second.
double fma_peak() {
    double start = cpu_seconds(), lanes = 0;
#if defined(__x86_64__)
    // Asked once: CPUID takes long in a virtual machine.
    static const bool wide = std::strncmp(kvhk_target_name(kvhk_chosen_target()), "avx512", 6) == 0;
    start = cpu_seconds();
    lanes = wide ? fma_lanes_512(50000) : __builtin_cpu_supports("fma") ? fma_lanes_256(50000) : 0;
#endif
    return lanes / (cpu_seconds() - start);
}

void read_bytes(const uint8_t* p, size_t bytes) {
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2")) return read_vectors(p, bytes);
#endif
    uint64_t sum = 0, x[4];
    for (size_t i = 0; i + 32 <= bytes; i += 32) {
        std::memcpy(x, p + i, sizeof x);
        sum |= x[0] | x[1] | x[2] | x[3];
    }
    sink = (float)sum;
}

struct setup {
    const char* name;
    int element, weights, kv_heads, group, key_dim, value_dim, tokens;
    bool latent, row_scales, key_channel_scales;
};

int element_bytes(int element) { return element == KVHK_FP32 ? 4 : element == KVHK_FP16 || element == KVHK_BF16 ? 2 : 1; }

template <class T>
struct aligned_array {
    explicit aligned_array(size_t count) : data((T*)std::aligned_alloc(64, (count * sizeof(T) + 127) / 64 * 64)) {
        std::memset(data, 0, count * sizeof(T));
    }
    ~aligned_array() { std::free(data); }
    aligned_array(const aligned_array&) = delete;
    aligned_array& operator=(const aligned_array&) = delete;
    T* data;
};

void measure(const setup& s, int rounds) {
    constexpr int block_tokens = 64;
    const int blocks = s.tokens / block_tokens, size = element_bytes(s.element);
    const int64_t key_bytes = (int64_t)block_tokens * s.key_dim * size;
    const int64_t value_bytes = s.latent ? 0 : (int64_t)block_tokens * s.value_dim * size;
    const int64_t item_bytes = key_bytes + value_bytes, total = item_bytes * s.kv_heads * blocks;

    aligned_array<uint8_t> cache((size_t)total);
    std::mt19937 random(1);
    std::normal_distribution<float> normal;
    // One item's worth of codes, repeated: the kernels do not look at values.
    for (int64_t i = 0; i < std::min(total, 4 * item_bytes); i += size) {
        const float x = normal(random);
        uint32_t bits;
        std::memcpy(&bits, &x, 4);
        const uint32_t codes[] = {0,
                                  bits,
                                  0x3000 | (bits >> 16 & 0x83FF),
                                  bits >> 16,
                                  (bits >> 24 & 0x80) | (0x28 + (bits >> 18 & 31)),
                                  (bits >> 24 & 0x80) | (0x34 + (bits >> 18 & 15)),
                                  (uint32_t)(uint8_t)(int8_t)(x * 30)};
        std::memcpy(cache.data + i, &codes[s.element], size);
    }
    for (int64_t i = 4 * item_bytes; i < total; i += item_bytes) std::memcpy(cache.data + i, cache.data + i % (4 * item_bytes), item_bytes);
    std::vector<int> order(blocks);
    std::iota(order.begin(), order.end(), 0);
    std::shuffle(order.begin(), order.end(), random);

    const kvhk_attention_shape shape = {s.element, s.weights, s.group, s.key_dim, s.value_dim};
    kvhk_attention_kernel kernel;
    if (kvhk_find_attention_kernel(kvhk_chosen_target(), &shape, &kernel) != 0) return;
    const size_t query_floats = (size_t)s.group * s.key_dim, output_floats = (size_t)s.group * s.value_dim;
    aligned_array<float> query(query_floats * s.kv_heads), output(output_floats * s.kv_heads), maximum(s.group * s.kv_heads),
        sum(s.group * s.kv_heads);
    const size_t prepared_bytes = (size_t)(kernel.prepared_bytes + 63) / 64 * 64;
    aligned_array<uint8_t> prepared(prepared_bytes * s.kv_heads + 64), scratch((size_t)kvhk_scratch_bytes(s.group, s.key_dim, s.value_dim));
    for (size_t i = 0; i < query_floats * s.kv_heads; i++) query.data[i] = normal(random);
    std::vector<float> scales(block_tokens, 0.01f), channel_scales(s.key_dim, 0.02f);

    const auto attend_all = [&] {
        for (int h = 0; h < s.kv_heads; h++) {
            if (kernel.prepare) kernel.prepare(&shape, query.data + h * query_floats, prepared.data + h * prepared_bytes);
        }
        std::fill(maximum.data, maximum.data + s.group * s.kv_heads, -INFINITY);
        std::fill(sum.data, sum.data + s.group * s.kv_heads, 0.0f);
        std::fill(output.data, output.data + output_floats * s.kv_heads, 0.0f);
        const int items = blocks * s.kv_heads;
        const auto item_at = [&](int i) {
            return cache.data + ((int64_t)order[i / s.kv_heads] * s.kv_heads + i % s.kv_heads) * item_bytes;
        };
        for (int i = 0; i < items; i++) {
            const int h = i % s.kv_heads;
            const uint8_t *item = item_at(i), *next = i + 1 < items ? item_at(i + 1) : nullptr;
            kvhk_attend_tile tile = {};
            tile.keys = item;
            tile.values = item + (s.latent ? 0 : key_bytes);
            tile.key_stride = (int64_t)s.key_dim * size;
            tile.value_stride = (int64_t)(s.latent ? s.key_dim : s.value_dim) * size;
            tile.next_keys = next;
            tile.next_values = next == nullptr ? nullptr : next + (s.latent ? 0 : key_bytes);
            tile.next_tokens = next == nullptr ? 0 : block_tokens;
            tile.key_scales = s.row_scales && !s.key_channel_scales ? scales.data() : nullptr;
            tile.value_scales = s.row_scales ? scales.data() : nullptr;
            tile.key_channel_scales = s.key_channel_scales ? channel_scales.data() : nullptr;
            tile.query = query.data + h * query_floats;
            tile.prepared = prepared.data + h * prepared_bytes;
            tile.maximum = maximum.data + h * s.group;
            tile.sum = sum.data + h * s.group;
            tile.output = output.data + h * output_floats;
            tile.scratch = scratch.data;
            tile.rows = s.group;
            tile.key_dim = s.key_dim;
            tile.value_dim = s.value_dim;
            tile.tokens = block_tokens;
            tile.logit_factor = 1.44269504f / std::sqrt((float)s.key_dim);
            kernel.attend(&tile);
        }
        sink = output.data[0] / sum.data[0];
    };

    // Enough repetitions that a round takes some ten milliseconds.
    attend_all();
    double once = cpu_seconds();
    attend_all();
    once = cpu_seconds() - once;
    const int repeats = std::max(1, (int)(0.01 / once));
    std::vector<double> seconds, read_seconds, to_read, to_fma;
    const double multiply_adds = (double)s.tokens * s.kv_heads * s.group * (s.key_dim + s.value_dim);
    for (int r = 0; r < rounds; r++) {
        const double before = fma_peak();
        double start = cpu_seconds();
        for (int k = 0; k < repeats; k++) attend_all();
        seconds.push_back((cpu_seconds() - start) / repeats);
        const double peak = (before + fma_peak()) / 2;
        start = cpu_seconds();
        for (int k = 0; k < repeats; k++) {
            for (int b : order) read_bytes(cache.data + (int64_t)b * item_bytes * s.kv_heads, (size_t)(item_bytes * s.kv_heads));
        }
        read_seconds.push_back((cpu_seconds() - start) / repeats);
        to_read.push_back(read_seconds.back() / seconds.back());
        to_fma.push_back(multiply_adds / seconds.back() / peak);
    }
    std::printf("%-28s %-22s %9.3f ms %7.2f GB/s %6.1f %% of read (%5.1f GB/s) %6.1f %% of FMA peak %7.2f tokens/us\n", s.name, kernel.name,
                1e3 * median(seconds), 1e-9 * (double)total / median(seconds), 100 * median(to_read),
                1e-9 * (double)total / median(read_seconds), 100 * median(to_fma), 1e-6 * s.tokens / median(seconds));
    std::fflush(stdout);
}

}  // namespace

int main(int count, char** arguments) {
    if (kvhk_chosen_target() < 0) {
        std::fprintf(stderr, "KVHANDOFF_KERNELS names no target that this machine supports.\n");
        return 1;
    }
    const std::string only = count > 1 ? arguments[1] : "";
    const int rounds = count > 2 ? std::atoi(arguments[2]) : 9;
    struct kind {
        const char* name;
        int element, weights;
        bool row_scales, key_channel_scales;
    };
    constexpr kind kinds[] = {
        {"bf16", KVHK_BF16, KVHK_WEIGHTS_BF16, false, false},        {"bf16 exact", KVHK_BF16, KVHK_WEIGHTS_FP32, false, false},
        {"fp8", KVHK_FP8_E4M3, KVHK_WEIGHTS_BF16, true, false},      {"int8", KVHK_INT8, KVHK_WEIGHTS_FP32, true, false},
        {"int8 channels", KVHK_INT8, KVHK_WEIGHTS_FP32, true, true}, {"fp16", KVHK_FP16, KVHK_WEIGHTS_FP32, false, false},
        {"fp32", KVHK_FP32, KVHK_WEIGHTS_FP32, false, false}};
    for (int tokens : {1024, 65536}) {
        for (int group : {8, 1, 4}) {
            for (const kind& k : kinds) {
                if (group != 8 && (tokens > 1024 || k.element == KVHK_FP32 || k.element == KVHK_FP16)) continue;
                const std::string name =
                    std::string(k.name) + " " + std::to_string(8 * group) + "q/8kv/128 " + std::to_string(tokens / 1024) + "K";
                if (name.find(only) == std::string::npos) continue;
                measure({name.c_str(), k.element, k.weights, 8, group, 128, 128, tokens, false, k.row_scales, k.key_channel_scales},
                        rounds);
            }
        }
    }
    for (const kind& k : kinds) {
        if (k.row_scales) continue;
        const std::string name = std::string(k.name) + " MLA 128q 576/512 4K";
        if (name.find(only) == std::string::npos) continue;
        measure({name.c_str(), k.element, k.weights, 1, 128, 576, 512, 4096, true, false, false}, rounds);
    }
}
