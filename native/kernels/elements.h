// How the rows of each element type become fp32 vectors.
#ifndef KVHK_ELEMENTS_H
#define KVHK_ELEMENTS_H

#include "attention_kernels.h"
#include "ops.h"

namespace kvhk {
namespace {

// vectors: how many one load gives. Two are even and odd channels, so that widening is one operation for each.
// heads: query rows that share one widened vector of values; more where widening is dear.
// exponent: loaded values are too small by this power of two.
template <class O>
struct fp32_element {
    static constexpr int bytes = 4, vectors = 1, heads = 4, exponent = 0;
    KVHK_INLINE static void load(const uint8_t* p, typename O::f (&x)[vectors]) { O::load_fp32(p, x); }
};

template <class O>
struct fp16_element {
    static constexpr int bytes = 2, vectors = 1, heads = 8, exponent = 0;
    KVHK_INLINE static void load(const uint8_t* p, typename O::f (&x)[vectors]) { O::load_fp16(p, x); }
};

template <class O>
struct bf16_element {
    static constexpr int bytes = 2, vectors = O::bf16_vectors, heads = 4, exponent = 0;
    KVHK_INLINE static void load(const uint8_t* p, typename O::f (&x)[vectors]) { O::load_bf16(p, x); }
};

// NaN codes come out as numbers: whoever uses it looks for them first.
template <class O>
struct tiny_e4m3_element {
    static constexpr int bytes = 1, vectors = 1, heads = 8, exponent = 120;
    KVHK_INLINE static void load(const uint8_t* p, typename O::f (&x)[vectors]) { O::load_e4m3_tiny(p, x); }
};

template <class O>
struct e4m3_element {
    static constexpr int bytes = 1, vectors = 1, heads = 8, exponent = 0;
    KVHK_INLINE static void load(const uint8_t* p, typename O::f (&x)[vectors]) { O::load_e4m3(p, x); }
};

template <class O>
struct e5m2_element {
    static constexpr int bytes = 1, vectors = 1, heads = 8, exponent = 0;
    KVHK_INLINE static void load(const uint8_t* p, typename O::f (&x)[vectors]) { O::load_e5m2(p, x); }
};

template <class O>
struct int8_element {
    static constexpr int bytes = 1, vectors = 1, heads = 8, exponent = 0;
    KVHK_INLINE static void load(const uint8_t* p, typename O::f (&x)[vectors]) { O::load_int8(p, x); }
};

// Channels that one load covers.
template <class O, class E>
constexpr int load_channels = E::vectors* O::lanes;

// fp32 channels in the order in which rows of the element are loaded, and back.
template <class O, int Vectors>
KVHK_INLINE void load_ordered(const float* p, typename O::f (&x)[Vectors]) {
    if constexpr (Vectors == 1) x[0] = O::load(p);
    else O::load_split(p, x);
}

template <class O, int Vectors>
KVHK_INLINE void store_ordered(float* p, const typename O::f (&x)[Vectors]) {
    if constexpr (Vectors == 1) O::store(p, x[0]);
    else O::store_joined(p, x);
}

}  // namespace
}  // namespace kvhk

#endif
