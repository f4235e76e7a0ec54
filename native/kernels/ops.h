// What every structure of vector operations needs. The kernels are templates over such a structure; the names of its members are
// those of avx2_ops. Everything in these headers has internal linkage: each target compiles its own copy.
#ifndef KVHK_OPS_H
#define KVHK_OPS_H

#include <stddef.h>
#include <stdint.h>

#define KVHK_INLINE __attribute__((always_inline)) inline
#define KVHK_UNROLL _Pragma("GCC unroll 16")

namespace kvhk {
namespace {

KVHK_INLINE constexpr int least(int a, int b) { return a < b ? a : b; }
KVHK_INLINE constexpr int most(int a, int b) { return a > b ? a : b; }
KVHK_INLINE constexpr int64_t round_up(int64_t x, int64_t step) { return (x + step - 1) / step * step; }

constexpr float minus_infinity = -__builtin_inff();

}  // namespace
}  // namespace kvhk

#endif
