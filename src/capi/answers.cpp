// The C interface to answers, whole and in pieces.
#include "capi/handles.h"

namespace tq::capi {
namespace {

// Tells a chunk of a stream as pieces.
class PieceTeller {
 public:
  PieceTeller(tq_piece_fn on_piece, void* user) : on_piece_(on_piece), user_(user) {}

  // False when the caller has heard enough.
  bool tell(const std::string& chunk) {
    chunk_ = &chunk;
    const Json json = parse_json(chunk, "a chunk");
    for (const Json& choice : json.value("choices", Json::array())) {
      if (!tell_choice(choice)) return false;
    }
    const Json usage = json.value("usage", Json());
    return usage.is_null() || tell(TQ_PIECE_USAGE, 0, json_line(usage));
  }

 private:
  bool tell_choice(const Json& choice) {
    const int index = choice.value("index", 0);
    const bool has_logprobs = !choice.value("logprobs", Json()).is_null();
    const Json delta = choice.value("delta", Json::object());
    const Json finish = choice.value("finish_reason", Json());
    // A token without a text of its own has a log probability all the same.
    const Json text = choice.contains("text") ? choice["text"] : delta.value("content", Json());
    if (text.is_string() && (has_logprobs || text != Json("")) &&
        !tell(TQ_PIECE_TEXT, index, text.get<std::string>())) {
      return false;
    }
    const Json reasoning = delta.value("reasoning_content", Json());
    if (reasoning.is_string() && !tell(TQ_PIECE_REASONING, index, reasoning.get<std::string>())) {
      return false;
    }
    for (Json call : delta.value("tool_calls", Json::array())) {
      call.erase("index");
      if (!tell(TQ_PIECE_CALL, index, json_line(call))) return false;
    }
    return !finish.is_string() || tell(TQ_PIECE_END, index, finish.get<std::string>());
  }

  bool tell(tq_piece_kind kind, int choice, const std::string& text) {
    const tq_piece piece = {kind, choice, text.c_str(), text.size(), chunk_->c_str()};
    return on_piece_(&piece, user_) == 0;
  }

  tq_piece_fn on_piece_;
  void* user_;
  const std::string* chunk_ = nullptr;
};

}  // namespace
}  // namespace tq::capi

using namespace tq;
using namespace tq::capi;

tq_status tq_generate(const tq_model* model, const char* request, tq_stop* stop, char** answer) {
  return guarded([&] {
    const auto llm = llm_of(model);
    require(answer, "answer");
    *answer = copy_text(llm->answer(read_json(request, "request"), stops_by(stop)));
  });
}

tq_status tq_stream(const tq_model* model, const char* request, tq_piece_fn on_piece, void* user,
                    tq_stop* stop) {
  return guarded([&] {
    const auto llm = llm_of(model);
    if (on_piece == nullptr) fail(ErrorCode::kInvalidArgument, "on_piece is NULL");
    PieceTeller teller(on_piece, user);
    llm->stream(
        read_json(request, "request"), [&](const std::string& chunk) { return teller.tell(chunk); },
        stops_by(stop));
  });
}
