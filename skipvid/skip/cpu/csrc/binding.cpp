// The Python module skipvid.skip.cpu._native. Nothing that Python passes is believed: all of it is compared with the program here, in
// program.cpp and in input.cpp, before it is used.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/array.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "frame.hpp"

namespace nb = nanobind;

namespace skipvid {
namespace {

using FloatArray = nb::ndarray<const float, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using IntArray = nb::ndarray<const std::int32_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

std::shared_ptr<Program> make_program(const nb::bytes& bytes, std::shared_ptr<ThreadPool> pool, const std::string& name) {
  if (!pool) throw std::invalid_argument("a program needs a pool of threads");
  const auto* data = static_cast<const std::byte*>(bytes.data());
  const std::size_t size = bytes.size();
  const nb::gil_scoped_release unlocked;
  const Description description = read_description(data, size);
  check_description(description);
  const auto element = static_cast<Element>(description.row<ProgramRow>(0).element);
  const Kernels* kernels = name.empty() ? &best_kernels(element) : find_kernels(name.c_str(), element);
  if (kernels == nullptr) {
    throw std::invalid_argument("this processor does not run the instruction set " + name + " on " +
                                (element == Element::f32 ? "f32" : "bf16"));
  }
  return std::make_shared<Program>(description, *kernels, std::move(pool));
}

void run(const Program& program, State& state, const std::vector<nb::ndarray<const float, nb::ndim<3>, nb::device::cpu>>& arrays,
         int segment, bool keyframe, bool gates, int shift_y, int shift_x) {
  std::vector<InputArray> inputs;
  for (const auto& array : arrays) {
    inputs.push_back({array.data(), array.stride(0), array.stride(1), array.stride(2), {array.shape(0), array.shape(1), array.shape(2)}});
  }
  const nb::gil_scoped_release unlocked;
  program.run(state, inputs, segment, keyframe, gates, {shift_y, shift_x});
}

// The same for a network whose only input is a picture.
void run_picture(const Program& program, State& state,
                 const nb::ndarray<const std::uint8_t, nb::shape<-1, -1, 3>, nb::c_contig, nb::device::cpu>& bytes,
                 const nb::ndarray<const float, nb::shape<3, 256>, nb::c_contig, nb::device::cpu>& tables, std::array<int, 3> order,
                 int segment, bool keyframe, bool gates, int shift_y, int shift_x) {
  // An array of another size in bytes than int can hold fits no map.
  const auto extent = [](std::size_t value) { return static_cast<int>(std::min<std::size_t>(value, largest_extent + 1)); };
  const Picture picture{bytes.data(), extent(bytes.shape(0)), extent(bytes.shape(1)), tables.data(), order};
  const InputArray input{nullptr, 0, 0, 0, {3, bytes.shape(0), bytes.shape(1)}, &picture};
  const nb::gil_scoped_release unlocked;
  program.run(state, {&input, 1}, segment, keyframe, gates, {shift_y, shift_x});
}

// An array of its own memory.
template <class Value, std::size_t Dimensions>
nb::ndarray<nb::numpy, Value, nb::ndim<Dimensions>> owned(std::unique_ptr<Value[]> values, const std::size_t (&shape)[Dimensions]) {
  Value* const data = values.release();
  const nb::capsule owner(data, [](void* pointer) noexcept { delete[] static_cast<Value*>(pointer); });
  return {data, Dimensions, shape, owner};
}

// The number of a map, or of a step, if it is one.
std::size_t checked(const char* what, int number, std::size_t count) {
  if (number >= 0 && static_cast<std::size_t>(number) < count) return static_cast<std::size_t>(number);
  throw std::invalid_argument("there is no " + std::string(what) + " " + std::to_string(number) + ", the program has " +
                              std::to_string(count));
}

int checked_map(const State& state, int map) { return static_cast<int>(checked("map", map, state.program.maps.size())); }

using Mask = nb::ndarray<nb::numpy, bool, nb::ndim<2>>;

Mask mask_of(const Bitmap& bitmap) {
  const std::size_t height = bitmap.height(), width = bitmap.width();
  auto values = std::make_unique<bool[]>(height * width);
  for (std::size_t y = 0; y < height; ++y) {
    for (std::size_t x = 0; x < width; ++x) values[y * width + x] = (bitmap.row(static_cast<int>(y))[x / 64] >> (x % 64) & 1U) != 0;
  }
  return owned(std::move(values), {height, width});
}

std::string size_text(std::size_t height, std::size_t width) { return std::to_string(height) + " x " + std::to_string(width); }

// For each pixel the sum of weights[i] over those of `maps`, which are of one size, that computed it.
nb::ndarray<nb::numpy, float, nb::ndim<2>> weighted(const State& state, const IntArray& maps, const FloatArray& weights) {
  if (maps.size() == 0 || maps.size() != weights.size()) {
    throw std::invalid_argument(std::to_string(maps.size()) + " maps and " + std::to_string(weights.size()) +
                                " weights were given, not one or more of both");
  }
  const Bitmap& first = state.computed[checked_map(state, maps.data()[0])];
  const std::size_t height = first.height(), width = first.width();
  auto total = std::make_unique<float[]>(height * width);
  for (std::size_t i = 0; i < maps.size(); ++i) {
    const Bitmap& bitmap = state.computed[checked_map(state, maps.data()[i])];
    if (bitmap.height() != first.height() || bitmap.width() != first.width()) {
      throw std::invalid_argument("map " + std::to_string(maps.data()[i]) + " is " + size_text(bitmap.height(), bitmap.width()) +
                                  ", the first one " + size_text(height, width));
    }
    bitmap.add_to(total.get(), weights.data()[i]);
  }
  return owned(std::move(total), {height, width});
}

void set_changed(State& state, int map, const nb::ndarray<const bool, nb::ndim<2>, nb::c_contig, nb::device::cpu>& mask) {
  Bitmap& bitmap = state.changed(checked_map(state, map));
  if (mask.shape(0) != static_cast<std::size_t>(bitmap.height()) || mask.shape(1) != static_cast<std::size_t>(bitmap.width())) {
    throw std::invalid_argument("the mask is " + size_text(mask.shape(0), mask.shape(1)) + ", map " + std::to_string(map) + " is " +
                                size_text(bitmap.height(), bitmap.width()));
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

// Compare rows of a map that is computed outside, one for each pixel, with those that are published, and publish those whose sum of |change|
// exceeds the limit. Returns whether any does.
bool take(State& state, int map, const nb::ndarray<const float, nb::ndim<2>, nb::c_contig, nb::device::cpu>& rows, float limit) {
  const MapInfo& info = state.program.maps[checked_map(state, map)];
  if (rows.shape(0) != info.pixels() || rows.shape(1) != static_cast<std::size_t>(info.channels)) {
    throw std::invalid_argument("the rows are " + size_text(rows.shape(0), rows.shape(1)) + ", map " + std::to_string(map) + " has " +
                                size_text(info.pixels(), info.channels));
  }
  if (state.dense) throw std::logic_error("a dense state has nothing to compare with");
  const nb::gil_scoped_release unlocked;
  return take_rows(state, map, {}, rows.data(), limit);
}

// The same for some of the pixels, whose numbers are given, counted row by row; the others have not changed.
bool take_some(State& state, int map, const nb::ndarray<const std::int32_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>& pixels,
               const nb::ndarray<const float, nb::ndim<2>, nb::c_contig, nb::device::cpu>& rows, float limit) {
  const MapInfo& info = state.program.maps[checked_map(state, map)];
  if (rows.shape(0) != pixels.shape(0) || rows.shape(1) != static_cast<std::size_t>(info.channels)) {
    throw std::invalid_argument("the rows are " + size_text(rows.shape(0), rows.shape(1)) + ", not " +
                                size_text(pixels.shape(0), info.channels));
  }
  for (std::size_t i = 0; i < pixels.size(); ++i) {
    if (pixels.data()[i] < 0 || static_cast<std::size_t>(pixels.data()[i]) >= info.pixels())
      throw std::invalid_argument("map " + std::to_string(map) + " has no pixel " + std::to_string(pixels.data()[i]));
  }
  if (state.dense) throw std::logic_error("a dense state has nothing to compare with");
  const nb::gil_scoped_release unlocked;
  if (pixels.size() > 0) return take_rows(state, map, {pixels.data(), pixels.size()}, rows.data(), limit);
  state.changed(map).clear();
  return false;
}

// A map's own memory: floats, or the bits of bfloat16, which numpy does not know.
template <class Value>
nb::ndarray<nb::numpy, Value, nb::ndim<3>> view_of(nb::handle_t<State> self, int map) {
  const State& state = nb::cast<const State&>(self);
  const Rows rows = state.rows(checked_map(state, map));
  const std::size_t shape[3] = {static_cast<std::size_t>(rows.height), static_cast<std::size_t>(rows.width),
                                static_cast<std::size_t>(state.program.maps[map].channels)};
  const std::int64_t pixel = rows.stride / static_cast<std::ptrdiff_t>(sizeof(Value)), strides[3] = {pixel * rows.width, pixel, 1};
  return {reinterpret_cast<Value*>(rows.data), 3, shape, self, strides};
}

nb::object rows_of(nb::handle_t<State> self, int map) {
  const State& state = nb::cast<const State&>(self);
  if (!state.program.maps[checked_map(state, map)].stored) {
    throw std::invalid_argument("map " + std::to_string(map) + " is not stored: its reader makes it");
  }
  if (state.program.in_floats(map)) return nb::cast(view_of<float>(self, map));
  return nb::cast(view_of<std::int16_t>(self, map));
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

Counts candidates_of(const State& state) {
  return counted(state.outputs.size(), [&](std::size_t step) { return state.outputs[step].candidates; });
}

std::vector<std::string> runnable_sets(Element element) {
  std::vector<std::string> names;
  for (const char* name : instruction_sets()) {
    if (find_kernels(name, element) != nullptr) names.emplace_back(name);
  }
  return names;
}

double exercise(const std::string& name, std::int64_t rounds) {
  const Kernels* kernels = find_kernels(name.c_str(), Element::f32);
  if (kernels == nullptr) kernels = find_kernels(name.c_str(), Element::bf16);
  if (kernels == nullptr) throw std::invalid_argument("this processor does not run the instruction set " + name);
  float sink[4] = {1, 0.5F, 0.25F, 0};
  return kernels->exercise(rounds, sink);
}

template <class Row>
void describe_table(nb::dict& tables, const std::vector<Row>&) {
  std::vector<std::pair<std::string, std::string>> fields;
  std::apply(
      [&](const auto&... field) {
        (fields.emplace_back(field.name, std::is_same_v<std::decay_t<decltype(std::declval<Row>().*field.member)>, double> ? "<f8" : "<i8"),
         ...);
      },
      Row::fields());
  tables[Row::table] = nb::cast(fields);
}

// The format, for Python to write it: there is no second definition.
void bind_format(nb::module_& m) {
  nb::dict tables;
  const DescriptionTables empty;
  std::apply([&](const auto&... rows) { (describe_table(tables, rows), ...); }, empty);
  m.attr("TABLES") = tables;
  m.attr("MAGIC") = nb::bytes(description_magic.data(), description_magic.size());
  m.attr("VERSION") = description_version;
  m.attr("LANES") = lanes;
  m.attr("LARGEST_EXTENT") = largest_extent;
  nb::enum_<Element>(m, "Element", nb::is_arithmetic()).value("F32", Element::f32).value("BF16", Element::bf16);
  nb::enum_<StepKind>(m, "StepKind", nb::is_arithmetic())
      .value("INPUT", StepKind::input)
      .value("VIEW", StepKind::view)
      .value("FALLBACK", StepKind::fallback)
      .value("CHANGE", StepKind::change)
      .value("CONVOLUTION", StepKind::convolution)
      .value("DEPTHWISE", StepKind::depthwise)
      .value("POINTWISE", StepKind::pointwise)
      .value("POOL", StepKind::pool)
      .value("RESIZE", StepKind::resize)
      .value("MOVE", StepKind::move)
      .value("GLOBAL_MEAN", StepKind::global_mean)
      .value("GATHER", StepKind::gather)
      .value("CHANNELWISE", StepKind::channelwise)
      .value("ATTENTION", StepKind::attention)
      .value("CHOICE", StepKind::choice)
      .value("SELECT", StepKind::select);
  nb::enum_<Footprint::Kind>(m, "FootprintKind", nb::is_arithmetic())
      .value("SAME", Footprint::Kind::same)
      .value("WINDOW", Footprint::Kind::window)
      .value("TAPS", Footprint::Kind::taps)
      .value("PIXELS", Footprint::Kind::pixels)
      .value("ANY", Footprint::Kind::any);
  nb::enum_<Activation::Kind>(m, "ActivationKind", nb::is_arithmetic())
      .value("NONE", Activation::Kind::none)
      .value("CLAMP", Activation::Kind::clamp)
      .value("SILU", Activation::Kind::silu)
      .value("SIGMOID", Activation::Kind::sigmoid)
      .value("TANH", Activation::Kind::tanh)
      .value("HARDSWISH", Activation::Kind::hardswish)
      .value("HARDSIGMOID", Activation::Kind::hardsigmoid)
      .value("LEAKY_RELU", Activation::Kind::leaky_relu)
      .value("ELU", Activation::Kind::elu)
      .value("GELU", Activation::Kind::gelu)
      .value("GELU_TANH", Activation::Kind::gelu_tanh)
      .value("MISH", Activation::Kind::mish)
      .value("SOFTPLUS", Activation::Kind::softplus)
      .value("EXP", Activation::Kind::exp)
      .value("LOG", Activation::Kind::log)
      .value("SQRT", Activation::Kind::sqrt)
      .value("RSQRT", Activation::Kind::rsqrt)
      .value("RECIPROCAL", Activation::Kind::reciprocal)
      .value("ERF", Activation::Kind::erf)
      .value("ABSOLUTE", Activation::Kind::absolute);
  nb::enum_<Norm>(m, "Norm", nb::is_arithmetic())
      .value("MAGNITUDES", Norm::magnitudes)
      .value("SQUARES", Norm::squares)
      .value("LARGEST", Norm::largest);
  nb::enum_<ChannelOperation>(m, "ChannelOperation", nb::is_arithmetic())
      .value("NORMALISE", ChannelOperation::normalise)
      .value("SOFTMAX", ChannelOperation::softmax);
  nb::enum_<Pointwise>(m, "Pointwise", nb::is_arithmetic())
      .value("COPY", Pointwise::copy)
      .value("ADD", Pointwise::add)
      .value("SUB", Pointwise::sub)
      .value("MUL", Pointwise::mul)
      .value("DIV", Pointwise::div)
      .value("MULTIPLY_ADD", Pointwise::multiply_add)
      .value("MAX", Pointwise::max)
      .value("MIN", Pointwise::min);
}

}  // namespace
}  // namespace skipvid

NB_MODULE(_native, m) {
  nb::set_leak_warnings(false);  // thread pools are cached for the life of the process
  using namespace skipvid;
  bind_format(m);  // first: what follows has defaults of its types
  m.def("instruction_sets", &runnable_sets, nb::arg("element") = Element::f32,
        "Names of the kernels that this processor runs on maps of these values, the fastest first.");

  m.def("exercise", &exercise, nb::call_guard<nb::gil_scoped_release>(),
        "Multiply-adds in registers, for the machine's peak. Returns the floating-point operations done.");

  nb::class_<ThreadPool>(m, "ThreadPool")
      .def(nb::init<int>())
      .def_prop_ro("size", &ThreadPool::size)
      .def_prop_ro("lent", &ThreadPool::lent);

  nb::class_<Program>(m, "Program")
      .def(nb::new_(&make_program), nb::arg("description"), nb::arg("pool"), nb::arg("instruction_set") = "",
           "Check a description and build its program. Raises ValueError with section, row and reason.")
      .def_prop_ro("instruction_set", [](const Program& p) { return std::string(p.kernels.name); })
      .def_prop_ro("moves", &Program::moves)
      .def("run", &run, nb::arg("state"), nb::arg("arrays"), nb::arg("segment"), nb::arg("keyframe"), nb::arg("gates"),
           nb::arg("shift_y") = 0, nb::arg("shift_x") = 0)
      .def("run_picture", &run_picture, nb::arg("state"), nb::arg("pixels"), nb::arg("tables"), nb::arg("order"), nb::arg("segment"),
           nb::arg("keyframe"), nb::arg("gates"), nb::arg("shift_y") = 0, nb::arg("shift_x") = 0);

  nb::class_<State>(m, "State")
      .def(nb::init<const Program&, bool>(), nb::keep_alive<1, 2>())
      .def_prop_ro("memory_bytes", &State::bytes)
      .def_rw("alone", &State::alone)
      .def("rows", &rows_of)
      .def("limit", [](const State& s, int map) { return s.limits[checked_map(s, map)]; })
      .def("output_limit", [](const State& s, int step) { return s.outputs[checked("step", step, s.outputs.size())].limit; })
      .def("any_changed", [](const State& s, int map) { return s.changed(checked_map(s, map)).any(); })
      .def("counts", &counts_of)
      .def("candidates", &candidates_of)
      .def("choice", [](const State& s, int step) { return s.choices[checked("step", step, s.choices.size())].number; })
      .def("computed", [](const State& s, int map) { return mask_of(s.computed[checked_map(s, map)]); })
      .def("weighted", &weighted)
      .def("changed", [](const State& s, int map) { return mask_of(s.changed(checked_map(s, map))); })
      .def("set_changed", &set_changed)
      .def("take", &take)
      .def("take_some", &take_some);
}
