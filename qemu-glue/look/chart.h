// One quantity over time, as a picture (SVG) of its own: a line, and what it is to be compared with.
//
// Numbers are between 0 and 1e18, and times never decrease. A picture stays small however many points there
// are: of those that fall into one column of pixels only the first, lowest, highest and last are drawn. Where
// the first values are missing it says that they are not known yet, if there is room.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "qemu-glue/look/units.h"

namespace wherry::look {

struct Chart {
  std::string title;
  Unit unit = Unit::times;
  struct Point {
    double t;                     // seconds
    std::optional<double> value;  // none: the line has a gap
  };
  std::vector<Point> points;
  struct Named {
    double value;
    std::string name;
  };
  std::optional<Named> level;    // a line from side to side
  std::optional<Named> outcome;  // a dot at the end
  // Points of more are drawn at the upper edge: they would flatten the rest.
  std::optional<double> most = {};
};

// What happened at a time: a line from top to bottom, with a number.
struct Event {
  double t;
  std::string text;
};

// `duration`: the length of the time axis, in seconds; no point is later. Style is the page's: the parts have
// the classes grid, axis, line, area, level, outcome, event and unknown.
std::string svg(const Chart& chart, const std::vector<Event>& events, double duration);

}  // namespace wherry::look
