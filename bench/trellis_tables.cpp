// Trains the value tables of the window-trellis formats and prints src/format/trellis_tables.h:
//   build/bench/bench/bench_trellis_tables > src/format/trellis_tables.h  (then clang-format -i)
// Deterministic, about three CPU minutes; the errors on the way go to stderr.
//
// The value of a weight is a sum over fields of its window of the index stream. Random tables are
// improved in turn by coding a Gaussian source with them (Viterbi's algorithm) and by fitting the
// parts to what was coded (least squares): first on one long sequence, the best then on groups each
// at its own best scale. Last they become integers, improved one step of one part at a time.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <random>
#include <utility>
#include <vector>

namespace {

constexpr int kWindowBits = 7;
constexpr int kWindows = 1 << kWindowBits;
constexpr int kGroup = 128;
constexpr double kLargest = 127;  // of a table of int8

using Parts = std::vector<double>;  // those of all fields, one field after the other

struct Field {
  const char* name;
  int shift;
  int bits;
  int size() const { return 1 << bits; }
  int of(int window) const { return window >> shift & (size() - 1); }
};

// A window's high `bits` bits are the newest index; a state is the window without these.
struct Shape {
  int bits;
  std::vector<Field> fields;

  int states() const { return 1 << (kWindowBits - bits); }
  int n_parts() const {
    int n = 0;
    for (const Field& field : fields) n += field.size();
    return n;
  }
  std::vector<double> table(const Parts& parts) const {
    std::vector<double> values(kWindows);
    for (int w = 0; w < kWindows; ++w) {
      int first = 0;
      for (const Field& field : fields) {
        values[w] += parts[first + field.of(w)];
        first += field.size();
      }
    }
    return values;
  }
};

const Shape kShapes[] = {{3, {{"earlier", 0, 1}, {"previous", 1, 3}, {"newest", 4, 3}}},
                         {4, {{"previous", 0, 3}, {"newest", 3, 4}}}};

class Random {
 public:
  explicit Random(uint64_t seed) : draw_(seed) {}
  double uniform() { return (static_cast<double>(draw_() >> 11) + 0.5) * 0x1p-53; }
  double gaussian() {
    const double radius = std::sqrt(-2 * std::log(uniform()));
    return radius * std::cos(2 * 3.14159265358979323846 * uniform());
  }
  std::vector<float> gaussians(int n) {
    std::vector<float> out(n);
    for (float& value : out) value = static_cast<float>(gaussian());
    return out;
  }

 private:
  std::mt19937_64 draw_;
};

// The cheapest path through the trellis, with any first and last state.
class Coder {
 public:
  Coder(const Shape& shape, const std::vector<double>& table) : shape_(shape) {
    for (int state = 0; state < shape.states(); ++state) {
      for (int j = 0; j < 1 << shape.bits; ++j) {
        values_[j][state] = static_cast<float>(table[state << shape.bits | j]);
      }
    }
  }
  // The squared error of x[0 .. n).
  double cost(const float* x, int n) { return forward(x, n, nullptr); }
  // The same, and the windows.
  double code(const float* x, int n, std::vector<uint8_t>& windows) {
    from_.resize(static_cast<size_t>(n) * kMaxStates);
    windows.resize(n);
    const double cost = forward(x, n, from_.data());
    for (int i = n - 1, state = last_; i >= 0; --i) {
      windows[i] = static_cast<uint8_t>(state << shape_.bits | from_[i * kMaxStates + state]);
      state = windows[i] & (shape_.states() - 1);
    }
    return cost;
  }

 private:
  static constexpr int kMaxStates = 16;

  float forward(const float* x, int n, uint8_t* from) {
    return shape_.bits == 3 ? forward<3>(x, n, from) : forward<4>(x, n, from);
  }
  template <int kBits>
  float forward(const float* x, int n, uint8_t* from) {
    constexpr int kStates = kWindows >> kBits;
    constexpr int kInto = 1 << kBits;
    float costs[kStates] = {};
    for (int i = 0; i < n; ++i) {
      float best[kStates];
      uint32_t choice[kStates] = {};
      std::fill_n(best, kStates, 1e30f);
      for (int j = 0; j < kInto; ++j) {
        for (int state = 0; state < kStates; ++state) {
          const float miss = x[i] - values_[j][state];
          const float cost = costs[(state << kBits | j) & (kStates - 1)] + miss * miss;
          const bool better = cost < best[state];
          best[state] = better ? cost : best[state];
          choice[state] = better ? static_cast<uint32_t>(j) : choice[state];
        }
      }
      for (int state = 0; state < kStates; ++state) {
        costs[state] = best[state];
        if (from != nullptr) from[i * kMaxStates + state] = static_cast<uint8_t>(choice[state]);
      }
    }
    last_ = static_cast<int>(std::min_element(costs, costs + kStates) - costs);
    return costs[last_];
  }

