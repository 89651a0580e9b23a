#include "description.hpp"

#include <bit>
#include <cstring>

namespace skipvid {

namespace {

static_assert(std::endian::native == std::endian::little, "descriptions are little-endian");

constexpr std::size_t name_size = 24;

// Takes one piece after the other from some bytes.
class Reader {
 public:
  Reader(const std::byte* bytes, std::size_t size) : at_(bytes), left_(size) {}

  const std::byte* take(std::size_t size, const char* what) {
    if (size > left_) throw DescriptionError(std::string("the description ends within ") + what);
    const std::byte* const start = at_;
    at_ += size;
    left_ -= size;
    return start;
  }
  template <class Value>
  Value number(const char* what) {
    Value value;
    std::memcpy(&value, take(sizeof value, what), sizeof value);
    return value;
  }
  // The head of a section: its name, and bytes of a row and rows, of which the number of rows is returned.
  std::size_t section(const char* name, std::size_t row_size) {
    char found[name_size + 1] = {};
    std::memcpy(found, take(name_size, name), name_size);
    if (std::string_view(found) != name) throw DescriptionError(std::string("the section ") + name + " is missing");
    const auto size = number<std::uint64_t>(name);
    if (size != row_size)
      throw DescriptionError(std::string(name) + ": a row has " + std::to_string(size) + " bytes instead of " + std::to_string(row_size));
    const auto count = number<std::uint64_t>(name);
    if (count > left_ / row_size) throw DescriptionError(std::string("the description ends within ") + name);
    return static_cast<std::size_t>(count);
  }
  template <class Value>
  std::vector<Value> constants(const char* name) {
    std::vector<Value> values(section(name, sizeof(Value)));
    const std::size_t size = values.size() * sizeof(Value);
    if (size > 0) std::memcpy(values.data(), take(size, name), size);
    take(-size % 8, name);
    return values;
  }
  std::size_t left() const { return left_; }

 private:
  const std::byte* at_;
  std::size_t left_;
};

template <class Row>
void read_rows(Reader& reader, std::vector<Row>& rows) {
  constexpr std::size_t size = std::tuple_size_v<decltype(Row::fields())> * 8;
  static_assert(sizeof(Row) == size, "a field is missing in fields()");
  rows.resize(reader.section(Row::table, size));
  for (Row& row : rows) {
    std::apply(
        [&](const auto&... field) { ((row.*field.member = reader.number<std::decay_t<decltype(row.*field.member)>>(Row::table)), ...); },
        Row::fields());
  }
}

}  // namespace

Description read_description(const std::byte* bytes, std::size_t size) {
  Reader reader(bytes, size);
  if (std::memcmp(reader.take(description_magic.size(), "its first bytes"), description_magic.data(), description_magic.size()) != 0) {
    throw DescriptionError("this is no description of a program");
  }
  const auto version = reader.number<std::uint64_t>("its version");
  if (version != description_version) {
    throw DescriptionError("the description has version " + std::to_string(version) + " instead of " + std::to_string(description_version));
  }
  Description result;
  std::apply([&](auto&... rows) { (read_rows(reader, rows), ...); }, result.tables);
  result.integers = reader.constants<std::int32_t>("integers");
  result.numbers = reader.constants<float>("numbers");
  if (reader.left() > 0)
    throw DescriptionError("the description is followed by " + std::to_string(reader.left()) + " bytes that are none of it");
  return result;
}

}  // namespace skipvid
