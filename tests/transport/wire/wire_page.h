// A page of docs/ as tests read it, by default wire-format.md: its tables and its examples.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <fstream>
#include <map>
#include <set>
#include <span>
#include <sstream>
#include <string>
#include <vector>

namespace wherry::test {

using Row = std::vector<std::string>;

class Page {
 public:
  explicit Page(const std::string& name = "wire-format.md") {
    std::ifstream file(WHERRY_DOCS "/" + name);
    EXPECT_TRUE(file) << "no " WHERRY_DOCS "/" << name;
    std::string section;    // the heading that a table stands under
    std::string paragraph;  // the first word of the paragraph above it
    std::string example;
    for (std::string line; std::getline(file, line);) {
      if (!example.empty()) {
        if (line == "```") {
          example.clear();
          continue;
        }
        std::istringstream bytes(line);
        for (unsigned byte; bytes >> std::hex >> byte;)
          examples_[example].push_back(static_cast<uint8_t>(byte));
      } else if (line.starts_with("```hex ")) {
        example = line.substr(7);
      } else if (line.starts_with("| ---")) {
        continue;
      } else if (line.starts_with("|")) {
        Row row;
        std::istringstream cells(line.substr(1));
        for (std::string cell; std::getline(cells, cell, '|');) row.push_back(trimmed(cell));
        if (tables_.empty() || !in_table_) tables_.push_back({section, paragraph, {}});
        in_table_ = true;
        tables_.back().rows.push_back(row);
      } else {
        in_table_ = false;
        if (line.starts_with("## ")) {
          section = line.substr(3);
          paragraph.clear();
        } else if (!line.empty()) {
          paragraph = line.substr(0, line.find(' '));
        }
      }
    }
  }
  // The rows of the table under that heading or paragraph whose own first column is headed so.
  std::vector<Row> table(const std::string& above, const std::string& column) const {
    for (const Table& table : tables_) {
      if ((table.section == above || table.paragraph == above) && table.rows[0][0] == column) {
        return {table.rows.begin() + 1, table.rows.end()};
      }
    }
    ADD_FAILURE() << "the page has no table of " << column << " under " << above;
    return {};
  }
  std::vector<uint8_t> example(const std::string& name) const {
    auto found = examples_.find(name);
    return found == examples_.end() ? std::vector<uint8_t>{} : found->second;
  }

 private:
  static std::string trimmed(const std::string& cell) {
    const size_t from = cell.find_first_not_of(' ');
    return from == std::string::npos ? "" : cell.substr(from, cell.find_last_not_of(' ') - from + 1);
  }
  struct Table {
    std::string section;
    std::string paragraph;
    std::vector<Row> rows;
  };
  std::vector<Table> tables_;
  bool in_table_ = false;
  std::map<std::string, std::vector<uint8_t>> examples_;
};

inline const Page& page() {
  static const Page the_page;
  return the_page;
}

// A little-endian number in bytes.
inline uint64_t number(std::span<const uint8_t> bytes, size_t offset, size_t size) {
  uint64_t value = 0;
  for (size_t i = size; i-- > 0;) value = value << 8 | bytes[offset + i];
  return value;
}

// Compares a table of offset, size and field with bytes. The fields must follow each other and fill the
// bytes.
inline void expect_layout(const std::vector<Row>& rows, std::span<const uint8_t> bytes,
                          const std::map<std::string, uint64_t>& values) {
  size_t next = 0;
  std::set<std::string> seen;
  for (const Row& row : rows) {
    const size_t offset = std::stoul(row[0]);
    const size_t size = std::stoul(row[1]);
    EXPECT_EQ(offset, next) << row[2];
    next = offset + size;
    ASSERT_LE(next, bytes.size()) << row[2];
    auto value = values.find(row[2]);
    ASSERT_NE(value, values.end()) << "the page has a field that the test does not know: " << row[2];
    EXPECT_EQ(number(bytes, offset, size), value->second) << row[2];
    seen.insert(row[2]);
  }
  EXPECT_EQ(next, bytes.size());
  for (const auto& [field, value] : values) EXPECT_TRUE(seen.contains(field)) << "the page lacks " << field;
}

}  // namespace wherry::test