  const Shape& shape_;
  float values_[kMaxStates][kMaxStates];
  std::vector<uint8_t> from_;
  int last_ = 0;
};

// The least-squares parts for weighted values coded as windows, drawn a little to the old ones.
class Fit {
 public:
  explicit Fit(const Shape& shape) : shape_(shape), weight_(kWindows), sum_(kWindows) {}
  void add(int window, double value, double weight) {
    weight_[window] += weight;
    sum_[window] += weight * value;
  }
  Parts solve(const Parts& old) const {
    const int n = shape_.n_parts();
    std::vector<Parts> a(n, Parts(n));
    Parts b(n);
    double total = 0;
    for (int w = 0; w < kWindows; ++w) {
      std::vector<int> used;
      int first = 0;
      for (const Field& field : shape_.fields) {
        used.push_back(first + field.of(w));
        first += field.size();
      }
      for (const int i : used) {
        b[i] += sum_[w];
        for (const int j : used) a[i][j] += weight_[w];
      }
      total += weight_[w];
    }
    for (int i = 0; i < n; ++i) {
      a[i][i] += 1e-4 * total / n;
      b[i] += 1e-4 * total / n * old[i];
    }
    for (int i = 0; i < n; ++i) {  // positive definite: no pivots
      for (int r = i + 1; r < n; ++r) {
        const double factor = a[r][i] / a[i][i];
        for (int c = i; c < n; ++c) a[r][c] -= factor * a[i][c];
        b[r] -= factor * b[i];
      }
    }
    for (int i = n - 1; i >= 0; --i) {
      for (int c = i + 1; c < n; ++c) b[i] -= a[i][c] * b[c];
      b[i] /= a[i][i];
    }
    return b;
  }

