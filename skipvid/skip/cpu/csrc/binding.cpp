// The Python module skipvid.skip.cpu._native. Internal: skipvid/skip/cpu/ is its only caller and checks what it passes.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/array.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <memory>
#include <stdexcept>
#include <string>
#include <tuple>
#include <vector>

#include "steps.hpp"

namespace nb = nanobind;

namespace skipvid {
namespace {

using Pair = std::array<int, 2>;
using FloatArray = nb::ndarray<const float, nb::c_contig, nb::device::cpu>;
using IntArray = nb::ndarray<const std::int32_t, nb::c_contig, nb::device::cpu>;
using ActivationTuple = std::tuple<int, float, float>;

std::vector<float> floats(const FloatArray& array) { return {array.data(), array.data() + array.size()}; }
std::vector<int> ints(const IntArray& array) { return {array.data(), array.data() + array.size()}; }

Activation activation(const ActivationTuple& tuple) {
  return {static_cast<Activation::Kind>(std::get<0>(tuple)), std::get<1>(tuple), std::get<2>(tuple)};
}

Footprint window(Pair kernel, Pair stride, Pair dilation, Pair origin) {
  Footprint footprint;
  footprint.kind = Footprint::Kind::window;
  for (int axis = 0; axis < 2; ++axis) {
    footprint.kernel[axis] = kernel[axis];
    footprint.stride[axis] = stride[axis];
    footprint.dilation[axis] = dilation[axis];
    footprint.origin[axis] = origin[axis];
  }
  return footprint;
}

void add_step(Program& program, int map, std::vector<int> sources, std::vector<Footprint> footprints, std::unique_ptr<Step> step) {
  Entry entry;
  entry.map = map;
  entry.sources = std::move(sources);
  entry.footprints = std::move(footprints);
  entry.step = std::move(step);
  program.add(std::move(entry));
}

void add_other(Program& program, Entry::Kind kind, int map, int input, std::vector<int> sources, std::vector<Footprint> footprints) {
  Entry entry;
  entry.kind = kind;
  entry.map = map;
  entry.input = input;
  entry.sources = std::move(sources);
  entry.footprints = std::move(footprints);
  program.add(std::move(entry));
}

void run(const Program& program, State& state, const std::vector<nb::ndarray<const float, nb::ndim<3>, nb::device::cpu>>& arrays, int segment,
         bool keyframe, bool gates) {
  std::vector<InputArray> inputs;
  for (const auto& array : arrays) {
    inputs.push_back({array.data(), array.stride(0), array.stride(1), array.stride(2), {array.shape(0), array.shape(1), array.shape(2)}});
  }
  const nb::gil_scoped_release unlocked;
  program.run(state, inputs, segment, keyframe, gates);
}

// The same for a network whose only input is a picture.
void run_picture(const Program& program, State& state, const nb::ndarray<const std::uint8_t, nb::shape<-1, -1, 3>, nb::c_contig, nb::device::cpu>& bytes,
                 const nb::ndarray<const float, nb::shape<3, 256>, nb::c_contig, nb::device::cpu>& tables, std::array<int, 3> order,
                 int segment, bool keyframe, bool gates) {
  const Picture picture{bytes.data(), static_cast<int>(bytes.shape(0)), static_cast<int>(bytes.shape(1)), tables.data(), order};
  const InputArray input{nullptr, 0, 0, 0, {}, &picture};
  const nb::gil_scoped_release unlocked;
  program.run(state, {&input, 1}, segment, keyframe, gates);
}

// An array of its own memory.
template <class Value, std::size_t Dimensions>
nb::ndarray<nb::numpy, Value, nb::ndim<Dimensions>> owned(std::unique_ptr<Value[]> values, const std::size_t (&shape)[Dimensions]) {
  Value* const data = values.release();
  const nb::capsule owner(data, [](void* pointer) noexcept { delete[] static_cast<Value*>(pointer); });
  return {data, Dimensions, shape, owner};
}

using Mask = nb::ndarray<nb::numpy, bool, nb::ndim<2>>;

Mask mask_of(const Bitmap& bitmap) {
  const std::size_t height = bitmap.height(), width = bitmap.width();
  auto values = std::make_unique<bool[]>(height * width);
  for (std::size_t y = 0; y < height; ++y) {
    for (std::size_t x = 0; x < width; ++x) values[y * width + x] = (bitmap.row(static_cast<int>(y))[x / 64] >> (x % 64) & 1U) != 0;
  }
  return owned(std::move(values), {height, width});
}

// For each pixel the sum of weights[i] over those of `maps`, which are of one size, that computed it.
nb::ndarray<nb::numpy, float, nb::ndim<2>> weighted(const State& state, const IntArray& maps, const FloatArray& weights) {
  const Bitmap& first = state.computed[maps.data()[0]];
  const std::size_t height = first.height(), width = first.width();
  auto total = std::make_unique<float[]>(height * width);
  for (std::size_t i = 0; i < maps.size(); ++i) {
    const Bitmap& bitmap = state.computed[maps.data()[i]];
    if (bitmap.height() != first.height() || bitmap.width() != first.width()) throw std::invalid_argument("the maps differ in size");
    bitmap.add_to(total.get(), weights.data()[i]);
  }
  return owned(std::move(total), {height, width});
}

void set_changed(State& state, int map, const nb::ndarray<const bool, nb::ndim<2>, nb::c_contig, nb::device::cpu>& mask) {
  Bitmap& bitmap = state.changed(map);
  if (static_cast<int>(mask.shape(0)) != bitmap.height() || static_cast<int>(mask.shape(1)) != bitmap.width()) {
    throw std::invalid_argument("the mask does not have the map's size");
  }
  bitmap.clear();
  for (int y = 0; y < bitmap.height(); ++y) {
    for (int x = 0; x < bitmap.width(); ++x) {
      if (!mask.data()[static_cast<std::size_t>(y) * bitmap.width() + x]) continue;
      bitmap.row(y)[x / 64] |= std::uint64_t{1} << (x % 64);
    }
  }
  bitmap.settle();
}

nb::ndarray<nb::numpy, float, nb::ndim<3>> rows_of(nb::handle_t<State> self, int map) {
  const State& state = nb::cast<const State&>(self);
  const Rows rows = state.rows(map);
  const std::size_t shape[3] = {static_cast<std::size_t>(rows.height), static_cast<std::size_t>(rows.width),
                                static_cast<std::size_t>(state.program.maps[map].channels)};
  const std::int64_t strides[3] = {rows.stride * rows.width, rows.stride, 1};
  return {rows.data, 3, shape, self, strides};
}

using Counts = nb::ndarray<nb::numpy, std::int64_t, nb::ndim<1>>;

template <class Number>
Counts counted(std::size_t size, const Number& number) {
  auto values = std::make_unique<std::int64_t[]>(size);
  for (std::size_t i = 0; i < size; ++i) values[i] = static_cast<std::int64_t>(number(i));
  return owned(std::move(values), {size});
}

Counts counts_of(const State& state) {
  return counted(state.counts.size(), [&](std::size_t map) { return state.counts[map]; });
}

Counts asked_of(const State& state) {
  return counted(state.outputs.size(), [&](std::size_t entry) { return state.outputs[entry].asked; });
}

std::shared_ptr<Program> make_program(const std::string& name, std::shared_ptr<ThreadPool> pool) {
  const Kernels* kernels = name.empty() ? &best_kernels() : find_kernels(name.c_str());
  if (kernels == nullptr) throw std::invalid_argument("this processor does not run the instruction set " + name);
  return std::make_shared<Program>(*kernels, std::move(pool));
}

std::vector<std::string> instruction_sets() {
  std::vector<std::string> names;
  for (const char* name : {"avx512", "avx2", "generic"}) {
    if (find_kernels(name) != nullptr) names.emplace_back(name);
  }
  return names;
}

double exercise(const std::string& name, std::int64_t rounds) {
  const Kernels* kernels = find_kernels(name.c_str());
  if (kernels == nullptr) throw std::invalid_argument("this processor does not run the instruction set " + name);
  float sink[4] = {1, 0.5F, 0.25F, 0};
  return kernels->exercise(rounds, sink);
}

void bind_steps(nb::class_<Program>& type) {
  using Sources = std::vector<int>;
  using Footprints = std::vector<Footprint>;
  type.def("add_input", [](Program& p, int map, int input) { add_other(p, Entry::Kind::input, map, input, {}, {}); });
  type.def("add_view", [](Program& p, int map, Sources s, Footprints f) { add_other(p, Entry::Kind::view, map, 0, std::move(s), std::move(f)); });
  type.def("add_foreign", [](Program& p, int map) { add_other(p, Entry::Kind::foreign, map, 0, {}, {}); });
  type.def("add_watch", [](Program& p, int map, int norm) {
    Entry entry;
    entry.kind = Entry::Kind::watch;
    entry.map = map;
    entry.norm = static_cast<Norm>(norm);
    p.add(std::move(entry));
    return static_cast<int>(p.entries.size()) - 1;
  });
  // Of the step that was added last.
  type.def("set_output_gate", [](Program& p, int watch, double limit, double scale, int block, const FloatArray& bias) {
    p.entries.back().gate = std::make_unique<OutputGate>(OutputGate{watch, p.entries[watch].norm, limit, scale, block, floats(bias)});
    return static_cast<int>(p.entries.size()) - 1;
  });
  type.def("set_question", [](Program& p, int map, const FloatArray& weights, float bias, bool magnitude, int block) {
    auto question = std::make_shared<Question>(Question{Buffer(padded(static_cast<int>(weights.size()))), bias, magnitude});
    std::copy_n(weights.data(), weights.size(), question->weights.data());
    p.gates[map] = {true, 0, 1, block, std::move(question)};
  });
  type.def("add_convolution", [](Program& p, int map, int source, const Footprint& f, Pair step, Pair period, int groups,
                                 const std::vector<std::pair<IntArray, FloatArray>>& phases, const FloatArray& bias, ActivationTuple act) {
    std::vector<Convolution::Phase> list;
    for (const auto& [taps, weights] : phases) list.push_back({ints(taps), floats(weights)});
    add_step(p, map, {source}, {f},
             std::make_unique<Convolution>(p, source, map, step, period, groups, list, floats(bias), activation(act)));
  });
  type.def("add_depthwise", [](Program& p, int map, int source, const Footprint& f, const FloatArray& weights, const FloatArray& bias,
                               ActivationTuple act) {
    add_step(p, map, {source}, {f},
             std::make_unique<Depthwise>(p, source, map, Pair{f.kernel[0], f.kernel[1]}, Pair{f.stride[0], f.stride[1]},
                                         Pair{f.dilation[0], f.dilation[1]}, Pair{f.origin[0], f.origin[1]}, floats(weights), floats(bias),
                                         activation(act)));
  });
  using LeafTuple = std::tuple<int, FloatArray, bool, bool, bool, IntArray, IntArray>;
  using LinkTuple = std::tuple<int, std::array<int, 3>, ActivationTuple>;
  type.def("add_pointwise", [](Program& p, int map, Sources sources, Footprints f, const std::vector<LeafTuple>& leaves,
                               const std::vector<LinkTuple>& links) {
    std::vector<PointwiseChain::Leaf> leaf_list;
    for (const auto& [source, values, by_row, by_column, scalar, rows, columns] : leaves) {
      leaf_list.push_back({source, floats(values), by_row, by_column, scalar, ints(rows), ints(columns)});
    }
    std::vector<PointwiseChain::Link> link_list;
    for (const auto& [operation, operands, act] : links) link_list.push_back({static_cast<Pointwise>(operation), operands, activation(act)});
    add_step(p, map, std::move(sources), std::move(f), std::make_unique<PointwiseChain>(p, map, std::move(leaf_list), std::move(link_list)));
  });
  type.def("add_pool", [](Program& p, int map, int source, const Footprint& f, bool maximum, bool count_padding) {
    add_step(p, map, {source}, {f},
             std::make_unique<Pool>(p, source, map, maximum, count_padding, Pair{f.kernel[0], f.kernel[1]}, Pair{f.stride[0], f.stride[1]},
                                    Pair{f.dilation[0], f.dilation[1]}, Pair{f.origin[0], f.origin[1]}));
  });
  using AxisTuple = std::tuple<IntArray, IntArray, FloatArray, FloatArray>;
  type.def("add_resize", [](Program& p, int map, int source, const Footprint& f, bool bilinear, const AxisTuple& rows,
                            const AxisTuple& columns) {
    const auto axis = [](const AxisTuple& t) -> Resize::Axis {
      return {{ints(std::get<0>(t)), ints(std::get<1>(t))}, {floats(std::get<2>(t)), floats(std::get<3>(t))}};
    };
    add_step(p, map, {source}, {f}, std::make_unique<Resize>(p, source, map, bilinear, axis(rows), axis(columns)));
  });
  using PartTuple = std::tuple<int, int, int, std::vector<int>>;
  type.def("add_move", [](Program& p, int map, Sources sources, Footprints f, const std::vector<PartTuple>& parts, Pair origin,
                          float outside) {
    std::vector<Move::Part> list;
    for (const auto& [source, target, count, channels] : parts) list.push_back({source, target, count, channels});
    add_step(p, map, std::move(sources), std::move(f), std::make_unique<Move>(p, map, std::move(list), origin, outside));
  });
  type.def("add_global_mean", [](Program& p, int map, int source) {
    Footprint any;
    any.kind = Footprint::Kind::any;
    add_step(p, map, {source}, {any}, std::make_unique<GlobalMean>(p, source));
  });
}

}  // namespace
}  // namespace skipvid

