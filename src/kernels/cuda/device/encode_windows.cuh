// The encoder of w7_3 and w7_4 for half a warp: the search of format/simd/trellis_coder.inc with
// the same integers, which saturate at the same places, so that the bytes are the same. A lane has
// a state; of 4 bits lanes k and k + 8 have the same one, and each half tries one of the two
// indices that lead to it. To be compiled as encode.cuh is.
#pragma once

#include <cfloat>
#include <climits>
#include <cstdint>

#include "format/trellis_encoder.h"
#include "kernels/cuda/device/encode.cuh"

namespace tq::cuda {

struct WindowEncoderTables {
  RotationMasks masks;
  TrellisSearch search;
  float multipliers[kMaxTrellisScales];  // by the scales of the search
  int8_t newest[kTrellisKeys];           // of trellis.h, as the next two
  int8_t older[kTrellisKeys];
  float unit;
  float beta;
};

template <int kBits, int kGroup>
class HalfWarpWindowEncoder {
 public:
  static constexpr int kThreads = 128;
  static constexpr int kN = HalfWarpGroup<kGroup>::kN;
  static constexpr int kStates = kBits == 3 ? 16 : 8;
  using Tables = WindowEncoderTables;
  struct Shared {
    uint8_t index[kGroup];  // the result
    uint8_t tried[kGroup];
    int16_t targets[kGroup];
    float errors[kMaxTrellisScales];
    uint8_t choices[kGroup + 2 * kTrellisLead][kStates];
  };

  __device__ HalfWarpWindowEncoder(const Tables& tables, int lane, Shared& shared)
      : t_(tables), s_(shared), group_{lane, {}} {
    const int own = lane % 8, upper = lane / 8;
    const int newest = t_.newest[kBits == 3 ? own * 2 : own * 2 + upper];
    newest_ = newest * kUnit / kDoubled;
    const int older = t_.older[kBits == 3 ? own * 2 + upper : own * 2];
    square_ = (older * older * (kUnit * kUnit) + 0x4000) / 0x8000;
#pragma unroll
    for (int j = 0; j < 8; ++j) {
      older_[j] = t_.older[kBits == 3 ? (j % 4 + upper * 4) * 2 + j / 4 : j * 2] * 2 * kUnit;
    }
  }

  // x: finite. Writes the indices; returns the gain.
  __device__ float encode(const float (&x)[kN]) {
    const float norm = group_.fill(x, t_.masks, Effort::kDefault);
    if (t_.search.count > 1) {
      for (int k = 0; k < t_.search.count; ++k) {
        const float scale = t_.search.scale(k);
        const float error = static_cast<float>(cost(t_.multipliers[k])) * (scale * scale);
        if (group_.lane == 0) s_.errors[k] = error;
      }
    }
    __syncwarp();
    FitSums best{};
    for (int k = 0; k < t_.search.paths; ++k) attempt(t_.multipliers[next_scale()], true, best);
    bool better = true;  // all lanes of the warp go on together
    for (int k = 0; k < t_.search.refits; ++k) {
      better = better && best.yc > 0;
      const float multiplier = trellis_multiplier(kBits, t_.unit, best.yc / best.cc);
      better = attempt(better ? multiplier : t_.multipliers[0], better, best);
    }
    return least_squares_gain(norm, best, t_.beta);
  }

 private:
  static constexpr int kUnit = trellis_unit(kBits);
  static constexpr int kDoubled = kUnit / trellis_target_unit(kBits);

  static __device__ __forceinline__ int saturate(int x) { return min(max(x, -32768), 32767); }
  // (a * b + 2^14) >> 15 of numbers of 16 bits.
  static __device__ __forceinline__ int multiply(int a, int b) { return (a * b + 0x4000) >> 15; }
  template <typename T>
  static __device__ __forceinline__ T of_lane(T x, int lane) {
    return __shfl_sync(kAllLanes, x, lane, kPartialSums);
  }
  static __device__ __forceinline__ int least16(int x) {
#pragma unroll
    for (int step = kPartialSums / 2; step > 0; step /= 2) x = min(x, from_lane(x, step));
    return x;
  }

  // The index of the least error, which is then not the least again.
  __device__ int next_scale() {
    int best = 0;
    for (int k = 1; k < t_.search.count; ++k) best = s_.errors[k] < s_.errors[best] ? k : best;
    __syncwarp();
    if (group_.lane == 0 && t_.search.count > 1) s_.errors[best] = FLT_MAX;
    __syncwarp();
    return best;
  }

  __device__ void make_targets(float multiplier) {
    __syncwarp();
#pragma unroll
    for (int j = 0; j < kN; ++j) {
      s_.targets[group_.lane + kPartialSums * j] =
          static_cast<int16_t>(saturate(__float2int_rz(group_.y[j] * multiplier)));
    }
    __syncwarp();
  }

