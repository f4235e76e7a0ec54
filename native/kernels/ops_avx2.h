// The vector operations of the kernels in AVX2, FMA and F16C: eight fp32 lanes, sixteen registers.
#ifndef KVHK_OPS_AVX2_H
#define KVHK_OPS_AVX2_H

#include "ops.h"

#include <immintrin.h>

namespace kvhk {
namespace {

struct avx2_ops {
    static constexpr int lanes = 8;
    static constexpr int sums = 8;          // accumulators of one tile: 2 FMA a cycle x 4 cycles
    static constexpr int product_rows = 6;  // 6 x 2 accumulators leave four registers
    static constexpr int bf16_vectors = 2;  // a load of BF16 gives even and odd channels
    using f = __m256;
    using i = __m256i;

    KVHK_INLINE static f zero() { return _mm256_setzero_ps(); }
    KVHK_INLINE static f set(float x) { return _mm256_set1_ps(x); }
    KVHK_INLINE static f broadcast(const float* p) { return _mm256_broadcast_ss(p); }
    KVHK_INLINE static f load(const float* p) { return _mm256_loadu_ps(p); }
    KVHK_INLINE static void store(float* p, f x) { _mm256_storeu_ps(p, x); }
    KVHK_INLINE static f fma(f a, f b, f c) { return _mm256_fmadd_ps(a, b, c); }
    KVHK_INLINE static f mul(f a, f b) { return _mm256_mul_ps(a, b); }
    KVHK_INLINE static f add(f a, f b) { return _mm256_add_ps(a, b); }
    KVHK_INLINE static f sub(f a, f b) { return _mm256_sub_ps(a, b); }
    KVHK_INLINE static f div(f a, f b) { return _mm256_div_ps(a, b); }
    KVHK_INLINE static f max(f a, f b) { return _mm256_max_ps(a, b); }
    KVHK_INLINE static f abs(f a) { return _mm256_and_ps(a, _mm256_castsi256_ps(_mm256_set1_epi32(0x7FFFFFFF))); }
    KVHK_INLINE static f select_less(f x, f bound, f yes, f no) { return _mm256_blendv_ps(no, yes, _mm256_cmp_ps(x, bound, _CMP_LT_OQ)); }
    KVHK_INLINE static bool any_nan(f a) { return _mm256_movemask_ps(_mm256_cmp_ps(a, a, _CMP_UNORD_Q)) != 0; }
    // 2^n for n + 1.5 * 2^23.
    KVHK_INLINE static f power_of_whole(f shifted) {
        return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(_mm256_castps_si256(shifted), _mm256_set1_epi32(127)), 23));
    }

    // Lanes at a distance (4, 2 or 1) change places.
    template <int Distance>
    KVHK_INLINE static f swap(f a) {
        if constexpr (Distance == 4) return _mm256_permute2f128_ps(a, a, 1);
        if constexpr (Distance == 2) return _mm256_permute_ps(a, 0x4E);
        if constexpr (Distance == 1) return _mm256_permute_ps(a, 0xB1);
    }

    // Sums of the lanes of eight vectors. Every vector is added up in the same order.
    KVHK_INLINE static void store_sums(float* p, const f (&a)[sums]) {
        const f low = sums4(a[0], a[1], a[2], a[3]), high = sums4(a[4], a[5], a[6], a[7]);
        store(p, add(_mm256_permute2f128_ps(low, high, 0x20), _mm256_permute2f128_ps(low, high, 0x31)));
    }