NB_MODULE(_native, m) {
  nb::set_leak_warnings(false);  // thread pools are cached for the life of the process
  using namespace skipvid;
  m.attr("LARGEST_EXTENT") = largest_extent;
  m.def("instruction_sets", &instruction_sets, "Names of the kernels that this processor runs, the fastest first.");

  m.def("exercise", &exercise, nb::call_guard<nb::gil_scoped_release>(),
        "Multiply-adds in registers, for the machine's peak. Returns the floating-point operations done.");

  nb::class_<ThreadPool>(m, "ThreadPool").def(nb::init<int>()).def_prop_ro("size", &ThreadPool::size);

  nb::class_<Footprint>(m, "Footprint")
      .def_static("same", [] { return Footprint{}; })
      .def_static("any", [] {
        Footprint footprint;
        footprint.kind = Footprint::Kind::any;
        return footprint;
      })
      .def_static("window", &window)
      .def_static("taps", [](const IntArray& rows, const IntArray& columns) {
        return Footprint::taps(ints(rows), ints(columns), static_cast<int>(columns.shape(0)));
      });

  auto program = nb::class_<Program>(m, "Program");
  program.def(nb::new_(&make_program))
      .def_prop_ro("instruction_set", [](const Program& p) { return std::string(p.kernels.name); })
      .def("add_map", &Program::add_map)
      .def("add_part", &Program::add_part)
      .def("set_gate", [](Program& p, int map, double threshold, double scale, int block) { p.gates[map] = {true, threshold, scale, block, nullptr}; })
      .def("add_segment", &Program::add_segment)
      .def("share", &Program::share)
      .def("run", &run)
      .def("run_picture", &run_picture);
  bind_steps(program);

  nb::class_<State>(m, "State")
      .def(nb::init<const Program&, bool>(), nb::keep_alive<1, 2>())
      .def_prop_ro("memory_bytes", &State::bytes)
      .def("rows", &rows_of)
      .def("limit", [](const State& s, int map) { return s.limits[map]; })
      .def("output_limit", [](const State& s, int entry) { return s.outputs[entry].limit; })
      .def("any_changed", [](const State& s, int map) { return s.changed(map).any(); })
      .def("counts", &counts_of)
      .def("asked", &asked_of)
      .def("computed", [](const State& s, int map) { return mask_of(s.computed[map]); })
      .def("weighted", &weighted)
      .def("changed", [](const State& s, int map) { return mask_of(s.changed(map)); })
      .def("set_changed", &set_changed);
}
