// Where the time of a network goes, by pass; a reading costs some 30 ns, and a step has a few thousand.
#pragma once
#include <chrono>

namespace native {

enum Pass { STEM, FIRST_CONV, DEPTHWISE_CONV, FOLD, FINISH, COLLECT, BACK_Z, BACK_A, BACK_DY, BACK_DW, BACK_X, PASSES };

struct Clock {
    double seconds[PASSES] = {};
    std::chrono::steady_clock::time_point last = std::chrono::steady_clock::now();
    void start() { last = std::chrono::steady_clock::now(); }
    // The time since the last reading belongs to this pass.
    void stop(Pass pass) {
        const auto now = std::chrono::steady_clock::now();
        seconds[pass] += std::chrono::duration<double>(now - last).count();
        last = now;
    }
};

}  // namespace native