    KVHK_INLINE static void load_fp32(const uint8_t* p, f (&x)[1]) { x[0] = load((const float*)p); }
    KVHK_INLINE static void load_fp16(const uint8_t* p, f (&x)[1]) { x[0] = _mm256_cvtph_ps(_mm_loadu_si128((const __m128i*)p)); }
    KVHK_INLINE static void load_bf16(const uint8_t* p, f (&x)[2]) {
        const i pairs = _mm256_loadu_si256((const i*)p);
        x[0] = _mm256_castsi256_ps(_mm256_slli_epi32(pairs, 16));
        x[1] = _mm256_castsi256_ps(_mm256_and_si256(pairs, _mm256_set1_epi32((int)0xFFFF0000)));
    }
    // Sign and the seven bits below it to their places in fp32: the value times 2^-120, subnormals too.
    KVHK_INLINE static void load_e4m3_tiny(const uint8_t* p, f (&x)[1]) {
        const i wide = _mm256_slli_epi32(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i*)p)), 20);
        x[0] = _mm256_castsi256_ps(_mm256_and_si256(wide, _mm256_set1_epi32((int)0x87F00000)));
    }
    KVHK_INLINE static void load_e4m3(const uint8_t* p, f (&x)[1]) {
        load_e4m3_tiny(p, x);
        const i wide = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i*)p));
        const i nan = _mm256_cmpeq_epi32(_mm256_or_si256(wide, _mm256_set1_epi32(0x80)), _mm256_set1_epi32(0xFF));
        x[0] = _mm256_or_ps(mul(x[0], set(0x1p120f)), _mm256_castsi256_ps(nan));
    }
    // E5M2 is the upper byte of FP16.
    KVHK_INLINE static void load_e5m2(const uint8_t* p, f (&x)[1]) {
        x[0] = _mm256_cvtph_ps(_mm_unpacklo_epi8(_mm_setzero_si128(), _mm_loadl_epi64((const __m128i*)p)));
    }
    KVHK_INLINE static void load_int8(const uint8_t* p, f (&x)[1]) {
        x[0] = _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i*)p)));
    }

    // From two vectors in the order of the channels to even and odd ones, and back.
    KVHK_INLINE static void load_split(const float* p, f (&x)[2]) {
        const f low = _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(p)), _mm_loadu_ps(p + 8), 1);
        const f high = _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(p + 4)), _mm_loadu_ps(p + 12), 1);
        x[0] = _mm256_shuffle_ps(low, high, 0x88);
        x[1] = _mm256_shuffle_ps(low, high, 0xDD);
    }
    KVHK_INLINE static void store_joined(float* p, const f (&x)[2]) {
        const f low = _mm256_unpacklo_ps(x[0], x[1]), high = _mm256_unpackhi_ps(x[0], x[1]);
        _mm_storeu_ps(p, _mm256_castps256_ps128(low));
        _mm_storeu_ps(p + 4, _mm256_castps256_ps128(high));
        _mm_storeu_ps(p + 8, _mm256_extractf128_ps(low, 1));
        _mm_storeu_ps(p + 12, _mm256_extractf128_ps(high, 1));
    }

    // Whether a code of NaN is among 16 E4M3 codes at a time: without the sign it is the largest.
    struct e4m3_check {
        i largest = _mm256_setzero_si256();
        static constexpr int bytes = 32;
        KVHK_INLINE void take(const uint8_t* p) {
            const i codes = _mm256_loadu_si256((const i*)p);
            largest = _mm256_max_epu8(largest, _mm256_add_epi8(codes, codes));
        }
        KVHK_INLINE bool found() const { return _mm256_movemask_epi8(_mm256_cmpeq_epi8(largest, _mm256_set1_epi8((char)0xFE))) != 0; }
    };

    // INT8: words and their products.
    static constexpr int words = 16;
    KVHK_INLINE static i izero() { return _mm256_setzero_si256(); }
    KVHK_INLINE static i load_words(const int16_t* p) { return _mm256_loadu_si256((const i*)p); }
    KVHK_INLINE static i broadcast_pair(const int32_t* p) { return _mm256_set1_epi32(*p); }
    KVHK_INLINE static i widen(const uint8_t* p) { return _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i*)p)); }
    // Words of two rows in turn: channels 0 to 7, and 8 to 15.
    KVHK_INLINE static void widen_pairs(const uint8_t* p, const uint8_t* q, i (&x)[2]) {
        const __m128i a = _mm_loadu_si128((const __m128i*)p), b = _mm_loadu_si128((const __m128i*)q);
        x[0] = _mm256_cvtepi8_epi16(_mm_unpacklo_epi8(a, b));
        x[1] = _mm256_cvtepi8_epi16(_mm_unpackhi_epi8(a, b));
    }
    KVHK_INLINE static i dot(i sum, i a, i b) { return _mm256_add_epi32(sum, _mm256_madd_epi16(a, b)); }
    KVHK_INLINE static f to_fp32(i x) { return _mm256_cvtepi32_ps(x); }
    KVHK_INLINE static void store_rounded(int32_t* p, f x) { _mm256_storeu_si256((i*)p, _mm256_cvtps_epi32(x)); }
    KVHK_INLINE static void store_sums(float* p, const i (&a)[sums]) {
        const i low = sums4(a[0], a[1], a[2], a[3]), high = sums4(a[4], a[5], a[6], a[7]);
        store(p, to_fp32(_mm256_add_epi32(_mm256_permute2x128_si256(low, high, 0x20), _mm256_permute2x128_si256(low, high, 0x31))));
    }

private:
    KVHK_INLINE static f sums4(f a, f b, f c, f d) {
        const f ab = add(_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b)), cd = add(_mm256_unpacklo_ps(c, d), _mm256_unpackhi_ps(c, d));
        return add(_mm256_shuffle_ps(ab, cd, 0x44), _mm256_shuffle_ps(ab, cd, 0xEE));
    }
    KVHK_INLINE static i sums4(i a, i b, i c, i d) {
        const i ab = _mm256_add_epi32(_mm256_unpacklo_epi32(a, b), _mm256_unpackhi_epi32(a, b));
        const i cd = _mm256_add_epi32(_mm256_unpacklo_epi32(c, d), _mm256_unpackhi_epi32(c, d));
        return _mm256_add_epi32(_mm256_unpacklo_epi64(ab, cd), _mm256_unpackhi_epi64(ab, cd));
    }
};

// Rows and columns of an 8 x 8 tile change places.
KVHK_INLINE void transpose(__m256 (&x)[8]) {
    __m256 a[8], b[8];
    KVHK_UNROLL
    for (int k = 0; k < 8; k += 2) {
        a[k] = _mm256_unpacklo_ps(x[k], x[k + 1]);
        a[k + 1] = _mm256_unpackhi_ps(x[k], x[k + 1]);
    }
    KVHK_UNROLL
    for (int k = 0; k < 8; k += 4) {
        KVHK_UNROLL
        for (int j = 0; j < 2; j++) {
            b[k + 2 * j] = _mm256_shuffle_ps(a[k + j], a[k + 2 + j], 0x44);
            b[k + 2 * j + 1] = _mm256_shuffle_ps(a[k + j], a[k + 2 + j], 0xEE);
        }
    }
    KVHK_UNROLL
    for (int k = 0; k < 4; k++) {
        x[k] = _mm256_permute2f128_ps(b[k], b[k + 4], 0x20);
        x[k + 4] = _mm256_permute2f128_ps(b[k], b[k + 4], 0x31);
    }
}

}  // namespace
}  // namespace kvhk

#endif
