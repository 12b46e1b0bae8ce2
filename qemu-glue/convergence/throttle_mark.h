// A file that says that a QEMU has been told to slow its guest down. It goes with the mark; that of a process
// that was killed stays, and shows `wherry doctor` what else only that QEMU's monitor would.
//
// Its name is QEMU-STARTED-OWNER: two process numbers and, since a number comes again, when QEMU started
// (proc_pid_stat(5)). In it is the throttle's name. Thread-safe.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace wherry::convergence {

class ThrottleMark {
 public:
  // /run/wherry-throttles, or for others than root wherry-throttles in $XDG_RUNTIME_DIR; empty: there is
  // none.
  static std::filesystem::path usual_directory();

  // Where it cannot be written, there is none.
  ThrottleMark(pid_t qemu, std::string_view throttle,
               const std::filesystem::path& directory = usual_directory());
  ~ThrottleMark();
  ThrottleMark(const ThrottleMark&) = delete;
  ThrottleMark& operator=(const ThrottleMark&) = delete;

  struct Left {
    pid_t qemu = 0;
    std::string throttle;
    std::filesystem::path file;
  };
  // Of owners that are gone, at QEMUs that run.
  static std::vector<Left> abandoned(const std::filesystem::path& directory = usual_directory());

 private:
  std::filesystem::path file_;
};

}  // namespace wherry::convergence
