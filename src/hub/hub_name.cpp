#include "hub/hub_name.h"

#include <algorithm>
#include <array>

#include "base/ascii.h"

namespace tq {
namespace {

constexpr size_t kMaxNameBytes = 96;  // of each part of a repository's name, as on the hub
constexpr size_t kMaxRevisionBytes = 255;

bool is_letter_or_digit(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }

bool is_name_part(std::string_view part) {
  if (part.empty() || part.size() > kMaxNameBytes) return false;
  if (part.front() == '.' || part.front() == '-' || part.back() == '.' || part.back() == '-') {
    return false;
  }
  // "--" stands for '/' in the cache's folders; the hub allows neither of the two.
  if (part.find("--") != std::string_view::npos || part.find("..") != std::string_view::npos) {
    return false;
  }
  return std::all_of(part.begin(), part.end(), [](char c) {
    return is_letter_or_digit(c) || c == '.' || c == '-' || c == '_';
  });
}

// Without the beginning of an address of the hub.
std::string_view without_address(std::string_view text) {
  for (const std::string_view start :
       {"https://huggingface.co/", "https://hf.co/", "huggingface.co/", "hf.co/", "hf://"}) {
    if (!text.starts_with(start)) continue;
    text.remove_prefix(start.size());
    while (text.ends_with('/')) text.remove_suffix(1);
    break;
  }
  return text;
}

// The parts of an address of the hub's pages of files, "org/name/blob/main/x.gguf" or
// "org/name/tree/v1", as "org/name:main:x.gguf"; other texts stay.
std::string without_page(std::string_view text) {
  for (const std::string_view page : {"/blob/", "/resolve/", "/tree/"}) {
    const size_t at = text.find(page);
    if (at == std::string_view::npos || !is_repository_name(text.substr(0, at))) continue;
    std::string_view rest = text.substr(at + page.size());
    rest = rest.substr(0, rest.find('?'));
    const size_t slash = page == "/tree/" ? std::string_view::npos : rest.find('/');
    std::string out = std::string(text.substr(0, at)) + ":" + std::string(rest.substr(0, slash));
    if (slash != std::string_view::npos) out += ":" + std::string(rest.substr(slash + 1));
    return out;
  }
  return std::string(text);
}

// "K_M", "XXS", "0_4_4": letters and digits between single underscores.
bool is_suffix(std::string_view text) {
  if (text.empty() || text.front() == '_' || text.back() == '_') return false;
  if (text.find("__") != std::string_view::npos || text.size() > 12) return false;
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return is_letter_or_digit(c) || c == '_'; });
}

// The part of an upper case word that is a quantization, empty if there is none: of
// "INSTRUCT_Q4_K_M" the last three.
std::string_view quantization_in(std::string_view word) {
  for (size_t at = 0; at != std::string_view::npos;) {
    const std::string_view rest = word.substr(at);
    if (is_quantization(rest)) return rest;
    const size_t next = word.find('_', at);
    at = next == std::string_view::npos ? next : next + 1;
  }
  return {};
}

// A file's name without ".gguf" and "-00001-of-00002".
std::string_view stem_of(std::string_view name) {
  if (name.size() > 5 && lower_case(name.substr(name.size() - 5)) == ".gguf") {
    name.remove_suffix(5);
  }
  constexpr size_t kPart = 15;  // "-00001-of-00002"
  if (name.size() > kPart && lower_case(name.substr(name.size() - 9, 4)) == "-of-") {
    name.remove_suffix(kPart);
  }
  return name;
}

std::string quantization_in_name(std::string_view name) {
  const std::string upper = upper_case(name);
  std::string_view rest = upper;
  while (!rest.empty()) {
    const size_t cut = rest.find_last_of("-. ");
    const std::string_view word = cut == std::string_view::npos ? rest : rest.substr(cut + 1);
    rest = cut == std::string_view::npos ? std::string_view() : rest.substr(0, cut);
    const std::string_view found = quantization_in(word);
    if (found.empty()) continue;
    const bool dynamic = found.size() == word.size() && cut != std::string_view::npos &&
                         upper[cut] == '-' && (rest == "UD" || rest.ends_with("-UD"));
    return dynamic ? "UD-" + std::string(found) : std::string(found);
  }
  return "";
}

}  // namespace

