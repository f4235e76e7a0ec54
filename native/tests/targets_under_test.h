// KVHANDOFF_KERNELS narrows the tests to one target, as it does for users.
#ifndef KVHK_TARGETS_UNDER_TEST_H
#define KVHK_TARGETS_UNDER_TEST_H

#include "attention_kernels.h"

#include <cstdlib>
#include <vector>

namespace kvhk_test {

inline std::vector<int> targets_under_test() {
    std::vector<int> targets;
    for (int i = 0; i < kvhk_target_count(); i++) {
        if (kvhk_target_supported(i) && (std::getenv("KVHANDOFF_KERNELS") == nullptr || kvhk_chosen_target() == i)) targets.push_back(i);
    }
    return targets;
}

}  // namespace kvhk_test

#endif
