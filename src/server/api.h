// Api: the routes of `tq serve`, without sockets: what OpenAI's clients, routers and monitors ask.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/sampler.h"
#include "server/api_request.h"
#include "server/call.h"
#include "server/guard.h"
#include "server/http.h"
#include "server/metrics.h"
#include "server/reply.h"
#include "server/task_queue.h"
#include "session/grammars.h"
#include "session/service.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace tq {

// A model that answers. What it points to must outlive its use by an Api.
struct ServedModel {
  Service* service = nullptr;
  std::shared_ptr<const Tokenizer> tokenizer;
  const ChatTemplate* chat_template = nullptr;  // null: the model has none
  const ChatTemplate* tool_template = nullptr;  // the same, or one for chats with tools
  SamplingParams sampling;                      // where nothing is asked for
  int64_t context = 0;                          // tokens of prompt and answer
  int64_t n_sequences = 1;                      // that run at a time
  int32_t n_tokens = 0;                         // ids that prompts may hold are below
  std::shared_ptr<Grammars> grammars = {};      // of the tokenizer
};

struct ApiOptions {
  std::vector<std::string> model_names = {"model"};  // the first is the usual one
  std::string root;  // where the model came from; understood as a name, too
  std::string version;
  GuardOptions guard;
  int64_t max_queue = 256;     // answers that may wait besides those that run
  double stall_seconds = 300;  // a step of the engine that takes longer is one that hangs
};

class Api : public HttpHandler {
 public:
  // post: runs tasks one after the other, on the thread that calls check() and handle(). It must
  // work until close_model() has returned.
  Api(ApiOptions options, Post post);

  // Requests are refused with 503 until there is a model.
  void open_model(const ServedModel& model);
  // From now on requests for answers are refused; those under way go on.
  void drain() { draining_ = true; }
  // Returns when nobody uses the model any more but its service. Not on the thread of post.
  void close_model();

  std::optional<HttpResponse> check(const HttpHead& head) override;
  void handle(HttpRequest request, std::shared_ptr<Responder> responder) override;

  // Answers that were promised and are not complete.
  int64_t n_open() const { return n_open_; }

 private:
  using CallPtr = std::shared_ptr<Call>;
  using Place = std::shared_ptr<void>;
  struct Route {
    const char* method;
    const char* path;
    void (Api::*run)(const CallPtr& call);
  };
  static const std::vector<Route>& routes();
  // Null where the path or the method is not known; then `error` says so.
  const Route* find_route(const HttpHead& head, std::optional<ApiError>& error) const;

  // For the header Allow, "OPTIONS, GET, HEAD".
  static std::string allowed_methods(const std::string& path);

  void get_file(const CallPtr& call);
  void get_health(const CallPtr& call);
  void get_load(const CallPtr& call);
  void get_version(const CallPtr& call);
  void get_models(const CallPtr& call);
  void get_metrics(const CallPtr& call);
  void get_model_info(const CallPtr& call);
  void get_server_info(const CallPtr& call);
  void post_completions(const CallPtr& call);
  void post_chat(const CallPtr& call);
  void post_responses(const CallPtr& call);
  void post_messages(const CallPtr& call);
  void post_count_tokens(const CallPtr& call);
  void post_tokenize(const CallPtr& call);
  void post_detokenize(const CallPtr& call);
  void post_apply_template(const CallPtr& call);

  // The model, or ApiError 503.
  const ServedModel& model() const;
  // Takes a place and runs the task on a thread for such work; what it throws is answered.
  using Task = std::function<void(const ServedModel& model, const Place& place)>;
  void work(const CallPtr& call, Task task);
  // Places for so many answers, or ApiError 429.
  Place take_places(int64_t n);
  void check_model_name(const Json& body) const;

  void complete(const CallPtr& call, const ServedModel& model, const Place& place);
  void chat(const CallPtr& call, const ServedModel& model, const Place& place);
  void respond(const CallPtr& call, const ServedModel& model, const Place& place);
  void message(const CallPtr& call, const ServedModel& model, const Place& place);
  // Fits the answers to the context, and submits them.
  void reply(const ServedModel& model, const Place& place, const ApiRequest& request,
             ReplyArgs args);
  ReplyHead head_of(const ApiRequest& request, const ServedModel& model, const char* prefix) const;

  ApiOptions options_;
  Guard guard_;
  Post post_;
  Metrics metrics_;
  int64_t created_;
  std::atomic<bool> draining_ = false;
  std::atomic<int64_t> n_open_ = 0;
  std::optional<ServedModel> model_;  // set before has_model_, used while that is true
  std::atomic<bool> has_model_ = false;
  TaskQueue workers_{2};  // the last: its tasks use the others
};

}  // namespace tq