std::string HubName::text() const {
  std::string out = repository;
  if (!revision.empty()) out += ":" + revision;
  if (!quantization.empty()) out += ":" + quantization;
  if (!file.empty()) out += ":" + file;
  return out;
}

bool is_repository_name(std::string_view text) {
  const size_t slash = text.find('/');
  return slash != std::string_view::npos && is_name_part(text.substr(0, slash)) &&
         is_name_part(text.substr(slash + 1));
}

std::optional<HubName> parse_hub_name(std::string_view text) {
  const std::string_view name_part = without_address(text);
  const bool address = name_part.size() < text.size();
  // Nobody there is called as the hub itself: written out, the name would be another.
  if (address && without_address(name_part).size() < name_part.size()) return std::nullopt;
  const std::string tagged = address ? without_page(name_part) : std::string(text);
  text = tagged;
  HubName name;
  size_t colon = text.find(':');
  name.repository = text.substr(0, colon);
  if (!is_repository_name(name.repository)) return std::nullopt;
  while (colon != std::string_view::npos) {
    text.remove_prefix(colon + 1);
    colon = text.find(':');
    const std::string_view tag = text.substr(0, colon);
    std::string* place = nullptr;
    std::string value(tag);
    if (lower_case(tag).ends_with(".gguf")) {
      place = &name.file;
    } else if (is_quantization(tag)) {
      place = &name.quantization;
      value = upper_case(tag);
    } else {
      place = &name.revision;
    }
    if (!place->empty() || !(place == &name.quantization || is_revision(tag))) return std::nullopt;
    *place = std::move(value);
  }
  if (!name.file.empty() && !name.quantization.empty()) return std::nullopt;
  return name;
}

bool is_quantization(std::string_view text) {
  std::string upper = upper_case(text);
  std::string_view rest = upper;
  if (rest.starts_with("UD-")) rest.remove_prefix(3);
  for (const std::string_view plain : {"BF16", "F16", "F32", "FP16", "FP32", "MXFP4", "NVFP4"}) {
    if (rest == plain) return true;
    if (plain.ends_with("FP4") && rest.starts_with(plain) && rest.size() > plain.size() + 1 &&
        rest[plain.size()] == '_') {
      return is_suffix(rest.substr(plain.size() + 1));
    }
  }
  if (rest.starts_with("IQ") || rest.starts_with("TQ")) rest.remove_prefix(1);
  if (rest.size() < 4 || rest[0] != 'Q' || !is_digit(rest[1]) || rest[2] != '_') return false;
  return is_suffix(rest.substr(3));
}

std::string quantization_of(std::string_view path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string_view::npos) return quantization_in_name(stem_of(path));
  const std::string of_file = quantization_in_name(stem_of(path.substr(slash + 1)));
  return of_file.empty() ? quantization_in_name(path.substr(0, slash)) : of_file;
}

bool is_revision(std::string_view text) {
  if (text.empty() || text.size() > kMaxRevisionBytes) return false;
  if (text.find("..") != std::string_view::npos || text.find("//") != std::string_view::npos ||
      text.find("/.") != std::string_view::npos) {
    return false;
  }
  constexpr std::string_view kEnds = "/.-";
  if (kEnds.find(text.front()) != std::string_view::npos || text.back() == '/' ||
      text.back() == '.') {
    return false;
  }
  return std::all_of(text.begin(), text.end(), [](char c) {
    return is_letter_or_digit(c) || c == '.' || c == '-' || c == '_' || c == '/' || c == '+';
  });
}

bool is_hex(std::string_view text, size_t digits) {
  return text.size() == digits && std::all_of(text.begin(), text.end(), [](char c) {
           return is_digit(c) || (c >= 'a' && c <= 'f');
         });
}

}  // namespace tq
