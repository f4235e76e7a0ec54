// Fetches the rows of the next step while this one is computed: without it the processor waits for memory half of the time.
#ifndef KVHK_PREFETCH_H
#define KVHK_PREFETCH_H

#include "ops.h"

namespace kvhk {
namespace {

class row_prefetch {
public:
    // Spreads the lines of the rows evenly over a number of steps. No rows: null.
    KVHK_INLINE row_prefetch(const uint8_t* rows, int64_t stride, int64_t row_bytes, int count, int64_t steps)
        : at_(rows), row_end_(rows + row_bytes), gap_(stride - round_up(row_bytes, line)), stride_(stride) {
        lines_ = rows == nullptr ? 0 : count * (round_up(row_bytes, line) / line);
        lines_per_step_ = (int)((lines_ + steps - 1) / (steps > 0 ? steps : 1));
    }

    KVHK_INLINE void step() {
        for (int i = 0; i < lines_per_step_ && lines_ > 0; i++, lines_--) {
            __builtin_prefetch(at_, 0, 3);
            at_ += line;
            if (at_ >= row_end_) {
                at_ += gap_;
                row_end_ += stride_;
            }
        }
    }

private:
    static constexpr int64_t line = 64;
    const uint8_t *at_, *row_end_;
    int64_t gap_, stride_, lines_;
    int lines_per_step_;
};

}  // namespace
}  // namespace kvhk

#endif
