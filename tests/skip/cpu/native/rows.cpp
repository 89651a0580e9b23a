// Sums, means and attention of whole rows.
#include <algorithm>
#include <cmath>
#include <vector>

#include "cases.hpp"
#include "checks.hpp"

namespace skipvid::checks {

template <class Value>
void check_rows(const Kernels& kernels) {
  const int count = random_int(1, 12), channels = random_int(1, 90);
  Rows<Value> rows(count, channels);
  const int nowhere = random_int(0, count * 3);
  if (nowhere < count) rows.at(nowhere)[random_int(0, channels - 1)] = narrowed<Value>(nan);
  Floats best(1, channels), total(1, channels), sum(1, channels), wide(1, channels);
  std::vector<float> weights(count), sums(count);
  for (float& weight : weights) weight = random_float();
  kernels.maximum(rows.read(), count, padded(channels), best.at(0));
  kernels.weighted_sum(rows.read(), weights.data(), count, padded(channels), total.at(0));
  kernels.widen(rows.bytes(0), channels, wide.at(0));
  kernels.row_sum(rows.bytes(0), rows.pitch(), count, padded(channels), sum.at(0));
  kernels.absolute_sums(rows.read(), count, channels, sums.data());
  for (int c = 0; c < channels; ++c) {
    double largest = -infinity, weighted = 0, plain = 0, scale = 0;
    for (int row = 0; row < count; ++row) {
      const double x = rows.value(row, c);
      largest = std::isnan(x) || std::isnan(largest) ? nan : std::max(largest, x);
      weighted += x * weights[row];
      plain += x;
      scale += std::abs(x) * (std::abs(weights[row]) + 1);
    }
    require_close(wide.value(0, c), rows.value(0, c), 0, "a row as floats");
    require_close(best.at(0)[c], largest, 0, "maximum");
    require_close(total.at(0)[c], weighted, scale, "weighted sum");
    require_close(sum.at(0)[c], plain, scale, "sum of rows");
  }
  for (int row = 0; row < count; ++row) {
    double expected = 0;
    for (int c = 0; c < channels; ++c) expected += std::abs(static_cast<double>(rows.value(row, c)));
    require_close(sums[row], expected, expected, "sum of magnitudes");
    float alone = 0;
    kernels.absolute_sums(rows.read() + row, 1, channels, &alone);
    require(std::isnan(alone) ? std::isnan(sums[row]) : alone == sums[row], "the sum of a row depends on its neighbours");
  }
}

// Heads at any channels, in rows behind whose last channel nothing is a number; what lies behind the result must stay.
template <class Value>
void check_attention(const Kernels& kernels) {
  const int count = random_int(1, 40), heads = random_int(1, 3), size = random_int(1, 40), value_size = random_int(1, 70);
  const int channels = std::max(size, value_size) + random_int(0, 20);
  const Rows<Value> query(1, channels), keys(count + 1, channels),
      values(count + 1, channels);  // one more: a vector may be read past the last
  std::vector<int> first[3];
  for (int head = 0; head < heads; ++head) {
    for (int part = 0; part < 3; ++part) first[part].push_back(random_int(0, channels - (part == 2 ? value_size : size)));
  }
  const bool biased = random_int(0, 1) != 0;
  std::vector<float> bias(static_cast<std::size_t>(heads) * count);
  for (float& number : bias) number = random_float();
  const float scale = 0.3F;
  const AttentionArgs args{keys.bytes(0), values.bytes(0), keys.pitch(),    values.pitch(),  count, heads, size,
                           value_size,    first[0].data(), first[1].data(), first[2].data(), scale, count};
  Buffer weights(padded(count));
  std::vector<float> output(static_cast<std::size_t>(heads) * value_size + lanes, 7.0F);
  kernels.attend(args, query.bytes(0), biased ? bias.data() : nullptr, weights.data(), output.data());
  for (int head = 0; head < heads; ++head) {
    std::vector<double> products(count);
    for (int row = 0; row < count; ++row) {
      double product = 0;
      for (int c = 0; c < size; ++c) {
        product += static_cast<double>(query.value(0, first[0][head] + c)) * keys.value(row, first[1][head] + c);
      }
      products[row] = product * scale + (biased ? bias[static_cast<std::size_t>(head) * count + row] : 0.0F);
    }
    const double most = *std::max_element(products.begin(), products.end());
    double total = 0;
    for (double& product : products) total += product = std::exp(product - most);
    for (int c = 0; c < value_size; ++c) {
      double expected = 0, magnitude = 0;
      for (int row = 0; row < count; ++row) {
        const double part = products[row] / total * values.value(row, first[2][head] + c);
        expected += part;
        magnitude += std::abs(part);
      }
      require_close(output[static_cast<std::size_t>(head) * value_size + c], expected, 10 * magnitude, "attention");
    }
  }
  for (int lane = 0; lane < lanes; ++lane) {
    require(output[static_cast<std::size_t>(heads) * value_size + lane] == 7.0F, "attention writes behind its heads");
  }
}

template void check_rows<float>(const Kernels&);
template void check_rows<BFloat16>(const Kernels&);
template void check_attention<float>(const Kernels&);
template void check_attention<BFloat16>(const Kernels&);

}  // namespace skipvid::checks
