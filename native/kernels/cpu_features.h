// What the processor and the operating system let a program run.
#ifndef KVHK_CPU_FEATURES_H
#define KVHK_CPU_FEATURES_H

namespace kvhk {

struct cpu_features {
    bool avx2;        // with FMA and F16C
    bool avx512;      // F, BW, DQ, VL, and everything in avx2
    bool avx512bf16;  // BF16, VNNI, VBMI, and everything in avx512
    bool vpclmulqdq;  // with SSE4.2, and everything in avx2
};

cpu_features detect_cpu_features();

}  // namespace kvhk

#endif
