// What the source's QEMU is told about how much may remain when it stops the guest.
//
// QEMU 8.2 and later is told the rate to assume (avail-switchover-bandwidth), so that what may remain is that
// rate times the downtime limit. An earlier QEMU assumes the rate that it measures over 0.1 s. So its
// downtime limit is computed for the fastest such rate of the last second.
//
// A limit is told again only if it has changed by more than a few percent. Knows no clock: times are seconds
// of any clock. For one thread.
#pragma once

#include <deque>

#include "qemu-glue/convergence/source_qemu.h"

namespace wherry::convergence {

class ToldQemu {
 public:
  // `before` are the limits that QEMU has, which it gets back when this ends.
  ToldQemu(SourceQemu& qemu, const SwitchoverLimits& before) : qemu_(qemu), before_(before) {}
  ~ToldQemu();
  ToldQemu(const ToldQemu&) = delete;
  ToldQemu& operator=(const ToldQemu&) = delete;

  // Next to nothing may remain: QEMU goes on until it is told otherwise.
  Result<> go_on();
  // Bytes a second, as QEMU measured them in its last window.
  void note_rate(double t, double rate);

  struct Allowance {
    double may_remain = 0;  // bytes that may be left when the guest stops
    double time_ms = 0;     // milliseconds in which they have to land
    double landing = 0;     // bytes a second at which they land
  };
  Result<> tell(const Allowance& allowance);
  // The guest may be stopped for as long as it takes. tell() does nothing from now on.
  Result<> let_go();

 private:
  struct Window {
    double t = 0;     // when QEMU was asked, seconds
    double rate = 0;  // bytes a second
  };

  SourceQemu& qemu_;
  const SwitchoverLimits before_;
  SwitchoverLimits told_;       // what QEMU was told last
  std::deque<Window> windows_;  // QEMU's windows of the last second, the oldest first
  bool let_go_ = false;
};

}  // namespace wherry::convergence
