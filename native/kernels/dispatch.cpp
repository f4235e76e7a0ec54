// The exported functions: which targets there are, which one runs here, and which kernel it has for a shape.
#include "attention_kernels.h"
#include "cpu_features.h"
#include "targets.h"

#include <stdlib.h>
#include <string.h>

namespace {

struct target {
    const char* name;
    bool (*supported)(const kvhk::cpu_features& features);
    bool (*find)(const kvhk_attention_shape& shape, kvhk_attention_kernel& kernel);
};

// Ascending. Every target finds the kernels of those below it for shapes that it has none for.
constexpr target targets[] = {
    {"scalar", [](const kvhk::cpu_features&) { return true; }, kvhk::find_scalar},
#if defined(__x86_64__)
    {"avx2", [](const kvhk::cpu_features& f) { return f.avx2; }, kvhk::find_avx2},
    {"avx512", [](const kvhk::cpu_features& f) { return f.avx512; }, kvhk::find_avx512},
    {"avx512bf16", [](const kvhk::cpu_features& f) { return f.avx512bf16; }, kvhk::find_avx512bf16},
#endif
};

constexpr int32_t target_count = sizeof targets / sizeof *targets;

bool exists(int32_t index) { return index >= 0 && index < target_count; }

bool is_valid(const kvhk_attention_shape& shape) {
    return shape.element >= KVHK_FP32 && shape.element <= KVHK_INT8 && shape.weights >= KVHK_WEIGHTS_FP32 &&
           shape.weights <= KVHK_WEIGHTS_BF16 && shape.rows >= 1 && shape.key_dim >= 1 && shape.value_dim >= 1;
}

}  // namespace

int32_t kvhk_abi_version(void) { return KVHK_ABI_VERSION; }

int32_t kvhk_target_count(void) { return target_count; }

const char* kvhk_target_name(int32_t index) { return exists(index) ? targets[index].name : nullptr; }

int32_t kvhk_target_supported(int32_t index) { return exists(index) && targets[index].supported(kvhk::detect_cpu_features()) ? 1 : 0; }

int32_t kvhk_chosen_target(void) {
    const char* forced = getenv("KVHANDOFF_KERNELS");
    for (int32_t i = target_count - 1; i >= 0; i--) {
        if (forced != nullptr && *forced != '\0' && strcmp(forced, targets[i].name) != 0) continue;
        if (kvhk_target_supported(i)) return i;
    }
    return -1;
}

int32_t kvhk_find_attention_kernel(int32_t index, const kvhk_attention_shape* shape, kvhk_attention_kernel* kernel) {
    *kernel = {};
    if (!exists(index) || !is_valid(*shape)) return 1;
    for (int32_t i = index; i >= 0; i--) {
        if (targets[i].find(*shape, *kernel)) return 0;
    }
    return 1;
}
