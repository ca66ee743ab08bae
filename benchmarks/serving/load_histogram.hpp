// Latencies counted in constant space, to be asked for quantiles.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

// Counts by value: exact below 256, then 128 steps for every power of two, so a quantile is off by less than 0.4 %
// (the layout of Tene's HdrHistogram).
class Histogram {
 public:
  void add(uint64_t value) {
    counts_[index(value)]++;
    total_++;
    sum_ += value;
    max_ = std::max(max_, value);
  }
  double quantile(double q) const {
    uint64_t left = std::max<uint64_t>(1, std::ceil(q * total_));
    for (size_t i = 0; i < counts_.size(); i++) {
      if (counts_[i] >= left) return std::min<double>(middle(i), max_);
      left -= counts_[i];
    }
    return max_;
  }
  uint64_t total() const { return total_; }
  double mean() const { return total_ ? double(sum_) / total_ : 0; }
  uint64_t max() const { return max_; }

 private:
  static size_t index(uint64_t v) {
    const int shift = v < 256 ? 0 : 56 - __builtin_clzll(v);
    return 128 * shift + (v >> shift);
  }
  static double middle(size_t i) {
    if (i < 256) return i;
    const int shift = i / 128 - 1;
    return double((i - 128 * shift) << shift) + (uint64_t(1) << shift) / 2;
  }
  std::vector<uint64_t> counts_ = std::vector<uint64_t>(128 * 58);
  uint64_t total_ = 0, sum_ = 0, max_ = 0;
};
