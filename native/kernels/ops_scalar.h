// The vector operations of the kernels on one number at a time: for every processor and every dimension.
#ifndef KVHK_OPS_SCALAR_H
#define KVHK_OPS_SCALAR_H

#include "ops.h"

namespace kvhk {
namespace {

struct scalar_ops {
    static constexpr int lanes = 1;
    static constexpr int sums = 8;
    static constexpr int bf16_vectors = 1;
    using f = float;

    KVHK_INLINE static f zero() { return 0; }
    KVHK_INLINE static f set(float x) { return x; }
    KVHK_INLINE static f broadcast(const float* p) { return *p; }
    KVHK_INLINE static f load(const float* p) { return read<float>((const uint8_t*)p); }
    KVHK_INLINE static void store(float* p, f x) { *p = x; }
    KVHK_INLINE static f fma(f a, f b, f c) { return a * b + c; }
    KVHK_INLINE static f mul(f a, f b) { return a * b; }
    KVHK_INLINE static f add(f a, f b) { return a + b; }
    KVHK_INLINE static f sub(f a, f b) { return a - b; }
    KVHK_INLINE static f div(f a, f b) { return a / b; }
    KVHK_INLINE static f max(f a, f b) { return a > b ? a : b; }
    KVHK_INLINE static f abs(f a) { return __builtin_fabsf(a); }
    KVHK_INLINE static f select_less(f x, f bound, f yes, f no) { return x < bound ? yes : no; }
    KVHK_INLINE static bool any_nan(f a) { return a != a; }
    KVHK_INLINE static f power_of_whole(f shifted) { return as_float((as_bits(shifted) + 127) << 23); }
    template <int Distance>
    KVHK_INLINE static f swap(f a) {
        return a;
    }
    KVHK_INLINE static void store_sums(float* p, const f (&a)[sums]) {
        for (int k = 0; k < sums; k++) p[k] = a[k];
    }

    KVHK_INLINE static void load_fp32(const uint8_t* p, f (&x)[1]) { x[0] = read<float>(p); }
    KVHK_INLINE static void load_bf16(const uint8_t* p, f (&x)[1]) { x[0] = as_float((uint32_t)read<uint16_t>(p) << 16); }
    KVHK_INLINE static void load_fp16(const uint8_t* p, f (&x)[1]) { x[0] = from_fp16(read<uint16_t>(p)); }
    KVHK_INLINE static void load_e5m2(const uint8_t* p, f (&x)[1]) { x[0] = from_fp16((uint32_t)*p << 8); }
    KVHK_INLINE static void load_int8(const uint8_t* p, f (&x)[1]) { x[0] = (int8_t)*p; }
    KVHK_INLINE static void load_e4m3(const uint8_t* p, f (&x)[1]) {
        const uint32_t code = *p, sign = (code & 0x80) << 24;
        x[0] = (code & 0x7F) == 0x7F ? as_float(sign | 0x7FC00000) : as_float(sign | (code & 0x7F) << 20) * 0x1p120f;
    }

private:
    KVHK_INLINE static f from_fp16(uint32_t code) {
        const uint32_t sign = (code & 0x8000) << 16, magnitude = code & 0x7FFF;
        if (magnitude >= 0x7C00) return as_float(sign | 0x7F800000 | (magnitude & 0x3FF) << 13);
        return as_float(sign | magnitude << 13) * 0x1p112f;
    }
    template <class T>
    KVHK_INLINE static T read(const uint8_t* p) {
        T x;
        __builtin_memcpy(&x, p, sizeof x);
        return x;
    }
    KVHK_INLINE static uint32_t as_bits(float x) { return read<uint32_t>((const uint8_t*)&x); }
    KVHK_INLINE static float as_float(uint32_t x) { return read<float>((const uint8_t*)&x); }
};

}  // namespace
}  // namespace kvhk

#endif
