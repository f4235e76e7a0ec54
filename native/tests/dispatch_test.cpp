// Targets, their choice, and what the library exports.
#include "attention_kernels.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <cstdio>
#include <cstring>
#include <string>

namespace {

// Restores the variable that the other tests read.
class Dispatch : public testing::Test {
protected:
    void SetUp() override {
        const char* value = getenv(variable);
        had_value_ = value != nullptr;
        if (had_value_) value_ = value;
        unsetenv(variable);
    }
    void TearDown() override {
        if (had_value_) setenv(variable, value_.c_str(), 1);
        else unsetenv(variable);
    }
    static constexpr const char* variable = "KVHANDOFF_KERNELS";

private:
    bool had_value_ = false;
    std::string value_;
};

TEST_F(Dispatch, TargetsAscendFromScalar) {
    EXPECT_EQ(kvhk_abi_version(), KVHK_ABI_VERSION);
    ASSERT_GE(kvhk_target_count(), 1);
    EXPECT_STREQ(kvhk_target_name(0), "scalar");
    EXPECT_TRUE(kvhk_target_supported(0));
    EXPECT_EQ(kvhk_target_name(-1), nullptr);
    EXPECT_EQ(kvhk_target_name(kvhk_target_count()), nullptr);
    EXPECT_FALSE(kvhk_target_supported(-1));
    EXPECT_FALSE(kvhk_target_supported(kvhk_target_count()));
}

TEST_F(Dispatch, TheBestSupportedTargetIsChosen) {
    const int chosen = kvhk_chosen_target();
    ASSERT_GE(chosen, 0);
    EXPECT_TRUE(kvhk_target_supported(chosen));
    for (int i = chosen + 1; i < kvhk_target_count(); i++) EXPECT_FALSE(kvhk_target_supported(i)) << kvhk_target_name(i);
#if defined(__x86_64__)
    // The compiler's own detection is the second opinion.
    __builtin_cpu_init();
    EXPECT_EQ(kvhk_target_supported(1) != 0, __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"));
    EXPECT_EQ(kvhk_target_supported(2) != 0, __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                                                 __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"));
#endif
}

TEST_F(Dispatch, TheVariableForcesATarget) {
    for (int i = 0; i < kvhk_target_count(); i++) {
        setenv(variable, kvhk_target_name(i), 1);
        EXPECT_EQ(kvhk_chosen_target(), kvhk_target_supported(i) ? i : -1) << kvhk_target_name(i);
    }
    for (const char* other : {"managed", "AVX2", "avx3", "avx2 "}) {
        setenv(variable, other, 1);
        EXPECT_EQ(kvhk_chosen_target(), -1) << other;
    }
    setenv(variable, "", 1);
    EXPECT_GE(kvhk_chosen_target(), 0);
}

TEST_F(Dispatch, EveryTargetHasAKernelForEveryShape) {
    for (int target = 0; target < kvhk_target_count(); target++) {
        for (int element = KVHK_FP32; element <= KVHK_INT8; element++) {
            for (int rows : {1, 8, 16, 17, 128}) {
                for (int dim : {1, 7, 8, 16, 20, 32, 48, 64, 80, 128, 576, 1000}) {
                    for (int weights : {KVHK_WEIGHTS_FP32, KVHK_WEIGHTS_BF16}) {
                        const kvhk_attention_shape shape = {element, weights, rows, dim, dim};
                        kvhk_attention_kernel kernel;
                        ASSERT_EQ(kvhk_find_attention_kernel(target, &shape, &kernel), 0);
                        EXPECT_NE(kernel.attend, nullptr);
                        EXPECT_NE(kernel.name, nullptr);
                        EXPECT_EQ(kernel.prepare != nullptr, kernel.prepared_bytes > 0);
                    }
                }
            }
        }
    }
}

TEST_F(Dispatch, ShapesThatDoNotExistHaveNone) {
    kvhk_attention_kernel kernel;
    for (const kvhk_attention_shape& shape : {kvhk_attention_shape{0, 0, 1, 64, 64},
                                              {7, 0, 1, 64, 64},
                                              {KVHK_BF16, 2, 1, 64, 64},
                                              {KVHK_BF16, 0, 0, 64, 64},
                                              {KVHK_BF16, 0, 1, 0, 64},
                                              {KVHK_BF16, 0, 1, 64, -1}}) {
        EXPECT_EQ(kvhk_find_attention_kernel(0, &shape, &kernel), 1);
        EXPECT_EQ(kernel.attend, nullptr);
    }
    const kvhk_attention_shape fine = {KVHK_BF16, 0, 1, 64, 64};
    EXPECT_EQ(kvhk_find_attention_kernel(-1, &fine, &kernel), 1);
    EXPECT_EQ(kvhk_find_attention_kernel(kvhk_target_count(), &fine, &kernel), 1);
}

#ifdef KVHK_LIBRARY_PATH
TEST_F(Dispatch, OnlyTheInterfaceIsExported) {
    FILE* const list = popen("nm -D --defined-only " KVHK_LIBRARY_PATH " 2>/dev/null", "r");
    ASSERT_NE(list, nullptr);
    char line[512];
    int ours = 0;
    while (fgets(line, sizeof line, list) != nullptr) {
        char kind, name[400];
        if (sscanf(line, "%*s %c %399s", &kind, name) != 2) continue;
        EXPECT_EQ(strncmp(name, "kvhk_", 5), 0) << name;
        EXPECT_EQ(kind, 'T') << name << ": neither data nor weak functions, which could come from a file with wider instructions";
        ours++;
    }
    pclose(list);
    if (ours == 0) GTEST_SKIP() << "nm is not installed";
    EXPECT_EQ(ours, 7);
}
#endif

}  // namespace
