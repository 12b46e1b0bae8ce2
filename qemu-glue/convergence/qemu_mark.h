// A file that records which parameters a QEMU had before Wherry changed them, and how its guest is slowed
// down. The destructor removes it. If the process is killed, the file stays, and tells the next Wherry and
// `wherry doctor` what has to be restored.
//
// Its name is QEMU-STARTED-OWNER: two process numbers and, because numbers are reused, when QEMU started
// (proc_pid_stat(5)). It contains JSON, {"parameters": {NAME: NUMBER, …}, "throttle": NAME}. Thread-safe.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace wherry::convergence {

class QemuMark {
 public:
  // /run/wherry-marks, or for others than root wherry-marks in $XDG_RUNTIME_DIR; empty: there is none.
  static std::filesystem::path usual_directory();

  // `parameters` are QEMU's, as they were. If the file cannot be written, there is none.
  QemuMark(pid_t qemu, nlohmann::json parameters, const std::filesystem::path& directory = usual_directory());
  ~QemuMark();
  QemuMark(const QemuMark&) = delete;
  QemuMark& operator=(const QemuMark&) = delete;

  // What QEMU has been told to slow its guest by; empty: nothing.
  void set_throttle(std::string_view name);

  struct Left {
    pid_t qemu = 0;
    nlohmann::json parameters;
    std::string throttle;
    std::filesystem::path file;
  };
  // The marks of owners that have ended, for QEMUs that run.
  static std::vector<Left> abandoned(const std::filesystem::path& directory = usual_directory());

 private:
  void write() const;

  std::filesystem::path file_;
  nlohmann::json told_;
};

}  // namespace wherry::convergence
