#include "cpu_features.h"

#if defined(__x86_64__)
#include <cpuid.h>
#include <stdint.h>
#endif

namespace kvhk {

#if defined(__x86_64__)

namespace {

// Which register files the system saves: bit 1 SSE, 2 AVX, 5 to 7 the three parts of AVX-512.
uint64_t enabled_state() {
    uint32_t low, high;
    asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return low | (uint64_t)high << 32;
}

constexpr bool has(uint32_t word, int bit) { return (word >> bit & 1) != 0; }

}  // namespace

cpu_features detect_cpu_features() {
    cpu_features features = {};
    uint32_t a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d)) return features;
    const bool fma = has(c, 12), osxsave = has(c, 27), avx = has(c, 28), f16c = has(c, 29), sse42 = has(c, 20);
    if (!osxsave || !avx) return features;
    const uint64_t state = enabled_state();
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return features;
    const uint32_t subleaves = a, b7 = b, c7 = c;
    features.avx2 = (state & 0x6) == 0x6 && fma && f16c && has(b7, 5);
    features.vpclmulqdq = features.avx2 && sse42 && has(c7, 10);
    features.avx512 = features.avx2 && (state & 0xE6) == 0xE6 && has(b7, 16) && has(b7, 17) && has(b7, 30) && has(b7, 31);
    if (!features.avx512 || subleaves < 1 || !__get_cpuid_count(7, 1, &a, &b, &c, &d)) return features;
    const bool vbmi = has(c7, 1), vnni = has(c7, 11), bf16 = has(a, 5);
    features.avx512bf16 = vbmi && vnni && bf16;
    return features;
}

#else

cpu_features detect_cpu_features() { return {}; }

#endif

}  // namespace kvhk
