// What the tests of doctor share: a directory of fake files, and a check of a finding.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "qemu-glue/doctor/finding.h"
#include "transport/socket/endpoint.h"

namespace wherry::doctor {

inline const Endpoint kAnyPort{.path = {}, .host = "127.0.0.1", .port = 0};

class Scratch {
 public:
  Scratch() {
    std::string name = testing::TempDir() + "/doctor-XXXXXX";
    EXPECT_NE(::mkdtemp(name.data()), nullptr);
    path_ = name;
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  ~Scratch() { std::filesystem::remove_all(path_); }

  std::string path(const std::string& name = {}) const { return name.empty() ? path_ : path_ + "/" + name; }
  void write(const std::string& name, const std::string& text) const {
    std::filesystem::create_directories(std::filesystem::path(path(name)).parent_path());
    std::ofstream(path(name)) << text;
  }

 private:
  std::string path_;
};

// Expects the level and the given words. A finding that is not ok must have a remedy.
inline void expect(const Finding& finding, Level level, const std::string& found,
                   const std::string& remedy = {}) {
  EXPECT_EQ(finding.level, level) << finding.found;
  EXPECT_EQ(finding.remedy.empty(), level == Level::ok) << finding.found;
  EXPECT_THAT(finding.found, testing::HasSubstr(found));
  EXPECT_THAT(finding.remedy, testing::HasSubstr(remedy));
}

}  // namespace wherry::doctor
