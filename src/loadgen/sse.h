// Server-sent events (text/event-stream), as the WHATWG HTML standard defines them, read in pieces
// that may be cut at any byte.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace tq {

class SseParser {
 public:
  // max_bytes: of one event.
  explicit SseParser(size_t max_bytes = size_t{16} << 20) : max_bytes_(max_bytes) {}

  // The data of the events that these bytes complete: the values of their "data" lines, joined by
  // '\n'. Comments, other fields and events without data are passed over. Throws kCorrupt when an
  // event is larger than max_bytes.
  std::vector<std::string> push(std::string_view bytes);

 private:
  void end_line(std::vector<std::string>& events);

  size_t max_bytes_;
  std::string line_;
  std::string data_;
  bool has_data_ = false;
  bool after_cr_ = false;  // a '\n' that comes now belongs to the line end before
  bool first_line_ = true;
};

}  // namespace tq
