// Fills in the kernel that the caller gets.
#ifndef KVHK_KERNEL_TABLE_H
#define KVHK_KERNEL_TABLE_H

#include "attention_kernels.h"
#include "ops.h"

namespace kvhk {
namespace {

template <class Rows>
bool offer(const kvhk_attention_shape& shape, const char* name, kvhk_attention_kernel& kernel) {
    if (!Rows::fits(shape.key_dim, shape.value_dim)) return false;
    kernel = {Rows::prepared_bytes(shape), Rows::prepare, Rows::attend, name};
    return true;
}

template <class Rows>
bool offer_unprepared(const kvhk_attention_shape& shape, const char* name, kvhk_attention_kernel& kernel) {
    if (!Rows::fits(shape.key_dim, shape.value_dim)) return false;
    kernel = {0, nullptr, Rows::attend, name};
    return true;
}

}  // namespace
}  // namespace kvhk

#endif