  // The cost of the lane's state after a target. kChoose: and which way led to it, as
  // step_and_choose() of trellis_coder.inc has it. Of ways that cost the same it takes the first in
  // the order of their reversed bits.
  template <bool kChoose>
  __device__ __forceinline__ int step(int cost, int target, int& choice) const {
    const int before = saturate(cost + square_);
    int y = saturate(target - newest_);
    if constexpr (kDoubled == 2) y = saturate(2 * y);
    y = max(y, -32767);
    int least = INT_MAX;
#pragma unroll
    for (int j = 0; j < 8; ++j) {
      const int source = kBits == 3 ? (j % 4) + (group_.lane / 8) * 4 + j / 4 * 8 : j;
      const int from = of_lane(before, source) - multiply(older_[j], y);
      constexpr int kReversed[8] = {0, 4, 2, 6, 1, 5, 3, 7};
      least = min(least, kChoose ? saturate(from) * 8 + kReversed[j] : from);
    }
    if constexpr (kChoose) {
      choice = (least & 1) << 2 | (least & 2) | (least & 4) >> 2;
      least >>= 3;
    }
    least = saturate(saturate(least) + multiply(y, y));
    if constexpr (kBits == 4) {
      const int other = from_lane(least, 8);
      if constexpr (kChoose) {
        const int other_choice = from_lane(choice, 8);
        const bool odd = group_.lane < 8 ? other < least : least < other;  // the odd index is taken
        choice = (odd == (group_.lane >= 8) ? choice : other_choice) + (odd ? 8 : 0);
      }
      least = min(least, other);
    }
    return least;
  }

  // Of the best path from any state to any other.
  __device__ int cost(float multiplier) {
    make_targets(multiplier);
    int own = 0, total = 0;
    [[maybe_unused]] int choice;
    for (int i = 0; i < kGroup; i += kTrellisStepsBetween) {
#pragma unroll
      for (int k = 0; k < kTrellisStepsBetween; ++k)
        own = step<false>(own, s_.targets[i + k], choice);
      const int least = least16(own);
      total += least;
      own = saturate(own - least);
    }
    return total;
  }

  struct Ends {
    int begin, end;
  };
  // The best path of n steps whose first is for target `first`, where targets are a ring; from
  // and to the state `border` if that is not negative. Writes the indices of the group, whose
  // first is that of step `lead`; returns the states on its borders.
  __device__ Ends find(int n, int first, int lead, int border) {
    const int state = group_.lane % kStates;
    int own = border < 0 || state == border ? 0 : int{kTrellisFar};
    for (int i = 0; i < n; i += kTrellisStepsBetween) {
      const int16_t* targets = s_.targets + (first + i) % kGroup;
#pragma unroll
      for (int k = 0; k < kTrellisStepsBetween; ++k) {
        int choice;
        own = step<true>(own, targets[k], choice);
        if (group_.lane < kStates) s_.choices[i + k][state] = static_cast<uint8_t>(choice);
      }
      own = saturate(own - least16(own));
    }
    __syncwarp();
    int at = border < 0 ? least16(own * kPartialSums + state) & (kPartialSums - 1) : border;
    Ends ends{at, at};
    for (int i = n - 1; i >= 0; --i) {
      if (i + 1 == lead + kGroup) ends.end = at;
      if (i + 1 == lead) ends.begin = at;
      const int choice = s_.choices[i][at];
      int index;
      if constexpr (kBits == 3) {  // states are index + 8 * bit
        index = at & 7;
        at = (choice & 3) | (at & 8) >> 1 | (choice & 4) << 1;
      } else {
        index = at << 1 | choice >> 3;
        at = choice & 7;
      }
      const int place = i - lead;
      if (place >= 0 && place < kGroup && group_.lane == 0) {
        s_.tried[place] = static_cast<uint8_t>(index);
      }
    }
    if (lead == 0) ends.begin = at;
    __syncwarp();
    return ends;
  }

  // Finds a path at a scale, and keeps its indices if it explains more of y than the best so far,
  // or is the first. `counts`: whether this half's result does; both halves of the warp search.
  __device__ bool attempt(float multiplier, bool counts, FitSums& best) {
    make_targets(multiplier);
    const Ends ends = find(kGroup + 2 * kTrellisLead, kGroup - kTrellisLead, kTrellisLead, -1);
    const bool again = ends.begin != ends.end;
    if (__any_sync(kAllLanes, again)) {
      uint8_t found[kN];  // to be kept where the first path was a ring
#pragma unroll
      for (int j = 0; j < kN; ++j) found[j] = s_.tried[group_.lane + kPartialSums * j];
      __syncwarp();
      find(kGroup, 0, 0, ends.begin);
#pragma unroll
      for (int j = 0; j < kN; ++j) {
        if (!again) s_.tried[group_.lane + kPartialSums * j] = found[j];
      }
      __syncwarp();
    }
    float c[kN];
#pragma unroll
    for (int j = 0; j < kN; ++j) c[j] = value(group_.lane + kPartialSums * j);
    const FitSums sums = group_.fit(c);
    if (best.cc != 0 && sums.yc * sums.yc * best.cc <= best.yc * best.yc * sums.cc) return false;
    if (!counts) return false;
    best = sums;
#pragma unroll
    for (int j = 0; j < kN; ++j) {
      const int i = group_.lane + kPartialSums * j;
      s_.index[i] = s_.tried[i];
    }
    return true;
  }

  // What weight i is with the indices tried.
  __device__ float value(int i) const {
    const auto index = [&](int back) { return s_.tried[(i - back + kGroup) % kGroup]; };
    const int key = kBits == 3 ? index(0) * 2 : index(0);
    const int before = kBits == 3 ? index(1) * 2 + (index(2) >> 2) : index(1);
    return static_cast<float>(t_.newest[key] + t_.older[before]) * t_.unit;
  }

  const Tables& t_;
  Shared& s_;
  HalfWarpGroup<kGroup> group_;
  int newest_;    // what the lane's index adds to a value, as targets are
  int square_;    // of what it adds to the next one
  int older_[8];  // what the states before add
};

}  // namespace tq::cuda
