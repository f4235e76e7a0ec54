// The vector operations of the kernels in AVX-512 (F, BW, DQ, VL): sixteen fp32 lanes, 32 registers.
#ifndef KVHK_OPS_AVX512_H
#define KVHK_OPS_AVX512_H

#include "ops.h"

#include <immintrin.h>

namespace kvhk {
namespace {

struct avx512_ops {
    static constexpr int lanes = 16;
    static constexpr int sums = 16;
    static constexpr int product_rows = 12;  // 12 x 2 accumulators leave eight registers
    static constexpr int bf16_vectors = 2;   // a load of BF16 gives even and odd channels
    using f = __m512;
    using i = __m512i;

    KVHK_INLINE static f zero() { return _mm512_setzero_ps(); }
    KVHK_INLINE static f set(float x) { return _mm512_set1_ps(x); }
    KVHK_INLINE static f broadcast(const float* p) { return _mm512_set1_ps(*p); }
    KVHK_INLINE static f load(const float* p) { return _mm512_loadu_ps(p); }
    KVHK_INLINE static void store(float* p, f x) { _mm512_storeu_ps(p, x); }
    KVHK_INLINE static f fma(f a, f b, f c) { return _mm512_fmadd_ps(a, b, c); }
    KVHK_INLINE static f mul(f a, f b) { return _mm512_mul_ps(a, b); }
    KVHK_INLINE static f add(f a, f b) { return _mm512_add_ps(a, b); }
    KVHK_INLINE static f sub(f a, f b) { return _mm512_sub_ps(a, b); }
    KVHK_INLINE static f div(f a, f b) { return _mm512_div_ps(a, b); }
    KVHK_INLINE static f max(f a, f b) { return _mm512_max_ps(a, b); }
    KVHK_INLINE static f abs(f a) { return _mm512_abs_ps(a); }
    KVHK_INLINE static f select_less(f x, f bound, f yes, f no) {
        return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(x, bound, _CMP_LT_OQ), no, yes);
    }
    KVHK_INLINE static bool any_nan(f a) { return _mm512_cmp_ps_mask(a, a, _CMP_UNORD_Q) != 0; }
    // 2^n for n + 1.5 * 2^23.
    KVHK_INLINE static f power_of_whole(f shifted) {
        return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_add_epi32(_mm512_castps_si512(shifted), _mm512_set1_epi32(127)), 23));
    }

    // Lanes at a distance (8, 4, 2 or 1) change places.
    template <int Distance>
    KVHK_INLINE static f swap(f a) {
        if constexpr (Distance == 8) return _mm512_shuffle_f32x4(a, a, 0x4E);
        if constexpr (Distance == 4) return _mm512_shuffle_f32x4(a, a, 0xB1);
        if constexpr (Distance == 2) return _mm512_permute_ps(a, 0x4E);
        if constexpr (Distance == 1) return _mm512_permute_ps(a, 0xB1);
    }

    // Sums of the lanes of sixteen vectors. Every vector is added up in the same order.
    KVHK_INLINE static void store_sums(float* p, const f (&a)[sums]) {
        const f ab = halves(sums4(a[0], a[1], a[2], a[3]), sums4(a[4], a[5], a[6], a[7]));
        const f cd = halves(sums4(a[8], a[9], a[10], a[11]), sums4(a[12], a[13], a[14], a[15]));
        store(p, halves(ab, cd));
    }

    KVHK_INLINE static void load_fp32(const uint8_t* p, f (&x)[1]) { x[0] = load((const float*)p); }
    KVHK_INLINE static void load_fp16(const uint8_t* p, f (&x)[1]) { x[0] = _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i*)p)); }
    KVHK_INLINE static void load_bf16(const uint8_t* p, f (&x)[2]) {
        const i pairs = _mm512_loadu_si512(p);
        x[0] = _mm512_castsi512_ps(_mm512_slli_epi32(pairs, 16));
        x[1] = _mm512_castsi512_ps(_mm512_and_si512(pairs, _mm512_set1_epi32((int)0xFFFF0000)));
    }
    // Sign and the seven bits below it to their places in fp32: the value times 2^-120, subnormals too.
    KVHK_INLINE static void load_e4m3_tiny(const uint8_t* p, f (&x)[1]) {
        const i wide = _mm512_slli_epi32(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i*)p)), 20);
        x[0] = _mm512_castsi512_ps(_mm512_and_si512(wide, _mm512_set1_epi32((int)0x87F00000)));
    }
    KVHK_INLINE static void load_e4m3(const uint8_t* p, f (&x)[1]) {
        load_e4m3_tiny(p, x);
        const __m128i codes = _mm_or_si128(_mm_loadu_si128((const __m128i*)p), _mm_set1_epi8((char)0x80));
        const __mmask16 nan = _mm_cmpeq_epi8_mask(codes, _mm_set1_epi8((char)0xFF));
        x[0] = _mm512_mask_mov_ps(mul(x[0], set(0x1p120f)), nan, set(__builtin_nanf("")));
    }
    // E5M2 is the upper byte of FP16.
    KVHK_INLINE static void load_e5m2(const uint8_t* p, f (&x)[1]) {
        x[0] = _mm512_cvtph_ps(_mm256_slli_epi16(_mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i*)p)), 8));
    }
    KVHK_INLINE static void load_int8(const uint8_t* p, f (&x)[1]) {
        x[0] = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i*)p)));
    }

    // From two vectors in the order of the channels to even and odd ones, and back.
    KVHK_INLINE static void load_split(const float* p, f (&x)[2]) {
        const f low = load(p), high = load(p + 16);
        const i even = _mm512_set_epi32(30, 28, 26, 24, 22, 20, 18, 16, 14, 12, 10, 8, 6, 4, 2, 0);
        x[0] = _mm512_permutex2var_ps(low, even, high);
        x[1] = _mm512_permutex2var_ps(low, _mm512_add_epi32(even, _mm512_set1_epi32(1)), high);
    }
    KVHK_INLINE static void store_joined(float* p, const f (&x)[2]) {
        const i first = _mm512_set_epi32(23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
        store(p, _mm512_permutex2var_ps(x[0], first, x[1]));
        store(p + 16, _mm512_permutex2var_ps(x[0], _mm512_add_epi32(first, _mm512_set1_epi32(8)), x[1]));
    }

    // Whether a code of NaN is among E4M3 codes: without the sign it is the largest.
    struct e4m3_check {
        i largest = _mm512_setzero_si512();
        static constexpr int bytes = 64;
        KVHK_INLINE void take(const uint8_t* p) {
            const i codes = _mm512_loadu_si512(p);
            largest = _mm512_max_epu8(largest, _mm512_add_epi8(codes, codes));
        }
        KVHK_INLINE bool found() const { return _mm512_cmpeq_epi8_mask(largest, _mm512_set1_epi8((char)0xFE)) != 0; }
    };

    // INT8: words and their products.
    static constexpr int words = 32;
    KVHK_INLINE static i izero() { return _mm512_setzero_si512(); }
    KVHK_INLINE static i load_words(const int16_t* p) { return _mm512_loadu_si512(p); }
    KVHK_INLINE static i broadcast_pair(const int32_t* p) { return _mm512_set1_epi32(*p); }
    KVHK_INLINE static i widen(const uint8_t* p) { return _mm512_cvtepi8_epi16(_mm256_loadu_si256((const __m256i*)p)); }
    // Words of two rows in turn: channels 0 to 15, and 16 to 31.
    KVHK_INLINE static void widen_pairs(const uint8_t* p, const uint8_t* q, i (&x)[2]) {
        const __m256i a = _mm256_permute4x64_epi64(_mm256_loadu_si256((const __m256i*)p), 0xD8);
        const __m256i b = _mm256_permute4x64_epi64(_mm256_loadu_si256((const __m256i*)q), 0xD8);
        x[0] = _mm512_cvtepi8_epi16(_mm256_unpacklo_epi8(a, b));
        x[1] = _mm512_cvtepi8_epi16(_mm256_unpackhi_epi8(a, b));
    }
    KVHK_INLINE static i dot(i sum, i a, i b) { return _mm512_add_epi32(sum, _mm512_madd_epi16(a, b)); }
    KVHK_INLINE static f to_fp32(i x) { return _mm512_cvtepi32_ps(x); }
    KVHK_INLINE static void store_rounded(int32_t* p, f x) { _mm512_storeu_si512(p, _mm512_cvtps_epi32(x)); }
    KVHK_INLINE static void store_sums(float* p, const i (&a)[sums]) {
        const i ab = halves(sums4(a[0], a[1], a[2], a[3]), sums4(a[4], a[5], a[6], a[7]));
        const i cd = halves(sums4(a[8], a[9], a[10], a[11]), sums4(a[12], a[13], a[14], a[15]));
        store(p, to_fp32(halves(ab, cd)));
    }

private:
    KVHK_INLINE static f sums4(f a, f b, f c, f d) {
        const f ab = add(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b)), cd = add(_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d));
        return add(_mm512_shuffle_ps(ab, cd, 0x44), _mm512_shuffle_ps(ab, cd, 0xEE));
    }
    KVHK_INLINE static f halves(f a, f b) { return add(_mm512_shuffle_f32x4(a, b, 0x88), _mm512_shuffle_f32x4(a, b, 0xDD)); }
    KVHK_INLINE static i sums4(i a, i b, i c, i d) {
        const i ab = _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
        const i cd = _mm512_add_epi32(_mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d));
        return _mm512_add_epi32(_mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd));
    }
    KVHK_INLINE static i halves(i a, i b) { return _mm512_add_epi32(_mm512_shuffle_i32x4(a, b, 0x88), _mm512_shuffle_i32x4(a, b, 0xDD)); }
};

}  // namespace
}  // namespace kvhk

#endif
