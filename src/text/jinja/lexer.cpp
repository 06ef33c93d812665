#include "text/jinja/lexer.h"

#include <array>
#include <cctype>

#include "base/error.h"
#include "text/jinja/unicode.h"

namespace tq::jinja {
namespace {

bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }
bool is_name_start(char c) {
  return std::isalpha(static_cast<unsigned char>(c)) != 0 || c == '_' ||
         static_cast<unsigned char>(c) >= 0x80;
}
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_name_part(char c) { return is_name_start(c) || is_digit(c); }

// The largest template of a known model has 8,000. A tree takes 300 bytes a token.
constexpr size_t kMaxTokens = 100'000;
constexpr size_t kMaxBytes = size_t{8} << 20;
constexpr size_t kMaxName = 1000;  // names are hashed whenever they are looked up

// Longest first.
constexpr std::array<std::string_view, 26> kOperators = {
    "//", "**", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[",
    "]",  "(",  ")",  "{",  "}",  ">",  "<", "=", ".", ":", "|", ",", ";"};

class Lexer {
 public:
  explicit Lexer(std::string_view source) {
    if (source.size() > kMaxBytes) {
      error(fmt::format("{} bytes, more than the {} allowed", source.size(), kMaxBytes));
    }
    source_.reserve(source.size());
    for (size_t i = 0; i < source.size(); ++i) {  // all line ends become \n, as Jinja does
      if (source[i] == '\r') {
        source_ += '\n';
        if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
      } else {
        source_ += source[i];
      }
    }
    if (!source_.empty() && source_.back() == '\n') source_.pop_back();
  }

  std::vector<Token> run() {
    while (pos_ < source_.size()) text();
    add(TokenKind::kEnd, "");
    return std::move(tokens_);
  }

 private:
  [[noreturn]] void error(const std::string& message) const {
    fail(ErrorCode::kCorrupt, "chat template: line {}: {}", line_, message);
  }
  void add(TokenKind kind, std::string text) {
    if (tokens_.size() == kMaxTokens) error(fmt::format("more than {} tokens", kMaxTokens));
    tokens_.push_back({kind, std::move(text), line_});
  }
  bool at(std::string_view what) const {
    return std::string_view(source_).substr(pos_).starts_with(what);
  }
  void advance(size_t n) {
    for (size_t i = 0; i < n; ++i) line_ += source_[pos_ + i] == '\n';
    pos_ += n;
  }
  char sign_at(size_t pos) const {
    const char c = pos < source_.size() ? source_[pos] : '\0';
    return c == '-' || c == '+' ? c : '\0';
  }

  // Text up to the next tag, then the tag.
  void text() {
    size_t end = pos_;
    while ((end = source_.find('{', end)) != std::string::npos) {
      const char next = end + 1 < source_.size() ? source_[end + 1] : '\0';
      if (next == '{' || next == '%' || next == '#') break;
      ++end;
    }
    if (end == std::string::npos) {
      emit_text(source_.substr(pos_));
      advance(source_.size() - pos_);
      return;
    }
    const char kind = source_[end + 1];
    const char sign = sign_at(end + 2);
    std::string data = source_.substr(pos_, end - pos_);
    if (sign == '-') {
      while (!data.empty() && is_space(data.back())) data.pop_back();
    } else if (sign != '+' && kind != '{') {
      strip_line_start(data);
    }
    emit_text(data);
    advance(end - pos_);
    advance(2 + (sign != '\0' ? 1 : 0));
    if (kind == '#') {
      comment();
    } else if (kind == '%' && is_raw()) {
      raw();
    } else {
      tag(kind == '{');
    }
  }

  void emit_text(const std::string& data) {
    if (!data.empty()) add(TokenKind::kText, data);
  }

  // lstrip_blocks: white space between the start of a line and a block goes away.
  void strip_line_start(std::string& data) const {
    const size_t newline = data.rfind('\n');
    if (newline == std::string::npos && !line_start_) return;
    const size_t begin = newline == std::string::npos ? 0 : newline + 1;
    for (size_t i = begin; i < data.size(); ++i) {
      if (!is_space(data[i])) return;
    }
    data.resize(begin);
  }

  // After the closing mark of a block or comment: trim_blocks removes one newline, '-' all white
  // space.
  void after_close(char sign, bool trim_newline) {
    const size_t begin = pos_;
    if (sign == '-') {
      while (pos_ < source_.size() && is_space(source_[pos_])) advance(1);
    } else if (sign != '+' && trim_newline && pos_ < source_.size() && source_[pos_] == '\n') {
      advance(1);
    }
    line_start_ = pos_ > begin && source_[pos_ - 1] == '\n';
  }

  void comment() {
    const size_t end = source_.find("#}", pos_);
    if (end == std::string::npos) error("comment without an end");
    const char sign = end > pos_ ? sign_at(end - 1) : '\0';
    advance(end + 2 - pos_);
    after_close(sign, true);
  }

  // Whether the block just opened is {% raw %}.
  bool is_raw() const {
    size_t p = pos_;
    while (p < source_.size() && is_space(source_[p])) ++p;
    if (source_.compare(p, 3, "raw") != 0) return false;
    p += 3;
    while (p < source_.size() && is_space(source_[p])) ++p;
    if (sign_at(p) != '\0') ++p;
    return source_.compare(p, 2, "%}") == 0;
  }

  void raw() {
    const size_t close = source_.find("%}", pos_);
    const char open_sign = sign_at(close - 1);
    advance(close + 2 - pos_);
    after_close(open_sign, false);
    for (size_t p = pos_; (p = source_.find("{%", p)) != std::string::npos; p += 2) {
      size_t q = p + 2;
      const char sign = sign_at(q);
      if (sign != '\0') ++q;
      while (q < source_.size() && is_space(source_[q])) ++q;
      if (source_.compare(q, 6, "endraw") != 0) continue;
      q += 6;
      while (q < source_.size() && is_space(source_[q])) ++q;
      const char end_sign = sign_at(q);
      if (end_sign != '\0') ++q;
      if (source_.compare(q, 2, "%}") != 0) continue;
      std::string data = source_.substr(pos_, p - pos_);
      if (sign == '-') {
        while (!data.empty() && is_space(data.back())) data.pop_back();
      } else if (sign != '+') {
        strip_line_start(data);
      }
      emit_text(data);
      advance(q + 2 - pos_);
      after_close(end_sign, true);
      return;
    }
    error("{% raw %} without {% endraw %}");
  }

  // The inside of {{ }} or {% %}.
  void tag(bool output) {
    add(output ? TokenKind::kOutputBegin : TokenKind::kBlockBegin, "");
    const std::string_view close = output ? "}}" : "%}";
    std::string brackets;
    while (true) {
      while (pos_ < source_.size() && is_space(source_[pos_])) advance(1);
      if (pos_ >= source_.size()) error(output ? "{{ without }}" : "{% without %}");
      const char sign = sign_at(pos_);
      const bool signed_close =
          sign != '\0' && (sign == '-' || !output) && source_.compare(pos_ + 1, 2, close) == 0;
      if (brackets.empty() && (at(close) || signed_close)) {
        advance(signed_close ? 3 : 2);
        add(output ? TokenKind::kOutputEnd : TokenKind::kBlockEnd, "");
        after_close(signed_close ? sign : '\0', !output);
        return;
      }
      token(brackets);
    }
  }

  void token(std::string& brackets) {
    const char c = source_[pos_];
    if (c == '"' || c == '\'') return string(c);
    if (is_digit(c)) return number();
    if (is_name_start(c)) {
      size_t end = pos_;
      while (end < source_.size() && is_name_part(source_[end])) ++end;
      if (end - pos_ > kMaxName) error(fmt::format("a name longer than {} bytes", kMaxName));
      add(TokenKind::kName, source_.substr(pos_, end - pos_));
      return advance(end - pos_);
    }
    for (const std::string_view op : kOperators) {
      if (!at(op)) continue;
      if (op == "(" || op == "[" || op == "{") brackets += op == "(" ? ')' : op == "[" ? ']' : '}';
      if (op == ")" || op == "]" || op == "}") {
        if (brackets.empty() || brackets.back() != op[0]) {
          error(fmt::format("unexpected '{}'", op));
        }
        brackets.pop_back();
      }
      add(TokenKind::kOperator, std::string(op));
      return advance(op.size());
    }
    error(fmt::format("unexpected character '{}'", c));
  }

  void string(char quote) {
    std::string value;
    size_t p = pos_ + 1;
    while (p < source_.size() && source_[p] != quote) {
      if (source_[p] != '\\') {
        value += source_[p++];
        continue;
      }
      p = escape(p + 1, value);
    }
    if (p >= source_.size()) error("string without an end");
    add(TokenKind::kString, value);
    advance(p + 1 - pos_);
  }

  // Python's escapes; p is behind the backslash. Returns the place behind the escape.
  size_t escape(size_t p, std::string& value) const {
    if (p >= source_.size()) return p;
    const char c = source_[p++];
    static constexpr std::string_view kFrom = "ntrabfv\\'\"";
    static constexpr std::string_view kTo = "\n\t\r\a\b\f\v\\'\"";
    if (const size_t found = kFrom.find(c); found != std::string_view::npos) {
      value += kTo[found];
    } else if (c == '\n') {
      // a continued line
    } else if (c == 'x' || c == 'u' || c == 'U') {
      const int digits = c == 'x' ? 2 : c == 'u' ? 4 : 8;
      uint32_t code = 0;
      for (int i = 0; i < digits; ++i, ++p) {
        if (p >= source_.size() || std::isxdigit(static_cast<unsigned char>(source_[p])) == 0) {
          error(fmt::format("bad \\{} escape", c));
        }
        const char digit = static_cast<char>(std::tolower(static_cast<unsigned char>(source_[p])));
        code = code * 16 + static_cast<uint32_t>(is_digit(digit) ? digit - '0' : digit - 'a' + 10);
      }
      append_utf8(code, value);
    } else if (c >= '0' && c <= '7') {
      uint32_t code = static_cast<uint32_t>(c - '0');
      for (int i = 0; i < 2 && p < source_.size() && source_[p] >= '0' && source_[p] <= '7'; ++i) {
        code = code * 8 + static_cast<uint32_t>(source_[p++] - '0');
      }
      append_utf8(code, value);
    } else {
      value += '\\';
      value += c;
    }
    return p;
  }

  void number() {
    size_t p = pos_;
    std::string digits;
    const auto run = [&] {
      while (p < source_.size() &&
             (is_digit(source_[p]) ||
              (source_[p] == '_' && p + 1 < source_.size() && is_digit(source_[p + 1])))) {
        if (source_[p] != '_') digits += source_[p];
        ++p;
      }
    };
    run();
    bool is_float = false;
    if (p + 1 < source_.size() && source_[p] == '.' && is_digit(source_[p + 1])) {
      is_float = true;
      digits += source_[p++];
      run();
    }
    if (p < source_.size() && (source_[p] == 'e' || source_[p] == 'E')) {
      size_t q = p + 1;
      if (sign_at(q) != '\0') ++q;
      if (q < source_.size() && is_digit(source_[q])) {
        is_float = true;
        digits += source_.substr(p, q - p);
        p = q;
        run();
      }
    }
    add(is_float ? TokenKind::kFloat : TokenKind::kInteger, digits);
    advance(p - pos_);
  }

  std::string source_;
  size_t pos_ = 0;
  int line_ = 1;
  bool line_start_ = true;  // the text that begins at pos_ begins a line
  std::vector<Token> tokens_;
};

}  // namespace

std::vector<Token> tokenize(std::string_view source) { return Lexer(source).run(); }

}  // namespace tq::jinja
