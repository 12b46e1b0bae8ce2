#include "qemu-glue/cli/commands.h"
namespace wherry::cli { void add_migrate(CLI::App&, Command&) {} }
