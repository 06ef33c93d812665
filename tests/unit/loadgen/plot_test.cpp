#include "loadgen/plot.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

namespace tq {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST(Plot, TicksAreRound) {
  EXPECT_DOUBLE_EQ(tick_distance(10, 5), 2);
  EXPECT_DOUBLE_EQ(tick_distance(9, 5), 2);
  EXPECT_DOUBLE_EQ(tick_distance(0.3, 5), 0.1);
  EXPECT_DOUBLE_EQ(tick_distance(1234, 5), 500);
  EXPECT_DOUBLE_EQ(tick_distance(450, 5), 100);
}

TEST(Plot, PutsPointsInTheirPlaces) {
  const std::string svg = plot_svg({.title = "t<",
                                    .x_label = "x",
                                    .y_label = "y",
                                    .series = {{"one", {{0, 0}, {5, 50}, {10, 100}}}},
                                    .y_most = 100});
  EXPECT_THAT(svg, HasSubstr("points=\"58.0,236.0 252.0,135.0 446.0,34.0\""));
  EXPECT_THAT(svg, HasSubstr("aria-label=\"t&lt;\""));
  EXPECT_THAT(svg, Not(HasSubstr("legend")));  // of one line there is none
}

TEST(Plot, PowersOfTwoAreEvenlySpaced) {
  const std::string svg = plot_svg({.title = "t",
                                    .x_label = "x",
                                    .y_label = "y",
                                    .series = {{"a", {{1, 1}, {4, 1}, {16, 1}}}, {"b", {{1, 2}}}},
                                    .mark_points = true});
  for (const char* x : {"cx=\"58.0\"", "cx=\"252.0\"", "cx=\"446.0\"", ">16</text>"}) {
    EXPECT_THAT(svg, HasSubstr(x));
  }
  EXPECT_THAT(svg, HasSubstr("<li class=\"s1\">b</li>"));
}

TEST(Plot, TakesNothingAndWhatIsNotFinite) {
  EXPECT_THAT(plot_svg({.title = "t", .x_label = "x", .y_label = "y", .series = {}}),
              HasSubstr("</svg>"));
  const double infinite = std::numeric_limits<double>::infinity();
  const std::string svg = plot_svg({.title = "t",
                                    .x_label = "x",
                                    .y_label = "y",
                                    .series = {{"a", {{0, 0}, {infinite, 1}, {1, -infinite}}}}});
  EXPECT_THAT(svg, HasSubstr("points=\"58.0,236.0\""));
  EXPECT_THAT(svg, Not(HasSubstr("inf")));
}

}  // namespace
}  // namespace tq
