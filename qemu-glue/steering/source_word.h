// What the source's QEMU says of a migration that is over, and how much of that counts.
//
// The stream and the destination tell the Sender how the migration went. QEMU alone knows how long the guest
// was stopped, whether somebody has cancelled the migration, and whether it keeps the guest stopped. How it
// went is asked of QEMU as well, for the case that the stream does not tell (TLS between the QEMUs, or no
// return path).
#pragma once

#include <optional>

#include "base/result.h"
#include "qemu-glue/monitor/migration_figures.h"
#include "qemu-glue/outcome/outcome.h"
#include "qemu-glue/outcome/report.h"
#include "qemu-glue/steering/source_access.h"

namespace wherry {

class SourceWord {
 public:
  // Call it when QEMU's channels have ended: from any state QEMU is then on its way to one of the last, and
  // that is waited for, for two seconds. An Error: QEMU does not answer. `qemu` outlives this.
  static Result<SourceWord> ask(SourceAccess& qemu);

  // How the migration went. Nothing: QEMU does not know, or not yet.
  std::optional<Ended> verdict() const;
  // Puts into the report what only QEMU knows, and how the migration went if the report, which has ended,
  // does not know that. `cut_off`: Wherry had to close QEMU's channels without the destination's word. Then
  // QEMU takes the migration for failed, whatever became of the guest.
  void complete(Report& report, bool cut_off) const;

 private:
  SourceWord(SourceAccess& qemu, qemu::MigrationFigures last) : qemu_(qemu), last_(std::move(last)) {}

  SourceAccess& qemu_;
  const qemu::MigrationFigures last_;
};

}  // namespace wherry