 private:
  const Shape& shape_;
  std::vector<double> weight_, sum_;
};

// One round of coding and fitting on a sequence; returns the error before it.
double improve_on_sequence(const Shape& shape, const std::vector<float>& x, int n, Parts& parts) {
  Coder coder(shape, shape.table(parts));
  std::vector<uint8_t> windows;
  const double error = coder.code(x.data(), n, windows) / n;
  Fit fit(shape);
  for (int i = 0; i < n; ++i) fit.add(windows[i], x[i], 1);
  parts = fit.solve(parts);
  return error;
}

// The error of the first n groups of x, each at the best of nine scales, for a table in multiples
// of `unit` deviations. Adds what was coded to a fit, if there is one.
double error_on_groups(const Shape& shape, const Parts& parts, double unit,
                       const std::vector<float>& x, int n, Fit* fit = nullptr) {
  Coder coder(shape, shape.table(parts));
  std::vector<uint8_t> windows;
  double error = 0;
  float scaled[kGroup];
  for (int g = 0; g < n; ++g) {
    const float* group = x.data() + g * kGroup;
    double squares = 0;
    for (int i = 0; i < kGroup; ++i) squares += double{group[i]} * group[i];
    const double deviation = std::sqrt(squares / kGroup);
    const auto scale_by = [&](double scale) {
      const auto inverse = static_cast<float>(1 / (deviation * scale * unit));
      for (int i = 0; i < kGroup; ++i) scaled[i] = group[i] * inverse;
    };
    double best = 1e30, best_scale = 1;
    for (int k = 0; k < 9; ++k) {
      const double scale = 0.86 + 0.04 * k;
      scale_by(scale);
      const double cost = coder.cost(scaled, kGroup) * (scale * unit) * (scale * unit);
      if (cost < best) {
        best = cost;
        best_scale = scale;
      }
    }
    error += best / kGroup / n;
    if (fit == nullptr) continue;
    scale_by(best_scale);
    coder.code(scaled, kGroup, windows);
    for (int i = 0; i < kGroup; ++i) fit->add(windows[i], scaled[i], best_scale * best_scale);
  }
  return error;
}

struct Candidate {
  double error;
  Parts parts;
  bool operator<(const Candidate& other) const { return error < other.error; }
};

Parts random_parts(const Shape& shape, Random& random) {
  std::vector<double> shares;
  double squares = 0;
  for (size_t k = 0; k < shape.fields.size(); ++k) {
    shares.push_back(0.1 + 0.9 * random.uniform());
    squares += shares[k] * shares[k];
  }
  Parts parts;
  for (size_t k = 0; k < shape.fields.size(); ++k) {
    for (int i = 0; i < shape.fields[k].size(); ++i) {
      parts.push_back(random.gaussian() * shares[k] / std::sqrt(squares));
    }
  }
  return parts;
}

// The parts of all fields but the last get a mean of zero.
void move_means(const Shape& shape, Parts& parts) {
  double moved = 0;
  auto first = parts.begin();
  for (size_t k = 0; k < shape.fields.size(); ++k) {
    const auto end = first + shape.fields[k].size();
    double mean = 0;
    for (auto p = first; p != end; ++p) mean += *p / shape.fields[k].size();
    const bool last = k + 1 == shape.fields.size();
    for (auto p = first; p != end; ++p) *p += last ? moved : -mean;
    moved += mean;
    first = end;
  }
}

Parts train(const Shape& shape, const std::vector<float>& x) {
  Random random(1);
  std::vector<Candidate> pool;
  for (int k = 0; k < 500; ++k) {
    Candidate c{1, random_parts(shape, random)};
    for (int i = 0; i < 25; ++i) c.error = improve_on_sequence(shape, x, 20000, c.parts);
    pool.push_back(std::move(c));
  }
  const auto keep = [&](size_t n, const char* stage) {
    std::sort(pool.begin(), pool.end());
    fmt::print(stderr, "{} bits, {}: {:.5f} to {:.5f}\n", shape.bits, stage, pool.front().error,
               pool.back().error);
    pool.resize(n);
  };
  keep(12, "short sequence");
  for (Candidate& c : pool) {
    for (int i = 0; i < 50; ++i) c.error = improve_on_sequence(shape, x, 100000, c.parts);
  }
  keep(4, "sequence");
  const auto improve_on_groups = [&](Candidate& c, int rounds, int groups) {
    for (int i = 0; i < rounds; ++i) {
      Fit fit(shape);
      c.error = error_on_groups(shape, c.parts, 1, x, groups, &fit);
      c.parts = fit.solve(c.parts);
    }
  };
  for (Candidate& c : pool) improve_on_groups(c, 15, 1000);
  keep(1, "groups");
  improve_on_groups(pool[0], 15, 2300);
  keep(1, "more groups");
  move_means(shape, pool[0].parts);
  return pool[0].parts;
}

struct IntegerParts {
  Parts parts;
  double unit;
};

IntegerParts round_parts(const Shape& shape, const Parts& parts, const std::vector<float>& x) {
  const auto largest = [](const std::vector<double>& values) {
    double most = 0;
    for (const double value : values) most = std::max(most, std::fabs(value));
    return most;
  };
  IntegerParts out{parts, largest(shape.table(parts)) / (kLargest - 2)};
  for (double& part : out.parts) part = std::round(part / out.unit);
  constexpr int kGroups = 1500;
  double error = error_on_groups(shape, out.parts, out.unit, x, kGroups);
  fmt::print(stderr, "{} bits, rounded: {:.5f}\n", shape.bits, error);
  bool moved = true;
  for (int round = 0; round < 4 && moved; ++round) {
    moved = false;
    for (size_t k = 0; k < out.parts.size(); ++k) {
      for (const double step : {1.0, -1.0}) {
        Parts tried = out.parts;
        tried[k] += step;
        if (largest(shape.table(tried)) > kLargest) continue;
        const double e = error_on_groups(shape, tried, out.unit, x, kGroups);
        if (e >= error) continue;
        error = e;
        out.parts = std::move(tried);
        moved = true;
      }
    }
    fmt::print(stderr, "{} bits, integers: {:.5f}\n", shape.bits, error);
  }
  return out;
}

}  // namespace

int main() {
  constexpr int kGroups = 2344;
  const std::vector<float> x = Random(1).gaussians(kGroups * kGroup);
  const std::vector<float> other = Random(99).gaussians(kGroups * kGroup);
  fmt::print(
      "// The parts of the trellis formats' values, trained: bench/trellis_tables.cpp writes this\n"
      "// file. What they mean is said in trellis.h.\n#pragma once\n\n#include <cstdint>\n\n"
      "namespace tq {{\n");
  for (const Shape& shape : kShapes) {
    const IntegerParts trained = round_parts(shape, train(shape, x), x);
    fmt::print(stderr, "{} bits, on other numbers: {:.5f}\n", shape.bits,
               error_on_groups(shape, trained.parts, trained.unit, other, kGroups));
    fmt::print("\nstruct TrellisParts{} {{\n", shape.bits);
    size_t first = 0;
    for (const Field& field : shape.fields) {
      fmt::print("  static constexpr int8_t k{}{}[] = {{", char(field.name[0] - 32),
                 field.name + 1);
      for (int i = 0; i < field.size(); ++i) {
        fmt::print("{}{}", i == 0 ? "" : ", ", static_cast<int>(trained.parts[first + i]));
      }
      fmt::print("}};\n");
      first += field.size();
    }
    fmt::print("  static constexpr double kUnit = {:.9f};  // of N(0, 1)\n}};\n", trained.unit);
  }
  fmt::print("\n}}  // namespace tq\n");
}
