// Llm: a model that answers in this process, many at a time: what tq serve serves, without sockets.
// For the C API (src/capi) and the Python module (python/). Thread safe.
#pragma once

#include <unistd.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "embed/ask.h"
#include "server/host.h"

namespace tq {

class Llm {
 public:
  // Opens and loads the model. progress: bytes of weights; what it throws ends the loading. Throws
  // what load_host() throws.
  explicit Llm(const HostOptions& options,
               const std::function<void(int64_t done, int64_t total)>& progress = {});
  // As close().
  ~Llm();
  Llm(const Llm&) = delete;
  Llm& operator=(const Llm&) = delete;

  // Asks for an answer (request.h says how). Throws what read_request() throws; what else is wrong
  // with it is told. One Llm computes HostOptions::max_sequences answers at a time, others wait.
  std::shared_ptr<Ask> ask(const Json& request, bool stream, OnAskEvent told);
  // The answer's JSON. Throws what would have been told. stops: asked twenty times a second, true
  // cancels it.
  std::string answer(const Json& request, const std::function<bool()>& stops = {});

  // The same, with each chunk's JSON told on the calling thread as it comes; false cancels it.
  void stream(const Json& request, const std::function<bool(const std::string& chunk)>& on_chunk,
              const std::function<bool()>& stops = {});

  // The text that the chat template makes of a request's messages. Throws kInvalidArgument.
  std::string render(const Json& request);
  // add_special: with what the tokenizer puts around texts. Throws kInvalidArgument for text that
  // is not UTF-8.
  std::vector<int32_t> encode(std::string_view text, bool add_special) const;
  // Throws kInvalidArgument for ids that stand for nothing.
  std::string decode(const std::vector<int32_t>& ids, bool skip_special) const;

  // {"path", "arch", "device", "context", "max_num_seqs", "vocab", "has_chat_template", "load_s"}
  Json describe() const;

  // Ends what is under way with kCancelled, and frees the model; what is asked later fails so, too.
  // From a callback it is freed a little later, and in a process that was forked since, which has
  // none of its threads, never.
  void close();

 private:
  struct Live;

  std::shared_ptr<Live> live() const;
  static void post(const std::shared_ptr<Live>& live, std::string path, std::string body,
                   const std::shared_ptr<Ask>& ask);

  Json description_;
  std::shared_ptr<const Tokenizer> tokenizer_;
  mutable std::mutex mutex_;
  std::shared_ptr<Live> live_;  // null: closed
  pid_t owner_ = getpid();
};

}  // namespace tq
