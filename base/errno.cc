#include "base/errno.h"

#include <cerrno>
#include <system_error>

namespace wherry {

std::string reason(int error) {
  std::string text = std::system_category().message(error);
  switch (error) {
    case EMFILE:
      return text + " (ulimit -n, LimitNOFILE)";
    case ENFILE:
      return text + " (sysctl fs.file-max)";
    default:
      return text;
  }
}

}  // namespace wherry
