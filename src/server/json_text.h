// JSON written by hand, for what is written once a token.
#pragma once

#include <string>
#include <string_view>

namespace tq {

// Appends the text as a JSON string with its quotes. Bytes that are not UTF-8 become U+FFFD.
void append_json_string(std::string_view text, std::string& out);
std::string json_string(std::string_view text);

// A number as JSON has it; what is not finite becomes -9999, as vLLM writes it.
void append_json_number(double value, std::string& out);

}  // namespace tq
