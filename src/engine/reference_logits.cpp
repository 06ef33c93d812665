#include "engine/reference_logits.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>

#include "base/check.h"
#include "base/error.h"
#include "base/math.h"

namespace tq {
namespace {

static_assert(std::endian::native == std::endian::little, "numbers are written as they lie");

constexpr std::string_view kMagic = "TQREFLG1";
constexpr int64_t kFixedBytes = 16;  // the magic, then the header's length as u64
constexpr int64_t kMaxHeaderBytes = 1 << 20;
constexpr int64_t kAlignment = 64;
constexpr float kRange = 40;  // nats: e^-40 of a probability is nothing
constexpr int kCodes = 65536;

// What stands before the codes of a row.
struct RowHead {
  double nll;
  float step;  // nats
  int32_t token;
  int32_t best;
  int32_t zero;
};
static_assert(sizeof(RowHead) == 24);

int64_t row_bytes(int64_t vocab) {
  return static_cast<int64_t>(sizeof(RowHead)) + round_up(vocab * 2, 8);
}

int64_t ids_bytes(const ReferenceText& text) {
  return static_cast<int64_t>((text.ids.size() + text.prefix.size()) * sizeof(int32_t));
}

std::vector<int32_t> scored_tokens(const ReferenceText& text) {
  std::vector<int32_t> tokens;
  for (const EvalWindow& window : text.text().windows) {
    tokens.insert(tokens.end(), text.ids.begin() + window.first_scored,
                  text.ids.begin() + window.end);
  }
  return tokens;
}

// Magic, length and JSON, padded with spaces so that what follows is aligned.
std::string header_text(const ReferenceText& text, const ReferenceModel& model, const Json& about) {
  const Json json = {{"ids", text.ids.size()},
                     {"prefix", text.prefix.size()},
                     {"window", text.window},
                     {"stride", text.stride},
                     {"rows", scored_tokens(text).size()},
                     {"model",
                      {{"name", model.name},
                       {"arch", model.arch},
                       {"layers", model.n_layers},
                       {"hidden", model.hidden},
                       {"vocab", model.vocab}}},
                     {"about", about}};
  std::string body = json_line(json);
  const auto size = static_cast<int64_t>(body.size());
  body.resize(static_cast<size_t>(round_up(kFixedBytes + size, kAlignment) - kFixedBytes), ' ');
  if (static_cast<int64_t>(body.size()) > kMaxHeaderBytes) {
    fail(ErrorCode::kInvalidArgument, "a header of {} bytes: shorten the path of the model",
         body.size());
  }
  const auto length = static_cast<uint64_t>(body.size());
  std::string out(kMagic);
  out.append(reinterpret_cast<const char*>(&length), sizeof(length));
  return out + body;
}

std::span<const uint8_t> as_bytes(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}
std::span<const uint8_t> as_bytes(const std::vector<int32_t>& ids) {
  return {reinterpret_cast<const uint8_t*>(ids.data()), ids.size() * sizeof(int32_t)};
}

// A whole number of the header between least and most.
int64_t number(const Json& json, const char* name, int64_t least, int64_t most,
               const std::string& path) {
  const auto found = json.find(name);
  const auto value = found == json.end() ? std::nullopt : json_integer(*found, least, most);
  if (!value) {
    fail(ErrorCode::kCorrupt, "{}: \"{}\" of the header is no whole number from {} to {}", path,
         name, least, most);
  }
  return *value;
}

std::string string_of(const Json& json, const char* name, const std::string& path) {
  const auto found = json.find(name);
  if (found == json.end() || !found->is_string()) {
    fail(ErrorCode::kCorrupt, "{}: \"{}\" of the header is no text", path, name);
  }
  return found->get<std::string>();
}

}  // namespace

EvalText ReferenceText::text() const {
  return {
      .ids = ids,
      .prefix = prefix,
      .windows = eval_windows(static_cast<int64_t>(ids.size()), window, stride, !prefix.empty())};
}

int64_t reference_bytes(const ReferenceText& text, int64_t vocab) {
  const auto n_rows = static_cast<int64_t>(scored_tokens(text).size());
  const auto rows = checked_mul(n_rows, row_bytes(vocab));
  if (!rows || *rows > kMaxReferenceBytes) {
    fail(ErrorCode::kInvalidArgument,
         "{} scored tokens of {} logits take more than {} bytes: score fewer with --max-tokens",
         n_rows, vocab, kMaxReferenceBytes);
  }
  return *rows + ids_bytes(text);
}

ReferenceWriter::ReferenceWriter(const fs::path& path, const ReferenceText& text,
                                 const ReferenceModel& model, const Json& about)
    : file_(path), vocab_(model.vocab), row_(static_cast<size_t>(row_bytes(model.vocab))) {
  const std::string header = header_text(text, model, about);
  end_ = header.size() + static_cast<uint64_t>(reference_bytes(text, vocab_));
  file_.allocate(end_);
  for (const auto bytes : {as_bytes(header), as_bytes(text.ids), as_bytes(text.prefix)}) {
    file_.write_at(offset_, bytes);
    offset_ += bytes.size();
  }
}

void ReferenceWriter::add(int32_t token, std::span<const float> logits) {
  TQ_CHECK(static_cast<int64_t>(logits.size()) == vocab_, "{} logits", logits.size());
  TQ_CHECK(offset_ + row_.size() <= end_, "more rows than the text has");
  const auto best = static_cast<size_t>(argmax(logits));
  const float top = logits[best];
  const float lowest = std::max(*std::min_element(logits.begin(), logits.end()), top - kRange);
  RowHead head{.nll = log_sum_exp(logits) - logits[static_cast<size_t>(token)],
               .step = (top - lowest) / (kCodes - 1),
               .token = token,
               .best = static_cast<int32_t>(best),
               .zero = 0};
  std::memcpy(row_.data(), &head, sizeof(head));
  const float scale = head.step > 0 ? 1 / head.step : 0;
  for (size_t i = 0; i < logits.size(); ++i) {
    const float code = std::nearbyint((top - logits[i]) * scale);
    const auto bits = static_cast<uint16_t>(std::clamp<float>(code, 0, kCodes - 1));
    std::memcpy(row_.data() + sizeof(head) + 2 * i, &bits, sizeof(bits));
  }
  file_.write_at(offset_, row_);
  offset_ += row_.size();
}

void ReferenceWriter::finish() {
  TQ_CHECK(offset_ == end_, "{} bytes written of {}", offset_, end_);
  file_.commit();
}

ReferenceReader::ReferenceReader(const fs::path& path) : file_(path) {
  read_header();
  scored_ = scored_tokens(text_);
}

void ReferenceReader::read_header() {
  const std::string path = file_.path().string();
  const auto size = static_cast<int64_t>(file_.bytes().size());
  std::array<uint8_t, kFixedBytes> fixed{};
  if (size >= kFixedBytes) file_.read_at(0, fixed);
  if (std::memcmp(fixed.data(), kMagic.data(), kMagic.size()) != 0) {
    fail(ErrorCode::kCorrupt,
         "{}: no saved reference logits of tq eval kld --save-reference: they begin with {}", path,
         kMagic);
  }
  uint64_t length = 0;
  std::memcpy(&length, fixed.data() + kMagic.size(), sizeof(length));
  if (length > static_cast<uint64_t>(std::min(kMaxHeaderBytes, size - kFixedBytes))) {
    fail(ErrorCode::kCorrupt, "{}: a header of {} bytes in a file of {}", path, length, size);
  }
  std::string body(static_cast<size_t>(length), '\0');
  file_.read_at(kFixedBytes, {reinterpret_cast<uint8_t*>(body.data()), body.size()});
  const Json json = parse_json(body, path + ": header");
  const auto model = json.is_object() ? json.find("model") : json.end();
  if (!json.is_object() || model == json.end() || !model->is_object()) {
    fail(ErrorCode::kCorrupt, "{}: the header names no model", path);
  }
  constexpr int64_t kMost = INT32_MAX;
  model_ = {.name = string_of(*model, "name", path),
            .arch = string_of(*model, "arch", path),
            .n_layers = number(*model, "layers", 1, kMost, path),
            .hidden = number(*model, "hidden", 1, kMost, path),
            .vocab = number(*model, "vocab", 1, kMost, path)};
  about_ = json.value("about", Json::object());
  // Sizes are compared with the file's before anything of that size is made.
  const int64_t most_ids = size / static_cast<int64_t>(sizeof(int32_t));
  const int64_t n_ids = number(json, "ids", 2, most_ids, path);
  const int64_t n_prefix = number(json, "prefix", 0, 1, path);
  text_.window = number(json, "window", 1, kMost, path);
  text_.stride = number(json, "stride", 1, text_.window, path);
  n_rows_ = number(json, "rows", 1, n_ids, path);
  const int64_t ids_offset = kFixedBytes + static_cast<int64_t>(length);
  const int64_t rows_offset = ids_offset + (n_ids + n_prefix) * 4;
  const auto rows = checked_mul(n_rows_, row_bytes(model_.vocab));
  const auto expected = rows ? checked_add(rows_offset, *rows) : std::nullopt;
  if (!expected || *expected != size) {
    fail(ErrorCode::kCorrupt, "{}: the header asks for {} bytes, the file has {}", path,
         expected ? std::to_string(*expected) : "too many", size);
  }
  rows_offset_ = static_cast<uint64_t>(rows_offset);
  text_.ids.resize(static_cast<size_t>(n_ids));
  text_.prefix.resize(static_cast<size_t>(n_prefix));
  read_ids(static_cast<uint64_t>(ids_offset), text_.ids);
  read_ids(static_cast<uint64_t>(ids_offset + 4 * n_ids), text_.prefix);
  int64_t n_scored = 0;
  for (const EvalWindow& window : text_.text().windows)
    n_scored += window.end - window.first_scored;
  if (n_scored != n_rows_) {
    fail(ErrorCode::kCorrupt, "{}: {} rows, but its windows score {} tokens", path, n_rows_,
         n_scored);
  }
}

void ReferenceReader::read_ids(uint64_t offset, std::vector<int32_t>& ids) const {
  file_.read_at(offset, {reinterpret_cast<uint8_t*>(ids.data()), ids.size() * sizeof(int32_t)});
  for (const int32_t id : ids) {
    if (id < 0 || id >= model_.vocab) {
      fail(ErrorCode::kCorrupt, "{}: token id {}: ids are 0 to {}", file_.path().string(), id,
           model_.vocab - 1);
    }
  }
}

ReferenceRow ReferenceReader::row(int64_t i) const {
  TQ_CHECK(i >= 0 && i < n_rows_, "row {} of {}", i, n_rows_);
  thread_local std::vector<uint8_t> bytes;
  thread_local std::vector<float> log_p;
  bytes.resize(static_cast<size_t>(row_bytes(model_.vocab)));
  log_p.resize(static_cast<size_t>(model_.vocab));
  file_.read_at(rows_offset_ + static_cast<uint64_t>(i) * bytes.size(), bytes);
  RowHead head{};
  std::memcpy(&head, bytes.data(), sizeof(head));
  const auto n = static_cast<int32_t>(model_.vocab);
  // Written so that a NaN is refused too.
  const bool sound = head.nll > -1e-3 && head.nll < 1e30 && head.step >= 0 && head.step < 1 &&
                     head.best >= 0 && head.best < n &&
                     head.token == scored_[static_cast<size_t>(i)];
  if (!sound) {
    fail(ErrorCode::kCorrupt, "{}: row {} is broken", file_.path().string(), i);
  }
  for (size_t k = 0; k < log_p.size(); ++k) {
    uint16_t code = 0;
    std::memcpy(&code, bytes.data() + sizeof(head) + 2 * k, sizeof(code));
    log_p[k] = -head.step * static_cast<float>(code);
  }
  return {.token = head.token, .best = head.best, .nll = head.nll, .log_p = log_p};
}

KldResult evaluate_kld(LogitReader& model, const ReferenceReader& reference,
                       const EvalProgress& progress) {
  const ReferenceRowAt row = [&](int64_t i) { return reference.row(i); };
  return evaluate_kld(model, row, reference.text().text(), progress);
}

}  // namespace tq
