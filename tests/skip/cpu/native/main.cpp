// The kernels against scalar code in double precision, for every instruction set and element type that this processor runs; and the thread
// pool.
//
// Built and run by tools/sanitize.sh, tools/clang.sh and tools/aarch64.sh. Prints a line for each family; exits with 1 at the first wrong
// value, which it prints.
#include <cstdio>
#include <functional>
#include <string>
#include <utility>

#include "cases.hpp"
#include "checks.hpp"

namespace skipvid::checks {

namespace {

template <class Value>
void check_tables(Element element) {
  const std::pair<const char*, std::function<void(const Kernels&)>> families[] = {
      {"gemm", check_gemm<Value>},           {"depthwise", check_depthwise<Value>}, {"activations", check_activations<Value>},
      {"pointwise", check_pointwise<Value>}, {"rows", check_rows<Value>},           {"gates", check_publish<Value>},
      {"changes", check_change<Value>},      {"inputs", check_inputs<Value>},       {"bits", check_bits<Value>},
      {"attention", check_attention<Value>}, {"bytes", check_bytes<Value>},
  };
  const char* const type = element == Element::f32 ? "f32" : "bf16";
  for (const char* name : instruction_sets()) {
    const Kernels* kernels = find_kernels(name, element);
    if (kernels == nullptr) continue;
    require(std::string(kernels->name) == name && kernels->element == element, "a table's name");
    for (const auto& [family, check] : families) {
      context = std::string(name) + " " + type + " " + family;
      for (cases = 0; cases < 300; ++cases) check(*kernels);
      std::printf("%-12s %-4s %-12s %d cases\n", name, type, family, cases);
    }
  }
}

}  // namespace

void check_everything() {
  check_emulated_tiles();
  check_tables<float>(Element::f32);
  check_tables<BFloat16>(Element::bf16);
  for (const int threads : {1, 2, 3, 8}) {
    context = "pool of " + std::to_string(threads);
    cases = 0;
    check_pool(threads);
    check_rest(threads);
    std::printf("%-21s %d frames\n", context.c_str(), cases);
  }
}

}  // namespace skipvid::checks

int main() { skipvid::checks::check_everything(); }
