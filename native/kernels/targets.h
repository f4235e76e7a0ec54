// The instruction sets that kernels are compiled for. Each target is one file, compiled with its own flags; nothing but these
// functions leaves it, so that no wider instruction can end up in code that the linker shares between files.
#ifndef KVHK_TARGETS_H
#define KVHK_TARGETS_H

#include "attention_kernels.h"

namespace kvhk {

// Each finds the best kernel that its instruction set has for a shape, and returns whether there is one.
bool find_scalar(const kvhk_attention_shape& shape, kvhk_attention_kernel& kernel);
bool find_avx2(const kvhk_attention_shape& shape, kvhk_attention_kernel& kernel);
bool find_avx512(const kvhk_attention_shape& shape, kvhk_attention_kernel& kernel);
bool find_avx512bf16(const kvhk_attention_shape& shape, kvhk_attention_kernel& kernel);

}  // namespace kvhk

#endif
