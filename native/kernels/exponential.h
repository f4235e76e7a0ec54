// 2^x and tanh.
#ifndef KVHK_EXPONENTIAL_H
#define KVHK_EXPONENTIAL_H

#include "ops.h"

namespace kvhk {
namespace {

// The minimax polynomial that Cephes uses for exp2f: below one unit in the last place. 0 below -126; x < 128.
template <class O>
KVHK_INLINE typename O::f power_of_2(typename O::f x) {
    // Sums with 1.5 * 2^23 are whole.
    const auto shift = O::set(12582912.0f), shifted = O::add(x, shift), fraction = O::sub(x, O::sub(shifted, shift));
    auto value = O::fma(O::set(1.535336188319500e-4f), fraction, O::set(1.339887440266574e-3f));
    value = O::fma(value, fraction, O::set(9.618437357674640e-3f));
    value = O::fma(value, fraction, O::set(5.550332471162809e-2f));
    value = O::fma(value, fraction, O::set(2.402264791363012e-1f));
    value = O::fma(value, fraction, O::set(6.931472028550421e-1f));
    value = O::fma(value, fraction, O::set(1.0f));
    // Multiplying, not adding to the exponent, keeps a NaN a NaN.
    return O::select_less(x, O::set(-126.0f), O::zero(), O::mul(value, O::power_of_whole(shifted)));
}

// Near 0 the odd polynomial of Cephes' tanhf, elsewhere 1 - 2 / (e^2x + 1).
template <class O>
KVHK_INLINE typename O::f hyperbolic_tangent(typename O::f x) {
    const auto magnitude = O::abs(x), most = O::set(10.0f), one = O::set(1.0f);
    const auto bounded = O::select_less(most, magnitude, most, magnitude);
    const auto power = power_of_2<O>(O::mul(bounded, O::set(2.885390081777927f)));
    const auto far = O::sub(one, O::div(O::set(2.0f), O::add(power, one)));
    const auto square = O::mul(x, x);
    auto near = O::fma(O::set(-5.70498872745e-3f), square, O::set(2.06390887954e-2f));
    near = O::fma(near, square, O::set(-5.37397155531e-2f));
    near = O::fma(near, square, O::set(1.33314422036e-1f));
    near = O::fma(near, square, O::set(-3.33332819422e-1f));
    near = O::fma(O::mul(near, square), x, x);
    const auto signed_far = O::select_less(x, O::zero(), O::sub(O::zero(), far), far);
    return O::select_less(magnitude, O::set(0.625f), near, signed_far);
}

}  // namespace
}  // namespace kvhk

#endif
