#include "qemu-glue/look/chart.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "qemu-glue/look/html.h"

namespace wherry::look {
namespace {

// In units of the picture, which are pixels at its natural size.
constexpr double kWidth = 400;
constexpr double kHeight = 180;
constexpr double kLeft = 42;
constexpr double kRight = kWidth - 14;
constexpr double kTop = 24;
constexpr double kBottom = kHeight - 34;

// An axis from 0 to `end`, with a mark every `step`.
struct Axis {
  double end;
  double step;
};

// The largest step of 1, 2 or 5 times a power of ten that fits at least `marks` times into `highest`.
double round_step(double highest, int marks) {
  const double most = highest / marks;
  const double power = std::pow(10, std::floor(std::log10(most)));
  for (const double times : {5.0, 2.0}) {
    if (times * power <= most) return times * power;
  }
  return power;
}

// An axis needs a length above 0; the least is smaller than any measured value.
double length(double highest) {
  return highest < 1e-3 ? 1 : highest;
}

Axis value_axis(double highest) {
  const double step = round_step(length(highest), 3);
  return {std::ceil(length(highest) / step - 1e-9) * step, step};
}

// A scale whose marks have no more digits than fit.
Scale roomy(const Scale& scale, double highest) {
  if (highest / scale.one < 10'000) return scale;
  const double power = std::floor(std::log10(highest / scale.one));
  return {scale.one * std::pow(10, power),
          fmt::format("1e{:.0f}{}{}", power, scale.name.empty() ? "" : " ", scale.name)};
}

class Picture {
 public:
  Picture(const Chart& chart, double duration) : chart_(chart), duration_(length(duration)) {
    double highest = chart.unit == Unit::percent ? 100 : 0;
    for (const auto* named : {&chart.level, &chart.outcome}) {
      if (*named) highest = std::max(highest, (*named)->value);
    }
    for (const Chart::Point& point : chart.points) {
      const double value = point.value.value_or(0);
      highest = std::max(highest, std::min(value, chart.most.value_or(value)));
    }
    scale_ = roomy(scale_of(chart.unit, highest), highest);
    axis_ = value_axis(highest / scale_.one);
  }

  std::string draw(const std::vector<Event>& events) const {
    std::string text =
        fmt::format(R"(<svg class="chart" viewBox="0 0 {} {}" role="img" aria-label="{} over time">)"
                    "\n",
                    kWidth, kHeight, escaped(chart_.title));
    text += values() + times() + happened(events) + unknown() + line();
    if (chart_.level) text += level(*chart_.level);
    if (chart_.outcome) text += outcome(*chart_.outcome);
    return text + "</svg>\n";
  }

 private:
  double x(double t) const { return kLeft + (kRight - kLeft) * std::min(t / duration_, 1.0); }
  double y(double value) const {
    return kBottom - (kBottom - kTop) * std::min(value / scale_.one / axis_.end, 1.0);
  }

  std::string values() const {
    std::string text = fmt::format("<text class=\"unit\" x=\"{}\" y=\"12\">{}</text>\n", 2, scale_.name);
    const auto marks = static_cast<int>(std::round(axis_.end / axis_.step));
    for (int i = 0; i <= marks; ++i) {
      const double mark = axis_.step * i;
      text += fmt::format(
          R"(<path class="{}" d="M{} {:.1f}H{}"/><text class="mark value" x="{}" y="{:.1f}">{:.6g}</text>)"
          "\n",
          i == 0 ? "axis" : "grid", kLeft, y(mark * scale_.one), kRight, kLeft - 6, y(mark * scale_.one) + 4,
          mark);
    }
    return text;
  }

  std::string times() const {
    const Scale scale = roomy(scale_of_seconds(duration_), duration_);
    const double longest = duration_ / scale.one;
    const double step = round_step(longest, 4);
    std::string text;
    for (int i = 0; i * step <= longest * (1 + 1e-9); ++i) {
      text += fmt::format("<text class=\"mark time\" x=\"{:.1f}\" y=\"{}\">{:.6g}</text>\n",
                          x(i * step * scale.one), kBottom + 15, i * step);
    }
    return text + fmt::format("<text class=\"unit time\" x=\"{}\" y=\"{}\">time in {}</text>\n",
                              (kLeft + kRight) / 2, kHeight - 4, scale.name);
  }

  // A number is left out if it would overlap the one before.
  std::string happened(const std::vector<Event>& events) const {
    std::string text;
    double drawn = -1;
    double numbered = -100;
    for (size_t i = 0; i < events.size(); ++i) {
      const double at = x(events[i].t);
      if (at < drawn + 1) continue;
      drawn = at;
      text += fmt::format(R"(<g class="event"><title>{}</title><path d="M{:.1f} {}V{}"/>)",
                          escaped(events[i].text), at, kTop, kBottom);
      if (at >= numbered + 14) {
        numbered = at;
        text += fmt::format(R"(<text x="{:.1f}" y="{}">{}</text>)", at, kTop - 4, i + 1);
      }
      text += "</g>\n";
    }
    return text;
  }

  std::string unknown() const {
    const auto known = std::find_if(chart_.points.begin(), chart_.points.end(),
                                    [](const auto& point) { return point.value.has_value(); });
    if (known == chart_.points.begin() || known == chart_.points.end() || x(known->t) < kLeft + 80) return {};
    return fmt::format("<text class=\"unknown\" x=\"{:.1f}\" y=\"{}\">not known yet</text>\n",
                       (kLeft + x(known->t)) / 2, (kTop + kBottom) / 2);
  }

  // The points that are visible in the picture.
  std::vector<Chart::Point> drawn() const {
    std::vector<Chart::Point> all;
    const auto& points = chart_.points;
    const auto column = [&](const Chart::Point& point) { return static_cast<int>(x(point.t)); };
    const auto lower = [](const Chart::Point& a, const Chart::Point& b) { return *a.value < *b.value; };
    for (auto begin = points.begin(); begin != points.end();) {
      const auto end = std::find_if(begin, points.end(),
                                    [&](const auto& point) { return column(point) != column(*begin); });
      std::vector<Chart::Point> known;
      std::copy_if(begin, end, std::back_inserter(known), [](const auto& point) { return point.value; });
      if (known.empty()) {
        all.push_back(*begin);
      } else {
        const auto [lowest, highest] = std::minmax_element(known.begin(), known.end(), lower);
        std::array<ptrdiff_t, 4> kept{0, lowest - known.begin(), highest - known.begin(),
                                      static_cast<ptrdiff_t>(known.size()) - 1};
        std::sort(kept.begin(), kept.end());
        const auto last = std::unique(kept.begin(), kept.end());
        for (auto each = kept.begin(); each != last; ++each) all.push_back(known[*each]);
      }
      begin = end;
    }
    return all;
  }

  std::string line() const {
    std::string line;
    std::string area;
    bool going = false;
    double last = 0;
    const auto close = [&] {
      if (going) area += fmt::format("L{:.1f} {}Z", last, kBottom);
      going = false;
    };
    for (const Chart::Point& point : drawn()) {
      if (!point.value) {
        close();
        continue;
      }
      last = x(point.t);
      const std::string at = fmt::format("{:.1f} {:.1f}", last, y(*point.value));
      // h0 makes a single point visible as a dot.
      line += going ? "L" + at : "M" + at + "h0";
      area += (going ? "L" : fmt::format("M{:.1f} {}L", last, kBottom)) + at;
      going = true;
    }
    close();
    if (line.empty()) return {};
    return fmt::format("<path class=\"area\" d=\"{}\"/>\n<path class=\"line\" d=\"{}\"/>\n", area, line);
  }

  std::string level(const Chart::Named& level) const {
    const double at = y(level.value);
    // The text is above the line if it fits there.
    return fmt::format(R"(<g class="level"><path d="M{} {:.1f}H{}"/><text x="{}" y="{:.1f}">{}</text></g>)"
                       "\n",
                       kLeft, at, kRight, kLeft + 4, at < kTop + 12 ? at + 11 : at - 4, label(level));
  }

  std::string outcome(const Chart::Named& outcome) const {
    const double at = y(outcome.value);
    return fmt::format(
        R"(<g class="outcome"><circle cx="{}" cy="{:.1f}" r="4.5"/><text x="{}" y="{:.1f}">{}</text></g>)"
        "\n",
        kRight, at, kRight - 8, at < kTop + 12 ? at + 14 : at - 7, label(outcome));
  }

  std::string label(const Chart::Named& named) const {
    return escaped(named.name) + " " + amount_text(chart_.unit, named.value);
  }

  const Chart& chart_;
  const double duration_;
  Scale scale_{};
  Axis axis_{};  // in the scale
};

}  // namespace

std::string svg(const Chart& chart, const std::vector<Event>& events, double duration) {
  return Picture(chart, duration).draw(events);
}

}  // namespace wherry::look
