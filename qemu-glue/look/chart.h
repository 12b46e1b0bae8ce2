// Draws one quantity over time as an SVG picture: a line, and values to compare it with.
//
// Values are between 0 and 1e18, and times never decrease. The size of a picture does not depend on the
// number of points: of the points in one column of pixels only the first, lowest, highest and last are drawn.
// If the first values are missing, the picture says "not known yet" there, if it fits.
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
    std::optional<double> value;  // nothing: a gap in the line
  };
  std::vector<Point> points;
  struct Named {
    double value;
    std::string name;
  };
  std::optional<Named> level;    // a horizontal line
  std::optional<Named> outcome;  // a dot at the end
  // Points above this value are drawn at the upper edge, so that they do not flatten the rest.
  std::optional<double> most = {};
};

// Something that happened at `t` seconds: a vertical line with a number.
struct Event {
  double t;
  std::string text;
};

// `duration`: the length of the time axis, in seconds; no point is later. The page's style sheet styles the
// parts by their classes: grid, axis, line, area, level, outcome, event and unknown.
std::string svg(const Chart& chart, const std::vector<Event>& events, double duration);

}  // namespace wherry::look
